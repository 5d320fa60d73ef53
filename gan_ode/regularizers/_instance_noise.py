from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .. import _checks
from .._types import Args, RealScalarLike, Scalar
from ..distributions import Quadrature
from ..games import AbstractSampledGame, Players, weighted
from ..games._sampled import is_minibatch
from ..losses import AbstractObjective
from ._noise import normal_nodes

_REMEDY = "take minibatches, `sample(key, num)` of the `InstanceNoise`, which draw the noise."


class _Noisy(eqx.Module):
    """Points, data or latent ones, each with the standard normal noise that is added to its sample."""

    points: Any
    noise: Array


class InstanceNoise(AbstractSampledGame):
    r"""A game whose discriminator sees data and samples under noise.

    With independent normal $\varepsilon$ of standard deviation $s$,
    $V = E\, f(D(x + \varepsilon)) + E\, f(-D(G(z) + \varepsilon))$: both distributions are blurred alike, so that they
    overlap, and a generator that makes the data still does. Near such an equilibrium small noise damps as `R1` and `R2`
    do, with $\gamma = -f''(0) s^2$ each. On the Dirac-GAN the blur gives the curvature $f''(0)$ something to act on:
    the eigenvalues move from $\pm i/2$ to $-s^2/4 \pm \sqrt{s^4/16 - 1/4}$ for the minimax loss. A Wasserstein GAN,
    whose $f''$ is 0, is not damped.

    It is a game of scores and samples like any other, zero-sum if the game is. Where that one takes quadrature, the
    noise is by Gauss-Hermite nodes for each dimension of a sample, exact for scores and losses that are polynomials;
    where it takes minibatches, these come with noise of their own:

    ```python
    import jax
    from gan_ode import fields, games, losses, regularizers

    game = regularizers.InstanceNoise(games.LinearQuadratic(losses.Minimax()), 0.5)
    exact = fields.GameField(game)(0.0, game.equilibrium)
    batch = game.sample(jax.random.key(0), 64)
    drawn = fields.GameField(game)(0.0, game.equilibrium, batch)
    ```

    Penalties go around it, `Penalized(InstanceNoise(game, std), penalty)`, and look at the noisy points.

    Source: Sønderby et al. (2016), arXiv:1610.04490; Arjovsky and Bottou (2017), arXiv:1701.04862; the
    relation to gradient penalties in Roth et al. (2017), arXiv:1705.09367. The eigenvalues are those of Mescheder,
    Geiger and Nowozin (2018), arXiv:1801.04406, rederived.

    Args:
        game: A game of scores and samples, without penalties.
        std: $s \ge 0$, in units of a sample. It may be traced; draws of noise are scaled by it.
        num_nodes: Nodes for each dimension of a sample, for quadrature.

    Raises:
        ValueError: If `std` is negative or not finite (under a transformation a RuntimeError, when it runs); if `game`
            scores no samples or has losses of its own making; if quadrature would take too many nodes, or a minibatch
            has no noise.
    """

    game: AbstractSampledGame
    std: Float[Array, ""]
    num_nodes: int = eqx.field(static=True)

    def __init__(self, game: Any, std: RealScalarLike, *, num_nodes: int = 20):
        if hasattr(game, "penalty"):
            raise ValueError(
                "`game` must come without penalties: write `Penalized(InstanceNoise(game, std), penalty)`, whose "
                "penalty sees the noise."
            )
        if not isinstance(game, AbstractSampledGame) or type(game).losses is not AbstractSampledGame.losses:
            raise ValueError(
                "`game` must be an `AbstractSampledGame` whose losses are those of its scores, but "
                f"{type(game).__name__} is not: there is nothing that noise could be added to before it is scored."
            )
        self.game = game
        self.std = _checks.not_negative("std", std, "It is the size of the noise.")
        self.num_nodes = _checks.count("num_nodes", num_nodes)

    @property
    def loss(self) -> AbstractObjective:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the game."""
        return self.game.loss

    @property
    def equilibrium(self) -> Players:
        """That of the game, where it has one at which samples and data are alike."""
        game: Any = self.game
        return game.equilibrium

    def discriminate(self, discriminator: PyTree[Array], x: Float[Array, "*event"]) -> Scalar:
        """The score of one sample, which is noisy already."""
        return self.game.discriminate(discriminator, x)

    def generate(self, generator: PyTree[Array], z: Any) -> Float[Array, "*event"]:
        """The noisy sample made of one latent point and its noise."""
        made = self.game.generate(generator, z.points)
        return self._blurred(made, z.noise)

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """Noisy data, and latent points with the noise of their samples."""
        if not is_minibatch(args):
            return self._by_quadrature(*self.game.measures(y, args))
        if not all(isinstance(part, _Noisy) for part in args):
            raise ValueError(
                "`args` must be a minibatch with noise, but has none: draw it by `sample(key, num)` of the "
                "`InstanceNoise`, in the place of that of its game."
            )
        data, latent = self.game.measures(y, tuple(part.points for part in args))
        noisy = Quadrature(self._blurred(data.nodes, args[0].noise), data.weights)
        return noisy, Quadrature(_Noisy(latent.nodes, args[1].noise), latent.weights)

    def sample(self, key: PRNGKeyArray, num: int = 512) -> tuple[Any, Any]:
        """A minibatch `(data, latent)` of the game with the noise of `num` samples each, for the field as `args`."""
        game: Any = self.game
        if not hasattr(game, "sample"):
            raise ValueError(f"`game` must have a method `sample(key, num)`, but {type(game).__name__} has none.")
        batch_key, *keys = jax.random.split(key, 3)
        data, latent = weighted(game.sample(batch_key, num))
        of_data, of_samples = (jax.random.normal(each, data.nodes.shape, data.nodes.dtype) for each in keys)
        return _Noisy(data.nodes, of_data), _Noisy(latent.nodes, of_samples)

    def quadrature(self, num: int) -> tuple[Quadrature, Quadrature]:
        """Nodes and weights of the game, in the place of a minibatch; the noise is added to them by quadrature."""
        game: Any = self.game
        return game.quadrature(num)

    def _blurred(self, points: Float[Array, "*any"], noise: Float[Array, "*any"]) -> Float[Array, "*any"]:
        return points + self.std.astype(points.dtype) * noise.astype(points.dtype)

    def _by_quadrature(self, data: Quadrature, latent: Quadrature) -> tuple[Quadrature, Quadrature]:
        unit = normal_nodes(data.nodes.shape[1:], self.num_nodes, data.nodes.dtype, _REMEDY)
        repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, len(unit.weights), axis=0), (data, latent))
        of_data, of_samples = (
            jnp.tile(unit.nodes, (len(part.weights),) + (1,) * (unit.nodes.ndim - 1)) for part in (data, latent)
        )
        weights = [jnp.outer(part.weights, unit.weights.astype(part.weights.dtype)).ravel() for part in (data, latent)]
        noisy = Quadrature(self._blurred(repeated[0].nodes, of_data), weights[0])
        return noisy, Quadrature(_Noisy(repeated[1].nodes, of_samples), weights[1])
