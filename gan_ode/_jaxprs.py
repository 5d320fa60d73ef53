"""Functions as JAX traces them, evaluated again equation by equation."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun, JaxprEqn, jaxprs_in_params, Literal, Var
from jax.extend.core.primitives import jit_p
from jaxtyping import Array

Replacement = Callable[[JaxprEqn, list[Any]], Array | None]


def as_it_is(equation: JaxprEqn, operands: list[Any]) -> None:
    """No other result for any equation."""


def evaluated(function: Callable[[], Any], instead: Replacement = as_it_is) -> Any:
    """`function()`, with the bodies of the jitted functions that it calls, and some equations done in another way.

    Args:
        function: Called while JAX traces; may hold tracers.
        instead: Gets an equation and its operands, and returns its result, or None to leave it as it is.
    """
    traced, like = jax.make_jaxpr(function, return_shape=True)()
    return jax.tree.unflatten(jax.tree.structure(like), _evaluate(traced.jaxpr, traced.consts, [], instead))


def _evaluate(jaxpr: Jaxpr, consts: Any, operands: Any, instead: Replacement) -> list[Any]:
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *operands), strict=True))
    for equation in jaxpr.eqns:
        arguments = [each.val if isinstance(each, Literal) else values[each] for each in equation.invars]
        if equation.primitive is jit_p:
            inner = equation.params["jaxpr"]
            found = _evaluate(inner.jaxpr, inner.consts, arguments, instead)
        elif any(True for _ in jaxprs_in_params(equation.params)):
            alone = jaxpr.replace(constvars=[], invars=_variables(equation), outvars=equation.outvars, eqns=[equation])
            found = jaxpr_as_fun(ClosedJaxpr(alone, []))(*(values[each] for each in alone.invars))
        else:
            found = instead(equation, arguments)
            if found is None:
                found = equation.primitive.bind(*arguments, **equation.params)
            found = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, found, strict=True))
    return [each.val if isinstance(each, Literal) else values[each] for each in jaxpr.outvars]


def _variables(equation: JaxprEqn) -> list[Var]:
    """What an equation reads, each once."""
    return list(dict.fromkeys(each for each in equation.invars if not isinstance(each, Literal)))
