import abc

from jaxtyping import Array, Float

from .._types import Scalar
from ._objective import AbstractObjective
from ._scores import Scores


class AbstractPairLoss(AbstractObjective):
    r"""Pays pairs of a datum and a sample: $V = E_{x,z}\,h(D(x), D(G(z)))$.

    To add one, implement `pair` ($h$) and `generator_pair`, and set `zero_sum` and `degree`, as of an
    `AbstractObjective`. Where expectations are by quadrature all pairs are taken; of a minibatch datum and sample of
    the same row are a pair, as in training.
    """

    @abc.abstractmethod
    def pair(self, real: Float[Array, "*batch"], made: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The discriminator's reward for these scores of a datum and of a sample."""

    @abc.abstractmethod
    def generator_pair(self, real: Float[Array, "*batch"], made: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The generator's loss for these scores of a datum and of a sample."""

    def value(self, scores: Scores) -> Scalar:
        """What the discriminator maximizes."""
        return scores.over_pairs(self.pair)

    def cost(self, scores: Scores) -> Scalar:
        """What the generator minimizes."""
        return scores.over_pairs(self.generator_pair)
