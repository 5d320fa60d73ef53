"""Explicit Runge-Kutta steps in the form that compiles to the fastest loop."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import _tree
from .._types import Args, RealScalarLike, State


def unrolled(solver: Any) -> Any:
    """The solver with its stages unrolled, if it is an explicit Runge-Kutta method; else the solver as it is."""
    return Unrolled(solver) if isinstance(solver, diffrax.AbstractERK) else solver


class Unrolled(diffrax.AbstractWrappedSolver[Any]):
    """An explicit Runge-Kutta solver of Diffrax, with the same tableau and dense output.

    Diffrax loops over a buffer of stages, which handles every kind of tableau. Here each stage is written out when it
    is traced, without the tableau's zeros: under `jax.vmap` that is several times faster, for small states, and tracing
    the field once for each stage takes longer to compile.

    Args:
        solver: The solver, for example `diffrax.Tsit5()`.
    """

    solver: Any

    @property
    def term_structure(self) -> Any:
        return self.solver.term_structure

    @property
    def interpolation_cls(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.solver.interpolation_cls

    @property
    def scan_kind(self) -> str:
        """There is no loop over stages that would need to be differentiable."""
        return "unrolled"

    @property
    def tableau(self) -> diffrax.ButcherTableau:
        return self.solver.tableau

    def order(self, terms: Any) -> Any:
        return self.solver.order(terms)

    def strong_order(self, terms: Any) -> Any:
        return self.solver.strong_order(terms)

    def error_order(self, terms: Any) -> Any:
        return self.solver.error_order(terms)

    def func(self, terms: Any, t0: RealScalarLike, y0: State, args: Args) -> State:
        return terms.vf(t0, y0, args)

    def init(self, terms: Any, t0: RealScalarLike, t1: RealScalarLike, y0: State, args: Args) -> Any:
        """The first stage, where a step's last one serves the next."""
        return terms.vf(t0, y0, args) if self.tableau.fsal else None

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: State, args: Args, solver_state: Any, made_jump: Any
    ) -> tuple[State, State, dict[str, State], Any, diffrax.RESULTS]:
        tableau, control = self.tableau, terms.contr(t0, t1)
        first = solver_state
        if not tableau.fsal or made_jump is not False:
            # A jump that is not known when this is traced costs an evaluation at every step under `vmap`.
            fresh = terms.vf(t0, y0, args)
            first = fresh if not tableau.fsal else _tree.where(jnp.asarray(made_jump), fresh, solver_state)
        velocity, y = first, y0
        stages = [terms.prod(first, control)]
        for row, c in zip(tableau.a_lower, tableau.c, strict=True):
            y = _tree.add(y0, _combine(row, stages))
            # Without a rounding error at the end of the step.
            t = t1 if c == 1 else t0 + jnp.asarray(c, jnp.result_type(t0)) * (t1 - t0)
            velocity = terms.vf(t, y, args)
            stages.append(terms.prod(velocity, control))
        y1 = y if tableau.ssal else _tree.add(y0, _combine(tableau.b_sol, stages))
        error = _combine(tableau.b_error, stages)
        k = jax.tree.map(lambda *leaves: jnp.stack(leaves), *stages)
        memory = velocity if tableau.fsal else None
        return y1, error, {"y0": y0, "y1": y1, "k": k}, memory, diffrax.RESULTS.successful


def _combine(weights: np.ndarray, stages: list[State]) -> State:
    """The weighted sum of the stages, without the weights that are zero."""
    used = [(weight, stage) for weight, stage in zip(weights, stages, strict=True) if weight != 0]
    total = _tree.scale(*used[0]) if used else _tree.zeros_like(stages[0])
    for weight, stage in used[1:]:
        total = _tree.step(total, weight, stage)
    return total
