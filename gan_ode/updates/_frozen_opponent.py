from typing import Any

import diffrax
from jaxtyping import Array, Float

from .. import _optimizers
from .._types import Args, Field, RealScalarLike, State
from ..games import Players
from ._solver_step import SolverStep
from ._update import AbstractUpdate


class FrozenOpponent(AbstractUpdate):
    r"""Each player takes a step of a Diffrax solver while the other one is held still: a known mistake, to be compared.

    Hand-written training loops do this: every stage moves the own parameters alone, $\dot\theta_D = F_D(\theta_D,
    \theta_G(0))$ and likewise for the generator. The error is of the order of the coupling, $h^2 \tfrac12
    (\partial_G F_D) F_G$ in each step, so that the rule is of order 1 whatever the tableau; on a bilinear game it *is*
    Euler's. `SolverStep` is the joint step, at the same cost.

    Args:
        solver: Any Diffrax solver for ordinary equations.
        step_size: $h > 0$.
        rtol: As for `SolverStep`.
        atol: Likewise.

    Raises:
        ValueError: As for `SolverStep`.
    """

    joint: SolverStep
    step_size: Float[Array, ""]

    def __init__(
        self,
        solver: diffrax.AbstractSolver,
        step_size: RealScalarLike,
        *,
        rtol: RealScalarLike | None = None,
        atol: RealScalarLike | None = None,
    ):
        self.joint = SolverStep(solver, step_size, rtol=rtol, atol=atol)
        self.step_size = self.joint.step_size

    @property
    def may_fail(self) -> bool:
        """As of `SolverStep`."""
        return self.joint.may_fail

    def init(self, field: Field, y: Players, args: Args) -> None:
        _optimizers.two_players(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: None) -> tuple[Players, None]:
        def moved(player: str) -> Any:
            def own(t: RealScalarLike, part: State, args: Args) -> State:
                return getattr(field(t, _optimizers.with_player(y, player, part), args), player)

            return self.joint.step(own, t, getattr(y, player), args, None)[0]

        return Players(moved("discriminator"), moved("generator")), None
