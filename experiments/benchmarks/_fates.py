"""The bank of known fates: every system of the folder `_bank`, by its name."""

from experiments.benchmarks._bank import (
    chaos,
    conservative,
    games,
    growth,
    limit_cycles,
    linear,
    methods,
    normal_forms,
    populations,
    public,
    rough,
    rules,
)
from experiments.benchmarks._bank._case import Case

_MODULES = (
    normal_forms,
    linear,
    conservative,
    limit_cycles,
    populations,
    growth,
    rough,
    chaos,
    games,
    rules,
    methods,
    public,
)


def _by_name(cases: tuple[Case, ...]) -> dict[str, Case]:
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names must be unique, but are there twice: {', '.join(twice)}.")
    return dict(zip(names, cases, strict=True))


BANK = _by_name(tuple(case for module in _MODULES for case in module.CASES))
