import abc

import equinox as eqx
from jaxtyping import Array, Float

from .._score_loss import AbstractScoreLoss


class AbstractDivergence(AbstractScoreLoss):
    r"""The f-GAN of a convex function $f$ with $f(1) = 0$: $V = E_x T(D(x)) - E_z f^*(T(D(G(z))))$.

    $f^*(t) = \sup_u (u t - f(u))$ is the convex conjugate, and the activation $T$ makes any score a number that $f^*$
    takes. The score of the best discriminator has $T(s) = f'(p_{data}/p_G)$, and the value there is the divergence
    $D_f(p_{data} \Vert p_G) = E_{p_G} f(p_{data}/p_G)$. The activations are shifted so that $T(0) = f'(1)$: score 0 is
    the density ratio 1, and the equilibrium has $D = 0$.

    Near the equilibrium two numbers are all of it: the slope is $T'(0)$ and the curvature $-T'(0)^2 / (2 f''(1))$.

    The game is zero-sum, unless `non_saturating`: then the generator minimizes $-E_z T(D(G(z)))$ in the place of
    $-E_z f^*(T(D(G(z))))$, which has the same slope at equilibrium.

    To add one, implement `convex`, `activation` and `conjugate`, set `degree` as of an `AbstractObjective`, and store
    `non_saturating`.

    Source: Nowozin, Cseke and Tomioka (2016), arXiv:1606.00709, equations 4 to 7, table 2 and section 3.2; the two
    numbers derived here.
    """

    non_saturating: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def convex(self, ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$f(u)$ at density ratios $u > 0$."""

    @abc.abstractmethod
    def activation(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$T(s)$."""

    @abc.abstractmethod
    def conjugate(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$f^*(T(s))$: of the score, since that is often simpler than of $T$."""

    @property
    def zero_sum(self) -> bool:
        """Unless `non_saturating`."""
        return not self.non_saturating

    def data(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$T(s)$."""
        return self.activation(score)

    def sample(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$-f^*(T(s))$."""
        return -self.conjugate(score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$-f^*(T(s))$, or $-T(s)$ if `non_saturating`."""
        return -self.activation(score) if self.non_saturating else -self.conjugate(score)
