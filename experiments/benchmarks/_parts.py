"""The parts of the suite, and how each is run: in a fresh process, since surroundings differ."""

import dataclasses
import functools
import importlib
from collections.abc import Callable

from experiments.benchmarks._results import Results

DEVICES = 2


@dataclasses.dataclass(frozen=True)
class Part:
    """One benchmark.

    Args:
        run: Fills the results.
        devices: How many devices JAX is told to make of the processors; None to leave it alone.
        has_quick: Whether it has a smoke run of seconds; without, a quick run leaves it out unless it is named.
    """

    run: Callable[[Results], None]
    devices: int | None = None
    has_quick: bool = True


def by_results(name: str, results: Results) -> None:
    importlib.import_module(f"experiments.benchmarks.{name}").measure(results)


def by_ratios(name: str, results: Results) -> None:
    from experiments._machinery._jax_setup import prepare_jax
    from experiments.benchmarks import _of_ratios

    # Single precision is what networks are trained in.
    if name not in ("diagnose", "neural", "neural_field", "watch"):
        prepare_jax()
    measure = importlib.import_module(f"experiments.benchmarks.{name}").measure
    _of_ratios.add(results, name, measure(results.rounds))


PARTS: dict[str, Part] = {
    "ensembles": Part(functools.partial(by_results, "ensembles")),
    "two_devices": Part(functools.partial(by_results, "two_devices"), devices=DEVICES),
    "fields": Part(functools.partial(by_results, "fields")),
    "work_precision": Part(functools.partial(by_results, "work_precision")),
    "sizes": Part(functools.partial(by_results, "sizes")),
    "parameters": Part(functools.partial(by_results, "parameters")),
    "accelerator": Part(functools.partial(by_results, "accelerator")),
    "fates": Part(functools.partial(by_results, "fates")),
    "branches": Part(functools.partial(by_results, "branches"), has_quick=False),
    **{
        name: Part(functools.partial(by_ratios, name), has_quick=False)
        for name in (
            "basins",
            "diagnose",
            "first_orbit",
            "first_verdict",
            "maps",
            "neural",
            "neural_field",
            "updates",
            "watch",
        )
    },
}
