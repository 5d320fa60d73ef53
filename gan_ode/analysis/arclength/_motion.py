"""The equations of a branch: what is zero at an equilibrium of a field, or at a fixed point of an update's steps."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ... import _checks
from ..._rules import maker
from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate
from ..maps._fixed_point import step_at_fixed_point
from ..maps._multipliers import known_rhythm
from ..maps._rhythm import Rhythm, rhythm


class AbstractMotion(eqx.Module):
    """What vanishes along a branch, as a function of a flat state and the parameter.

    To add one, store `is_map` and implement `flat`, `residual` and `state`.

    Attributes:
        is_map: Whether the residual is a map minus its argument, so that one plus its eigenvalues are multipliers.
    """

    is_map: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def flat(self, y: State, value: Scalar) -> Float[Array, " m"]:
        """A state in flat form, with what else is unknown."""

    @abc.abstractmethod
    def residual(self, x: Float[Array, " m"], value: Scalar) -> Float[Array, " m"]:
        """The velocity, or what the steps of a period add."""

    @abc.abstractmethod
    def state(self, x: Float[Array, " m"]) -> State:
        """The state of a flat vector."""


class OfFields(AbstractMotion):
    """Equilibria of the fields of a family.

    Attributes:
        family: From the parameter to a field.
        like: A state, of which only shapes matter.
        args: Handed to the field.
    """

    family: Callable[[Any], Field]
    like: State
    args: Args
    is_map: bool = eqx.field(static=True, default=False)

    def flat(self, y: State, value: Scalar) -> Float[Array, " m"]:
        return ravel_pytree(y)[0]

    def residual(self, x: Float[Array, " m"], value: Scalar) -> Float[Array, " m"]:
        return ravel_pytree(self.family(value)(0.0, self.state(x), self.args))[0].astype(x.dtype)

    def state(self, x: Float[Array, " m"]) -> State:
        return ravel_pytree(self.like)[1](x)


class OfSteps(AbstractMotion):
    """Fixed points of the steps of an update, or orbits of a few of its periods.

    Attributes:
        family: From the parameter to a field.
        rule: From the parameter to an update.
        like: A state, at which the memory that does not answer to the state is taken.
        args: Handed to the field.
        known: How the update repeats.
        times: Periods after which the orbit closes: 2 for the orbit that a flip gives birth to.
    """

    family: Callable[[Any], Field]
    rule: Callable[[Any], AbstractUpdate]
    like: State
    args: Args
    known: Rhythm
    times: int = eqx.field(static=True, default=1)
    is_map: bool = eqx.field(static=True, default=True)

    def flat(self, y: State, value: Scalar) -> Float[Array, " m"]:
        return step_at_fixed_point(self.rule(value), self.family(value), y, self.args, self.known)[0]

    def residual(self, x: Float[Array, " m"], value: Scalar) -> Float[Array, " m"]:
        _, step = step_at_fixed_point(self.rule(value), self.family(value), self.like, self.args, self.known)
        if self.times == 1:
            return step(x) - x
        # In a loop, so that the step is compiled once.
        return jax.lax.scan(lambda here, _: (step(here), None), x, length=self.times)[0] - x

    def state(self, x: Float[Array, " m"]) -> State:
        kept, restore = ravel_pytree(self.like)
        return restore(x[: kept.size])


class Always(eqx.Module):
    """The family, or the rule, that makes the same of every value.

    Attributes:
        thing: The field, or the update.
    """

    thing: Any

    def __call__(self, value: Any) -> Any:
        return self.thing


def motion_of(family: Any, update: Any, like: State, args: Args, value: Scalar) -> AbstractMotion:
    """The equations of a branch.

    Args:
        family: From the parameter to a field, or one field, if the parameter is a step size.
        update: None, an update, or a rule, if the parameter is its step size.
        like: A state of the shapes.
        args: Handed to the field.
        value: One value of the parameter, at which the update is asked how it repeats.
    """
    if update is None:
        return OfFields(family=family, like=like, args=args)
    one_field = _checks.is_field(family)
    fields = Always(family) if one_field else family
    if isinstance(update, AbstractUpdate) and not one_field:
        rule: Any = Always(update)
    else:
        rule = maker(update, fields(value), like, args)
    typical = rule(value)
    if _checks.is_transformed():
        known = rhythm(typical, fields(value), like, args)
    else:
        known = known_rhythm(typical, fields(value), like, args, True)
    return OfSteps(family=fields, rule=rule, like=like, args=args, known=known)


def eigenvalues_to_show(values: Array, is_map: bool) -> Array:
    """The eigenvalues of the residual's Jacobian as those of a field, or as multipliers."""
    return values + jnp.ones((), values.dtype) if is_map else values


def restored(like: State, rows: np.ndarray) -> State:
    """States of flat ones, with any leading axes."""
    leaves, structure = jax.tree.flatten(like)
    sizes = [int(np.size(leaf)) for leaf in leaves]
    parts = np.split(rows, np.cumsum(sizes)[:-1], axis=-1)
    shaped = [
        jnp.asarray(np.reshape(part, (*rows.shape[:-1], *np.shape(leaf))), jnp.asarray(leaf).dtype)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shaped)
