"""The package: `simulate.ensemble`."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp

from experiments.benchmarks._problem import Problem, System
from experiments.benchmarks._rivals import _jax_field
from experiments.benchmarks._rivals._rival import Rival, Task
from gan_ode import fields, games, losses, simulate


def rival(name: str, *, by_hand: bool = True, solver: diffrax.AbstractSolver | None = None) -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        field: Any = _jax_field.players(problem.system) if by_hand else game_field(problem.system)
        y0s, ts = states(problem), jnp.asarray(problem.ts)

        def run() -> Any:
            found = simulate.ensemble(field, y0s, ts, solver=solver, rtol=tolerance, atol=tolerance)
            return jax.block_until_ready(found)

        return Task(run, lambda found: _jax_field.stacked(found.ys)[:, 1:])

    return Rival(name, prepare, distributions=("gan_ode",))


def game_field(system: System) -> fields.GameField:
    loss = losses.Minimax() if system.num_nodes else losses.Wasserstein()
    return fields.GameField(games.LinearQuadratic(loss, system.half_width, num_nodes=system.num_nodes or None))


def states(problem: Problem) -> games.Players:
    w, a = problem.starts.T
    return games.Players(jnp.asarray(w), jnp.asarray(a))
