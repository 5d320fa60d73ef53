"""Following many starts, by a flow or by an update, each until it is caught in a trap, has grown, or time is up."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from ... import _tree
from ..._growth import bound, Sizes
from ..._lowering import jit
from ..._types import Args, Field, Scalar, State
from ...simulate import ensemble, Orbit, OUTCOMES
from ...updates import AbstractUpdate

# States of a flow in each of the two windows.
_WINDOW = 64


class Box(eqx.Module):
    """The smallest and the largest of each coordinate over a window of time."""

    low: Float[Array, "*lanes n"]
    high: Float[Array, "*lanes n"]

    def including(self, x: Float[Array, " n"], now: Bool[Array, ""]) -> "Box":
        """The box with one more point, if it is time for it."""
        low, high = jnp.minimum(self.low, x), jnp.maximum(self.high, x)
        return Box(jnp.where(now, low, self.low), jnp.where(now, high, self.high))


class Lane(eqx.Module):
    """Where one start has got to.

    Attributes:
        y: Its state; the last finite one.
        time: The time.
        index: Which of the sets to be caught in it has entered, or -1.
        grown: Whether it is past all bounds.
        nonfinite: Whether the field is not finite where it is.
        failed: Whether it could not be followed any further for another reason.
        resume: What it is looked at again from: for a flow its state at half of the time, or infinity if it ended
            before; for an update its state and memory at the end.
    """

    y: State
    time: Scalar
    index: Int[Array, ""]
    grown: Bool[Array, ""]
    nonfinite: Bool[Array, ""]
    failed: Bool[Array, ""]
    resume: Any

    @property
    def done(self) -> Any:
        """Whether its fate is known."""
        return (self.index >= 0) | self.grown


class Look(eqx.Module):
    """How a start moves in the end, of those of which nothing is known.

    Attributes:
        earlier: Its box over the third quarter of the time.
        later: Its box over the last quarter.
        reversals: How often each coordinate turns back in a quarter of the time: of a flow on the average of the last
            two, of an update in the quarter after the end.
    """

    earlier: Box
    later: Box
    reversals: Float[Array | np.ndarray, "*lanes n"]


def which(catches: Any, x: Float[Array, " n"], step: Int[Array, ""] | None = None) -> Int[Array, ""]:
    """Number of the set that holds the point, or -1.

    Args:
        catches: Sets with a leading axis, and methods `holds` and `speaks`.
        x: The point.
        step: After how many steps of an update it was reached.
    """

    def holds(catch: Any) -> Bool[Array, ""]:
        return catch.holds(x) if step is None else catch.holds(x) & catch.speaks(step)

    found = jax.vmap(holds)(catches)
    return jnp.max(jnp.where(found, jnp.arange(found.shape[0]), -1), initial=-1)


class _Caught(eqx.Module):
    """An event: the orbit has entered one of the sets."""

    catches: Any

    def __call__(self, t: Any, y: State, args: Args, **kwargs: Any) -> Bool[Array, ""]:
        return which(self.catches, ravel_pytree(y)[0]) >= 0


@jit
def follow_flow(
    starts: State, field: Field, duration: Array, catches: Any, args: Args, options: dict[str, Any]
) -> Lane:
    """Each start until it enters one of the sets, or leaves all bounds, or the time is up."""
    ts = duration * jnp.array([0.0, 0.5, 1.0], duration.dtype)
    orbits = ensemble(field, starts, ts, args=args, events=_Caught(catches), **options)

    def read(y0: State, orbit: Orbit) -> Lane:
        # An event is looked at after a step: who starts in such a set is there already.
        at_once = which(catches, ravel_pytree(y0)[0])
        size = _tree.largest(orbit.final_state)
        # A flow that only grows exponentially is no blow-up to the solver.
        grown = (orbit.outcome == OUTCOMES.blow_up) | (size >= bound(size.dtype))
        nonfinite = (orbit.outcome == OUTCOMES.nonfinite_field) | (jnp.isnan(size) & ~grown)
        usual = (orbit.outcome == OUTCOMES.ok) | (orbit.outcome == OUTCOMES.event)
        return Lane(
            y=orbit.final_state,
            time=jnp.where(at_once >= 0, 0.0, orbit.final_time),
            index=jnp.where(at_once >= 0, at_once, which(catches, ravel_pytree(orbit.final_state)[0])),
            grown=grown,
            nonfinite=nonfinite,
            failed=~(usual | grown | nonfinite),
            resume=jax.tree.map(lambda leaf: leaf[1], orbit.ys),
        )

    return eqx.filter_vmap(read)(starts, orbits)


@jit
def look_again(halfway: State, field: Field, duration: Array, args: Args, options: dict[str, Any]) -> Look:
    """How a flow moves in the second half of the time."""
    # Uneven, or a turn that takes as long as from one to the next would look like rest.
    j = np.arange(2 * _WINDOW + 1)
    shares = 0.5 + 0.5 * (j + 0.4 * np.sin(1.3 * j**2) * ((j > 0) & (j < 2 * _WINDOW))) / (2 * _WINDOW)
    orbits = ensemble(field, halfway, duration * jnp.asarray(shares, duration.dtype), args=args, **options)

    def around(points: Float[Array, "times n"]) -> Box:
        return Box(jnp.min(points, axis=0), jnp.max(points, axis=0))

    def read(ys: State) -> Look:
        points = jax.vmap(lambda y: ravel_pytree(y)[0])(ys)
        ahead = jnp.diff(points, axis=0)
        reversals = jnp.sum(ahead[1:] * ahead[:-1] < 0, axis=0) / 2
        return Look(around(points[: _WINDOW + 1]), around(points[_WINDOW:]), reversals)

    return eqx.filter_vmap(read)(orbits.ys)


class _InShares(eqx.Module):
    """A flow in shares of a time of its own."""

    field: Field

    def __call__(self, share: Any, state: tuple[State, Array], args: Args) -> tuple[State, Array]:
        y, time = state
        return _tree.scale(time, self.field(share * time, y, args)), jnp.zeros_like(time)


@jit
def follow_until(members: tuple[State, Array], field: Field, args: Args, options: dict[str, Any]) -> State:
    """The states of a flow from some starts, each after a time of its own."""
    ts = jnp.array([0.0, 1.0], members[1].dtype)
    return ensemble(_InShares(field), members, ts, args=args, **options).final_state[0]


class Steps(eqx.Module):
    """An update on a field, with what it is called with.

    Attributes:
        update: The update.
        field: The field.
        args: Handed to the field.
        duration: The time that it is followed for.
    """

    update: AbstractUpdate
    field: Field
    args: Args
    duration: Array

    @property
    def size(self) -> Array:
        return self.update.step_size.astype(self.duration.dtype)

    @property
    def number(self) -> Array:
        """How many steps fill the duration."""
        # Rounded up, except where the quotient is whole but for rounding.
        return jnp.ceil(self.duration / self.update.step_size - 1e-6).astype(int)

    def start(self, y: State) -> Any:
        return self.update.init(self.field, y, self.args)

    def step(self, n: Any, y: State, memory: Any) -> tuple[State, Any]:
        """The step of number `n`, from 0."""
        return self.update.step(self.field, self.size * n, y, self.args, memory)


def vector(y: State, memory: Any) -> Float[Array, " m"]:
    """State and memory of an update as a vector, the state first."""
    return ravel_pytree((y, eqx.filter(memory, eqx.is_inexact_array)))[0]


@jit
def follow_update(starts: State, steps: Steps, catches: Any) -> tuple[Lane, tuple[Box, Box]]:
    """Likewise for an update; with its boxes over the third and the last quarter of the time."""
    num, may_fail = steps.number, getattr(steps.update, "may_fail", False)

    def lane(n: Array, y: State, memory: Any, lost: Bool[Array, ""], grown: Bool[Array, ""]) -> Lane:
        index = jnp.where(lost, -1, which(catches, vector(y, memory), n))
        no = jnp.asarray(False)
        nonfinite, failed = (no, lost & ~grown) if may_fail else (lost & ~grown, no)
        return Lane(y, steps.size * n, index, grown, nonfinite, failed, (y, memory))

    def going(carry: Any) -> Array:
        n, at, *_ = carry
        return (n < num) & ~(at.done | at.nonfinite | at.failed)

    def step(carry: Any) -> Any:
        n, at, sizes, earlier, later = carry
        y, memory = steps.step(n, *at.resume)
        sizes, finite = sizes.then(y)
        grown = jnp.where(finite, sizes.last > bound(sizes.last.dtype), sizes.grew)
        x = vector(y, memory)
        earlier = earlier.including(x, (2 * n >= num) & (4 * n < 3 * num))
        later = later.including(x, 4 * n >= 3 * num)
        return n + 1, lane(n + 1, _tree.where(finite, y, at.y), memory, ~finite, grown), sizes, earlier, later

    def follow(y0: State) -> tuple[Lane, tuple[Box, Box]]:
        memory, zero, no = steps.start(y0), jnp.zeros_like(num), jnp.asarray(False)
        nowhere = _nowhere(vector(y0, memory))
        carry = (zero, lane(zero, y0, memory, no, no), Sizes.of(y0), nowhere, nowhere)
        _, at, _, earlier, later = jax.lax.while_loop(going, step, carry)
        return at, (earlier, later)

    return eqx.filter_vmap(follow)(starts)


@jit
def look_further(resume: Any, steps: Steps) -> Float[Array, "lanes n"]:
    """How often each coordinate turns back in as many steps after the end as there were in the last quarter."""
    num = jnp.maximum(steps.number // 4, 16)

    def step(carry: Any) -> Any:
        n, y, memory, x, ahead, reversals = carry
        y, memory = steps.step(steps.number + n, y, memory)
        then = vector(y, memory)
        return n + 1, y, memory, then, then - x, reversals + ((then - x) * ahead < 0)

    def follow(resume: Any) -> Array:
        y, memory = resume
        x = vector(y, memory)
        carry = (jnp.zeros_like(num), y, memory, x, jnp.zeros_like(x), jnp.zeros_like(x))
        return jax.lax.while_loop(lambda carry: carry[0] < num, step, carry)[-1]

    return eqx.filter_vmap(follow)(resume)


def _nowhere(x: Float[Array, " n"]) -> Box:
    return Box(jnp.full_like(x, jnp.inf), jnp.full_like(x, -jnp.inf))
