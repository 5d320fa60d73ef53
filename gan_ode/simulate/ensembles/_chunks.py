"""A batch in chunks: the cores share them, a chunk whose members are done stops, and Ctrl-C comes in between."""

import concurrent.futures
import contextlib
import contextvars
import functools
import math
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ... import _lowering
from ..._jax import process_allgather

# Of an integer that orders the members: integers so short are sorted in linear time.
_BITS = 16
# Of JAX's arrays, in bytes.
_ALIGNMENT = 64
# So few chunks for each core are made of equal size instead of filling up the last one.
_FEW = 8
# Fewer members than this to a core are not worth a thread.
_LEAST = 512
# Of how many programs it is remembered that they are compiled.
_REMEMBERED = 1024
# The largest array of which copies are kept, in bytes.
_SMALL = 2**16


def map_chunks(
    solve: Callable[[Any, Any], Any],
    members: Any,
    size: int,
    *,
    starts: Any,
    shared: Any,
    mesh: jax.sharding.Mesh | None = None,
) -> Any:
    """`solve(members, shared)`, chunk by chunk along the leading axis.

    Args:
        solve: Takes members and what they share, and returns a tree with a leading axis of members. It is called from
            several threads.
        members: The tree.
        size: Members to a chunk, on each device. The last chunk is filled up, so that all have one shape and compile
            once.
        starts: A tree of arrays, likewise: members whose starts are near each other come into one chunk. They take
            about as many steps, so that few wait for the slowest.
        shared: A tree. With the same as before all threads start at once: it is known to be compiled.
        mesh: Devices among which the members of each chunk are divided.
    """
    num, devices = jax.tree.leaves(members)[0].shape[0], 1 if mesh is None else mesh.size
    threads, rounds, size = layout(num, size, mesh)
    if rounds == 1 and mesh is None:
        return solve(members, shared)
    places = np.resize(morton_order(starts), (rounds, devices * size))
    chunks = jax.tree.map(lambda leaf: _on_host(leaf)[places], members)
    whole = _Whole(num, places)
    solved = _by_threads(solve, chunks, shared, threads) if mesh is None else _by_devices(solve, chunks, shared, mesh)
    with contextlib.closing(solved):
        for i, part in solved:
            whole.put(i, part)
    return whole.tree()


def layout(num: int, size: int, mesh: jax.sharding.Mesh | None = None) -> tuple[int, int, int]:
    """How `map_chunks` divides its members: into how many threads and chunks, and members to a chunk on each device."""
    devices, by_threads = 1 if mesh is None else mesh.size, mesh is None and _lowering.on_cpu()
    threads = min(_lowering.num_cpus(), -(-num // _LEAST)) if by_threads else 1
    rounds = -(-num // (devices * size))
    if rounds <= _FEW * threads:
        # The price is to compile for each number of members.
        rounds = -(-rounds // threads) * threads
        size = -(-num // (devices * rounds))
    return threads, rounds, size


def _by_threads(
    solve: Callable[[Any, Any], Any], chunks: Any, shared: Any, threads: int
) -> Generator[tuple[int, Any], None, None]:
    """The chunks in any order, so many at a time."""
    num = jax.tree.leaves(chunks)[0].shape[0]
    wide = bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]

    def solve_one(i: int) -> tuple[int, Any]:
        # `with jax.enable_x64()` holds for the thread that it is said in.
        with jax.enable_x64(wide):
            return i, jax.block_until_ready(solve(jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), chunks), shared))

    first, program = 0, _program(chunks, shared)
    compiled = threading.Event() if program is None else _compiled(program)
    if not compiled.is_set():
        # The first one alone, since it compiles.
        yield solve_one(0)
        first = 1
        compiled.set()
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    try:
        # Each in the context of the caller, which says what is switched off.
        under_way = [pool.submit(contextvars.copy_context().run, solve_one, i) for i in range(first, num)]
        for done in concurrent.futures.as_completed(under_way):
            yield done.result()
    finally:
        # After Ctrl-C only the chunks that are under way are waited for.
        pool.shutdown(cancel_futures=True)


def _program(chunks: Any, shared: Any) -> int | None:
    """A hash of what a program depends on; None if something of it has none."""
    leaves, structure = jax.tree.flatten((chunks, shared))
    parts = [(leaf.shape, leaf.dtype) if isinstance(leaf, Array | np.ndarray) else leaf for leaf in leaves]
    parts.append(_lowering.is_plain())
    try:
        return hash((structure, *parts))
    except TypeError:
        return None


@functools.lru_cache(_REMEMBERED)
def _compiled(program: int) -> threading.Event:
    """Set once a program with this hash has run."""
    return threading.Event()


def _by_devices(
    solve: Callable[[Any, Any], Any], chunks: Any, shared: Any, mesh: jax.sharding.Mesh
) -> Generator[tuple[int, Any], None, None]:
    """The chunks in order, each spread over the devices; the next one starts before the last one is handed over."""
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(mesh.axis_names))
    num = jax.tree.leaves(chunks)[0].shape[0]
    shared = jax.tree.map(lambda leaf: _replicas.of(leaf, mesh), shared)

    def spread(leaf: Any) -> Array:
        if isinstance(leaf, Array):  # random keys
            return jax.device_put(leaf, sharding)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda part: leaf[part])

    last = None
    for i in range(num):
        now = solve(jax.tree.map(lambda leaf, i=i: spread(leaf[i]), chunks), shared)
        if last is not None:
            yield i - 1, _gathered(last)
        last = now
    yield num - 1, _gathered(last)


