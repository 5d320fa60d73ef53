"""Compiling at entry points, once for arrays that differ in nothing but how they were written."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

_Inputs = ParamSpec("_Inputs")
_Output = TypeVar("_Output")


def jit(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
    """`equinox.filter_jit`, for which `jnp.array(0.5)` and a computed state of the same dtype are the same.

    The former is weakly typed, like the number that it was made of, and JAX compiles once more for it.
    """
    compiled = eqx.filter_jit(function)

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        args, kwargs = strongly_typed((args, kwargs))
        return compiled(*args, **kwargs)

    return call


def strongly_typed(tree: Any) -> Any:
    """The same tree with every weakly typed array in its own dtype for good."""

    def strong(leaf: Any) -> Any:
        # With its dtype said, an array is not weakly typed.
        return jnp.asarray(leaf, leaf.dtype) if isinstance(leaf, jax.Array) and leaf.weak_type else leaf

    return jax.tree.map(strong, tree)
