from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report, state, yes
from ..._types import Scalar, State

_MOST_POINTS = 4_000_000
# Points of the grid in all, by default; an odd number along each axis has the middle among them.
_USUAL_POINTS = 20_000
_AT_ONCE = 4096
# Best places on the grid that are followed further.
_CANDIDATES = 8
# Halvings of the mesh around a place, so that it ends at rounding, and moves in each: without a limit to them the
# search would follow rounding along a flat ridge, and not come nearer.
_HALVINGS = 48
_MOVES = 2


@printed
class BoxExtremes(eqx.Module):
    r"""The smallest and the largest value that a search of a box found.

    A search, not a proof: what is narrower than a cell of the grid may be missed. `slack` says how far the values
    between the grid's points can lie outside of those on it, if the function is nowhere steeper than between
    neighbors: $\tfrac12\sum_i \max |\Delta_i f|$ with the differences of neighbors along each axis.

    Attributes:
        smallest: The smallest value.
        where_smallest: A state that has it.
        largest: The largest value.
        where_largest: A state that has it.
        slack: See above.
        finite: Whether the function is finite at all points of the grid; those where it is not are left out.
    """

    smallest: Scalar
    where_smallest: State
    largest: Scalar
    where_largest: State
    slack: Scalar
    finite: Any

    def _report(self) -> Report:
        lines = {
            "smallest": f"{number(self.smallest)} at {state(self.where_smallest)}",
            "largest": f"{number(self.largest)} at {state(self.where_largest)}",
            "note": None if yes(self.finite) else "not finite somewhere",
        }
        between = f"between {number(self.smallest)} and {number(self.largest)}"
        title = f"BoxExtremes: {between} in the box, at most {number(self.slack)} beyond"
        return Report(title, lines)


@guarded("low", like="high", whole=True)
def box_extremes(
    function: Callable[[State], Scalar], low: State, high: State, *, resolution: int | None = None
) -> BoxExtremes:
    """Searches a box for the smallest and the largest value of a function.

    A grid under `jax.vmap`, and from the best of its local extremes a search that moves to the best neighbor in a mesh
    that is halved again and again. It needs no derivative, and stays in the box. Under `jax.jit` and
    `jax.vmap` (over the corners, or numbers inside the function) too.

    Args:
        function: A scalar function of one state.
        low: The box's lower corner, a state.
        high: Its upper corner.
        resolution: Points of the grid along each axis; by default 20,001 in one dimension, 141 in two, 27 in three.

    Returns:
        Values and places.

    Raises:
        ValueError: If the corners are not states of the same shape, the lower one below the upper one, or the grid has
            more than four million points.
    """
    low, high = (jax.tree.map(_checks.floats, corner) for corner in (low, high))
    return _extremes(function, low, high, points_per_axis(low, high, resolution))


def points_per_axis(low: State, high: State, resolution: int | None) -> int:
    """The resolution, or the usual one for so many dimensions.

    Raises:
        ValueError: If the box or its grid cannot be searched.
    """
    sides = _sides(low, high)
    if resolution is None:
        usual = int(_USUAL_POINTS ** (1 / sides))
        return max(usual + 1 - usual % 2, 3)
    per_axis = _checks.count("resolution", resolution, least=3)
    if per_axis**sides > _MOST_POINTS:
        raise ValueError(
            f"`resolution` must leave at most {_MOST_POINTS:,} points, but {per_axis} along each of {sides} axes are "
            f"{float(per_axis) ** sides:.3g}: lower it, or hold parameters still inside the function."
        )
    return per_axis


def _sides(low: State, high: State) -> int:
    """Number of the box's dimensions."""
    if jax.tree.structure(low) != jax.tree.structure(high) or [jnp.shape(leaf) for leaf in jax.tree.leaves(low)] != [
        jnp.shape(leaf) for leaf in jax.tree.leaves(high)
    ]:
        raise ValueError("`low` and `high` must be two states of the same shape: the corners of the box.")
    if not _checks.is_traced((low, high)):
        pairs = zip(jax.tree.leaves(low), jax.tree.leaves(high), strict=True)
        if not all(np.all(np.asarray(a) < np.asarray(b)) and np.all(np.isfinite([a, b])) for a, b in pairs):
            raise ValueError(
                f"`low` must be below `high` along every axis, both finite, but they are {low} and {high}."
            )
    return sum(int(np.prod(jnp.shape(leaf))) for leaf in jax.tree.leaves(low))


@jit
def _extremes(function: Callable, low: State, high: State, per_axis: int) -> BoxExtremes:
    box = Box(low, high, per_axis)
    return search(lambda y: (function(y),), box, (box.sweep(function),))[0]


