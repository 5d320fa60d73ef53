"""What a field and a state must be to be followed: made into arrays, or refused in words before anything compiles."""

import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike

from . import _checks
from ._types import Args, Field, State


class AbstractAtState(eqx.Module):
    """What is known of one state, and stands for it. To make a class so, inherit from this one, and store `y`.

    Attributes:
        y: The state.
    """

    y: eqx.AbstractVar[State]


def state_of(y: Any) -> Any:
    """The state itself, of an equilibrium or the like; anything else, such as a function to a state, as it is."""
    return y.y if isinstance(y, AbstractAtState) else y


def state(y0: Any, name: str = "y0") -> State:
    """The initial state as arrays of one floating dtype; what an analysis found at a state stands for that state.

    Raises:
        ValueError: If a leaf is no real floating-point array, is not finite, or has another dtype than the others.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(state_of(y0))
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
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(
            f"{name} must be real, but is {dtype}: split it into its real and imaginary part, for example "
            "`(y.real, y.imag)`, and let the field put them together and return the velocity split likewise."
        )
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


def wide_enough(dtype: DTypeLike, name: str = "y0") -> None:
    """Refuses 16 bits where steps are chosen by their error, which is below what 16 bits can tell.

    Raises:
        ValueError: If the dtype has less than 32 bits.
    """
    if jnp.dtype(dtype).itemsize < 4:
        raise ValueError(
            f"`{name}` must have at least 32 bits to be followed in continuous time, but is {jnp.dtype(dtype)}, whose "
            "rounding is larger than the error of a step: cast it by `.astype(jnp.float32)`. (`iterate` takes 16 bits.)"
        )


def a_field(field: Any, name: str = "field") -> None:
    """Refuses what cannot be called as a field, and says what it is instead.

    Raises:
        ValueError: If `field` is a game, a class, no function, or does not take `(t, y, args)`.
    """
    if isinstance(field, type):
        raise ValueError(
            f"`{name}` must be an instance, but is the class {field.__name__}: make one, for example "
            "`fields.GameField(game)`."
        )
    if not callable(field):
        if hasattr(field, "losses"):
            raise ValueError(
                f"`{name}` must be a field, but is the game {type(field).__name__}: write `fields.GameField(game)`."
            )
        raise ValueError(f"`{name}` must be a function `(t, y, args) -> dy/dt`, but is {field!r}.")
    try:
        inspect.signature(field).bind(0.0, None, None)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must take three arguments `(t, y, args)`, but has the signature "
            f"{inspect.signature(field)}: {error}. Write it as `def field(t, y, args)`, even if it uses only `y`."
        ) from None
    except ValueError:
        # Of what is not written in Python there may be no signature.
        return


def same_structure(field: Field, t: Any, y0: State, args: Args, name: str = "y0") -> None:
    """Refuses a field whose velocity does not have the structure, the shapes and the dtype of the state.

    Raises:
        ValueError: If it has not; the text says what it returns instead.
    """
    a_field(field)
    try:
        velocity = eqx.filter_eval_shape(field, t, y0, args)
    except ValueError as error:
        text = str(error)
        if not text.startswith("`y` must be"):
            raise
        # A game's word on its state, which has another name here.
        raise ValueError(text.replace("`y`", f"`{name}`", 1)) from error
    if velocity is None:
        raise ValueError("`field` must return the velocity, but returns None: does it lack its `return`?")
    if jax.tree.structure(velocity) != jax.tree.structure(y0):
        raise ValueError(
            f"`{name}` must have the structure of the field's velocity, but is {jax.tree.structure(y0)} and the "
            f"velocity {jax.tree.structure(velocity)}: for a game both are `Players`."
        )
    for (path, leaf), speed in zip(jax.tree_util.tree_flatten_with_path(y0)[0], jax.tree.leaves(velocity), strict=True):
        _same_leaf(jax.tree_util.keystr(path), name, leaf, speed)


def _same_leaf(path: str, name: str, leaf: Array, speed: Any) -> None:
    if not hasattr(speed, "shape"):
        raise ValueError(
            f"`field` must return arrays, but returns the number {speed!r} for `{name}{path}` of shape {leaf.shape}: "
            f"write `jnp.full_like(..., {speed!r})` of that part of the state."
        )
    if (leaf.shape, leaf.dtype) != (speed.shape, speed.dtype):
        raise ValueError(
            f"`{name}{path}` must match the field's velocity, but has shape {leaf.shape} and dtype {leaf.dtype}, and "
            f"the velocity {speed.shape} and {speed.dtype}."
        )
