from typing import ClassVar

import equinox as eqx
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from .._log_sigmoid import log_sigmoid
from ._divergence import AbstractDivergence

_LOG_2 = float(np.log(2))


class JensenShannon(AbstractDivergence):
    r"""Twice the Jensen-Shannon divergence: $f(u) = u \log u - (u + 1) \log\frac{u + 1}{2}$.

    $T(s) = \log 2 - \log(1 + e^{-s})$ and $f^*(t) = -\log(2 - e^t)$, so that samples are paid $\log 2 - \log(1 + e^s)$:
    it is `Minimax` plus the constant $2 \log 2$, and so is `NonSaturating` with the non-saturating generator. The score
    of the best discriminator is the logarithm of the density ratio, and the value there $2\,\mathrm{JSD}$. Slope 1/2,
    curvature $-1/4$.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    usual, score = losses.Minimax(), jnp.array(1.5)
    assert jnp.isclose(losses.JensenShannon().data(score), usual.f(score) + jnp.log(2.0))
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, table 2 and appendix.

    Args:
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.
    """

    non_saturating: bool = eqx.field(static=True, default=False)
    degree: ClassVar[int | None] = None

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return xlogy(ratio, ratio) - xlogy(ratio + 1, (ratio + 1) / 2)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return log_sigmoid(score) + _LOG_2

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -log_sigmoid(-score) - _LOG_2
