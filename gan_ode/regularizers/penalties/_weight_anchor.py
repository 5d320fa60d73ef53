from typing import Any

import jax
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import gradients, Players
from ._penalty import AbstractPenalty


class WeightAnchor(AbstractPenalty):
    r"""Pulls each player's parameters toward those of a given state, with a weight of its own.

    Adds $\tfrac{\lambda_D}{2} \lVert\theta_D - \theta_D^*\rVert^2$ and
    $\tfrac{\lambda_G}{2} \lVert\theta_G - \theta_G^*\rVert^2$: every velocity loses $\lambda (\theta - \theta^*)$. An
    equilibrium at the anchor stays one and is damped as by `WeightDecay`, which is the anchor at zero; others move
    toward it. A game that only rotates about zero with the frequency $\omega$ converges, with both weights $\lambda$,
    to a state at $\lambda / \sqrt{\lambda^2 + \omega^2}$ of the anchor's distance; anchored again and again to where it
    came to, that is the proximal point method. A player of weight 0 is free.

    ```python
    from gan_ode import games, losses, regularizers

    game = games.LinearQuadratic(losses.Wasserstein())
    game = regularizers.Penalized(game, regularizers.WeightAnchor(game.equilibrium, discriminator=0.5))
    ```

    Source: the penalty $L^2$-SP of Li, Grandvalet and Davoine (2018), arXiv:1802.01483; the proximal point method is
    that of Rockafellar (1976), SIAM J. Control Optim. 14, 877. What follows for games is rederived.

    Args:
        anchor: $(\theta_D^*, \theta_G^*)$, of the structure and shapes of the states.
        discriminator: $\lambda_D \ge 0$, in units of loss over squared parameters.
        generator: $\lambda_G \ge 0$.

    Raises:
        ValueError: If a weight is negative or not finite; under a transformation a RuntimeError, when it runs. Also
            when a state has not the structure of the anchor.
    """

    anchor: Players
    discriminator: Float[Array, ""]
    generator: Float[Array, ""]

    def __init__(self, anchor: Players, discriminator: RealScalarLike = 0.0, generator: RealScalarLike = 0.0):
        remedy = "A negative weight drives the parameters away from the anchor."
        self.anchor = anchor
        self.discriminator = _checks.not_negative("discriminator", discriminator, remedy)
        self.generator = _checks.not_negative("generator", generator, remedy)

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """Half the weight times the squared distance, for each player."""
        away = self._away(y)
        return Players(
            _tree.scale(0.5 * self.discriminator, _tree.squared_norm(away.discriminator)),
            _tree.scale(0.5 * self.generator, _tree.squared_norm(away.generator)),
        )

    def gradients(self, game: Any, y: Players, args: Args) -> Players:
        """The game's own gradients, and the weights times the way from the anchor."""
        plain, away = gradients(game, y, args), self._away(y)
        return Players(
            _tree.step(plain.discriminator, self.discriminator, away.discriminator),
            _tree.step(plain.generator, self.generator, away.generator),
        )

    def _away(self, y: Players) -> Players:
        if jax.tree.structure(y) != jax.tree.structure(self.anchor):
            raise ValueError(
                f"`anchor` must have the structure of the state, {jax.tree.structure(y)}, but has "
                f"{jax.tree.structure(self.anchor)}: take a state of the same game, as its `equilibrium`."
            )
        return jax.tree.map(lambda leaf, anchor: leaf - anchor.astype(leaf.dtype), y, self.anchor)
