"""What of a point of a branch changes at an event: how many directions grow, and which way the parameter goes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Int

from ..._types import Scalar
from ._ranks import ranks

# An eigenvalue smaller than this part of the largest belongs to a continuum of equilibria if it is so all along.
_FLAT = {4: 1e-4, 8: 1e-8}
# The real part of a pair counts as positive above this part of its modulus, and above this part of the largest
# eigenvalue: at a center it is rounding.
_TURNS = {4: 1e-5, 8: 1e-10}
_ROUNDINGS = 1e3
# A multiplier of a pair counts as outside of the unit circle above this.
_OUTSIDE = {4: 1e-5, 8: 1e-12}
# The imaginary part of an eigenvalue that meets another on the real axis is only good to the root of rounding.
REAL = {4: 1e-3, 8: 1e-7}

NONE, FOLD, BRANCH_POINT, HOPF, FLIP, NEIMARK_SACKER = range(6)


class Signature(eqx.Module):
    """What tells the two sides of an event apart.

    Attributes:
        growing: How many directions grow, of pairs both.
        zeros: Whether the number of real eigenvalues of the residual above zero is odd.
        rises: Whether the parameter rises along the branch.
    """

    growing: Int[Array, "*rows"]
    zeros: Bool[Array, "*rows"]
    rises: Bool[Array, "*rows"]

    def differs(self, other: "Signature") -> Bool[Array, "*rows"]:
        return (self.growing != other.growing) | (self.zeros != other.zeros) | (self.rises != other.rises)


def num_flat(eigenvalues: Complex[Array, "points m"], there: Bool[Array, " points"]) -> Int[Array, ""]:
    """How many eigenvalues of the residual are zero at all points: the dimension of a continuum."""
    sizes = jnp.abs(eigenvalues)
    small = sizes <= _FLAT[_itemsize(eigenvalues)] * jnp.max(sizes, axis=-1, keepdims=True)
    return jnp.min(jnp.where(there, jnp.sum(small, axis=-1), eigenvalues.shape[-1]))


def signature(eigenvalues: Complex[Array, "*rows m"], tangents: Array, flat: Array, is_map: bool) -> Signature:
    """The signature of points.

    Args:
        eigenvalues: Those of the residual's Jacobian.
        tangents: The branch's tangents.
        flat: How many of the smallest eigenvalues are left out, as zero all along.
        is_map: Whether the residual is a map minus its argument.
    """
    counted = ~_smallest(eigenvalues, flat)
    real = eigenvalues.imag == 0
    zeros = jnp.sum(counted & real & (eigenvalues.real > 0), axis=-1) % 2 == 1
    growing = jnp.sum(counted & _grows(eigenvalues, real, is_map), axis=-1)
    return Signature(growing, zeros, tangents[..., -1] > 0)


def _grows(eigenvalues: Complex[Array, "*rows m"], real: Array, is_map: bool) -> Array:
    """Which eigenvalues are of directions that grow."""
    size = _itemsize(eigenvalues)
    if is_map:
        outside = jnp.abs(eigenvalues + 1) > 1 + _OUTSIDE[size]
        return jnp.where(real, (eigenvalues.real > 0) | (eigenvalues.real < -2), outside)
    sizes = jnp.abs(eigenvalues)
    rounding = _ROUNDINGS * jnp.finfo(sizes.dtype).eps * jnp.max(sizes, axis=-1, keepdims=True)
    return jnp.where(real, eigenvalues.real > 0, eigenvalues.real > jnp.maximum(_TURNS[size] * sizes, rounding))


def is_stable(eigenvalues: Complex[Array, "*rows m"], flat: Array, is_map: bool) -> Bool[Array, "*rows"]:
    """Whether all directions shrink by more than rounding, but for those along a continuum."""
    sizes = jnp.abs(eigenvalues)
    left_out = _smallest(eigenvalues, flat)
    if is_map:
        return jnp.all(left_out | (jnp.abs(eigenvalues + 1) < 1 - _OUTSIDE[_itemsize(eigenvalues)]), axis=-1)
    rounding = _ROUNDINGS * jnp.finfo(sizes.dtype).eps * jnp.max(sizes, axis=-1, keepdims=True)
    return jnp.all(left_out | (eigenvalues.real < -rounding), axis=-1)


def critical(eigenvalues: Complex[Array, " m"], flat: Array, is_map: bool) -> Complex[Array, ""]:
    """The eigenvalue of the residual that is nearest to the border of stability; of a pair that above the axis."""
    distance = jnp.abs(jnp.abs(eigenvalues + 1) - 1) if is_map else jnp.abs(eigenvalues.real)
    left_out = _smallest(eigenvalues, flat) | (eigenvalues.imag < 0)
    return eigenvalues[jnp.argmin(jnp.where(left_out, jnp.inf, distance))]


def kind(before: Signature, after: Signature, value: Complex[Array, ""], scale: Scalar, is_map: bool) -> Array:
    """What happened between two signatures, by the eigenvalue of the residual that is critical there."""
    turned, zero = before.rises != after.rises, before.zeros != after.zeros
    crossed = before.growing != after.growing
    is_real = jnp.abs(value.imag) <= REAL[_itemsize(value)] * scale
    if is_map:
        of_real = jnp.where(value.real < -1, FLIP, BRANCH_POINT)
        other = jnp.where(is_real, of_real, NEIMARK_SACKER)
    else:
        other = jnp.where(is_real, BRANCH_POINT, HOPF)
    # Where the parameter turns and no eigenvalue changes its sign, two branches cross, and so the other way round.
    at_zero = jnp.where(turned & zero, FOLD, BRANCH_POINT)
    return jnp.where(turned | zero, at_zero, jnp.where(crossed, other, NONE))


def _smallest(eigenvalues: Complex[Array, "*rows m"], num: Array) -> Bool[Array, "*rows m"]:
    """Which are the so many smallest."""
    return ranks(jnp.abs(eigenvalues)) < num


def _itemsize(eigenvalues: Array) -> int:
    return max(eigenvalues.dtype.itemsize // 2, 4)
