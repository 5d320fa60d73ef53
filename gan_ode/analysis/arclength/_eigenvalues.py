"""Eigenvalues along a branch: of planes in closed form, where a call of LAPACK at each step is most of its cost."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from ..linearization._jacobian import eigenvalues_of


def eigenvalues_at(matrix: Float[Array, "m m"]) -> Complex[Array, " m"]:
    """Eigenvalues in any order; NaN where the matrix is not finite."""
    if len(matrix) != 2:
        return eigenvalues_of(matrix)
    (a, b), (c, d) = matrix
    half, product = (a - d) / 2, b * c
    under = half**2 + product
    root = jnp.sqrt(jnp.abs(under))
    # The sum that does not cancel; the other eigenvalue is from the product of both.
    far = half + jnp.where(half < 0, -root, root)
    near = jnp.where(far == 0, 0, product / jnp.where(far == 0, 1, far))
    real = jnp.where(under < 0, jnp.stack([d + half, d + half]), jnp.stack([d + far, d - near]))
    imag = jnp.where(under < 0, jnp.stack([root, -root]), 0)
    return jax.lax.complex(real, imag)
