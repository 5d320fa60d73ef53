"""A batch in chunks: the processors share them, a chunk whose members are done stops, and Ctrl-C comes in between."""

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Of an integer that orders the members.
_BITS = 60


def over(solve: Callable[[Any], Any], members: Any, size: int, *, starts: Any) -> Any:
    """`solve(members)`, chunk by chunk along the leading axis.

    Args:
        solve: Takes and returns trees with a leading axis of members. It is called from several threads.
        members: The tree.
        size: Members to a chunk. The last chunk is filled up, so that all have one shape and compile once.
        starts: A tree of arrays, likewise: members whose starts are near each other come into one chunk. They take
            about as many steps, so that few wait for the slowest.
    """
    num = jax.tree.leaves(members)[0].shape[0]
    if num <= size:
        return solve(members)
    order = _by_neighborhood(starts)
    filled = np.resize(order, -(-num // size) * size)
    chunks = [rows(members, part) for part in filled.reshape(-1, size)]
    wide = bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    def solve_one(chunk: Any) -> Any:
        # `with jax.enable_x64()` holds for the thread that it is said in.
        with jax.enable_x64(wide):
            return jax.block_until_ready(solve(chunk))

    # The first one alone, since it compiles.
    first = solve_one(chunks[0])
    pool = concurrent.futures.ThreadPoolExecutor(_processors())
    try:
        parts = [first, *pool.map(solve_one, chunks[1:])]
    finally:
        # After Ctrl-C only the chunks that are under way are waited for.
        pool.shutdown(cancel_futures=True)
    back = np.argsort(order)
    # What is no array, such as the most steps that were allowed, is the same for all.
    return jax.tree.map(
        lambda *leaves: jnp.concatenate(leaves)[back] if isinstance(leaves[0], Array) else leaves[0], *parts
    )


def rows(tree: Any, chosen: np.ndarray) -> Any:
    """Some rows of every leaf."""
    return jax.tree.map(lambda leaf: leaf[chosen], tree)


def _by_neighborhood(starts: Any) -> np.ndarray:
    """A permutation that puts near starts near each other, along Morton's curve."""
    points = np.concatenate([np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(starts)], axis=1)
    points = points[:, :_BITS]
    bits = max(_BITS // points.shape[1], 1)
    extent = np.maximum(np.ptp(points, axis=0), np.finfo(points.dtype).tiny)
    cells = ((points - points.min(axis=0)) / extent * (2**bits - 1)).astype(np.int64)
    key = np.zeros(len(points), np.int64)
    for bit in reversed(range(bits)):
        for column in cells.T:
            key = (key << 1) | ((column >> bit) & 1)
    return np.argsort(key, kind="stable")


def _processors() -> int:
    # Those that this process may use, where the system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
