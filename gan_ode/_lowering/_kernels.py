"""What makes loops over small states fast on CPUs: hints to XLA's compiler, and fields of single elements.

Results are those of the usual program up to rounding.

XLA compiles each few operations to a kernel of its own, which reads and writes arrays over all members. A loop whose
members are so few that all these arrays stay in the first cache, and which is one kernel, is several times faster.
"""

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._jax import ClosedJaxpr, Jaxpr, jaxpr_as_fun, jaxprs_in_params, set_xla_metadata
from . import _fast_exp, _jaxprs, _jit, _scalarize
from ._devices import on_cpu
from ._plain import is_plain

# As many numbers to an instruction as any CPU has room for. A kernel cannot call a library.
_OPTIONS = {"xla_cpu_prefer_vector_width": 512, **_jit.WITHOUT_LIBRARY}

# Members to a kernel: some 40 arrays of them fill the first cache. Without kernels they should fit into the second.
_MEMBERS, _WITHOUT_KERNELS = 64, 2000
# A multiple of it leaves no remainder for instructions of several numbers.
_VECTOR = 8

# Operations on numbers in a function: so many compile fast enough to do so at each stage of a step. And so many element
# by element; more would compile for longer than a few ensembles of arrays run.
_LONG, _MOST = 500, 1600

_OPAQUE = {"inlineable": "false"}
_ONE_KERNEL = {"inlineable": "false", "xla_cpu_small_call": "true"}

# What such a kernel can be made of: nothing that calls out of it, nor keys of random numbers.
_FIT_FOR_KERNELS = _scalarize.OF_EACH.union(
    [
        "bitcast_convert_type", "broadcast_in_dim", "concatenate", "cond", "copy", "copy_p", "custom_jvp_call",
        "custom_vjp_call", "dot_general", "dynamic_slice", "dynamic_update_slice", "gather", "iota", "jit", "pad",
        "pjit", "pmax", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum", "reshape",
        "reshard", "rev", "scan", "shift_left", "slice", "split", "squeeze", "stack", "stop_gradient", "tile",
        "transpose", "unstack", "while",
    ]
)  # fmt: skip

# Whether the program that is traced has these options.
_in_kernels = contextvars.ContextVar("in_kernels", default=False)


