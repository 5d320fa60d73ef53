"""And with a field that is not written for speed? The same one for the package and for plain Diffrax.

Everybody else gets a field of scalars with its sums written out. Here are the two that a user has: `GameField`, which
differentiates the game, and one of an array with the state, and another with the nodes.
"""

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _rows, ensembles
from experiments.benchmarks._problem import BY_DEFAULT, USUAL, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import Row, Verdict
from experiments.benchmarks.ensembles import Setting

SETTINGS = (
    Setting(WASSERSTEIN, False, 1e-6),
    Setting(WASSERSTEIN, True, 1e-6),
    Setting(USUAL, False, 1e-6),
    Setting(USUAL, True, 1e-6),
    Setting(BY_DEFAULT, False, 1e-6),
)
SIZES = (ensembles.LARGE, ensembles.HUGE)


def measure(results: Results) -> None:
    prepare_jax()
    from experiments.benchmarks._rivals import roster

    for setting in SETTINGS[:1] if results.quick else SETTINGS:
        ensembles.follow(results, setting, (100,) if results.quick else SIZES, roster.in_other_ways(), targets)


def targets(rows: list[Row], setting: Setting, size: int) -> list[Verdict]:
    plain = 1 / 4 if setting.saves else 1 / 8
    return ratios(rows, plain if size >= ensembles.LARGE else None)


def ratios(rows: list[Row], target: float | None) -> list[Verdict]:
    """Of each such field, the package's time to plain Diffrax's."""
    from experiments.benchmarks._rivals.roster import ARRAYS, OWN_FIELD, PLAIN_ARRAYS, PLAIN_OWN_FIELD

    return [
        _rows.ratio(rows, measured, plain, target)
        for measured, plain in ((OWN_FIELD, PLAIN_OWN_FIELD), (ARRAYS, PLAIN_ARRAYS))
    ]
