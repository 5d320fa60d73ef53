"""The linear part of training: factors by which the update scales the field, and a plain rule that follows it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ... import _optimizers
from ..._lowering import jit
from ..._types import Args, Field, State
from ...games import Players
from ...updates import AbstractUpdate, Alternating, HeavyBall, Simultaneous
from ._budget import Budget
from ._products import Jacobian, velocity

# Steps at the gradient of now after which an optimizer that brings no memory counts as one that has run.
_RIPE = 5000
# Responses of an optimizer that are so far from a geometric series are no momentum.
_GEOMETRIC = 1e-2


@dataclasses.dataclass(frozen=True)
class Training:
    """What is diagnosed.

    Attributes:
        field: The field.
        y: The state.
        args: The minibatch.
        update: The actual update.
        velocity: The field at the state.
        scale: The preconditioner; ones for a plain rule.
        rule: A plain rule that does on the scaled field what the update does, its second moments held.
        adaptive: Whether the update is one of Optax.
        alternating: Whether the players see each other's steps.
        rates: Of each player, how large its steps are for a velocity of usual size; of another state than `Players`
            None.
        notes: What of the update was left out.
    """

    field: Field
    y: State
    args: Args
    update: AbstractUpdate
    velocity: State
    scale: State
    rule: AbstractUpdate
    adaptive: bool
    alternating: bool
    rates: Players | None
    notes: tuple[str, ...]

    def jacobian(self, budget: Budget, field: Field | None = None, *, scaled: bool = True) -> Jacobian:
        """Of the field, or of a treated one, scaled as the update does."""
        scale = flat(self.scale) if scaled else np.ones(self.size)
        return Jacobian(self.field if field is None else field, self.y, self.args, scale, budget, self.split)

    @property
    def size(self) -> int:
        """Numbers of the state."""
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.y))

    @property
    def split(self) -> int | None:
        """How many of them are the discriminator's; None for another state than `Players`."""
        if not isinstance(self.y, Players):
            return None
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.y.discriminator))

    @property
    def bytes(self) -> int:
        """Of the narrowest number, at least 4."""
        return max(4, min(jnp.asarray(leaf).dtype.itemsize for leaf in jax.tree.leaves(self.y)))

    @property
    def is_function_of_jacobian(self) -> bool:
        """Whether the rule takes any state, and so treats all directions alike: each eigenvalue has its multipliers."""
        return takes_any_state(self.rule)


def takes_any_state(rule: AbstractUpdate) -> bool:
    """Whether a rule steps from one array of two numbers."""

    def field(t: Any, y: Array, args: Any) -> Array:
        return -y

    def step() -> Array:
        y = jnp.zeros(2)
        return rule.step(field, jnp.zeros(()), y, None, rule.init(field, y, None))[0]

    try:
        return eqx.filter_eval_shape(step).shape == (2,)
    except (ValueError, TypeError, AttributeError, LookupError):
        return False


def training(
    field: Field, y: State, args: Args, update: AbstractUpdate, memory: Any, variance: State | None
) -> Training:
    """The linear part of an update at a state.

    Args:
        field: The field.
        y: The state.
        args: The minibatch.
        update: The actual update.
        memory: Its memory, or None.
        variance: Of each number of the velocity on this minibatch, if known: for second moments where there is no
            memory.
    """
    moved = velocity(field, y, args)
    common = {"field": field, "y": y, "args": args, "update": update, "velocity": moved}
    if not _is_of_optimizers(update):
        _check_memory(field, y, args, update, memory)
        ones = jax.tree.map(jnp.ones_like, y)
        rates = _rates_of(field) if isinstance(y, Players) else None
        return Training(**common, scale=ones, rule=update, adaptive=False, alternating=_alternates(update),
                        rates=rates, notes=())  # fmt: skip
    _check_memory(field, y, args, update, memory)
    variance = jax.tree.map(jnp.zeros_like, y) if variance is None else variance
    parts = {player: _frozen(update, player, moved, y, memory, variance) for player in _optimizers.PLAYERS}
    scale = Players(**{player: part.scale for player, part in parts.items()})
    betas = Players(**{player: part.beta for player, part in parts.items()})
    sizes = Players(**{player: part.size for player, part in parts.items()})
    alternating = update.order != "simultaneous"  # pyright: ignore[reportAttributeAccessIssue]
    rates = _times(_rates_of(field) or Players(1.0, 1.0), sizes, all(part.adapts for part in parts.values()))
    notes = tuple(dict.fromkeys(part.note for part in parts.values() if part.note))
    if memory is None:
        notes = (*notes, "no `memory` was given: the optimizer's is taken as after many steps at this gradient")
    rule = _plain(betas, alternating)
    return Training(**common, scale=scale, rule=rule, adaptive=True, alternating=alternating, rates=rates, notes=notes)


