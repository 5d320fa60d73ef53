"""When and where the flow comes back to the section through its start."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .. import _tree
from .._types import Args, Scalar
from ..simulate import OUTCOMES
from ._floquet import Section, Turn
from ._scales import FlatField

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


class Legs(eqx.Module):
    """The way from the start until the flow crosses the section through it in the same sense, near to it.

    The section is crossed on either side of the orbit in turn, against the flow at the start and along it. So the leg
    that starts on the section never waits for a crossing of its own sense. A leg ends with the step that crosses, and
    from there one Newton step tells the time of the crossing: near enough for a guess, and quicker to compile than a
    root finder inside the solve. If the section is crossed no more, it is laid once more through where the flow has
    gone.

    Attributes:
        y: Where the last leg ended.
        speed: Of the flow there.
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
    def start(cls, field: FlatField, y: Array, args: Args, restarts: Any = 0) -> "Legs":
        velocity, zero, no = field(0.0, y, args), jnp.zeros((), y.dtype), jnp.asarray(False)
        speed = jnp.linalg.norm(velocity)
        section = Section(y, velocity / speed, zero - 1)
        fit = jnp.all(jnp.isfinite(y)) & jnp.all(jnp.isfinite(section.normal))
        return cls(y, speed, section, zero, zero, zero, zero, y, jnp.asarray(0), no, jnp.asarray(restarts), fit)

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

    def after(self, field: FlatField, args: Args, leg: Turn) -> "Legs":
        """After one more leg."""
        crossed = self._crossed(leg.end, field(0.0, leg.end, args), self.time + leg.end_time)
        crossed = eqx.tree_at(lambda legs: legs.ok, crossed, leg.outcome == OUTCOMES.event)
        elsewhere = leg.ok & (self.restarts == 0)
        return _tree.where(elsewhere, Legs.start(field, leg.end, args, self.restarts + 1), crossed)

    def _crossed(self, y: Array, velocity: Array, time: Scalar) -> "Legs":
        """After a leg that crossed the section just before it got to `y`."""
        section = self.section
        crossing = time - section.height(y) / (section.normal @ velocity)
        returned = section.sign > 0
        size = jnp.where(returned, jnp.linalg.norm(y - self.opposite), self.size)
        return Legs(
            y=y,
            speed=jnp.linalg.norm(velocity),
            section=Section(section.origin, section.normal, -section.sign),
            time=time,
            last_return=jnp.where(returned, crossing, self.last_return),
            turn=jnp.where(returned, crossing - self.last_return, self.turn),
            size=size,
            opposite=jnp.where(returned, self.opposite, y),
            num_turns=self.num_turns + returned,
            near=returned & (jnp.linalg.norm(y - section.origin) < _NEAR * size),
            restarts=self.restarts,
            ok=self.ok,
        )
