"""Equilibria at given values of a parameter, followed from each to the next by the branch's length.

Between two values the branch is walked along in steps across its tangent, so that a place where it turns back is met
as such: there the equilibrium is lost, and what Newton's method would find beyond it is never looked for.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from ... import _checks, _tree
from ..._problem import state_of
from ..._types import Args, Field, Scalar, State
from ..equilibria._newton import at_root
from ..linearization._preconditions import complaint, inspect, Inspection
from ._bordered import FLAT
from ._corrector import Chart, ENOUGH, linearized, where
from ._motion import AbstractMotion, OfFields
from ._roots import root, velocity_and_jacobian, with_derivative
from ._trace import aimed

Family: TypeAlias = Callable[[Any], Field]
"""From a parameter, a scalar array, to a field."""

# The longest step, in units of the interval between two values or of the state's size, and the shortest.
_LONGEST = 0.5
_SHORTEST = {4: 1e-4, 8: 1e-8}
_GROWS, _SHRINKS = 2.0, 0.3
# So that a step does not end short of the next value by rounding alone.
_A_LITTLE_MORE = 1 + 1e-6
# A step ends on the branch it started on if the tangents at both ends differ by less than this angle (its cosine) and
# it goes along their mean, up to a part of its length. That is asked of the state and of the parameter
# alone too, relative to how little each moves: else a branch that turns back and forth within one step would not be
# seen. Of the state up to a part of its size, as well as Newton's method finds it where the Jacobian vanishes.
_COSINE, _ALONG, _STEEPER, _ALONE = 0.85, 0.01, 4.0, 0.1
_REST = {4: 1e-2, 8: 1e-5}
# Newton's steps shrink by this at least. At a singular Jacobian they halve.
_CONTRACTS, _FIRST_CONTRACTS = 0.7, 0.5
_NEWTON_STEPS, _MOST_STEPS = 30, 3000
# A slope below this part of the largest says nothing of the branch's direction. A short step.
_VANISHES, _SHORT = 1e-9, 0.05


class Followed(eqx.Module):
    """Equilibria along the values of a parameter, and the field there.

    Attributes:
        ys: The states, with a leading axis.
        velocities: Zero, but where the equilibrium was lost.
        matrices: The Jacobians.
        seen: What was seen there.
        found: Where the state is the equilibrium that was followed, and the field has a linear part.
    """

    ys: State
    velocities: Float[Array, "values n"]
    matrices: Float[Array, "values n n"]
    seen: Inspection
    found: Bool[Array, " values"]


def follow(family: Family, values: Float[Array, " values"], y: State | Callable, args: Args, check: bool) -> Followed:
    """The equilibria along the values, each from the one before it unless a function gives them.

    An equilibrium is lost for good where the branch turns back, or ends, or Newton's method finds none.
    """
    ys, joined = (
        (jax.vmap(lambda value: state_of(y(value)))(values), jnp.ones(values.shape, bool))
        if callable(y)
        else _follow(family, values, y, args)
    )

    def look(value: Scalar, there: State) -> tuple[Any, Inspection, State]:
        # All from one field, which is made once.
        field = family(value)
        there = there if callable(y) else with_derivative(field, there, args)
        return velocity_and_jacobian(field, there, args), inspect(field, there, args=args), there

    (velocities, matrices), seen, ys = jax.vmap(look)(values, ys)
    if not check:
        return Followed(ys, velocities, matrices, seen, jnp.ones(values.shape, bool))
    if not callable(y):
        itemsize = max(jnp.dtype(_tree.dtype(ys)).itemsize, 4)
        joined = jnp.cumprod(joined & at_root(seen, itemsize)).astype(bool)
    found = joined & seen.holds()
    return Followed(ys, velocities, matrices, seen, found)


def equilibrium_at(
    family: Family,
    ends: tuple[Scalar, Scalar],
    y: State | Callable,
    args: Args,
    toward: State | None = None,
    scale: Scalar | None = None,
) -> State:
    """The equilibrium at one value, followed from another, or a function's value. Differentiable in the family.

    Args:
        family: From the parameter to a field.
        ends: The value at which the state is the equilibrium, and the other one.
        y: The state, or a function from the parameter to it.
        args: Handed to the field.
        toward: A state near the equilibrium at the other value, which says which way to go where branches cross.
        scale: How large the Jacobian usually is.
    """
    if callable(y):
        return state_of(y(ends[1]))
    x, restore = ravel_pytree(jax.lax.stop_gradient(jax.tree.map(jnp.asarray, y)))
    motion = OfFields(family=family, like=jax.lax.stop_gradient(y), args=args)
    low, high = (jax.lax.stop_gradient(end).astype(x.dtype) for end in ends)
    size = jnp.maximum(jnp.linalg.norm(x), 1)
    aim = jnp.zeros_like(x) if toward is None else (ravel_pytree(jax.lax.stop_gradient(toward))[0] - x) / size
    usual = jnp.zeros((), x.dtype) if scale is None else jax.lax.stop_gradient(scale).astype(x.dtype)
    width = jnp.where(high == low, 1, high - low)
    start = _Place(x, jnp.append(aim, width), usual, jnp.asarray(True))
    there = _to_the_next(motion, start, (low, high), size)
    return with_derivative(family(ends[1]), restore(there.x), args)


def refuse_if_nothing(found: Bool[Array, " values"], seen: Inspection) -> None:
    """Raises if the values are known and there is no equilibrium at any."""
    if _checks.is_traced((found, seen)) or np.any(found):
        return
    first = jax.tree.map(lambda leaf: leaf[0], seen)
    raise ValueError(complaint(first) or "`y` must be an equilibrium at the first of `values`, but is none.")


class _Place(eqx.Module):
    """A place on the branch, at a value.

    Attributes:
        x: The flat state.
        rate: The branch's direction: of the state in its size, and of the parameter.
        scale: The largest slope of the residual so far.
        alive: Whether the branch was followed so far.
    """

    x: Float[Array, " n"]
    rate: Float[Array, " z"]
    scale: Scalar
    alive: Bool[Array, ""]


def _follow(family: Family, values: Array, y: State, args: Args) -> tuple[State, Bool[Array, " values"]]:
    """The branch from value to value, and where it was still followed."""
    y, values = jax.tree.map(jnp.asarray, y), jax.lax.stop_gradient(values)
    x, restore = ravel_pytree(root(family(values[0]), y, args))
    motion = OfFields(family=family, like=jax.lax.stop_gradient(y), args=args)
    size = jnp.maximum(jnp.linalg.norm(x), 1)
    start = _Place(x, jnp.zeros(x.size + 1, x.dtype).at[-1].set(1), jnp.zeros((), x.dtype), jnp.asarray(True))

    def go(here: _Place, ends: tuple[Array, Array]) -> tuple[_Place, tuple[Array, Array]]:
        there = _to_the_next(motion, here, ends, size)
        return there, (there.x, there.alive)

    _, (rest, alive) = jax.lax.scan(go, start, (values[:-1].astype(x.dtype), values[1:].astype(x.dtype)))
    xs = jnp.concatenate([x[None], rest])
    return jax.vmap(restore)(xs), jnp.concatenate([jnp.ones(1, bool), alive])


class _Walk(eqx.Module):
    """Where the walk from one value to the next is: a point that is done, and Newton's method toward another.

    Attributes:
        z: The last point that is on the branch.
        tangent: The branch's tangent there.
        scale: The largest slope of the residual so far.
        step: How far the next point is to be.
        trial: Where Newton's method is.
        shift: The length of its last step.
        newton: How many it has made.
        count: How many there were in all.
        arrived: Whether the last point is at the next value.
        lost: Whether the branch turned back, or no step is short enough.
    """

    z: Float[Array, " z"]
    tangent: Float[Array, " z"]
    scale: Scalar
    step: Scalar
    trial: Float[Array, " z"]
    shift: Scalar
    newton: Int[Array, ""]
    count: Int[Array, ""]
    arrived: Bool[Array, ""]
    lost: Bool[Array, ""]


def _to_the_next(motion: AbstractMotion, place: _Place, ends: tuple[Array, Array], size: Scalar) -> _Place:
    """Along the branch from one value to another."""
    low, high = ends
    moves = low != high
    chart = Chart(size, low, jnp.where(moves, high - low, 1))

    def goes_on(walk: _Walk) -> Array:
        return ~walk.arrived & ~walk.lost & (walk.count < _MOST_STEPS)

    z = chart.coordinates(place.x, low)
    # The direction that the branch came from, unless the parameter goes back.
    came = place.rate.at[-1].divide(chart.width)
    came = came * jnp.where(came[-1] < 0, -1, 1) / jnp.linalg.norm(came)
    infinite, none = jnp.full((), jnp.inf, z.dtype), jnp.asarray(0)
    # A step of no length first, which gives the tangent.
    start = _Walk(z, came, place.scale, jnp.zeros((), z.dtype), z, infinite, none, none, ~moves, ~place.alive)
    end = jax.lax.while_loop(goes_on, lambda walk: _advanced(motion, chart, walk), start)
    rate = end.tangent.at[-1].multiply(chart.width)
    return _Place(chart.flat(end.z), rate, end.scale, place.alive & end.arrived)


def _advanced(motion: AbstractMotion, chart: Chart, walk: _Walk) -> _Walk:
    """One of Newton's steps, after which the point is kept, given up, or looked at again.

    All of it is one pass, so that the field is compiled once.
    """
    itemsize = max(walk.z.dtype.itemsize, 4)
    is_first = walk.step == 0
    across, reach, at_border = aimed(walk.z, walk.tangent, _A_LITTLE_MORE * walk.step)
    aim, guess = jnp.where(is_first, walk.tangent, across), walk.z + reach * walk.tangent
    # No derivative goes through a walk.
    residual, slope = jax.lax.stop_gradient(linearized(motion, chart, walk.trial))
    slope_size = jnp.max(jnp.abs(slope))
    unit = jnp.where(slope_size > 0, slope_size, 1)
    change = _solved(slope / unit, aim, jnp.append(residual / unit, aim @ (walk.trial - guess)))
    shift = jnp.linalg.norm(change)
    rounding = jnp.finfo(residual.dtype).eps * jnp.linalg.norm(jnp.abs(slope) @ jnp.abs(walk.trial))
    settled = (jnp.linalg.norm(residual) <= rounding) & ((walk.newton > 0) | is_first)
    done = settled | (shift <= ENOUGH[itemsize] * (1 + jnp.linalg.norm(walk.trial)))
    there = jnp.where(settled, walk.trial, walk.trial - change)
    # Where branches cross the slope may vanish: what is left of it is rounding, and the branch goes on as before.
    ahead = jnp.where(slope_size > _VANISHES * walk.scale, _ahead(slope / unit, walk.tangent), walk.tangent)
    good = done & jnp.isfinite(shift) & (is_first | _stays(walk, there, ahead, reach, at_border))
    slow = shift > jnp.where(walk.newton == 1, _FIRST_CONTRACTS, _CONTRACTS) * walk.shift
    gave_up = ~jnp.isfinite(shift) | (done & ~good) | (~done & (slow | (walk.newton >= _NEWTON_STEPS)))
    longer = jnp.where(is_first, _LONGEST, jnp.minimum(_GROWS * walk.step, _LONGEST)).astype(walk.step.dtype)
    step = jnp.where(good, longer, jnp.where(gave_up, _SHRINKS * walk.step, walk.step))
    z, tangent = where(good, (there, ahead), (walk.z, walk.tangent))
    onward = z + aimed(z, tangent, _A_LITTLE_MORE * step)[1] * tangent
    fresh = good | gave_up
    return _Walk(
        z=z,
        tangent=tangent,
        scale=jnp.where(good, jnp.maximum(walk.scale, slope_size), walk.scale),
        step=step,
        trial=jnp.where(fresh, onward, there),
        shift=jnp.where(fresh, jnp.inf, shift),
        newton=jnp.where(fresh, 0, walk.newton + 1),
        count=walk.count + 1,
        arrived=good & at_border & ~is_first,
        lost=(gave_up & (step < _SHORTEST[itemsize])) | (good & (ahead[-1] <= 0)),
    )


def _stays(walk: _Walk, there: Array, ahead: Array, reach: Scalar, at_border: Array) -> Bool[Array, ""]:
    """Whether a step ends on the branch that it started on."""
    steeper = ahead[-1] / walk.tangent[-1]
    turns = walk.tangent @ ahead >= _COSINE
    inside = (there[-1] >= -1e-12) & (there[-1] <= 1 + 1e-12)
    gently = (steeper >= 1 / _STEEPER) & (steeper <= _STEEPER)
    rest = _REST[max(there.dtype.itemsize, 4)] * (1 + jnp.linalg.norm(walk.z[:-1]))

    def along(expected: Array) -> Array:
        off = jnp.abs(there - walk.z - expected)
        alone = off[-1] <= _ALONE * jnp.abs(expected[-1])
        state = jnp.linalg.norm(off[:-1]) <= _ALONE * jnp.linalg.norm(expected[:-1]) + rest
        return alone & state & (jnp.linalg.norm(off) <= _ALONG * reach)

    ways = along(reach * (walk.tangent + ahead) / 2)
    # A value may be where the field has a kink, or branches cross: there the tangent says nothing, and the other
    # decides, in short steps.
    starts, short = walk.z[-1] <= 1e-12, reach <= _SHORT
    ways = ways | (short & ((starts & along(reach * ahead)) | (at_border & along(reach * walk.tangent))))
    return inside & turns & gently & ways


def _ahead(slope: Float[Array, "n z"], tangent: Float[Array, " z"]) -> Float[Array, " z"]:
    """The unit tangent, of several the nearest to the one before."""
    aim = jnp.append(-slope @ tangent, 1 - tangent @ tangent)
    ahead = tangent + _solved(slope, tangent, aim)
    return ahead / jnp.linalg.norm(ahead)


def _solved(slope: Float[Array, "n z"], border: Float[Array, " z"], right: Float[Array, " z"]) -> Float[Array, " z"]:
    """The shortest solution of the bordered system; what the slope leaves open stays as it is."""
    matrix = jnp.concatenate([slope, border[None]])
    return jnp.linalg.lstsq(matrix, right, rcond=FLAT[max(slope.dtype.itemsize, 4)])[0]
