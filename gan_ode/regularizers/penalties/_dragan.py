from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from .._noise import around
from ._input_gradients import sampled_game, slopes, squared_excess
from ._penalty import AbstractPenalty


class DRAGAN(AbstractPenalty):
    r"""Holds the slope of the discriminator's score at a target, in the neighborhood of the data.

    Adds $\tfrac{\gamma}{2} E_{x, \delta} (\lVert\nabla_x D(x + \delta)\rVert - g_0)^2$ to the discriminator's loss,
    with normal $\delta$ of standard deviation $s$: `WGANGP` with points that do not depend on the samples. The paper's
    weight $\lambda = 10$ of $\lambda E(\cdot)^2$ is $\gamma = 20$. For $g_0 > 0$ the field jumps where the slope is
    zero, and on the Dirac-GAN, whose score has one slope everywhere, it is that of `WGANGP`, cycle and all. With
    $g_0 = 0$ it is `R1` at noisy data: on the linear-quadratic game it takes $4 \gamma w (\tfrac13 + s^2)$ from
    $\dot w$.

    The expectation over $\delta$ is by Gauss-Hermite quadrature, unless there are draws. Networks on images need draws:
    quadrature takes `num_nodes` points to the power of the dimension, for each datum.

    ```python
    from gan_ode import games, losses, regularizers

    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.DRAGAN(20.0, std=0.5))
    ```

    Source: Kodali, Abernethy, Hays and Kira (2017), arXiv:1705.07215; the closed form is rederived. The
    authors' code takes uniform noise in the place of normal one.

    Args:
        gamma: Weight $\gamma \ge 0$.
        target: Slope $g_0 \ge 0$, 1 in the paper.
        std: Standard deviation $s \ge 0$ of $\delta$, in units of a sample.
        noise: Standard normal draws for $\delta / s$, of the shape of the data.
        num_nodes: Nodes for each dimension, where there is no `noise`.

    Raises:
        ValueError: If `gamma`, `target` or `std` is negative or not finite; under a transformation a RuntimeError,
            when it runs. Also when the game has no samples, `noise` is not of the shape of the data, or quadrature
            would take too many nodes.
    """

    gamma: Float[Array, ""]
    target: Float[Array, ""]
    std: Float[Array, ""]
    noise: Float[Array, "num *event"] | None
    num_nodes: int = eqx.field(static=True)

    def __init__(
        self,
        gamma: RealScalarLike,
        target: RealScalarLike = 1.0,
        *,
        std: RealScalarLike = 1.0,
        noise: Float[Array, "num *event"] | None = None,
        num_nodes: int = 8,
    ):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight drives the slope away from its target.")
        self.target = _checks.not_negative("target", target, "It is the length of a gradient.")
        self.std = _checks.not_negative("std", std, "It is the size of the neighborhood.")
        self.noise = noise
        self.num_nodes = _checks.count("num_nodes", num_nodes)

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        data, _ = base.measures(y, args)
        nodes, weights = around(data, self.std, self.noise, self.num_nodes)
        points = nodes.reshape(-1, *nodes.shape[2:])
        excess = squared_excess(slopes(base, y.discriminator, points), self.target)
        mean = jnp.dot(weights.reshape(-1).astype(excess.dtype), excess)
        penalty = _tree.scale(0.5 * self.gamma, mean)
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
