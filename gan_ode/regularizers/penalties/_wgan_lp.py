from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from ._between import between
from ._input_gradients import lengths, sampled_game, slopes
from ._penalty import AbstractPenalty


class WGANLP(AbstractPenalty):
    r"""Holds the slope of the discriminator's score below a bound, between data and samples: the one-sided `WGANGP`.

    Adds $\tfrac{\gamma}{2} E_{\hat x} \max(0, \lVert\nabla_x D(\hat x)\rVert - g_0)^2$ to the discriminator's loss, at
    the points of `WGANGP`. Slopes below the bound cost nothing, so that the field is continuous (it has a kink where
    the slope is $g_0$), and nothing is damped near an equilibrium whose score is flatter than $g_0$: on the Dirac-GAN
    with the Wasserstein loss every circle within $|\psi| \le g_0$ is an orbit, and orbits from outside end on the
    largest.

    ```python
    from gan_ode import games, losses, regularizers

    game = regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.WGANLP(20.0))
    ```

    Source: Petzka, Fischer and Lukovnikov (2018), arXiv:1709.08894, whose $\lambda E(\cdot)^2$ is
    $\gamma = 2 \lambda$; the orbits are rederived.

    Args:
        gamma: Weight $\gamma \ge 0$.
        target: The bound $g_0 \ge 0$ on the slope, 1 in the paper.
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
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight drives the slope away from the bound.")
        self.target = _checks.not_negative("target", target, "It is the length of a gradient.")
        self.mixing = mixing

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        points = between(base, y, args, self.mixing)
        sizes = lengths(slopes(base, y.discriminator, points.nodes))
        excess = jnp.square(jnp.maximum(sizes - self.target.astype(sizes.dtype), 0))
        penalty = _tree.scale(0.5 * self.gamma, points.mean(excess))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
