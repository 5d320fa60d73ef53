"""Small arrays within a field element by element: under `jax.vmap` each element is an array over the members.

CPUs are fastest at operations over members alone. In an array of members and a few nodes or components the
members are not in a row, and a sum over nodes, or the product of two small matrices for each member, goes across.

What a derivative gives for a sum over nodes is full of products with numbers that all nodes share, one after the other.
These numbers are kept apart, and the sum is multiplied by them.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._jax import ClosedJaxpr, Jaxpr, JaxprEqn, Tracer
from . import _jaxprs

# Equations that are evaluated by the functions which they hold. Nothing is differentiated here any more.
_CALLS = {**_jaxprs.CALLS, "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}

# Equations that do the same with each element.
OF_EACH = frozenset(
    [
        "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil",
        "clamp", "conj", "convert_element_type", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2",
        "expm1", "floor", "ge", "gt", "imag", "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt",
        "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "pow", "real", "rem", "round", "rsqrt", "select_n",
        "sign", "sin", "sinh", "sqrt", "square", "sub", "tan", "tanh", "xor",
    ]
)  # fmt: skip


# In lower precision a product of matrices is summed in a higher one.
_MULTIPLIED = [{np.dtype(kind)} for kind in (np.float32, np.float64, np.complex64, np.complex128, np.int32, np.int64)]


# JAX's own rules for batches put integers of NumPy into parameters.
_Integers = Sequence[Any]


# Where factors are kept apart. In another order products may overflow that would not, which in double precision takes
# numbers beyond 1e150.
_FACTORED = jnp.float64


class ScalarArray(NamedTuple):
    """An array as a list of its elements, each a scalar of its own.

    Attributes:
        scalars: The elements.
        shape: Of the array.
        factor: A scalar by which all of them are still to be multiplied; None if there is none.
    """

    scalars: list[Any]
    shape: tuple[int, ...]
    factor: Any = None

    def times_factor(self) -> "ScalarArray":
        if self.factor is None:
            return self
        return ScalarArray([jax.lax.mul(self.factor, scalar) for scalar in self.scalars], self.shape)


def evaluated(function: Callable[[], Any], instead: _jaxprs.Replacement, most: int) -> Any:
    """`function()` element by element, or as it is if that would be much to compile; some equations in another way.

    Args:
        function: Called while JAX traces; may hold tracers. Its result has no derivatives.
        instead: How some of the equations are done.
        most: Operations on numbers that count as much.
    """
    traced, like = jax.make_jaxpr(function, return_shape=True)()
    if work(traced.jaxpr) > most:
        found = _jaxprs.evaluate_jaxpr(traced, [], functools.partial(_jaxprs.evaluate_equation, instead=instead))
    else:
        found = _jaxprs.evaluate_jaxpr(traced, [], functools.partial(_results, instead=instead), _CALLS)
    return jax.tree.unflatten(jax.tree.structure(like), map(_from_scalars, found))


def scalar_program(function: Callable[..., Any], inputs: Sequence[Any]) -> ClosedJaxpr:
    """What a function does with its inputs' elements, as equations between scalars.

    Args:
        function: Of pytrees of arrays.
        inputs: What it is called with, or their shapes and dtypes.

    Returns:
        A program from the inputs' elements to the results', one after the other. What no rule takes apart is still in
        it as it is.
    """
    traced = jax.make_jaxpr(function)(*inputs)
    shapes = [_shape(each) for each in traced.jaxpr.invars]
    sizes = [math.prod(shape) for shape in shapes]
    elements = [
        jax.ShapeDtypeStruct((), each.aval.dtype)
        for each, size in zip(traced.jaxpr.invars, sizes, strict=True)
        for _ in range(size)
    ]

    def of_elements(*scalars: Any) -> list[Any]:
        firsts = itertools.accumulate(sizes, initial=0)
        operands = [
            ScalarArray(list(scalars[first : first + size]), shape)
            for first, size, shape in zip(firsts, sizes, shapes, strict=False)
        ]
        found = _jaxprs.evaluate_jaxpr(traced, operands, _results_or_constants, _CALLS)
        return [scalar for each in found for scalar in _to_scalars(each).times_factor().scalars]

    return jax.make_jaxpr(of_elements)(*elements)


def _results_or_constants(equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    """As `_results`, but what depends on no input is computed at once."""
    known = [_from_known(each) for each in operands]
    if any(isinstance(each, Tracer) for each in known):
        return _results(equation, operands, _jaxprs.as_it_is)
    with jax.ensure_compile_time_eval():
        return _jaxprs.evaluate_equation(equation, known)


def _from_known(value: Any) -> Any:
    """An array of numbers, or a tracer if one of the elements is one."""
    if not isinstance(value, ScalarArray):
        return value
    tracers = [each for each in (*value.scalars, value.factor) if isinstance(each, Tracer)]
    with jax.ensure_compile_time_eval():
        return tracers[0] if tracers else _from_scalars(value)


def work(jaxpr: Jaxpr) -> int:
    """The number of operations on scalars; an estimate."""
    return sum(_work_of_one(equation) for equation in _jaxprs.needed(jaxpr))


def _work_of_one(equation: JaxprEqn) -> int:
    name = equation.primitive.name
    if name in _CALLS:
        return work(equation.params[_CALLS[name]].jaxpr)
    shapes = [_shape(each) for each in (*equation.invars, *equation.outvars)]
    if name == "dot_general":
        (over, _), _ = equation.params["dimension_numbers"]
        return math.prod(shapes[-1]) * math.prod(shapes[0][axis] for axis in over)
    return max(map(math.prod, shapes), default=0)


def _shape(variable: Any) -> tuple[int, ...]:
    # What is no array, such as a token, has none.
    return getattr(variable.aval, "shape", ())


def _results(equation: JaxprEqn, operands: list[Any], instead: _jaxprs.Replacement) -> list[Any]:
    """The results of an equation: as scalars, or as arrays where no rule makes scalars of them."""
    rule = _rule(equation, instead)
    if rule is None:
        return _jaxprs.evaluate_equation(equation, [_from_scalars(each) for each in operands])
    found = rule(*(_to_scalars(each) for each in operands))
    return found if equation.primitive.multiple_results else [found]


def _rule(equation: JaxprEqn, instead: _jaxprs.Replacement) -> Callable[..., Any] | None:
    """The function from the operands, as scalars, to the results; None where no rule is known."""
    name, params = equation.primitive.name, equation.params
    variables: tuple[Any, ...] = (*equation.invars, *equation.outvars)
    if not all(math.prod(_shape(each)) for each in variables):
        # Of an array without elements nobody could tell the kind.
        return None
    if name == "mul":
        return functools.partial(_times, equation.outvars[0].aval)
    if name == "neg":
        return _negative
    if name == "square" or (name == "integer_pow" and params["y"] == 2):
        return _squared
    if name in OF_EACH:
        return functools.partial(_of_each, equation, instead)
    if name in _MOVES:
        return functools.partial(_rearrange, _MOVES[name](params))
    if name in _PARTS:
        return functools.partial(_parts, _PARTS[name](params))
    if name in _REDUCTIONS:
        return functools.partial(_reduced, _REDUCTIONS[name], params["axes"])
    if name == "dot_general" and {each.aval.dtype for each in variables} in _MULTIPLIED:
        return functools.partial(_product, params["dimension_numbers"])
    return None


def _of_each(equation: JaxprEqn, instead: _jaxprs.Replacement, *operands: ScalarArray) -> ScalarArray:
    shape = _shape(equation.outvars[0])
    alike = (_rearrange(functools.partial(np.broadcast_to, shape=shape), each.times_factor()) for each in operands)
    rows = zip(*(each.scalars for each in alike), strict=True)
    return ScalarArray([_jaxprs.evaluate_equation(equation, list(row), instead)[0] for row in rows], shape)


def _times(like: Any, left: ScalarArray, right: ScalarArray) -> ScalarArray:
    """The product. What is one scalar for all elements becomes a factor."""
    left, right = (_rearrange(functools.partial(np.broadcast_to, shape=like.shape), each) for each in (left, right))
    factor = _product_of(left.factor, right.factor)
    if len(left.scalars) > 1 and like.dtype == _FACTORED:
        for shared, others in ((left, right), (right, left)):
            if all(scalar is shared.scalars[0] for scalar in shared.scalars):
                return ScalarArray(others.scalars, like.shape, _product_of(factor, shared.scalars[0]))
    return ScalarArray(list(map(jax.lax.mul, left.scalars, right.scalars)), like.shape, factor)


def _product_of(left: Any, right: Any) -> Any:
    """Of two factors, each of which may be missing."""
    if left is None or right is None:
        return right if left is None else left
    return jax.lax.mul(left, right)


def _negative(x: ScalarArray) -> ScalarArray:
    if x.factor is None:
        return ScalarArray(list(map(jax.lax.neg, x.scalars)), x.shape)
    return x._replace(factor=jax.lax.neg(x.factor))


def _squared(x: ScalarArray) -> ScalarArray:
    factor = None if x.factor is None else jax.lax.square(x.factor)
    return ScalarArray(list(map(jax.lax.square, x.scalars)), x.shape, factor)


def _places(x: ScalarArray, first: int) -> np.ndarray:
    """Where its elements are in a list that has them from the first place on."""
    return np.arange(first, first + len(x.scalars)).reshape(x.shape)


def _rearrange(move: Callable[..., np.ndarray], first: ScalarArray, *others: ScalarArray) -> ScalarArray:
    """The elements in other places: `move` is applied to the numbers of the places, never to the elements."""
    operands = [each.times_factor() for each in (first, *others)] if others else [first]
    scalars = [scalar for each in operands for scalar in each.scalars]
    firsts = itertools.accumulate((len(each.scalars) for each in operands), initial=0)
    places = move(*map(_places, operands, firsts))
    return ScalarArray([scalars[place] for place in places.flat], places.shape, operands[0].factor)


def _broadcast(x: np.ndarray, shape: _Integers, axes: _Integers) -> np.ndarray:
    lengths = dict(zip(axes, x.shape, strict=True))
    return np.broadcast_to(x.reshape([lengths.get(axis, 1) for axis in range(len(shape))]), shape)


def _reshaped(x: np.ndarray, shape: _Integers, axes: _Integers | None) -> np.ndarray:
    return (x if axes is None else x.transpose(axes)).reshape(shape)


def _padded(x: np.ndarray, filling: np.ndarray, config: Sequence[Sequence[Any]]) -> np.ndarray:
    """With so much before, behind and between; less than nothing cuts off."""
    spread = [(length - 1) * (between + 1) + 1 for length, (_, _, between) in zip(x.shape, config, strict=True)]
    rooms = [(max(low, 0), inner, max(high, 0)) for inner, (low, high, _) in zip(spread, config, strict=True)]
    padded = np.full([sum(room) for room in rooms], filling)
    steps = [between + 1 for _, _, between in config]
    padded[tuple(slice(low, low + inner, step) for (low, inner, _), step in zip(rooms, steps, strict=True))] = x
    cut = zip(padded.shape, config, strict=True)
    return padded[tuple(slice(max(-low, 0), length - max(-high, 0)) for length, (low, high, _) in cut)]


def _sliced(x: np.ndarray, starts: _Integers, ends: _Integers, strides: _Integers | None) -> np.ndarray:
    return x[tuple(map(slice, starts, ends, strides or (1,) * x.ndim))]


# From an equation's parameters to what it does with places.
_MOVES: Mapping[str, Callable[[Any], Callable[..., np.ndarray]]] = {
    "broadcast_in_dim": lambda p: lambda x: _broadcast(x, p["shape"], p["broadcast_dimensions"]),
    "concatenate": lambda p: lambda *xs: np.concatenate(xs, p["dimension"]),
    "copy": lambda p: lambda x: x,
    "copy_p": lambda p: lambda x: x,
    "pad": lambda p: lambda x, filling: _padded(x, filling, p["padding_config"]),
    "reshape": lambda p: lambda x: _reshaped(x, p["new_sizes"], p["dimensions"]),
    "rev": lambda p: lambda x: np.flip(x, p["dimensions"]),
    "slice": lambda p: lambda x: _sliced(x, p["start_indices"], p["limit_indices"], p["strides"]),
    "squeeze": lambda p: lambda x: np.squeeze(x, p["dimensions"]),
    "stack": lambda p: lambda *xs: np.stack(xs, p["axis"]),
    "tile": lambda p: lambda x: np.tile(x, p["reps"]),
    "transpose": lambda p: lambda x: np.transpose(x, p["permutation"]),
}

_REDUCTIONS = {
    "reduce_and": jax.lax.bitwise_and,
    "reduce_max": jax.lax.max,
    "reduce_min": jax.lax.min,
    "reduce_or": jax.lax.bitwise_or,
    "reduce_prod": jax.lax.mul,
    "reduce_sum": jax.lax.add,
}


# The same of those with several results.
_PARTS: Mapping[str, Callable[[Any], Callable[..., Iterable[np.ndarray]]]] = {
    "split": lambda p: lambda x: np.split(x, np.cumsum(p["sizes"])[:-1], p["axis"]),
    "unstack": lambda p: lambda x: np.moveaxis(x, p["axis"], 0),
}


def _parts(cut: Callable[[np.ndarray], Iterable[np.ndarray]], x: ScalarArray) -> list[ScalarArray]:
    return [
        ScalarArray([x.scalars[i] for i in np.ravel(part)], np.shape(part), x.factor) for part in cut(_places(x, 0))
    ]


def _reduced(combine: Callable[[Any, Any], Any], axes: _Integers, x: ScalarArray) -> ScalarArray:
    x = x if combine is jax.lax.add else x.times_factor()
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept)
    rows = _places(x, 0).transpose(*kept, *axes).reshape(math.prod(shape), -1)
    return ScalarArray(
        [functools.reduce(combine, (x.scalars[place] for place in row)) for row in rows], shape, x.factor
    )


def _product(dimensions: Any, left: ScalarArray, right: ScalarArray) -> ScalarArray:
    over, batch = dimensions

    def rows(x: ScalarArray, over: _Integers, batch: _Integers) -> tuple[np.ndarray, list[int]]:
        """Places by batch, what is kept, and what is summed over; and the lengths of what is kept."""
        kept = [axis for axis in range(len(x.shape)) if axis not in (*over, *batch)]
        places, num = _places(x, 0).transpose(*batch, *kept, *over), math.prod(x.shape[axis] for axis in over)
        return places.reshape(math.prod(x.shape[axis] for axis in batch), -1, num), [x.shape[axis] for axis in kept]

    (a, rows_kept), (b, columns_kept) = rows(left, over[0], batch[0]), rows(right, over[1], batch[1])

    def one(i: int, row: int, column: int) -> Any:
        pairs = zip(a[i, row], b[i, column], strict=True)
        return functools.reduce(jax.lax.add, (jax.lax.mul(left.scalars[j], right.scalars[k]) for j, k in pairs))

    scalars = [one(*place) for place in np.ndindex(a.shape[0], a.shape[1], b.shape[1])]
    shape = *(left.shape[axis] for axis in batch[0]), *rows_kept, *columns_kept
    return ScalarArray(scalars, shape, _product_of(left.factor, right.factor))


def _to_scalars(value: Any) -> ScalarArray:
    if isinstance(value, ScalarArray):
        return value
    shape = jnp.shape(value)
    if not shape:
        return ScalarArray([value], shape)
    if isinstance(value, Tracer) or jnp.issubdtype(value.dtype, jax.dtypes.extended):
        flat = jax.lax.reshape(value, (math.prod(shape),))
        return ScalarArray([jax.lax.index_in_dim(flat, i, keepdims=False) for i in range(flat.size)], shape)
    return ScalarArray(list(np.asarray(value).ravel()), shape)


def _from_scalars(value: Any) -> Array:
    if not isinstance(value, ScalarArray):
        return jnp.asarray(value)
    value = value.times_factor()
    if not value.shape:
        return jnp.asarray(value.scalars[0])
    return jnp.stack(value.scalars).reshape(value.shape)
