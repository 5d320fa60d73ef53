"""A branch followed by its arclength, all of it in one compiled loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._lowering import jit_quickly
from ..._types import Scalar
from ._corrector import Chart, correct, Point, where
from ._eigenvalues import eigenvalues_at
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
# Points that the loop holds before they are put away where all are kept: under `jax.vmap` it copies what it holds at
# each step.
_FEW = 32


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


class _Rows(eqx.Module):
    """Points one after the other, of which the first `count` are there.

    Attributes:
        zs: The points.
        tangents: Unit tangents.
        eigenvalues: Those of the residual's Jacobian in the state.
        count: How many there are.
    """

    zs: Float[Array, "rows z"]
    tangents: Float[Array, "rows z"]
    eigenvalues: Complex[Array, "rows m"]
    count: Int[Array, ""]


class _Walk(eqx.Module):
    """Where the walk along a branch is.

    Attributes:
        here: The last point.
        first: The first point.
        step: The next step.
        scale: How large the Jacobian has been of late: where branches cross it may vanish altogether.
        edge: Whether a residual that is not finite was met since the last step of some length.
        lately: The points since the last time that they were put away.
        before: How many were put away.
        num_folds: How often the parameter turned.
        status: Why it ended.
    """

    here: Point
    first: Point
    step: Scalar
    scale: Scalar
    edge: Bool[Array, ""]
    lately: _Rows
    before: Int[Array, ""]
    num_folds: Int[Array, ""]
    status: Int[Array, ""]

    @property
    def num_points(self) -> Array:
        return self.before + self.lately.count


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
    few = min(_FEW, settings.max_points)
    num_pages = -(-settings.max_points // few)

    def goes_on(walk: _Walk) -> Array:
        return (walk.status == ON_ITS_WAY) & (walk.lately.count < few)

    def next_page(state: tuple[_Walk, _Rows]) -> tuple[_Walk, _Rows]:
        """Some more points, put away where all are kept."""
        walk, kept = state
        walk = jax.lax.while_loop(goes_on, lambda walk: _advanced(motion, chart, walk, guess, border, settings), walk)
        lately, at = walk.lately, walk.before
        kept = _Rows(
            zs=jax.lax.dynamic_update_slice_in_dim(kept.zs, lately.zs, at, 0),
            tangents=jax.lax.dynamic_update_slice_in_dim(kept.tangents, lately.tangents, at, 0),
            eigenvalues=jax.lax.dynamic_update_slice_in_dim(kept.eigenvalues, lately.eigenvalues, at, 0),
            count=walk.num_points,
        )
        lately = eqx.tree_at(lambda rows: rows.count, lately, jnp.zeros_like(lately.count))
        return eqx.tree_at(lambda w: (w.before, w.lately), walk, (kept.count, lately)), kept

    start = _begun(guess, border, _nothing(few, guess), settings)
    state = start, _nothing(num_pages * few, guess)
    walk, kept = jax.lax.while_loop(lambda state: state[0].status == ON_ITS_WAY, next_page, state)
    zs, tangents, eigenvalues = (each[: settings.max_points] for each in (kept.zs, kept.tangents, kept.eigenvalues))
    return Trace(chart, zs, tangents, eigenvalues, walk.num_points, walk.num_folds, walk.status)


def _nothing(rows: int, like: Array) -> _Rows:
    zs = jnp.zeros((rows, like.size), like.dtype)
    eigenvalues = jnp.zeros((rows, like.size - 1), jnp.result_type(like.dtype, jnp.complex64))
    return _Rows(zs, zs, eigenvalues, jnp.asarray(0))


def _begun(guess: Array, border: Array, lately: _Rows, settings: Settings) -> _Walk:
    """Before the first point."""
    zero, none = jnp.zeros((), guess.dtype), jnp.asarray(0)
    no, yes = jnp.asarray(False), jnp.asarray(True)
    nowhere = Point(guess, border, jnp.zeros((guess.size - 1, guess.size), guess.dtype), no, yes, zero)
    step = jnp.minimum(jnp.asarray(_FIRST, guess.dtype), settings.longest)
    return _Walk(nowhere, nowhere, step, zero, no, lately, none, none, jnp.asarray(ON_ITS_WAY))


def _advanced(
    motion: AbstractMotion, chart: Chart, walk: _Walk, guess: Array, border: Array, settings: Settings
) -> _Walk:
    """One step, taken or given up."""
    here, is_first = walk.here, walk.num_points == 0
    shortest = _SHORTEST[max(guess.dtype.itemsize, 4)]
    length = jnp.where(is_first, 0, walk.step * jnp.maximum(1, jnp.linalg.norm(here.z[:-1])))
    towards, reach, at_border = aimed(here.z, here.tangent, length)
    aim = jnp.where(is_first, border, towards)
    there = correct(motion, chart, jnp.where(is_first, guess, here.z + reach * here.tangent), aim)
    good, factor = _judged(here, there, reach, walk.scale)
    taken = there.ok & (is_first | good)
    turned = taken & ~is_first & (there.tangent[-1] * here.tangent[-1] < 0)
    num_folds = walk.num_folds + turned
    first = where(is_first, there, walk.first)
    lately = _with(walk.lately, there, chart, taken)
    num_points = walk.before + lately.count
    step = jnp.where(is_first, walk.step, walk.step * jnp.where(taken, factor, _SHRINKS))
    status = _status(first, num_points, num_folds, there, at_border & taken & ~is_first, reach, settings)
    gave_up = ~taken & (is_first | (step < shortest))
    edge = ~there.finite | (walk.edge & ~(taken & (reach > _FAR_FROM_EDGE)))
    left = jnp.where(edge, OUTSIDE, SHORT_STEP)
    status = jnp.where(gave_up, jnp.where(is_first, NO_START, left), jnp.where(taken, status, ON_ITS_WAY))
    scale = jnp.maximum(jnp.linalg.norm(there.slope), _FORGETS * walk.scale)
    return _Walk(
        here=where(taken, there, here),
        first=first,
        step=jnp.minimum(step, settings.longest),
        scale=jnp.where(taken, scale, walk.scale),
        edge=edge,
        lately=lately,
        before=walk.before,
        num_folds=num_folds,
        status=status,
    )


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


def _with(rows: _Rows, there: Point, chart: Chart, taken: Array) -> _Rows:
    """One point more, if it is taken: else the next one is written over it."""
    at = rows.count
    values = eigenvalues_at(there.matrix(chart)).astype(rows.eigenvalues.dtype)
    return _Rows(
        zs=rows.zs.at[at].set(there.z),
        tangents=rows.tangents.at[at].set(there.tangent),
        eigenvalues=rows.eigenvalues.at[at].set(values),
        count=at + taken,
    )


def _status(
    first: Point,
    num_points: Array,
    num_folds: Array,
    there: Point,
    at_border: Array,
    reach: Scalar,
    settings: Settings,
) -> Array:
    """Why the branch ends at a point, if it does."""
    back = jnp.linalg.norm(there.z - first.z)
    closed = (num_points > 3) & (back <= 0.75 * reach) & (there.tangent @ first.tangent > 0.5)
    outside = jnp.linalg.norm(there.z[:-1]) > _LARGEST
    status = jnp.where(num_points >= settings.max_points, MANY_POINTS, ON_ITS_WAY)
    status = jnp.where(num_folds > settings.max_folds, MANY_FOLDS, status)
    status = jnp.where(outside, OUTSIDE, status)
    status = jnp.where(closed, CLOSED, status)
    return jnp.where(at_border, AT_END, status)
