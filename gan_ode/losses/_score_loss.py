import abc
from typing import Any

from jaxtyping import Array, Float

from .._types import Scalar
from ._objective import AbstractObjective
from ._scores import Scores


class AbstractScoreLoss(AbstractObjective):
    r"""Pays data by one function of the score and samples by another: $V = E_x P(D(x)) + E_z Q(D(G(z)))$.

    To add one, implement `data` ($P$), `sample` ($Q$) and `generator`, and set `zero_sum` and `degree`, as of an
    `AbstractObjective`. A zero-sum loss has `generator` equal to `sample`. Where $P(s) = Q(-s)$, an `AbstractLoss` is
    shorter.
    """

    @abc.abstractmethod
    def data(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The discriminator's reward for giving data this score."""

    @abc.abstractmethod
    def sample(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The discriminator's reward for giving a generated sample this score."""

    @abc.abstractmethod
    def generator(self, score: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The generator's loss for a generated sample with this score."""

    def value(self, scores: Scores) -> Scalar:
        """What the discriminator maximizes."""
        return scores.over_data(self.data(scores.data)) + scores.over_samples(self.sample(scores.samples))

    def cost(self, scores: Scores) -> Scalar:
        """What the generator minimizes."""
        return scores.over_samples(self.generator(scores.samples))


def check_base(base: Any) -> None:
    """Refuses what no loss can be made of.

    Raises:
        ValueError: If it is a class, or pays no scores.
    """
    if isinstance(base, type):
        raise ValueError(f"`base` must be an instance, but is the class {base.__name__}: write `{base.__name__}()`.")
    if not isinstance(base, AbstractScoreLoss):
        raise ValueError(
            f"`base` must pay data and samples by functions of their scores, but is {base!r}: take an "
            "`AbstractScoreLoss`, for example `losses.Minimax()`."
        )
