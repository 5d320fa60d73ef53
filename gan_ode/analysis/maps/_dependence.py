"""What a step of an update depends on, read from its equations as JAX traces them."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._jax import ClosedJaxpr, JaxprEqn, Tracer
from ..._lowering import evaluate_equation, evaluate_jaxpr

_CALLS = {"jit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
_BODIES = {"remat2": "jaxpr", "checkpoint": "jaxpr"}
# Loops of so many rounds in which something of the memory runs are looked at round by round; longer ones as a whole.
_ROUNDS = 64
_SHAPES = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "min", "max")

STATE, UNKNOWN = "the state", "numbers that are traced"


class Sources:
    """What a number depends on: numbers of leaves of the memory, `STATE`, `UNKNOWN`.

    Two of them are compared by identity: what comes out as the very one that went in was handed on unchanged.
    """

    def __init__(self, *of: Any):
        self.of = frozenset(of)

    @property
    def leaves(self) -> set[int]:
        return {each for each in self.of if isinstance(each, int)}


class Dependence:
    """Reads the dependence of outputs on inputs.

    Attributes:
        met: Leaves that something was taken from where it met the state, or what is unknown.
    """

    def __init__(self) -> None:
        self.met: set[int] = set()

    def lift(self, operand: Any) -> Sources:
        if isinstance(operand, Sources):
            return operand
        return Sources(UNKNOWN) if isinstance(operand, Tracer) else Sources()

    def apply(self, equation: JaxprEqn, operands: list[Sources]) -> list[Sources]:
        self.note(operands)
        every = Sources(*(source for each in operands for source in each.of))
        return [every] * len(equation.outvars)

    def choose(self, index: Sources, cases: list[Sources]) -> Sources:
        self.note([index, *cases])
        return Sources(*(source for each in (index, *cases) for source in each.of))

    def note(self, operands: Sequence[Sources]) -> None:
        every = {source for each in operands for source in each.of}
        if STATE in every or UNKNOWN in every:
            self.met |= {leaf for each in operands if STATE not in each.of for leaf in each.leaves}

    def runs(self, operand: Sources) -> bool:
        return bool(operand.leaves)

    def row(self, operand: Sources, i: int) -> Sources:
        return operand

    def stacked(self, rows: list[Sources]) -> Sources:
        return Sources(*(source for each in rows for source in each.of))


class Value:
    """A number, with what is known of it.

    Attributes:
        value: None if it is not known.
        answers: Whether it depends on the state.
        ticks: Whether it depends on the clock.
        plain: The same before it was spread to a larger shape.
    """

    def __init__(self, value: Any, *, answers: bool = False, ticks: bool = False, plain: Any = None):
        self.value, self.answers, self.ticks = value, answers, ticks
        self.plain = value if plain is None else plain


class Evaluation:
    """Evaluates what does not depend on the state, and notes the coefficients.

    Attributes:
        coefficients: What was read off the clock where it met the state.
        mixed: What was read off it where it met numbers that are not known.
        moduli: What counters were divided by, with a remainder.
        compared: Pairs of numbers that were compared, one of the clock's at least.

    Args:
        traced: Whether numbers that JAX is tracing count as known.
    """

    def __init__(self, traced: bool = False):
        self._traced = traced
        self.coefficients: dict[int, Any] = {}
        self.mixed: dict[int, Any] = {}
        self.moduli: list[Any] = []
        self.compared: list[tuple[Any, Any]] = []

    def lift(self, operand: Any) -> Value:
        if isinstance(operand, Value):
            return operand
        return Value(None if isinstance(operand, Tracer) and not self._traced else operand)

    def apply(self, equation: JaxprEqn, operands: list[Value]) -> list[Value]:
        self.note(operands)
        answers, ticks = any(each.answers for each in operands), any(each.ticks for each in operands)
        if any(each.value is None for each in operands):
            return [Value(None, answers=answers, ticks=ticks)] * len(equation.outvars)
        name, values = equation.primitive.name, [each.value for each in operands]
        if ticks and not answers:
            self._look(name, values)
        plain = operands[0].plain if name in _SHAPES else None
        found = evaluate_equation(equation, values)
        # Whole numbers do not follow a small disturbance of the state.
        return [Value(each, answers=answers and _is_inexact(each), ticks=ticks, plain=plain) for each in found]

    def _look(self, name: str, values: list[Any]) -> None:
        if name == "rem":
            self.moduli.append(values[1])
        elif name in _COMPARISONS:
            self.compared.append((values[0], values[1]))
        elif name == "clamp":
            low, value, high = values
            self.compared += [(value, low), (value, high)]

    def choose(self, index: Value, cases: list[Value]) -> Value:
        operands = [index, *cases]
        self.note(operands)
        answers, ticks = any(each.answers for each in operands), any(each.ticks for each in operands)
        if any(each.value is None for each in operands):
            return Value(None, answers=answers, ticks=ticks)
        number = jnp.clip(jnp.asarray(index.value, jnp.int32), 0, len(cases) - 1)
        found = jax.lax.select_n(number, *(jnp.asarray(each.value) for each in cases))
        return Value(found, answers=answers and _is_inexact(found), ticks=ticks)

    def note(self, operands: Sequence[Value]) -> None:
        answers = any(each.answers for each in operands)
        if answers or any(each.value is None for each in operands):
            for each in operands:
                if each.ticks and not each.answers and each.value is not None:
                    (self.coefficients if answers else self.mixed)[id(each.plain)] = each.plain

    def runs(self, operand: Value) -> bool:
        return operand.ticks

    def row(self, operand: Value, i: int) -> Value:
        value = None if operand.value is None else operand.value[i]
        return Value(value, answers=operand.answers, ticks=operand.ticks)

    def stacked(self, rows: list[Value]) -> Value:
        answers, ticks = any(each.answers for each in rows), any(each.ticks for each in rows)
        known = all(each.value is not None for each in rows)
        return Value(jnp.stack([each.value for each in rows]) if known else None, answers=answers, ticks=ticks)


def walk(jaxpr: ClosedJaxpr, operands: Sequence[Any], rule: Any) -> list[Any]:
    """What a rule makes of a function's outputs. Functions within, branches and short loops are walked through."""
    apply = functools.partial(_applied, rule=rule)
    found = evaluate_jaxpr(jaxpr, [rule.lift(each) for each in operands], apply, _CALLS)
    return [rule.lift(each) for each in found]


