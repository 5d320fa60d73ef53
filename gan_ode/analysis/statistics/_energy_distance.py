import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Scalar
from ...distributions import Quadrature


def energy_distance(left: Quadrature, right: Quadrature) -> Scalar:
    r"""Distance of two weighted samples, between 0 (the same distribution) and 1.

    $\sqrt{(2 E|X - Y| - E|X - X'| - E|Y - Y'|) \,/\, 2 E|X - Y|}$.

    Source: Szekely and Rizzo (2013), doi:10.1016/j.jspi.2013.03.018, the square root of their coefficient $H$.
    """
    across = _mean_distance(left, right)
    gap = 2 * across - _mean_distance(left, left) - _mean_distance(right, right)
    return jnp.sqrt(jnp.maximum(gap, 0.0) / jnp.where(across > 0, 2 * across, 1.0))


def _mean_distance(left: Quadrature, right: Quadrature) -> Scalar:
    there = flat_nodes(right.nodes)

    def to(x: Array) -> Scalar:
        return right.mean(jnp.sqrt(jnp.sum(jnp.square(there - x), axis=1)))

    # Row by row, so that no matrix of all pairs is stored.
    return left.mean(jax.lax.map(to, flat_nodes(left.nodes), batch_size=256))


def flat_nodes(nodes: Float[Array, "num ..."]) -> Float[Array, "num dim"]:
    """Nodes as rows of numbers."""
    return jnp.reshape(nodes, (nodes.shape[0], -1))
