"""Periods, extents and ends of orbits by SciPy at its tightest tolerance, in whatever coordinates suit them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.integrate
import scipy.optimize

Velocity = Callable[..., Sequence[Any]]
_RTOL = 1e-12
# Implicit methods of low order take forever at 1e-12.
_RTOL_OF = {"Radau": 1e-11}
_POINTS_A_STEP = 8
# Of the amplitude.
_CLOSED = 1e-6


def solve(velocity: Velocity, start: Any, end: float, *, method: str = "DOP853", **options: Any) -> Any:
    """SciPy's solution of y' = velocity(*y), its absolute tolerance far below its relative one."""
    rtol = _RTOL_OF.get(method, _RTOL)
    # A trial step may go far, and is rejected.
    with np.errstate(all="ignore"):
        return scipy.integrate.solve_ivp(
            lambda t, y: np.asarray(velocity(*y), float),
            (0.0, end),
            start,
            method,
            rtol=rtol,
            atol=1e-3 * rtol,
            **options,
        )


def final(velocity: Velocity, start: Any, end: float, **options: Any) -> np.ndarray:
    """The state at the end."""
    return solve(velocity, start, end, **options).y[:, -1]


def cycle(
    velocity: Velocity,
    start: Any,
    longest: float,
    *,
    settle: float = 0.0,
    section: int = 0,
    turns: int = 1,
    back: Callable[[np.ndarray], np.ndarray] = lambda y: y,
    method: str = "DOP853",
) -> dict[str, float]:
    """Period and amplitude of the cycle that an orbit settles on.

    The section is where one coordinate is largest; let it not be one that waits there. A passage is found on the dense
    output, and then from a solve that ends there, whose error is the solver's own.

    Args:
        velocity: A function of the coordinates.
        start: Where to start.
        longest: More than the time of two periods.
        settle: How long it takes until the orbit is on the cycle.
        section: Which coordinate.
        turns: How many maxima of it a period has.
        back: From the coordinates, on the first axis, to those whose extent is asked for.
        method: SciPy's.
    """

    def top(t: float, y: np.ndarray) -> float:
        return float(velocity(*y)[section])

    setattr(top, "direction", -1.0)  # noqa: B010, SciPy asks for the attribute
    if settle:
        start = final(velocity, start, settle, method=method)
    found = solve(velocity, start, longest, method=method, events=top, dense_output=True)
    times = found.t_events[0]
    first = _passage(velocity, start, times[times > 1e-9 * longest][0], section, method)
    begin = final(velocity, start, first, method=method)
    later = times[times > first + 1e-6 * longest]
    period = _passage(velocity, begin, later[turns - 1] - first, section, method)
    amplitude = _amplitude(found, first, first + period, back)
    apart = np.max(np.abs(back(final(velocity, begin, period, method=method)) - back(begin)))
    if apart > _CLOSED * amplitude:
        raise ValueError(f"the orbit must close after `turns` = {turns}, but is {apart:g} away: let it settle longer.")
    return {"period": period, "amplitude": amplitude}


def _passage(velocity: Velocity, start: Any, near: float, section: int, method: str) -> float:
    """The time near the given one when that velocity vanishes, from solves that end there."""
    apart = 1e-4 * near
    before = final(velocity, start, near - apart, method=method)

    def slope(after: float) -> float:
        return float(velocity(*final(velocity, before, after, method=method) if after else before)[section])

    root: Any = scipy.optimize.brentq(slope, 0.0, 2 * apart, xtol=1e-13 * near, rtol=np.float64(1e-14))
    return near - apart + float(root)


def _amplitude(found: Any, begin: float, end: float, back: Callable[[np.ndarray], np.ndarray]) -> float:
    steps = np.concatenate([[begin], found.t[(found.t > begin) & (found.t < end)], [end]])
    parts = np.linspace(0, 1, _POINTS_A_STEP, endpoint=False)
    times = np.append((steps[:-1, None] + parts * np.diff(steps)[:, None]).ravel(), end)
    values = back(found.sol(times))
    return max(
        0.5 * (_largest(found, times, row, index, back, 1.0) + _largest(found, times, -row, index, back, -1.0))
        for index, row in enumerate(values)
    )


def _largest(found: Any, times: np.ndarray, row: np.ndarray, index: int, back: Callable, sign: float) -> float:
    """The largest value between the points, of a coordinate or of minus it."""
    at = int(np.argmax(row))
    low, high = times[max(at - 1, 0)], times[min(at + 1, len(times) - 1)]
    result: Any = scipy.optimize.minimize_scalar(
        lambda t: -sign * back(found.sol(t))[index], bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    return max(-float(result.fun), float(row[at]))


def rest(velocity: Velocity, near: Sequence[float]) -> dict[str, float]:
    """The spectral abscissa of the equilibrium that Newton's method finds; derivatives by complex steps are exact."""
    y = np.asarray(near, float)
    for _ in range(50):
        y = y - np.linalg.solve(_jacobian(velocity, y), np.asarray(velocity(*y), float))
    return {"rate": float(np.max(np.linalg.eigvals(_jacobian(velocity, y)).real))}


def _jacobian(velocity: Velocity, y: np.ndarray) -> np.ndarray:
    small = 1e-30
    columns = [np.imag(velocity(*(y + 1j * small * unit))) / small for unit in np.eye(len(y))]
    return np.stack(columns, axis=1)


def mean_turn(image: Callable, start: Any, center: Sequence[float], steps: int = 100_000) -> float:
    """How many steps of a map a turn about the center takes, in the mean over a closed curve.

    The average is weighted by a bump, and so converges faster than any power of the number of steps.

    Source: Das, Saiki, Sander and Yorke (2017), Quantitative quasiperiodicity, arXiv:1601.06051.
    """
    y, before = np.asarray(start, float), None
    total = weights = 0.0
    for step in range(steps + 1):
        angle = np.arctan2(y[1] - center[1], y[0] - center[0])
        if before is not None and step < steps:
            weight = np.exp(-1 / (step / steps * (1 - step / steps)))
            turned = (angle - before + np.pi) % (2 * np.pi) - np.pi
            total, weights = total + weight * turned, weights + weight
        y, before = np.asarray(image(*y), float), angle
    return 2 * np.pi / abs(total / weights)
