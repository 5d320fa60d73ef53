"""torchdiffeq: all members as one state, with one step size for all."""

from typing import Any

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _torch_field
from experiments.benchmarks._rivals._rival import Rival, Task


def rival() -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        import torch  # pyright: ignore[reportMissingImports]
        from torchdiffeq import odeint  # pyright: ignore[reportMissingImports]

        field, y0s, ts = _torch_field.make(problem.system), torch.tensor(problem.starts), torch.tensor(problem.ts)

        def run() -> Any:
            with torch.no_grad():
                return odeint(field, y0s, ts, rtol=tolerance, atol=tolerance, method="dopri5")

        return Task(run, lambda found: found[1:].transpose(0, 1).numpy())

    return Rival("torchdiffeq dopri5", prepare, ("torch", "torchdiffeq"), ("torch", "torchdiffeq"))
