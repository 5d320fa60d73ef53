"""Passing a saddle so closely that rounding, and not the field, decides on which side the trajectory leaves."""

import numpy as np

from ._follower import Follower, Path
from ._rest import Rest, root_near
from ._verdict import Fate

# Against the largest speed of a stretch, where it is looked for a saddle.
_SLOW = {4: 1e-4, 8: 1e-10}
# A coordinate along which the saddle repels is lost if it is so few roundings of the state.
_ROUNDINGS = 100
# The trajectory has left the saddle at this distance, in units of the components' sizes.
_AWAY = 1e-3
_MOST_DIPS = 8


def passes_unresolved(follower: Follower, segments: list[Path]) -> Fate | None:
    """Whether a slow state of late lies on a saddle to rounding, and the trajectory went on from there.

    Components that are followed relatively are resolved however small they are: what counts is the rounding of those
    that are not small at the saddle.
    """
    points = np.concatenate([path.points for path in segments[-2:]])
    velocities = np.concatenate([path.velocities for path in segments[-2:]])
    scale = np.maximum(follower.scale, 1e-9 * np.max(follower.scale))
    speeds = np.max(np.abs(velocities) / scale, axis=1)
    dips = np.flatnonzero((speeds[1:-1] <= speeds[:-2]) & (speeds[1:-1] < speeds[2:])) + 1
    dips = dips[speeds[dips] < _SLOW[follower.itemsize] * np.max(speeds)]
    left = points[dips[np.argsort(speeds[dips])]]
    for _ in range(_MOST_DIPS):
        if not len(left):
            break
        place, rest = left[0], root_near(follower, left[0])
        left = left[np.max(np.abs(left - place) / scale, axis=1) >= _AWAY]
        if rest is None or rest.linear != "unstable":
            continue
        near = np.max(np.abs(points - rest.y) / scale, axis=1) < _AWAY
        if np.any(near) and not near[-1] and _is_lost(follower, rest, points[near]):
            where = ", ".join(f"{number:.4g}" for number in rest.y[:4])
            reason = f"it passes the saddle at ({where}) within rounding, which decides where it goes on from there"
            return Fate("undecided", reason, final=True)
    return None


def _is_lost(follower: Follower, rest: Rest, points: np.ndarray) -> bool:
    """Whether a coordinate along which the saddle repels is no larger than the rounding of the state."""
    values, vectors = np.linalg.eig(rest.matrix.T)
    for value, left in zip(values, vectors.T, strict=True):
        grain = follower.rounding * float(np.sum(np.abs(left) * np.abs(rest.y)))
        if value.real > 0 and float(np.min(np.abs((points - rest.y) @ left))) < _ROUNDINGS * grain:
            return True
    return False
