"""Whether a state is what linear statements need: an equilibrium of a field without explicit time, finite and smooth.

All is told from a few velocities: beside the state at two short distances along fixed directions, at a longer
distance, and at other times.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report, yes
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, State

Need: TypeAlias = Literal["finite", "still", "smooth", "autonomous"]

ALL: tuple[Need, ...] = ("finite", "still", "smooth", "autonomous")
"""What a linear statement about an equilibrium needs."""
LINEAR: tuple[Need, ...] = ("finite", "smooth")
"""What a Jacobian needs, at any state."""

# A velocity counts as zero below this, relative to those near by, component by component. With the distance below, a
# hyperbolic equilibrium may be missed by 2e-7 (in float32 by 2e-5), times the root of the state's size.
STILL = 2e-3
# By the precision: the distance "near by", and the shorter of the two of one-sided differences, in few dimensions and
# in many. Both times the root of one plus the component's size, so that a large component is moved neither by its
# rounding nor by more than the field's own lengths; and no less than so many roundings of it. In many dimensions the
# shorter one is as short as it can be: the field of a network of rectifiers jumps at its kinks, which are as many as
# units times samples, and some are near.
_NEAR, _NEAR_ROUNDINGS = {4: 1e-2, 8: 1e-4}, 1e4
_STEP, _STEP_ROUNDINGS = {4: 1e-5, 8: 1e-9}, 1e2
_STEP_OF_MANY, _STEP_OF_MANY_ROUNDINGS = {4: 3e-8, 8: 1e-10}, 4.0
# The longer distance of one-sided differences, in steps. With it the error of a smooth field's difference grows a
# hundredfold, that of a kink stays, and that of a jump falls as much.
_LONGER = 100.0
_SHRINKS = 0.3
# A kink is seen from this part of the slope on.
_KINK = {4: 2e-2, 8: 1e-3}
# A velocity that at the longer distance is this part of what it is near by has jumped. Where it points to opposite
# sides, neither is smaller than this part of the other.
_JUMPED, _FACING = 0.5, 0.05
# Noise is measured in second differences, which for a smooth field are an eighth of the error of a first one.
_NOISE, _EVALUATION = 8.0, 32.0
# Neither short nor long, and in no simple ratio to anybody's period.
_TIMES = (0.6180339887, 7.389056099, 113.7346712, 13037.21871)
# Directions of no special kind, and in so many dimensions axes too. In few dimensions what one direction shows counts,
# in many what all show: each of them may cross kinks that are only near.
_DIRECTIONS, _AXES, _FEW = 3, 4, 16


@printed
class Inspection(eqx.Module):
    """What was seen at a state.

    Attributes:
        finite: Whether the field is finite at the state and close to it, on all sides.
        still: Whether it is an equilibrium: each component of the velocity is small against those near by, and where
            the field jumps, velocities on the two sides face each other.
        smooth: Whether the field has a derivative there, and automatic differentiation gives it.
        autonomous: Whether the velocity is the same at other times, at the state and near by.
        residual: The speed at the state.
        speed_nearby: The largest speed near by, about 1e-4 away (in float32 1e-2).
        unrest: The largest ratio, over the components, of the velocity to those near by: small at an equilibrium.
        mismatch: How far one-sided differences and the derivative are apart, relative to the slope; 0 where the field
            is smooth.
    """

    finite: Bool[Array, "*rows"]
    still: Bool[Array, "*rows"]
    smooth: Bool[Array, "*rows"]
    autonomous: Bool[Array, "*rows"]
    residual: Float[Array, "*rows"]
    speed_nearby: Float[Array, "*rows"]
    unrest: Float[Array, "*rows"]
    mismatch: Float[Array, "*rows"]

    def holds(self, needs: Sequence[Need] = ALL) -> Bool[Array, "*rows"]:
        """Whether all that is needed holds."""
        flags = [getattr(self, need) for need in needs]
        return functools.reduce(jnp.logical_and, flags, jnp.ones_like(self.finite))

    def _report(self) -> Report:
        words = {
            "finite": self.finite,
            "an equilibrium": self.still,
            "smooth": self.smooth,
            "autonomous": self.autonomous,
        }
        lines = {
            "speed": f"{number(self.residual)}, near by up to {number(self.speed_nearby)}",
            "unrest": f"{number(self.unrest)}, small at an equilibrium",
            "mismatch": f"{number(self.mismatch)}, zero where smooth",
        }
        return Report(
            "Inspection: " + ", ".join(f"{'' if yes(each) else 'not '}{word}" for word, each in words.items()), lines
        )


def require(
    field: Field,
    y: State,
    args: Args = None,
    *,
    t: RealScalarLike = 0.0,
    needs: Sequence[Need] = ALL,
    name: str = "y",
    check: bool = True,
) -> Bool[Array, ""]:
    """Refuses a state at which what is needed does not hold; under a transformation says so instead.

    Args:
        field: The field.
        y: The state.
        args: Handed to the field.
        t: Time.
        needs: What is needed.
        name: The argument that errors name.
        check: If not, nothing is looked at.

    Returns:
        Whether all holds. Make numbers NaN where it does not: `jnp.where(holds, value, jnp.nan)`.

    Raises:
        ValueError: If something does not hold, and the values are known.
    """
    return demand(inspect(field, y, args=args, t=t), needs, name) if check else jnp.asarray(True)


def demand(seen: Inspection, needs: Sequence[Need] = ALL, name: str = "y") -> Bool[Array, ""]:
    """`require`, of a state that was inspected."""
    if _checks.is_traced(seen):
        return seen.holds(needs)
    message = complaint(seen, needs, name)
    if message:
        raise ValueError(message)
    return jnp.asarray(True)


def nan_unless(holds: Bool[Array, ""], numbers: Any) -> Any:
    """The numbers, or NaN where what they need does not hold."""
    if not _checks.is_traced(holds):
        # Otherwise it was refused.
        return numbers
    return jax.tree.map(lambda leaf: jnp.where(holds, leaf, jnp.nan) if _is_inexact(leaf) else leaf, numbers)


def _is_inexact(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def complaint(seen: Inspection, needs: Sequence[Need] = ALL, name: str = "y") -> str:
    """What is needed and does not hold, with the remedy; empty if all holds. Needs concrete values."""
    if "finite" in needs and not seen.finite:
        return (
            f"`{name}` must be a state around which the field is finite, but the velocity there, or on one side of "
            "it, is not: stay away from the border of where the field is defined."
        )
    # Before all that is said of one time.
    if "autonomous" in needs and not seen.autonomous:
        return (
            f"`field` must have no explicit time, but its velocity at `{name}` changes with t: freeze the time by "
            "`lambda t, y, args: field(0.0, y, args)`, or make it a part of the state, with velocity 1."
        )
    if "smooth" in needs and not seen.smooth:
        return (
            f"`{name}` must be a state around which the field is smooth, but there the velocity jumps, has a kink, or "
            "has another derivative than automatic differentiation gives (relative to the slope, differences on two "
            f"sides and derivative are {float(seen.mismatch):.2g} apart): nothing is linear there. Follow trajectories "
            "instead, by `flow`, or take `check=False` for the derivative as it is."
        )
    if "still" in needs and not seen.still:
        return (
            f"`{name}` must be an equilibrium, but the velocity there is {float(seen.residual):.3g}, where near by it "
            f"is up to {float(seen.speed_nearby):.3g}: take `analysis.find_equilibrium(field, {name})`, or "
            "`check=False` for the linear part at any state."
        )
    return ""


@guarded("y")
def inspect(field: Field, y: State, *, args: Args = None, t: RealScalarLike = 0.0) -> Inspection:
    """Looks at a field around a state.

    About forty velocities and three products with the Jacobian, whatever the number of parameters. No derivative goes
    through it.

    Args:
        field: The field.
        y: The state.
        args: Handed to the field.
        t: Time.

    Returns:
        What was seen, as arrays: it works under `jax.vmap` and `jax.jit`.
    """
    y = state_of(y)
    velocities, changes = _look(field, y, args, t)
    # What is known needs no compiling.
    if not _checks.is_traced((velocities, changes)):
        velocities, changes = np.asarray(velocities), np.asarray(changes)
    return _judged(velocities, changes, _rounding(y))


def inspect_rows(field: Field, ys: State, args: Args, rows: Sequence[int]) -> list[Inspection]:
    """What is seen at some of many states, which are all looked at by one program; concrete."""
    velocities, changes = (np.asarray(part) for part in _look_at_all(field, ys, args))
    return [_judged(velocities[row], changes[row], _rounding(ys)) for row in rows]


@jit
def _look_at_all(field: Field, ys: State, args: Args) -> tuple[Array, Array]:
    return jax.vmap(lambda y: _look(field, y, args, 0.0))(ys)


def _judged(velocities: Any, changes: Any, rounding: float) -> Inspection:
    xp: Any = np if isinstance(velocities, np.ndarray) else jnp
    with np.errstate(all="ignore"):
        seen = _Velocities(xp, velocities, changes, rounding)
        mismatch, unrest = seen.mismatch(), seen.unrest()
        speeds = xp.sqrt(xp.sum(xp.square(_size(xp, seen.near)), axis=-1))
        found = {
            "finite": seen.is_finite(),
            "still": unrest <= STILL,
            "smooth": mismatch == 0,
            "autonomous": seen.is_autonomous(),
            "residual": xp.sqrt(xp.sum(xp.square(seen.here))),
            "speed_nearby": xp.max(speeds, initial=0),
            "unrest": unrest,
            "mismatch": mismatch,
        }
    return Inspection(**jax.tree.map(jnp.asarray, found))


@jit
def _look(field: Field, y: State, args: Args, t: RealScalarLike) -> tuple[Float[Array, "m n"], Float[Array, "k n"]]:
    """Velocities at the places of `_places`, and derivatives along directions over a step."""
    arrays, rest = eqx.partition((field, y, args), eqx.is_inexact_array)
    field, y, args = eqx.combine(jax.lax.stop_gradient(arrays), rest)
    x, restore = ravel_pytree(_wide(y))
    now = jax.lax.stop_gradient(jnp.asarray(t, x.dtype))
    rounding = _rounding(y)
    size, unit, ulp = _itemsize(rounding), jnp.sqrt(1 + jnp.abs(x)), rounding * jnp.abs(x)
    shortest = (_STEP[size], _STEP_ROUNDINGS) if x.size <= _FEW else (_STEP_OF_MANY[size], _STEP_OF_MANY_ROUNDINGS)
    step, near = shortest[0] * unit + shortest[1] * ulp, _NEAR[size] * unit + _NEAR_ROUNDINGS * ulp

    def velocity(t: Array, x: Array) -> Array:
        return ravel_pytree(field(t, restore(x), args))[0]

    def along(direction: Array) -> Array:
        return jax.jvp(lambda x: velocity(now, x), (x,), (direction * step,))[1]

    # One after the other, so that the field is compiled once and takes the memory of one.
    places = jax.tree.map(lambda part: jnp.asarray(part, x.dtype), _places(x.size))
    found = jax.lax.map(lambda place: velocity(now + place[0], x + place[1] * step + place[2] * near), places)
    return jax.lax.stop_gradient((found, jax.lax.map(along, jnp.asarray(_directions(x.size), x.dtype))))


# Multiples of a step along each direction: one, a long one, and two more, since second differences of three in a row
# are noise.
_MULTIPLES = (1.0, -1.0, _LONGER, -_LONGER, 1.25, 1.5, -1.25, -1.5)


def _places(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where to look: times from now, multiples of the step, and of the distance near by."""
    along = _directions(size)
    still, near = np.zeros((1, size)), np.concatenate([along, -along])
    steps = np.concatenate([multiple * along for multiple in _MULTIPLES])
    later = np.repeat(np.concatenate([still, along[:1]]), len(_TIMES), axis=0)
    clock = np.zeros(1 + len(steps) + len(near))
    return (
        np.concatenate([clock, _TIMES, _TIMES]),
        np.concatenate([still, steps, 0 * near, 0 * later]),
        np.concatenate([still, 0 * steps, near, later]),
    )


