from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks
from .._types import RealScalarLike
from ._score_loss import AbstractScoreLoss, check_base


class LeCam(AbstractScoreLoss):
    r"""A loss with the LeCam regularizer, which holds the scores of data and samples near each other's anchor.

    The discriminator pays $\lambda (E_x (D(x) + \alpha)^2 + E_z (D(G(z)) - \alpha)^2)$ beside the base loss: scores of
    data are held at the anchor $-\alpha$ of samples, and the other way round. The generator pays as in the base loss.
    The curvature falls by $2\lambda$ and the discriminator's slope by $2\lambda\alpha$, so that
    $2\lambda\alpha$ has to stay below the base's slope. With `Wasserstein` as the base, the generator of a perfect
    discriminator minimizes the LeCam divergence: $(\tfrac{1}{2\lambda} - \alpha) \int (p - q)^2/(p + q)$.

    In the paper the anchors are moving averages of the scores of the other kind. At equilibrium those are the
    equilibrium's score; here the anchors are constants, as in the paper's analysis.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    loss = losses.LeCam(losses.Wasserstein(), weight=0.3, anchor=0.5)
    assert jnp.isclose(loss.sample(jnp.array(0.5)), -0.5)  # a sample at its anchor
    ```

    Source: Tseng et al. (2021), arXiv:2104.07425, section 3 and proposition 1; rederived.

    Args:
        base: The loss that is regularized.
        weight: $\lambda \ge 0$; the paper takes 0.1 to 0.3 and less.
        anchor: $\alpha$, the anchor of data; that of samples is $-\alpha$.

    Raises:
        ValueError: If `base` pays no scores, `weight` is negative or not finite, or `anchor` is not finite; the numbers
            under a transformation a RuntimeError, when it runs.
    """

    base: AbstractScoreLoss
    weight: Float[Array, ""]
    anchor: Float[Array, ""]
    zero_sum: ClassVar[bool] = False

    def __init__(self, base: AbstractScoreLoss, weight: RealScalarLike, anchor: RealScalarLike = 0.0):
        check_base(base)
        self.base = base
        self.weight = _checks.not_negative("weight", weight, "A negative weight drives the scores apart.")
        self.anchor = _checks.number("anchor", anchor)

    @property
    def degree(self) -> int | None:
        """That of the base, or 2."""
        of_base = self.base.trusted_degree
        return None if of_base is None else max(of_base, 2)

    def data(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.base.data(score) - self._pull(score + self.anchor.astype(score.dtype))

    def sample(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.base.sample(score) - self._pull(score - self.anchor.astype(score.dtype))

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.base.generator(score)

    def _pull(self, off: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self.weight.astype(off.dtype) * jnp.square(off)
