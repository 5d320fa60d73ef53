"""What the assumptions of the theory say, as numbers: distances, null spaces that are flat, supports that move."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Scalar
from ..statistics._energy_distance import flat_nodes
from ._eigenvalue_bounds import is_zero

_PROBES = 8
_MANY_DIMENSIONS = 16


def probes_of_null_space(gram: Float[Array, "n n"]) -> Float[Array, "probes n"]:
    """Unit vectors in the null space of a Gram matrix, in no special directions; zeros if there is none."""
    values, vectors = jnp.linalg.eigh(gram)
    null = jnp.where(is_zero(values), vectors, 0.0)
    return _unit(jax.random.normal(jax.random.key(0), (_PROBES, gram.shape[0]), gram.dtype) @ null @ null.T)


def probes(like: Float[Array, " n"]) -> Float[Array, "probes n"]:
    """Unit vectors in no special directions."""
    return _unit(jax.random.normal(jax.random.key(1), (_PROBES, like.size), like.dtype))


def _unit(vectors: Float[Array, "num n"]) -> Float[Array, "num n"]:
    lengths = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    # What a projection leaves of a vector outside the subspace is rounding.
    there = lengths > jnp.sqrt(jnp.finfo(vectors.dtype).eps)
    return jnp.where(there, vectors / jnp.where(there, lengths, 1.0), 0.0)


def largest_change(
    function: Callable[[Array], Scalar], origin: Float[Array, " n"], directions: Float[Array, "probes n"], step: float
) -> Scalar:
    """How much a function changes after a step in any of the directions, over the square of the step."""
    here = function(origin)
    there = jax.vmap(lambda direction: function(origin + step * direction))(directions)
    return jnp.max(jnp.abs(there - here)) / step**2


def support_speed(
    generate: Callable[[Float[Array, " n"]], Float[Array, "num ..."]], generator: Float[Array, " n"]
) -> Scalar:
    """How fast the outermost generated points move outward when the generator's parameters do, in any direction."""
    dim = jax.eval_shape(lambda g: flat_nodes(generate(g)), generator).shape[1]
    axes = jnp.eye(dim, dtype=generator.dtype)
    many = _unit(jax.random.normal(jax.random.key(2), (_MANY_DIMENSIONS, dim), generator.dtype))
    directions = axes if dim <= _MANY_DIMENSIONS else many

    def reach(g: Array) -> Array:
        along = flat_nodes(generate(g)) @ directions.T
        return jnp.concatenate([jnp.max(along, axis=0), -jnp.min(along, axis=0)])

    return jnp.max(jnp.linalg.norm(jax.jacrev(reach)(generator), axis=1))
