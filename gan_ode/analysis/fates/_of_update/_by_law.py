"""Do the distances of windows from the fixed point shrink, or grow, by one law?"""

import numpy as np

from .._affine import is_affine
from .._verdict import Verdict
from ._evidence import Evidence
from ._unbounded import MUCH

_SAME_LAW, _WINDOWS = 0.05, 4


def by_law(known: Evidence) -> Verdict | None:
    """Amplitudes of windows that shrink, or grow, by one law."""
    if len(known.segments) < _WINDOWS + 1:
        return None
    last = known.segments[-_WINDOWS - 1 :]
    if not all(each.finite for each in last):
        return None
    h = known.runner.step_size
    times = np.array([h * (each.steps - each.stride * len(each.points) / 2) for each in last])
    center = None if known.rest is None else known.rest.y
    spreads = np.array([spread(each.points, center) for each in last])
    if np.any(spreads <= 0):
        return None
    logs = np.log(spreads)
    powers = np.diff(logs) / np.diff(np.log(times))
    rates = np.diff(logs) / np.diff(times)
    rest = known.rest
    falls = np.all(np.diff(logs) < -0.005)
    can_rest = rest is not None and known.is_not_repelled()
    if falls and can_rest and _steady(powers, least=0.05):
        p = float(powers[-1])
        reason = f"the distance falls as t^{p:.3g}, over {_WINDOWS} doublings of time"
        return known.verdict("converges", reason, power=p, power_error=4 * float(np.ptp(powers)) + 0.01 * abs(p))
    if falls and can_rest and _steady(rates) and logs[0] - logs[-1] > 1:
        rate = float(rates[-1])
        reason = f"the distance falls at a steady rate, by {np.exp(logs[-1] - logs[0]):.2g} in {_WINDOWS} windows"
        return known.verdict("converges", reason, rate=rate, rate_error=4 * float(np.ptp(rates)) + 0.02 * abs(rate))
    if np.all(np.diff(logs) > 0.005) and _steady(rates) and logs[-1] - logs[0] > 0.2 and is_affine(known.follower):
        rate = float(rates[-1])
        reason = f"the distance grows at a steady rate, by {np.exp(logs[-1] - logs[0]):.3g}, and the field is linear"
        return known.verdict("diverges", reason, rate=rate, rate_error=4 * float(np.ptp(rates)) + 0.02 * abs(rate))
    sizes = np.array([np.max(np.abs(each.points)) for each in last])
    exponents = np.diff(np.log(sizes)) / np.diff(np.log([each.steps for each in last]))
    steady = np.all(exponents[-3:] > 0.3) and abs(exponents[-1] - exponents[-2]) < 0.1 * exponents[-1]
    if steady and sizes[-1] > MUCH * (1 + known.size):
        return known.verdict("diverges", f"the state grows by a power of time, over {_WINDOWS} doublings of time")
    return None


def _steady(numbers: np.ndarray, least: float = 0.0) -> bool:
    size = abs(float(numbers[-1]))
    return (
        size > least
        and float(np.max(np.abs(numbers - numbers[-1]))) < 3 * _SAME_LAW * size
        and (abs(float(numbers[-1] - numbers[-2])) < _SAME_LAW * size)
    )


def spread(points: np.ndarray, center: np.ndarray | None) -> float:
    """The root of the weighted mean of squares about a center, or about the mean."""
    s = (np.arange(len(points)) + 0.5) / len(points)
    weights = np.exp(-1 / (s * (1 - s)))
    middle = np.average(points, weights=weights, axis=0) if center is None else center
    return float(np.sqrt(np.average(np.sum((points - middle) ** 2, axis=1), weights=weights)))
