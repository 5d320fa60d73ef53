"""Relative tolerances of the solves that a verdict is made of."""

from typing import Any

import diffrax

from ._follower import Follower

# The coarser tolerance by the order of the solver; nothing is concluded from a looser one.
_COARSE: dict[int, dict[int | None, float]] = {4: {}, 8: {8: 1e-10, 7: 1e-10, 6: 1e-9, 5: 1e-9}}
_COARSE_OF_LOW_ORDER = {4: 1e-5, 8: 1e-6}
OF_STIFF = {4: (1e-4, 1e-5), 8: (1e-6, 1e-8)}
_HIGH_ORDER = 7
_FINE_OVER_COARSE = {4: 1e-1, 8: 1e-2}
_FINEST = {4: 1e-6, 8: 1e-14}


def _order(solver: Any) -> int | None:
    try:
        return solver.order(diffrax.ODETerm(lambda t, y, args: y))
    except Exception:  # A solver of somebody else's.
        return None


def tolerances_of(follower: Follower, solver: Any, rtol: float | None) -> tuple[float, float]:
    """The coarser and the finer one.

    Args:
        follower: The field, for its dtype.
        solver: Of the solves.
        rtol: What was asked for; None for the default.
    """
    size = follower.itemsize
    usual = _COARSE[size].get(_order(solver), _COARSE_OF_LOW_ORDER[size])
    # Looser solves are no evidence, whatever is asked for.
    coarse = usual if rtol is None else min(rtol, usual)
    coarse = max(coarse, _FINEST[size] / _FINE_OVER_COARSE[size])
    return coarse, max(coarse * _FINE_OVER_COARSE[size], _FINEST[size])


def tightest(itemsize: int) -> tuple[float, float]:
    """As tight as the dtype allows."""
    return _FINEST[itemsize] / _FINE_OVER_COARSE[itemsize], _FINEST[itemsize]


def is_of_low_order(solver: Any) -> bool:
    """Whether another solver may settle more; of an order that is not known nothing is said."""
    return (_order(solver) or _HIGH_ORDER) < _HIGH_ORDER
