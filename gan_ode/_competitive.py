"""What both players do when each answers the other: the velocity of competitive gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array

from . import _tree
from ._types import Args, Field, RealScalarLike, State
from .games import Players
from .solvers import GMRES


def mutual_answer(
    field: Field,
    t: RealScalarLike,
    y: Players,
    args: Args,
    step_size: Array,
    *,
    rtol: Any,
    max_products: int,
) -> Players:
    """The velocity v with (I - h B) v = F, where B is the field's Jacobian without its two diagonal blocks.

    The field is linearized once; GMRES asks for products with B, of two directional derivatives each.

    Args:
        field: The field F.
        t: Time.
        y: The players' parameters.
        args: Handed to the field.
        step_size: h.
        rtol: Residual relative to F; None for the rounding of the state's dtype to the power 3/4.
        max_products: Most products, and vectors that are kept.

    Returns:
        The velocity; NaN where the equations are not solved.
    """
    velocity, along = jax.linearize(lambda y: field(t, y, args), y)

    def remaining(answer: Players) -> State:
        """The velocity less what the other player's calls for."""
        nothing = _tree.zeros_like(answer)
        called_for = Players(
            along(Players(nothing.discriminator, answer.generator)).discriminator,
            along(Players(answer.discriminator, nothing.generator)).generator,
        )
        return _tree.step(answer, -step_size, called_for)

    operator = lx.FunctionLinearOperator(remaining, jax.eval_shape(lambda: y))
    rtol = float(jnp.finfo(_tree.dtype(y)).eps) ** 0.75 if rtol is None else rtol
    solver = GMRES(rtol=jnp.asarray(rtol, _tree.dtype(y)), max_products=max_products)
    found = lx.linear_solve(operator, velocity, solver, throw=False)
    return _tree.where(found.result == lx.RESULTS.successful, found.value, jnp.nan)
