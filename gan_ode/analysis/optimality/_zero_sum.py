"""Whether a game is zero-sum around a state."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ... import _tree
from ..._inherited_claims import says
from ..._lowering import jit
from ..._types import Args, Field
from ...games import Players
from ._curvatures import bytes_of

# How far apart two numbers may be that are the same in a zero-sum game, relative to their size.
_SAME = {4: 1e-3, 8: 1e-6}
# How far from the state it is looked at, in units of the root of one plus a component's size, and how often.
_NEAR, _PROBES = 1e-2, 4


def is_zero_sum(field: Any, y: Players, args: Args) -> bool:
    """Whether the losses add up to nothing that depends on the generator; of a field without a game, whether the mixed
    derivatives are opposite at the state."""
    if not hasattr(field, "game"):
        found = _mixed_products(field, y, args)
    elif says(field.game, "zero_sum", "losses", otherwise=False):
        return True
    else:
        found = _slopes(field.game, y, args)
    left, right = map(np.asarray, found)
    return float(np.linalg.norm(left + right)) <= _SAME[bytes_of(y)] * float(np.linalg.norm(left))


@jit
def _slopes(game: Any, y: Players, args: Args) -> tuple[jax.Array, jax.Array]:
    """The slopes of both losses in the generator's parameters, at some states around."""
    flat, restore = ravel_pytree(y)

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        there = restore(flat + _NEAR * jnp.sqrt(1 + jnp.abs(flat)) * jax.random.normal(key, flat.shape, flat.dtype))

        def slope(player: str) -> jax.Array:
            own = jax.grad(lambda g: getattr(game.losses(Players(there.discriminator, g), args), player))
            return ravel_pytree(own(there.generator))[0]

        return slope("discriminator"), slope("generator")

    return jax.lax.map(one, jax.random.split(jax.random.key(0), _PROBES))


@jit
def _mixed_products(field: Field, y: Players, args: Args) -> tuple[jax.Array, jax.Array]:
    """Of random changes of both players, what each does to the other one's velocity along its change."""
    _, along = jax.linearize(lambda y: field(0.0, y, args), y)
    flat, restore = ravel_pytree(y)

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        change = restore(jax.random.normal(key, flat.shape, flat.dtype))
        nothing = _tree.zeros_like(y)
        by_g = along(Players(nothing.discriminator, change.generator)).discriminator
        by_d = along(Players(change.discriminator, nothing.generator)).generator
        pairs = (by_g, change.discriminator), (by_d, change.generator)
        d, g = (jnp.vdot(ravel_pytree(image)[0], ravel_pytree(part)[0]) for image, part in pairs)
        return d, g

    return jax.lax.map(one, jax.random.split(jax.random.key(0), _PROBES))
