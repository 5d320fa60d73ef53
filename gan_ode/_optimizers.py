"""What rules for two players share: a player's optimizer of Optax, and one player replaced within a pair."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .games import Players

PLAYERS = ("discriminator", "generator")


def checked(player: str, optimizer: Any) -> Any:
    """The optimizer of a player.

    Raises:
        ValueError: If it is none.
    """
    if callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None)):
        return optimizer
    name = getattr(optimizer, "__name__", None)
    found = f"{optimizer!r}: for example `optax.adam(1e-3)`." if name is None else f"{name}: call it, `{name}(1e-3)`."
    raise ValueError(f"`{player}` must be an optimizer of Optax, but is {found}")


def start(rule: Any, y: Any) -> Players:
    """What the optimizers of a rule for two players remember before the first step."""
    y = two_players(rule, y)
    parts = (_asked(rule, player, lambda p=player: getattr(rule, p).init(getattr(y, p))) for player in PLAYERS)
    return Players(*parts)


def descend(rule: Any, player: str, velocity: Any, params: Any, memory: Any) -> tuple[Any, Any]:
    """A player's next parameters and memory."""
    gradient = jax.tree.map(jnp.negative, velocity)
    change, memory = _asked(rule, player, lambda: getattr(rule, player).update(gradient, memory, params))
    return jax.tree.map(lambda leaf, by: leaf + by.astype(leaf.dtype), params, change), memory


def _asked(rule: Any, player: str, ask: Callable[[], Any]) -> Any:
    """What an optimizer answers, or a word on one that asks for more than there is."""
    try:
        return ask()
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"`{player}` of `updates.{type(rule).__name__}` must be an optimizer that goes by gradients and parameters "
            f"alone, but this one fails on them ({error}): take one like `optax.adam(1e-3)`, or leave that part out of "
            "the chain. What looks at the loss, as `optax.lbfgs`, `polyak_sgd`, `reduce_on_plateau` or a line search, "
            "has none to look at here: a player's velocity need not be the slope of anything."
        ) from error


def two_players(rule: Any, y: Any) -> Players:
    """The state of a rule that moves one player by itself.

    Raises:
        ValueError: If it is not of two players.
    """
    if not isinstance(y, Players):
        found = f"an array of shape {y.shape}" if isinstance(y, jax.Array) else type(y).__name__
        raise ValueError(
            f"`y0` must be `games.Players` for `updates.{type(rule).__name__}`, which moves each player by itself, "
            f"but is {found}: write `Players(discriminator=..., generator=...)`, or take a rule for any state, as "
            "`updates.Simultaneous`."
        )
    return y


def with_player(pair: Players, player: str, part: Any) -> Players:
    """The pair with another part for one player."""
    return Players(**{"discriminator": pair.discriminator, "generator": pair.generator, player: part})
