"""What the penalties on the score's gradient with respect to the discriminator's input share."""

from typing import Any

import jax
from jaxtyping import Array, Float, PyTree

from ..games import AbstractSampledGame
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
    r"""$\nabla_x D(x)$ at every point."""
    return jax.vmap(jax.grad(game.discriminate, argnums=1), in_axes=(None, 0))(discriminator, points)
