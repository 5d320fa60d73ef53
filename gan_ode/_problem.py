"""What a field and a state must be to be followed: made into arrays, or refused in words before anything compiles."""

import contextlib
import inspect
from collections.abc import Iterator
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
    y0 = arrays(y0, name)
    leaves = jax.tree_util.tree_flatten_with_path(y0)[0]
    for path, leaf in leaves:
        _refuse_infinite(name + jax.tree_util.keystr(path), leaf)
    dtypes = sorted({str(leaf.dtype) for _, leaf in leaves})
    if len(dtypes) > 1:
        raise ValueError(f"`{name}` must have one dtype, but has {' and '.join(dtypes)}: cast one part by `.astype`.")
    return y0


def arrays(y: Any, name: str = "y") -> State:
    """A state as real floating-point arrays, finite or not; what was found at a state stands for that state.

    Raises:
        ValueError: If a leaf is no such array, or there is none.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(state_of(y))
    if not leaves:
        raise ValueError(f"`{name}` must hold at least one array, but has no leaves: {_instead_of_state(y)}.")
    found = [_parameter(name + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
    if not any(array.size for array in found):
        raise ValueError(
            f"`{name}` must hold at least one number, but all its arrays are empty, of the shapes "
            f"{', '.join(str(array.shape) for array in found)}: {_instead_of_state(y)}."
        )
    return jax.tree.unflatten(structure, found)


def _instead_of_state(y: Any) -> str:
    if hasattr(y, "losses"):
        return f"it is the game {type(y).__name__}; give the players' parameters, as `gan.players`"
    return "give the players' parameters, as `games.Players(discriminator=..., generator=...)`"


def num_rows(states: State, name: str) -> int:
    """How many states there are along the leading axis.

    Raises:
        ValueError: If the leaves have none of one length, or it has length 0.
    """
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(states)]
    lengths = {shape[0] if shape else None for shape in shapes}
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise ValueError(
            f"`{name}` must have one leading axis on every leaf, of length at least 1, but the shapes are {shapes}: "
            "stack the states, for example by `jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)`."
        )
    return shapes[0][0]


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
    return array


def _refuse_infinite(path: str, array: Array) -> None:
    if not _checks.is_traced(array) and not np.all(np.isfinite(array)):
        values = np.ravel(array)
        raise ValueError(f"`{path}` must be finite, but holds {values[~np.isfinite(values)][0]}: check the start.")


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
        pass
    _parts_of_field(field, name)


def _parts_of_field(field: Any, name: str) -> None:
    """Refuses the same of what a field is made of: that within an adjusted one, and the adjustment."""
    if not isinstance(field, eqx.Module):
        return
    if (inner := getattr(field, "field", None)) is not None:
        a_field(inner, f"{name}.field")
    if isinstance(adjustment := getattr(field, "adjustment", None), type):
        raise ValueError(
            f"`adjustment` must be an instance, but is the class {adjustment.__name__}: write "
            f"`{adjustment.__name__}(...)`, with its weight."
        )


def a_game(game: Any, name: str = "game") -> None:
    """Refuses what has no losses of two players, and a penalty of it that is a class.

    Raises:
        ValueError: If `game` is a class, a field, or has no method `losses`.
    """
    if isinstance(game, type):
        raise ValueError(
            f"`{name}` must be an instance, but is the class {game.__name__}: make one, for example "
            "`games.Dirac(losses.Minimax())`."
        )
    if not hasattr(game, "losses"):
        if hasattr(game, "game"):
            raise ValueError(f"`{name}` must be a game, but is the field {type(game).__name__}: give `field.game`.")
        raise ValueError(
            f"`{name}` must have a method `losses(y, args)`, but is {game!r}: wrap a function in `games.FromLosses`."
        )
    if isinstance(penalty := getattr(game, "penalty", None), type):
        raise ValueError(
            f"`penalty` must be an instance, but is the class {penalty.__name__}: write `{penalty.__name__}(...)`, "
            "with its weight."
        )
    if hasattr(game, "penalty") and hasattr(game, "game"):
        a_game(game.game, f"{name}.game")


@contextlib.contextmanager
def renamed(inner: str, outer: str) -> Iterator[None]:
    """Errors that open with the name of an argument within get the name that it has outside."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        if inner == outer or not text.startswith((f"`{inner}` must", f"`{inner}.", f"`{inner}[")):
            raise
        raise ValueError(f"`{outer}{text[len(inner) + 1 :]}") from error


def same_structure(field: Field, t: Any, y0: State, args: Args, name: str = "y0", *, dtypes: bool = True) -> None:
    """Refuses a field whose velocity does not have the structure, the shapes and the dtype of the state.

    Args:
        field: The field.
        t: Time.
        y0: The state.
        args: Handed to the field.
        name: The argument that errors name.
        dtypes: Whether the dtypes have to be the same, too.

    Raises:
        ValueError: If it has not; the text says what it returns instead.
    """
    a_field(field)
    try:
        # A game's word on its state, which has another name here.
        with renamed("y", name):
            velocity = eqx.filter_eval_shape(field, t, y0, args)
    except (TypeError, AttributeError, LookupError) as error:
        if isinstance(error, jax.errors.JAXTypeError):
            # What JAX says of a Python `if` on a traced number is the remedy.
            raise
        raise ValueError(
            f"`{name}` must be a state that `field` takes, but there it raises {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'nothing more'} The state is {shapes_of(y0)}. Give one of "
            f"the structure and the shapes that the field is made for, and the `args` that it needs; "
            f"`field(0.0, {name}, args)` by itself shows where it fails."
        ) from error
    if velocity is None:
        raise ValueError("`field` must return the velocity, but returns None: does it lack its `return`?")
    if jax.tree.structure(velocity) != jax.tree.structure(y0):
        raise ValueError(
            f"`{name}` must have the structure of the field's velocity, but is {jax.tree.structure(y0)} and the "
            f"velocity {jax.tree.structure(velocity)}: for a game both are `Players`."
        )
    for (path, leaf), speed in zip(jax.tree_util.tree_flatten_with_path(y0)[0], jax.tree.leaves(velocity), strict=True):
        _same_leaf(jax.tree_util.keystr(path), name, leaf, speed, dtypes)


def shapes_of(y: State) -> str:
    """A state in a line: what each leaf is called, its dtype and shape."""
    leaves = jax.tree_util.tree_flatten_with_path(y)[0]
    text = ", ".join(
        f"{jax.tree_util.keystr(path)} {leaf.dtype}{list(leaf.shape)}".strip() for path, leaf in leaves[:6]
    )
    return f"{text}, and {len(leaves) - 6} leaves more" if len(leaves) > 6 else text


def _same_leaf(path: str, name: str, leaf: Any, speed: Any, dtypes: bool) -> None:
    if not hasattr(speed, "shape"):
        raise ValueError(
            f"`field` must return arrays, but returns the number {speed!r} for `{name}{path}` of shape {leaf.shape}: "
            f"write `jnp.full_like(..., {speed!r})` of that part of the state."
        )
    if leaf.shape != speed.shape or (dtypes and leaf.dtype != speed.dtype):
        raise ValueError(
            f"`{name}{path}` must match the field's velocity, but has shape {leaf.shape} and dtype {leaf.dtype}, and "
            f"the velocity {speed.shape} and {speed.dtype}."
        )
