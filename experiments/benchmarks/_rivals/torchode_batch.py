"""torchode: a batch with a step size for each member."""

import importlib
from typing import Any

import numpy as np

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _torch_field
from experiments.benchmarks._rivals._rival import Rival, Task


def rival() -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        import torch  # pyright: ignore[reportMissingImports]

        torchode: Any = importlib.import_module("torchode")
        y0s, ts = torch.tensor(problem.starts), torch.tensor(problem.ts)
        term = torchode.ODETerm(_torch_field.make(problem.system))
        control = torchode.IntegralController(atol=tolerance, rtol=tolerance, term=term)
        solver = torchode.AutoDiffAdjoint(torchode.Tsit5(term=term), control)
        start, end = (t.expand(problem.size) for t in (ts[0], ts[-1]))
        wanted = None if problem.ends_only else ts[1:].expand(problem.size, -1)

        def run() -> Any:
            with torch.no_grad():
                return solver.solve(torchode.InitialValueProblem(y0s, start, end, wanted)).ys

        return Task(run, lambda found: np.reshape(found.numpy(), (problem.size, -1, 2)))

    return Rival("torchode Tsit5", prepare, ("torch", "torchode"), ("torch", "torchode"))
