"""Does the orbit repeat after few steps, to rounding?"""

import numpy as np

from .._verdict import Verdict
from ._evidence import Evidence
from ._unbounded import ended

# An orbit of few steps repeats to this, relative to its size.
_REPEATS = {4: 1e-5, 8: 1e-11}
_LONGEST_PERIOD = 512
# Where a fixed point attracts by its third-order terms alone, rounding keeps orbits of its cube root from it.
_HELD = 10.0


def repeats(known: Evidence) -> Verdict | None:
    """An orbit of few steps, or steps on a fixed point, to rounding."""
    segment = known.segments[-1]
    if segment.stride != known.period:
        segment = known.runner.run(known.period)
        if not segment.finite:
            return ended(known, segment)
    points = segment.points
    size = float(np.max(np.ptp(points, axis=0)))
    small = _REPEATS[known.follower.itemsize]
    if size <= small * np.max(np.abs(points)) or size == 0:
        return None
    half = points[len(points) // 2 :]
    size = float(np.max(np.ptp(half, axis=0)))
    scale = size + 1e-3 * float(np.max(np.abs(half)))
    if np.max(np.abs(half[1:] - half[:-1])) <= small * scale:
        # It rests.
        return None
    if _may_be_rounding(known, size, half):
        return None
    for period in range(2, _LONGEST_PERIOD + 1):
        gap = float(np.max(np.abs(half[period:] - half[:-period])))
        if gap <= small * scale:
            h = known.runner.step_size * known.period
            amplitude = float(np.max(np.ptp(half, axis=0)) / 2)
            return known.verdict(
                "cycles", f"the orbit repeats after {period * known.period} steps, to {gap / scale:.0e} of its size",
                period=period * h, period_error=1e-12 * period * h, amplitude=amplitude,
                amplitude_error=max(gap, 1e-9 * amplitude), closure=gap / scale,
            )  # fmt: skip
    return None


def _may_be_rounding(known: Evidence, size: float, points: np.ndarray) -> bool:
    """Whether an orbit is as small as rounding keeps one around a fixed point that does not repel."""
    if size > _HELD * np.cbrt(known.follower.rounding) * np.max(np.abs(points)) or known.rest is None:
        return False
    found = known.multipliers(known.rest)
    return found is not None and bool(np.max(np.abs(found)) <= 1 + np.sqrt(known.follower.rounding))
