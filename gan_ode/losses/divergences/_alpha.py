from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks
from ..._types import RealScalarLike
from ._divergence import AbstractDivergence


class Alpha(AbstractDivergence):
    r"""The alpha-divergence: $f(u) = \dfrac{u^\alpha - 1 - \alpha (u - 1)}{\alpha (\alpha - 1)}$, $T(s) = s$.

    $f^*(t) = ((1 + (\alpha - 1) t)^{\alpha/(\alpha - 1)} - 1)/\alpha$ and, as limits, $e^t - 1$ at $\alpha = 1$, where
    it is `KL`, and $-\log(1 - t)$ at $\alpha = 0$, the divergence of `ReverseKL`; at $\alpha = 2$ it is half of
    Pearson's, at $-1$ half of Neyman's, at $1/2$ twice the squared Hellinger distance. The score of the best
    discriminator is $(u^{\alpha - 1} - 1)/(\alpha - 1)$ at the density ratio $u$. Slope 1 and curvature $-1/2$ for
    every $\alpha$: near the equilibrium they are all alike.

    For $\alpha < 1$ scores of samples end at $1/(1 - \alpha)$, beyond which $f^*$ is infinite; for $\alpha > 1$ scores
    below $-1/(\alpha - 1)$ stand for the ratio 0, and $f^*$ stays at $-1/\alpha$.

    ```python
    import jax.numpy as jnp
    from gan_ode import losses

    score = jnp.array(0.3)
    assert jnp.isclose(losses.Alpha(1.0).sample(score), losses.KL().sample(score) + 1)
    ```

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, appendix, with $f$ over $\alpha (\alpha - 1)$; the
    limits and what lies beyond the ends rederived.

    Args:
        alpha: $\alpha$; 0 and 1 are included.
        non_saturating: Whether the generator minimizes $-E_z T(D(G(z)))$ in the place of $-E_z f^*(T(D(G(z))))$.

    Raises:
        ValueError: If `alpha` is not finite; under a transformation a RuntimeError, when it runs.
    """

    alpha: Float[Array, ""]
    non_saturating: bool = eqx.field(static=True)
    degree: ClassVar[int | None] = None

    def __init__(self, alpha: RealScalarLike, *, non_saturating: bool = False):
        self.alpha = _checks.number("alpha", alpha)
        self.non_saturating = non_saturating

    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        alpha = self.alpha.astype(ratio.dtype)
        log = jnp.log(ratio)
        # f(u) = (u g(alpha - 1) - g(alpha)) with g(k) = (u^k - 1)/k, which is exact at both limits.
        return ratio * _power(log, alpha - 1) - _power(log, alpha)

    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return score

    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        alpha = self.alpha.astype(score.dtype)
        k = alpha - 1
        inside = k * score > -1
        found = _power(_log_ratio(jnp.where(inside, score, 0), k), alpha)
        # The ratio 0; or none at all, where the slope is infinite, too: one of zero would look like a place to rest.
        nowhere = jnp.where(k > 0, 0, jnp.inf) * jnp.where(inside, 1, score)
        return jnp.where(inside, found, jnp.where(k > 0, -1 / jnp.where(k > 0, alpha, 1), nowhere))


def _power(log: Array, k: Array) -> Array:
    """(u^k - 1)/k of log u, and its limit log u; with the first derivative in k there."""
    flat = k == 0
    return jnp.where(flat, log + k * log**2 / 2, jnp.expm1(k * log) / jnp.where(flat, 1, k))


def _log_ratio(score: Array, k: Array) -> Array:
    """log u with (u^k - 1)/k = s, and its limit s; with the first derivative in k there."""
    flat = k == 0
    return jnp.where(flat, score - k * score**2 / 2, jnp.log1p(k * score) / jnp.where(flat, 1, k))
