"""Players in which JAX sees no parameters are refused: such a game would stand still without a word."""

import functools
from typing import Any

import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from gan_ode import distributions, games, losses

WEIGHTS = jnp.ones(2)


class Linen(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x: Any) -> Any:
        return flax.linen.Dense(1)(x)


class LikePyTorch:
    """A module of a library that JAX knows nothing of: callable, and its parameters are attributes."""

    def __init__(self) -> None:
        self.weight = WEIGHTS

    def __call__(self, x: Any) -> Any:
        return self.weight @ x


class Counter(eqx.Module):
    counts: jax.Array

    def __call__(self, x: Any) -> Any:
        return x[0]


def bound() -> Any:
    model = Linen()
    return model.bind(model.init(jax.random.key(0), jnp.ones(2)))


PLAYERS = {
    "a closure": lambda: lambda x: WEIGHTS @ x,
    "a partial of Python": lambda: functools.partial(jnp.dot, WEIGHTS),
    "a Flax module": Linen,
    "a bound Flax module": bound,
    "a bound method": lambda: bound().__call__,
    "a module of PyTorch's kind": LikePyTorch,
    "a layer without weights": lambda: eqx.nn.Lambda(jnp.sum),
    "whole numbers": lambda: Counter(jnp.arange(3)),
}


def game(player: str, module: Any) -> games.GAN:
    given = {name: eqx.nn.Linear(2, 2, key=jax.random.key(0)) for name in ("discriminator", "generator")}
    return games.GAN(
        **(given | {player: module}), loss=losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(2)
    )


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("name", PLAYERS)
def test_a_player_without_parameters_is_refused_and_told_the_way(name, player):
    with pytest.raises(ValueError, match=f"`{player}` must be a pytree with .* JAX sees none. .* `games.from_apply`"):
        game(player, PLAYERS[name]())


@pytest.mark.parametrize("module", [None, "D", (WEIGHTS,)], ids=repr)
def test_a_player_that_cannot_be_called_is_refused(module, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`discriminator` must be callable, on one sample, but is"):
        game("discriminator", module)


def test_a_function_that_carries_its_parameters_as_a_pytree_is_a_player():
    players = game("discriminator", jax.tree_util.Partial(jnp.dot, WEIGHTS)).players
    assert jax.tree.leaves(players.discriminator)[0].tolist() == [1, 1]