class _Velocities:
    """Velocities around a state, in NumPy or in JAX; those along directions have these as leading axis.

    Args:
        xp: Either.
        found: Velocities at the places of `_places`.
        change: The derivative along each direction, over one step.
        rounding: Of the state.
    """

    def __init__(self, xp: Any, found: Any, change: Any, rounding: float):
        num = len(_TIMES)
        self.xp, self.here, self.change, self.kink = xp, found[0], change, _KINK[_itemsize(rounding)]
        self.later = found[-2 * num :].reshape(2, num, -1)
        beside = found[1 : -2 * num].reshape(len(_MULTIPLES) + 2, *change.shape)
        self.above, self.below, self.far_above, self.far_below = beside[:4]
        self.near, self.around = beside[-2:].reshape(-1, change.shape[1]), beside
        self.now = xp.stack([self.here, beside[-2, 0]])
        bent = xp.abs(beside[:2] - 2 * beside[4:7:2] + beside[5:8:2])
        known = xp.max(_size(xp, self.around), axis=(0, 1), initial=0)
        # What a velocity is known to.
        self.rounding = _EVALUATION * rounding
        self.noise = _NOISE * xp.max(_size(xp, bent), axis=(0, 1), initial=0) + self.rounding * known

    def is_finite(self) -> Any:
        xp = self.xp
        return xp.all(xp.isfinite(self.here)) & xp.all(xp.isfinite(self.around[:4]))

    def mismatch(self) -> Any:
        """How far differences and the derivative are apart, relative to the slope; zero where the field is smooth."""
        xp = self.xp
        sides = xp.stack([self.above - self.here, self.here - self.below])
        far = xp.stack([self.far_above - self.here, self.here - self.far_below])
        error = xp.max(xp.abs(sides - self.change), axis=0)
        longer = xp.max(xp.abs(far / _LONGER - self.change), axis=0)
        slope = xp.maximum(xp.max(xp.abs(sides), axis=(0, 1)), xp.max(xp.abs(self.change), axis=0))
        excess = error - self.noise
        # Not by their opposites: what is not finite is rough.
        rough = self._shown(~((excess <= self.kink * slope) | (error <= _SHRINKS * longer)))
        relative = xp.max(excess, axis=0) / xp.where(slope > 0, slope, 1)
        relative = xp.where(xp.isfinite(relative), relative, np.inf)
        return xp.max(xp.where(rough, relative, 0), initial=0)

    def unrest(self) -> Any:
        """The largest ratio, over the components, of the velocity to those near by; infinite at the edge of a jump."""
        xp = self.xp
        near = xp.max(_size(xp, self.near), axis=0)
        usual = xp.maximum(near, xp.max(_size(xp, self.around[2:4]), axis=(0, 1)))
        floor = self.noise + self.rounding * xp.max(usual, initial=0)
        left = xp.maximum(xp.abs(self.here) - floor, 0)
        ratio = xp.where(left > 0, left / xp.where(usual > 0, usual, np.finfo(usual.dtype).tiny), 0)
        # A velocity that jumps rests between two that point to opposite sides, not at the edge of one.
        low, high = xp.minimum(self.far_above, self.far_below), xp.maximum(self.far_above, self.far_below)
        opposite = (low < 0) & (high > 0) & (xp.minimum(-low, high) > _FACING * xp.maximum(-low, high))
        jumped = xp.maximum(-low, high) > xp.maximum(_JUMPED * near, floor)
        at_edge = self._shown(jumped & ~opposite) & (ratio <= STILL)
        return xp.max(xp.where(xp.isfinite(ratio) & ~at_edge, ratio, np.inf), initial=0)

    def is_autonomous(self) -> Any:
        xp, now = self.xp, self.now[:, None]
        neither = ~xp.isfinite(self.later) & ~xp.isfinite(now)
        return xp.all((xp.abs(self.later - now) <= self.noise) | neither)

    def _shown(self, seen: Any) -> Any:
        """What directions show, by component."""
        return self.xp.any(seen, axis=0) if seen.shape[1] <= _FEW else self.xp.all(seen, axis=0)


def _size(xp: Any, velocities: Any) -> Any:
    """Absolute values, and zero for what is not finite: there the field says nothing of how fast it usually is."""
    return xp.where(xp.isfinite(velocities), xp.abs(velocities), 0)


def _wide(y: State) -> State:
    # Half precision has no digits for differences.
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.promote_types(jnp.result_type(leaf), jnp.float32)), y)


def _rounding(y: State) -> float:
    """Of the state: that of its narrowest leaf, and of float32 where that is narrower."""
    types = [jnp.promote_types(jnp.result_type(leaf), jnp.float32) for leaf in jax.tree.leaves(y)]
    return max((float(jnp.finfo(dtype).eps) for dtype in types), default=0.0)


def _directions(size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    some = rng.uniform(0.5, 1, (_DIRECTIONS, size)) * rng.choice([-1.0, 1.0], (_DIRECTIONS, size))
    return np.concatenate([np.eye(size), some]) if size <= _AXES else some


def _itemsize(rounding: float) -> int:
    return 8 if rounding < 1e-10 else 4
