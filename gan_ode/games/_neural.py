from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._types import Scalar
from ..distributions import AbstractDistribution
from ..losses import AbstractObjective
from . import _modules
from ._drawn import AbstractDrawnGame
from ._game import Players
from ._sampled import single_score


class GAN(AbstractDrawnGame):
    """A GAN made of any two Equinox modules, a loss and two distributions.

    The state is the modules' floating-point arrays alone: `players` gives the initial one, `modules` puts the modules
    back together. Activations, sizes and integer arrays stay in the game. The losses are means over the minibatch
    that comes as `args`.

    Any layers do that make a function of the parameters and of one sample: linear, convolutional, recurrent,
    attention; normalized within a sample (`equinox.nn.LayerNorm`, `GroupNorm`, `RMSNorm`) or in the weights
    (`equinox.nn.WeightNorm`, `networks.SpectralNorm`). What couples samples, carries state from call to call or draws
    random numbers is refused: `equinox.nn.BatchNorm`, `equinox.nn.SpectralNorm`, active `equinox.nn.Dropout`. Networks
    of Flax, of Haiku or of plain JAX are taken by `from_apply`.

    Args:
        discriminator: Called on one sample; returns a score of shape `()` or `(1,)`.
        generator: Called on one latent point; returns one sample.
        loss: The GAN loss, for example `losses.Minimax()`.
        data: Where data are drawn from.
        latent: Where latent points are drawn from.

    Raises:
        ValueError: If a player has no parameters, as functions that hold arrays and modules of other libraries have
            none for JAX; or if a layer makes no such function. The text names it, and what to take instead.
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

    def discriminate(self, discriminator: PyTree[Array], x: Float[Array, "*event"]) -> Scalar:
        """The score of one sample."""
        return single_score(eqx.combine(discriminator, self.rest.discriminator)(x))

    def generate(self, generator: PyTree[Array], z: Float[Array, "*latent"]) -> Float[Array, "*event"]:
        """The sample made of one latent point."""
        return eqx.combine(generator, self.rest.generator)(z)
