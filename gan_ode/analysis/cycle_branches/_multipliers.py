"""Floquet multipliers from what the intervals of a mesh make of displacements."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from ..._types import Scalar
from ..linearization._jacobian import eigenvalues_of

# Turns after which the directions of fast and of slow growth are told apart.
_TURNS = 3
# Parts of the largest multiplier below which another one is not seen beside it.
_DROWNED = 1e-8


def multipliers_of(
    blocks: Float[Array, "intervals n n"], velocities: Float[Array, "intervals n"], divergence: Scalar
) -> Complex[Array, " others"]:
    r"""All multipliers but the 1 of a shift along the cycle, by falling modulus.

    Displacements along the velocity stay there, so that those across it have a map of their own: the trivial multiplier
    is left out without any error. In the plane the other one is $\exp \int \operatorname{tr} J$ (Liouville), which
    holds where a stiff field damps more than a polynomial can say. Of larger systems the directions are made orthogonal
    again at each interval, so that large multipliers do not drown small ones.

    Source: Fairgrieve and Jepson (1991), SIAM J. Numer. Anal. 28, 1446; Lust (2001), Int. J. Bifurcation Chaos 11,
    2389.

    Args:
        blocks: What an interval makes of a displacement.
        velocities: Where each interval begins.
        divergence: The integral of the trace of the Jacobian over one period.
    """
    n = blocks.shape[-1]
    to_complex = jnp.result_type(blocks.dtype, jnp.complex64)
    if n == 1:
        return jnp.zeros(0, to_complex)
    if n == 2:
        return jnp.exp(divergence)[None].astype(to_complex)
    frames = jax.vmap(_across)(velocities)
    across = jnp.einsum("iab,iac,icd->ibd", jnp.roll(frames, -1, axis=0), blocks, frames)

    def one(basis: Array, block: Array) -> tuple[Array, Array]:
        basis, upper = jnp.linalg.qr(block @ basis)
        return basis, upper

    def turn(basis: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        after, uppers = jax.lax.scan(one, basis, across)
        return after, (basis, uppers)

    eye = jnp.eye(n - 1, dtype=blocks.dtype)
    last, (bases, uppers) = jax.lax.scan(turn, eye, None, length=_TURNS)
    all_uppers, _ = jax.lax.scan(lambda whole, upper: (upper @ whole, None), eye, uppers[-1])
    turned = bases[-1].T @ last
    values = eigenvalues_of(turned @ all_uppers)
    values = values[jnp.argsort(-jnp.abs(values))]
    # What drowns in the largest is read from the triangular factors, whose diagonals are products of numbers.
    drowned = jnp.abs(values) < _DROWNED * jnp.abs(values[0])
    apart = jnp.diagonal(turned) * jnp.prod(jnp.diagonal(uppers[-1], axis1=-2, axis2=-1), axis=0)
    apart = apart[jnp.argsort(-jnp.abs(apart))]
    return jnp.where(drowned, apart, values).astype(to_complex)


def _across(velocity: Float[Array, " n"]) -> Float[Array, "n others"]:
    """An orthonormal basis across a velocity, which moves with it without a jump: a reflection to an axis."""
    speed = jnp.linalg.norm(velocity)
    direction = velocity / jnp.where(speed > 0, speed, 1)
    sign = jnp.where(direction[0] >= 0, 1.0, -1.0)
    mirror = direction.at[0].add(sign)
    reflected = jnp.eye(len(velocity), dtype=velocity.dtype) - 2 * jnp.outer(mirror, mirror) / (mirror @ mirror)
    return reflected[:, 1:]
