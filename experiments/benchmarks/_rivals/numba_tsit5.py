"""Tsitouras' method written out in numba for this very system, the starts shared by all processors."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _tsit5
from experiments.benchmarks._rivals._rival import Rival, Task


def rival() -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        system = problem.system
        solve = compiled(bool(system.num_nodes))
        squares, weights = system.quadrature if system.num_nodes else (np.zeros(0), np.zeros(0))
        saved = problem.ts[1:]
        tableau = (_tsit5.stages(), _tsit5.errors(), _tsit5.dense())
        starts = np.ascontiguousarray(problem.starts)

        def run() -> np.ndarray:
            out = np.empty((problem.size, len(saved), 2))
            solve(starts, problem.ts[0], saved, tolerance, system.half_width, squares, weights, *tableau, out)
            return out

        return Task(run, lambda found: found)

    return Rival("numba, Tsit5 by hand", prepare, ("numba",), ("numba",))


def field(usual: bool) -> Callable[..., Any]:
    """From w, a, half-width and quadrature to the velocities, compiled."""
    import numba  # pyright: ignore[reportMissingImports]

    @numba.njit(fastmath=True)
    def by_quadrature(w: Any, a: Any, c: Any, squares: Any, weights: Any) -> Any:
        real, made = 0.0, 0.0
        for i in range(squares.size):
            real += weights[i] / (1 + np.exp(c * c * w * squares[i]))
            made += weights[i] / (1 + np.exp(-w * a * a * squares[i]))
        return c * c * real - a * a * made, 2 * w * a * made

    @numba.njit(fastmath=True)
    def in_closed_form(w: Any, a: Any, c: Any, squares: Any, weights: Any) -> Any:
        return (c * c - a * a) / 3, 2 * w * a / 3

    return by_quadrature if usual else in_closed_form


@functools.cache
def compiled(usual: bool) -> Callable[..., None]:
    import numba  # pyright: ignore[reportMissingImports]

    f = field(usual)

    @numba.njit(parallel=True, fastmath=True)
    def solve(
        starts: Any, t0: Any, saved: Any, tol: Any, c: Any, squares: Any, weights: Any, A: Any, E: Any, P: Any, out: Any
    ) -> None:
        for i in numba.prange(len(starts)):
            w, a, t, h, place = starts[i, 0], starts[i, 1], t0, 0.01, 0
            kw, ka = np.empty(7), np.empty(7)
            kw[0], ka[0] = f(w, a, c, squares, weights)
            while place < len(saved):
                wi, ai = w, a
                for s in range(1, 7):
                    sw, sa = 0.0, 0.0
                    for j in range(s):
                        sw += A[s, j] * kw[j]
                        sa += A[s, j] * ka[j]
                    wi, ai = w + h * sw, a + h * sa
                    kw[s], ka[s] = f(wi, ai, c, squares, weights)
                ew, ea = 0.0, 0.0
                for j in range(7):
                    ew += E[j] * kw[j]
                    ea += E[j] * ka[j]
                rw = h * ew / (tol + tol * max(abs(w), abs(wi)))
                ra = h * ea / (tol + tol * max(abs(a), abs(ai)))
                square = max((rw * rw + ra * ra) / 2, 1e-20)
                if square <= 1:
                    reached = t + h
                    # The last step ends at the last time, rounding aside.
                    while place < len(saved) - 1 and saved[place] <= reached:
                        theta = (saved[place] - t) / h
                        sw, sa = 0.0, 0.0
                        for j in range(7):
                            b = theta * (P[0, j] + theta * (P[1, j] + theta * (P[2, j] + theta * P[3, j])))
                            sw += b * kw[j]
                            sa += b * ka[j]
                        out[i, place, 0], out[i, place, 1] = w + h * sw, a + h * sa
                        place += 1
                    t, w, a, kw[0], ka[0] = reached, wi, ai, kw[6], ka[6]
                    if t >= saved[-1] - 1e-12:
                        out[i, -1, 0], out[i, -1, 1] = w, a
                        place = len(saved)
                h = min(h * min(max(0.9 * square**-0.1, 0.2), 10.0), saved[-1] - t)

    return solve
