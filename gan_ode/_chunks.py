"""A batch in chunks: the processors share them, a chunk whose members are done stops, and Ctrl-C comes in between."""

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def over(solve: Callable[[Any], Any], members: Any, size: int) -> Any:
    """`solve(members)`, chunk by chunk along the leading axis.

    Args:
        solve: Takes and returns trees with a leading axis of members. It is called from several threads.
        members: The tree.
        size: Members to a chunk. The last chunk is filled up, so that all have one shape and compile once.
    """
    num = jax.tree.leaves(members)[0].shape[0]
    if num <= size:
        return solve(members)
    chunks = [_rows(members, start, size, num) for start in range(0, num, size)]
    first = jax.block_until_ready(solve(chunks[0]))
    with concurrent.futures.ThreadPoolExecutor(_processors()) as pool:
        rest = pool.map(lambda chunk: jax.block_until_ready(solve(chunk)), chunks[1:])
        parts = [first, *rest]
    # What is no array, such as the most steps that were allowed, is the same for all.
    return jax.tree.map(
        lambda *leaves: jnp.concatenate(leaves)[:num] if isinstance(leaves[0], Array) else leaves[0], *parts
    )


def _rows(members: Any, start: int, size: int, num: int) -> Any:
    def rows(leaf: Array) -> Array:
        part = leaf[start : start + size]
        missing = size - part.shape[0]
        return jnp.concatenate([part, jnp.repeat(part[-1:], missing, axis=0)]) if missing else part

    return jax.tree.map(rows, members)


def _processors() -> int:
    # Those that this process may use, where the system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