def _plain(betas: Players, alternating: bool) -> AbstractUpdate:
    d, g = float(betas.discriminator), float(betas.generator)
    if d == 0 and g == 0:
        return Alternating(1.0) if alternating else Simultaneous(1.0)
    if d == g and not alternating:
        return HeavyBall(1.0, d)
    return HeavyBall(1.0, Players(d, g), alternating=alternating)


def _rates_of(field: Field) -> Players | None:
    rates = getattr(field, "rates", None)
    inner = getattr(field, "field", None)
    if isinstance(rates, Players):
        return Players(float(rates.discriminator), float(rates.generator))
    return None if inner is None else _rates_of(inner)


def _times(rates: Players, sizes: Players, adapts: bool) -> Players:
    # What divides by the size of the gradient does not see a factor on it.
    if adapts:
        return sizes
    return Players(rates.discriminator * sizes.discriminator, rates.generator * sizes.generator)


def _is_of_optimizers(update: Any) -> bool:
    return hasattr(update, "order") and all(hasattr(getattr(update, p, None), "update") for p in _optimizers.PLAYERS)


def _alternates(update: Any) -> bool:
    return hasattr(update, "discriminator_steps") or bool(getattr(update, "alternating", False))


def _check_memory(field: Field, y: State, args: Args, update: AbstractUpdate, memory: Any) -> None:
    if memory is None:
        return
    like = eqx.filter_eval_shape(update.init, field, y, args)
    given, wanted = jax.tree.structure(memory), jax.tree.structure(like)
    same = given == wanted and [jnp.shape(leaf) for leaf in jax.tree.leaves(memory)] == [
        jnp.shape(leaf) for leaf in jax.tree.leaves(like)
    ]
    if not same:
        raise ValueError(
            f"`memory` must be what {type(update).__name__} remembers beside this state, of structure {wanted}, but "
            f"has {given}, or other shapes: give the memory that came with the state, or leave it out."
        )


@dataclasses.dataclass(frozen=True)
class _Frozen:
    """An optimizer whose nonlinear memory is held: a factor on each number, and a momentum."""

    scale: State
    beta: float
    size: float
    adapts: bool
    note: str


def _frozen(update: Any, player: str, velocity: Any, y: Any, memory: Any, variance: Any) -> _Frozen:
    """How a player's optimizer answers to a small change of the velocity.

    It is linearized at a gradient of zero, where what it has of squares has no slope, with the squares that its next
    step has. Counters stand still.
    """
    optimizer = getattr(update, player)
    params, speed = getattr(y, player), getattr(velocity, player)
    gradient = jax.tree.map(jnp.negative, speed)
    known = None if memory is None else getattr(memory, player)
    usual = jax.tree.map(lambda g, v: jnp.sqrt(g**2 + v), gradient, getattr(variance, player))
    first, second, third, size, adapts = _responses(optimizer, gradient, usual, params, known)
    at = [np.ravel(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(each)])) for each in (first, second)]
    third = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(third)])
    usable = np.isfinite(at[0]) & (at[0] != 0)
    ratios = at[1][usable] / at[0][usable]
    beta = float(np.median(ratios)) if np.any(usable) else 0.0
    off = np.max(np.abs(ratios - beta), initial=0.0) + np.max(
        np.abs(third[usable] - beta**2 * at[0][usable]) / np.abs(at[0][usable]), initial=0.0
    )
    beta = 0.0 if abs(beta) < 1e-12 else beta
    note = ""
    if off > _GEOMETRIC:
        note = f"the {player}'s optimizer remembers more than a momentum: its memory is read as one of {beta:.3g}"
    scale = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0), first)
    return _Frozen(scale, beta, float(size) / max(1 - beta, 1e-6), bool(adapts), note)


