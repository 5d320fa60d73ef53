"""Turns of a flow: from a section back to it, with the time and the place to the solver's full order."""

import dataclasses

import numpy as np

from ._follower import Follower, Path

_MOST_DOUBLINGS = 9
_REFINEMENTS = 8
# A root of the time is settled where the next correction is far below it.
_SETTLED = {4: 3e-5, 8: 1e-7}
# Cubics between samples that widen the extent by more are no good.
_SMOOTH_SPAN = 1e-4


@dataclasses.dataclass(frozen=True)
class Section:
    """A half of a plane: `normal @ (y - origin) = 0` and, if there is a `side`, `side @ (y - origin) > 0`."""

    origin: np.ndarray
    normal: np.ndarray
    side: np.ndarray | None = None

    def height(self, points: np.ndarray) -> np.ndarray:
        return (points - self.origin) @ self.normal

    def is_right_side(self, points: np.ndarray) -> np.ndarray:
        if self.side is None:
            return np.ones(len(points), bool)
        return (points - self.origin) @ self.side > 0


@dataclasses.dataclass(frozen=True)
class Turn:
    """A first return.

    Attributes:
        start: Where it began, on the section.
        end: Where the section was crossed again in the same sense.
        time: After how long.
        path: The trajectory in between.
    """

    start: np.ndarray
    end: np.ndarray
    time: float
    path: Path


def first_return(
    follower: Follower, start: np.ndarray, section: Section, hint: float, rtol: float, near: float | None = None,
    scale: np.ndarray | None = None,
) -> Turn | None:  # fmt: skip
    """The first return to the section in the sense in which the start leaves it; None if there is none.

    Args:
        follower: The field.
        start: A state on the section.
        section: The section.
        hint: About how long it takes; up to five hundred times as long is waited.
        rtol: Relative tolerance.
        near: If given, a return counts only within this distance of the start, in units of `scale`.
        scale: Sizes of the components.
    """
    sense = float(np.sign(section.normal @ follower.velocity(start)))
    if sense == 0 or not np.isfinite(sense):
        return None
    duration, begin, elapsed = 1.3 * hint, start, 0.0
    for _ in range(_MOST_DOUBLINGS):
        path = follower.follow(begin, duration, rtol)
        found = _crossing(path, section, sense, start, near, scale, first=elapsed == 0)
        if found is not None:
            return _refined(follower, start, section, elapsed + found, rtol)
        if not path.ok:
            return None
        # On from here, so that samples stay as dense against what is to come.
        elapsed, begin = elapsed + duration, path.end
        duration = elapsed
    return None


def _crossing(
    path: Path, section: Section, sense: float, start: np.ndarray, near: float | None, scale: np.ndarray | None,
    first: bool,
) -> float | None:  # fmt: skip
    heights = sense * section.height(path.points)
    if first:
        # It starts on the section, but for rounding.
        heights[0] = max(heights[0], 0.0)
    for i in np.flatnonzero((heights[:-1] < 0) & (heights[1:] >= 0)):
        low, high = path.points[i], path.points[i + 1]
        if not section.is_right_side(np.stack([low, high])).all():
            continue
        share, y = _hermite_root(path, int(i), section, sense)
        if near is not None and np.max(np.abs(y - start) / scale) > near:
            continue
        return float(path.ts[i] + share * (path.ts[i + 1] - path.ts[i]))
    return None


def _hermite_root(path: Path, i: int, section: Section, sense: float) -> tuple[float, np.ndarray]:
    """Where the cubic between two samples meets the section, by bisection."""
    width = float(path.ts[i + 1] - path.ts[i])
    p, q, u, v = path.points[i], path.points[i + 1], width * path.velocities[i], width * path.velocities[i + 1]

    def at(s: float) -> np.ndarray:
        return (1 + 2 * s) * (1 - s) ** 2 * p + s * (1 - s) ** 2 * u + s**2 * (3 - 2 * s) * q + s**2 * (s - 1) * v

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        below = sense * (section.normal @ (at(middle) - section.origin)) < 0
        low, high = (middle, high) if below else (low, middle)
    return high, at(high)


def _refined(follower: Follower, start: np.ndarray, section: Section, time: float, rtol: float) -> Turn | None:
    """Newton's method for the time, each from the start, since only the end of a solve is of its full order."""
    for _ in range(_REFINEMENTS):
        path = follower.follow(start, time, rtol)
        if not path.ok:
            return None
        velocity = follower.velocity(path.end)
        along = section.normal @ velocity
        late = float(section.normal @ (path.end - section.origin) / along) if along != 0 else np.inf
        if not np.isfinite(late) or abs(late) > 0.5 * time:
            return None
        if abs(late) <= _SETTLED[follower.itemsize] * time:
            # The rest of the way is a line, and its curvature below rounding.
            ahead = follower.velocity(path.end - late * velocity)
            return Turn(start, path.end - 0.5 * late * (velocity + ahead), time - late, path)
        time -= late
    return None


def extent(follower: Follower, turn: Turn, rtol: float) -> tuple[float, float]:
    """Half of the largest extent of a turn, over the coordinates, and its error, from cubics between samples."""
    ts, points, velocities = turn.path.ts, turn.path.points, turn.path.velocities
    for pieces in (24, 0):
        (size, missed), plain = _span_of_cubics(ts, points, velocities), float(np.max(np.ptp(points, axis=0)))
        if (size - plain <= _SMOOTH_SPAN * size and missed == 0) or not pieces:
            return size / 2, 2 * (size - plain) + 1e-6 * size + missed
        # It is fast in a short part of its time.
        points = follower.densely(turn.start, turn.time, rtol, pieces)
        ts = np.linspace(0, turn.time, len(points))
        velocities = follower.velocities(points)
        keep = np.concatenate([[True], np.any(points[1:] != points[:-1], axis=1)])
        points, velocities = points[keep], velocities[keep]
        ts = np.linspace(0, turn.time, len(points))
    raise AssertionError


def _span_of_cubics(ts: np.ndarray, points: np.ndarray, velocities: np.ndarray) -> tuple[float, float]:
    """The extent, and by how much it may be larger where samples are too far apart for a cubic."""
    widths = np.diff(ts)[:, None]
    p, q = points[:-1], points[1:]
    u, v = widths * velocities[:-1], widths * velocities[1:]
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    # A cubic that leaves its ends by more than they are apart has missed what is between.
    tame = (np.abs(u) + np.abs(v)) < 8 * (np.abs(q - p) + 0.02 * (high - low))
    for s in np.linspace(0, 1, 17)[1:-1]:
        between = (1 + 2 * s) * (1 - s) ** 2 * p + s * (1 - s) ** 2 * u + s**2 * (3 - 2 * s) * q + s**2 * (s - 1) * v
        between = np.where(tame, between, p)
        low, high = np.minimum(low, between.min(axis=0)), np.maximum(high, between.max(axis=0))
    missed = np.max(np.where(tame, 0.0, np.abs(u) + np.abs(v)), initial=0.0)
    return float(np.max(high - low)), float(missed)
