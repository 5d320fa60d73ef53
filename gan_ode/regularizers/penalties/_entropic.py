from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike, Scalar, State
from ...games import Players
from ._penalty import AbstractPenalty


class Entropic(AbstractPenalty):
    r"""Draws a player who mixes strategies toward a mixture, by default toward the uniform one.

    For players whose parameters are the logits of a mixed strategy, $p = \mathrm{softmax}(\theta)$ over all the numbers
    of $\theta$: adds $\tau_D \mathrm{KL}(p_D \,\|\, q_D)$ to the discriminator's loss and
    $\tau_G \mathrm{KL}(p_G \,\|\, q_G)$ to the generator's, where $q$ is the mixture of the anchor. Without an anchor
    $q$ is uniform, and the penalty is minus $\tau$ times the entropy of $p$, but for a constant. Every equilibrium
    whose mixtures are $q$ stays one. At the uniform mixture of $n$ strategies the velocity of a player loses
    $\tfrac{\tau}{n}$ times its deviation, in the directions that change $p$: matching pennies under softmax, which
    rotate with the frequency $1/2$, get the eigenvalues $-(\tau_D + \tau_G)/4 \pm \sqrt{(\tau_D - \tau_G)^2/16 - 1/4}$
    (and two zeros, of what softmax does not see).

    ```python
    import jax
    import jax.numpy as jnp
    from gan_ode import games, regularizers

    def pennies(y, args):
        p, q = jax.nn.softmax(y.discriminator), jax.nn.softmax(y.generator)
        value = p @ jnp.array([[1.0, -1.0], [-1.0, 1.0]]) @ q
        return games.Players(-value, value)

    game = regularizers.Penalized(games.FromLosses(pennies), regularizers.Entropic(0.2, 0.2))
    ```

    Source: the entropy as in Cen, Wei and Chi (2021), arXiv:2105.15186; with an anchor, the magnet of Sokota et al.
    (2022), arXiv:2206.05825. The eigenvalues are rederived.

    Args:
        discriminator: $\tau_D \ge 0$, in units of loss.
        generator: $\tau_G \ge 0$.
        anchor: Logits of the mixtures $q$, of the structure and shapes of the states; None for uniform ones.

    Raises:
        ValueError: If a weight is negative or not finite; under a transformation a RuntimeError, when it runs.
    """

    discriminator: Float[Array, ""]
    generator: Float[Array, ""]
    anchor: Players | None

    def __init__(
        self, discriminator: RealScalarLike = 0.0, generator: RealScalarLike = 0.0, anchor: Players | None = None
    ):
        remedy = "A negative weight drives a player to a pure strategy."
        self.discriminator = _checks.not_negative("discriminator", discriminator, remedy)
        self.generator = _checks.not_negative("generator", generator, remedy)
        self.anchor = anchor

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The weight times the divergence from the anchor, for each player."""
        anchor = _tree.zeros_like(y) if self.anchor is None else self.anchor
        return Players(
            _tree.scale(self.discriminator, _divergence(y.discriminator, anchor.discriminator)),
            _tree.scale(self.generator, _divergence(y.generator, anchor.generator)),
        )


def _divergence(logits: State, anchor: State) -> Scalar:
    """KL of the one softmax from the other."""
    flat = ravel_pytree(logits)[0]
    log_p = jax.nn.log_softmax(flat)
    log_q = jax.nn.log_softmax(ravel_pytree(anchor)[0].astype(flat.dtype))
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q))
