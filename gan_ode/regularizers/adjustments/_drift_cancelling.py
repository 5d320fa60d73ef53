from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float

from ... import _checks, _tree, backward_error
from ..._rules import Rule
from ..._types import Args, Field, RealScalarLike, State
from ...backward_error._one_step import make
from ...updates import AbstractUpdate, Simultaneous
from ._adjustment import AbstractAdjustment

_PARTS = {
    "whole": backward_error.drift,
    "interaction": backward_error.interaction_drift,
    "self": backward_error.self_drift,
}


class DriftCancelling(AbstractAdjustment):
    r"""Takes away in advance what the step size of an update will add to the field.

    Adds $-h F_1$, minus the first term of the drift of a rule with step size $h$ (`backward_error.drift`). The orbit
    that the rule then makes follows the flow of the plain field to second order in $h$, where without it it would to
    first. For simultaneous steps that is $+\tfrac h2 F'F$: at an equilibrium the Jacobian $J$ becomes
    $J + \tfrac h2 J^2$, and a step has the multipliers $1 + h\lambda + \tfrac12 (h\lambda)^2$ of Heun's method. The
    Dirac-GAN under it has the eigenvalues $-h/8 \pm i/2$ for the minimax loss.

    `part="interaction"` cancels only what each player's moving does to the other one, and keeps each one's own implicit
    regularization: on a zero-sum game, with simultaneous steps, both then pay $\tfrac h4$ of the other's squared
    gradient, as by `JacobianRegularization` with the weight $h/2$.

    ```python
    from gan_ode import analysis, fields, games, losses, regularizers, updates

    field = fields.GameField(games.Dirac(losses.Minimax()))
    cancelled = regularizers.Adjusted(field, regularizers.DriftCancelling(0.1))
    growth = analysis.multipliers(updates.Simultaneous(0.1), cancelled, games.Dirac(losses.Minimax()).equilibrium)
    ```

    Source: Rosca, Wu, Dherin and Barrett (2021), arXiv:2105.13922, for the interaction; the whole drift and
    the multipliers are rederived.

    Args:
        step_size: $h > 0$, that of the update that will follow the field.
        rule: The update, or what makes one from a step size: `updates.Simultaneous`, `updates.Alternating`.
        part: Which part of the drift is cancelled: the `"whole"`, the `"interaction"` of the players, or the `"self"`
            part of each.

    Raises:
        ValueError: If `step_size` is not above 0 and finite (under a transformation a RuntimeError, when it runs),
            `rule` does not make an update without memory, or `part` is none of the three.
    """

    step_size: Float[Array, ""]
    update: AbstractUpdate
    part: Literal["whole", "interaction", "self"] = eqx.field(static=True)

    def __init__(
        self,
        step_size: RealScalarLike,
        rule: Rule = Simultaneous,
        *,
        part: Literal["whole", "interaction", "self"] = "whole",
    ):
        _checks.one_of("part", part, tuple(_PARTS))
        self.step_size = _checks.positive("step_size", step_size, "It is that of the update.")
        self.update = make(rule, self.step_size)
        self.part = part

    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> State:
        """Minus the drift."""
        drift: Any = _PARTS[self.part](self.update, field, self.step_size)
        return _tree.scale(-1.0, drift(t, y, args))
