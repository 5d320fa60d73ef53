"""Names of the items of enumerations: to be printed, and to be compared with."""

from typing import Any, TypeVar

import diffrax
import jax
import numpy as np

# Equinox does not export the class of all items.
_ITEM: Any = type(diffrax.RESULTS.successful)

_Class = TypeVar("_Class", bound=type)


def name_of(item: Any) -> Any:
    """The name of an item of an enumeration, as of `OUTCOMES` or `analysis.FATES`, to be printed or put in a table.

    Items are compared by `==` with those of their enumeration, and print with the sentence that explains them. This is
    the word that stands in the program:

    ```python
    import jax.numpy as jnp
    import gan_ode

    orbit = gan_ode.flow(lambda t, y, args: y**2, jnp.array([1.0]), jnp.linspace(0.0, 2.0, 3), throw=False)
    assert orbit.outcome == gan_ode.OUTCOMES.blow_up
    assert gan_ode.name_of(orbit.outcome) == "blow_up"
    ```

    Args:
        item: One item, or many, as the outcomes of an ensemble: of ours, of Diffrax's or Optimistix's `RESULTS`.

    Returns:
        A string; of many items a NumPy array of strings of their shape.

    Raises:
        ValueError: If `item` is of no enumeration, or is traced: its value is not known under a transformation.
    """
    if not isinstance(item, _ITEM):
        raise ValueError(f"`item` must be of an enumeration, as `orbit.outcome` is, but is {item!r}.")
    if item.is_traced():
        raise ValueError("`item` must be known, but is traced: ask for its name outside of `jax.jit` and `jax.vmap`.")
    # Equinox has no public way from an item to its name, nor to its number.
    (numbers,) = jax.tree.leaves(item)
    named = item._enumeration._name_to_item.items()
    names = {int(jax.tree.leaves(each)[0]): name for name, each in named}
    found = np.vectorize(names.__getitem__, otypes=[object])(np.asarray(numbers))
    return str(found) if found.ndim == 0 else found.astype(str)


class Word(_ITEM):
    """An item, or an array of items, of such an enumeration."""

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, str):
            items = self._enumeration._name_to_item
            if other not in items:
                name = self._enumeration.__name__
                raise ValueError(f"A word of `{name}` must be one of {', '.join(map(repr, items))}, but is {other!r}.")
            other = items[other]
        return super().__eq__(other)

    def __ne__(self, other: Any) -> Any:
        return ~(self == other)

    __hash__ = _ITEM.__hash__

    def __str__(self) -> str:
        if self.is_traced():
            return "traced"
        return str(name_of(self))


def worded(enumeration: _Class) -> _Class:
    """Makes words of an enumeration's items; a class decorator."""
    of: Any = enumeration
    for name, item in of._name_to_item.items():
        of._name_to_item[name] = Word(item._value, enumeration)
    return enumeration


def as_words(item: Any) -> Any:
    """What the enumeration's own functions return, as words again."""
    return Word(item._value, item._enumeration)
