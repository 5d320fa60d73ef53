"""Explicit Runge-Kutta steps in the form that compiles to the fastest loop."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ... import _checks, _tree
from ..._lowering import in_kernel_program, is_long_for_kernel, opaque
from ..._types import Args, RealScalarLike, State


def with_traced_stages(solver: Any) -> Any:
    """The solver with its stages written out at tracing; as it is, if it is no explicit Runge-Kutta method."""
    if not isinstance(solver, diffrax.AbstractERK):
        return solver
    return TracedStages(solver, in_kernel_program())


class Stages(eqx.Module):
    """A step that was tried.

    Attributes:
        y0: The state at its start.
        y1: The state at its end.
        velocities: The field at the stages.
        control: What it is multiplied with, the step's length.
    """

    y0: State
    y1: State
    velocities: list[State]
    control: Any


class TracedStages(diffrax.AbstractWrappedSolver[Any]):
    """An explicit Runge-Kutta solver of Diffrax, with the same tableau and dense output.

    Diffrax loops over a buffer of stages, which handles every kind of tableau. Here each stage is written out when it
    is traced, without the tableau's zeros: under `jax.vmap` that is several times faster, for small states, and takes
    longer to compile. Of fields that would take long, the stages are a loop without a buffer.

    Args:
        solver: The solver, for example `diffrax.Tsit5()`.
        for_kernels: Whether it is traced where kernels are made. Then it must not be taken for the same as one that
            was traced elsewhere: the field's rules for derivatives are gone.
    """

    solver: Any
    for_kernels: bool = eqx.field(static=True)

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
        return self.func(terms, t0, y0, args) if self.tableau.fsal else None

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: State, args: Args, solver_state: Any, made_jump: Any
    ) -> tuple[State, State, dict[str, State], Any, diffrax.RESULTS]:
        first = solver_state
        if self.tableau.fsal and made_jump is not False:
            # A jump that is not known when this is traced costs an evaluation at every step under `vmap`.
            first = _tree.where(jnp.asarray(made_jump), terms.vf(t0, y0, args), solver_state)
        stages = self.stages(terms, t0, t1, y0, args, first)
        k = jax.tree.map(lambda *leaves: jnp.stack(leaves), *self.increments(terms, stages))
        dense = {"y0": y0, "y1": stages.y1, "k": k}
        return stages.y1, self.error(terms, stages), dense, self.memory(stages), diffrax.RESULTS.successful

    def stages(self, terms: Any, t0: Any, t1: Any, y0: State, args: Args, first: State | None) -> Stages:
        """The step; `first` is the field at its start, where that is known."""
        tableau, control, dtype = self.tableau, terms.contr(t0, t1), jnp.result_type(t0)

        def field(t: Any, y: State) -> State:
            return terms.vf(t, y, args)

        opaque_field = opaque(field)

        def velocity(c: Any, y: State) -> State:
            # Without a rounding error at the end of the step.
            return opaque_field(jnp.where(c == 1, t1, t0 + jnp.asarray(c, dtype) * (t1 - t0)), y)

        def moved(weights: Any, velocities: list[State]) -> State:
            return _tree.add(y0, terms.prod(combine(weights, velocities), control))

        first = opaque_field(t0, y0) if first is None else first
        follow = _by_loop if len(tableau.a_lower) > 1 and is_long_for_kernel(field, t0, y0) else _one_by_one
        y, velocities = follow(tableau, velocity, moved, y0, first)
        y1 = y if tableau.ssal else moved(tableau.b_sol, velocities)
        return Stages(y0, y1, velocities, control)

    def error(self, terms: Any, stages: Stages) -> State:
        """The estimated error of the step."""
        return terms.prod(combine(self.tableau.b_error, stages.velocities), stages.control)

    def memory(self, stages: Stages) -> State | None:
        """The first stage of the next step, where that is this one's last."""
        return stages.velocities[-1] if self.tableau.fsal else None

    def increments(self, terms: Any, stages: Stages) -> list[State]:
        """The velocities times the length of the step, of which Diffrax's interpolations are made."""
        return [terms.prod(velocity, stages.control) for velocity in stages.velocities]


def _one_by_one(
    tableau: Any, velocity: Callable[..., State], moved: Callable[..., State], y: State, first: State
) -> tuple[State, list[State]]:
    """The state at the last stage, and the field at all of them; each stage is written out.

    Args:
        tableau: The method.
        velocity: From the part of the step that has gone by, and a state, to the field.
        moved: From weights and the field at stages to the state that they lead to.
        y: The state at the start.
        first: The field there.
    """
    velocities = [first]
    for row, c in zip(tableau.a_lower, tableau.c, strict=True):
        y = opaque(functools.partial(moved, row))(velocities)
        velocities.append(velocity(c, y))
    return y, velocities


def _by_loop(
    tableau: Any, velocity: Callable[..., State], moved: Callable[..., State], y: State, first: State
) -> tuple[State, list[State]]:
    """The same in a loop, in which the field is compiled once."""
    num, dtype = len(tableau.a_lower), _tree.dtype(y)
    # The latest stage comes first: each row has the weights by how long ago a stage was.
    rows = np.array([np.pad(row[::-1], (0, num - len(row))) for row in tableau.a_lower])

    def stage(carry: tuple[State, list[State]], row: tuple[Array, Array]) -> tuple[tuple[State, list[State]], None]:
        (_, velocities), (weights, c) = carry, row
        y = opaque(moved)(list(weights), velocities[:-1])
        return (y, [velocity(c, y), *velocities[:-1]]), None

    start = y, [first, *[_tree.zeros_like(first)] * num]
    (y, velocities), _ = jax.lax.scan(stage, start, (jnp.asarray(rows, dtype), jnp.asarray(tableau.c, dtype)))
    return y, velocities[::-1]


def combine(weights: Any, stages: list[State]) -> State:
    """The weighted sum of the stages, without the weights that are known to be zero."""
    pairs = zip(weights, stages, strict=True)
    used = [(weight, stage) for weight, stage in pairs if _checks.is_traced(weight) or weight != 0]
    total = _tree.scale(*used[0]) if used else _tree.zeros_like(stages[0])
    for weight, stage in used[1:]:
        total = _tree.step(total, weight, stage)
    return total
