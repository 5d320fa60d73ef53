import abc
from typing import Any

import equinox as eqx

from ... import _tree
from ..._inherited_claims import says
from ..._types import Args
from ...games import AbstractGame, gradients, Players


class AbstractPenalty(eqx.Module):
    """A term for each player's loss. To add one, implement `losses`.

    A method `gradients(game, y, args)` is optional: the gradients of the players' whole penalized losses, where they
    can be had more cheaply than by differentiating the values. It is not used where a class made of this one writes
    `losses` anew, and not `gradients`.
    """

    @abc.abstractmethod
    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """What is added to each player's loss: two scalars."""


class Penalized(AbstractGame):
    """A game with a penalty added to its losses; penalized games can be penalized again.

    Args:
        game: Any object with a method `losses(y, args)`.
        penalty: What is added.
    """

    game: Any
    penalty: AbstractPenalty

    def losses(self, y: Players, args: Args) -> Players:
        """The game's losses and the penalty's terms, added."""
        return _tree.add(self.game.losses(y, args), self.penalty.losses(self.game, y, args))

    def gradients(self, y: Players, args: Args) -> Players:
        """Each player's gradient of its own penalized loss."""
        own = says(self.penalty, "gradients", "losses", otherwise=None)
        return gradients(_Sum(self), y, args) if own is None else own(self.game, y, args)


class _Sum(eqx.Module):
    """The penalized losses without the shortcut, for penalties that have none."""

    penalized: Penalized

    def losses(self, y: Players, args: Args) -> Players:
        return self.penalized.losses(y, args)


def unwrap(game: Any) -> tuple[Any, tuple[Any, ...]]:
    """What is inside any number of penalties.

    Args:
        game: A game, penalized or not.

    Returns:
        The game without penalties, and the penalties, the innermost first.
    """
    penalties = []
    while hasattr(game, "game") and hasattr(game, "penalty"):
        penalties.insert(0, game.penalty)
        game = game.game
    return game, tuple(penalties)
