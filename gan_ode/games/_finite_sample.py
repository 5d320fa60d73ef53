import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .. import _checks, _tree
from .._types import Args, Scalar
from ..distributions import equal_weights, Quadrature
from ..losses import AbstractObjective
from ._game import Players
from ._sampled import AbstractSampledGame, Batch, Points, weighted


class FiniteSample(AbstractSampledGame):
    r"""A game learnt from a finite sample: the players meet on these data, all of them at once, and on no others.

    Any game of scores and samples takes points as `args`, and a `GAN` takes `distributions.Empirical(points)` as data;
    here the sample belongs to the game, so that whatever asks for no `args` (spectra, basins, verdicts, experiments)
    sees the game of the sample: its equilibrium is that of the sample's moments, and not of the distribution's. For
    `LinearQuadratic` these are $(0, \pm\sqrt{m_2/E z^2})$ with $m_2 = \tfrac1N \sum x_i^2$, and the Jacobian's damping
    is $f''(0) (m_4 + a^4 E z^4)$.

    ```python
    import jax.numpy as jnp
    from gan_ode import fields, games, losses

    sample = jnp.array([-0.9, 0.1, 0.5])
    game = games.FiniteSample(games.LinearQuadratic(losses.Minimax()), sample)
    there = games.Players(jnp.array(0.0), jnp.sqrt(3 * jnp.mean(sample**2)))
    assert fields.velocity_size(fields.GameField(game), there) < 1e-6
    ```

    Source: derived here.

    Args:
        game: The game of scores and samples.
        data: The sample: points with a leading axis, of equal weights, or a `Quadrature`.
        latent: Latent points, likewise; by default those of the game, for games that have some without a minibatch.

    Raises:
        ValueError: If `game` scores no samples or writes its losses anew, or there are no data.
    """

    game: AbstractSampledGame
    loss: AbstractObjective
    data: Quadrature
    latent: Quadrature | None

    def __init__(self, game: AbstractSampledGame, data: Points, latent: Points | None = None):
        if getattr(type(game), "losses", None) is not AbstractSampledGame.losses:
            raise ValueError(
                f"`game` must be a game of scores and samples with the losses that its `loss` gives, but is "
                f"{type(game).__name__}: penalties go around this game, not into it."
            )
        self.game, self.loss = game, game.loss
        self.data = _weighted("data", data)
        self.latent = None if latent is None else _weighted("latent", latent)

    def discriminate(self, discriminator: PyTree[Array], x: Float[Array, "*event"]) -> Scalar:
        """The score of one sample."""
        return self.game.discriminate(discriminator, x)

    def generate(self, generator: PyTree[Array], z: Float[Array, "*latent"]) -> Float[Array, "*event"]:
        """The sample made of one latent point."""
        return self.game.generate(generator, z)

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The sample and the latent points; of a minibatch what it holds."""
        if args is not None:
            return weighted(args)
        dtype = _tree.dtype(y)
        latent = self.game.measures(y, None)[1] if self.latent is None else self.latent
        data, latent = jax.tree.map(lambda leaf: leaf.astype(dtype), (self.data, latent))
        return data, latent

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch of `num` points each, drawn with replacement, to be handed to the field as `args`."""
        data_key, latent_key = jax.random.split(key)
        _checks.count("num", num)
        if self.latent is not None:
            return _draw(data_key, num, self.data), _draw(latent_key, num, self.latent)
        own = getattr(self.game, "sample", None)
        if own is None:
            raise ValueError(f"`latent` must be given to draw minibatches: {type(self.game).__name__} draws none.")
        return _draw(data_key, num, self.data), own(latent_key, num)[1]


def _weighted(name: str, points: Points) -> Quadrature:
    shape = (points.nodes if isinstance(points, Quadrature) else points).shape
    if not shape or not shape[0]:
        raise ValueError(f"`{name}` must hold at least one point along its first axis, but has shape {shape}.")
    return points if isinstance(points, Quadrature) else equal_weights(points)


def _draw(key: PRNGKeyArray, num: int, points: Quadrature) -> Array:
    return jax.random.choice(key, points.nodes, (num,), p=points.weights)
