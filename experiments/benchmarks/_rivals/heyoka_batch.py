"""heyoka's Taylor integrator in batch mode, one copy of it for each processor.

Its own `ensemble_propagate_until_batch` calls back into Python for every batch and is far slower here than a loop.
"""

import concurrent.futures
import copy
import functools
import os
from typing import Any

import numpy as np

from experiments.benchmarks._problem import Problem, System
from experiments.benchmarks._rivals._rival import Rival, Task


def rival() -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        import heyoka  # pyright: ignore[reportMissingImports]

        lanes, threads = heyoka.recommended_simd_size(), os.cpu_count() or 1
        num = -(-problem.size // lanes)
        batches = np.ascontiguousarray(np.resize(problem.starts, (num, lanes, 2)).transpose(0, 2, 1))
        integrators = [copy.copy(integrator(problem.system, tolerance, lanes)) for _ in range(threads)]
        pool = concurrent.futures.ThreadPoolExecutor(threads)
        start, end = float(problem.ts[0]), float(problem.ts[-1])
        # The first time of the grid is that of the start.
        grid = np.ascontiguousarray(np.repeat(problem.ts[:, None], lanes, 1))

        def share(thread: int, out: np.ndarray) -> None:
            taylor = integrators[thread]
            for i in range(thread, num, threads):
                taylor.set_time(start)
                taylor.state[:] = batches[i]
                if problem.ends_only:
                    taylor.propagate_until(end)
                    out[i, 0] = taylor.state
                else:
                    out[i] = taylor.propagate_grid(grid)[-1][1:]

        def run() -> np.ndarray:
            out = np.empty((num, len(problem.ts) - 1, 2, lanes))
            list(pool.map(share, range(threads), [out] * threads))
            return out

        def states(out: np.ndarray) -> np.ndarray:
            return out.transpose(0, 3, 1, 2).reshape(num * lanes, -1, 2)[: problem.size]

        return Task(run, states)

    return Rival("heyoka, batches", prepare, ("heyoka",), ("heyoka",))


@functools.cache
def integrator(system: System, tolerance: float, lanes: int) -> Any:
    import heyoka  # pyright: ignore[reportMissingImports]

    w, a = heyoka.make_vars("w", "a")
    c = system.half_width
    if system.num_nodes:
        pairs = [(float(square), float(weight)) for square, weight in zip(*system.quadrature, strict=True)]
        real = heyoka.sum([weight * heyoka.sigmoid(-(c * c * square) * w) for square, weight in pairs])
        made = heyoka.sum([weight * heyoka.sigmoid(square * (w * a * a)) for square, weight in pairs])
        equations = [(w, c * c * real - a * a * made), (a, 2.0 * w * a * made)]
    else:
        equations = [(w, (c * c - a * a) / 3.0), (a, 2.0 * w * a / 3.0)]
    return heyoka.taylor_adaptive_batch(equations, np.zeros((2, lanes)), tol=tolerance)
