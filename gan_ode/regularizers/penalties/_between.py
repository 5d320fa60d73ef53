"""Points between data and samples, where several penalties look at the score's slope."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._types import Args
from ...distributions import Quadrature
from ...games import AbstractSampledGame, Players
from ...games._sampled import is_minibatch

# Nodes between a data point and a sample, where all pairs are taken.
_MIXING_NODES = 8


def between(game: AbstractSampledGame, y: Players, args: Args, mixing: Array | None) -> Quadrature:
    """Points between data and samples."""
    data, latent = game.measures(y, args)
    made = jax.vmap(lambda z: game.generate(y.generator, z))(latent.nodes)
    if mixing is None and not is_minibatch(args):
        return _all_pairs(Quadrature(made, latent.weights), data)
    num = data.nodes.shape[0]
    parts = (jnp.arange(num, dtype=made.dtype) + 0.5) / num if mixing is None else mixing
    if not num == made.shape[0] == parts.shape[0]:
        raise ValueError(
            f"`args` must hold as many data as latent points, and `mixing` as many numbers, but there are {num}, "
            f"{made.shape[0]} and {parts.shape[0]}: draw both by `game.sample(key, num)`."
        )
    nodes = jax.vmap(_mix)(made, data.nodes, parts.astype(made.dtype))
    return Quadrature(nodes, data.weights)


def _all_pairs(made: Quadrature, data: Quadrature) -> Quadrature:
    nodes, weights = np.polynomial.legendre.leggauss(_MIXING_NODES)
    mixing = jnp.asarray((nodes + 1) / 2, made.nodes.dtype)
    pair = jax.vmap(jax.vmap(jax.vmap(_mix, (None, None, 0)), (None, 0, None)), (0, None, None))
    points = pair(made.nodes, data.nodes, mixing)
    products = jnp.einsum("i,j,k->ijk", made.weights, data.weights, jnp.asarray(weights / 2, made.weights.dtype))
    return Quadrature(points.reshape(-1, *points.shape[3:]), products.reshape(-1))


def _mix(made: Array, datum: Array, mixing: Array) -> Array:
    return made + mixing * (datum - made)
