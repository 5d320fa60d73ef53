"""What happens between two neighboring cycles of a branch, and where."""

import dataclasses
from collections.abc import Callable

import numpy as np

from ._branch import CycleEventKind
from ._corrector import Cycle

# A multiplier whose imaginary part is smaller than this is real: a double one is known to half of the digits.
_REAL = 1e-4
# Where the parameter turns to rounding, a multiplier that passes 1 is that of the fold.
_TURNS = 1e-4


@dataclasses.dataclass(frozen=True)
class Crossing:
    """What seems to lie between two cycles.

    Attributes:
        kind: The event; None where only the number of multipliers outside the unit circle is known to change.
        number: What passes zero there.
    """

    kind: CycleEventKind | None
    number: Callable[[Cycle], float]


def _turning(cycle: Cycle) -> float:
    return float(cycle.tangent.share)


def _at_one(cycle: Cycle) -> float:
    return _product(np.asarray(cycle.multipliers), 1.0)


def _at_minus_one(cycle: Cycle) -> float:
    return _product(np.asarray(cycle.multipliers), -1.0)


def _product(values: np.ndarray, border: float) -> float:
    """Zero where one of them is at the border, and of order one elsewhere."""
    return float(np.prod((values - border) / (1 + np.abs(values))).real)


_NUMBERS: dict[CycleEventKind, Callable[[Cycle], float]] = {
    "fold of cycles": _turning,
    "branch point": _at_one,
    "flip": _at_minus_one,
}


def _moduli(cycle: Cycle) -> np.ndarray:
    return np.sort(np.abs(np.asarray(cycle.multipliers)))[::-1]


def happened(before: Cycle, after: Cycle) -> list[Crossing]:
    """What lies between two cycles; what is no event after all shows where it is found."""
    found = {kind: Crossing(kind, get) for kind, get in _NUMBERS.items() if get(before) * get(after) < 0}
    if "fold of cycles" in found:
        found.pop("branch point", None)
    old, new = (int(np.sum(_moduli(cycle) > 1)) for cycle in (before, after))
    crossings = list(found.values())
    if abs(new - old) > len(crossings):
        # A pair, or by a symmetry several at once: products do not change their signs.
        rank = min(old, new)
        crossings.append(Crossing(None, lambda cycle: float(_moduli(cycle)[rank]) - 1))
    return crossings


def kind_of(crossing: Crossing, cycle: Cycle, before: Cycle, after: Cycle) -> CycleEventKind | None:
    """What passed zero between two cycles; None if it is no event."""
    kind = crossing.kind
    if kind is None:
        values = np.asarray(cycle.multipliers)
        critical = complex(values[np.argmin(np.abs(np.abs(values) - 1))])
        is_real = abs(critical.imag) < _REAL
        kind = "torus" if not is_real else "flip" if critical.real < 0 else "branch point"
    if kind == "branch point" and min(abs(_turning(each)) for each in (before, after)) <= _TURNS:
        return None
    return kind
