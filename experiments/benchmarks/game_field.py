"""And with the package's own field? `GameField`, which differentiates the game, in the package and in plain Diffrax.

The other ensembles give everybody a field that is written by hand with its symmetries; this is the one that a user has.
"""

from experiments._jax_setup import prepare_jax
from experiments.benchmarks import _rows, ensembles
from experiments.benchmarks._problem import USUAL, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import Row, Verdict
from experiments.benchmarks.ensembles import Setting

SETTINGS = (
    Setting(WASSERSTEIN, False, 1e-6),
    Setting(WASSERSTEIN, True, 1e-6),
    Setting(USUAL, False, 1e-6),
    Setting(USUAL, True, 1e-6),
)
SIZES = (ensembles.LARGE, ensembles.HUGE)


def measure(results: Results) -> None:
    prepare_jax()
    from experiments.benchmarks._rivals import roster

    for setting in SETTINGS[:1] if results.quick else SETTINGS:
        ensembles.follow(results, setting, (100,) if results.quick else SIZES, roster.with_own_field(), targets)


def targets(rows: list[Row], setting: Setting, size: int) -> list[Verdict]:
    from experiments.benchmarks._rivals.roster import OWN_FIELD, PLAIN_OWN_FIELD

    plain = 1 / 4 if setting.saves else 1 / 8
    return [_rows.ratio(rows, OWN_FIELD, PLAIN_OWN_FIELD, plain if size >= ensembles.LARGE else None)]
