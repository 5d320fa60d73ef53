from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._loss import AbstractLoss


class Hinge(AbstractLoss):
    r"""The hinge GAN: $f(x) = \min(0, x - 1)$; the generator minimizes $-E_z D(G(z))$; not zero-sum.

    $f'(0) = 1$ and $f''(0) = 0$: near $D = 0$ it is the Wasserstein GAN. The kink is at a score of 1.

    Source: Lim and Ye (2017), arXiv:1705.02894, equations 11 to 12.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.minimum(score - 1, jnp.zeros_like(score))

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -score
