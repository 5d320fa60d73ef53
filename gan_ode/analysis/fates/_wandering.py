"""Motion that is bounded and neither settles nor repeats: tori, chaos, and heteroclinic cycles."""

import jax.numpy as jnp
import numpy as np

from ..lyapunov._exponents import lyapunov_exponents
from ._follower import Follower, Path
from ._rest import root_near
from ._verdict import Fate

# Weighted averages over two halves of a quasi-periodic motion agree to this, and those of chaos do not.
_REGULAR = 1e-7
_STRETCHES, _SAMPLES_A_TURN = 8, 7.3
_SURE = 8.0
# Between these slopes of the number of neighbors against the distance, a set is neither a curve nor a surface for sure.
CURVE, SURFACE = 1.3, 1.55
_RATIO = 1.02
_VISITS = 3


def judge_wandering(
    follower: Follower, segments: list[Path], tolerances: tuple[float, float], y0: np.ndarray
) -> Fate | None:  # fmt: skip
    """A torus or chaos, from the last segments; None if neither shows."""
    if follower.itemsize < 8 or follower.size < 3 or len(segments) < 2:
        return None
    points = [path.points for path in segments[-2:]]
    sizes = [float(np.max(np.ptp(each, axis=0))) for each in points]
    if not 0.3 < sizes[1] / sizes[0] < 3 or min(sizes) == 0 or not goes_around(segments[-1]):
        return None
    stretch = _long_stretch(follower, segments, tolerances[1])
    if stretch is None:
        return None
    halves = np.array_split(stretch, 2)
    quarters = np.array_split(halves[1], 2)
    if is_regular(halves[0], halves[1]) and is_regular(quarters[0], quarters[1], 100 * _REGULAR):
        if dimension(stretch / np.maximum(np.ptp(stretch, axis=0), 1e-9 * np.max(np.ptp(stretch, axis=0)))) < SURFACE:
            # A closed orbit that the tolerances do not close.
            return None
        reason = "a torus: the averages of the motion over two halves of the time agree, and no turn closes"
        return Fate("wanders", reason)
    return _chaos(follower, segments, tolerances)


def goes_around(path: Path) -> bool:
    """Whether the most mobile coordinate turns back many times."""
    widest = path.velocities[:, int(np.argmax(np.ptp(path.points, axis=0)))]
    return int(np.sum(widest[1:] * widest[:-1] < 0)) >= 10


def _long_stretch(follower: Follower, segments: list[Path], rtol: float) -> np.ndarray | None:
    """Many evenly spaced states from the end on, a few to a turn."""
    path = next((each for each in segments if goes_around(each)), segments[-1])
    widest = path.velocities[:, int(np.argmax(np.ptp(path.points, axis=0)))]
    turn = 2 * float(path.ts[-1]) / max(int(np.sum(widest[1:] * widest[:-1] < 0)), 1)
    y, parts = segments[-1].end, []
    for _ in range(_STRETCHES):
        piece = follower.follow(y, len(path.ts) * turn / _SAMPLES_A_TURN, rtol)
        if not piece.ok:
            return None
        parts.append(piece.points[:-1])
        y = piece.end
    return np.concatenate(parts)


def is_regular(before: np.ndarray, after: np.ndarray, agree: float = _REGULAR) -> bool:
    """Whether weighted averages over two windows agree, as those of periodic and quasi-periodic motion do.

    The weights vanish with all their derivatives at both ends, so that the averages of a quasi-periodic motion converge
    faster than any power of the time.

    Source: Das, Saiki, Sander and Yorke (2017), "Quantitative quasiperiodicity", Nonlinearity 30.
    """
    middle, scale = after.mean(axis=0), np.ptp(after, axis=0)
    scale = np.maximum(scale, 1e-9 * np.max(scale) + 1e-300)
    return bool(np.max(np.abs(weighted(before, middle, scale) - weighted(after, middle, scale))) < agree)


