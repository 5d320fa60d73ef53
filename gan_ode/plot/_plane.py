"""The plane of a phase portrait: its points as states, states as its points, and the field on it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._lowering import jit
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..games import Players
from ..simulate import Orbit

# The grid reaches a little past the limits, by no simple fraction: streamlines then run through the edge, and a
# nullcline on the edge or through the middle does not fall on nodes, where its sign would be lost.
_MARGIN = 0.0137
# Farther out than this many panels a point only makes the renderer overflow.
_FAR = 50.0


class Window(NamedTuple):
    """Limits of the panel, by axis."""

    x: tuple[float, float]
    y: tuple[float, float]

    def contains(self, point: np.ndarray) -> bool:
        return all(low <= value <= high for value, (low, high) in zip(point, self, strict=True))

    def relative(self, points: np.ndarray) -> np.ndarray:
        """Points in units of the panel, its lower left corner at 0, the upper right at 1."""
        low, high = np.array(self).T
        return (points - low) / (high - low)


class Plane(eqx.Module):
    """A plane in the space of states.

    Attributes:
        state: From `x, y` to the state.
        project: From a state to `(x, y)`.
    """

    state: Callable[[Any, Any], State]
    project: Callable[[State], tuple[Any, Any]]


class Grid(NamedTuple):
    """Velocities `u`, `v` at `x`, `y`; rows go with `y`."""

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


class Path(NamedTuple):
    """An orbit in the plane: times, shape `(times,)`, and points, shape `(times, 2)`."""

    ts: np.ndarray
    points: np.ndarray


def players_state(x: Scalar, y: Scalar) -> Players:
    return Players(discriminator=x, generator=y)


def players_point(state: State) -> tuple[Any, Any]:
    return state.discriminator, state.generator


def window(xlim: Sequence[RealScalarLike], ylim: Sequence[RealScalarLike]) -> Window:
    return Window(limits("xlim", xlim), limits("ylim", ylim))


def limits(name: str, given: Any) -> tuple[float, float]:
    """The limits of an axis or a color scale as numbers."""
    values = np.asarray(given, float)
    if values.shape != (2,) or not np.all(np.isfinite(values)) or values[0] >= values[1]:
        raise ValueError(
            f"`{name}` must be two finite numbers, the smaller first, but is {given}: write them as in `(-1.0, 1.0)`."
        )
    return float(values[0]), float(values[1])


def velocities(field: Field, plane: Plane, window: Window, args: Args, t: RealScalarLike, resolution: int) -> Grid:
    """The field's velocity in the plane, on a grid of `resolution` points along each axis."""
    xs, ys = (_nodes(low, high, resolution) for low, high in window)
    _check_plane(plane)
    u, v = _sweep(field, plane, args, t, jnp.asarray(xs, float), jnp.asarray(ys, float))
    return Grid(xs, ys, np.asarray(u), np.asarray(v))


def _nodes(low: float, high: float, resolution: int) -> np.ndarray:
    margin = _MARGIN * (high - low)
    return np.linspace(low - margin, high + margin, resolution)


@jit
def _sweep(
    field: Field, plane: Plane, args: Args, t: RealScalarLike, xs: Float[Array, " n"], ys: Float[Array, " n"]
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    def velocity(x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
        state = jax.tree.map(jnp.asarray, plane.state(x, y))
        change = jax.tree.map(lambda leaf, speed: jnp.asarray(speed, leaf.dtype), state, field(t, state, args))
        return jax.jvp(plane.project, (state,), (change,))[1]

    # Row by row: all points at once would be a batch too large for a network.
    return jax.lax.map(lambda y: jax.vmap(lambda x: velocity(x, y))(xs), ys)


def _check_plane(plane: Plane) -> None:
    corner = jnp.zeros(())
    _two_scalars(jax.eval_shape(lambda: plane.project(jax.tree.map(jnp.asarray, plane.state(corner, corner)))), 0)


def _two_scalars(point: Any, axes: int) -> None:
    shapes = [jnp.shape(leaf)[axes:] for leaf in jax.tree.leaves(point)]
    if shapes != [(), ()]:
        found = ", ".join(map(str, shapes)) or "nothing"
        raise ValueError(
            f"`project` must give two numbers for a state, but gives shapes {found}: for states that are not "
            "`Players` of two scalars, give `state` and `project`, as `lambda y: (y.discriminator[0], y.generator)`."
        )


def point(plane: Plane, state: State) -> np.ndarray:
    """Where a state is in the plane, shape `(2,)`."""
    place = plane.project(state)
    _two_scalars(place, 0)
    return np.asarray(place, float)


def members(orbits: Orbit | Sequence[Orbit]) -> list[tuple[Array, State]]:
    """Times and states of single orbits, from a sequence whose items may be ensembles with a leading axis."""
    return [single for each in ([orbits] if isinstance(orbits, Orbit) else orbits) for single in _members(each)]


def _members(orbit: Orbit) -> list[tuple[Array, State]]:
    if not isinstance(orbit, Orbit):
        raise ValueError(f"`orbits` and `updates` must hold orbits from `flow` or `iterate`, but hold {orbit!r}.")
    whole = orbit.ts, orbit.ys
    if orbit.ts.ndim == 1:
        return [whole]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], whole) for i in range(orbit.ts.shape[0])]


def path(plane: Plane, window: Window, ts: Array, ys: State) -> Path:
    """An orbit in the plane, without what was not reached and what is very far away."""
    places = jax.vmap(plane.project)(ys)
    _two_scalars(places, 1)
    times, points = np.asarray(ts), np.stack([np.asarray(place, float) for place in places], axis=-1)
    finite = np.isfinite(times) & np.all(np.isfinite(points), axis=-1)
    times, points = times[finite], points[finite]
    near = np.all(np.abs(window.relative(points)) < _FAR, axis=-1)
    # Up to the first that is far away: a line from there back into the panel would be none of the orbit.
    count = len(near) if near.all() else int(np.argmin(near))
    return Path(times[:count], points[:count])
