"""SciPy's `solve_ivp` in a loop over the starts."""

import numpy as np
import scipy.integrate

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _numpy_field
from experiments.benchmarks._rivals._rival import Rival, Task

MOST = 20


def rival(method: str, most: int = MOST) -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        field, ts = _numpy_field.make(problem.system), problem.ts
        options = {"method": method, "rtol": tolerance, "atol": tolerance}
        options["t_eval"] = None if problem.ends_only else ts[1:]

        def run() -> list[np.ndarray]:
            solved = [scipy.integrate.solve_ivp(field, (ts[0], ts[-1]), y0, **options) for y0 in problem.starts]
            return [each.y[:, -1:] if problem.ends_only else each.y for each in solved]

        return Task(run, lambda found: np.stack(found).transpose(0, 2, 1))

    return Rival(f"SciPy {method}, loop", prepare, distributions=("scipy",), most=most)
