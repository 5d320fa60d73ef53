"""When and where the flow comes back to the section through its start."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .. import _tree
from .._types import Args, Scalar
from ..simulate import OUTCOMES
from ._floquet import FlatField, Tolerances

# A return within this part of the orbit's size has gone around.
_NEAR = 0.3
# After so many turns without coming near the orbit has left its start for good: perhaps for a cycle that attracts it.
_MOST_TURNS = 8


class Return(eqx.Module):
    """A guess at a periodic orbit.

    Attributes:
        y: A point near it: the start; or if the flow does not come near it again, where the flow has gone.
        period: Time until the return.
        size: Distance between the two sides of the orbit on which it crosses the section.
        found: Whether the flow came back at all.
    """

    y: Float[Array, " n"]
    period: Scalar
    size: Scalar
    found: Bool[Array, ""]


class _Height(eqx.Module):
    """How far a state is beyond the section, or for `sign = -1` on this side of it."""

    origin: Float[Array, " n"]
    normal: Float[Array, " n"]
    sign: Scalar

    def __call__(self, t: Any, y: Float[Array, " n"], args: Args, **kwargs: Any) -> Scalar:
        return self.sign * (self.normal @ (y - self.origin))


class _Legs(eqx.Module):
    y: Float[Array, " n"]
    section: _Height
    time: Scalar
    last_return: Scalar
    turn: Scalar
    size: Scalar
    opposite: Float[Array, " n"]
    num_turns: Array
    near: Bool[Array, ""]
    restarts: Array
    ok: Bool[Array, ""]


def first_return(
    field: FlatField, y0: Float[Array, " n"], args: Args, tolerances: Tolerances, max_duration: Scalar
) -> Return:
    """Follows the flow from the start until it crosses the section through it in the same sense, near to it.

    The section is crossed on either side of the orbit in turn, against the flow at the start and along it. So the leg
    that starts on the section never waits for a crossing of its own sense. A leg ends with the step that crosses, and
    from there one Newton step tells the time of the crossing: near enough for a guess, and quicker to compile than a
    root finder inside the solve. If the section is crossed no more, it is laid once more through where the flow has
    gone.
    """
    zero, no = jnp.zeros((), y0.dtype), jnp.asarray(False)

    def start(y: Array, restarts: Array) -> _Legs:
        velocity = field(0.0, y, args)
        section = _Height(y, velocity / jnp.linalg.norm(velocity), zero - 1)
        fit = jnp.all(jnp.isfinite(y)) & jnp.all(jnp.isfinite(section.normal))
        return _Legs(y, section, zero, zero, zero, zero, y, jnp.asarray(0), no, restarts, fit)

    def leg(legs: _Legs) -> _Legs:
        ts = max_duration * jnp.arange(2, dtype=y0.dtype)
        orbit = tolerances.follow(field, legs.y, ts, args, events=diffrax.Event(legs.section, direction=True))
        elsewhere = (orbit.outcome == OUTCOMES.ok) & (legs.restarts == 0)
        after = _after(legs, field, args, orbit.final_state, legs.time + orbit.final_time)
        after = eqx.tree_at(lambda legs: legs.ok, after, orbit.outcome == OUTCOMES.event)
        return _tree.where(elsewhere, start(orbit.final_state, legs.restarts + 1), after)

    def goes_on(legs: _Legs) -> Bool[Array, ""]:
        return legs.ok & ~legs.near & (legs.num_turns < _MOST_TURNS)

    legs = jax.lax.while_loop(goes_on, leg, start(y0, jnp.asarray(0)))
    return Return(
        y=jnp.where(legs.near, legs.section.origin, legs.y),
        period=jnp.where(legs.near, legs.last_return, legs.turn),
        size=legs.size,
        found=legs.ok,
    )


def _after(legs: _Legs, field: FlatField, args: Args, y: Array, time: Scalar) -> _Legs:
    """After a leg that crossed the section just before it got to `y`."""
    section = legs.section
    late = section(time, y, args) / (section.sign * section.normal @ field(0.0, y, args))
    crossing = time - late
    returned = section.sign > 0
    size = jnp.where(returned, jnp.linalg.norm(y - legs.opposite), legs.size)
    return _Legs(
        y=y,
        section=_Height(section.origin, section.normal, -section.sign),
        time=time,
        last_return=jnp.where(returned, crossing, legs.last_return),
        turn=jnp.where(returned, crossing - legs.last_return, legs.turn),
        size=size,
        opposite=jnp.where(returned, legs.opposite, y),
        num_turns=legs.num_turns + returned,
        near=returned & (jnp.linalg.norm(y - section.origin) < _NEAR * size),
        restarts=legs.restarts,
        ok=legs.ok,
    )