def _applied(equation: JaxprEqn, operands: list[Any], rule: Any) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    operands, raw = [rule.lift(each) for each in operands], operands
    if name == "cond":
        return _branched(params["branches"], raw[0], operands, rule)
    if name in _BODIES:
        return walk(ClosedJaxpr(params[_BODIES[name]], []), operands, rule)
    if name == "scan" and 0 < params["length"] <= _ROUNDS and any(map(rule.runs, operands)):
        return _unrolled(params, operands, rule)
    if name == "select_n" and len({id(each) for each in operands[1:]}) == 1:
        return operands[1:2]
    if name == "copy" or (name == "convert_element_type" and _dtype(equation.invars[0]) == params["new_dtype"]):
        return operands
    return rule.apply(equation, operands)


def _branched(branches: Sequence[ClosedJaxpr], index: Any, operands: list[Any], rule: Any) -> list[Any]:
    if isinstance(index, int | np.ndarray | np.generic):
        return walk(branches[int(np.clip(index, 0, len(branches) - 1))], operands[1:], rule)
    found = [walk(branch, operands[1:], rule) for branch in branches]
    same = [len({id(each) for each in cases}) == 1 for cases in zip(*found, strict=True)]
    return [
        cases[0] if alike else rule.choose(operands[0], list(cases))
        for alike, cases in zip(same, zip(*found, strict=True), strict=True)
    ]


def _unrolled(params: dict[str, Any], operands: list[Any], rule: Any) -> list[Any]:
    shared = operands[: params["num_consts"]]
    carry = operands[params["num_consts"] :][: params["num_carry"]]
    rows = operands[params["num_consts"] + params["num_carry"] :]
    length, each_round = params["length"], []
    order = range(length)[:: -1 if params["reverse"] else 1]
    for i in order:
        found = walk(params["jaxpr"], [*shared, *carry, *(rule.row(each, i) for each in rows)], rule)
        carry = found[: len(carry)]
        each_round.append(found[len(carry) :])
    in_order = each_round[:: -1 if params["reverse"] else 1]
    return [*carry, *(rule.stacked(list(each)) for each in zip(*in_order, strict=True))]


def _dtype(variable: Any) -> Any:
    return variable.aval.dtype


def _is_inexact(value: Array) -> bool:
    return bool(jnp.issubdtype(jnp.asarray(value).dtype, jnp.inexact)) if not _is_key(value) else False


def _is_key(value: Any) -> bool:
    return jnp.issubdtype(getattr(value, "dtype", jnp.float32), jax.dtypes.prng_key)
