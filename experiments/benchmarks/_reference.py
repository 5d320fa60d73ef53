"""What errors are taken against: SciPy's solvers at tolerances near rounding."""

import numpy as np
import scipy.integrate

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _numpy_field

RTOL, ATOL = 1e-12, 1e-14


def solve(problem: Problem, method: str = "DOP853") -> np.ndarray:
    """States at all times but the first, shape (members, times, 2)."""
    field, ts = _numpy_field.make(problem.system), problem.ts
    options = {"method": method, "t_eval": ts[1:], "rtol": RTOL, "atol": ATOL}
    solved = [scipy.integrate.solve_ivp(field, (ts[0], ts[-1]), y0, **options) for y0 in problem.starts]
    return np.stack([each.y.T for each in solved])


def error(states: np.ndarray, reference: np.ndarray) -> float:
    """Largest error of the members that the reference has, relative to one plus the state; infinite for NaN."""
    num = min(len(states), len(reference))
    apart = np.abs(states[:num] - reference[:num]) / (1 + np.abs(reference[:num]))
    return float(np.max(np.where(np.isfinite(apart), apart, np.inf)))
