import jax
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, Field, RealScalarLike, State
from ...games import Players
from ._adjustment import AbstractAdjustment


class JacobianRegularization(AbstractAdjustment):
    r"""Charges each player the squared size of the *other* player's gradient: JARE.

    Adds $-\gamma \nabla_D \tfrac12 \lVert F_G\rVert^2 = -\gamma (\partial_D F_G)^T F_G$ to the discriminator's velocity
    and $-\gamma (\partial_G F_D)^T F_D$ to the generator's. `Consensus` charges both players the size of both
    gradients; what is left out here, the own part, would make the Jacobian badly conditioned. At an equilibrium with
    the Jacobian $[[J_{DD}, J_{DG}], [J_{GD}, J_{GG}]]$,

    $$-\gamma \begin{pmatrix} J_{GD}^T J_{GD} & J_{GD}^T J_{GG} \\ J_{DG}^T J_{DD} & J_{DG}^T J_{DG} \end{pmatrix}$$

    is added to it. The generator's half is `GradientNorm` with $\eta = \gamma/2$. The Dirac-GAN has the eigenvalues
    $-\gamma/4 \pm i/2$ for the minimax loss, as with `Consensus`: its own parts are zero. Two vector-Jacobian products.

    ```python
    from gan_ode import fields, games, losses, regularizers

    field = fields.GameField(games.LinearQuadratic(losses.Minimax()))
    adjusted = regularizers.Adjusted(field, regularizers.JacobianRegularization(0.5))
    ```

    Source: Nie and Patel (2019), arXiv:1806.09235, and their code: each player's loss with half the weight
    times the squared norm of the gradient of the other one's. The Jacobian is rederived.

    Args:
        weight: $\gamma \ge 0$, in units of time.

    Raises:
        ValueError: If `weight` is negative or not finite; under a transformation a RuntimeError, when it runs.
    """

    weight: Float[Array, ""]

    def __init__(self, weight: RealScalarLike):
        self.weight = _checks.not_negative("weight", weight, "A negative weight undoes the damping.")

    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> Players:
        """What each player pays for the other one's gradient."""
        velocity, pull_back = jax.vjp(lambda y: field(t, y, args), y)
        still = _tree.zeros_like(velocity)
        (of_generator,) = pull_back(Players(still.discriminator, velocity.generator))
        (of_discriminator,) = pull_back(Players(velocity.discriminator, still.generator))
        return _tree.scale(-self.weight, Players(of_generator.discriminator, of_discriminator.generator))
