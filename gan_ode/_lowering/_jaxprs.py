"""Functions as JAX traces them, evaluated again equation by equation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array

from .._jax import ClosedJaxpr, Jaxpr, jaxpr_as_fun, JaxprEqn, jaxprs_in_params, Literal

Replacement = Callable[[JaxprEqn, list[Any]], Array | None]
"""Gets an equation and its operands, and returns its result, or None to leave it as it is."""

# Calls of other functions, and where they have these.
CALLS = {"jit": "jaxpr"}


def as_it_is(equation: JaxprEqn, operands: list[Any]) -> None:
    """No other result for any equation."""


def evaluated(function: Callable[[], Any], instead: Replacement = as_it_is) -> Any:
    """`function()`, with the bodies of the jitted functions that it calls, and some equations done in another way.

    Args:
        function: Called while JAX traces; may hold tracers.
        instead: How some of the equations are done.
    """
    traced, like = jax.make_jaxpr(function, return_shape=True)()
    found = evaluate_jaxpr(traced, [], lambda equation, operands: evaluate_equation(equation, operands, instead))
    return jax.tree.unflatten(jax.tree.structure(like), found)


def evaluate_jaxpr(
    jaxpr: ClosedJaxpr,
    operands: list[Any],
    apply: Callable[[JaxprEqn, list[Any]], list[Any]],
    calls: Mapping[str, str] = CALLS,
) -> list[Any]:
    """What a function gives for these operands, which may be of any kind.

    Args:
        jaxpr: The function.
        operands: Its inputs.
        apply: Gets an equation and its operands, arrays where they are constants, and returns its results.
        calls: Of which equations not they, but those of the functions are applied.
    """
    inputs = (*jaxpr.jaxpr.constvars, *jaxpr.jaxpr.invars)
    values: dict[Any, Any] = dict(zip(inputs, (*jaxpr.consts, *operands), strict=True))

    def value(each: Any) -> Any:
        return each.val if isinstance(each, Literal) else values[each]

    for equation in needed(jaxpr.jaxpr):
        arguments, inner = [value(each) for each in equation.invars], calls.get(equation.primitive.name)
        if inner is None:
            found = apply(equation, arguments)
        else:
            found = evaluate_jaxpr(equation.params[inner], arguments, apply, calls)
        values.update(zip(equation.outvars, found, strict=True))
    return [value(each) for each in jaxpr.jaxpr.outvars]


def needed(jaxpr: Jaxpr) -> list[JaxprEqn]:
    """The equations without those that nothing comes of."""
    read, kept = {each for each in jaxpr.outvars if not isinstance(each, Literal)}, []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not read.isdisjoint(equation.outvars):
            kept.append(equation)
            read.update(each for each in equation.invars if not isinstance(each, Literal))
    return kept[::-1]


def evaluate_equation(equation: JaxprEqn, operands: list[Any], instead: Replacement = as_it_is) -> list[Any]:
    """What an equation gives for these operands."""
    inner = next(iter(jaxprs_in_params(equation.params)), None)
    if inner is not None:
        return _called(equation, operands, inner)
    found = instead(equation, operands)
    if found is None:
        found = equation.primitive.bind(*operands, **equation.params)
    return list(found) if equation.primitive.multiple_results else [found]


def _called(equation: JaxprEqn, operands: list[Any], inner: Any) -> list[Any]:
    """What an equation that holds functions gives, one of them `inner`: how it is bound is known to JAX alone."""
    pairs = zip(equation.invars, operands, strict=True)
    values = {each: operand for each, operand in pairs if not isinstance(each, Literal)}
    alone = inner.replace(constvars=[], invars=list(values), outvars=equation.outvars, eqns=[equation])
    return jaxpr_as_fun(ClosedJaxpr(alone, []))(*values.values())
