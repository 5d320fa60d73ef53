"""Passing a saddle so closely that rounding, and not the field, decides on which side the trajectory leaves."""

import numpy as np

from ._follower import Follower, Path
from ._planar import Fate
from ._rest import root_near

# Against the largest speed of a stretch, where it is looked for a saddle.
_SLOW = {4: 1e-4, 8: 1e-10}
# A coordinate along which the saddle repels is lost if it is so few roundings of the state.
_ROUNDINGS = 100
# The trajectory has left the saddle at this distance, in units of the components' sizes.
_AWAY = 1e-3


def passes_unresolved(follower: Follower, segments: list[Path]) -> Fate | None:
    """Whether the slowest state of late lies on a saddle to rounding, and the trajectory went on from there.

    Components that are followed relatively are resolved however small they are: what counts is the rounding of those
    that are not small at the saddle.
    """
    points = np.concatenate([path.points for path in segments[-2:]])
    velocities = np.concatenate([path.velocities for path in segments[-2:]])
    scale = np.maximum(follower.scale, 1e-9 * np.max(follower.scale))
    speeds = np.max(np.abs(velocities) / scale, axis=1)
    slowest = int(np.argmin(speeds))
    if not 0 <= speeds[slowest] < _SLOW[follower.itemsize] * np.max(speeds):
        return None
    rest = root_near(follower, points[slowest])
    if rest is None or rest.linear != "unstable":
        return None
    near = np.max(np.abs(points - rest.y) / scale, axis=1) < _AWAY
    if not np.any(near) or near[-1]:
        return None
    values, vectors = np.linalg.eig(rest.matrix.T)
    for value, left in zip(values, vectors.T, strict=True):
        grain = follower.rounding * float(np.sum(np.abs(left) * np.abs(rest.y)))
        away = float(np.min(np.abs((points[near] - rest.y) @ left)))
        if value.real > 0 and away < _ROUNDINGS * grain:
            place = ", ".join(f"{number:.4g}" for number in rest.y[:4])
            reason = f"it passes the saddle at ({place}) within rounding, which decides where it goes on from there"
            return Fate("undecided", reason, final=True)
    return None
