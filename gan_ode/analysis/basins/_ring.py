"""A set around an attracting cycle in which everything comes nearer to it, as it was seen to do."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._types import Scalar

# Points that stand for a cycle, and distances at which neighbors are followed, over two and a half decades.
POINTS, LEVELS = 256, 14
# The farthest neighbors, and the nearest at least, relative to half of the cycle's extents.
_FARTHEST, _NEAREST = 0.6, 2e-3
# And the nearest are so many times as far away as the points can tell.
_TOLD = 10.0
# Half of an extent counts as this part of the largest at least.
_LEAST = 1e-3


class Ring(eqx.Module):
    """A set around a cycle: what enters it goes to the cycle.

    Attributes:
        points: Points of the cycle, about evenly spread along it.
        scale: Half of the extent of the cycle in each coordinate: what distances are measured in.
        tangents: Unit vectors along it, so measured; zero where it consists of single points.
        gap: How far apart neighbors among the points are.
        radius: How far the set reaches from the cycle; 0 if nothing was seen to come nearer.
    """

    points: Float[Array, "*cycles points n"]
    scale: Float[Array, "*cycles n"]
    tangents: Float[Array, "*cycles points n"]
    gap: Float[Array, "*cycles"]
    radius: Float[Array, "*cycles"]

    def distance(self, x: Float[Array, " n"]) -> Scalar:
        """Of a point from the cycle."""
        away = (x - self.points) / self.scale
        nearest = jnp.argmin(jnp.sum(away**2, axis=1))
        along = self.tangents[nearest] @ away[nearest]
        across = away[nearest] - along * self.tangents[nearest]
        # Beyond its neighbors a point does not stand for the cycle.
        return jnp.sqrt(across @ across + jnp.maximum(jnp.abs(along) - self.gap, 0) ** 2)

    def holds(self, x: Float[Array, " n"]) -> Bool[Array, ""]:
        """Whether the point is inside."""
        return self.distance(x) < self.radius

    def speaks(self, step: Int[Array, ""]) -> Bool[Array, ""]:
        """Being inside tells where it goes at any time."""
        return step >= 0


def extents(xs: Float[Array, "points n"]) -> Float[Array, " n"]:
    """Half of the extent in each coordinate; one that hardly moves counts as a small part of the others."""
    each = (jnp.max(xs, axis=0) - jnp.min(xs, axis=0)) / 2
    return jnp.maximum(each, _LEAST * jnp.max(each))


def levels(accuracy: Scalar) -> Float[Array, " levels"]:
    """Distances at which neighbors of a cycle are followed.

    Args:
        accuracy: How far from 0 the distance of a point of the cycle may come out.
    """
    lowest = jnp.maximum(_NEAREST, _TOLD * accuracy)
    exponents = jnp.linspace(0, 1, LEVELS, dtype=accuracy.dtype)
    return lowest * (_FARTHEST / lowest) ** exponents


def radius(distances: Float[Array, " levels"], nearer: Bool[Array, " levels"]) -> Scalar:
    """The largest distance up to which everything came nearer; 0 if there is none, or the points cannot tell."""
    certain = jnp.cumprod(nearer & (distances[0] < distances[-1])).astype(bool)
    return jnp.where(certain[0], distances[jnp.maximum(jnp.sum(certain) - 1, 0)], 0)


def directions(number: int, size: int) -> Float[np.ndarray, "directions n"]:
    """Unit vectors, the same in every run; in the plane evenly spread."""
    if size == 1:
        return np.array([[1.0], [-1.0]])
    if size == 2:
        angles = 2 * np.pi * (np.arange(number) + 0.5) / number
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.random.default_rng(0).standard_normal((number, size))
    return points / np.linalg.norm(points, axis=1, keepdims=True)
