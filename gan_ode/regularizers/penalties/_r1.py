from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from ._input_gradients import sampled_game, slopes
from ._penalty import AbstractPenalty


class R1(AbstractPenalty):
    r"""Damps the discriminator by the slope of its score at the data.

    Adds $\tfrac{\gamma}{2} E_x \lVert\nabla_x D(x)\rVert^2$ to the discriminator's loss. On the Dirac-GAN it moves the
    eigenvalues from $\pm i/2$ to $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$.

    Source: Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, equation 9.

    Args:
        gamma: Weight $\gamma \ge 0$.

    Raises:
        ValueError: If `gamma` is negative or not finite; under a transformation a RuntimeError, when it runs. Also
            when the game has no samples to take the slope at.
    """

    gamma: Float[Array, ""]

    def __init__(self, gamma: RealScalarLike):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight undoes the damping.")

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        data, _ = base.measures(y, args)
        squares = jax.vmap(_tree.squared_norm)(slopes(base, y.discriminator, data.nodes))
        penalty = _tree.scale(0.5 * self.gamma, data.mean(squares))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