class _Replicas:
    """Small arrays on all devices of a mesh, which take long to make: kept as long as what they were made of."""

    def __init__(self):
        self._found: dict[tuple[int, jax.sharding.Mesh], tuple[weakref.ref, Array]] = {}

    def of(self, leaf: Any, mesh: jax.sharding.Mesh) -> Any:
        """The leaf on all devices, or as it is."""
        place = id(leaf), mesh
        if place in self._found:
            return self._found[place][1]
        if not self._can_keep(leaf):
            return leaf
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        # By a copy of its own: it would keep what it shares memory with.
        replica = jax.make_array_from_callback(leaf.shape, sharding, np.array(leaf).__getitem__)
        self._found[place] = weakref.ref(leaf, lambda _: self._found.pop(place, None)), replica
        return replica

    @staticmethod
    def _can_keep(leaf: Any) -> bool:
        # Arrays of NumPy may change, and a copy would be of another kind than a weakly typed array.
        return (
            isinstance(leaf, Array)
            and not (_is_key(leaf) or leaf.weak_type)
            and leaf.dtype == jax.dtypes.canonicalize_dtype(leaf.dtype)
            and leaf.nbytes <= _SMALL
            and len(leaf.devices()) == 1
        )


_replicas = _Replicas()


def _gathered(tree: Any) -> Any:
    """On this process, what may be on several."""
    if all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree) if isinstance(leaf, Array)):
        return tree
    return jax.tree.map(lambda leaf: process_allgather(leaf, tiled=True) if isinstance(leaf, Array) else leaf, tree)


class _Whole:
    """The arrays of all members, which the chunks are written into in any order."""

    def __init__(self, num: int, places: np.ndarray):
        self._num, self._places, self._arrays = num, places, None

    def put(self, i: int, part: Any) -> None:
        leaves, structure = jax.tree.flatten(part)
        if self._arrays is None:
            self._structure, self._arrays = structure, [self._array_for(leaf) for leaf in leaves]
        for array, leaf in zip(self._arrays, leaves, strict=True):
            if isinstance(array, np.ndarray):
                for rows, block in _blocks(leaf):
                    _as_items(array)[self._places[i][rows]] = _as_items(np.ascontiguousarray(block))

    def tree(self) -> Any:
        arrays, rest = eqx.partition(self._arrays or [], lambda array: isinstance(array, np.ndarray))
        # Nothing else writes there any more, so that it need not be copied.
        return jax.tree.unflatten(self._structure, eqx.combine(jax.device_put(arrays, may_alias=True), rest))

    def _array_for(self, leaf: Any) -> Any:
        """Room for all members; what is no array, such as the most steps that were allowed, is the same for all."""
        return _room((self._num, *leaf.shape[1:]), leaf.dtype) if isinstance(leaf, Array | np.ndarray) else leaf


def _blocks(leaf: Any) -> Iterator[tuple[slice, Any]]:
    """What each device has, which need not be put together first."""
    if isinstance(leaf, Array) and len(leaf.sharding.device_set) > 1:
        for shard in leaf.addressable_shards:
            yield shard.index[0], shard.data
    else:
        yield slice(None), leaf


def _as_items(rows: np.ndarray) -> np.ndarray:
    """Each row as one item: NumPy moves items faster than short rows."""
    size = rows.itemsize * math.prod(rows.shape[1:])
    if not size:
        return rows
    return rows.reshape(len(rows), -1).view(np.dtype((np.void, size)))[:, 0]


def rows(tree: Any, chosen: np.ndarray) -> Any:
    """Some rows of every leaf."""
    return jax.tree.map(lambda leaf: leaf[chosen], tree)


def morton_order(starts: Any) -> np.ndarray:
    """A permutation that puts near starts near each other, along Morton's curve."""
    points = [np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(starts)]
    columns = [column for block in points for column in block.T][:_BITS]
    spread, key = _spread(len(columns)), np.zeros(len(points[0]), np.uint16)
    for column in columns:
        key = (key << np.uint16(1)) | np.take(spread, _cells(column, len(spread)), mode="clip")
    return np.argsort(key, kind="stable")


@functools.cache
def _spread(num: int) -> np.ndarray:
    """For every integer that fits into a column: its bits spread out, `num` places apart.

    The bits of the other columns fill the gaps, so that columns are interleaved into one key (Morton order).
    """
    bits = np.arange(_BITS // num)
    places = (np.arange(2 ** len(bits))[:, None] >> bits) & 1
    return (places << (num * bits)).sum(axis=1).astype(np.uint16)


def _cells(column: np.ndarray, num: int) -> np.ndarray:
    """In which of `num` equal intervals each value lies."""
    column = column.astype(float)
    least, most = column.min(), column.max()
    return ((column - least) * ((num - 1) / (most - least if most > least else 1))).astype(np.uint16)


def _room(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An empty array that JAX can take as it is."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def on_host(tree: Any) -> Any:
    """The tree with NumPy's arrays."""
    return jax.tree.map(_on_host, tree)


def _on_host(leaf: Any) -> Any:
    # Random keys stay arrays of JAX.
    return leaf if _is_key(leaf) else np.asarray(leaf)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
