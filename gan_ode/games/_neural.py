from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .. import _checks
from .._types import Args, Scalar
from ..distributions import AbstractDistribution, Quadrature
from ..losses import AbstractObjective
from . import _modules
from ._game import Players
from ._sampled import AbstractSampledGame, Batch, weighted


class GAN(AbstractSampledGame):
    """A GAN made of any two Equinox modules, a loss and two distributions.

    The state is the modules' floating-point arrays alone: `players` gives the initial one, `modules` puts the modules
    back together. Activations, sizes and integer arrays stay in the game. The losses are means over the minibatch
    that comes as `args`.

    Any layers do that make a function of the parameters and of one sample: linear, convolutional, recurrent,
    attention; normalized within a sample (`equinox.nn.LayerNorm`, `GroupNorm`, `RMSNorm`) or in the weights
    (`equinox.nn.WeightNorm`, `networks.SpectralNorm`). What couples samples, carries state from call to call or draws
    random numbers is refused: `equinox.nn.BatchNorm`, `equinox.nn.SpectralNorm`, active `equinox.nn.Dropout`.

    Args:
        discriminator: Called on one sample; returns a score of shape `()` or `(1,)`.
        generator: Called on one latent point; returns one sample.
        loss: What scores are paid.
        data: Where data are drawn from.
        latent: Where latent points are drawn from.

    Raises:
        ValueError: If a layer makes no such function; the text names it, and what to take instead.
    """

    players: Players
    rest: Players
    loss: AbstractObjective
    data: AbstractDistribution
    latent: AbstractDistribution

    def __init__(
        self,
        discriminator: Any,
        generator: Any,
        loss: AbstractObjective,
        *,
        data: AbstractDistribution,
        latent: AbstractDistribution,
    ):
        _modules.check("discriminator", discriminator)
        _modules.check("generator", generator)
        self.players, self.rest = eqx.partition(Players(discriminator, generator), eqx.is_inexact_array)
        self.loss = loss
        self.data = data
        self.latent = latent

    def modules(self, y: Players) -> tuple[Any, Any]:
        """The discriminator and the generator with the parameters of a state."""
        players = eqx.combine(y, self.rest)
        return players.discriminator, players.generator

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch `(data, latent)` of `num` samples each, to be handed to the field as `args`."""
        data_key, latent_key = jax.random.split(key)
        _checks.count("num", num)
        return self.data.sample(data_key, num), self.latent.sample(latent_key, num)

    def quadrature(self, num: int) -> Batch:
        """Nodes and weights in the place of a minibatch, where both distributions have them."""
        return self.data.quadrature(num), self.latent.quadrature(num)

    def discriminate(self, discriminator: PyTree[Array], x: Float[Array, "*event"]) -> Scalar:
        """The score of one sample."""
        score = eqx.combine(discriminator, self.rest.discriminator)(x)
        if jnp.size(score) != 1:
            raise ValueError(
                f"`discriminator` must return one score for each sample, but returned shape {jnp.shape(score)}: "
                "give it an output of size 1 or 'scalar', and let it take a single sample."
            )
        return jnp.reshape(score, ())

    def generate(self, generator: PyTree[Array], z: Float[Array, "*latent"]) -> Float[Array, "*event"]:
        """The sample made of one latent point."""
        return eqx.combine(generator, self.rest.generator)(z)

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The minibatch, with equal weights unless it brings its own."""
        return weighted(args)
