"""What `flow` and `iterate` are given, made into arrays or refused."""

import os
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from .. import _checks, _tree
from .._types import Args, Field, State


def state(y0: Any, name: str = "y0") -> State:
    """The initial state as arrays of one floating dtype.

    Raises:
        ValueError: If a leaf is no real floating-point array, is not finite, or has another dtype than the others.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(y0)
    if not leaves:
        raise ValueError(f"`{name}` must hold at least one array, but has no leaves.")
    arrays = [_parameter(name + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
    dtypes = sorted({str(array.dtype) for array in arrays})
    if len(dtypes) > 1:
        raise ValueError(f"`{name}` must have one dtype, but has {' and '.join(dtypes)}: cast one part by `.astype`.")
    return jax.tree.unflatten(structure, arrays)


def _parameter(path: str, leaf: Any) -> Array:
    name = f"`{path}`"
    if not eqx.is_array_like(leaf):
        raise ValueError(
            f"{name} must be a floating-point array, but is {leaf!r}: keep what is not a parameter out of the state by "
            "`equinox.partition(module, equinox.is_inexact_array)`, as `games.GAN(...).players` does."
        )
    # With its dtype said, an array is not weakly typed: else a Python float would compile everything once more.
    # An array in double precision may be older than the wish for single precision.
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(leaf))
    is_one = isinstance(leaf, Array) and leaf.dtype == dtype and not leaf.weak_type
    array = leaf if is_one else jnp.asarray(leaf, dtype)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be of a real floating dtype, but is {array.dtype}: write 1.0 instead of 1, or cast by "
            "`.astype(float)`; integers that are no parameters do not belong in the state."
        )
    if not _checks.is_traced(array) and not np.all(np.isfinite(array)):
        values = np.ravel(array)
        raise ValueError(f"{name} must be finite, but holds {values[~np.isfinite(values)][0]}: check the start.")
    return array


def times(ts: Any, dtype: DTypeLike) -> Float[Array, " times"]:
    """The save times in the state's dtype.

    Raises:
        ValueError: If they are not a strictly increasing finite sequence of at least two.
    """
    ts = jnp.asarray(ts)
    if ts.ndim != 1 or ts.shape[0] < 2:
        raise ValueError(
            f"`ts` must be one axis of at least two times, but has shape {ts.shape}: the first is where `y0` is, for "
            "example `jnp.linspace(0.0, 10.0, 101)`."
        )
    ts = ts if ts.dtype == dtype else ts.astype(dtype)
    if _checks.is_traced(ts):
        return ts
    values = np.asarray(ts)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"`ts` must be finite, but holds {values[~np.isfinite(values)][0]}.")
    if np.any(np.diff(values) <= 0):
        first = int(np.argmax(np.diff(values) <= 0))
        raise ValueError(
            f"`ts` must increase, but goes from {values[first]} to {values[first + 1]} at index {first}: sort the "
            f"times and drop repeated ones ({values.dtype} tells them apart only above its resolution)."
        )
    return ts


def same_structure(field: Field, t: Any, y0: State, args: Args) -> None:
    """Refuses a field whose velocity does not have the shape of the state."""
    velocity = eqx.filter_eval_shape(field, t, y0, args)
    if jax.tree.structure(velocity) != jax.tree.structure(y0):
        raise ValueError(
            f"`y0` must have the structure of the field's velocity, but is {jax.tree.structure(y0)} and the velocity "
            f"{jax.tree.structure(velocity)}: for a game both are `Players`."
        )
    for (path, leaf), speed in zip(jax.tree_util.tree_flatten_with_path(y0)[0], jax.tree.leaves(velocity), strict=True):
        if (leaf.shape, leaf.dtype) != (speed.shape, speed.dtype):
            raise ValueError(
                f"`y0{jax.tree_util.keystr(path)}` must match the field's velocity, but has shape {leaf.shape} and "
                f"dtype {leaf.dtype}, and the velocity {speed.shape} and {speed.dtype}."
            )


def fits_in_memory(name: str, size: int, remedy: str) -> None:
    """Refuses an allocation of `size` bytes that this machine cannot hold."""
    memory = _physical_memory()
    if memory is not None and size > memory:
        raise ValueError(
            f"`{name}` must fit in memory, but needs {_checks.format_bytes(size)} of "
            f"{_checks.format_bytes(memory)}: {remedy}"
        )


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def num_bytes(y0: State, copies: int) -> int:
    return copies * _tree.num_bytes(y0)
