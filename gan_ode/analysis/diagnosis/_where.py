"""Where a run is: speeds, rotation, each player's own curvature, and scores."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray

from ... import _optimizers, _tree
from ..._lowering import jit
from ..._types import Args, Field, State
from ...games import Players
from ...games._sampled import is_minibatch, samples_of, scores_of
from ...losses import Scores
from ...regularizers import unwrap
from ..spectra._arnoldi import OfField
from . import _thresholds
from ._budget import Budget
from ._result import Extremes, Logits
from ._spectrum import search
from ._training import Training


def speeds(at: Training) -> Players:
    """The norm of each player's velocity."""
    if not isinstance(at.velocity, Players):
        return Players(float(_tree.norm(at.velocity)), float("nan"))
    return Players(float(_tree.norm(at.velocity.discriminator)), float(_tree.norm(at.velocity.generator)))


def rotation(at: Training, matrix: np.ndarray | None, key: PRNGKeyArray, budget: Budget) -> tuple[float, float]:
    """The antisymmetric part's share of the squared Jacobian, and its standard error."""
    if matrix is not None:
        turning, downhill = np.sum((matrix - matrix.T) ** 2), np.sum((matrix + matrix.T) ** 2)
        return (float(turning / (turning + downhill)) if turning + downhill > 0 else float("nan")), 0.0
    num = _thresholds.NUM_PROBES
    budget.require(2 * _thresholds.PRODUCT * num)
    budget.spend(2 * _thresholds.PRODUCT * num)
    squares = np.asarray(_squares(at.field, at.y, at.args, jax.random.split(key, num)), np.float64)
    turning, both = squares[:, 0], np.sum(squares, axis=1)
    share = float(np.sum(turning) / np.sum(both))
    # Of a ratio of means.
    error = np.std(turning - share * both, ddof=1) / np.sqrt(num) / np.mean(both)
    return share, float(error)


@jit
def _squares(field: Field, y: State, args: Args, keys: PRNGKeyArray) -> Array:
    flat, restore = ravel_pytree(y)
    _, along = jax.linearize(lambda x: ravel_pytree(field(0.0, restore(x), args))[0], flat)
    against = jax.linear_transpose(along, flat)

    def one(key: PRNGKeyArray) -> Array:
        signs = jax.random.rademacher(key, flat.shape, flat.dtype)
        image, (transposed,) = along(signs), against(signs)
        return jnp.stack([jnp.sum((image - transposed) ** 2), jnp.sum((image + transposed) ** 2)])

    return jax.lax.map(one, keys)


class _OwnField(eqx.Module):
    """A player's velocity as a field of its own parameters."""

    field: Field
    whole: Players
    player: str = eqx.field(static=True)

    def __call__(self, t: Any, part: State, args: Args = None) -> State:
        return getattr(self.field(t, _optimizers.with_player(self.whole, self.player, part), args), self.player)


def curvatures(at: Training, matrix: np.ndarray | None, budget: Budget) -> Players | None:
    """Extremes of each player's own curvature."""
    if at.split is None:
        return None
    if matrix is not None:
        parts = (slice(None, at.split), slice(at.split, None))
        return Players(*(_extremes(-matrix[part, part]) for part in parts))
    found = {}
    for player in _optimizers.PLAYERS:
        own = OfField(_OwnField(at.field, at.y, player), getattr(at.y, player), at.args, 0.0)
        ends = [search(at, own, 1, score, budget, _thresholds.PRODUCT, 2 * _thresholds.SUBSPACE).values[0].real
                for score in (np.real, lambda v: -np.real(v))]  # fmt: skip
        found[player] = Extremes(smallest=-float(ends[0]), largest=-float(ends[1]))
    return Players(**found)


def _extremes(hessian: np.ndarray) -> Extremes:
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    return Extremes(float(values[0]), float(values[-1]))


def scored_game(field: Field) -> Any:
    """The game of scores and samples inside a field; None if it has none."""
    game = getattr(field, "game", None)
    if game is None:
        inner = getattr(field, "field", None)
        return None if inner is None else scored_game(inner)
    game = unwrap(game)[0]
    return game if all(hasattr(game, name) for name in ("discriminate", "generate", "measures", "loss")) else None


def logits(at: Training, budget: Budget) -> Logits | None:
    """Scores and saturation; None where the game has no scores."""
    game = scored_game(at.field)
    if game is None:
        return None
    budget.spend(1)
    numbers = np.asarray(_scores(game, at.y, at.args), np.float64)
    return Logits(*(float(each) for each in numbers))


@jit
def _scores(game: Any, y: Players, args: Args) -> Array:
    data, latent = game.measures(y, args)
    real = scores_of(game, y.discriminator, data.nodes)
    made = scores_of(game, y.discriminator, samples_of(game, y.generator, latent.nodes))

    def cost(made: Array) -> Array:
        return game.loss.cost(Scores(real, made, data.weights, latent.weights, rows=is_minibatch(args)))

    # A loss of differences of scores is at rest at any of them.
    rest = game.loss.at_equilibrium()
    usual = jnp.where(jnp.isnan(rest.generator_slope), 1.0, jnp.abs(rest.generator_slope))
    slope = jnp.sum(jnp.abs(jax.grad(cost)(made))) / usual
    centre = jnp.where(jnp.isnan(rest.score), 0.0, rest.score)
    ends = [(real, data.weights), (made, latent.weights)]
    far = [jnp.dot(w.astype(s.dtype), jnp.abs(s - centre) > _thresholds.SATURATED) for s, w in ends]
    parts = []
    for scores, weights in ends:
        mean = jnp.dot(weights.astype(scores.dtype), scores)
        parts += [mean, jnp.sqrt(jnp.dot(weights.astype(scores.dtype), (scores - mean) ** 2))]
    return jnp.stack([*parts, sum(far) / 2, slope.astype(real.dtype)])
