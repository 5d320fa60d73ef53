from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from ...games._sampled import samples_of
from ._input_gradients import sampled_game, slopes
from ._penalty import AbstractPenalty


class R2(AbstractPenalty):
    r"""Damps the discriminator by the slope of its score at the generated samples: the twin of `R1`.

    Adds $\tfrac{\gamma}{2} E_z \lVert\nabla_x D(x)\rVert^2$ at $x = G(z)$ to the discriminator's loss, and to no other:
    the samples are taken as they are, and the generator is not paid for making them where the score is flat. Where the
    samples have the distribution of the data, `R2` and `R1` damp alike; away from there `R2` acts where the samples
    are. On the Dirac-GAN, whose score has one slope everywhere, they are equal: the eigenvalues move from $\pm i/2$ to
    $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$ for the minimax loss.

    R3GAN takes both, with one weight, and a relativistic loss. On the linear-quadratic game, with $D(x) = w x^2$ and
    samples $a z$, `R2` takes $\tfrac43 \gamma w a^2$ from $\dot w$:

    ```python
    from gan_ode import games, losses, regularizers

    game = regularizers.Penalized(games.LinearQuadratic(losses.Minimax()), regularizers.R1(0.5))
    game = regularizers.Penalized(game, regularizers.R2(0.5))
    ```

    Source: Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, section 4.1; with `R1` in Huang et al. (2024),
    arXiv:2501.05441, and its code, where the samples come detached from the generator. The linear-quadratic term is
    rederived.

    Args:
        gamma: Weight $\gamma \ge 0$, in units of loss times squared length of a sample, over squared score.

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
        _, latent = base.measures(y, args)
        made = samples_of(base, y.generator, latent.nodes)
        squares = jax.vmap(_tree.squared_norm)(slopes(base, y.discriminator, made))
        penalty = _tree.scale(0.5 * self.gamma, latent.mean(squares))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
