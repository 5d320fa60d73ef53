import diffrax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ..solvers import _requirements
from ._update import AbstractUpdate, POSITIVE_STEP


class SolverStep(AbstractUpdate):
    """One joint step of a Diffrax solver: Runge-Kutta on both players at once, the minibatch held for all its stages.

    A step whose implicit equations are not solved makes a state of NaN, and `iterate` ends there with the outcome
    `root_find_failed`: raise the root finder's `max_steps`, or take a smaller step.

    Args:
        solver: Any Diffrax solver for ordinary equations, for example `diffrax.Heun()`.
        step_size: $h > 0$.
        rtol: Relative tolerance of an implicit solver's root finder; needed unless the solver brings its own.
        atol: Absolute tolerance, likewise.

    Raises:
        ValueError: If the solver cannot step an ordinary equation, or is implicit and has no tolerances; when a run
            begins, also if these are below what rounding leaves in the state's dtype.
    """

    solver: diffrax.AbstractSolver
    step_size: Float[Array, ""]

    def __init__(
        self,
        solver: diffrax.AbstractSolver,
        step_size: RealScalarLike,
        *,
        rtol: RealScalarLike | None = None,
        atol: RealScalarLike | None = None,
    ):
        _requirements.check_for_ode(solver)
        self.solver = _requirements.differentiable_both_ways(_requirements.for_fixed_steps(solver, rtol, atol))
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    @property
    def may_fail(self) -> bool:
        """Whether a step can be one that is not solved: of an implicit solver, or one of few stages at the most."""
        return _requirements.may_fail(self.solver)

    def init(self, field: Field, y: State, args: Args) -> None:
        _requirements.check_for_rounding(self.solver, _tree.dtype(y))

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: None) -> tuple[State, None]:
        term = diffrax.ODETerm(field)  # pyright: ignore[reportArgumentType]
        t0 = jnp.asarray(t, _tree.dtype(y))
        t1 = t0 + self.step_size.astype(t0.dtype)
        # A solver's own memory (first stage the same as last) would carry the last minibatch into this step.
        start = self.solver.init(term, t0, t1, y, args)
        y_next, _, _, _, result = self.solver.step(term, t0, t1, y, args, start, made_jump=False)
        solved = result == diffrax.RESULTS.successful
        return _tree.where(solved, y_next, jnp.nan), None
