from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._loss import AbstractLoss


class LeastSquares(AbstractLoss):
    r"""The least-squares GAN with labels $\pm 1$: $f(x) = -(1 - x)^2 / 2$; the generator minimizes $E_z (1 - D)^2 / 2$.

    $f'(0) = 1$ and $f''(0) = -1$. The generator's target is the label of data (the usual choice), so the game is not
    zero-sum. The labels are symmetric, unlike the paper's 0 and 1, so that the equilibrium has $D = 0$.

    Source: Mao et al. (2017), arXiv:1611.04076, equation 2, with a = -1, b = c = 1.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = 2

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -0.5 * jnp.square(1 - score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return 0.5 * jnp.square(1 - score)
