"""Functions of scalars written out as JavaScript: what JAX traced is what the browser computes."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._jax import ClosedJaxpr, jaxprs_in_params
from . import _jaxprs
from ._scalarize import scalar_program

# Operations that a browser compiles within a second or so.
_MOST_OPERATIONS = 200_000

_NAME = re.compile(r"\bv\d+\b")

_OPERATORS = {
    "add": "+", "add_any": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "===",
    "ne": "!==",
}  # fmt: skip
_OF_BOOLEANS = {"and": "&&", "or": "||", "xor": "!=="}
_FUNCTIONS = {
    "abs": "abs", "acos": "acos", "acosh": "acosh", "asin": "asin", "asinh": "asinh", "atan": "atan", "atan2": "atan2",
    "atanh": "atanh", "cbrt": "cbrt", "ceil": "ceil", "cos": "cos", "cosh": "cosh", "exp": "exp", "expm1": "expm1",
    "floor": "floor", "log": "log", "log1p": "log1p", "max": "max", "min": "min", "pow": "pow", "sign": "sign",
    "sin": "sin", "sinh": "sinh", "sqrt": "sqrt", "tan": "tan", "tanh": "tanh",
}  # fmt: skip
_TEMPLATES = {
    "clamp": "Math.min(Math.max({1},{0}),{2})",
    "copy": "{0}",
    "copy_p": "{0}",
    "exp2": "Math.pow(2,{0})",
    "is_finite": "Number.isFinite({0})",
    "logistic": "1/(1+Math.exp(-({0})))",
    "neg": "-({0})",
    "rem": "{0}%{1}",
    "rsqrt": "1/Math.sqrt({0})",
    "square": "{0}*{0}",
}
# A scalar keeps its value where only its shape changes.
_SHAPES = frozenset(["broadcast_in_dim", "reshape", "squeeze", "transpose", "expand_dims", "stop_gradient"])


def to_javascript(function: Callable[..., Any], inputs: Sequence[Any]) -> tuple[str, int]:
    r"""The body of a JavaScript function that computes the same numbers, in double precision.

    The body reads the inputs' elements from an array `x`, one after the other, and returns an array of the results'.
    Checks that raise errors (`equinox.error_if`) are left out: the page keeps its inputs within their ranges. Numbers
    that JAX holds in single precision are written out as they are, so results agree to the precision that is traced.

    Args:
        function: A function of pytrees of arrays that JAX can trace.
        inputs: What it is called with, as values or as `jax.ShapeDtypeStruct`.

    Returns:
        The body, and how many numbers it returns.

    Raises:
        ValueError: If something in it cannot be written as operations on scalars: a loop whose end depends on the
            numbers, a linear solve; the text names it.
    """
    program = scalar_program(function, inputs)
    names = [f"x[{i}]" for i in range(len(program.jaxpr.invars))]
    writer = _Writer()
    results = writer.write(program, names)
    lines = "\n".join(writer.needed_lines(results))
    return f"{lines}\nreturn [{','.join(results)}];", len(results)


class _Unwritten(NamedTuple):
    """What an equation gives that cannot be written out: harmless as long as nothing is computed from it."""

    primitive: str


class _Writer:
    """Lines of JavaScript, each of which gives a name to a number."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[str, str] = {}

    def write(self, program: ClosedJaxpr, operands: Sequence[str]) -> list[str]:
        """The results' names, after the lines of the program."""
        return [_text(each) for each in self._written(program, operands)]

    def needed_lines(self, results: Sequence[str]) -> list[str]:
        """The lines without those that nothing comes of."""
        read, kept = set(_NAME.findall(" ".join(results))), []
        for number in reversed(range(len(self.lines))):
            if f"v{number}" in read:
                kept.append(self.lines[number])
                read.update(_NAME.findall(self.lines[number]))
        return kept[::-1]

    def _written(self, program: ClosedJaxpr, operands: Sequence[Any]) -> list[Any]:
        return _jaxprs.evaluate_jaxpr(program, list(operands), self._equation, CALLS)

    def _named(self, expression: str) -> str:
        # The same expression is computed once.
        if expression not in self._known:
            if len(self.lines) > _MOST_OPERATIONS:
                raise ValueError(
                    f"`family` must give a field of at most {_MOST_OPERATIONS:,} operations: take fewer nodes."
                )
            self._known[expression] = f"v{len(self.lines)}"
            self.lines.append(f"const v{len(self.lines)}={expression};")
        return self._known[expression]

    def _equation(self, equation: Any, operands: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name == "cond":
            return self._branches(equation, operands)
        if name == "scan":
            return self._unrolled(equation, operands)
        if name in _SHAPES:
            return operands[:1]
        if any(isinstance(each, _Unwritten) for each in operands):
            return [each for each in operands if isinstance(each, _Unwritten)][:1] * len(equation.outvars)
        expression = _expression(equation, [_text(each) for each in operands])
        return [_Unwritten(name)] * len(equation.outvars) if expression is None else [self._named(expression)]

    def _branches(self, equation: Any, operands: list[Any]) -> list[Any]:
        branches, index, rest = equation.params["branches"], operands[0], operands[1:]
        harmless = [branch for branch in branches if not _raises(branch)]
        if len(harmless) == 1:
            return self._written(harmless[0], rest)
        if len(branches) != 2:
            return [_Unwritten("switch")] * len(equation.outvars)
        first, second = (self.write(branch, rest) for branch in branches)
        return [self._named(f"{_text(index)}?{b}:{a}") for a, b in zip(first, second, strict=True)]

    def _unrolled(self, equation: Any, operands: list[Any]) -> list[Any]:
        params = equation.params
        num_consts, num_carry = params["num_consts"], params["num_carry"]
        if len(operands) > num_consts + num_carry or len(equation.outvars) > num_carry:
            return [_Unwritten("scan")] * len(equation.outvars)
        constants, carry = operands[:num_consts], operands[num_consts:]
        for _ in range(params["length"]):
            carry = self._written(params["jaxpr"], [*constants, *carry])
        return list(carry)


def _text(value: Any) -> str:
    if isinstance(value, _Unwritten):
        raise ValueError(
            f"`family` must give a field of scalar operations, but `{value.primitive}` cannot be written as "
            "JavaScript: leave out the game or the update that needs it."
        )
    if isinstance(value, str):
        return value
    number = np.asarray(value)
    if number.size != 1:
        raise ValueError("`family` must give a field of scalar operations, but an array of numbers is left in it.")
    return _literal(number.item())


# Calls of functions, which are written out where they stand.
CALLS = {**_jaxprs.CALLS, "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def _raises(jaxpr: Any) -> bool:
    """Whether it calls back into Python, as a check that raises an error does."""
    return any(_calls_back(equation) for equation in jaxpr.jaxpr.eqns)


def _calls_back(equation: Any) -> bool:
    if "callback" in equation.primitive.name:
        return True
    return any(_calls_back(inner) for each in jaxprs_in_params(equation.params) for inner in each.eqns)


def _expression(equation: Any, texts: list[str]) -> str | None:
    """The result of an equation between scalars; None where JavaScript has no word for it."""
    name, params = equation.primitive.name, equation.params
    kinds = [np.dtype(each.aval.dtype).kind for each in equation.invars]
    if name in _OPERATORS:
        return f"{texts[0]}{_OPERATORS[name]}{_after_minus(texts[1])}"
    if name in _OF_BOOLEANS and kinds[0] == "b":
        return f"{texts[0]}{_OF_BOOLEANS[name]}{texts[1]}"
    if name in _FUNCTIONS:
        return f"Math.{_FUNCTIONS[name]}({','.join(texts)})"
    if name in _TEMPLATES:
        return _TEMPLATES[name].format(*texts)
    if name == "not" and kinds[0] == "b":
        return f"!{texts[0]}"
    if name == "div":
        quotient = f"{texts[0]}/{_after_minus(texts[1])}"
        return quotient if kinds[0] == "f" else f"Math.trunc({quotient})"
    if name == "integer_pow":
        return _power(texts[0], params["y"])
    if name == "select_n" and len(texts) == 3:
        return f"{texts[0]}?{texts[2]}:{texts[1]}"
    if name == "convert_element_type":
        return _converted(texts[0], kinds[0], np.dtype(params["new_dtype"]).kind)
    if name == "round":
        away = int(params["rounding_method"]) == 0
        return f"Math.sign({texts[0]})*Math.round(Math.abs({texts[0]}))" if away else f"roundToEven({texts[0]})"
    return None


def _converted(text: str, old: str, new: str) -> str:
    if new == "b":
        return text if old == "b" else f"{text}!==0"
    if old == "b":
        return f"({text}?1:0)"
    return f"Math.trunc({text})" if old == "f" and new in "iu" else text


def _after_minus(text: str) -> str:
    # `a--1` is another operator.
    return f"({text})" if text.startswith("-") else text


def _power(base: str, exponent: int) -> str:
    product = "*".join([base] * abs(exponent)) if exponent else "1"
    return product if exponent >= 0 else f"1/({product})"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, complex):
        raise ValueError("`family` must give a field of real numbers.")
    if math.isinf(value):
        return "-Infinity" if value < 0 else "Infinity"
    return "NaN" if math.isnan(value) else repr(value)
