from typing import ClassVar

from jaxtyping import Array, Float

from ._log_sigmoid import log_sigmoid
from ._loss import AbstractLoss


class Minimax(AbstractLoss):
    r"""The usual GAN, saturating: $f(x) = -\log(1 + e^{-x})$, zero-sum.

    $f'(0) = 1/2$ and $f''(0) = -1/4$. Written as a log-sigmoid, it is finite, with finite gradients, for scores of any
    size; `log(1 - sigmoid(x))` is not beyond about 17 in float32.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, equation 1, with $D$ the logit.
    """

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return log_sigmoid(score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return log_sigmoid(-score)
