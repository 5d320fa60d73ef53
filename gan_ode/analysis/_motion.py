import dataclasses
import math

import jax
import numpy as np
from jaxtyping import Array, Float

from .._compiled import jit
from .._types import Args, Field
from ..simulate import Orbit


@dataclasses.dataclass(frozen=True)
class Motion:
    """An orbit in numbers: its amplitude over windows of doubling length, and its returns.

    Attributes:
        size: Diameter of the whole orbit.
        remaining: Diameter of the last half of the time, relative to `size`.
        trend: Logarithm of the last half's diameter over that of the quarter before it.
        earlier_trend: The same one doubling earlier.
        steadiness: The larger of the two trends' sizes, each of the diameter or of the weighted spread, whichever is
            smaller: for an orbit of several frequencies the spread is much the more regular.
        grown: The last half's diameter over that of the first eighth.
        rate: The trend per unit time.
        spacing: Time from the middle of a window to the middle of the next, of the last two.
        wanders: Whether the last half turns back on itself many times, so that its diameter is an amplitude.
        swing: How long one of its turns takes, roughly; infinite if it makes none.
        turns: Number of returns to the section through the middle of the orbit, or of a stretch at its end.
        period: Time from return to return, or NaN.
        closure: Distance of the last return from the first point, relative to the last half's diameter, or NaN.
        returns_are_later: Whether the returns are those of a stretch at the end, so that they say nothing of the trend.
    """

    size: float
    remaining: float
    trend: float
    earlier_trend: float
    steadiness: float
    grown: float
    rate: float
    spacing: float
    wanders: bool
    swing: float
    turns: int
    period: float
    closure: float
    returns_are_later: bool = False


_TOO_LARGE_TO_MULTIPLY = 1e15
_MANY = 3
_NAN = float("nan")
UNKNOWN = Motion(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, False, math.inf, 0, _NAN, _NAN)


