from typing import ClassVar

from jaxtyping import Array, Float

from ._loss import AbstractLoss


class Wasserstein(AbstractLoss):
    r"""The Wasserstein GAN without its constraint: $f(x) = x$, zero-sum; $f'(0) = 1$ and $f''(0) = 0$.

    With no curvature nothing damps the rotation: the flow can cycle for ever.

    Source: Arjovsky, Chintala and Bottou (2017), arXiv:1701.07875, equation 2.
    """

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = 1

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return score

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -score
