r"""What the two players are paid for a score.

A discriminator $D$ gives every sample a score, and is paid $f(D(x))$ for data and $f(-D(G(z)))$ for generated samples,
with $f$ concave. The value of the game is $V = E_x f(D(x)) + E_z f(-D(G(z)))$: the discriminator maximizes it; the
generator minimizes it when the game is zero-sum, and otherwise minimizes a loss of its own. The theory needs $f$ only
through $f'(0)$ and $f''(0)$.

Source: the form with $f$ is that of Nagarajan and Kolter (2017), arXiv:1706.04156, equation 1.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._types import Scalar


@jax.custom_jvp
def _log_sigmoid(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""$-\log(1 + e^{-x})$, whose derivative is taken as $1/(1 + e^x)$.

    JAX's own derives it from the value, which takes an exponential and a logarithm more: five times the time.
    """
    return jax.nn.log_sigmoid(x)


@_log_sigmoid.defjvp
def _slope_of_log_sigmoid(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (change,) = primals, tangents
    return _log_sigmoid(x), jax.nn.sigmoid(-x) * change


class AbstractLoss(eqx.Module):
    """How scores are paid. To add one, implement `f` and `generator`, and set `zero_sum` and `degree`.

    Both are said of the `f` and `generator` of the same class. A class made of it that writes one of these anew has to
    say them anew: what it inherits is not trusted, and two backward passes and many nodes are taken.

    Attributes:
        zero_sum: Whether the generator's loss is the part of the value that it has a say in, $E_z f(-D(G(z)))$; then
            one backward pass serves both players.
        degree: Degree of `f` as a polynomial, or None if it is none. It tells how many quadrature nodes are exact.
    """

    zero_sum: eqx.AbstractClassVar[bool]
    degree: eqx.AbstractClassVar[int | None]

    @abc.abstractmethod
    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The discriminator's reward for giving `score` to data, or `-score` to a generated sample."""

    @abc.abstractmethod
    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The generator's loss for a generated sample with this score."""

    @property
    def slope(self) -> Scalar:
        """$f'(0)$, by automatic differentiation."""
        return jax.grad(self.f)(jnp.zeros(()))

    @property
    def curvature(self) -> Scalar:
        """$f''(0)$, by automatic differentiation."""
        return jax.grad(jax.grad(self.f))(jnp.zeros(()))


class Minimax(AbstractLoss):
    r"""The usual GAN, saturating: $f(x) = -\log(1 + e^{-x})$, zero-sum.

    $f'(0) = 1/2$ and $f''(0) = -1/4$. Written as a log-sigmoid, it is finite, with finite gradients, for scores of any
    size; `log(1 - sigmoid(x))` is not beyond about 17 in float32.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, equation 1, with $D$ the logit.
    """

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return _log_sigmoid(score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return _log_sigmoid(-score)


class NonSaturating(AbstractLoss):
    r"""The GAN that is usually run: $f$ as in `Minimax`, and the generator minimizes $-E_z f(D(G(z)))$.

    It has the equilibria of `Minimax` and the same Jacobian there, but is not zero-sum.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, section 3.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return _log_sigmoid(score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -_log_sigmoid(score)


class Wasserstein(AbstractLoss):
    r"""The Wasserstein GAN without its constraint: $f(x) = x$, zero-sum; $f'(0) = 1$ and $f''(0) = 0$.

    With no curvature nothing damps the rotation: the flow can cycle for ever.

    Source: Arjovsky, Chintala and Bottou (2017), arXiv:1701.07875, equation 2.
    """

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = 1

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return score

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -score


class LeastSquares(AbstractLoss):
    r"""The least-squares GAN with labels $\pm 1$: $f(x) = -(1 - x)^2 / 2$; the generator minimizes $E_z (1 - D)^2 / 2$.

    $f'(0) = 1$ and $f''(0) = -1$. The generator's target is the label of data (the usual choice), so the game is not
    zero-sum. The labels are symmetric, unlike the paper's 0 and 1, so that the equilibrium has $D = 0$.

    Source: Mao et al. (2017), arXiv:1611.04076, equation 2, with a = -1, b = c = 1.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = 2

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -0.5 * jnp.square(1 - score)

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return 0.5 * jnp.square(1 - score)


class Hinge(AbstractLoss):
    r"""The hinge GAN: $f(x) = \min(0, x - 1)$; the generator minimizes $-E_z D(G(z))$; not zero-sum.

    $f'(0) = 1$ and $f''(0) = 0$: near $D = 0$ it is the Wasserstein GAN. The kink is at a score of 1.

    Source: Lim and Ye (2017), arXiv:1705.02894, equations 11 to 12.
    """

    zero_sum: ClassVar[bool] = False
    degree: ClassVar[int | None] = None

    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.minimum(score - 1, jnp.zeros_like(score))

    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -score
