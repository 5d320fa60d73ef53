"""Compiling at entry points."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks
from . import _devices

# No routines of a library for a few operations at a time: they are slower here than what XLA makes of these.
WITHOUT_LIBRARY = {"xla_cpu_experimental_ynn_fusion_type": ""}

# And kernels as older compilers made them: of many small operations that takes half the time.
QUICKLY = {**WITHOUT_LIBRARY, "xla_cpu_use_fusion_emitters": False}

_Inputs = ParamSpec("_Inputs")
_Output = TypeVar("_Output")


def jit(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
    """`equinox.filter_jit`, for which `jnp.array(0.5)` and a computed state of the same dtype are the same.

    The former is weakly typed, like the number that it was made of, and JAX compiles once more for it.
    """
    return _jit(function, WITHOUT_LIBRARY)


def jit_quickly(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
    """`jit` for what runs for less time than it compiles: of many small operations, in loops that cannot be vectors."""
    return _jit(function, QUICKLY)


def _jit(function: Callable[_Inputs, _Output], options: dict[str, Any]) -> Callable[_Inputs, _Output]:
    compiled = for_processors(function, options)

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        args, kwargs = strongly_typed((args, kwargs))
        return compiled(*args, **kwargs)

    return call


def for_processors(
    function: Callable[_Inputs, _Output],
    options: dict[str, Any],
    otherwise: Callable[_Inputs, _Output] | None = None,
) -> Callable[_Inputs, _Output]:
    """`equinox.filter_jit(function)`, compiled on processors with options of the compiler, on which no result depends.

    Args:
        function: Takes and returns trees of arrays and of static values.
        options: By name; those that the compiler does not know are left out.
        otherwise: What is compiled as usual where there are no options: on other devices, within another program, or
            where the compiler fails. `function` by default.
    """
    of_operands: Callable[..., Any] = function
    usual = eqx.filter_jit(function if otherwise is None else otherwise)

    def of_arrays(structure: "_Structure", arrays: list[Any]) -> tuple[list[Any], "_Structure"]:
        args, kwargs = structure.join(arrays)
        return _taken_apart(of_operands(*args, **kwargs))

    @functools.cache
    def best() -> Callable[..., Any]:
        # Which options there are is asked when they are needed: it takes some time.
        known = {name: value for name, value in options.items() if _is_known(name, value)}
        return jax.jit(of_arrays, static_argnums=0, compiler_options=known)

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        # Within another program there are only its own options.
        if _checks.is_transformed() or not _devices.on_processor():
            return usual(*args, **kwargs)
        arrays, structure = _taken_apart((args, kwargs))
        try:
            found, structure = best()(structure, arrays)
        except jax.errors.JaxRuntimeError:
            # The compiler may fail on what is not known here. And of an error in the run Equinox says more.
            return usual(*args, **kwargs)
        return structure.join(found)

    return call


@functools.cache
def _is_known(name: str, value: Any) -> bool:
    """Whether this compiler has the option."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


@jax.tree_util.register_static
class _Structure:
    """A tree without its arrays.

    Args:
        structure: Of all leaves.
        leaves: What is no array, and a mark in the place of each array.
    """

    def __init__(self, structure: Any, leaves: tuple[Any, ...]):
        self._parts = structure, leaves
        self._hash = hash(self._parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Structure) and self._parts == other._parts

    def join(self, arrays: list[Any]) -> Any:
        structure, leaves = self._parts
        rest = iter(arrays)
        return jax.tree.unflatten(structure, [next(rest) if leaf is _ARRAY else leaf for leaf in leaves])


_ARRAY = object()


def _taken_apart(tree: Any) -> tuple[list[Any], _Structure]:
    leaves, structure = jax.tree.flatten(tree)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    others = tuple(_ARRAY if array else leaf for leaf, array in zip(leaves, is_array, strict=True))
    return [leaf for leaf, array in zip(leaves, is_array, strict=True) if array], _Structure(structure, others)


def strongly_typed(tree: Any) -> Any:
    """The same tree with every weakly typed array in its own dtype for good."""

    def strong(leaf: Any) -> Any:
        # With its dtype said, an array is not weakly typed.
        return jnp.asarray(leaf, leaf.dtype) if getattr(leaf, "weak_type", False) else leaf

    return jax.tree.map(strong, tree)
