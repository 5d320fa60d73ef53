"""Orbits in the plane: the roots that they may go around, and the return map around each."""

import numpy as np

from ._follower import Follower, Path
from ._in_the_plane import judge
from ._rest import Rest, root_near
from ._return_map import ReturnMap
from ._tolerances import tightest
from ._verdict import Fate

# Points of the box around a trajectory from which a root inside is searched, twice.
_CENTERS = 6


def judge_plane(
    follower: Follower, tolerances: tuple[float, float], budget: int, segments: list[Path], rest: Rest | None,
    elapsed: float,
) -> tuple[Fate | None, Rest | None]:  # fmt: skip
    """What the return maps around the roots next to the last segment say, and the root that the orbit goes around.

    Args:
        follower: The field.
        tolerances: The coarser and the finer.
        budget: After so many steps nothing is tried at tighter tolerances.
        segments: The trajectory so far.
        rest: The root next to its end, if there is one.
        elapsed: How long it has been followed.
    """
    path = segments[-1]
    hint = _time_of_turn(segments)
    if hint is None:
        return None, None
    half = path.points[len(path.points) // 2 :]
    scale = np.maximum(np.ptp(half, axis=0), 1e-9 * np.max(np.ptp(half, axis=0)) + 1e-300)
    undecided = None
    for center in _centers(follower, half, rest):
        place = len(path.points) - len(half) + _crossing_best(half, (half - center.y) / scale, path, scale)
        # Anew up to there: a sample between steps is not quite on the trajectory.
        through = follower.follow(path.points[0], float(path.ts[place]), tolerances[1]).end
        for pair in (tolerances, tightest(follower.itemsize)):
            returns = ReturnMap(follower, center, through, scale, pair, hint, elapsed / hint)
            fate = judge(returns)
            if fate is not None and (fate.kind != "undecided" or fate.final):
                return fate, center
            undecided = undecided or fate
            if returns.at_start is None or follower.num_steps > budget:
                break
    return undecided, None


def _time_of_turn(segments: list[Path]) -> float | None:
    """How long a turn takes, by how often both coordinates turn back in the last segments; None if they do not."""
    for path in (segments[-1], segments[max(len(segments) - 2, 0)]):
        signs = np.sign(path.velocities)
        backs = [int(np.sum(column[1:] * column[:-1] < 0)) for column in signs.T]
        if min(backs) >= 2:
            return 2 * float(path.ts[-1] - path.ts[0]) / max(backs)
    return None


def _centers(follower: Follower, points: np.ndarray, rest: Rest | None) -> list[Rest]:
    """Roots that the states may go around: those with a positive determinant first."""
    low, high = points.min(axis=0), points.max(axis=0)
    starts = [points.mean(axis=0)]
    if np.any(follower.relative):
        logs = np.log(np.abs(points[:, follower.relative]) + 1e-300).mean(axis=0)
        geometric = points.mean(axis=0)
        geometric[follower.relative] = np.sign(points[0, follower.relative]) * np.exp(logs)
        starts.append(geometric)
    shares = np.random.default_rng(4).uniform(size=(_CENTERS, len(low)))
    starts += list(low + shares * (high - low)) + list(low + shares**4 * (high - low))
    found: list[Rest] = [] if rest is None else [rest]
    for start in starts:
        root = root_near(follower, start)
        scale = high - low + 1e-300
        if root is not None and all(np.max(np.abs(root.y - each.y) / scale) > 1e-6 for each in found):
            found.append(root)
        if any(np.linalg.det(each.matrix) > 0 and np.all((each.y > low) & (each.y < high)) for each in found):
            break
    inside = [
        each for each in found if np.all((each.y >= low - 0.1 * (high - low)) & (each.y <= high + 0.1 * (high - low)))
    ]
    return sorted(inside, key=lambda each: -np.sign(np.linalg.det(each.matrix)))


def _crossing_best(half: np.ndarray, away: np.ndarray, path: Path, scale: np.ndarray) -> int:
    """The number of the state where the velocity is most across the ray from the equilibrium."""
    velocities = path.velocities[-len(half) :] / scale
    cross = np.abs(away[:, 0] * velocities[:, 1] - away[:, 1] * velocities[:, 0])
    size = np.linalg.norm(away, axis=1) * np.linalg.norm(velocities, axis=1) + 1e-300
    # Far from where it is slow, and from where the ray is tangent.
    return int(np.argmax(np.where(cross > 0.3 * size, cross, 0.1 * cross)))
