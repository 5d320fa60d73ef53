"""And on an accelerator? The package, plain Diffrax and bare JAX, where JAX finds a GPU or a TPU.

Ensembles as on processors, of up to a million starts. All are programs for the same device.
"""

import dataclasses

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _rows, ensembles
from experiments.benchmarks._problem import USUAL, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import PACKAGE, Row, Verdict
from experiments.benchmarks.ensembles import Setting

SETTINGS = (
    Setting(WASSERSTEIN, False, 1e-6),
    Setting(USUAL, False, 1e-6),
    Setting(WASSERSTEIN, True, 1e-6),
)
SIZES = (ensembles.LARGE, ensembles.HUGE, 1_000_000)


def measure(results: Results) -> None:
    prepare_jax()
    import jax

    from experiments.benchmarks._rivals import roster

    device = jax.devices()[0]
    if device.platform == "cpu":
        results.add([Row("ensembles", PACKAGE, why_not="missing: JAX finds no accelerator")], [])
        return
    rivals = [rival for rival in roster.in_jax() if rival.name != roster.BARE[1]]
    for setting in SETTINGS[:1] if results.quick else SETTINGS:
        named = dataclasses.replace(setting.system, name=f"{setting.system.name} on {device.device_kind}")
        sizes = SIZES[:-1] if setting.saves else SIZES
        setting = dataclasses.replace(setting, system=named)
        ensembles.follow(results, setting, (100,) if results.quick else sizes, rivals, ratios)


def ratios(rows: list[Row], setting: Setting, size: int) -> list[Verdict]:
    from experiments.benchmarks._rivals.roster import BARE, OWN_FIELD, PLAIN

    return [
        _rows.ratio(rows, PACKAGE, PLAIN),
        _rows.ratio(rows, PACKAGE, BARE[0]),
        _rows.ratio(rows, OWN_FIELD, PACKAGE),
    ]
