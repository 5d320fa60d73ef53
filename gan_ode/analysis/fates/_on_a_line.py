"""What becomes of a state of one number: it moves toward the first zero of the field, or on for ever."""

import numpy as np

from ._follower import Follower
from ._verdict import Fate

# Distances from the start, in units of its size, where the field is looked at.
_DISTANCES = np.concatenate([np.logspace(-12, 12, 721), np.linspace(0, 20, 2001)[1:]])
# At a zero the field is so much smaller than at a small distance: where it is not, it jumps there, or only dips.
_STILL = {4: 1e-4, 8: 1e-9}
_JUMP, _BEFORE = 0.02, {4: 2e-3, 8: 1e-6}
# A zero of higher order than this is one of underflow.
_LARGEST_RATIO = 1e7


def judge_line(follower: Follower, y0: np.ndarray) -> tuple[Fate | None, float | None]:
    """The fate, and the zero that the state moves to; (None, None) if the field has none ahead."""
    start = float(y0[0])
    speed = float(follower.velocity(y0)[0])
    sense = np.sign(speed)
    unit = 1 + abs(start)
    places = np.unique(start + sense * unit * _DISTANCES)
    places = places if sense > 0 else places[::-1]
    heights = sense * follower.velocities(places[:, None])[:, 0]
    with np.errstate(invalid="ignore"):
        stops = np.flatnonzero(~((heights > 0) & np.isfinite(heights)))
    end = int(stops[0]) if len(stops) else len(places)
    dip = _lowest_dip(follower, places[:end], heights[:end], sense)
    if dip is not None:
        return Fate(
            "converges", f"the state moves toward {dip:.6g}, where the field vanishes without changing sign"
        ), dip
    if end == len(places) or np.isposinf(heights[end]):
        return Fate("diverges", "the state moves on in one sense, and the field has no zero ahead"), None
    if not np.isfinite(heights[end]):
        return None, None
    low, high = (float(places[end - 1]) if end else start), float(places[end])
    root = _bisected(follower, low, high, sense)
    before = _height(follower, root - sense * _BEFORE[follower.itemsize] * (1 + abs(root)), sense)
    just = _height(follower, root - sense * 64 * follower.rounding * (1 + abs(root)), sense)
    if before > 0 and just > _JUMP * before and _height(follower, root, sense) != 0:
        return Fate(
            "undecided", f"the field jumps at {root:.6g}, to which the state moves: nothing continues it there"
        ), root
    gap = abs(root - start)
    halves = [_height(follower, root - sense * gap * 0.5**k, sense) for k in (1, 2)]
    if halves[1] <= 0 or halves[0] / halves[1] > _LARGEST_RATIO:
        return Fate(
            "diverges", f"the state moves on: the field falls off, to {halves[1]:.1e}, and has no zero ahead"
        ), None
    return Fate("converges", f"the state moves toward {root:.6g}, the next zero of the field"), root


def _height(follower: Follower, y: float, sense: float) -> float:
    return float(sense * follower.velocity(np.array([y]))[0])


def _bisected(follower: Follower, low: float, high: float, sense: float) -> float:
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if _height(follower, middle, sense) > 0 else (low, middle)
    return high


def _lowest_dip(follower: Follower, places: np.ndarray, heights: np.ndarray, sense: float) -> float | None:
    """A zero between places where the field does not change sign."""
    inner = np.flatnonzero((heights[1:-1] < heights[:-2]) & (heights[1:-1] <= heights[2:])) + 1
    golden = (5**0.5 - 1) / 2
    for place in inner[:20]:
        low, high = float(places[place - 1]), float(places[place + 1])
        for _ in range(90):
            left, right = high - golden * (high - low), low + golden * (high - low)
            low, high = (
                (low, right) if _height(follower, left, sense) < _height(follower, right, sense) else (left, high)
            )
        bottom = 0.5 * (low + high)
        nearby = _height(follower, bottom - sense * 1e-4 * (1 + abs(bottom)), sense)
        if _height(follower, bottom, sense) <= _STILL[follower.itemsize] * nearby:
            return bottom
    return None
