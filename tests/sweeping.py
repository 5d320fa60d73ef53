"""What the workers of a sweep compute in the tests: functions of a module, which can be sent to processes."""

import functools
import os
import signal
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

OVER = {"a": range(12), "b": [0.5, 2.0]}


def compute(points: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"x": jnp.asarray(points["a"]) * points["b"], "word": np.array([f"{a}" for a in points["a"]])}


def noting(folder: Path) -> Any:
    return functools.partial(_noting, folder)


def _noting(folder: Path, points: dict[str, np.ndarray]) -> dict[str, Any]:
    """The same, and a line in a file for each block that is asked for."""
    with open(folder / "log", "a") as file:
        file.write(f"{points['a'][0]}\n")
    return compute(points)


def dying_once(folder: Path, starts: tuple[int, ...] = (2, 6)) -> Any:
    return functools.partial(_dying_once, folder, starts)


def _dying_once(folder: Path, starts: tuple[int, ...], points: dict[str, np.ndarray]) -> dict[str, Any]:
    """Kills its own process at blocks that begin with some values, once for each."""
    mark = folder / f"died-{points['a'][0]}"
    if points["a"][0] in starts and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return _noting(folder, points)


class Odd(Exception):
    """Does not come back from being pickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def failing(points: dict[str, np.ndarray]) -> dict[str, Any]:
    if points["a"][0] == 4:
        raise Odd(1, 2)
    return compute(points)
