"""What `flow` and `iterate` are given, made into arrays or refused."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from .. import _checks, _problem, _tree
from .._problem import a_field as a_field, same_structure as same_structure, state as state
from .._types import State


def times(ts: Any, dtype: DTypeLike) -> Float[Array, " times"]:
    """The save times in the state's dtype.

    Raises:
        ValueError: If they are not a strictly increasing finite sequence of at least two, or the dtype is too narrow.
    """
    _problem.wide_enough(dtype)
    _checks.real("ts", ts)
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


def num_bytes(y0: State, copies: int) -> int:
    return copies * _tree.num_bytes(y0)
