"""A batch in chunks: the processors share them, a chunk whose members are done stops, and Ctrl-C comes in between."""

import concurrent.futures
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Of an integer that orders the members: integers so short are sorted in linear time.
_BITS = 16
# Of JAX's arrays, in bytes.
_ALIGNMENT = 64


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
    places = np.resize(by_neighborhood(starts), (-(-num // size), size))
    chunks = jax.tree.map(lambda leaf: _on_host(leaf)[places], members)
    wide = bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    def solve_one(i: int) -> Any:
        # `with jax.enable_x64()` holds for the thread that it is said in.
        with jax.enable_x64(wide):
            return jax.block_until_ready(solve(jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), chunks)))

    # The first one alone, since it compiles.
    first = solve_one(0)
    whole = jax.tree.map(
        lambda leaf: _room((num, *leaf.shape[1:]), leaf.dtype) if isinstance(leaf, Array) else leaf, first
    )

    def put(i: int, part: Any) -> None:
        # What is no array, such as the most steps that were allowed, is the same for all.
        jax.tree.map(
            lambda rows, leaf: rows.__setitem__(places[i], leaf) if isinstance(leaf, Array) else None, whole, part
        )

    put(0, first)
    pool = concurrent.futures.ThreadPoolExecutor(_processors())
    try:
        for done in [pool.submit(lambda i: put(i, solve_one(i)), i) for i in range(1, len(places))]:
            done.result()
    finally:
        # After Ctrl-C only the chunks that are under way are waited for.
        pool.shutdown(cancel_futures=True)
    # Nothing else writes there any more, so that it need not be copied.
    return jax.tree.map(
        lambda leaf: jax.device_put(leaf, may_alias=True) if isinstance(leaf, np.ndarray) else leaf, whole
    )


def rows(tree: Any, chosen: np.ndarray) -> Any:
    """Some rows of every leaf."""
    return jax.tree.map(lambda leaf: leaf[chosen], tree)


def by_neighborhood(starts: Any) -> np.ndarray:
    """A permutation that puts near starts near each other, along Morton's curve."""
    points = [np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(starts)]
    columns = [column for block in points for column in block.T][:_BITS]
    bits = _BITS // len(columns)
    cells = [_cells(column, 2**bits) for column in columns]
    key = np.zeros(len(points[0]), np.uint16)
    for bit in reversed(range(bits)):
        for cell in cells:
            key = (key << np.uint16(1)) | ((cell >> np.uint16(bit)) & np.uint16(1))
    return np.argsort(key, kind="stable")


def _cells(column: np.ndarray, num: int) -> np.ndarray:
    """In which of `num` equal intervals each value lies."""
    least, most = column.min(), column.max()
    place = (column - least) / (most - least if most > least else 1)
    return (place * (num - 1)).astype(np.uint16)


def _room(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An empty array that JAX can take as it is."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _on_host(leaf: Array) -> Any:
    # Random keys stay arrays of JAX.
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)


def _processors() -> int:
    # Those that this process may use, where the system can tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
