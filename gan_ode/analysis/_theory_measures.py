"""What the assumptions of the theory say, as numbers: distances, null spaces that are flat, supports that move."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar
from ..distributions import Quadrature
from ._eigenvalue_bounds import is_zero

_PROBES = 8
_MANY_DIMENSIONS = 16


def energy_distance(left: Quadrature, right: Quadrature) -> Scalar:
    r"""Distance of two weighted samples, between 0 (the same distribution) and 1.

    $\sqrt{(2 E|X - Y| - E|X - X'| - E|Y - Y'|) \,/\, 2 E|X - Y|}$.

    Source: Szekely and Rizzo (2013), doi:10.1016/j.jspi.2013.03.018, the square root of their coefficient $H$.
    """
    across = _mean_distance(left, right)
    gap = 2 * across - _mean_distance(left, left) - _mean_distance(right, right)
    return jnp.sqrt(jnp.maximum(gap, 0.0) / jnp.where(across > 0, 2 * across, 1.0))


def _mean_distance(left: Quadrature, right: Quadrature) -> Scalar:
    there = _flat(right.nodes)

    def to(x: Array) -> Scalar:
        return right.mean(jnp.sqrt(jnp.sum(jnp.square(there - x), axis=1)))

    # Row by row, so that no matrix of all pairs is stored.
    return left.mean(jax.lax.map(to, _flat(left.nodes), batch_size=256))


def _flat(nodes: Float[Array, "num ..."]) -> Float[Array, "num dim"]:
    return jnp.reshape(nodes, (nodes.shape[0], -1))


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
    dim = jax.eval_shape(lambda g: _flat(generate(g)), generator).shape[1]
    axes = jnp.eye(dim, dtype=generator.dtype)
    many = _unit(jax.random.normal(jax.random.key(2), (_MANY_DIMENSIONS, dim), generator.dtype))
    directions = axes if dim <= _MANY_DIMENSIONS else many

    def reach(g: Array) -> Array:
        along = _flat(generate(g)) @ directions.T
        return jnp.concatenate([jnp.max(along, axis=0), -jnp.min(along, axis=0)])

    return jnp.max(jnp.linalg.norm(jax.jacrev(reach)(generator), axis=1))
