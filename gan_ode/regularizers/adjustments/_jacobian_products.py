"""The velocity, and the products of a field's Jacobian with it."""

import jax

from ..._types import Args, Field, RealScalarLike, State


def jacobian_products(field: Field, t: RealScalarLike, y: State, args: Args) -> tuple[State, State, State]:
    """$F$, $F'F$ and $F'^T F$, from one linearization."""
    velocity, along = jax.linearize(lambda y: field(t, y, args), y)
    (back,) = jax.linear_transpose(along, y)(velocity)
    return velocity, along(velocity), back
