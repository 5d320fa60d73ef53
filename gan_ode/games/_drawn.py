import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from .. import _checks
from .._types import Args
from ..distributions import AbstractDistribution, Quadrature
from ._game import Players
from ._sampled import AbstractSampledGame, Batch, weighted


class AbstractDrawnGame(AbstractSampledGame):
    """A game of scores and samples whose points come as a minibatch, drawn from two distributions.

    To make one, implement `discriminate` and `generate`, and store `players`, `loss`, `data` and `latent`.

    Attributes:
        players: The initial state.
        data: Where data are drawn from.
        latent: Where latent points are drawn from.
    """

    players: eqx.AbstractVar[Players]
    data: eqx.AbstractVar[AbstractDistribution]
    latent: eqx.AbstractVar[AbstractDistribution]

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch `(data, latent)` of `num` samples each, to be handed to the field as `args`."""
        data_key, latent_key = jax.random.split(key)
        _checks.count("num", num)
        return self.data.sample(data_key, num), self.latent.sample(latent_key, num)

    def quadrature(self, num: int) -> Batch:
        """Nodes and weights in the place of a minibatch, where both distributions have them."""
        return self.data.quadrature(num), self.latent.quadrature(num)

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The minibatch, with equal weights unless it brings its own."""
        return weighted(args)
