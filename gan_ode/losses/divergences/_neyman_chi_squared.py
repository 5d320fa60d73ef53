from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._divergence import AbstractDivergence


class NeymanChiSquared(AbstractDivergence):
    r"""Neyman's $\chi^2$, $\int (p_{data} - p_G)^2/p_{data}$: $f(u) = (1 - u)^2/u$, $T(s) = 1 - e^{-s}$.

    $f^*(t) = 2 - 2 \sqrt{1 - t}$, so that samples are paid $2 e^{-s/2} - 2$. The score of the best discriminator is $2
    \log u$ at the density ratio $u$. Slope 1, curvature $-1/4$: near the equilibrium it is `PearsonChiSquared`. What
    samples are paid is not concave in the score, though it is in $T$: a discriminator that scores everything far too
    low moves on slowly.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss, score = losses.NeymanChiSquared(), jnp.log(4.0)
    assert jnp.isclose(loss.data(score), 3 / 4) and jnp.isclose(loss.sample(score), -1.0)
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, table 2 and appendix.

    Args:
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.
    """

    non_saturating: bool = eqx.field(static=True, default=False)
    degree: ClassVar[int | None] = None

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.square(1 - ratio) / ratio

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -jnp.expm1(-score)

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -2 * jnp.expm1(-score / 2)
