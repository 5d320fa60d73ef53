"""DOP853 of numbalsoda in numba's parallel loop."""

import importlib
from typing import Any

import numpy as np

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import numba_tsit5
from experiments.benchmarks._rivals._rival import Rival, Task


def rival() -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        solve, system = compiled(bool(problem.system.num_nodes)), problem.system
        quadrature = system.quadrature if system.num_nodes else (np.zeros(0), np.zeros(0))
        data = np.concatenate([[system.half_width, len(quadrature[0])], *quadrature])
        starts, ts = np.ascontiguousarray(problem.starts), np.ascontiguousarray(problem.ts)

        def run() -> Any:
            out = np.empty((problem.size, len(ts), 2))
            solve(starts, ts, data, tolerance, out)
            return out

        return Task(run, lambda found: found[:, 1:])

    return Rival("numbalsoda DOP853", prepare, ("numba", "numbalsoda"), ("numbalsoda",))


def compiled(usual: bool) -> Any:
    numba: Any = importlib.import_module("numba")
    numbalsoda: Any = importlib.import_module("numbalsoda")
    f = numba_tsit5.field(usual)

    @numba.cfunc(numbalsoda.lsoda_sig)
    def slope(t: Any, y: Any, dy: Any, data: Any) -> None:
        num = int(numba.carray(data, (2,))[1])
        all_data = numba.carray(data, (2 + 2 * num,))
        dy[0], dy[1] = f(y[0], y[1], all_data[0], all_data[2 : 2 + num], all_data[2 + num :])

    address, dop853 = slope.address, numbalsoda.dop853

    @numba.njit(parallel=True)
    def solve(starts: Any, ts: Any, data: Any, tolerance: Any, out: Any) -> None:
        for i in numba.prange(len(starts)):
            found, fine = dop853(address, starts[i], ts, data, tolerance, tolerance, 1_000_000)
            out[i] = found if fine else np.full_like(found, np.nan)

    return solve
