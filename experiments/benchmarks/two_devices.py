"""And with two devices? The same ensembles where JAX was told to make two devices of the processors.

The parent process sets `XLA_FLAGS=--xla_force_host_platform_device_count=2`; nothing else differs.
"""

from experiments._machinery._jax_setup import prepare_jax
from experiments.benchmarks import _rows, ensembles, fields
from experiments.benchmarks._problem import USUAL, WASSERSTEIN
from experiments.benchmarks._results import Results
from experiments.benchmarks._rows import Row, Verdict
from experiments.benchmarks.ensembles import Setting

TARGETS = {
    Setting(WASSERSTEIN, False, 1e-6): 0.07,
    Setting(WASSERSTEIN, True, 1e-6): 0.10,
    Setting(USUAL, False, 1e-6): 0.07,
}


def measure(results: Results) -> None:
    prepare_jax()
    import jax

    from experiments.benchmarks._rivals import roster

    results.write(devices=jax.local_device_count())
    for setting in list(TARGETS)[: 1 if results.quick else None]:
        sizes = (1000,) if results.quick else (ensembles.LARGE,)
        others = [each for each in roster.in_other_ways() if each.name != roster.OWN_FIELD]
        rivals = [*roster.in_jax(), *others]
        rivals = rivals if results.quick else [*rivals, *roster.compiled()]
        ensembles.follow(results, setting, sizes, rivals, targets)


def targets(rows: list[Row], setting: Setting, size: int) -> list[Verdict]:
    from experiments.benchmarks._rivals.roster import BARE, HEYOKA, NUMBA, PACKAGE, PLAIN

    target = TARGETS[setting] if size >= ensembles.LARGE else None
    return [
        _rows.ratio(rows, PACKAGE, PLAIN, target),
        *fields.ratios(rows, target),
        *(_rows.ratio(rows, PACKAGE, name) for name in (_rows.fastest(rows, BARE), HEYOKA, NUMBA)),
    ]
