from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import gradients, Players
from ._penalty import AbstractPenalty


class GradientNorm(AbstractPenalty):
    r"""Damps the generator by the discriminator's gradient.

    Adds $\eta\,\lVert\nabla_{\theta_D} V\rVert^2$ to the generator's loss. It keeps every equilibrium, and makes a
    Wasserstein GAN locally exponentially stable. The field is sheared:
    $F_\eta = [[I, 0], [-2\eta B^T, I]] F_0$ with $B = \partial_{\theta_G} \nabla_{\theta_D} V$, at the cost of one
    derivative along $\nabla_{\theta_D} V$ inside the generator's backward pass.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, section 4; the shear rederived.

    Args:
        eta: Weight $\eta \ge 0$, in units of inverse loss.

    Raises:
        ValueError: If `eta` is negative or not finite; under a transformation a RuntimeError, when it runs.
    """

    eta: Float[Array, ""]

    def __init__(self, eta: RealScalarLike):
        self.eta = _checks.not_negative("eta", eta, "A negative weight undoes the damping.")

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """Nothing, and the penalty."""
        steepest = gradients(game, y, args).discriminator
        penalty = _tree.scale(self.eta, _tree.squared_norm(steepest))
        return Players(discriminator=jnp.zeros_like(penalty), generator=penalty)

    def gradients(self, game: Any, y: Players, args: Args) -> Players:
        """Each player's gradient of its whole loss, by reverse over forward mode in one pass."""
        steepest = gradients(game, y, args).discriminator

        def damped(generator: Any) -> Array:
            # With the direction held constant, the gradient of 2 eta <v, grad_D V> is that of eta |grad_D V|^2.
            losses, along = jax.jvp(
                lambda discriminator: game.losses(Players(discriminator, generator), args),
                (y.discriminator,),
                (steepest,),
            )
            return losses.generator + _tree.scale(2 * self.eta, along.discriminator)

        return Players(discriminator=steepest, generator=jax.grad(damped)(y.generator))
