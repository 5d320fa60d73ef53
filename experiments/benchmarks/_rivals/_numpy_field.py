"""The fields in NumPy for one state, for solvers that go through the starts in a loop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks._problem import System


def make(system: System) -> Callable[[float, Any], tuple[float, float]]:
    c = system.half_width
    if not system.num_nodes:

        def wasserstein(t: float, y: Any) -> tuple[float, float]:
            w, a = float(y[0]), float(y[1])
            return (c * c - a * a) / 3, 2 * w * a / 3

        return wasserstein
    squares, weights = system.quadrature

    def usual(t: float, y: Any) -> tuple[float, float]:
        w, a = float(y[0]), float(y[1])
        real = weights @ (1 / (1 + np.exp(c * c * w * squares)))
        made = weights @ (1 / (1 + np.exp(-w * a * a * squares)))
        return float(c * c * real - a * a * made), float(2 * w * a * made)

    return usual
