"""The atlas: every method on small games of known equilibrium, computed, beside what its paper says.

A method is one entry in one table: `LOSSES`, `REGULARIZERS` or `RULES`; a game one in `SYSTEMS`. From it come its
cells, its rows of the page, its line of the data and its portrait.
"""

from collections.abc import Sequence

from ._bank import LinearPart as LinearPart
from ._cells import (
    Cell as Cell,
    cells_of as cells_of,
    critical_steps as critical_steps,
    is_plain as is_plain,
    num_of_discriminator as num_of_discriminator,
    RuleCell as RuleCell,
)
from ._method import Method as Method, Says as Says, System as System
from ._objectives import LOSSES as LOSSES
from ._page import BESIDE as BESIDE, page as page
from ._regularizers import REGULARIZERS as REGULARIZERS
from ._rules import RULES as RULES
from ._sheet import drawn as drawn, portrait as portrait, sheet as sheet, spectra as spectra, title as title
from ._systems import SYSTEMS as SYSTEMS
from ._tables import Atlas as Atlas, number as number, spectrum as spectrum, to_csv as to_csv, to_dataset as to_dataset

METHODS = [*LOSSES, *REGULARIZERS, *RULES]

# Public classes that are in no table, and why.
NOT_HERE = {
    "GAN": "networks, whose fate depends on them",
    "AppliedGAN": "networks, likewise",
    "Scores": "what losses take",
    "AtEquilibrium": "what losses say",
    "Players": "a state",
    "FromLosses": "any two losses of one's own",
    "Penalized": "a game with any penalty",
    "Adjusted": "a field with any adjustment",
}


def compute(systems: Sequence[System], methods: Sequence[Method]) -> Atlas:
    """All cells. On more than two parameters only the rules that have a column of their own are asked."""
    rules = [method for method in methods if method.kind == "update"]
    cells, rows = [], []
    by_shape: dict[tuple[int, int], list[int]] = {}
    for system in systems:
        found = cells_of(system, methods)
        shape = (found[0].jacobian.shape[0], num_of_discriminator(system))
        by_shape.setdefault(shape, []).extend(range(len(cells), len(cells) + len(found)))
        cells += found
    rows = [[] for _ in cells]
    for (size, _), numbers in by_shape.items():
        asked = rules if size == 2 else [rule for rule in rules if rule.name in BESIDE]
        for number_, row in zip(numbers, critical_steps([cells[i] for i in numbers], asked), strict=True):
            rows[number_] = row
    return Atlas(cells, rows)
