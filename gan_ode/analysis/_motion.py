import dataclasses

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

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
        grown: The last half's diameter over that of the first eighth.
        rate: The trend per unit time.
        wanders: Whether the last half turns back on itself many times, so that its diameter is an amplitude.
        turns: Number of returns to the section through the middle of the orbit.
        period: Time from return to return, or NaN.
        closure: Distance of the last return from the first point, relative to the last half's diameter, or NaN.
    """

    size: float
    remaining: float
    trend: float
    earlier_trend: float
    grown: float
    rate: float
    wanders: bool
    turns: int
    period: float
    closure: float


_TOO_LARGE_TO_MULTIPLY = 1e15
_NAN = float("nan")
UNKNOWN = Motion(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, False, 0, _NAN, _NAN)


def motion(field: Field, orbit: Orbit, args: Args, *, returns: bool) -> Motion:
    """Measures an orbit with evenly spaced times.

    Args:
        field: The field that it follows, for its returns.
        orbit: The orbit.
        args: Handed to the field.
        returns: Whether to look for returns; they are interpolated by the field, so only for a flow.
    """
    reached = np.asarray(orbit.reached)
    ts = np.asarray(orbit.ts)[reached]
    points = _points(orbit.ys)[reached]
    num = len(ts) - 1
    if num < 16:
        return UNKNOWN
    windows = [points[num // 8 : num // 4 + 1], points[num // 4 : num // 2 + 1], points[num // 2 :]]
    tiny = np.finfo(points.dtype).tiny
    earlier, middle, last = (_diameter(window) + tiny for window in windows)
    trend = float(np.log(last / middle))
    # From the middle of one window to the middle of the next.
    rate = trend / (0.375 * (ts[-1] - ts[0]))
    size = _diameter(points) + tiny
    turns, period, closure = (0, float("nan"), float("nan"))
    if returns and 0 < size < _TOO_LARGE_TO_MULTIPLY:
        velocities = _points(_velocities(field, orbit.ts, orbit.ys, args))[reached]
        turns, period, closure = _returns(ts, points, velocities, num // 2)
    return Motion(
        size=float(size),
        remaining=float(last / size),
        trend=trend,
        earlier_trend=float(np.log(middle / earlier)),
        grown=float(last / (_diameter(points[: num // 8]) + tiny)),
        rate=float(rate),
        wanders=_turns_back(windows[2]),
        turns=turns,
        period=period,
        closure=closure,
    )


@eqx.filter_jit
def _velocities(field: Field, ts: Array, ys: object, args: Args) -> object:
    return jax.vmap(lambda t, y: field(t, y, args))(ts, ys)


def _points(ys: object) -> np.ndarray:
    """States as rows, shape `(times, n)`."""
    return np.concatenate([np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(ys)], axis=1)


def _diameter(points: Float[np.ndarray, "times n"]) -> float:
    """Of the box around the points."""
    # Its longest side: a squared one would overflow long before the state does.
    return float(np.max(np.ptp(points, axis=0)))


def _turns_back(points: Float[np.ndarray, "times n"]) -> bool:
    """Whether the most mobile coordinate crosses its mean at least six times."""
    widest = points[:, np.argmax(np.ptp(points, axis=0))]
    signs = np.sign(widest - np.mean(widest))
    return int(np.sum(signs[1:] * signs[:-1] < 0)) >= 6


def _returns(ts: np.ndarray, points: np.ndarray, velocities: np.ndarray, start: int) -> tuple[int, float, float]:
    """Crossings, in the same sense, of the plane through a point across its velocity, near to that point."""
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
