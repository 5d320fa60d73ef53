"""Where a run is: speeds, rotation, each player's own curvature, and scores."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray

from ... import _tree
from ..._lowering import jit
from ..._types import Args, Field, State
from ...games import Players
from ...games._sampled import is_minibatch, samples_of, scores_of
from ...losses import Scores
from ...regularizers import unwrap
from . import _thresholds
from ._budget import Budget
from ._products import Jacobian
from ._result import Extremes, Logits
from ._spectrum import falling, search
from ._training import Training

# Extremes of a symmetric matrix come sooner than others.
_LANCZOS = 40


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
    probes = [_squares(at.field, at.y, at.args, each) for each in jax.random.split(key, num)]
    squares = np.asarray(probes, np.float64)
    turning, both = squares[:, 0], np.sum(squares, axis=1)
    share = float(np.sum(turning) / np.sum(both))
    # Of a ratio of means.
    error = np.std(turning - share * both, ddof=1) / np.sqrt(num) / np.mean(both)
    return share, float(error)


@jit
def _squares(field: Field, y: State, args: Args, key: PRNGKeyArray) -> Array:
    flat, restore = ravel_pytree(y)
    signs = jax.random.rademacher(key, flat.shape, flat.dtype)

    def velocity(x: Array) -> Array:
        return ravel_pytree(field(0.0, restore(x), args))[0]

    _, image = jax.jvp(velocity, (flat,), (signs,))
    (transposed,) = jax.vjp(velocity, flat)[1](signs)
    return jnp.stack([jnp.sum((image - transposed) ** 2), jnp.sum((image + transposed) ** 2)])


def curvatures(at: Training, matrix: np.ndarray | None, jacobian: Jacobian) -> Players | None:
    """Extremes of each player's own curvature, of the field without scaling."""
    if at.split is None:
        return None
    parts = (slice(None, at.split), slice(at.split, None))
    if matrix is not None:
        return Players(*(_extremes(-matrix[part, part]) for part in parts))
    return Players(*(_searched(at, part, jacobian) for part in parts))


def _searched(at: Training, part: slice, jacobian: Jacobian) -> Extremes:
    def own(vector: np.ndarray) -> np.ndarray:
        whole = np.zeros(at.size)
        whole[part] = vector
        return jacobian(whole)[part]

    size = len(range(*part.indices(at.size)))
    found = search(at, own, size, ((np.real, 1), (falling, 1)), 3 * _LANCZOS, _LANCZOS)
    ends = [each.values[0].real for each in found]
    return Extremes(smallest=-float(ends[0]), largest=-float(ends[1]))


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
