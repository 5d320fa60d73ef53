"""Where a number passes zero between two points of a branch."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import scipy.optimize

_Place = TypeVar("_Place", bound=Any)

# A place on the branch is found to this part of the step that it lies within.
_EXACT = 1e-13


def zero_between(
    look: Callable[[float], _Place], step: float, number: Callable[[_Place], float]
) -> tuple[float, _Place] | None:
    """The point within a step at which a number passes zero, and how far it is; None if it does not.

    Args:
        look: The point at a part of the step; its `ok` says whether Newton's method found it.
        step: The whole step.
        number: What passes zero.
    """
    seen: dict[float, _Place] = {}

    def at(way: float) -> float:
        seen[way] = look(way)
        return number(seen[way])

    first, last = at(0.0), at(step)
    if not np.isfinite(first * last) or first * last > 0:
        return None
    if first * last:
        # It refuses a number that is not finite: what was seen before is near.
        with contextlib.suppress(ValueError):
            scipy.optimize.brentq(at, 0.0, step, xtol=_EXACT * step, maxiter=60, disp=False)
    # Where branches cross the equations are singular, and Newton's method may fail on the very place.
    found = [(abs(number(place)), way) for way, place in seen.items() if bool(place.ok)]
    return (way := min(found)[1], seen[way]) if found else None
