from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._divergence import AbstractDivergence


class PearsonChiSquared(AbstractDivergence):
    r"""Pearson's $\chi^2$, $\int (p_{data} - p_G)^2/p_G$: $f(u) = (u - 1)^2$, $T(s) = s$.

    $f^*(t) = t + t^2/4$, as of $f$ on all numbers: the parabola that a polynomial needs. The score of the best
    discriminator is $2 (u - 1)$ at the density ratio $u$. Slope 1, curvature $-1/4$.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss, score = losses.PearsonChiSquared(), jnp.array(2.0)
    assert loss.data(score) == 2.0 and loss.sample(score) == -3.0
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, table 2 and appendix.

    Args:
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.
    """

    non_saturating: bool = eqx.field(static=True, default=False)
    degree: ClassVar[int | None] = 2

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.square(ratio - 1)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return score

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return score + jnp.square(score) / 4
