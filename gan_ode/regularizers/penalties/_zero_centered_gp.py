from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from ._between import between
from ._input_gradients import sampled_game, slopes
from ._penalty import AbstractPenalty


class ZeroCenteredGP(AbstractPenalty):
    r"""Damps the discriminator by the slope of its score between data and samples.

    Adds $\tfrac{\gamma}{2} E_{\hat x} \lVert\nabla_x D(\hat x)\rVert^2$ to the discriminator's loss, at
    $\hat x = \epsilon x + (1 - \epsilon) G(z)$ with $\epsilon$ uniform on $[0, 1]$: the points of `WGANGP`, and the
    target of `R1`. It is smooth, and keeps every equilibrium whose score is flat. On the Dirac-GAN, whose score has one
    slope everywhere, it is `R1`: the eigenvalues move from $\pm i/2$ to $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$. On
    the linear-quadratic game it takes $\tfrac49 \gamma w (1 + a^2)$ from $\dot w$, two thirds of `R1` at the
    equilibrium, since points between the two are nearer to the center than the data.

    Points are paired as by `WGANGP`: row by row on a minibatch, and all with all by quadrature.

    ```python
    from gan_ode import games, losses, regularizers

    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.ZeroCenteredGP(0.3))
    ```

    Source: Thanh-Tung, Tran and Venkatesh (2019), arXiv:1902.03984, their 0-GP, with a half of their weight;
    the closed forms are rederived.

    Args:
        gamma: Weight $\gamma \ge 0$, in units of loss times squared length of a sample, over squared score.
        mixing: $\epsilon$ for each row of the minibatch, for example random ones.

    Raises:
        ValueError: If `gamma` is negative or not finite; under a transformation a RuntimeError, when it runs. Also
            when the game has no samples, or data and samples cannot be paired.
    """

    gamma: Float[Array, ""]
    mixing: Float[Array, " num"] | None

    def __init__(self, gamma: RealScalarLike, *, mixing: Float[Array, " num"] | None = None):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight undoes the damping.")
        self.mixing = mixing

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        points = between(base, y, args, self.mixing)
        squares = jax.vmap(_tree.squared_norm)(slopes(base, y.discriminator, points.nodes))
        penalty = _tree.scale(0.5 * self.gamma, points.mean(squares))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
