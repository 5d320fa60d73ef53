"""Following many starts, by a flow or by an update, each until it is caught in a trap, has grown, or time is up."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from .. import _tree
from .._compiled import jit
from .._types import Args, Field, Scalar, State
from ..simulate import ensemble, Orbit, OUTCOMES
from ..updates import AbstractUpdate
from ._trap import Trap

# States of a flow in each of the two windows.
_WINDOW = 64


class Box(eqx.Module):
    """The smallest and the largest of each coordinate over a window of time."""

    low: Float[Array, " n"]
    high: Float[Array, " n"]

    def including(self, x: Float[Array, " n"], now: Bool[Array, ""]) -> "Box":
        """The box with one more point, if it is time for it."""
        low, high = jnp.minimum(self.low, x), jnp.maximum(self.high, x)
        return Box(jnp.where(now, low, self.low), jnp.where(now, high, self.high))


class Lane(eqx.Module):
    """Where one start has got to.

    Attributes:
        y: Its state.
        time: The time.
        index: The trap that it has entered, or -1.
        grown: Whether it is past all bounds.
        halfway: Its state at half of the time, or infinity if it ended before; for a flow.
        earlier: Its box over the third quarter of the time.
        later: Its box over the last quarter.
    """

    y: State
    time: Scalar
    index: Int[Array, ""]
    grown: Bool[Array, ""]
    halfway: State
    earlier: Box
    later: Box

    @property
    def done(self) -> Bool[Array, "*lanes"]:
        return (self.index >= 0) | self.grown


def which(traps: Trap, x: Float[Array, " n"]) -> Int[Array, ""]:
    """Number of the trap that holds the point, or -1."""
    holds = jax.vmap(lambda trap: trap.holds(x))(traps)
    return jnp.max(jnp.where(holds, jnp.arange(holds.shape[0]), -1), initial=-1)


class _Caught(eqx.Module):
    """An event: the orbit has entered a trap."""

    traps: Trap

    def __call__(self, t: Any, y: State, args: Args, **kwargs: Any) -> Bool[Array, ""]:
        return which(self.traps, ravel_pytree(y)[0]) >= 0


@jit
def follow_flow(starts: State, field: Field, duration: Array, traps: Trap, args: Args, options: dict[str, Any]) -> Lane:
    ts = duration * jnp.array([0.0, 0.5, 1.0], duration.dtype)
    orbits = ensemble(field, starts, ts, args=args, events=_Caught(traps), **options)

    def read(y0: State, orbit: Orbit) -> Lane:
        # An event is looked at after a step: who starts in a trap is there already.
        at_once = which(traps, ravel_pytree(y0)[0])
        index = jnp.where(at_once >= 0, at_once, which(traps, ravel_pytree(orbit.final_state)[0]))
        time = jnp.where(at_once >= 0, 0.0, orbit.final_time)
        # A flow that only grows exponentially is no blow-up to the solver.
        grown = (orbit.outcome == OUTCOMES.blow_up) | _past_all_bounds(orbit.final_state)
        halfway = jax.tree.map(lambda leaf: leaf[1], orbit.ys)
        return Lane(orbit.final_state, time, index, grown, halfway, _nowhere(y0), _nowhere(y0))

    return eqx.filter_vmap(read)(starts, orbits)


@jit
def look_again(halfway: State, field: Field, duration: Array, args: Args, options: dict[str, Any]) -> tuple[Box, Box]:
    """The boxes of a flow over the two quarters after half of the time."""
    ts = duration * jnp.linspace(0.5, 1.0, 2 * _WINDOW + 1, dtype=duration.dtype)
    orbits = ensemble(field, halfway, ts, args=args, **options)

    def around(points: Float[Array, "times n"]) -> Box:
        return Box(jnp.min(points, axis=0), jnp.max(points, axis=0))

    def read(ys: State) -> tuple[Box, Box]:
        points = jax.vmap(lambda y: ravel_pytree(y)[0])(ys)
        return around(points[: _WINDOW + 1]), around(points[_WINDOW:])

    return eqx.filter_vmap(read)(orbits.ys)


@jit
def follow_update(starts: State, update: AbstractUpdate, field: Field, steps: Array, traps: Trap, args: Args) -> Lane:
    step_size = update.step_size.astype(_tree.dtype(starts))

    def lane(n: Array, y: State, memory: Any, earlier: Box, later: Box) -> Lane:
        x = ravel_pytree((y, eqx.filter(memory, eqx.is_inexact_array)))[0]
        return Lane(y, step_size * n, which(traps, x), _past_all_bounds(y), y, earlier, later)

    def going(carry: tuple[Array, Any, Lane]) -> Array:
        n, _, at = carry
        return (n < steps) & ~at.done

    def step(carry: tuple[Array, Any, Lane]) -> tuple[Array, Any, Lane]:
        n, memory, at = carry
        y, memory = update.step(field, at.time, at.y, args, memory)
        x = ravel_pytree(y)[0]
        earlier = at.earlier.including(x, (2 * n >= steps) & (4 * n < 3 * steps))
        later = at.later.including(x, 4 * n >= 3 * steps)
        return n + 1, memory, lane(n + 1, y, memory, earlier, later)

    def follow(y0: State) -> Lane:
        memory, zero = update.init(field, y0, args), jnp.zeros_like(steps)
        first = lane(zero, y0, memory, _nowhere(y0), _nowhere(y0))
        return jax.lax.while_loop(going, step, (zero, memory, first))[2]

    return eqx.filter_vmap(follow)(starts)


def _past_all_bounds(y: State) -> Bool[Array, ""]:
    """Beyond the root of the largest number squares overflow; NaN is too large as well."""
    return ~(_tree.largest(y) < jnp.sqrt(jnp.finfo(_tree.dtype(y)).max))


def _nowhere(y: State) -> Box:
    x = ravel_pytree(y)[0]
    return Box(jnp.full_like(x, jnp.inf), jnp.full_like(x, -jnp.inf))