def motion(field: Field, orbit: Orbit, args: Args, *, returns: bool) -> Motion:
    """Measures an orbit with evenly spaced times.

    Args:
        field: The field that it follows, for its returns.
        orbit: The orbit.
        args: Handed to the field.
        returns: Whether to look for returns; they are interpolated by the field, so only for a flow.
    """
    ts, points = _reached(orbit)
    num = len(ts) - 1
    if num < 16:
        return UNKNOWN
    windows = [points[num // 8 : num // 4 + 1], points[num // 4 : num // 2 + 1], points[num // 2 :]]
    tiny = np.finfo(points.dtype).tiny
    earlier, middle, last = (_diameter(window) + tiny for window in windows)
    trend, earlier_trend = float(np.log(last / middle)), float(np.log(middle / earlier))
    spreads = np.log([_spread(window) + tiny for window in windows])
    steady = np.minimum(np.abs([earlier_trend, trend]), np.abs(np.diff(spreads)))
    spacing = 0.375 * float(ts[-1] - ts[0])
    size = _diameter(points) + tiny
    swings = _swings(windows[2])
    turns, period, closure = (0, float("nan"), float("nan"))
    if returns and 0 < size < _TOO_LARGE_TO_MULTIPLY:
        turns, period, closure = _returns(field, orbit, args)
    return Motion(
        size=float(size),
        remaining=float(last / size),
        trend=trend,
        earlier_trend=earlier_trend,
        steadiness=float(np.max(steady)),
        grown=float(last / (_diameter(points[: num // 8]) + tiny)),
        rate=trend / spacing,
        spacing=spacing,
        wanders=swings >= _MANY,
        swing=float(ts[-1] - ts[num // 2]) / swings if swings else math.inf,
        turns=turns,
        period=period,
        closure=closure,
    )


def with_returns_of(moved: Motion, field: Field, end: Orbit, args: Args) -> Motion:
    """The motion with the returns of a stretch at its end, that was saved more often."""
    turns, period, closure = _returns(field, end, args)
    return dataclasses.replace(moved, turns=turns, period=period, closure=closure, returns_are_later=True)


def _reached(orbit: Orbit) -> tuple[np.ndarray, np.ndarray]:
    """Times and states, as rows, as far as the orbit got."""
    reached = np.asarray(orbit.reached)
    return np.asarray(orbit.ts)[reached], _points(orbit.ys)[reached]


@jit
def _velocities(field: Field, ts: Array, ys: object, args: Args) -> object:
    return jax.vmap(lambda t, y: field(t, y, args))(ts, ys)


def _points(ys: object) -> np.ndarray:
    """States as rows, shape `(times, n)`."""
    return np.concatenate([np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(ys)], axis=1)


def _diameter(points: Float[np.ndarray, "times n"]) -> float:
    """Of the box around the points."""
    # Its longest side: a squared one would overflow long before the state does.
    return float(np.max(np.ptp(points, axis=0)))


def _spread(points: Float[np.ndarray, "times n"]) -> float:
    """Of the points about their mean, in the most mobile coordinate, with weights that vanish at both ends.

    So weighted, the averages of a quasi-periodic motion converge faster than any power of the time.

    Source: Das, Saiki, Sander and Yorke (2017), "Quantitative quasiperiodicity", Nonlinearity 30.
    """
    s = (np.arange(len(points)) + 0.5) / len(points)
    weights = np.exp(-1 / (s * (1 - s)))
    widest = points[:, np.argmax(np.ptp(points, axis=0))]
    scale = np.max(np.abs(widest)) + np.finfo(points.dtype).tiny
    values = widest / scale
    mean = np.average(values, weights=weights)
    return float(scale * np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _swings(points: Float[np.ndarray, "times n"]) -> int:
    """How often the most mobile coordinate goes around: half of its crossings of its mean."""
    widest = points[:, np.argmax(np.ptp(points, axis=0))]
    signs = np.sign(widest - np.mean(widest))
    return int(np.sum(signs[1:] * signs[:-1] < 0)) // 2


def _returns(field: Field, orbit: Orbit, args: Args) -> tuple[int, float, float]:
    """Crossings, in the same sense, of the plane through the middle of an orbit across its velocity, near to there."""
    ts, points = _reached(orbit)
    velocities = _points(_velocities(field, orbit.ts, orbit.ys, args))[: len(ts)]
    start = (len(ts) - 1) // 2
    origin, normal = points[start], velocities[start]
    heights = (points[start:] - origin) @ normal
    upward = np.nonzero((heights[:-1] < 0) & (heights[1:] >= 0))[0] + start
    size = _diameter(points[start:])
    crossings = [_crossing(ts, points, velocities, int(i), origin, normal) for i in upward]
    near = [(t, y) for t, y in crossings if np.linalg.norm(y - origin) < 0.25 * size]
    if not near:
        return 0, float("nan"), float("nan")
    times = np.array([ts[start]] + [t for t, _ in near])
    distances = [float(np.linalg.norm(y - origin)) / size for _, y in near]
    return len(near), float(np.mean(np.diff(times))), max(distances)


def _crossing(
    ts: np.ndarray, points: np.ndarray, velocities: np.ndarray, i: int, origin: np.ndarray, normal: np.ndarray
) -> tuple[float, np.ndarray]:
    """Where the cubic between two samples meets the plane, by bisection."""
    width = float(ts[i + 1] - ts[i])

    def at(s: float) -> np.ndarray:
        p, q, u, v = points[i], points[i + 1], width * velocities[i], width * velocities[i + 1]
        return (1 + 2 * s) * (1 - s) ** 2 * p + s * (1 - s) ** 2 * u + s**2 * (3 - 2 * s) * q + s**2 * (s - 1) * v

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (at(middle) - origin) @ normal < 0 else (low, middle)
    return float(ts[i]) + high * width, at(high)
