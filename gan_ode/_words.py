"""Enumerations whose items compare with their names and print as them."""

from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

_Class = TypeVar("_Class", bound=type)


class _Some(eqx.Enumeration):
    item = ""


_Item: Any = type(_Some.item)


class Word(_Item):
    """An item, or an array of items, of such an enumeration."""

    def __eq__(self, other: Any) -> Any:
        item = self._enumeration._name_to_item.get(other) if isinstance(other, str) else other
        return jnp.zeros(np.shape(self._value), bool) if item is None else super().__eq__(item)

    def __ne__(self, other: Any) -> Any:
        return ~(self == other)

    __hash__ = _Item.__hash__

    def __str__(self) -> str:
        if self.is_traced():
            return "traced"
        names = np.asarray(list(self._enumeration._name_to_item))
        return str(names[np.asarray(self._value)])


def worded(enumeration: _Class) -> _Class:
    """Makes words of an enumeration's items; a class decorator."""
    of: Any = enumeration
    for name, item in of._name_to_item.items():
        of._name_to_item[name] = Word(item._value, enumeration)
    return enumeration


def as_words(item: Any) -> Any:
    """What the enumeration's own functions return, as words again."""
    return Word(item._value, item._enumeration)