def kernel_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`equinox.filter_jit(function)`, on CPUs with the options under which `map_in_kernels` makes kernels of loops."""

    def traced(in_kernels: bool) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*operands: Any) -> Any:
            # Said in both cases: an ensemble may be a part of another one's field.
            token = _in_kernels.set(in_kernels)
            try:
                return function(*operands)
            finally:
                _in_kernels.reset(token)

        return call

    return _jit.with_options(traced(True), _OPTIONS, otherwise=traced(False))


def opaque(function: Callable[..., Any], most: int | None = None) -> Callable[..., Any]:
    """`function`, from arrays to arrays, which the compiler computes once and for all.

    Otherwise it would compute every stage of a step anew for each component of each later one. Calls with arrays alike
    trace it once.

    Args:
        function: Within kernels nobody differentiates it any more.
        most: Operations on numbers that it may have to be evaluated element by element within kernels; some 1,600 by
            default.
    """
    if is_plain() or not on_cpu():
        return function
    in_kernels, bound = _in_kernels.get(), _MOST if most is None else most

    def evaluated(*operands: Any) -> Any:
        if in_kernels:
            return _scalarize.evaluated(lambda: function(*operands), _fast_exp.instead, bound)
        # With the bodies of what it calls, which under `jax.vmap` would get the hints too.
        return _jaxprs.evaluated(lambda: function(*operands))

    return _called(evaluated, _OPAQUE)


def in_kernel_program() -> bool:
    """Whether the program that is traced is compiled for kernels."""
    return _in_kernels.get() and on_cpu() and not is_plain()


def is_long_for_kernel(function: Callable[..., Any], *operands: Any) -> bool:
    """Whether to compile the function at each place of a kernel where it is called would take long."""
    return in_kernel_program() and _scalarize.work(jax.make_jaxpr(function)(*operands).jaxpr) > _LONG


def map_in_kernels(solve: Callable[[Any], Any], members: Any) -> Any:
    """`solve(members)` for any number of members, 64 at a time, each such block in one kernel.

    What calls out of a kernel (random numbers, sorting, solves of linear systems, callbacks) goes without one, 2,000
    members at a time. In programs that `kernel_jit` does not compile all members are solved at once.

    Args:
        solve: Takes and returns trees with a leading axis of members, each of whom it treats alike.
        members: The tree, of arrays.
    """
    if not _in_kernels.get() or is_plain():
        return solve(members)
    num, structure = jax.tree.leaves(members)[0].shape[0], jax.tree.structure(members)
    size, traced, solved_like, static = _block(solve, members)

    def by_kernel(block: Any) -> list[Array]:
        return _called(jaxpr_as_fun(traced), _ONE_KERNEL)(*jax.tree.leaves(block))

    def as_it_is(block: Any) -> list[Array]:
        return jax.tree.leaves(eqx.filter(solve(jax.tree.unflatten(structure, block)), eqx.is_array))

    solve_block = by_kernel
    if not _is_fit_for_kernel(traced.jaxpr):
        solve_block, size = as_it_is, _equal_parts(num, _WITHOUT_KERNELS)
    # The last block is filled up by the first members.
    places = np.resize(np.arange(num), (-(-num // size), size))
    solved = jax.lax.map(solve_block, [leaf[places] for leaf in jax.tree.leaves(members)])
    arrays = [jax.lax.collapse(leaf, 0, 2)[:num] for leaf in solved]
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(solved_like), arrays), static)


def fits_kernel(solve: Callable[[Any], Any], members: Any) -> bool:
    """Whether `map_in_kernels` makes a kernel of each block."""
    return in_kernel_program() and _is_fit_for_kernel(_block(solve, members)[1].jaxpr)


def _block(solve: Callable[[Any], Any], members: Any) -> tuple[int, ClosedJaxpr, Any, Any]:
    """The members in a block, the traced function of a block, and what it gives: shapes of arrays, and the rest."""
    size = _equal_parts(jax.tree.leaves(members)[0].shape[0], _MEMBERS)
    return size, *eqx.filter_make_jaxpr(solve)(_of_length(members, size))


def inverse_root(x: Array, degree: int) -> Array:
    r"""$x^{-1/n}$ for positive x, to 1e-11; of numbers beyond float32's that of its largest or smallest one.

    Double precision has no fast logarithm on CPUs; single precision has, and one step of Newton's method makes
    up for it.
    """
    if is_plain():
        return x ** (-1 / degree)
    narrow = jnp.finfo(jnp.float32)
    x = jnp.clip(x, float(narrow.tiny), float(narrow.max))
    root = jnp.exp(jnp.log(x.astype(jnp.float32)) / -degree).astype(x.dtype)
    return root * (1 + (1 - x * jax.lax.integer_pow(root, degree)) / degree)


def _equal_parts(num: int, most: int) -> int:
    """The size of equal parts of at most so many."""
    parts = -(-num // most)
    return -(-num // (parts * _VECTOR)) * _VECTOR


def _of_length(members: Any, num: int) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((num, *leaf.shape[1:]), leaf.dtype), members)


def _called(function: Callable[..., Any], hints: dict[str, str]) -> Callable[..., Any]:
    """The function as one instruction with hints, which what it consists of does not get."""

    @jax.jit
    def without(*operands: Any) -> Any:
        with set_xla_metadata(**dict.fromkeys(hints)):
            return function(*operands)

    def call(*operands: Any) -> Any:
        with set_xla_metadata(**hints):
            return without(*operands)

    return call


def _is_fit_for_kernel(jaxpr: Jaxpr) -> bool:
    return all(
        equation.primitive.name in _FIT_FOR_KERNELS and all(map(_is_fit_for_kernel, jaxprs_in_params(equation.params)))
        for equation in jaxpr.eqns
    )
