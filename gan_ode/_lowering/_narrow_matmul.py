"""Products with narrow matrices, such as points of the plane and their derivatives.

The library that multiplies matrices on CPUs is made for large ones: a product over an axis of two takes it ten
times as long as its few operations, and that of two narrow ones over a minibatch four times.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks
from .._jax import get_opaque_trace_state, JaxprEqn
from . import _jaxprs
from ._devices import on_cpu
from ._plain import is_plain

# Up to this width vectors are faster in single precision and in double, for minibatches of any size.
_NARROW = 3


def expand_narrow_products(function: Callable[..., Any], *operands: Any) -> Any:
    """`function(*operands)`, with products of narrow matrices made of products of vectors; equal up to rounding.

    This is done within programs for CPUs alone, derivatives in `function` included. Outside of a program every
    operation is compiled by itself, and nothing is gained. Within a program, or the body of one of its loops, JAX
    traces the function once for operands of a kind, as often as it is called: a solver does so at each of its stages.
    """
    if is_plain() or not (_checks.is_staged() and on_cpu()):
        return function(*operands)
    # Every program traces anew: what the function reads beside its operands may have changed since.
    return _expanded(function, operands, _traces.name())


class _Traces(threading.local):
    """Names what JAX is tracing now, for as long as the same is asked about."""

    _state: Any = None
    _name: object = None

    def name(self) -> object:
        state = get_opaque_trace_state()
        if self._state != state:
            self._state, self._name = state, object()
        return self._name


_traces = _Traces()


def _expand(function: Callable[..., Any], operands: tuple[Any, ...], trace: object) -> Any:
    return _jaxprs.evaluated(lambda: function(*operands), _ByVectors())


_expanded = eqx.filter_jit(_expand, inline=True)  # pyright: ignore[reportCallIssue]


class _ByVectors:
    """Does products of narrow matrices by vectors, and looks through what is only transposed.

    Under `jax.vmap` a layer's product comes with the axis of the minibatch last, and is transposed. XLA would compute
    all that follows from it in that order, across the grain of the other products, or copy whole matrices.
    """

    def __init__(self) -> None:
        # Both by the identity of a matrix, which is kept beside so that it stays unique.
        self._sources: dict[int, tuple[Array, Array]] = {}
        self._products: dict[int, tuple[Array, Callable[[], Array]]] = {}

    def __call__(self, equation: JaxprEqn, operands: list[Any]) -> Array | None:
        """The result of an equation, if it is such a product, or a transposed matrix; else None."""
        if equation.primitive is jax.lax.transpose_p and equation.params["permutation"] == (1, 0):
            return self._transposed(*operands)
        if equation.primitive is jax.lax.dot_general_p and _is_usual(equation):
            return self._product(*operands, *equation.params["dimension_numbers"][0])
        return None

    def _transposed(self, matrix: Array) -> Array:
        if id(matrix) in self._products:
            return self._products[id(matrix)][1]()
        transposed = matrix.T
        self._sources[id(transposed)] = transposed, matrix
        return transposed

    def _product(
        self, left: Array, right: Array, over_left: tuple[int, ...], over_right: tuple[int, ...]
    ) -> Array | None:
        make = _product(*self._as_stored(left, *over_left), *self._as_stored(right, *over_right))
        if make is None:
            return None
        product = make(False)
        self._products[id(product)] = product, lambda: make(True)
        return product

    def _as_stored(self, matrix: Array, axis: int) -> tuple[Array, int]:
        """The array that is stored, with the axis in it: of a transposed matrix, the original with the other axis."""
        return (self._sources[id(matrix)][1], 1 - axis) if id(matrix) in self._sources else (matrix, axis)


def _product(left: Array, over_left: int, right: Array, over_right: int) -> Callable[[bool], Array] | None:
    """How the product is made by vectors, as it is or transposed; None if none of its axes is narrow."""

    def over_pairs(transposed: bool) -> Array:
        pairs = zip(_slices(left, over_left), _slices(right, over_right), strict=True)
        return functools.reduce(jnp.add, (b[:, None] * a if transposed else a[:, None] * b for a, b in pairs))

    def by_columns(transposed: bool) -> Array:
        columns = [_times(left, over_left, v) for v in _slices(right, 1 - over_right)]
        return jnp.stack(columns, axis=0 if transposed else 1)

    def by_rows(transposed: bool) -> Array:
        rows = [_times(right, over_right, v) for v in _slices(left, 1 - over_left)]
        return jnp.stack(rows, axis=1 if transposed else 0)

    rows, inner, columns = left.shape[1 - over_left], left.shape[over_left], right.shape[1 - over_right]
    if _is_narrow(inner, rows, columns):
        return over_pairs
    if _is_narrow(columns, rows, inner):
        return by_columns
    return by_rows if _is_narrow(rows, columns, inner) else None


def _is_narrow(width: int, *others: int) -> bool:
    # A matrix of width one is a vector, which XLA does not hand to the library.
    return 1 < width <= _NARROW < min(others)


def _is_usual(equation: JaxprEqn) -> bool:
    """Whether it multiplies two matrices of floating-point numbers, in their own precision."""
    (over, _), (batch, _) = equation.params["dimension_numbers"]
    kinds: list[Any] = [each.aval for each in (*equation.invars, *equation.outvars)]
    left, right, product = kinds
    return (
        (left.ndim, right.ndim, len(over), len(batch)) == (2, 2, 1, 0)
        and left.dtype == right.dtype == product.dtype
        and left.dtype in (jnp.float32, jnp.float64)
    )


def _slices(matrix: Float[Array, "_ _"], axis: int) -> list[Float[Array, " _"]]:
    return [jax.lax.index_in_dim(matrix, i, axis, keepdims=False) for i in range(matrix.shape[axis])]


def _times(matrix: Float[Array, "_ _"], over: int, vector: Float[Array, " _"]) -> Float[Array, " _"]:
    """Their product over an axis of the matrix, in the order that spares XLA a transposed copy."""
    return vector @ matrix if over == 0 else matrix @ vector
