"""The package: `simulate.ensemble`."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals._jax_field import SCALARS, Written
from experiments.benchmarks._rivals._rival import Rival, Task
from gan_ode import simulate


def rival(name: str, written: Written = SCALARS, *, solver: diffrax.AbstractSolver | None = None) -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        field, y0s, ts = written.field(problem.system), written.states(problem), jnp.asarray(problem.ts)

        def run() -> Any:
            found = simulate.ensemble(field, y0s, ts, solver=solver, rtol=tolerance, atol=tolerance)
            return jax.block_until_ready(found)

        return Task(run, lambda found: written.stacked(found.ys)[:, 1:])

    return Rival(name, prepare, distributions=("gan_ode",))
