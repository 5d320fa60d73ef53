r"""What the data and the latent samples are drawn from.

Each distribution samples with a key. Where an expectation in its dimension can be had by quadrature, it also gives
nodes and weights, with which a loss is deterministic and exact to rounding: Gauss-Legendre for uniform, Gauss-Hermite
for normal ones, and their sums for mixtures.
"""

import abc
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Real

from . import _checks
from ._types import RealScalarLike

_Dim = int | Literal["scalar"]

_MOST_NODES = 1_000_000


class Quadrature(eqx.Module):
    """A weighted set of points. With weights of one over their number it is a sample.

    Attributes:
        nodes: Points, with a leading axis over them; points of several parts may be a pytree of such arrays.
        weights: Their weights, which sum to 1.
    """

    nodes: PyTree[Float[Array, "num ..."]]
    weights: Float[Array, " num"]

    def mean(self, values: Float[Array, " num"]) -> Float[Array, ""]:
        """The expectation of a function whose `values` at the nodes are given."""
        return jnp.dot(self.weights.astype(values.dtype), values)


def equal_weights(points: Real[Array, "num *event"]) -> Quadrature:
    """The points as a `Quadrature`, each of the same weight: what a minibatch is.

    Whole numbers, such as pixels, are made into floats of single precision, which all networks take.
    """
    points = _checks.floats(points, jnp.float32)
    return Quadrature(points, jnp.full((len(points),), 1 / len(points), points.dtype))


class AbstractDistribution(eqx.Module):
    """A distribution of samples. To add one, implement `sample` and `quadrature`.

    A scalar distribution has samples of shape `()`, others of shape `(dim,)`; `num` is a leading axis.
    """

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num *event"]:
        """`num` independent samples."""

    @abc.abstractmethod
    def quadrature(self, num: int) -> Quadrature:
        """Nodes and weights, `num` nodes for each dimension.

        Raises:
            ValueError: If there is none for this distribution; the remedy is to sample.
        """


class Uniform(AbstractDistribution):
    """Uniform on the box `[low, high]^dim`.

    Args:
        low: Lower end of each coordinate.
        high: Upper end, above `low`.
        dim: Number of coordinates, or `"scalar"`.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    dim: _Dim = eqx.field(static=True)

    def __init__(self, low: RealScalarLike = -1.0, high: RealScalarLike = 1.0, dim: _Dim = "scalar"):
        width = _checks.positive("high - low", jnp.asarray(high) - low, "Give the lower end first.")
        self.low = jnp.asarray(low, width.dtype)
        self.high = self.low + width
        self.dim = _check_dim(dim)

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num *event"]:
        return jax.random.uniform(key, (num, *_shape(self.dim)), minval=self.low, maxval=self.high)

    def quadrature(self, num: int) -> Quadrature:
        nodes, weights = np.polynomial.legendre.leggauss(num)
        unit = _tensor_product(nodes, weights / 2, self.dim)
        return Quadrature(self.low + (self.high - self.low) * (unit.nodes + 1) / 2, unit.weights)


class Normal(AbstractDistribution):
    """Independent normal coordinates.

    Args:
        dim: Number of coordinates, or `"scalar"`.
        mean: Mean of every coordinate.
        std: Standard deviation of every coordinate, above 0.
    """

    dim: _Dim = eqx.field(static=True)
    mean: Float[Array, ""]
    std: Float[Array, ""]

    def __init__(self, dim: _Dim = "scalar", mean: RealScalarLike = 0.0, std: RealScalarLike = 1.0):
        self.dim = _check_dim(dim)
        self.mean = _checks.as_float(mean)
        self.std = _checks.positive("std", std, "For no spread use `PointMass`.")

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num *event"]:
        return self.mean + self.std * jax.random.normal(key, (num, *_shape(self.dim)))

    def quadrature(self, num: int) -> Quadrature:
        unit = _tensor_product(*_hermite(num), self.dim)
        return Quadrature(self.mean + self.std * unit.nodes, unit.weights)


class PointMass(AbstractDistribution):
    """All mass at one point.

    Args:
        point: The point, of any shape.
    """

    point: Float[Array, "*event"]

    def __init__(self, point: Float[Array, "*event"] | float = 0.0):
        self.point = jnp.asarray(point, float)

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num *event"]:
        return jnp.broadcast_to(self.point, (num, *self.point.shape))

    def quadrature(self, num: int = 1) -> Quadrature:
        """One node, whatever `num` is."""
        return equal_weights(self.point[None])


class Empirical(AbstractDistribution):
    """The equal-weight distribution over given samples; drawn with replacement.

    Args:
        points: The samples, with a leading axis over them.
    """

    points: Float[Array, "num *event"]

    def __init__(self, points: Float[Array, "num *event"]):
        self.points = jnp.asarray(points, float)
        if self.points.ndim == 0 or self.points.shape[0] == 0:
            raise ValueError(
                f"`points` must hold at least one sample along its first axis, but has shape {self.points.shape}."
            )

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num *event"]:
        return jnp.take(self.points, jax.random.randint(key, (num,), 0, self.points.shape[0]), axis=0)

    def quadrature(self, num: int = 1) -> Quadrature:
        """The samples themselves, exactly, whatever `num` is."""
        return equal_weights(self.points)


class Ring(AbstractDistribution):
    r"""Equally weighted normal modes on a circle in the plane, the first at $(r, 0)$.

    Args:
        modes: Number of modes.
        radius: Radius of the circle.
        std: Standard deviation of each mode.

    Source: the toy of Metz et al. (2016), arXiv:1611.02163, section 3.1, as used by Nagarajan and Kolter (2017).
    """

    modes: int = eqx.field(static=True)
    radius: Float[Array, ""]
    std: Float[Array, ""]

    def __init__(self, modes: int = 8, radius: RealScalarLike = 2.0, std: RealScalarLike = 0.02):
        self.modes = _checks.count("modes", modes)
        self.radius = _checks.positive("radius", radius, "One mode at the center is `Normal(2)`.")
        self.std = _checks.positive("std", std, "For modes without spread use `Empirical(Ring().centers)`.")

    @property
    def centers(self) -> Float[Array, "modes 2"]:
        """The modes' means."""
        angles = 2 * jnp.pi * jnp.arange(self.modes) / self.modes
        return self.radius * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num 2"]:
        return _sample_mixture(key, num, self.centers, self.std)

    def quadrature(self, num: int) -> Quadrature:
        return _mixture_quadrature(num, self.centers, self.std)


