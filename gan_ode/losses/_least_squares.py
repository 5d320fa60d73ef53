from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks
from .._types import RealScalarLike
from ._score_loss import AbstractScoreLoss


class LeastSquares(AbstractScoreLoss):
    r"""The least-squares GAN: $V = -\tfrac12 E_x (D - b)^2 - \tfrac12 E_z (D - a)^2$, $L_G = \tfrac12 E_z (D - c)^2$.

    The equilibrium's score is $s^* = (a + b)/2$, the slope $(b - a)/2$, the curvature $-1$, and the generator's slope
    $s^* - c$. The game is not zero-sum. With the default labels $-1, 1, 1$ it is the one function
    $f(x) = -(1 - x)^2/2$: $s^* = 0$, $f'(0) = 1$, $f''(0) = -1$, and the generator's target is the label of data.

    The paper's labels $0, 1, 1$ shift the scores by a half, and need a discriminator that can score everything by
    $1/2$: one with a bias. With $-1, 1, 0$, for which the paper shows that the generator minimizes Pearson's
    divergence, its target is the equilibrium's score: the generator has no slope there, and near the equilibrium
    nothing drives it.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss = losses.LeastSquares(a=0.0, b=1.0, c=1.0)
    assert loss.data(jnp.array(1.0)) == 0.0 and loss.sample(jnp.array(1.0)) == -0.5
    ```

    Source: Mao et al. (2017), arXiv:1611.04076, equation 2 and section 3.2.

    Args:
        a: Label of samples.
        b: Label of data.
        c: What the generator wants its samples to score.

    Raises:
        ValueError: If a label is not finite; under a transformation a RuntimeError, when it runs.
    """

    a: Float[Array, ""]
    b: Float[Array, ""]
    c: Float[Array, ""]
    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = 2

    def __init__(self, a: RealScalarLike = -1.0, b: RealScalarLike = 1.0, c: RealScalarLike = 1.0):
        self.a, self.b, self.c = _checks.number("a", a), _checks.number("b", b), _checks.number("c", c)

    def data(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -_half_square(score, self.b)

    def sample(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -_half_square(score, self.a)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return _half_square(score, self.c)


def _half_square(score: Float[Array, "*batch"], label: Float[Array, ""]) -> Float[Array, "*batch"]:
    return 0.5 * jnp.square(score - label.astype(score.dtype))
