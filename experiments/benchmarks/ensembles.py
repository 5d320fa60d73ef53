"""How fast is an ensemble of small systems, beside everything else that could follow it?

The two-parameter GAN with the Wasserstein loss and with the usual one, from random starts to t = 50: only the end, or
200 saved times; tolerances 1e-6 and 1e-9; 1 to 100,000 starts. Everyone is first held against a reference, and takes
the tolerance at which it is about as precise as the package. Loops over the starts take a random part of them, scaled.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _contest, _reference, _rows
from experiments.benchmarks._problem import Problem, starts, System, USUAL, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rivals._rival import Rival
from experiments.benchmarks._rows import Row, Verdict
from experiments.benchmarks._verified import Measure, measured

DURATION, NUM_SAVED = 50.0, 200
CHECKED = 100
LARGE = 10_000
# Of these sizes on, against those who compile the loop.
HUGE = 100_000


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is asked of an ensemble of any size."""

    system: System
    saves: bool
    tolerance: float

    @property
    def name(self) -> str:
        kept = f"{NUM_SAVED} saves" if self.saves else "end"
        return f"{self.system.name}, {kept}, 1e{round(math.log10(self.tolerance))}"

    def problem(self, size: int) -> Problem:
        return Problem(self.system, starts(size), np.linspace(0.0, DURATION, NUM_SAVED + 1 if self.saves else 2))


SETTINGS = tuple(
    Setting(system, saves, tolerance)
    for system in (WASSERSTEIN, USUAL)
    for saves in (False, True)
    for tolerance in (1e-6, 1e-9)
)
SIZES = (1, 100, LARGE, HUGE)
QUICK_SETTINGS, QUICK_SIZES = (Setting(WASSERSTEIN, False, 1e-6),), (100,)


def measure(results: Results) -> None:
    prepare_jax()
    from experiments.benchmarks._rivals import roster

    rivals = roster.all_of_them()
    for setting in QUICK_SETTINGS if results.quick else SETTINGS:
        follow(results, setting, QUICK_SIZES if results.quick else SIZES, rivals, targets)


def follow(
    results: Results,
    setting: Setting,
    sizes: tuple[int, ...],
    rivals: list[Rival],
    judge: Callable[[list[Row], Setting, int], list[Verdict]],
) -> None:
    """One setting at all sizes."""
    few = setting.problem(CHECKED)
    reference = _reference.solve(few)
    held = Measure(reference, measured(rivals[0], few, setting.tolerance, reference))
    tunings = _contest.tune_all(rivals, few, setting.tolerance, held)
    expected: dict[str, float] = {}
    for size in sizes:
        case = f"{setting.name}, {size:,} starts"
        rows = _contest.hold(
            case, rivals, setting.problem(size), setting.tolerance, tunings, held, results.rounds, expected
        )
        results.add(rows, judge(rows, setting, size))
        # A few members cost as much as one: only from many on does the time grow with their number.
        expected = {row.name: row.median * HUGE / size for row in rows if row.median and size >= LARGE}


def targets(rows: list[Row], setting: Setting, size: int) -> list[Verdict]:
    from experiments.benchmarks._rivals.roster import BARE, HEYOKA, NUMBA, OWN_FIELD, PACKAGE, PLAIN, SCIPY

    large, huge = size >= LARGE, size >= HUGE
    bare, scipy = _rows.fastest(rows, BARE), _rows.fastest(rows, SCIPY)
    plain = 1 / 4 if setting.saves else 1 / 8
    return [
        _rows.ratio(rows, PACKAGE, PLAIN, plain if large else None),
        _rows.ratio(rows, PACKAGE, bare, 1.2 if large and not setting.saves else None),
        _rows.ratio(rows, PACKAGE, scipy, 1 / 300 if large else None),
        _rows.ratio(rows, PACKAGE, HEYOKA, 1.0 if huge else None, strict=True),
        _rows.ratio(rows, PACKAGE, NUMBA, 1.0 if huge else None, strict=True),
        _rows.ratio(rows, OWN_FIELD, PACKAGE),
    ]
