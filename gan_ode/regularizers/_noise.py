"""Normal noise around points: by quadrature where there are few dimensions, by given draws else."""

import math

import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float

from ..distributions import Normal, Quadrature


def normal_nodes(shape: tuple[int, ...], num_nodes: int, dtype: DTypeLike, remedy: str) -> Quadrature:
    """Gauss-Hermite nodes of standard normal noise of a shape, `num_nodes` for each of its numbers.

    Raises:
        ValueError: If there are too many.
    """
    try:
        unit = Normal("scalar" if shape == () else math.prod(shape)).quadrature(num_nodes)
    except ValueError as error:
        raise ValueError(
            f"`num_nodes` for each of {math.prod(shape)} dimensions are too many points: {remedy}"
        ) from error
    return Quadrature(unit.nodes.reshape(-1, *shape).astype(dtype), unit.weights.astype(dtype))


def around(
    points: Quadrature, std: Float[Array, ""], noise: Float[Array, "num *event"] | None, num_nodes: int
) -> tuple[Float[Array, "num draws *event"], Float[Array, "num draws"]]:
    """Noisy copies of each point, with their weights.

    Args:
        points: Weighted points.
        std: Standard deviation of the noise.
        noise: A standard normal draw for each point; None for quadrature.
        num_nodes: Nodes for each dimension, where there is no `noise`.

    Raises:
        ValueError: If `noise` is not of the shape of the points, or quadrature would take too many nodes.
    """
    nodes, scale = points.nodes, std.astype(points.nodes.dtype)
    if noise is not None:
        if noise.shape != nodes.shape:
            raise ValueError(
                f"`noise` must have the shape of the data, {nodes.shape}, but has {noise.shape}: draw one number for "
                "each of theirs by `jax.random.normal`."
            )
        return (nodes + scale * noise.astype(nodes.dtype))[:, None], points.weights[:, None]
    remedy = "give `noise`, one draw of `jax.random.normal` for each number of the data."
    unit = normal_nodes(nodes.shape[1:], num_nodes, nodes.dtype, remedy)
    weights = jnp.outer(points.weights, unit.weights.astype(points.weights.dtype))
    return nodes[:, None] + scale * unit.nodes[None], weights
