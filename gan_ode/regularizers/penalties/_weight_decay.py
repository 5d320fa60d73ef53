from typing import Any

from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import gradients, Players
from ._penalty import AbstractPenalty


class WeightDecay(AbstractPenalty):
    r"""Pulls each player's parameters toward zero, with a weight of its own.

    Adds $\tfrac{\lambda_D}{2} \lVert\theta_D\rVert^2$ to the discriminator's loss and
    $\tfrac{\lambda_G}{2} \lVert\theta_G\rVert^2$ to the generator's: every velocity loses $\lambda\theta$, and every
    diagonal block of the Jacobian $\lambda I$. The Dirac-GAN has the eigenvalues
    $-(\lambda_D + \lambda_G)/2 \pm \sqrt{(\lambda_D - \lambda_G)^2/4 - 1/4}$. An equilibrium that is not at zero is
    moved; `WeightAnchor` pulls toward any other state.

    ```python
    from gan_ode import games, losses, regularizers

    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.WeightDecay(discriminator=0.1))
    ```

    Source: Krogh and Hertz (1991), Advances in Neural Information Processing Systems 4; the eigenvalues are rederived.
    Decay that is decoupled from an adaptive optimizer, `optax.adamw`, is another thing: it is no term of the losses.

    Args:
        discriminator: $\lambda_D \ge 0$, in units of loss over squared parameters.
        generator: $\lambda_G \ge 0$.

    Raises:
        ValueError: If a weight is negative or not finite; under a transformation a RuntimeError, when it runs.
    """

    discriminator: Float[Array, ""]
    generator: Float[Array, ""]

    def __init__(self, discriminator: RealScalarLike = 0.0, generator: RealScalarLike = 0.0):
        remedy = "A negative weight drives the parameters away from zero."
        self.discriminator = _checks.not_negative("discriminator", discriminator, remedy)
        self.generator = _checks.not_negative("generator", generator, remedy)

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """Half the weight times the squared norm, for each player."""
        return Players(
            _tree.scale(0.5 * self.discriminator, _tree.squared_norm(y.discriminator)),
            _tree.scale(0.5 * self.generator, _tree.squared_norm(y.generator)),
        )

    def gradients(self, game: Any, y: Players, args: Args) -> Players:
        """The game's own gradients, and the weights times the parameters."""
        plain = gradients(game, y, args)
        return Players(
            _tree.step(plain.discriminator, self.discriminator, y.discriminator),
            _tree.step(plain.generator, self.generator, y.generator),
        )
