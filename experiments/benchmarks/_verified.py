"""Nobody's time counts before its result does.

The package sets the measure: its own error at the tolerance that is asked for. A rival may be off by at most `FACTOR`
times as much. Where its nominal tolerance does not reach that, it is tightened by factors of ten; where it is more than
ten times more precise, it is loosened likewise, so that nobody is timed for precision that was not asked for.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from experiments.benchmarks import _reference
from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals._rival import Rival

FACTOR = 2.0
MORE_THAN_ASKED = 10.0
TIGHTEST, LOOSEST = 1e-13, 1e-1


class Refused(Exception):
    """A result that is not right."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """What a result is held against.

    Args:
        reference: States of some members, near rounding.
        own: The package's error.
    """

    reference: np.ndarray
    own: float

    @property
    def allowed(self) -> float:
        return FACTOR * self.own


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A tolerance and the error that it leads to."""

    tolerance: float
    error: float


def measured(rival: Rival, problem: Problem, tolerance: float, reference: np.ndarray) -> float:
    """A rival's error on those members that the reference has."""
    task = rival.prepare(problem, tolerance)
    return _reference.error(task.states(task.run()), reference)


def tuned(rival: Rival, problem: Problem, asked: float, measure: Measure) -> Tuned:
    """The tolerance that is fair to it.

    Raises:
        Refused: If no tolerance makes it right.
    """
    part = problem.part(rival.most) if rival.most is not None else problem
    return search(lambda tolerance: measured(rival, part, tolerance, measure.reference), asked, measure)


def search(error_at: Callable[[float], float], asked: float, measure: Measure) -> Tuned:
    now = Tuned(asked, error_at(asked))
    if not now.error <= measure.allowed:
        return tightened(error_at, now, measure)
    while now.error * MORE_THAN_ASKED < measure.own and now.tolerance < LOOSEST / 2:
        tolerance = _rounded(10 * now.tolerance)
        looser = Tuned(tolerance, error_at(tolerance))
        if not looser.error <= measure.allowed:
            break
        now = looser
    return now


def tightened(error_at: Callable[[float], float], now: Tuned, measure: Measure) -> Tuned:
    while not now.error <= measure.allowed:
        tolerance = _rounded(now.tolerance / 10)
        if tolerance < TIGHTEST:
            raise Refused(
                f"error {now.error:.1e} at tolerance {now.tolerance:.0e}, where {measure.allowed:.1e} is allowed"
            )
        now = Tuned(tolerance, error_at(tolerance))
    return now


def _rounded(tolerance: float) -> float:
    """A power of ten as one writes it."""
    return float(f"1e{round(math.log10(tolerance))}") if tolerance > 0 else tolerance
