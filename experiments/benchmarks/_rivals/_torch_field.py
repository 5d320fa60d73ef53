"""The fields in PyTorch, batched: from states of shape (members, 2) to their velocities."""

from collections.abc import Callable
from typing import Any

from experiments.benchmarks._problem import System


def make(system: System) -> Callable[[Any, Any], Any]:
    import torch  # pyright: ignore[reportMissingImports]

    c = system.half_width
    if not system.num_nodes:

        def wasserstein(t: Any, y: Any) -> Any:
            w, a = y[:, 0], y[:, 1]
            return torch.stack([(c * c - a * a) / 3, 2 * w * a / 3], dim=1)

        return wasserstein
    squares, weights = (torch.tensor(each) for each in system.quadrature)

    def usual(t: Any, y: Any) -> Any:
        w, a = y[:, 0], y[:, 1]
        real = torch.sigmoid(-c * c * w[:, None] * squares) @ weights
        made = torch.sigmoid((w * a * a)[:, None] * squares) @ weights
        return torch.stack([c * c * real - a * a * made, 2 * w * a * made], dim=1)

    return usual
