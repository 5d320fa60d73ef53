"""A fixed point of an update, the map over a period there, and whether it is one at which the linear part tells."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _checks
from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate
from ..linearization._preconditions import STILL
from ._clock import time_zero
from ._rhythm import Rhythm

# By the precision: the distances, times the root of one plus a component's size, at which steps are looked at. The
# longer is that of an equilibrium that is known only so well, the shorter shows whether a step jumps.
_NEAR = {4: 1e-2, 8: 1e-4}
_BESIDE = {4: 1e-3, 8: 1e-8}
# The shorter distance is taken twice, once divided by this. A step that jumps, or has a kink, changes by as much or a
# sixteenth, one that is smooth without a linear part by a 256th.
_SHORTER, _FALLS = 16.0, 24.0
# So many times what its derivative says may a step change, if it is not to count as one that jumps.
_BLIND = 10.0
# Below this part of what they once were steps have died out.
_DEAD = 1e-6
_ROUNDINGS = 64.0
_DIRECTIONS = 2
# In no simple ratio to anything; how far motions at different times may be apart counts relative to that near by.
_TIMES, _SAME_MOTION = (0.6180339887, 7.389056099), 1e-3


def step_at_fixed_point(
    update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm
) -> tuple[Float[Array, " m"], Callable[..., Array]]:
    """A fixed point in flat form, memory after state, and the steps of a period as a map of such vectors."""
    here, memory = _start(update, field, y, args, rhythm, rhythm.late)
    flat, restore = ravel_pytree((here, rhythm.of_state(memory)))

    def step(x: Array, t: Array | None = None) -> Array:
        there, answering = restore(x)
        there, after = _period(update, field, t, there, args, rhythm.with_state(memory, answering), rhythm.period)
        return ravel_pytree((there, rhythm.of_state(after)))[0].astype(flat.dtype)

    return flat, step


def narrowest(update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm) -> int:
    """Bytes of the narrowest floating-point number among state and memory; at least 4."""
    like = jax.eval_shape(lambda: _numbers(update, field, y, args, rhythm))
    return max(4, min(leaf.dtype.itemsize for leaf in like))


def _start(
    update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm, clock: Sequence[Any]
) -> tuple[State, Any]:
    """The state, and the memory beside it as a period begins."""
    here = jax.tree.map(jnp.asarray, y)
    memory = rhythm.with_clock(update.init(field, here, args), rhythm.before)
    # One step at the fixed point moves nothing, but lowers the flags that some optimizers raise for their first step.
    _, memory = update.step(field, time_zero(here), here, args, memory)
    return here, rhythm.with_clock(memory, clock)


def _period(
    update: AbstractUpdate, field: Field, t: Array | None, y: State, args: Args, memory: Any, period: int
) -> tuple[State, Any]:
    now = time_zero(y) if t is None else t
    if period == 1:
        return update.step(field, now, y, args, memory)
    arrays, rest = eqx.partition((y, memory), eqx.is_array)

    def one(carry: Any, _: None) -> tuple[Any, None]:
        y, memory = eqx.combine(carry, rest)
        after = eqx.filter(update.step(field, now, y, args, memory), eqx.is_array)
        return jax.tree.map(lambda new, old: new.astype(old.dtype), after, carry), None

    return eqx.combine(jax.lax.scan(one, arrays, length=period)[0], rest)


class Standing(eqx.Module):
    """What was seen of an update at a state.

    Attributes:
        fixed: Whether it leaves the state where it is.
        rests: Whether the memory, as the rule starts it, stays as it is.
        sees: Whether the derivative tells of the steps: False for rules that jump, as by the sign.
        moves: Whether it still moves the states around, when its counters have run for long.
        repeats: Whether it repeats.
        timeless: Whether it does the same at other times.
        residual: By how much it moves the state, over a period.
        nearby: By how much at most states near by.
    """

    fixed: Bool[Array, ""]
    rests: Bool[Array, ""]
    sees: Bool[Array, ""]
    moves: Bool[Array, ""]
    repeats: Bool[Array, ""]
    timeless: Bool[Array, ""]
    residual: Scalar
    nearby: Scalar

    def holds(self) -> Bool[Array, ""]:
        """Whether the linear part of the step tells what becomes of small disturbances."""
        return self.fixed & self.rests & self.sees & self.moves & self.repeats & self.timeless


def look(update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm) -> Standing:
    """Looks at an update around a state: about ten times the steps of a period. No derivative goes through it."""
    arrays, rest = eqx.partition((update, field, y, args), eqx.is_inexact_array)
    update, field, y, args = eqx.combine(jax.lax.stop_gradient(arrays), rest)
    flat, step = step_at_fixed_point(update, field, y, args, rhythm)
    parts = _parts(update, field, y, args, rhythm)
    of_state, of_memory = parts[: len(jax.tree.leaves(y))], parts[len(jax.tree.leaves(y)) :]
    single = any(leaf.dtype.itemsize < 8 for leaf in jax.tree.leaves(y))
    rounding = _ROUNDINGS * float(jnp.finfo(jnp.float32 if single else flat.dtype).eps)
    along = _directions(flat, of_state[-1].stop)
    beside = _BESIDE[4 if single else 8]
    nears = _NEAR[4 if single else 8] * along
    moves = jnp.concatenate([jnp.zeros((1, flat.size), flat.dtype), nears, -nears])
    moves = jnp.concatenate([moves, beside * along, beside / _SHORTER * along, jnp.tile(nears[:1], (len(_TIMES), 1))])
    clock = time_zero(y).dtype
    times = jnp.zeros(len(moves), clock).at[-len(_TIMES) :].set(jnp.asarray(_TIMES, clock))

    def motion(x: Array, t: Array | None = None) -> Array:
        return step(x, t) - x

    # One after the other, so that the step is compiled once.
    found = jax.lax.map(lambda each: motion(flat + each[0], each[1]), (moves, times))
    slopes = jax.lax.map(lambda move: jax.jvp(motion, (flat,), (move,))[1], beside * along)
    here, near = found[0], jnp.max(_finite(found[1 : 1 + 2 * _DIRECTIONS]), axis=0)
    change, shorter = (found[1 + 2 * _DIRECTIONS : -len(_TIMES)] - here).reshape(2, _DIRECTIONS, flat.size)
    later = jnp.max(_finite(found[-len(_TIMES) :] - found[1]), axis=0)
    noise = rounding * jnp.abs(flat)

    def stays(part: slice) -> Array:
        return _largest(here[part]) <= STILL * _largest(near[part]) + _largest(noise[part])

    def seen(part: slice) -> Array:
        """Whether no step changes by more than its derivative says, and in proportion to the distance or less."""
        most = _BLIND * jnp.max(jnp.abs(slopes[:, part]), axis=1) + _largest(noise[part])
        steep = jnp.max(_finite(shorter[:, part]), axis=1) * _FALLS >= jnp.max(_finite(change[:, part]), axis=1)
        return ~jnp.any((jnp.max(_finite(change[:, part]), axis=1) > most) & steep)

    standing = Standing(
        fixed=jnp.all(jnp.stack([stays(part) for part in of_state])) & jnp.all(jnp.isfinite(here)),
        rests=jnp.all(jnp.stack([stays(part) for part in of_memory])) if of_memory else jnp.asarray(True),
        sees=jnp.all(jnp.stack([seen(part) for part in of_state])),
        moves=_moves(update, field, y, args, rhythm),
        repeats=rhythm.settled,
        timeless=jnp.all(jnp.stack([_largest(later[p]) <= _SAME_MOTION * _largest(near[p]) for p in parts])),
        residual=jnp.linalg.norm(here[: of_state[-1].stop]),
        nearby=jnp.linalg.norm(near[: of_state[-1].stop]),
    )
    return jax.lax.stop_gradient(standing)


def demand(seen: Standing, name: str = "update") -> Bool[Array, ""]:
    """Whether all holds; if not and the values are known, a `ValueError` that says what does not."""
    if not _checks.is_traced(seen):
        message = complaint(seen, name)
        if message:
            raise ValueError(message)
    return seen.holds()


def complaint(seen: Standing, name: str = "update") -> str:
    """What does not hold, with the remedy; empty if all holds. Needs concrete values."""
    if not seen.repeats:
        return (
            f"`{name}` must do the same again after some steps, but what it takes from its counters still changes when "
            "they have run for long: give the rule without a schedule, or take `check=False` for one step then."
        )
    if not seen.timeless:
        return (
            f"`{name}` must do the same at all times, but its steps change with t: make the time a part of its memory, "
            "as a counter of steps, or freeze it."
        )
    if not seen.sees:
        return (
            f"`{name}` must have a derivative at `y`, but it jumps there, or has a kink, as a rule does that steps by "
            "the sign of the gradient: nothing is linear there. Follow its orbits instead, by `iterate`."
        )
    if not seen.fixed:
        return (
            f"`{name}` must leave `y` where it is, but moves it by {float(seen.residual):.3g}, where near by it moves "
            f"states by up to {float(seen.nearby):.3g}: an equilibrium of the field is no fixed point of a rule that, "
            "for example, also decays weights. Make the decay a part of the field and find the equilibrium of that, or "
            "take `check=False` for the linear part at any state."
        )
    if not seen.rests:
        return (
            f"`{name}` must start with a memory that stays as it is at `y`, but its memory moves from there: start it "
            "at rest, for example `optax.rmsprop(rate, initial_scale=0.0)`, or take `check=False`."
        )
    if not seen.moves:
        return (
            f"`{name}` must go on moving, but its steps die out as its counters run on (a schedule that decays to "
            "zero): nothing is linear there but standing still. Give the rule with the step size of the time that you "
            "ask about, or take `check=False`."
        )
    return ""


def _moves(update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm) -> Array:
    """Whether late steps are not negligible beside early ones."""
    if not rhythm.earlier:
        return jnp.asarray(True)
    flat, restore = ravel_pytree(jax.tree.map(jnp.asarray, y))
    single = any(leaf.dtype.itemsize < 8 for leaf in jax.tree.leaves(y))
    there = restore(flat + _NEAR[4 if single else 8] * _directions(flat, flat.size)[0])
    _, memory = _start(update, field, y, args, rhythm, rhythm.late)

    def motion(clock: list[Array]) -> Array:
        after, _ = _period(update, field, None, there, args, rhythm.with_clock(memory, clock), rhythm.period)
        return jnp.stack([_largest(new - old) for new, old in zip(*map(jax.tree.leaves, (after, there)), strict=True)])

    clocks = [jnp.concatenate([late[None], some]) for late, some in zip(rhythm.late, rhythm.earlier, strict=True)]
    found = jax.lax.map(motion, clocks)
    return ~jnp.any(found[0] < _DEAD * jnp.max(_finite(found[1:]), axis=0))


def _directions(flat: Array, num: int) -> Array:
    """Along the state alone, in the units of each component."""
    rng = np.random.default_rng(0)
    along = rng.uniform(0.5, 1, (_DIRECTIONS, num)) * rng.choice([-1.0, 1.0], (_DIRECTIONS, num))
    along = jnp.asarray(along, flat.dtype) * jnp.sqrt(1 + jnp.abs(flat[:num]))
    return jnp.zeros((_DIRECTIONS, flat.size), flat.dtype).at[:, :num].set(along)


def _parts(update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm) -> list[slice]:
    """Where each leaf of the state, and then of the memory, stands in the flat vector."""
    like = jax.eval_shape(lambda: _numbers(update, field, y, args, rhythm))
    ends = np.cumsum([leaf.size for leaf in like])
    return [slice(int(end) - leaf.size, int(end)) for end, leaf in zip(ends, like, strict=True)]


def _numbers(update: AbstractUpdate, field: Field, y: State, args: Args, rhythm: Rhythm) -> list[Array]:
    here, memory = _start(update, field, y, args, rhythm, rhythm.late)
    return [*jax.tree.leaves(here), *rhythm.of_state(memory)]


def _largest(values: Array) -> Array:
    return jnp.max(jnp.abs(values), initial=0.0)


def _finite(values: Array) -> Array:
    return jnp.where(jnp.isfinite(values), jnp.abs(values), 0)
