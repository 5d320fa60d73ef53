import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar


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
