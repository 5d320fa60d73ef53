import abc
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._inherited_claims import says
from .._types import Args, Scalar
from ..distributions import equal_weights, Quadrature
from ..losses import AbstractObjective, Scores
from ._game import AbstractGame, Players

Points: TypeAlias = Float[Array, "_ ..."] | Quadrature
Batch: TypeAlias = tuple[Points, Points]
"""Data and latent points: `(data, latent)`, each an array of equally weighted samples or a `Quadrature`."""


def weighted(batch: Args) -> tuple[Quadrature, Quadrature]:
    """Both parts of a minibatch as weighted points, with equal weights unless they bring their own.

    Args:
        batch: `(data, latent)`, each an array with a leading axis over the points, or a `Quadrature`.

    Returns:
        `(data, latent)`.

    Raises:
        ValueError: If `batch` is no pair.
    """
    if not isinstance(batch, tuple) or len(batch) != 2:
        raise ValueError(
            f"`args` must be a minibatch `(data, latent)`, but is {type(batch).__name__}: draw one by "
            "`gan.sample(key, num)`, or take `gan.quadrature(num)`."
        )
    data, latent = (part if isinstance(part, Quadrature) else equal_weights(part) for part in batch)
    return data, latent


def is_minibatch(args: Args) -> bool:
    """Whether data and latent points are drawn samples, a row of each together, and not points of a quadrature."""
    return isinstance(args, tuple) and not any(isinstance(part, Quadrature) for part in args)


class AbstractSampledGame(AbstractGame):
    r"""A game between a discriminator and a generator that meet on samples.

    The `loss` says what both are paid for the scores of data and samples: mostly $V = E_x f(D(x)) + E_z f(-D(G(z)))$,
    of which the discriminator minimizes $-V$ and the generator the second term, or a loss of its own. To add one,
    implement `discriminate`, `generate` and `measures`, and store the `loss`.

    Two methods are optional, for scores and samples that are functions of a whole batch: `scores(discriminator,
    points)` and `samples(generator, points)`, of points with a leading axis. They take the place of `discriminate` and
    `generate` point by point, and are said of those of the same class.

    Raises:
        ValueError: If `loss` is none.
    """

    loss: eqx.AbstractVar[AbstractObjective]

    def __check_init__(self) -> None:
        check_loss(self.loss)

    @abc.abstractmethod
    def discriminate(self, discriminator: PyTree[Array], x: Float[Array, "*event"]) -> Scalar:
        """The score of one sample."""

    @abc.abstractmethod
    def generate(self, generator: PyTree[Array], z: Float[Array, "*latent"]) -> Float[Array, "*event"]:
        """The sample made of one latent point."""

    @abc.abstractmethod
    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The points and weights that stand for the data and for the latent distribution.

        They must not depend on the numbers in `y`: where the data moved with the generator, no game would be zero-sum.
        """

    @property
    def zero_sum(self) -> bool:
        """Whether one backward pass serves both players, as the loss says. Not where `losses` are written anew."""
        of_losses = type(self).losses is AbstractSampledGame.losses
        return of_losses and self.loss.trusted_zero_sum

    def losses(self, y: Players, args: Args) -> Players:
        """What each player minimizes: two scalars."""
        data, latent = self._averaged_over(y, args)
        real = scores_of(self, y.discriminator, data.nodes)
        made = scores_of(self, y.discriminator, samples_of(self, y.generator, latent.nodes))
        scores = Scores(real, made, data.weights, latent.weights, rows=is_minibatch(args))
        return Players(discriminator=-self.loss.value(scores), generator=self.loss.cost(scores))

    def _averaged_over(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """Points that give the means of the losses that `measures` gives: fewer of them, where scores are even."""
        return self.measures(y, args)


def scores_of(game: Any, discriminator: PyTree[Array], points: PyTree[Array]) -> Float[Array, " num"]:
    """The scores of many points: of each by itself, or as the game scores a batch."""
    together = says(game, "scores", "discriminate", otherwise=None)
    if together is not None:
        return together(discriminator, points)
    return jax.vmap(lambda x: game.discriminate(discriminator, x))(points)


def samples_of(game: Any, generator: PyTree[Array], points: PyTree[Array]) -> Any:
    """The samples made of many latent points: of each by itself, or as the game makes a batch."""
    together = says(game, "samples", "generate", otherwise=None)
    if together is not None:
        return together(generator, points)
    return jax.vmap(lambda z: game.generate(generator, z))(points)


def single_score(score: Float[Array, "..."]) -> Scalar:
    """The score of one sample as a scalar.

    Raises:
        ValueError: If there is not exactly one.
    """
    if jnp.size(score) != 1:
        raise ValueError(
            f"`discriminator` must return one score for each sample, but returned shape {jnp.shape(score)}: "
            "give it an output of size 1 or 'scalar', and let it take a single sample."
        )
    return jnp.reshape(score, ())


def check_loss(loss: Any) -> None:
    """Refuses what is no loss.

    Raises:
        ValueError: If it is a class, a name or anything else that has no `value` and `cost`.
    """
    if isinstance(loss, type):
        raise ValueError(f"`loss` must be an instance, but is the class {loss.__name__}: write `{loss.__name__}()`.")
    if not (callable(getattr(loss, "value", None)) and callable(getattr(loss, "cost", None))):
        raise ValueError(
            f"`loss` must be one of `gan_ode.losses`, but is {loss!r}: for example `losses.Wasserstein()`, or an "
            "`AbstractLoss` of your own."
        )
