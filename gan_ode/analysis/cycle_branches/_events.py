"""What happens between two neighboring cycles of a branch, and where."""

from collections.abc import Callable

import numpy as np
import scipy.optimize

from ._branch import CycleEventKind
from ._corrector import Cycle

# A place on the branch is found to this part of the step that it lies within.
_EXACT = 1e-13
# A multiplier whose imaginary part is smaller than this is real.
REAL = 1e-7
# Where the parameter turns to rounding, a multiplier that passes 1 is that of the fold.
_TURNS = 1e-4
# A pair is on the unit circle up to this.
_ON_CIRCLE = 1e-6


def signs(cycle: Cycle) -> dict[CycleEventKind, float]:
    """Numbers that pass zero at events: each a product over the multipliers, scaled to be of order one."""
    values = np.asarray(cycle.multipliers)
    pairs = [values[i] * values[j] for i in range(len(values)) for j in range(i)]
    return {
        "fold of cycles": float(cycle.tangent.share),
        "branch point": _product(values, 1.0),
        "flip": _product(values, -1.0),
        "torus": _product(np.array(pairs), 1.0),
    }


def _product(values: np.ndarray, border: float) -> float:
    return float(np.prod((values - border) / (1 + np.abs(values))).real)


def happened(before: Cycle, after: Cycle) -> list[CycleEventKind]:
    """What lies between two cycles; what is no event after all shows where it is found."""
    old, new = signs(before), signs(after)
    changed: list[CycleEventKind] = [kind for kind in old if old[kind] * new[kind] < 0]
    if "fold of cycles" in changed and "branch point" in changed:
        changed.remove("branch point")
    return changed


def zero_between(look: Callable[[float], Cycle], step: float, number: Callable[[Cycle], float]) -> Cycle | None:
    """The cycle within a step at which a number passes zero; None if it does not."""
    seen: dict[float, Cycle] = {}

    def at(way: float) -> float:
        seen[way] = look(way)
        return number(seen[way])

    first, last = at(0.0), at(step)
    if not np.isfinite(first * last) or first * last > 0:
        return None
    if not first * last:
        return seen[0.0 if not first else step]
    scipy.optimize.brentq(at, 0.0, step, xtol=_EXACT * step, maxiter=60)
    # Where branches cross the equations are singular, and Newton's method may fail on the very place.
    found = [cycle for cycle in seen.values() if bool(cycle.ok)]
    return min(found, key=lambda cycle: abs(number(cycle)), default=None)


def is_event(kind: CycleEventKind, cycle: Cycle, before: Cycle, after: Cycle) -> bool:
    """Whether what passed zero between two cycles is what its name says."""
    if kind == "torus":
        values = np.asarray(cycle.multipliers)
        pairs = np.abs(np.imag(values)) > REAL
        # Two real multipliers with product 1 are none.
        return bool(np.any(pairs & (np.abs(np.abs(values) - 1) < _ON_CIRCLE)))
    if kind == "branch point":
        return min(abs(float(each.tangent.share)) for each in (before, after)) > _TURNS
    return True
