"""The order of the few numbers of each row: by comparing all pairs, since sorting many short rows is slow."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

# Up to so many numbers all pairs are compared.
_FEW = 8


def ranks(*keys: Array) -> Int[Array, "*rows m"]:
    """The place of each number in its row, from 0 on: by the first key, then by the next, then as they stand."""
    size = keys[0].shape[-1]
    if size > _FEW:
        return jnp.argsort(jnp.lexsort(keys[::-1], axis=-1), axis=-1)
    first = jnp.asarray(np.tri(size, k=-1, dtype=bool))
    for key in keys[::-1]:
        one, other = key[..., :, None], key[..., None, :]
        first = (other < one) | ((other == one) & first)
    return jnp.sum(first, axis=-1)


def arranged(values: Array, places: Int[Array, "*rows m"]) -> Array:
    """The numbers of each row at their places."""
    size = values.shape[-1]
    if size > _FEW:
        return jnp.take_along_axis(values, jnp.argsort(places, axis=-1), axis=-1)
    there = places[..., :, None] == jnp.arange(size)
    return jnp.sum(jnp.where(there, values[..., :, None], 0), axis=-2)
