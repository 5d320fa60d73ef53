from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._divergence import AbstractDivergence


class ReverseKL(AbstractDivergence):
    r"""The reverse divergence $\mathrm{KL}(p_G \Vert p_{data})$: $f(u) = -\log u$, $T(s) = -e^{-s}$.

    $f^*(t) = -1 - \log(-t)$, so that samples are paid $1 - s$. The score of the best discriminator is the logarithm of
    the density ratio. Slope 1, curvature $-1/2$: near the equilibrium it is `KL`.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss, score = losses.ReverseKL(), jnp.log(2.0)
    assert jnp.isclose(loss.data(score), -0.5) and jnp.isclose(loss.sample(score), 1 - jnp.log(2.0))
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, table 2 and appendix.

    Args:
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.
    """

    non_saturating: bool = eqx.field(static=True, default=False)
    degree: ClassVar[int | None] = None

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -jnp.log(ratio)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -jnp.exp(-score)

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return score - 1