@jit
def _responses(optimizer: Any, gradient: State, usual: State, params: State, memory: Any) -> Any:
    """Changes of the parameters in three steps after an impulse of velocity in the first, and how large steps are."""
    step: Callable = optimizer.update
    memory = _ripened(step, optimizer.init(params), usual, params) if memory is None else memory
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, memory))
    zero = jax.tree.map(jnp.zeros_like, gradient)

    def remembered(gradient: State) -> list[Array]:
        return [leaf for leaf in jax.tree.leaves(step(gradient, memory, params)[1]) if _is_float(leaf)]

    def push(impulse: Array) -> State:
        return jax.tree.map(lambda leaf: -impulse.astype(leaf.dtype) * jnp.ones_like(leaf), zero)

    after, still = remembered(gradient), remembered(zero)
    _, slopes = jax.jvp(lambda impulse: remembered(push(impulse)), (jnp.zeros(()),), (jnp.ones(()),))
    floats = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]
    linear = [jnp.any(slope != 0) for slope in slopes]
    base = list(leaves)
    for i, then, rested, answers in zip(floats, after, still, linear, strict=True):
        base[i] = jnp.where(answers, jnp.zeros_like(leaves[i]), _held(leaves[i], then, rested))

    def run(impulse: Array) -> Any:
        changes, here = [], base
        for gradient in (push(impulse), zero, zero):
            change, new = step(gradient, jax.tree.unflatten(structure, here), params)
            new, here = jax.tree.leaves(new), list(base)
            for i, answers in zip(floats, linear, strict=True):
                here[i] = jnp.where(answers, new[i], base[i])
            changes.append(change)
        return tuple(changes)

    _, changes = jax.jvp(run, (jnp.zeros(()),), (jnp.ones(()),))
    moments = [~answers & jnp.any(a != b) for answers, a, b in zip(linear, after, still, strict=True)]
    adapts = jnp.any(jnp.stack(moments)) if moments else jnp.asarray(False)
    first = jax.tree.leaves(changes[0])
    first = [jnp.where(jnp.isfinite(r), r, 0) for r in first]
    sizes = [jnp.sum(jnp.where(adapts, r * u, r) ** 2) for r, u in zip(first, jax.tree.leaves(usual), strict=True)]
    return (*changes, jnp.sqrt(sum(sizes) / sum(leaf.size for leaf in first)), adapts)


def _held(now: Array, then: Array, rested: Array) -> Array:
    """A moment as it has to be before a step without gradient, for it to be afterwards what the next step makes it."""
    tiny = jnp.finfo(now.dtype).tiny
    moment = jnp.where(rested > tiny, now * (then / jnp.where(rested > tiny, rested, 1)), then)
    return jnp.maximum(moment, tiny)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact)


def _ripened(step: Callable, memory: Any, usual: State, params: State) -> Any:
    """The memory after many steps at one gradient."""

    def one(memory: Any, _: None) -> tuple[Any, None]:
        new = step(usual, memory, params)[1]
        return jax.tree.map(lambda a, b: jnp.asarray(a, jnp.asarray(b).dtype), new, memory), None

    return jax.lax.scan(one, jax.tree.map(jnp.asarray, memory), length=_RIPE)[0]


def flat(y: State) -> np.ndarray:
    """A state's numbers, in double precision."""
    return np.asarray(ravel_pytree(y)[0], np.float64)
