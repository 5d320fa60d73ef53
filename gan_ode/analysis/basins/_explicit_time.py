"""Whether a field has explicit time while many starts are followed."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool

from ..._lowering import jit
from ..._types import Args, Field, State

# Shares of the time, in no simple ratio to each other or to anybody's period.
_SHARES = (0.0031415927, 0.0271828183, 0.1618033989, 0.4669201609, 1.0)
_STARTS = 8
# So many roundings of a velocity are no change.
_ROUNDINGS = 64


def depends_on_time(field: Field, starts: State, duration: Array, args: Args) -> bool:
    """Whether the velocity at one of some starts is another at a later time."""
    # By NumPy: nothing is compiled for it.
    some = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[:: max(1, len(leaf) // _STARTS)]), starts)
    return bool(_depends(field, some, duration, args))


@jit
def _depends(field: Field, starts: State, duration: Array, args: Args) -> Bool[Array, ""]:
    times = duration * jnp.asarray((0.0, *_SHARES), duration.dtype)

    def velocity(t: Array, y: State) -> Array:
        return ravel_pytree(field(t, y, args))[0]

    velocities = jax.vmap(lambda t: jax.vmap(lambda y: velocity(t, y))(starts))(times)
    change = jnp.abs(velocities[1:] - velocities[0])
    usual = jnp.max(jnp.abs(velocities), axis=(0, 1))
    # Where the field is not finite nothing is told.
    return jnp.any(change > _ROUNDINGS * jnp.finfo(usual.dtype).eps * jnp.where(jnp.isfinite(usual), usual, 0))
