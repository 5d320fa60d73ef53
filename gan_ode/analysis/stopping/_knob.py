"""A knob: what the field, or the update, is at each of its values."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ... import _checks, _tree
from ..._rules import a_rule, maker
from ..._types import Args, Field, State
from ...updates import AbstractUpdate


class Made(eqx.Module):
    """The field that a family makes of a value, as a pytree: fields of all values share their programs.

    Attributes:
        family: From the parameter to a field.
        value: The parameter.
    """

    family: Callable[[Any], Field]
    value: Array

    def __call__(self, t: Any, y: State, args: Args) -> State:
        return self.family(self.value)(t, y, args)


class Knob(eqx.Module):
    """What turns, and how far.

    Attributes:
        family: From the value to a field; None where the knob is of the update.
        rule: From the value to an update; None where the knob is of the field.
        field: The field of all values, where the knob is of the update.
        update: The update of all values, where the knob is of the field; None for the flow.
        start: Where the cycle is.
        end: The other end of the range.
        dtype: That of the state, which values have as well.
    """

    family: Callable[[Any], Field] | None
    rule: Callable[[Any], AbstractUpdate] | None
    field: Field | None
    update: AbstractUpdate | None
    start: float = eqx.field(static=True)
    end: float = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    @property
    def is_flow(self) -> bool:
        return self.rule is None and self.update is None

    def field_at(self, value: float) -> Any:
        return self.field if self.family is None else Made(self.family, jnp.asarray(value, self.dtype))

    def update_at(self, value: float) -> AbstractUpdate | None:
        return self.update if self.rule is None else self.rule(jnp.asarray(value, self.dtype))

    @property
    def ends(self) -> Array:
        return jnp.array([self.start, self.end], self.dtype)

    def turned(self, value: float) -> float:
        """How far it has turned at a value: 0 at the start, 1 at the end."""
        return (value - self.start) / (self.end - self.start)

    def value(self, turned: float) -> float:
        return self.start + turned * (self.end - self.start)


def knobs_of(knobs: Any, field: Any, update: Any, y: State, args: Args) -> dict[str, Knob]:
    """The knobs that a user names.

    Raises:
        ValueError: If one is none; if a field is needed and there is none to be had.
    """
    if not isinstance(knobs, dict) or not knobs:
        raise ValueError(
            "`knobs` must name what can be turned, but is "
            f"{'empty' if isinstance(knobs, dict) else type(knobs).__name__}: for example "
            '`{"eta": (lambda eta: fields.GameField(game(eta)), (0.0, 1.0))}`.'
        )
    dtype = _tree.dtype(y)
    parts = {name: _parts(name, knob) for name, knob in knobs.items()}
    of_field = [name for name, (what, start, _) in parts.items() if not _is_rule(name, what, start)]
    if field is None and of_field:
        what, start, _ = parts[of_field[0]]
        field = Made(what, jnp.asarray(start, dtype))
    if field is None:
        raise ValueError(
            f"`field` must be given where no knob is of the field, and {', '.join(knobs)} are of the update: give the "
            "field whose cycle it is, `field=`."
        )
    made = {}
    for name, (what, start, end) in parts.items():
        if name in of_field:
            made[name] = Knob(what, None, None, update, start, end, dtype)
        else:
            rule = maker(what, field, y, args)
            made[name] = Knob(None, rule, field, None, start, end, dtype)
    return made


def _parts(name: str, knob: Any) -> tuple[Any, float, float]:
    remedy = "give `(family, (start, end))`, the cycle being at the start."
    if not isinstance(knob, tuple | list) or len(knob) != 2:
        raise ValueError(f"`knobs[{name!r}]` must be two things, but is {type(knob).__name__}: {remedy}")
    what, ends = knob
    if not (callable(what) or isinstance(what, AbstractUpdate)) or _checks.is_field(what):
        kind = "a field" if callable(what) else type(what).__name__
        raise ValueError(f"`knobs[{name!r}]` must start with a family or a rule, but that is {kind}: {remedy}")
    try:
        ends = np.asarray(ends, float)
    except (TypeError, ValueError):
        raise ValueError(f"`knobs[{name!r}]` must end with a range, but that is {ends!r}: {remedy}") from None
    if ends.shape != (2,) or not np.all(np.isfinite(ends)) or ends[0] == ends[1]:
        raise ValueError(
            f"`knobs[{name!r}]` must have a range of two finite, different numbers, but it is {ends.tolist()}."
        )
    return what, float(ends[0]), float(ends[1])


def _is_rule(name: str, what: Any, start: float) -> bool:
    if isinstance(what, AbstractUpdate):
        return True
    made = what(jnp.asarray(start))
    if isinstance(made, AbstractUpdate):
        a_rule(what)
        return True
    if not _checks.is_field(made):
        raise ValueError(
            f"`knobs[{name!r}]` must make a field or an update of a value, but makes {type(made).__name__}: "
            "`lambda eta: fields.GameField(game(eta))`, or `updates.Alternating`."
        )
    return False
