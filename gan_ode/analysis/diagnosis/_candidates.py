"""What could be changed of a training, one change at a time."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Field
from ...fields import GameField
from ...games import Players
from ...losses import Minimax, NonSaturating
from ...regularizers import Adjusted, Consensus, GradientNorm, Penalized, R1, R2
from ...updates import AbstractUpdate, Alternating, Extragradient, HeavyBall, Optimistic
from ...updates._update import stretched
from . import _thresholds
from ._noise import batch_size
from ._training import Training
from ._where import scored_game

ALL = (
    "gradient norm", "R1", "R2", "consensus", "alternating", "extragradient", "optimistic", "negative momentum",
    "ratio of rates", "smaller step", "larger batch", "non-saturating loss",
)  # fmt: skip
"""The names of the remedies that are tried."""

Applied = Callable[[float, float], tuple[Field | None, AbstractUpdate | None]]
"""The treated field and update, of a weight and a factor on the step; None for what stays."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One change.

    Attributes:
        name: Of `ALL`.
        how: How to apply it, with `{weight}` for the weight.
        cost: Field evaluations of a step, relative to a step now.
        rule: The plain rule on the scaled field.
        field: The treated field, of a weight; None if it stays as it is. Its velocity is linear in the weight.
        has_weight: Whether it has a weight.
        rows: Factors on the two players' velocities, of a weight, for what changes them alone.
        applied: What is returned for training.
    """

    name: str
    how: str
    cost: float
    rule: AbstractUpdate
    applied: Applied
    field: Callable[[Any], Field] | None = None
    has_weight: bool = False
    rows: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None


def candidates(at: Training, names: tuple[str, ...]) -> list[Candidate]:
    """Those of these names that can be applied here."""
    found = [*_of_losses(at), *_of_rules(at), *_of_sizes(at)]
    order = {name: i for i, name in enumerate(names)}
    return sorted((each for each in found if each.name in order), key=lambda each: order[each.name])


def _stepped(at: Training, factor: float) -> AbstractUpdate | None:
    """The actual update with its step times a factor; None if it stays."""
    return None if factor == 1 else resized(at.update, Players(factor, factor))


def resized(update: Any, factors: Players) -> AbstractUpdate | None:
    """An update whose players' steps are so many times as large; None if it cannot be made."""
    if hasattr(update, "order"):
        made = {
            player: _scaled(getattr(update, player), getattr(factors, player))
            for player in ("discriminator", "generator")
            if getattr(factors, player) != 1
        }
        return dataclasses.replace(update, **made)
    return stretched(update, factors.discriminator) if factors.discriminator == factors.generator else None


