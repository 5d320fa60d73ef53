"""The equations of equilibria, or of fixed points, with two parameters."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from ... import _checks
from ..._rules import maker
from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate
from ..arclength._motion import AbstractMotion, Always, motion_of, OfFields, OfSteps
from ..maps._rhythm import Rhythm


class With(eqx.Module):
    """A family of two parameters with the second one given.

    Attributes:
        family: From both to a field.
        second: The second.
    """

    family: Callable[[Any, Any], Field]
    second: Any

    def __call__(self, first: Any) -> Field:
        return self.family(first, self.second)


class Plane(eqx.Module):
    """What vanishes at an equilibrium, or at a fixed point, of two parameters.

    Attributes:
        family: From both parameters to a field; from the first alone if the second is the step size.
        update: None for the flow; an update; or from the step size, the second parameter, to an update.
        like: A state of the shapes.
        args: Handed to the field.
        known: How the update repeats.
    """

    family: Callable
    update: Any
    like: State
    args: Args
    known: Rhythm | None

    @property
    def is_map(self) -> bool:
        return self.update is not None

    def at(self, second: Any) -> AbstractMotion:
        """The equations along the first parameter."""
        if self.update is None:
            return OfFields(family=With(self.family, second), like=self.like, args=self.args)
        fixed = isinstance(self.update, AbstractUpdate)
        family = With(self.family, second) if fixed else self.family
        rule = Always(self.update if fixed else self.update(second))
        assert self.known is not None
        return OfSteps(family=family, rule=rule, like=self.like, args=self.args, known=self.known)

    def residual(self, x: Float[Array, " m"], first: Scalar, second: Scalar) -> Float[Array, " m"]:
        return self.at(second).residual(x, first)


def plane_of(family: Callable, update: Any, like: State, args: Args, first: Scalar, second: Scalar) -> Plane:
    """The equations, with how the update repeats looked up at one place.

    Args:
        family: From both parameters to a field; from the first to a field, if `update` is a rule.
        update: None, an update, or a rule, of which the second parameter is the step size.
        like: A state of the shapes.
        args: Handed to the field.
        first: The first parameter there.
        second: The second.

    Raises:
        ValueError: If the family makes no field of them.
    """
    if update is None or isinstance(update, AbstractUpdate):
        made(family, first, second)
        motion = motion_of(With(family, second), update, like, args, first)
    else:
        field = made(family, first)
        update = maker(update, field, like, args)
        motion = motion_of(field, update, like, args, second)
    known = motion.known if isinstance(motion, OfSteps) else None
    return Plane(family=family, update=update, like=like, args=args, known=known)


def made(family: Callable, *values: Scalar) -> Field:
    """The field that a family makes, refused if it is none."""
    many = (
        "both parameters, as `lambda first, second: fields.GameField(...)`"
        if len(values) == 2
        else "the first parameter alone where `update` is a rule, since the second is its step size, as "
        "`lambda first: fields.GameField(...)`"
    )
    try:
        field = family(*values)
    except TypeError as error:
        raise ValueError(
            f"`family` must make a field of the parameters, but fails: {error}. Let it take {many}."
        ) from error
    if not _checks.is_field(field):
        raise ValueError(f"`family` must make a field, but makes {type(field).__name__}: make it of {many}.")
    return field
