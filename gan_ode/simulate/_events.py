"""Events that begin at zero, and of several events in one step the first: what Diffrax leaves to chance."""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .. import _tree
from .._types import Args, Scalar, State
from ._orbit import Orbit, OUTCOMES


class Leaving(eqx.Module):
    """A condition that counts a start on its own surface as lying on the side to which the orbit leaves it.

    Diffrax sees a change of sign there, from zero, and stops where it starts.

    Attributes:
        condition: The condition.
        t0: The time of the start.
        side: What stands for zero there: a tiny number of the sign that the condition takes on next.
    """

    condition: Callable
    t0: Scalar
    side: Scalar

    def __call__(self, t: Any, y: State, args: Args, **kwargs: Any) -> Any:
        value = self.condition(t, y, args, **kwargs)
        if not _is_number(value):
            return value
        return jnp.where((value == 0) & (t == self.t0), self.side.astype(value.dtype), value)


def leaving(event: diffrax.Event, terms: Any, t0: Scalar, t1: Scalar, y0: State, args: Args, **known: Any) -> Any:
    """The conditions of an event, each told to which side of its surface the orbit starts.

    The orbit is looked at a small Euler step later, so that conditions need no derivative.

    Args:
        event: The event.
        terms: The Diffrax term of the field.
        t0: The time of the start.
        t1: The last time.
        y0: The start.
        args: Handed to the field.
        known: What else Diffrax hands to conditions.
    """
    velocity = terms.vf(t0, y0, args)
    speed, eps = _tree.norm(velocity), jnp.finfo(t0.dtype).eps
    reach = jnp.sqrt(eps) * (1 + _tree.norm(y0)) / jnp.where(speed > 0, speed, 1)
    ahead = jnp.clip(reach, 4 * eps * (1 + jnp.abs(t0)), t1 - t0).astype(t0.dtype)

    def one(condition: Callable) -> Callable:
        given = {"terms": terms, "t0": t0, "t1": t1, **known}
        value = condition(t0 + ahead, _tree.step(y0, ahead, velocity), args, **given)
        if not _is_number(value):
            return condition
        side = jnp.sign(value) * jnp.finfo(jnp.result_type(value)).tiny
        return Leaving(condition, jax.lax.stop_gradient(t0), jax.lax.stop_gradient(side))

    return jax.tree.map(one, event.cond_fn, is_leaf=callable)


def earliest(
    event: diffrax.Event, orbit: Orbit, start: Any, end: Any, follow: Callable[[diffrax.Event], Orbit]
) -> Orbit:
    """The orbit to the first event, where several have happened in the last step: Diffrax takes the one listed first.

    Args:
        event: The event, with a root finder.
        orbit: The orbit that one of its conditions has stopped.
        start: The values of the conditions at the start.
        end: Those at the end of the orbit.
        follow: The orbit with another event.
    """
    conditions, structure = jax.tree.flatten(event.cond_fn, is_leaf=callable)
    directions = jax.tree.leaves(event.direction, is_leaf=lambda leaf: leaf is None)
    hits = map(bool, jax.tree.leaves(orbit.event_mask))
    for i, (old, new, direction, hit) in enumerate(zip(start, end, directions, hits, strict=True)):
        if not hit and _may_have_happened(old, new, direction):
            alone = follow(diffrax.Event(conditions[i], event.root_finder, direction))
            if alone.outcome == OUTCOMES.event and alone.final_time < orbit.final_time:
                mask = jax.tree.unflatten(structure, [jnp.asarray(j == i) for j in range(len(conditions))])
                orbit = dataclasses.replace(alone, event_mask=mask)
    return orbit


def _may_have_happened(old: Array, new: Array, direction: bool | None) -> bool:
    if not _is_number(new):
        return False
    # Of one direction only, it may have gone the other way before: then all that is known is where it is now.
    return bool(jnp.sign(old) != jnp.sign(new)) if direction is None else bool((new > 0) == direction)


def _is_number(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)