def _scaled(optimizer: Any, factor: float) -> Any:
    """An optimizer whose steps are so many times as large, with the same memory, which a run can so go on with."""
    # Whoever has an optimizer has imported it.
    import optax

    def change(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = optimizer.update(updates, state, params)
        return jax.tree.map(lambda step: jnp.asarray(factor, step.dtype) * step, updates), state

    return optax.GradientTransformation(optimizer.init, change)


def _of_losses(at: Training) -> list[Candidate]:
    found = []
    game, rates = getattr(at.field, "game", None), getattr(at.field, "rates", None)

    def add(name: str, make: Callable[[Any], Field], how: str) -> None:
        def applied(weight: float, factor: float) -> tuple[Field | None, AbstractUpdate | None]:
            return make(weight), _stepped(at, factor)

        found.append(Candidate(name, how, _thresholds.COSTS[name], at.rule, applied, make, has_weight=True))

    if game is not None and isinstance(rates, Players):
        of_game: Any = {"gradient norm": GradientNorm} | ({"R1": R1, "R2": R2} if scored_game(at.field) else {})
        for name, penalty in of_game.items():
            add(
                name, lambda w, penalty=penalty: GameField(Penalized(game, penalty(w)), rates),
                f"`regularizers.Penalized(game, regularizers.{penalty.__name__}({{weight}}))`",
            )  # fmt: skip
    add(
        "consensus", lambda w: Adjusted(at.field, Consensus(w)),
        "`regularizers.Adjusted(field, regularizers.Consensus({weight}))`",
    )  # fmt: skip
    return [*found, *_other_loss(at)]


def _other_loss(at: Training) -> list[Candidate]:
    scored = scored_game(at.field)
    if scored is None or not isinstance(getattr(scored, "loss", None), Minimax):
        return []
    field = eqx.tree_at(lambda f: _loss_of(f), at.field, NonSaturating(), is_leaf=lambda x: isinstance(x, Minimax))

    def applied(weight: float, factor: float) -> tuple[Field | None, AbstractUpdate | None]:
        return field, _stepped(at, factor)

    return [Candidate("non-saturating loss", "the game with `losses.NonSaturating()`", 1.0, at.rule, applied,
                      lambda w: field)]  # fmt: skip


def _loss_of(field: Any) -> Any:
    inner = field.game if hasattr(field, "game") else field.field if hasattr(field, "field") else None
    return field.loss if inner is None else _loss_of(inner)


def _of_rules(at: Training) -> list[Candidate]:
    """Other rules for the same field."""
    h, pair = jnp.asarray(at.rule.step_size), isinstance(at.y, Players)
    momentum = getattr(at.rule, "momentum", 0.0)
    plain = not at.adaptive
    found = []

    def add(name: str, rule: AbstractUpdate, how: str, cost: float = 1.0, actual: Any = None) -> None:
        def applied(weight: float, factor: float) -> tuple[Field | None, AbstractUpdate | None]:
            made = actual if actual is not None else rule
            return None, made if factor == 1 else resized(made, Players(factor, factor))

        found.append(Candidate(name, how, cost, rule, applied))

    if pair and not at.alternating and (plain or hasattr(at.update, "order")):
        if plain:
            add("alternating", Alternating(h), "`updates.Alternating` with the same step size")
        else:
            rule = Alternating(h) if not hasattr(at.rule, "momentum") else HeavyBall(h, momentum, alternating=True)
            actual = dataclasses.replace(at.update, order="discriminator_first")
            add("alternating", rule, '`updates.Optax(..., order="discriminator_first")`', actual=actual)
    if hasattr(at.update, "order") and not hasattr(at.rule, "momentum"):
        for name, rule, how, actual in _on_top_of_optimizers(at.update, h, at.alternating):
            add(name, rule, how, actual=actual)
    if not plain or not any(leaf is at.update.step_size for leaf in jax.tree.leaves(at.update)):
        return found
    kinds = {"extragradient": Extragradient, "optimistic": Optimistic}
    for name, kind in kinds.items():
        if not isinstance(at.update, kind):
            cost = _thresholds.COSTS.get(name, 1.0)
            add(name, kind(h), f"`updates.{kind.__name__}` with the same step size", cost)
    if pair:
        rule, said = HeavyBall(h, Players(-0.5, 0.0), alternating=True), "Players(-0.5, 0.0), alternating=True"
        add("negative momentum", rule, f"`updates.HeavyBall(step_size, {said})`")
    return found


def _on_top_of_optimizers(
    update: Any, h: Any, alternating: bool
) -> Iterator[tuple[str, AbstractUpdate, str, AbstractUpdate]]:
    """Rules that take what optimizers without momentum make of a gradient for the gradient."""
    # Whoever has an optimizer has imported it.
    import optax

    players = {player: getattr(update, player) for player in ("discriminator", "generator")}
    if not alternating:
        twice = {player: optax.chain(each, optax.scale_by_optimistic_gradient()) for player, each in players.items()}
        how = "`optax.chain(optimizer, optax.scale_by_optimistic_gradient())` for both players"
        yield "optimistic", Optimistic(h), how, dataclasses.replace(update, **twice)
    slowed = optax.chain(players["discriminator"], optax.trace(-0.5))
    actual = dataclasses.replace(update, discriminator=slowed, order="discriminator_first")
    how = '`optax.chain(optimizer, optax.trace(-0.5))` for the discriminator, and `order="discriminator_first"`'
    yield "negative momentum", HeavyBall(h, Players(-0.5, 0.0), alternating=True), how, actual


def _of_sizes(at: Training) -> list[Candidate]:
    """The same training with other sizes."""
    found = [
        Candidate("smaller step", "the step size times {step}", 1.0, at.rule, lambda w, s: (None, _stepped(at, s)))
    ]
    rates = getattr(at.field, "rates", None)
    if at.split is not None and (hasattr(at.update, "order") or isinstance(rates, Players)):

        def applied(weight: float, factor: float) -> tuple[Field | None, AbstractUpdate | None]:
            root = weight**0.5
            if hasattr(at.update, "order"):
                return None, resized(at.update, Players(root * factor, factor / root))
            assert isinstance(rates, Players)
            new = (root * rates.discriminator, rates.generator / root)
            field = eqx.tree_at(lambda f: (f.rates.discriminator, f.rates.generator), at.field, new)
            return field, _stepped(at, factor)

        how = "the discriminator's learning rate times the root of {weight}, the generator's over it"
        found.append(
            Candidate(
                "ratio of rates", how, 1.0, at.rule, applied, has_weight=True,
                rows=lambda weights: (weights**0.5, weights**-0.5),
            )
        )  # fmt: skip
    if batch_size(at.args):
        found.append(
            Candidate("larger batch", "minibatches of {weight} samples", 1.0, at.rule, lambda w, s: (None, None))
        )
    return found