def dimension(points: np.ndarray) -> float:
    """How the number of neighbors grows with the distance: 1 on a curve, 2 on a surface."""
    chosen = points[np.random.default_rng(0).permutation(len(points))[:200]]
    distances = np.sort(np.max(np.abs(points[:, None, :] - chosen[None]), axis=2), axis=0)
    near, far = distances[len(points) // 128].mean(), distances[len(points) // 16].mean()
    return float(np.log(8) / np.log(far / near)) if near > 0 else 0.0


def weighted(points: np.ndarray, middle: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Weighted averages of the coordinates and of their squares."""
    s = (np.arange(len(points)) + 0.5) / len(points)
    weights = np.exp(-1 / (s * (1 - s)))
    z = (points - middle) / scale
    return np.average(np.concatenate([z, z**2], axis=1), weights=weights, axis=0)


def _chaos(follower: Follower, segments: list[Path], tolerances: tuple[float, float]) -> Fate | None:
    path = segments[-1]
    if len(segments) < 3 or max(_spans(segments)) > 1.5 * min(_spans(segments)):
        return None
    roots = [root_near(follower, y) for y in path.points[:: max(len(path.points) // 24, 1)]]
    if any(root is not None and root.linear in ("stable", "continuum") for root in roots):
        return Fate("undecided", "irregular so far, but there is a stable equilibrium: it may still come to it")
    whole = sum(float(each.ts[-1] - each.ts[0]) for each in segments)
    found = []
    for start in (path.end, path.points[len(path.points) // 3]):
        exponents = lyapunov_exponents(
            follower.field, jnp.asarray(start, follower.dtype), whole, num=1, num_spans=1000, args=follower.args,
            rtol=max(tolerances[0], 1e-9),
        )  # fmt: skip
        found.append((float(exponents.exponents[0]), float(exponents.standard_error[0])))
    (one, error), (other, its_error) = found
    spread = abs(one - other) + 4 * max(error, its_error)
    if not np.isfinite(spread) or min(one, other) < _SURE * max(error, its_error) or spread > 0.5 * one:
        return None
    numbers = {"exponent": (one + other) / 2, "exponent_error": spread}
    return Fate(
        "wanders", f"chaos: neighbors part at the rate {(one + other) / 2:.3g}, on two stretches alike", numbers
    )


def _spans(segments: list[Path]) -> list[float]:
    return [float(np.max(np.ptp(path.points, axis=0))) for path in segments[-2:]]


def visits_corners(follower: Follower, segments: list[Path]) -> Fate | None:
    """A heteroclinic cycle: the times in which one component after the other is the largest grow by a steady factor."""
    chosen = np.flatnonzero(follower.relative)
    if len(chosen) < 3:
        return None
    starts = np.cumsum([0.0, *(float(path.ts[-1]) for path in segments[:-1])])
    ts = np.concatenate([path.ts + start for path, start in zip(segments, starts, strict=True)])
    points = np.concatenate([path.points[:, chosen] for path in segments])
    scale = np.max(points, axis=0)
    leading = np.argmax(points / scale, axis=1)
    switches = ts[1:][leading[1:] != leading[:-1]]
    stays = np.diff(switches)
    if len(stays) < _VISITS + 1 or np.any(stays <= 0):
        return None
    ratios = stays[-_VISITS:] / stays[-_VISITS - 1 : -1]
    if np.min(ratios) < _RATIO or np.ptp(ratios) > 0.1 * np.mean(ratios):
        return None
    least = np.min(points[len(points) // 2 :], axis=0)
    if np.max(np.log(least)) > -20:
        return None
    reason = f"a heteroclinic cycle: each visit to a corner is {np.mean(ratios):.4g} times as long as the one before"
    return Fate("wanders", reason)


def rotation(points: np.ndarray, scale: np.ndarray) -> tuple[float, float]:
    """Turns in a step, in the plane in which the orbit is widest, and its error; NaN if it does not go around."""
    z = (points - points.mean(axis=0)) / scale
    if z.shape[1] > 2:
        _, _, rows = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
        z = z @ rows[:2].T
    low, high = z.min(axis=0), z.max(axis=0)
    z = z - (low + high) / 2
    x, y = z.T
    turns = np.arctan2(x[:-1] * y[1:] - y[:-1] * x[1:], x[:-1] * x[1:] + y[:-1] * y[1:]) / (2 * np.pi)

    def mean(values: np.ndarray) -> float:
        s = np.arange(1, len(values) + 1) / (len(values) + 1)
        return float(np.average(values, weights=np.exp(-1 / (s * (1 - s)))))

    half = len(turns) // 2
    value, first, second = mean(turns), mean(turns[:half]), mean(turns[half:])
    return value, max(abs(value - first), abs(value - second))
