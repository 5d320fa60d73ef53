"""Functions of a spectrum that change sign where the picture of eigenvalues changes."""

from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from ..._types import Scalar
from ._branches import noise

# In roots of rounding: an eigenvalue is good to one where two meet.
_ZERO = 30.0

Followed: TypeAlias = Literal["crossing", "collision", "abscissa", "number"]
"""One eigenvalue; a pair, as its mean and its discriminant; the rightmost one; the number of those that are real."""


def between(followed: Followed, found: Any, low: Any, high: Any) -> Bool[Array, ""]:
    """Whether a value found between two ends is still on the same side as the value at the low end (for bisection)."""
    if followed == "number":
        return jnp.abs(found - low) <= jnp.abs(found - high)
    return _height(followed, found) * _height(followed, low) > 0


def changes(followed: Followed, low: Any, high: Any) -> Bool[Array, ""]:
    """Whether two ends differ, so that there is something between them."""
    return low != high if followed == "number" else _height(followed, low) * _height(followed, high) < 0


def _height(followed: Followed, found: Complex[Array, "..."]) -> Scalar:
    r"""What passes zero: the real part of an eigenvalue, or the discriminant $(\lambda_1 - \lambda_2)^2$ of a pair."""
    return found[1].real if followed == "collision" else found.real


def is_zero(followed: Followed, sides: tuple[Any, Any], values: Complex[Array, " n"], scale: Array) -> Bool[Array, ""]:
    """Whether what is followed passes zero between two sides that are close to each other, and does not jump.

    Args:
        followed: What is followed.
        sides: What was found on the two sides.
        values: The spectrum between them.
        scale: The size of eigenvalues.
    """
    rounding = jnp.finfo(scale.dtype).eps
    small = _ZERO * jnp.sqrt(rounding) * scale
    if followed == "number":
        apart = jnp.where(_others(values), jnp.abs(_pairs(values)[1]), jnp.inf)
        return jnp.min(apart, initial=jnp.inf) <= small * scale
    low, high = sides
    if followed == "collision":
        near = (jnp.abs(low[1]) <= small * scale) & (jnp.abs(high[1]) <= small * scale)
        return near & (jnp.abs(high[0] - low[0]) <= small)
    return (jnp.abs(low.real) <= small) & (jnp.abs(high.real) <= small)


def first(followed: Followed, values: Complex[Array, " n"], near: Any) -> Complex[Array, "..."]:
    """What to follow, in a first spectrum: nearest to a number."""
    if followed in ("abscissa", "number"):
        return find(followed, values, near)
    if followed == "crossing":
        return _nearest(values, near)
    means, discriminants = _pairs(values)
    distance = jnp.where(_conjugate_or_real(values), jnp.abs(means - near), jnp.inf)
    return _at(jnp.argmin(distance), means, discriminants)


def find(followed: Followed, values: Complex[Array, " n"], expected: Any) -> Complex[Array, "..."]:
    """The same one in another spectrum, by where it is expected."""
    if followed == "abscissa":
        return values[jnp.argmax(values.real)]
    if followed == "number":
        # Of a real matrix they are real exactly, or conjugates exactly.
        return jnp.sum(values.imag == 0).astype(values.dtype)
    if followed == "crossing":
        return _nearest(values, expected)
    means, discriminants = _pairs(values)
    distance = jnp.abs(means - expected[0]) ** 2 + jnp.abs(discriminants - expected[1])
    return _at(jnp.argmin(jnp.where(_others(values), distance, jnp.inf)), means, discriminants)


def differentiable_height(followed: Followed, matrix: Float[Array, "n n"], found: Complex[Array, "..."]) -> Scalar:
    """The height as a function of the matrix, with its first derivative."""
    if followed == "number":
        means, discriminants = _pairs(jnp.linalg.eigvals(jax.lax.stop_gradient(matrix)))
        apart = jnp.where(jnp.eye(len(matrix), dtype=bool), jnp.inf, jnp.abs(discriminants))
        found = _at(jnp.argmin(apart), means, discriminants)
    if followed in ("collision", "number"):
        slope = jax.lax.stop_gradient(_slope_of_discriminant(matrix, found))
        return jnp.sum(slope * (matrix - jax.lax.stop_gradient(matrix)))
    return _nearest(jnp.linalg.eigvals(matrix), found).real


def _slope_of_discriminant(matrix: Float[Array, "n n"], found: Complex[Array, " 2"]) -> Float[Array, "n n"]:
    r"""Derivative of $2\,\mathrm{tr}(P J^2) - (\mathrm{tr} P J)^2$ by the matrix, with $P$ the pair's projection.

    The eigenvalues of a pair that meets have no derivative, but their sum and the sum of their squares do, from the
    plane that belongs to both.
    """
    matrix = jax.lax.stop_gradient(matrix)
    mean, discriminant = found[0].real, found[1].real
    shifted = matrix - mean * jnp.eye(len(matrix), dtype=matrix.dtype)
    # The planes are the null spaces of (J - l1)(J - l2).
    left, _, right = jnp.linalg.svd(shifted @ shifted - discriminant / 4 * jnp.eye(len(matrix), dtype=matrix.dtype))
    left, right = left[:, -2:].T, right[-2:].T
    projection = right @ jnp.linalg.solve(left @ right, left)
    return (4 * projection @ shifted).T


def _pairs(values: Complex[Array, " n"]) -> tuple[Complex[Array, "n n"], Complex[Array, "n n"]]:
    one, other = values[:, None], values[None, :]
    return (one + other) / 2, (one - other) ** 2


def _others(values: Complex[Array, " n"]) -> Bool[Array, "n n"]:
    return ~jnp.eye(len(values), dtype=bool)


def _conjugate_or_real(values: Complex[Array, " n"]) -> Bool[Array, "n n"]:
    small = noise(values)
    real = jnp.abs(values.imag) <= small
    conjugate = jnp.abs(values[:, None] - values[None, :].conj()) <= small
    return _others(values) & (conjugate | (real[:, None] & real[None, :]))


def _nearest(values: Complex[Array, " n"], to: Any) -> Complex[Array, ""]:
    return values[jnp.argmin(jnp.abs(values - to))]


def _at(flat: Array, means: Array, discriminants: Array) -> Complex[Array, " 2"]:
    return jnp.stack([means.ravel()[flat], discriminants.ravel()[flat]])
