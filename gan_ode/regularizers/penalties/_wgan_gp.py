from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from ._between import between
from ._input_gradients import sampled_game, slopes, squared_excess
from ._penalty import AbstractPenalty


class WGANGP(AbstractPenalty):
    r"""Holds the slope of the discriminator's score at a target, between data and samples.

    Adds $\tfrac{\gamma}{2} E_{\hat x} (\lVert\nabla_x D(\hat x)\rVert - g_0)^2$ to the discriminator's loss, at
    $\hat x = \epsilon x + (1 - \epsilon) G(z)$ with $\epsilon$ uniform on $[0, 1]$. The usual weight
    $\lambda = 10$ of $\lambda E(\cdot)^2$ is $\gamma = 20$.

    The field jumps where the slope is zero. So on the Dirac-GAN with the Wasserstein loss the flow never settles: for
    $\gamma < 2$ it ends on a cycle of period $4\pi/\sqrt{4 - \gamma^2}$ around the equilibrium, which attracts with the
    Floquet multiplier $e^{-2\pi\gamma/\sqrt{4 - \gamma^2}}$ at any target $g_0 > 0$. At a slope of exactly zero the
    derivative of the norm is taken as zero.

    On a minibatch, row by row: each datum is paired with one sample, and $\epsilon$ runs evenly through $[0, 1]$ over
    the rows, which needs no random number. Where the expectations are by quadrature, all pairs are taken, and
    $\epsilon$ by Gauss-Legendre nodes.

    Source: Gulrajani et al. (2017), arXiv:1704.00028, equation 3; weight and target as in Mescheder, Geiger and Nowozin
    (2018), arXiv:1801.04406, section 4.1, which shows that it does not converge; cycle and multiplier rederived.

    Args:
        gamma: Weight $\gamma \ge 0$.
        target: Slope $g_0 \ge 0$.
        mixing: $\epsilon$ for each row of the minibatch, for example random ones.

    Raises:
        ValueError: If `gamma` or `target` is negative or not finite; under a transformation a RuntimeError, when it
            runs. Also when the game has no samples, or data and samples cannot be paired.
    """

    gamma: Float[Array, ""]
    target: Float[Array, ""]
    mixing: Float[Array, " num"] | None

    def __init__(
        self, gamma: RealScalarLike, target: RealScalarLike = 1.0, *, mixing: Float[Array, " num"] | None = None
    ):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight drives the slope away from its target.")
        self.target = _checks.not_negative("target", target, "It is the length of a gradient.")
        self.mixing = mixing

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        points = between(base, y, args, self.mixing)
        excess = squared_excess(slopes(base, y.discriminator, points.nodes), self.target)
        penalty = _tree.scale(0.5 * self.gamma, points.mean(excess))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
