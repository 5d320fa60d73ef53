"""How far the noise of minibatches alone carries the samples in the steps to come."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._lowering import jit
from ..._types import Args, Field, State
from ...games import Players
from ...games._sampled import samples_of
from ...updates import AbstractUpdate
from . import _thresholds
from ._budget import Budget
from ._noise import batch_size

# Samples of the minibatches that stand for all, how many of these at least and at most, and latent points whose samples
# are followed. Of 16 minibatches noise is 3 % too small.
_SAMPLES, _LEAST_POOL, _POOL, _POINTS = 4096, 16, 64, 256


def jitter(
    game: Any, field: Field, y: State, update: AbstractUpdate, memory: Any, args: Args, batches: Any,
    key: PRNGKeyArray, budget: Budget,
) -> tuple[float, float]:  # fmt: skip
    """Follows runs from one state that differ in their minibatches alone.

    Args:
        game: The game of scores and samples; None if there is none.
        field: The field.
        y: The state that all runs start from.
        update: The actual update.
        memory: Its memory; None starts it anew.
        args: A minibatch, from which others are drawn with replacement where there are no `batches`.
        batches: Minibatches on a leading axis of every leaf, or a function of their number.
        key: Chooses the minibatches.
        budget: Is charged with an evaluation a step, or with a part of one where minibatches are smaller than `args`.

    Returns:
        The root mean square distance between a sample and its mean over the runs, in units of the data's spread, and
        its standard error; NaN where there is no noise, no sample, or a run does not stay finite.
    """
    num, steps = _thresholds.JITTER_RUNS, _thresholds.JITTER_STEPS
    pool = _pool(args, batches)
    if game is None or pool is None or not isinstance(y, Players):
        return float("nan"), float("nan")
    evaluations = _evaluations(num * steps, pool, args)
    budget.require(evaluations)
    budget.spend(evaluations)
    data, latent = (jax.tree.map(lambda leaf: _rows(leaf)[:_POINTS], part) for part in pool)
    memory = update.init(field, y, jax.tree.map(lambda leaf: leaf[0], pool)) if memory is None else memory
    resample = None if batches is not None else jnp.shape(args[0])[0]
    keys = jax.random.split(key, num)
    ends = np.asarray(_runs(game, field, y, update, memory, pool, latent, resample, steps, keys), np.float64)
    spread = float(np.sum(np.var(np.asarray(data, np.float64).reshape(len(data), -1), axis=0)))
    if spread == 0 or not np.isfinite(ends).all():
        return float("nan"), float("nan")
    return _spread_of_runs(ends.reshape(num, len(latent), -1), spread)


def _spread_of_runs(ends: Float[np.ndarray, "runs points dim"], spread: float) -> tuple[float, float]:
    def estimate(ends: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.sum(np.var(ends, axis=0, ddof=1), axis=-1)) / spread))

    num = len(ends)
    left_out = np.asarray([estimate(np.delete(ends, k, axis=0)) for k in range(num)])
    return estimate(ends), float(np.sqrt((num - 1) / num * np.sum((left_out - left_out.mean()) ** 2)))


def _pool(args: Args, batches: Any) -> Any:
    """Minibatches on a leading axis; one alone, whose rows are drawn from, where no others are given."""
    if batches is None:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], args) if batch_size(args) > 1 else None
    if callable(batches):
        drawn = _drawn(batches)
        batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
    return batches if batch_size(jax.tree.map(lambda leaf: leaf[0], batches)) else None


def _drawn(batches: Callable[[int], Args]) -> list[Args]:
    """Minibatches by their numbers: so many that memory suffices, and no more than there are."""
    drawn = [batches(0)]
    rows = max(batch_size(drawn[0]), 1)
    for n in range(1, min(max(_SAMPLES // rows, _LEAST_POOL), _POOL)):
        try:
            drawn.append(batches(n))
        except IndexError:
            # A list of them is at its end.
            break
    return drawn


def _evaluations(steps: int, pool: Any, args: Args) -> int:
    rows = batch_size(jax.tree.map(lambda leaf: leaf[0], pool))
    return math.ceil(steps * min(1.0, rows / max(batch_size(args), 1)))


def _rows(leaf: Array) -> Array:
    return jnp.reshape(leaf, (-1, *leaf.shape[2:]))


@jit
def _runs(
    game: Any, field: Field, y: Players, update: AbstractUpdate, memory: Any, pool: Any, latent: Any,
    resample: int | None, num_steps: int, keys: Array,
) -> Float[Array, "runs points ..."]:  # fmt: skip
    """The samples of each run after its last step."""
    floating, fixed = eqx.partition(memory, eqx.is_array)

    def draw(key: PRNGKeyArray) -> Args:
        # Either one of the minibatches, or rows of the only one.
        if resample is None:
            n = jax.random.randint(key, (), 0, jax.tree.leaves(pool)[0].shape[0])
            return jax.tree.map(lambda leaf: leaf[n], pool)
        parts = jax.random.split(key, len(pool))
        return tuple(
            part[0][jax.random.randint(own, (resample,), 0, resample)] for own, part in zip(parts, pool, strict=True)
        )

    def step(state: Any, key: PRNGKeyArray) -> tuple[Any, None]:
        y, remembered = state
        new, then = update.step(field, jnp.zeros(()), y, draw(key), eqx.combine(remembered, fixed))
        as_before = (
            jax.tree.map(lambda a, b: jnp.asarray(a, jnp.asarray(b).dtype), new, y),
            eqx.filter(then, eqx.is_array),
        )
        return as_before, None

    def run(key: PRNGKeyArray) -> Array:
        (end, _), _ = jax.lax.scan(step, (y, floating), jax.random.split(key, num_steps))
        return samples_of(game, end.generator, latent)

    return jax.lax.map(run, keys)
