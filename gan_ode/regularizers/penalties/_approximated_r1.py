from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from .._noise import around
from ._input_gradients import sampled_game
from ._penalty import AbstractPenalty


class ApproximatedR1(AbstractPenalty):
    r"""Damps the discriminator by how much its score changes under small noise on the data: `R1` without its gradient.

    Adds $\lambda\, E_{x, \varepsilon} \big(D(x + \sigma\varepsilon) - D(x)\big)^2$ to the discriminator's loss, with
    standard normal $\varepsilon$. To first order in $\sigma^2$ this is `R1` with $\gamma = 2 \lambda \sigma^2$, and
    exactly so where the score is linear, as on the Dirac-GAN: the eigenvalues there are
    $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$. On the linear-quadratic game it takes
    $2 \lambda w (\tfrac43 \sigma^2 + 3 \sigma^4)$ from $\dot w$. It needs no second derivative of the network, which is
    why large models take it: their fast attention kernels have none. (The lazy `R1` of the StyleGANs, every
    $k$-th step with $k$ times the weight, has the field of `R1` itself.)

    The expectation over $\varepsilon$ is by Gauss-Hermite quadrature, unless there are draws. Networks on images need
    draws: quadrature takes `num_nodes` points to the power of the dimension, for each datum.

    ```python
    from gan_ode import games, losses, regularizers

    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.ApproximatedR1(100.0, 0.05))
    ```

    Source: Lin et al. (2025), arXiv:2501.08316, with $\lambda = 100$ and $\sigma = 0.01$ for images, 0.1 for
    videos; the relation to `R1` and the closed forms are rederived.

    Args:
        weight: $\lambda \ge 0$, in units of loss over squared score.
        std: $\sigma \ge 0$, in units of a sample.
        noise: Standard normal draws $\varepsilon$, of the shape of the data.
        num_nodes: Nodes for each dimension, where there is no `noise`.

    Raises:
        ValueError: If `weight` or `std` is negative or not finite; under a transformation a RuntimeError, when it runs.
            Also when the game has no samples, `noise` is not of the shape of the data, or quadrature would take too
            many nodes.
    """

    weight: Float[Array, ""]
    std: Float[Array, ""]
    noise: Float[Array, "num *event"] | None
    num_nodes: int = eqx.field(static=True)

    def __init__(
        self,
        weight: RealScalarLike,
        std: RealScalarLike,
        *,
        noise: Float[Array, "num *event"] | None = None,
        num_nodes: int = 8,
    ):
        self.weight = _checks.not_negative("weight", weight, "A negative weight undoes the damping.")
        self.std = _checks.not_negative("std", std, "It is the size of the noise.")
        self.noise = noise
        self.num_nodes = _checks.count("num_nodes", num_nodes)

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        data, _ = base.measures(y, args)
        nodes, weights = around(data, self.std, self.noise, self.num_nodes)
        score = jax.vmap(lambda x: base.discriminate(y.discriminator, x))
        changes = jnp.square(jax.vmap(score)(nodes) - score(data.nodes)[:, None])
        penalty = _tree.scale(self.weight, jnp.sum(weights.astype(changes.dtype) * changes))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