class Grid(AbstractDistribution):
    """Equally weighted normal modes on a square grid in the plane, centered at the origin.

    Args:
        side: Modes along each side: `side**2` in all.
        spacing: Distance between neighbors.
        std: Standard deviation of each mode.
    """

    side: int = eqx.field(static=True)
    spacing: Float[Array, ""]
    std: Float[Array, ""]

    def __init__(self, side: int = 4, spacing: RealScalarLike = 1.0, std: RealScalarLike = 0.05):
        self.side = _checks.count("side", side)
        self.spacing = _checks.positive("spacing", spacing, "One mode at the center is `Normal(2)`.")
        self.std = _checks.positive("std", std, "For modes without spread use `Empirical(Grid().centers)`.")

    @property
    def centers(self) -> Float[Array, "modes 2"]:
        """The modes' means."""
        ticks = self.spacing * (jnp.arange(self.side) - (self.side - 1) / 2)
        return jnp.stack(jnp.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num 2"]:
        return _sample_mixture(key, num, self.centers, self.std)

    def quadrature(self, num: int) -> Quadrature:
        return _mixture_quadrature(num, self.centers, self.std)


def _check_dim(dim: _Dim) -> _Dim:
    return dim if dim == "scalar" else _checks.count("dim", dim)


def _shape(dim: _Dim) -> tuple[int, ...]:
    return () if isinstance(dim, str) else (dim,)


def _hermite(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite nodes and weights for the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num)
    return nodes, weights / weights.sum()


def _tensor_product(nodes: np.ndarray, weights: np.ndarray, dim: _Dim) -> Quadrature:
    if isinstance(dim, str):
        return Quadrature(jnp.asarray(nodes, float), jnp.asarray(weights, float))
    if len(nodes) ** dim > _MOST_NODES:
        raise ValueError(
            f"`num` must leave at most {_MOST_NODES:,} nodes in all, but {len(nodes)} for each of {dim} dimensions are "
            f"{float(len(nodes)) ** dim:.3g}: take expectations in so many dimensions over `sample`."
        )
    points = np.stack(np.meshgrid(*[nodes] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    products = np.prod(np.stack(np.meshgrid(*[weights] * dim, indexing="ij"), axis=-1), axis=-1).reshape(-1)
    return Quadrature(jnp.asarray(points, float), jnp.asarray(products, float))


def _sample_mixture(key: PRNGKeyArray, num: int, centers: Float[Array, "modes 2"], std: Float[Array, ""]) -> Array:
    mode_key, noise_key = jax.random.split(key)
    modes = jax.random.randint(mode_key, (num,), 0, centers.shape[0])
    return centers[modes] + std * jax.random.normal(noise_key, (num, centers.shape[1]))


def _mixture_quadrature(num: int, centers: Float[Array, "modes 2"], std: Float[Array, ""]) -> Quadrature:
    unit = _tensor_product(*_hermite(num), centers.shape[1])
    nodes = centers[:, None, :] + std * unit.nodes[None]
    weights = jnp.tile(unit.weights / centers.shape[0], centers.shape[0])
    return Quadrature(nodes.reshape(-1, centers.shape[1]), weights)
