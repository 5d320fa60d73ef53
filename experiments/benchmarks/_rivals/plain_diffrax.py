"""Diffrax as one writes it: `jit(vmap(diffeqsolve))`."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals._jax_field import SCALARS, Written
from experiments.benchmarks._rivals._rival import Rival, Task

MAX_STEPS = 1_000_000


def rival(name: str, solver: diffrax.AbstractSolver, written: Written = SCALARS) -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        term: Any = diffrax.ODETerm(written.field(problem.system))
        y0s, ts = written.states(problem), jnp.asarray(problem.ts)
        saved = diffrax.SaveAt(t1=True) if problem.ends_only else diffrax.SaveAt(ts=ts[1:])
        controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)

        def one(y0: Any) -> Any:
            return diffrax.diffeqsolve(
                term, solver, ts[0], ts[-1], None, y0,
                saveat=saved, stepsize_controller=controller, max_steps=MAX_STEPS,
            ).ys  # fmt: skip

        solve = jax.jit(jax.vmap(one))
        return Task(lambda: jax.block_until_ready(solve(y0s)), written.stacked)

    return Rival(name, prepare, distributions=("diffrax", "jax"))