class Box(eqx.Module):
    """A box and the grid in it; its points are in units of the box, shape `(num, sides)`."""

    low: State
    high: State
    per_axis: int = eqx.field(static=True)

    @property
    def points(self) -> Float[Array, "num sides"]:
        corner, _ = ravel_pytree(self.low)
        axis = jnp.linspace(0.0, 1.0, self.per_axis, dtype=corner.dtype)
        return jnp.stack(jnp.meshgrid(*[axis] * corner.size, indexing="ij"), axis=-1).reshape(-1, corner.size)

    def state(self, unit: Float[Array, " sides"]) -> State:
        (low, restore), (high, _) = ravel_pytree(self.low), ravel_pytree(self.high)
        return restore(low + (high - low) * unit)

    def sweep(self, function: Callable[[State], Any]) -> Any:
        """A function at all points of the grid."""
        points = self.points
        at_once = min(_AT_ONCE, len(points))
        # Filled up with the last point: what does not fill a batch would be compiled as another program.
        batches = jnp.pad(points, ((0, -len(points) % at_once), (0, 0)), mode="edge").reshape(
            -1, at_once, points.shape[1]
        )
        values = jax.lax.map(jax.vmap(lambda unit: function(self.state(unit))), batches)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[: len(points)], values)


def search(
    functions: Callable[[State], tuple[Scalar, ...]],
    box: Box,
    values: tuple[Float[Array, " num"], ...],
    further: Bool[Array, ""] | bool = True,
) -> tuple[BoxExtremes, ...]:
    """The extremes of several functions, one of which may need what the others compute.

    All of them are followed at once, so that they are compiled once.

    Args:
        functions: Of one state. Where one is not finite it has no extreme.
        box: Where to search.
        values: Of the functions, on the grid.
        further: Whether to look between the points of the grid.
    """
    points, count = box.points, len(values)
    shape = (box.per_axis,) * points.shape[1]
    signs = jnp.tile(jnp.array([1, -1]), count)
    which = jnp.repeat(jnp.arange(count), 2)
    heights = signs[:, None] * jnp.stack(values)[which]
    heights = jnp.where(jnp.isfinite(heights), heights, jnp.inf)
    best = jnp.stack([_local_minima(row.reshape(shape)) for row in heights])
    places = points[best]

    def descend(which: Array, sign: Array, start: Array) -> tuple[Scalar, Array]:
        def height(unit: Array) -> Scalar:
            value = sign * jnp.stack(functions(box.state(unit)))[which]
            return jnp.where(jnp.isfinite(value), value, jnp.inf)

        return _descend(height, start, 1 / (box.per_axis - 1))

    found, where = jax.lax.cond(
        further,
        lambda: jax.vmap(jax.vmap(descend, (None, None, 0)))(which, signs, places),
        lambda: (jnp.take_along_axis(heights, best, axis=1), places),
    )
    lowest = jnp.argmin(found, axis=1)
    ends, units = found[jnp.arange(2 * count), lowest], where[jnp.arange(2 * count), lowest]
    return tuple(
        BoxExtremes(
            smallest=ends[2 * i],
            where_smallest=box.state(units[2 * i]),
            largest=-ends[2 * i + 1],
            where_largest=box.state(units[2 * i + 1]),
            slack=_slack(row.reshape(shape)),
            finite=jnp.all(jnp.isfinite(row)),
        )
        for i, row in enumerate(values)
    )


def _slack(values: Array) -> Scalar:
    """Half of the largest differences of neighbors, summed over the axes."""
    steps = [jnp.abs(jnp.diff(values, axis=axis)) for axis in range(values.ndim)]
    return 0.5 * sum((jnp.max(jnp.where(jnp.isfinite(step), step, 0.0)) for step in steps), jnp.zeros((), values.dtype))


def _local_minima(heights: Array) -> Array:
    """Places in the flattened grid, the lowest first, of points that no neighbor along an axis is below."""
    best = jnp.ones(heights.shape, bool)
    for axis in range(heights.ndim):
        padding = [(int(i == axis),) * 2 for i in range(heights.ndim)]
        padded = jnp.pad(heights, padding, constant_values=jnp.inf)
        length = heights.shape[axis]
        for start in (0, 2):
            best &= heights <= jax.lax.slice_in_dim(padded, start, start + length, axis=axis)
    candidates = jnp.where(best, heights, jnp.inf).ravel()
    return jax.lax.top_k(-candidates, min(_CANDIDATES, candidates.size))[1]


def _descend(height: Callable[[Array], Scalar], start: Array, mesh: float) -> tuple[Scalar, Array]:
    """Moves to the best neighbor in a mesh, which is halved again and again."""
    moves = jnp.stack(jnp.meshgrid(*[jnp.array([-1.0, 0.0, 1.0], start.dtype)] * start.size, indexing="ij"), axis=-1)
    moves = moves.reshape(-1, start.size)

    def one(carry: tuple[Scalar, Array], mesh: Array) -> tuple[tuple[Scalar, Array], None]:
        value, place = carry
        around = jnp.clip(place + mesh * moves, 0.0, 1.0)
        heights = jax.vmap(height)(around)
        best = jnp.argmin(heights)
        better = heights[best] < value
        return (jnp.where(better, heights[best], value), jnp.where(better, around[best], place)), None

    meshes = mesh * 0.5 ** jnp.repeat(jnp.arange(_HALVINGS), _MOVES).astype(start.dtype)
    # The first mesh holds the start, so that the height is compiled once.
    (value, place), _ = jax.lax.scan(one, (jnp.full((), jnp.inf, start.dtype), start), meshes)
    return value, place
