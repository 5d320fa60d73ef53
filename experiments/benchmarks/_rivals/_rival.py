"""The interface of all who take part."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks._problem import Problem


@dataclasses.dataclass(frozen=True)
class Task:
    """A prepared run.

    Args:
        run: What is timed; returns only when it is done.
        states: Makes an array of shape (members, times, 2) from what `run` returned; not timed.
    """

    run: Callable[[], Any]
    states: Callable[[Any], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Rival:
    """One who takes part.

    Args:
        name: In tables.
        prepare: From a problem and a tolerance, relative and absolute, to a task.
        needs: Modules that it imports.
        distributions: Whose versions are noted.
        most: Starts that it takes of an ensemble where it goes through them in a loop; its time is scaled.
    """

    name: str
    prepare: Callable[[Problem, float], Task]
    needs: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    most: int | None = None

    def missing(self) -> str | None:
        """Why it cannot take part, or None if it can."""
        for module in self.needs:
            try:
                importlib.import_module(module)
            except (
                Exception
            ) as error:  # One that breaks while it is imported, beside a newer torch or so, raises anything.
                said = str(error).splitlines()[0] if str(error) else "no reason"
                kind = "" if isinstance(error, ImportError | OSError) else f"{type(error).__name__}: "
                return f"`{module}` cannot be imported: {kind}{said}"
        return None
