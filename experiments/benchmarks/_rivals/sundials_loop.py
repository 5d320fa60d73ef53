"""CVODE of SUNDIALS in a loop over the starts, by scikit-sundae."""

from typing import Any

import numpy as np

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _numpy_field
from experiments.benchmarks._rivals._rival import Rival, Task

MOST = 20
MAX_STEPS = 1_000_000


def rival(method: str, most: int = MOST) -> Rival:
    """`method` is "Adams", or "BDF" for stiff problems."""

    def prepare(problem: Problem, tolerance: float) -> Task:
        from sksundae.cvode import CVODE  # pyright: ignore[reportMissingImports]

        field = _numpy_field.make(problem.system)

        def into(t: float, y: Any, slope: Any) -> None:
            slope[0], slope[1] = field(t, y)

        solver = CVODE(into, method=method, rtol=tolerance, atol=tolerance, max_num_steps=MAX_STEPS)

        def run() -> list[np.ndarray]:
            # Of two times it saves its own steps on the way, which only the last one is taken of.
            solved = [solver.solve(problem.ts, y0).y for y0 in problem.starts]
            return [y[-1:] if problem.ends_only else y[1:] for y in solved]

        return Task(run, np.stack)

    return Rival(
        f"SUNDIALS CVODE {method}, loop",
        prepare,
        needs=("sksundae",),
        distributions=("scikit-sundae",),
        most=most,
    )
