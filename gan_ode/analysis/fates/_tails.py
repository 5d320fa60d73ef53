"""Motion that does not turn: toward a continuum of equilibria, by a power law, or away for ever."""

import dataclasses

import numpy as np

from ._follower import Follower, Path
from ._rest import Rest, root_near
from ._verdict import Fate

# A law holds where the exponents of the last doublings of time agree to this.
_SAME_LAW, _DOUBLINGS = 0.03, 4
# What is left of the motion on a continuum, relative to all of it.
_ARRIVED = {4: 1e-3, 8: 1e-6}
# And what it still moves by in a segment as long as all before.
_STOPPED = {4: 1e-5, 8: 1e-9}
_LARGE = 1e4
_ROUNDINGS = 100
# The growth rate at the end of a blow-up in finite time, in units of one over the time up to there.
_FINITE_TIME = 50.0


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a trajectory stood at the end of a segment.

    Attributes:
        time: When.
        y: The state.
        distance: From the root next to it, or NaN.
        length: Of the segment.
        extent: Largest extent of the segment over the coordinates.
        turns: How often the most mobile coordinate turned back in the segment.
        root: The root next to it, if there is one.
    """

    time: float
    y: np.ndarray
    distance: float
    length: float
    extent: float
    turns: int
    root: np.ndarray | None

    @classmethod
    def of(cls, rest: Rest | None, y: np.ndarray, time: float, path: Path) -> "Place":
        distance = float("nan") if rest is None else float(np.max(np.abs(rest.y - y)))
        spans = np.ptp(path.points, axis=0)
        widest = path.velocities[:, int(np.argmax(spans))]
        signs = np.sign(widest[widest != 0])
        turns = int(np.sum(signs[1:] != signs[:-1]))
        root = None if rest is None else rest.y
        return cls(time, y, distance, float(path.ts[-1] - path.ts[0]), float(np.max(spans)), turns, root)


def rests_on_a_continuum(follower: Follower, rest: Rest | None, places: list[Place]) -> Fate | None:
    """A continuum of equilibria that attracts."""
    if rest is None or len(places) < 2:
        return None
    whole = max(place.extent for place in places)
    arrived = places[-1].distance <= _ARRIVED[follower.itemsize] * whole
    nearer = places[-1].distance <= places[-2].distance
    if not (rest.linear == "continuum" and rest.smooth and arrived and nearer):
        return None
    # What creeps along a slow manifold looks the same, and does not stop.
    moved = np.abs(places[-1].y - places[-2].y) / (np.abs(places[-1].y) + follower.scale)
    if np.max(moved) <= _STOPPED[follower.itemsize] and _fills_null_space(follower, rest):
        return Fate("converges", "the motion dies out on a continuum of equilibria, which is stable across it")
    return None


def _fills_null_space(follower: Follower, rest: Rest) -> bool:
    """Whether equilibria go on along every direction that the linear part leaves open."""
    scale = np.maximum(follower.scale, 1e-9 * np.max(follower.scale))
    _, values, rows = np.linalg.svd(rest.matrix * scale)
    null = rows[values <= np.sqrt(follower.rounding) * values[0]]
    zeros = np.sum(np.abs(rest.eigenvalues) <= np.sqrt(follower.rounding) * np.max(np.abs(rest.eigenvalues)))
    if len(null) != zeros:
        return False
    for direction in null:
        for step in (1e-2, -1e-2):
            beside = root_near(follower, rest.y + step * scale * direction)
            if beside is None or direction @ ((beside.y - rest.y) / scale) / step < 0.5:
                return False
            # Beside much faster motion a slow one counts as none, unless it is looked at component by component.
            velocity, matrix = follower.linearized(beside.y)
            size = np.abs(matrix) @ (np.abs(beside.y) + scale)
            if np.any(np.abs(velocity) > _ROUNDINGS * follower.rounding * size):
                return False
    return True


def algebraic_approach(follower: Follower, rest: Rest | None, places: list[Place]) -> Fate | None:
    """A distance that falls by the same power of time over several doublings, and no turn on the way."""
    if rest is None or rest.linear == "unstable" or len(places) < _DOUBLINGS + 2:
        return None
    last = places[-_DOUBLINGS - 1 :]
    distances = np.array([place.distance for place in last])
    if not np.all(distances > 0) or any(place.turns > 2 for place in last):
        return None
    exponents = np.diff(np.log(distances)) / np.log(2)
    change = np.abs(np.diff(exponents))
    p = float(exponents[-1])
    if p > -0.02 or np.max(np.abs(exponents - p)) > 3 * _SAME_LAW * abs(p) or change[-1] > _SAME_LAW * abs(p):
        return None
    error = 4 * float(change[-1]) + 1e-3 * abs(p)
    reason = f"what is left of the way to an equilibrium falls by a power of time, over {_DOUBLINGS} doublings of it"
    # A root of higher order is found roughly only: where it still moves, the distance from it is no number to rely on.
    before = last[-2].root
    fixed = before is not None and np.max(np.abs(before - rest.y)) < 1e-3 * distances[-1]
    return Fate("converges", reason, {"power": p, "power_error": error} if fixed else {})


def grows_for_ever(follower: Follower, places: list[Place]) -> Fate | None:
    """A size that grows by the same power of time over several doublings, in one direction, to a large multiple."""
    if len(places) < _DOUBLINGS + 2:
        return None
    last = places[-_DOUBLINGS - 1 :]
    sizes = np.array([np.max(np.abs(place.y)) for place in last])
    if any(place.turns > 2 for place in last) or sizes[0] == 0:
        return None
    if sizes[-1] < _LARGE * (1 + np.max(np.abs(places[0].y))):
        return None
    exponents = np.diff(np.log(sizes)) / np.log(2)
    p = float(exponents[-1])
    directions = [place.y / np.max(np.abs(place.y)) for place in last]
    turned = np.max(np.abs(directions[-1] - directions[-2]))
    if p < 0.1 or np.ptp(exponents) > _SAME_LAW * p or turned > 0.05:
        return None
    error = 4 * abs(float(exponents[-1] - exponents[-2])) + 1e-3 * p
    reason = f"the state grows as t^{p:.4g}, over {_DOUBLINGS} doublings of time"
    return Fate("diverges", reason, {"power": p, "power_error": error})


def numbers_of_blow_up(path: Path, times: list[float]) -> dict[str, float]:
    """The time of a blow-up in finite time, or the rate of a growth that is exponential."""
    sizes = np.max(np.abs(path.points), axis=1)
    rates = np.max(np.abs(path.velocities), axis=1) / np.maximum(sizes, 1e-300)
    grown = sizes > 10 * sizes[0] + 10
    if np.sum(grown) >= 16:
        late = rates[grown]
        with np.errstate(divide="ignore"):
            logs, at = np.log(sizes[grown]), path.ts[grown]
        half = len(at) // 2
        slopes = [np.polyfit(at[part], logs[part], 1)[0] for part in (slice(None, half), slice(half, None))]
        if late[-1] < 3 * late[0] and abs(slopes[1] - slopes[0]) < 0.05 * abs(slopes[1]):
            return {"rate": float(slopes[1]), "rate_error": float(2 * abs(slopes[1] - slopes[0]) + 1e-6 * slopes[1])}
    # In finite time the size grows ever faster against itself.
    if len(rates) > 4 and rates[-1] * path.end_time > _FINITE_TIME:
        return {"time": times[-1], "time_error": abs(times[0] - times[1]) + 1e-9 * abs(times[-1])}
    return {}
