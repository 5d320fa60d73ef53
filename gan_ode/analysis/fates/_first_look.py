"""The first look at a flow: how long its first segment is, and whether its field depends on time."""

import numpy as np

from ._follower import Follower
from ._rest import root_near
from ._verdict import Verdict

# Numbers of a state up to which matrices are dense.
LARGE = 1000
# The first segment is so many turns of the fastest mode.
_FIRST_TURNS = 24
# Where explicit time is looked for, in segments.
_TIMES = (0.0, 0.37, 1.7, 11.3, 113.7, 1e4)


def first_length(follower: Follower, y0: np.ndarray) -> float:
    """So many turns of the fastest mode at the start, or at a root next to it."""
    follower.look_at(np.stack([y0, y0 + 1e-3 * (1 + np.abs(y0))]))
    places = [y0]
    root = None if follower.size > LARGE else root_near(follower, y0)
    if root is not None:
        places.append(root.y)
    rates = [0.0]
    for y in places if follower.size <= LARGE else []:
        matrix = follower.linearized(y)[1]
        if np.all(np.isfinite(matrix)):
            rates.append(float(np.max(np.abs(np.linalg.eigvals(matrix)))))
    rate = max(rates)
    speed = float(np.linalg.norm(follower.velocity(y0)) / (1e-3 + np.linalg.norm(y0)))
    rate = max(rate, 1e-3 * speed) or speed or 1.0
    return _FIRST_TURNS * 2 * np.pi / rate


def explicit_time(follower: Follower, y0: np.ndarray, length: float) -> float | Verdict | None:
    """None for a field without; the time from which on it has none; or a verdict that there is none."""
    around = np.stack([y0, 1.1 * y0 + 0.1, 0.9 * y0 - 0.05])
    fields = [follower.at(time * length).velocities(around) for time in _TIMES]
    if all(np.array_equal(each, fields[0], equal_nan=True) for each in fields):
        return None
    for doublings in range(12):
        late = 2.0**doublings * max(length, 1.0)
        later = [follower.at(late * factor).velocities(around) for factor in (1.0, 1.37, 3.1, 17.7, 1e3)]
        if all(np.array_equal(each, later[0]) for each in later):
            return late
    reason = (
        "the field depends on time, and goes on to: take the phase of a periodic forcing as part of the state, or "
        "freeze the time"
    )
    return Verdict("undecided", reason, 0.0)
