"""The fields in JAX, in the ways that one may write them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._problem import Problem, System
from gan_ode import fields, games, losses
from gan_ode.games import Players


@dataclasses.dataclass(frozen=True)
class Written:
    """A way to write the field, as the package and Diffrax take it.

    Args:
        field: Of a system.
        states: All starts of a problem.
        stacked: Makes an array of shape (..., 2) from such states.
    """

    field: Callable[[System], Any]
    states: Callable[[Problem], Any]
    stacked: Callable[[Any], np.ndarray]


def scalars(system: System) -> Callable[[Any, Any], tuple[Any, Any]]:
    """From w and a to their velocities. The nodes are written out, for those who are slower with a sum."""
    c = system.half_width
    if not system.num_nodes:
        return lambda w, a: ((c * c - a * a) / 3, 2 * w * a / 3)
    pairs = [(float(square), float(weight)) for square, weight in zip(*system.quadrature, strict=True)]

    def usual(w: Any, a: Any) -> tuple[Any, Any]:
        real: Any = sum(weight * jax.nn.sigmoid(-c * c * w * square) for square, weight in pairs)
        made: Any = sum(weight * jax.nn.sigmoid(w * a * a * square) for square, weight in pairs)
        return c * c * real - a * a * made, 2 * w * a * made

    return usual


def players(system: System) -> Callable[[Any, Players, Any], Players]:
    """The same, of a state of two scalars."""
    field = scalars(system)
    return lambda t, y, args: Players(*field(y.discriminator, y.generator))


def arrays(system: System) -> Callable[[Any, jax.Array, Any], jax.Array]:
    """The same as one would write it at first: the state is an array, and so are the nodes."""
    c = system.half_width
    if not system.num_nodes:
        return lambda t, y, args: jnp.stack([(c**2 - y[1] ** 2) / 3, 2 * y[0] * y[1] / 3])
    squares, weights = system.quadrature

    def mean(s: Any) -> Any:
        return weights @ jax.nn.sigmoid(s * squares)

    def usual(t: Any, y: jax.Array, args: Any) -> jax.Array:
        w, a = y
        made = mean(w * a**2)
        return jnp.stack([c**2 * mean(-(c**2) * w) - a**2 * made, 2 * w * a * made])

    return usual


def game(system: System) -> fields.GameField:
    """The package's own field, which differentiates the game."""
    loss = losses.Minimax() if system.num_nodes else losses.Wasserstein()
    return fields.GameField(games.LinearQuadratic(loss, system.half_width, num_nodes=system.num_nodes or None))


def _players_of(problem: Problem) -> Players:
    w, a = problem.starts.T
    return Players(jnp.asarray(w), jnp.asarray(a))


def _stacked(ys: Any) -> np.ndarray:
    return np.stack([np.asarray(ys.discriminator), np.asarray(ys.generator)], axis=-1)


SCALARS = Written(players, _players_of, _stacked)
ARRAYS = Written(arrays, lambda problem: jnp.asarray(problem.starts), np.asarray)
GAME = Written(game, _players_of, _stacked)
