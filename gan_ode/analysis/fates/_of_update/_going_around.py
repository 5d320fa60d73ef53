"""Does the orbit fill a closed curve or a torus, or is it chaotic?"""

import numpy as np

from .._verdict import Verdict
from .._wandering import CURVE, dimension, is_regular, rotation, SURFACE, weighted
from ._chaos import chaos
from ._evidence import Evidence
from ._resting import FEW
from ._segments import Segment

# Weighted averages over two halves agree to this on a closed curve or a torus.
_REGULAR = {4: 1e-4, 8: 1e-7}
_ENOUGH_TURNS = 8


def goes_around(known: Evidence) -> Verdict | None:
    """A closed curve, a torus, or chaos, from many consecutive steps at the end."""
    last = known.segments[-1]
    if not last.finite:
        return None
    middle = last.points.mean(axis=0)
    scale = np.ptp(last.points, axis=0)
    if np.max(scale) <= 1e3 * known.follower.rounding * np.max(np.abs(last.points)):
        return None
    scale = np.maximum(scale, 1e-9 * np.max(scale))
    first, second = np.array_split(last.points, 2)
    before = known.segments[-2].points if len(known.segments) > 1 else first
    itemsize = known.follower.itemsize
    apart = np.max(np.abs(weighted(first, middle, scale) - weighted(second, middle, scale)))
    earlier = np.max(np.abs(weighted(before, middle, scale) - weighted(last.points, middle, scale)))
    agree = _REGULAR[itemsize]
    if apart < agree and earlier < 10 * agree:
        return _on_a_curve(known, last, last.points, scale)
    in_a_row = _regular_in_a_row(known, last, agree)
    return chaos(known, last) if in_a_row is None else _on_a_curve(known, last, in_a_row, scale)


def _regular_in_a_row(known: Evidence, last: Segment, agree: float) -> np.ndarray | None:
    """Some of many steps in a row, if these are regular, and so much later as well; None if not.

    Of an orbit that is seen every so many steps, that many steps may be almost a whole number of turns.
    """
    if not 2 <= known.follower.size <= FEW:
        return None
    now = known.consecutive(8)
    if not is_regular(*np.array_split(now, 2), agree=agree):
        return None
    known.runner.run(last.stride * known.period)
    if not is_regular(now, known.consecutive(8), 10 * agree):
        return None
    return now[np.random.default_rng(0).permutation(len(now))[: len(last.points)]]


def _on_a_curve(known: Evidence, last: Segment, spread: np.ndarray, scale: np.ndarray) -> Verdict | None:
    consecutive = known.consecutive(8)
    slope = dimension(spread / scale)
    if slope > SURFACE:
        return known.verdict(
            "wanders", "a torus: averages over two halves of the time agree, and the orbit fills a surface"
        )
    if slope > CURVE:
        return None
    turn, error = (number / known.period for number in rotation(consecutive, scale))
    if not abs(turn) * len(consecutive) > _ENOUGH_TURNS:
        return None
    amplitude = float(np.max(np.ptp(last.points, axis=0)) / 2)
    halves = [float(np.max(np.ptp(part, axis=0)) / 2) for part in np.array_split(last.points, 2)]
    period = known.runner.step_size / abs(turn)
    return known.verdict(
        "cycles", f"the orbit fills a closed curve, a turn in {1 / abs(turn):.6g} steps", period=period,
        period_error=period * (4 * error / abs(turn) + 1e-9), amplitude=amplitude,
        amplitude_error=5 * abs(halves[0] - halves[1]) + 2e-3 * amplitude,
    )  # fmt: skip
