from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._divergence import AbstractDivergence


class SquaredHellinger(AbstractDivergence):
    r"""The squared Hellinger distance, $\int (\sqrt{p_{data}} - \sqrt{p_G})^2$: $f(u) = (\sqrt u - 1)^2$.

    $T(s) = 1 - e^{-s}$ and $f^*(t) = t/(1 - t)$, so that samples are paid $1 - e^s$: but for a constant it is the
    exponential loss, the one function $-e^{-x}$ for data and samples. The score of the best discriminator is half of
    the logarithm of the density ratio. Slope 1, curvature $-1$.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss, score = losses.SquaredHellinger(), jnp.log(2.0)
    assert jnp.isclose(loss.data(score), 0.5) and jnp.isclose(loss.sample(score), -1.0)
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, table 2 and appendix; the exponential loss: Nguyen,
    Wainwright and Jordan (2009), arXiv:math/0510521.

    Args:
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.
    """

    non_saturating: bool = eqx.field(static=True, default=False)
    degree: ClassVar[int | None] = None

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.square(jnp.sqrt(ratio) - 1)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -jnp.expm1(-score)

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.expm1(score)
