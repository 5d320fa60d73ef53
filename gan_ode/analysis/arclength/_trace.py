"""A branch followed by its arclength, all of it in one compiled loop."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..linearization._jacobian import eigenvalues_of
from ._corrector import Chart, correct, Point, where
from ._motion import AbstractMotion

# Why a branch ended: numbers in the program, and words outside of it.
ON_ITS_WAY, AT_END, MANY_FOLDS, SHORT_STEP, OUTSIDE, CLOSED, MANY_POINTS, NO_START = range(8)

# The first step, in units of the range or the state's size, and the shortest.
_FIRST = 1e-2
_SHORTEST = {4: 1e-4, 8: 1e-8}
# What a step aims at, and what it must not pass: the angle between two tangents, in radians; by how much Newton's
# method contracts; the change of the Jacobian, relative to its size.
_ANGLE, _CONTRACTION, _CHANGE = (0.12, 0.5), (0.05, 0.5), (0.2, 1.0)
_GROWS, _SHRINKS = 1.6, 0.3
# How much of the Jacobian's size is remembered from point to point.
_FORGETS = 0.8
# Steps this long lead away from the edge of where the residual is finite.
_FAR_FROM_EDGE = 1e-3
# A state larger than this many sizes has left.
_LARGEST = 1e4


class Settings(eqx.Module):
    """How a branch is followed.

    Attributes:
        longest: The longest step, in units of the range or of the state's size.
        max_points: Most points.
        max_folds: Most folds.
    """

    longest: Scalar
    max_points: int = eqx.field(static=True)
    max_folds: int = eqx.field(static=True)


class Trace(eqx.Module):
    """A branch as points one after the other; rows past `num_points` say nothing.

    Attributes:
        chart: The coordinates.
        zs: The points, shape `(points, z)`.
        tangents: Unit tangents, shape `(points, z)`.
        eigenvalues: Those of the residual's Jacobian in the state, in any order, shape `(points, m)`.
        num_points: How many there are.
        num_folds: How often the parameter turned.
        status: Why it ended.
    """

    chart: Chart
    zs: Float[Array, "points z"]
    tangents: Float[Array, "points z"]
    eigenvalues: Complex[Array, "points m"]
    num_points: Int[Array, ""]
    num_folds: Int[Array, ""]
    status: Int[Array, ""]

    @property
    def there(self) -> Array:
        """Which rows hold a point."""
        return jnp.arange(len(self.zs)) < self.num_points


class _Walk(eqx.Module):
    """Where the walk along a branch is.

    Attributes:
        here: The last point.
        step: The next step.
        scale: How large the Jacobian has been of late: where branches cross it may vanish altogether.
        edge: Whether a residual that is not finite was met since the last step of some length.
        trace: What was found.
    """

    here: Point
    step: Scalar
    scale: Scalar
    edge: Bool[Array, ""]
    trace: Trace


@jit_quickly
def trace(motion: AbstractMotion, chart: Chart, guess: Array, border: Array, settings: Settings) -> Trace:
    """Follows a branch until its parameter leaves the range, or something else ends it.

    Args:
        motion: The equations.
        chart: The coordinates; the parameter's range is from 0 to 1 in them.
        guess: A point near the branch.
        border: The direction across which the first point is searched, and to whose side the branch is followed.
        settings: How.
    """
    dtype, size = guess.dtype, guess.size
    shortest = _SHORTEST[max(dtype.itemsize, 4)]
    empty = Trace(
        chart=chart,
        zs=jnp.zeros((settings.max_points, size), dtype),
        tangents=jnp.zeros((settings.max_points, size), dtype),
        eigenvalues=jnp.zeros((settings.max_points, size - 1), jnp.result_type(dtype, jnp.complex64)),
        num_points=jnp.asarray(0),
        num_folds=jnp.asarray(0),
        status=jnp.asarray(ON_ITS_WAY),
    )

    def advance(walk: _Walk) -> _Walk:
        here, done = walk.here, walk.trace
        is_first = done.num_points == 0
        step = jnp.where(is_first, 0, walk.step * jnp.maximum(1, jnp.linalg.norm(here.z[:-1])))
        towards, reach, at_border = aimed(here.z, here.tangent, step)
        aim = jnp.where(is_first, border, towards)
        there = correct(motion, chart, jnp.where(is_first, guess, here.z + reach * here.tangent), aim)
        good, factor = _judged(here, there, reach, walk.scale)
        taken = there.ok & (is_first | good)
        trace = where(taken, _with(done, there, chart), done)
        turned = taken & ~is_first & (there.tangent[-1] * here.tangent[-1] < 0)
        trace = eqx.tree_at(lambda t: t.num_folds, trace, trace.num_folds + turned)
        step = jnp.where(is_first, walk.step, walk.step * jnp.where(taken, factor, _SHRINKS))
        status = _status(trace, there, at_border & taken & ~is_first, reach, settings)
        gave_up = ~taken & (is_first | (step < shortest))
        edge = ~there.finite | (walk.edge & ~(taken & (reach > _FAR_FROM_EDGE)))
        left = jnp.where(edge, OUTSIDE, SHORT_STEP)
        status = jnp.where(gave_up, jnp.where(is_first, NO_START, left), jnp.where(taken, status, ON_ITS_WAY))
        trace = eqx.tree_at(lambda t: t.status, trace, status)
        scale = jnp.maximum(jnp.linalg.norm(there.slope), _FORGETS * walk.scale)
        scale = jnp.where(taken, scale, walk.scale)
        return _Walk(where(taken, there, here), jnp.minimum(step, settings.longest), scale, edge, trace)

    nowhere = Point(
        guess,
        border,
        jnp.zeros((size - 1, size), dtype),
        jnp.asarray(False),
        jnp.asarray(True),
        jnp.zeros((), dtype),
    )
    start = _Walk(
        nowhere,
        jnp.minimum(jnp.asarray(_FIRST, dtype), settings.longest),
        jnp.zeros((), dtype),
        jnp.asarray(False),
        empty,
    )
    end = jax.lax.while_loop(lambda walk: walk.trace.status == ON_ITS_WAY, advance, start)
    return end.trace


def aimed(z: Array, tangent: Array, step: Scalar) -> tuple[Array, Scalar, Array]:
    """The direction across which the next point is searched, how far away, and whether at the end of the range."""
    slope = tangent[-1]
    ahead = z[-1] + step * slope
    end = jnp.where(slope > 0, 1.0, 0.0).astype(z.dtype)
    at_border = (ahead >= 1) | (ahead <= 0)
    # A branch may start at the border, and there is none behind it.
    moves = jnp.abs(slope) > 0
    reach = jnp.where(at_border & moves, jnp.minimum(step, (end - z[-1]) / jnp.where(moves, slope, 1)), step)
    across = jnp.zeros_like(z).at[-1].set(jnp.sign(slope))
    return jnp.where(at_border, across, tangent), reach, at_border


def _judged(here: Point, there: Point, reach: Scalar, scale: Scalar) -> tuple[Array, Scalar]:
    """Whether a step is good enough to keep, and by what to multiply the next."""
    cosine = jnp.clip(here.tangent @ there.tangent, -1, 1)
    angle = jnp.arccos(cosine)
    scale = jnp.maximum(jnp.linalg.norm(there.slope), scale)
    change = jnp.linalg.norm(there.slope - here.slope) / jnp.where(scale > 0, scale, 1)
    inside = (there.z[-1] >= -1e-12) & (there.z[-1] <= 1 + 1e-12)
    off = jnp.linalg.norm(there.z - here.z - reach * here.tangent)
    # A step so short that nothing but rounding moved is good whatever it says.
    good = inside & (off <= 0.5 * reach)
    factor = jnp.asarray(_GROWS, there.z.dtype)
    for seen, (aim, most), power in (
        (angle, _ANGLE, 1.0),
        (there.contraction, _CONTRACTION, 0.5),
        (change, _CHANGE, 1.0),
    ):
        good = good & (seen <= most)
        factor = jnp.minimum(factor, (aim / jnp.maximum(seen, 1e-3 * aim)) ** power)
    return good, jnp.maximum(factor, _SHRINKS)


def _with(trace: Trace, there: Point, chart: Chart) -> Trace:
    """The trace with one more point."""
    at = trace.num_points
    values = eigenvalues_of(there.matrix(chart)).astype(trace.eigenvalues.dtype)
    parts: Any = lambda t: (t.zs, t.tangents, t.eigenvalues, t.num_points)  # noqa: E731
    more = (
        trace.zs.at[at].set(there.z),
        trace.tangents.at[at].set(there.tangent),
        trace.eigenvalues.at[at].set(values),
        at + 1,
    )
    return eqx.tree_at(parts, trace, more)


def _status(trace: Trace, there: Point, at_border: Array, reach: Scalar, settings: Settings) -> Array:
    """Why the branch ends at a point, if it does."""
    back = jnp.linalg.norm(there.z - trace.zs[0])
    closed = (trace.num_points > 3) & (back <= 0.75 * reach) & (there.tangent @ trace.tangents[0] > 0.5)
    outside = jnp.linalg.norm(there.z[:-1]) > _LARGEST
    status = jnp.where(trace.num_points >= settings.max_points, MANY_POINTS, ON_ITS_WAY)
    status = jnp.where(trace.num_folds > settings.max_folds, MANY_FOLDS, status)
    status = jnp.where(outside, OUTSIDE, status)
    status = jnp.where(closed, CLOSED, status)
    return jnp.where(at_border, AT_END, status)
