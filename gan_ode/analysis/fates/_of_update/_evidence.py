"""What is known of an update's orbit, and what several questions ask of it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ...._lowering import jit
from ...._types import Args, Field, State
from ....updates import AbstractUpdate
from ...maps._multipliers import multipliers
from ...maps._rhythm import Rhythm, rhythm
from .._follower import Follower
from .._rest import as_equilibrium, Rest
from .._trapping_region import step_trap, TrappingRegion
from .._verdict import Verdict
from ._segments import Runner, Segment

# States at which an invariant is taken.
_OF_INVARIANT = 2048


class Evidence:
    """What is known of an orbit: its segments, the fixed point that it may come to, and how the rule repeats."""

    def __init__(
        self,
        update: AbstractUpdate,
        field: Field,
        y0: State,
        args: Args,
        follower: Follower,
        invariant: Callable | None,
    ):
        self.update, self.field, self.y0, self.args = update, field, y0, args
        self.follower, self.invariant = follower, invariant
        self.runner = Runner(update, field, y0, args)
        self.segments: list[Segment] = []
        self.rest: Rest | None = None
        self.size = float(np.max(np.abs(np.asarray(ravel_pytree(y0)[0], float))))
        try:
            self.rhythm: Rhythm | None = rhythm(update, field, y0, args, strict=False)
        except ValueError:
            self.rhythm = None
        # States are compared a whole period of the rule apart.
        self.period = 1 if self.rhythm is None else self.rhythm.period

    def verdict(self, kind: Any, reason: str, **numbers: Any) -> Verdict:
        """A verdict, with what is known beside it."""
        h = self.runner.step_size
        drift = float("nan")
        if self.invariant is not None and self.segments:
            along = np.concatenate([each.points for each in self.segments])
            points = along[np.linspace(0, len(along) - 1, _OF_INVARIANT).astype(int)]
            values = self.invariant(jax.vmap(self.follower.restore)(jnp.asarray(points, self.follower.dtype)))
            drift = float(np.max(np.abs(values - values[0])))
        rest = self.rest
        equilibrium = None if rest is None else as_equilibrium(self.follower, rest)
        return Verdict(
            kind, reason, self.runner.steps * h, equilibrium=equilibrium, invariant_drift=drift,
            eigenvalues=None if rest is None else self.multipliers(rest), **numbers,
        )  # fmt: skip

    def multipliers(self, rest: Rest) -> np.ndarray | None:
        """Those of a step at the fixed point; None if it has no linear part there."""
        y = self.follower.restore(jnp.asarray(rest.y, self.follower.dtype))
        try:
            return np.asarray(multipliers(self.update, self.field, y, args=self.args))
        except (ValueError, RuntimeError):
            # No linear part there: it is not smooth, or the rule never repeats.
            return None

    def trap(self, rest: Rest, segment: Segment) -> tuple[TrappingRegion, bool, float]:
        """The trap around a fixed point, whether a segment's end lies in it, and how far that is from its center."""
        assert self.rhythm is not None
        y = self.follower.restore(jnp.asarray(rest.y, self.follower.dtype))
        whole = jnp.asarray(segment.whole, self.follower.dtype)
        trap, held, gap = _trap_at(self.update, self.field, y, self.args, whole, self.rhythm)
        return trap, bool(held), float(gap)

    def is_not_repelled(self) -> bool:
        """Whether a fixed point is known that does not push orbits away."""
        rest = self.rest
        return rest is not None and self.rhythm is not None and not bool(self.trap(rest, self.segments[-1])[0].repels)

    def consecutive(self, times: int) -> np.ndarray:
        """So many segments of states that follow each other, a period of the rule apart."""
        return np.concatenate([self.runner.run(self.period).points[:-1] for _ in range(times)])


@jit
def _trap_at(
    update: AbstractUpdate, field: Field, y: State, args: Args, whole: Array, known: Rhythm
) -> tuple[TrappingRegion, Array, Array]:
    """The trap at a fixed point, whether it holds state and memory, and how far these are from its center."""
    _, memory = update.step(field, 0.0, y, args, update.init(field, y, args))
    center = ravel_pytree((y, eqx.filter(memory, eqx.is_inexact_array)))[0]
    # Not so near that all changes are rounding.
    least = jnp.cbrt(jnp.finfo(whole.dtype).eps).astype(whole.dtype) * (1 + jnp.linalg.norm(center))
    reach = jnp.maximum(1.01 * jnp.linalg.norm(whole - center), least)
    trap = step_trap(update, field, y, args, reach, known)
    return trap, trap.holds(whole), jnp.max(jnp.abs(whole - trap.center))
