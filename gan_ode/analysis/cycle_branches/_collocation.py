"""A cycle as a polynomial on each interval of a mesh, and the coordinates in which its branch's length is measured."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._types import Scalar

DEGREE = 4


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gauss points on the unit interval, and what integrates, evaluates and differentiates through them."""
    roots, weights = np.polynomial.legendre.leggauss(DEGREE)
    points = (roots + 1) / 2
    # Lagrange's polynomials by their coefficients, from the highest power on.
    lagrange = np.stack(
        [np.poly(np.delete(points, j)) / np.prod(points[j] - np.delete(points, j)) for j in range(DEGREE)]
    )
    integrals = np.stack([np.polyint(each) for each in lagrange])
    inner = np.stack([np.polyval(each, points) for each in integrals], axis=1)
    return points, weights / 2, inner, lagrange


# Gauss points, their weights, and the integrals of Lagrange's polynomials up to each, of shape (point, polynomial).
POINTS, WEIGHTS, INNER, _LAGRANGE = _tables()
_INTEGRALS = np.stack([np.polyint(each) for each in _LAGRANGE])
# And up to the first, second, ... quarter of an interval.
INTEGRALS_AT = np.stack([[np.polyval(each, place / DEGREE) for each in _INTEGRALS] for place in range(DEGREE)])
# The highest derivative of each of Lagrange's polynomials, a constant.
TOP = _LAGRANGE[:, 0] * math.factorial(DEGREE - 1)


class Chart(eqx.Module):
    r"""Units in which a branch of cycles is measured.

    The product of two changes of a cycle is $\int \delta u \cdot \delta v / \text{size}^2$ over one turn, plus that of
    the logarithms of the period, plus that of the shares of the parameter's range.

    Attributes:
        size: What is a large change of the state.
        start: Where the parameter's range begins.
        width: Its length, negative where it falls.
    """

    size: Scalar
    start: Scalar
    width: Scalar

    def value(self, share: Array) -> Array:
        return self.start + self.width * share


class Path(eqx.Module):
    """A cycle, or a change of one, as a polynomial of degree 4 on each interval, and two numbers.

    Attributes:
        x: Where each interval begins, shape `(intervals, n)`.
        k: Derivatives by the share of the period at the Gauss points, shape `(intervals, 4, n)`.
        log_period: The logarithm of the period.
        share: The parameter as a share of its range.
    """

    x: Float[Array, "intervals n"]
    k: Float[Array, "intervals 4 n"]
    log_period: Scalar
    share: Scalar

    def inside(self, mesh: Float[Array, " ends"]) -> Float[Array, "intervals 4 n"]:
        """States at the Gauss points."""
        return self.x[:, None] + jnp.diff(mesh)[:, None, None] * jnp.einsum("jl,iln->ijn", INNER, self.k)

    def moved(self, step: Scalar, along: "Path") -> "Path":
        return jax.tree.map(lambda a, b: a + step * b, self, along)

    def at(self, mesh: Float[Array, " ends"], shares: Float[Array, "*times"]) -> tuple[Array, Array]:
        """States and derivatives at any shares of the period."""
        interval = jnp.clip(jnp.searchsorted(mesh, shares, side="right") - 1, 0, len(self.x) - 1)
        length = (mesh[1:] - mesh[:-1])[interval]
        place = (shares - mesh[interval]) / length
        integrals = jnp.stack([jnp.polyval(jnp.asarray(each), place) for each in _INTEGRALS], axis=-1)
        values = jnp.stack([jnp.polyval(jnp.asarray(each), place) for each in _LAGRANGE], axis=-1)
        k = self.k[interval]
        rise = jnp.einsum("...j,...jn->...n", integrals, k)
        return self.x[interval] + length[..., None] * rise, jnp.einsum("...j,...jn->...n", values, k)

    def on(self, mesh: Float[Array, " ends"], new: Float[Array, " ends"]) -> "Path":
        """The same on another mesh, to the accuracy of the polynomials."""
        inside = new[:-1, None] + jnp.diff(new)[:, None] * POINTS
        return Path(self.at(mesh, new[:-1])[0], self.at(mesh, inside)[1], self.log_period, self.share)


def integral(mesh: Float[Array, " ends"], inside: Float[Array, "intervals 4"]) -> Scalar:
    """Over one turn, of what is known at the Gauss points."""
    return jnp.einsum("i,j,ij->", jnp.diff(mesh), WEIGHTS, inside)


def product(chart: Chart, mesh: Array, left: Path, right: Path) -> Scalar:
    """Of two changes of a cycle."""
    states = jnp.sum(left.inside(mesh) * right.inside(mesh), axis=-1)
    numbers = left.log_period * right.log_period + left.share * right.share
    return integral(mesh, states) / chart.size**2 + numbers


def norm(chart: Chart, mesh: Array, change: Path) -> Scalar:
    return jnp.sqrt(product(chart, mesh, change, change))


def adapted(path: Path, mesh: Float[Array, " ends"]) -> Float[Array, " ends"]:
    """A mesh on whose intervals the cycle's polynomials have about the same error.

    The error of an interval is its length to the fifth power times the fifth derivative, which is taken from the jumps
    of the fourth.

    Source: de Boor (1973); Russell and Christiansen (1978), SIAM J. Numer. Anal. 15, 59.
    """
    lengths = jnp.diff(mesh)
    states = path.inside(mesh)
    spread = jnp.max(states, axis=(0, 1)) - jnp.min(states, axis=(0, 1))
    # A component that is still has no errors to be measured by.
    unit = jnp.where(spread > 1e-12 * jnp.max(spread), spread, jnp.max(spread))
    fourth = jnp.einsum("j,ijn->in", TOP, path.k / unit) / lengths[:, None] ** (DEGREE - 1)
    jump = jnp.linalg.norm(jnp.roll(fourth, -1, axis=0) - fourth, axis=1)
    fifth = 2 * jump / (lengths + jnp.roll(lengths, -1))
    density = ((fifth + jnp.roll(fifth, 1)) / 2) ** (1 / (DEGREE + 1))
    mean = jnp.sum(density * lengths)
    # So that no interval is many times longer than an even one, nor left without neighbors of its kind.
    density = density + _EVEN * mean
    density = (jnp.roll(density, 1) + 2 * density + jnp.roll(density, -1)) / 4
    filled = jnp.concatenate([jnp.zeros(1, mesh.dtype), jnp.cumsum(density * lengths)])
    new = jnp.interp(jnp.linspace(0, 1, len(mesh), dtype=mesh.dtype), filled / filled[-1], mesh)
    return jnp.where(jnp.all(jnp.isfinite(new)), new, mesh)


# How much of the mesh is spread evenly.
_EVEN = 0.1
