"""Early errors: each names the argument, its value and the remedy."""

import concurrent.futures
import functools
import inspect
import math
import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._jax import get_opaque_trace_state, Tracer
from ._types import RealScalarLike

# The most that a 32-bit counter holds, which JAX has by default.
MOST_STEPS = 2**31 - 1


def is_traced(tree: object) -> bool:
    """Whether any leaf is a tracer: its value cannot be looked at now."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def is_transformed() -> bool:
    """Whether this runs within `jax.jit`, `jax.vmap`, `jax.grad` or the like: any function may hold a tracer then."""
    return get_opaque_trace_state() != _top_level()


def is_staged() -> bool:
    """Whether operations go into a program, under `jax.jit` or a loop of JAX: then no number is known yet."""
    return is_traced(jnp.zeros(()))


@functools.cache
def _top_level() -> Any:
    # A new thread is outside of all transformations, wherever this is asked first.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(get_opaque_trace_state).result()


def as_float(value: RealScalarLike, name: str = "value") -> jax.Array:
    """The value as a floating-point array: `1` is meant as `1.0`; refused if it is no number."""
    real(name, value)
    return floats(_array(value))


def real(name: str, values: Any) -> None:
    """Refuses what is no real number and no array of them: words, None, complex numbers.

    Raises:
        ValueError: If it is anything else; the text says what.
    """
    if isinstance(values, float | int | Tracer):
        return
    leaves: list[Any] = [None] if values is None else jax.tree.leaves(values)
    for leaf in leaves:
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise ValueError(f"`{name}` must be real, but is {dtype}: give its real part, `.real`.")
        if not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)):
            raise ValueError(f"`{name}` must be made of real numbers, but is {values!r}: give Python's, or an array.")


def floats(values: Any, dtype: Any = float) -> jax.Array:
    """The values as an array of floating-point numbers: whole ones are made into those of a dtype."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.inexact) else values.astype(dtype)


def positive(name: str, value: RealScalarLike, remedy: str) -> jax.Array:
    """The value as an array, refused unless it is finite and above zero; under a transformation, when it runs."""
    value = as_float(value, name)
    message = f"`{name}` must be above 0 and finite{_seen(value)}. {remedy}"
    return _checked(name, value, lambda v: (v > 0) & (v < math.inf), message)


def not_negative(name: str, value: RealScalarLike, remedy: str) -> jax.Array:
    """The value as an array, refused unless it is finite and at least zero; under a transformation, when it runs."""
    value = as_float(value, name)
    message = f"`{name}` must be at least 0 and finite{_seen(value)}. {remedy}"
    return _checked(name, value, lambda v: (v >= 0) & (v < math.inf), message)


def portion(name: str, value: RealScalarLike, remedy: str) -> jax.Array:
    """The value as an array, refused unless it is above zero and at most one; under a transformation, when it runs."""
    value = as_float(value, name)
    message = f"`{name}` must be above 0 and at most 1{_seen(value)}. {remedy}"
    return _checked(name, value, lambda v: (v > 0) & (v <= 1), message)


def relative(name: str, value: RealScalarLike, remedy: str) -> jax.Array:
    """The value as an array, refused unless it is above zero and below one: an error relative to what is computed."""
    value = as_float(value, name)
    message = f"`{name}` must be above 0 and below 1{_seen(value)}. {remedy}"
    return _checked(name, value, lambda v: (v > 0) & (v < 1), message)


def number(name: str, value: RealScalarLike) -> jax.Array:
    """The value as an array, refused unless it is finite; under a transformation, when it runs."""
    value = as_float(value, name)
    return _checked(name, value, lambda v: abs(v) < math.inf, f"`{name}` must be finite{_seen(value)}.")


def count(name: str, value: int, *, least: int = 1, most: int | None = None) -> int:
    """The value, refused unless it is a whole number of at least `least` and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"`{name}` must be a whole number, but is {value!r}: write it as a Python int.")
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, but is {value}.")
    if most is not None and value > most:
        raise ValueError(f"`{name}` must be at most {most:,}, but is {value}: go on from `final_state` in another run.")
    return int(value)


def axis(name: str, values: Any, *, above: float = -math.inf) -> jax.Array:
    """The values as one axis of floating-point numbers, refused unless they are finite and above a bound."""
    real(name, values)
    values = floats(values)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"`{name}` must be one axis of at least one number, but has shape {values.shape}.")
    if is_traced(values):
        return values
    seen = np.asarray(values)
    wrong = seen[~(np.isfinite(seen) & (seen > above))]
    if wrong.size:
        bound = "" if above == -math.inf else f" and above {above:g}"
        raise ValueError(f"`{name}` must be finite{bound}, but holds {wrong[0]}.")
    return values


def finite(name: str, tree: Any) -> None:
    """Refuses a concrete tree that holds a number that is not finite."""
    for leaf in jax.tree.leaves(tree):
        values = np.asarray(leaf)
        if not np.all(np.isfinite(values)):
            wrong = values[~np.isfinite(values)][0]
            raise ValueError(f"`{name}` must be finite, but holds {wrong}: leave that one out.")


def one_of(name: str, value: object, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, options))}, but is {value!r}.")


def _array(value: RealScalarLike) -> jax.Array:
    # A Python number would be weakly typed, and compile everything once more where an array was before.
    return jnp.asarray(value, float) if isinstance(value, float | int) else jnp.asarray(value)


def _checked(name: str, value: jax.Array, holds: Callable[[Any], Any], message: str) -> jax.Array:
    if value.ndim:
        raise ValueError(
            f"`{name}` must be one number, but has shape {value.shape}: for several use `jax.vmap` over what takes it."
        )
    if is_traced(value):
        return eqx.error_if(value, ~holds(value), message)
    # In NumPy: outside `jax.jit` every operation of JAX is compiled by itself.
    if not np.all(holds(np.asarray(value))):
        raise ValueError(message)
    return value


def _seen(value: jax.Array) -> str:
    return "" if is_traced(value) else f", but is {value}"


def fits_in_memory(name: str, size: int, remedy: str) -> None:
    """Refuses an allocation of `size` bytes that this machine cannot hold."""
    memory = _physical_memory()
    if memory is not None and size > memory:
        raise ValueError(
            f"`{name}` must fit in memory, but needs {format_bytes(size)} of {format_bytes(memory)}: {remedy}"
        )


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def format_bytes(size: int | float) -> str:
    """A readable size: `3.1 GiB`."""
    power = min(int(math.log(max(size, 1), 1024)), 4)
    return f"{size / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def is_field(family: Any) -> bool:
    """Whether somebody gave a field where a family of fields is usual: it takes a time, a state and `args`."""
    return callable(family) and _takes(family, 3) and not _takes(family, 1)


def _takes(function: Callable, num: int) -> bool:
    """Whether a function can be called with so many arguments by position, as far as its signature says."""
    try:
        inspect.signature(function).bind(*range(num))
    except TypeError:
        return False
    except ValueError:
        # Of what is not written in Python there may be no signature.
        pass
    return True
