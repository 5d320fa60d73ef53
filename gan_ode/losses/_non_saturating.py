from typing import ClassVar

from jaxtyping import Array, Float

from ._log_sigmoid import log_sigmoid
from ._loss import AbstractLoss


class NonSaturating(AbstractLoss):
    r"""The GAN that is usually run: $f$ as in `Minimax`, and the generator minimizes $-E_z f(D(G(z)))$.

    It has the equilibria of `Minimax` and the same Jacobian there, but is not zero-sum.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, section 3.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return log_sigmoid(score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -log_sigmoid(score)
