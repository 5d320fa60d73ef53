from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from ._divergence import AbstractDivergence


class KL(AbstractDivergence):
    r"""Kullback and Leibler's divergence $\mathrm{KL}(p_{data} \Vert p_G)$: $f(u) = u \log u$, $T(s) = 1 + s$.

    $f^*(t) = e^{t - 1}$, so that samples are paid $-e^s$. The score of the best discriminator is the logarithm of the
    density ratio. Slope 1, curvature $-1/2$. The payment of samples grows as an exponential: large scores are punished
    hard, and overflow beyond 88 in float32.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss, score = losses.KL(), jnp.log(2.0)
    assert jnp.isclose(loss.data(score), 1 + jnp.log(2.0)) and jnp.isclose(loss.sample(score), -2.0)
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, table 2 and appendix.

    Args:
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.
    """

    non_saturating: bool = eqx.field(static=True, default=False)
    degree: ClassVar[int | None] = None

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return xlogy(ratio, ratio)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return 1 + score

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.exp(score)
