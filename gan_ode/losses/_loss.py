import abc

from jaxtyping import Array, Float

from ._score_loss import AbstractScoreLoss


class AbstractLoss(AbstractScoreLoss):
    r"""Pays data and samples by one function: $V = E_x f(D(x)) + E_z f(-D(G(z)))$.

    To add one, implement `f` and `generator`, and set `zero_sum` and `degree`, as of an `AbstractObjective`. Here
    `slope` is $f'(0)$ and `curvature` $f''(0)$, and the equilibrium has $D = 0$.
    """

    @abc.abstractmethod
    def f(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The discriminator's reward for giving `score` to data, or `-score` to a generated sample."""

    def data(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$f(s)$."""
        return self.f(score)

    def sample(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """$f(-s)$."""
        return self.f(-score)
