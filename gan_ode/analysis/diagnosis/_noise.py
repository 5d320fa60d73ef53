"""How much of a minibatch's velocity is noise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..._lowering import jit
from ..._types import Args, Field, State
from ...games import Players
from . import _thresholds
from ._budget import Budget
from ._result import Noise


def noise(field: Field, y: State, args: Args, batches: Any, budget: Budget) -> tuple[Noise, State | None]:
    """Variance beside drift, and the variance of each number; None where there is no minibatch."""
    size = batch_size(args if batches is None else _one(batches))
    num = _thresholds.NUM_PARTS
    if size < (2 * num if batches is None else 1):
        return Noise(), None
    if batches is None:
        parts = jax.tree.map(lambda leaf: _rows(leaf, num), args)
        budget.require(1)
        budget.spend(1)
    else:
        parts = _several(batches, num)
        budget.require(num)
        budget.spend(num)
    found = np.asarray(_velocities(field, y, parts), np.float64)
    # The parts are of one minibatch, or minibatches themselves.
    share = num if batches is None else 1
    total, variance = _judged(found, share, size, y)
    return total, ravel_pytree(y)[1](jnp.asarray(variance, ravel_pytree(y)[0].dtype))


def batch_size(args: Args) -> int:
    """Samples in a minibatch; 0 if it is none: no pair of arrays with one leading axis."""
    arrays = jax.tree.leaves(args)
    lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in arrays}
    if not isinstance(args, tuple) or not all(isinstance(part, jax.Array | np.ndarray) for part in args):
        return 0
    return lengths.pop() if len(lengths) == 1 else 0


def _one(batches: Any) -> Args:
    return batches(0) if callable(batches) else jax.tree.map(lambda leaf: leaf[0], batches)


def _several(batches: Any, num: int) -> Args:
    if not callable(batches):
        rows = min(jnp.shape(leaf)[0] for leaf in jax.tree.leaves(batches))
        if rows < num:
            raise ValueError(
                f"`batches` must hold at least {num} minibatches, on a leading axis of every leaf, but holds {rows}: "
                "give more, or a function of their number."
            )
        return jax.tree.map(lambda leaf: leaf[:num], batches)
    drawn = [batches(n) for n in range(num)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)


def _rows(leaf: Array, num: int) -> Array:
    each = leaf.shape[0] // num
    return jnp.reshape(leaf[: each * num], (num, each, *leaf.shape[1:]))


@jit
def _velocities(field: Field, y: State, parts: Any) -> Float[Array, "parts n"]:
    return jax.lax.map(lambda args: ravel_pytree(field(0.0, y, args))[0], parts)


def _judged(found: np.ndarray, share: int, size: int, y: State) -> tuple[Noise, np.ndarray]:
    """The numbers, and the variance of each component on a minibatch.

    Args:
        found: The velocity on each part.
        share: How many parts make a minibatch.
        size: Samples in a minibatch.
        y: The state.
    """
    num = len(found)

    def estimate(rows: np.ndarray) -> tuple[float, float]:
        mean, many = np.mean(rows, axis=0), len(rows)
        each = float(np.sum((rows - mean) ** 2)) / (many - 1)
        return each / share, float(mean @ mean) - each / many

    variance, drift = estimate(found)
    left_out = np.asarray([estimate(np.delete(found, k, axis=0)) for k in range(num)])
    errors = np.sqrt((num - 1) / num * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0))
    by_number = np.var(found, axis=0, ddof=1) / share
    shares = Players(float("nan"), float("nan"))
    if isinstance(y, Players) and variance > 0:
        first = ravel_pytree(y.discriminator)[0].size
        part = float(np.sum(by_number[:first]) / np.sum(by_number))
        shares = Players(part, 1 - part)
    trusted = variance * size / drift if drift > 0 else float("inf")
    trusted = 0.0 if variance == 0 else trusted
    return Noise(variance, float(errors[0]), drift, float(errors[1]), size, trusted, shares), by_number
