from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._log_sigmoid import log_sigmoid
from ._loss import AbstractLoss


class MaximumLikelihood(AbstractLoss):
    r"""The usual discriminator, and a generator that maximizes likelihood: it minimizes $-\tfrac12 E_z e^{D(G(z))}$.

    Where the discriminator is perfect, $e^D = p_{data}/p_G$, the generator's gradient is that of $\tfrac12
    \mathrm{KL}(p_{data} \Vert p_G)$. It has the Jacobian of `Minimax` at equilibrium, and is not zero-sum. Far from it
    the exponential rules: on the linear-quadratic GAN the generator can grow without bound in a finite time.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    assert jnp.isclose(losses.MaximumLikelihood().generator(jnp.log(4.0)), -2.0)
    ```

    Source: Goodfellow (2016), arXiv:1701.00160, section 3.2.5.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return log_sigmoid(score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -0.5 * jnp.exp(score)
