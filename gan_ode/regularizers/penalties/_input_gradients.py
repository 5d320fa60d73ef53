"""What the penalties on the score's gradient with respect to the discriminator's input share."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ... import _tree
from ..._types import Scalar
from ...games import AbstractSampledGame
from ...games._sampled import scores_of
from ._penalty import unwrap


def sampled_game(game: Any) -> AbstractSampledGame:
    """The game of scores and samples inside any number of penalties.

    Raises:
        ValueError: If it scores no samples.
    """
    inner, _ = unwrap(game)
    if not hasattr(inner, "discriminate"):
        raise ValueError(
            f"`game` must score samples for this penalty, but {type(inner).__name__} has no `discriminate`: "
            "use an `AbstractSampledGame`, or `GradientNorm`, which needs only the losses."
        )
    return inner


def slopes(
    game: AbstractSampledGame, discriminator: PyTree[Array], points: Float[Array, "points *event"]
) -> Float[Array, "points *event"]:
    r"""$\nabla_x D(x)$ at every point; of scores that depend on their batch, the slope of the batch's sum."""
    return jax.grad(lambda x: jnp.sum(scores_of(game, discriminator, x)))(points)


def lengths(vectors: Float[Array, "points *event"]) -> Float[Array, " points"]:
    """The norm of each vector, with a derivative of zero where it is zero: that of a square root would be NaN."""
    squares = jax.vmap(_tree.squared_norm)(vectors)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)


def squared_excess(vectors: Float[Array, "points *event"], target: Scalar) -> Float[Array, " points"]:
    r"""$(\lVert v\rVert - g_0)^2$ of each vector, multiplied out: for a target of zero it is smooth, at zero too."""
    target = target.astype(vectors.dtype)
    return jax.vmap(_tree.squared_norm)(vectors) - 2 * target * lengths(vectors) + target**2
