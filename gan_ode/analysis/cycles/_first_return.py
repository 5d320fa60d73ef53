"""When and where the flow comes back to the section through its start."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ... import _tree
from ..._types import Args, Scalar
from ...simulate import OUTCOMES
from ._floquet import Section, Turn
from ._smallest_sizes import FlatField

# A return within this part of the orbit's size has gone around.
_NEAR = 0.3
# After so many turns without coming near the orbit has left its start for good: perhaps for a cycle that attracts it.
_MOST_TURNS = 8
# How long to wait for a crossing, in turns at the rate at which the velocity turns; and how often to wait on, so long
# at the rate where the flow has gone.
_TURNS, _WAITS = 100.0, 4


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


class Legs(eqx.Module):
    """The way from the start until the flow crosses the section through it in the same sense, near to it.

    The section is crossed on either side of the orbit in turn, against the flow at the start and along it. So the leg
    that starts on the section never waits for a crossing of its own sense. A leg ends with the step that crosses, and
    from there one Newton step tells the time of the crossing: near enough for a guess, and quicker to compile than a
    root finder inside the solve. How long to wait for it is told anew by how fast the flow turns where it is. If the
    section is crossed no more, it is laid once more through where the flow has gone.

    Attributes:
        y: Where the last leg ended.
        speed: Of the flow there.
        wait: How long the next one may take.
        num_waits: How often that was not enough.
        section: What the next one ends at.
        time: How long it took to there.
        last_return: When the section was last crossed along the flow at the start.
        turn: And how long that was after the time before.
        size: Distance between the two sides.
        opposite: Where the other side was last crossed.
        num_turns: How many turns were made.
        near: Whether the last one ended near to the start.
        restarts: How often the section was laid anew.
        ok: Whether the flow came to the section at all.
    """

    y: Float[Array, " n"]
    speed: Scalar
    wait: Scalar
    num_waits: Array
    section: Section
    time: Scalar
    last_return: Scalar
    turn: Scalar
    size: Scalar
    opposite: Float[Array, " n"]
    num_turns: Array
    near: Bool[Array, ""]
    restarts: Array
    ok: Bool[Array, ""]

    @classmethod
    def start(cls, y: Array, velocity: Array, wait: Scalar, restarts: Any = 0) -> "Legs":
        """From a point, where the flow has this velocity."""
        speed, zero, none = jnp.linalg.norm(velocity), jnp.zeros((), y.dtype), jnp.asarray(0)
        section = Section(y, velocity / speed, zero - 1)
        return cls(
            y=y,
            speed=speed,
            wait=wait,
            num_waits=none,
            section=section,
            time=zero,
            last_return=zero,
            turn=zero,
            size=zero,
            opposite=y,
            num_turns=none,
            near=jnp.asarray(False),
            restarts=jnp.asarray(restarts),
            ok=jnp.all(jnp.isfinite(y)) & jnp.all(jnp.isfinite(section.normal)),
        )

    @property
    def goes_on(self) -> Bool[Array, ""]:
        return self.ok & ~self.near & (self.num_turns < _MOST_TURNS)

    @property
    def guess(self) -> Return:
        return Return(
            y=jnp.where(self.near, self.section.origin, self.y),
            period=jnp.where(self.near, self.last_return, self.turn),
            size=self.size,
            found=self.ok,
        )

    def after(self, field: FlatField, args: Args, leg: Turn, wait: Scalar | None) -> "Legs":
        """After one more leg; how long to wait is chosen if it is None."""
        velocity, usual = velocity_and_wait(field, leg.end, args, wait)
        there = eqx.tree_at(
            lambda legs: (legs.y, legs.speed, legs.time, legs.wait),
            self,
            (leg.end, jnp.linalg.norm(velocity), self.time + leg.end_time, usual),
        )
        crossed = there._crossed(velocity)
        crossed = eqx.tree_at(lambda legs: legs.ok, crossed, leg.outcome == OUTCOMES.event)
        if wait is None:
            waits = leg.ok & (self.num_waits < _WAITS) & (there.speed > rounding(leg.end))
            later = eqx.tree_at(lambda legs: legs.num_waits, there, self.num_waits + 1)
            crossed = _tree.where(waits, later, crossed)
        else:
            waits = jnp.asarray(False)
        elsewhere = leg.ok & ~waits & (self.restarts == 0)
        return _tree.where(elsewhere, Legs.start(leg.end, velocity, usual, self.restarts + 1), crossed)

    def _crossed(self, velocity: Array) -> "Legs":
        """With the section crossed just before the state."""
        section = self.section
        late = section.height(self.y) / (section.normal @ velocity)
        # Long steps end far behind the section.
        y, crossing, returned = self.y - late * velocity, self.time - late, section.sign > 0
        size = jnp.where(returned, jnp.linalg.norm(y - self.opposite), self.size)
        return eqx.tree_at(
            _changed_by_a_crossing,
            self,
            (
                -section.sign,
                jnp.where(returned, crossing, self.last_return),
                jnp.where(returned, crossing - self.last_return, self.turn),
                size,
                jnp.where(returned, self.opposite, y),
                self.num_turns + returned,
                returned & (jnp.linalg.norm(y - section.origin) < _NEAR * size),
                jnp.zeros_like(self.num_waits),
            ),
        )


def _changed_by_a_crossing(legs: Any) -> tuple[Any, ...]:
    returns = legs.last_return, legs.turn, legs.size, legs.opposite, legs.num_turns, legs.near
    return legs.section.sign, *returns, legs.num_waits


def velocity_and_wait(field: FlatField, y: Array, args: Args, given: Scalar | None = None) -> tuple[Array, Scalar]:
    """The velocity, and how long to wait for a return, if that is not given: some turns at the velocity's rate.

    That is how fast it turns, or would change the state a thousandfold.
    """
    if given is not None:
        return field(0.0, y, args), given
    velocity, push = jax.linearize(lambda y: field(0.0, y, args), y)
    speed = jnp.linalg.norm(velocity)
    slowest = 1e-3 * speed / (1 + jnp.linalg.norm(y))
    return velocity, _TURNS * 2 * jnp.pi / jnp.maximum(jnp.linalg.norm(push(velocity)) / speed, slowest)


def rounding(y: Array) -> Scalar:
    """What of a velocity or a distance is none."""
    return 16 * jnp.finfo(y.dtype).eps * (1 + jnp.linalg.norm(y))
