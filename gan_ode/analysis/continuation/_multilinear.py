"""Second and third derivatives of a field or of a step, along directions: no tensor is written down."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def bilinear(
    function: Callable[[Array], Array], x: Array, left: Float[Array, "rows m"], right: Float[Array, "rows m"]
) -> Float[Array, "rows m"]:
    """The second derivative along pairs of directions."""

    def one(u: Array, v: Array) -> Array:
        def along(x: Array) -> Array:
            return jax.jvp(function, (x,), (u,))[1]

        return jax.jvp(along, (x,), (v,))[1]

    return jax.vmap(one)(left, right)


def trilinear(
    function: Callable[[Array], Array], x: Array, directions: Float[Array, "rows 3 m"]
) -> Float[Array, "rows m"]:
    """The third derivative along triples of directions."""

    def one(triple: Float[Array, "3 m"]) -> Array:
        def first(x: Array) -> Array:
            return jax.jvp(function, (x,), (triple[0],))[1]

        def second(x: Array) -> Array:
            return jax.jvp(first, (x,), (triple[1],))[1]

        return jax.jvp(second, (x,), (triple[2],))[1]

    return jax.vmap(one)(directions)
