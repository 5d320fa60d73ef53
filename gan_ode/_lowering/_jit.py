"""Compiling at entry points."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .. import _checks
from ._devices import on_cpu
from ._plain import is_plain

# No kernels of a library for a few operations at a time: they are slower here than what XLA makes of these.
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
    compiled = with_options(function, options)

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        args, kwargs = strongly_typed((args, kwargs))
        return compiled(*args, **kwargs)

    return call


def with_options(
    function: Callable[_Inputs, _Output],
    options: dict[str, Any],
    otherwise: Callable[_Inputs, _Output] | None = None,
) -> Callable[_Inputs, _Output]:
    """`equinox.filter_jit(function)`, compiled for CPUs with options of the compiler, on which no result depends.

    Args:
        function: Takes and returns trees of arrays and of static values.
        options: By name; those that the compiler does not know are left out.
        otherwise: What is compiled as usual where there are no options: on other devices, within another program, or
            where the compiler fails. `function` by default.
    """
    usual = eqx.filter_jit(function if otherwise is None else otherwise)
    # Traced anew: what a program was traced to with the switch on is not what it is with the switch off.
    plainly = eqx.filter_jit(_again(function if otherwise is None else otherwise))

    @functools.cache
    def best() -> Callable[_Inputs, _Output]:
        # Which options there are is asked when they are needed: it takes some time.
        known = {name: value for name, value in options.items() if _is_known(name, value)}
        return eqx.filter_jit(function, compiler_options=known)  # pyright: ignore[reportCallIssue]

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        if is_plain():
            return plainly(*args, **kwargs)
        # Within another program there are only its own options.
        if _checks.is_transformed() or not on_cpu():
            return usual(*args, **kwargs)
        try:
            return best()(*args, **kwargs)
        except jax.errors.JaxRuntimeError as error:
            if _is_of_the_run(error):
                raise
        # The compiler may fail on what is not known here.
        return usual(*args, **kwargs)

    return call


def _again(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
    """The same as another function, which JAX traces by itself."""

    @functools.wraps(function)
    def same(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        return function(*args, **kwargs)

    return same


def _is_of_the_run(error: Exception) -> bool:
    """Whether an error came from the program, and not from compiling it."""
    # What fails in Python on the way (`jax.pure_callback`, `equinox.error_if`), and what memory does not suffice for.
    return any(sign in str(error) for sign in ("Callback", "RESOURCE_EXHAUSTED"))


@functools.cache
def _is_known(name: str, value: Any) -> bool:
    """Whether this compiler has the option."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def strongly_typed(tree: Any) -> Any:
    """The same tree with every weakly typed array in its own dtype for good."""

    def strong(leaf: Any) -> Any:
        # With its dtype said, an array is not weakly typed.
        return jnp.asarray(leaf, leaf.dtype) if getattr(leaf, "weak_type", False) else leaf

    return jax.tree.map(strong, tree)
