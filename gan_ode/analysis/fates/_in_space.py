"""Cycles of flows in three dimensions and more: a return that closes, and neighbors that do not leave it."""

import itertools
from typing import Any

import numpy as np

from ._follower import Follower, Path
from ._turns import extent, first_return, Section, Turn
from ._verdict import Fate

_SURE = 5.0
_CLOSED = {4: 5e-5, 8: 1e-7}
_TIMES_AGREE = {4: 1e-3, 8: 1e-6}
# A return is one within this distance, in units of the components' sizes.
_NEAR = 0.3
_NEIGHBORS, _TURNS_OF_NEIGHBORS = 3, 4
_BESIDE = {4: 3e-2, 8: 1e-4}
# A neighbor that gets so many times farther away leaves.
_LEAVES = 8.0
_MOST_TURNS = 8
# Turns that are looked at before the closed orbit that they lead to is searched by extrapolation.
_TURNS = 5
_SEARCHES = 14


def judge_space(follower: Follower, path: Path, tolerances: tuple[float, float], elapsed: float) -> Fate | None:
    """What the returns at the end of a path say; None if it does not return, or they say nothing.

    Args:
        follower: The field.
        path: The last segment of the trajectory.
        tolerances: The coarser and the finer.
        elapsed: How long it has been followed in all.
    """
    late = path.points[len(path.points) // 2 :]
    scale = np.ptp(late, axis=0)
    scale = np.maximum(scale, 1e-6 * np.max(scale) + 1e-300)
    speeds = np.max(np.abs(path.velocities[len(path.points) // 2 :]) / scale, axis=1)
    best = int(np.argmax(speeds))
    start, velocity = late[best], path.velocities[len(path.points) // 2 + best]
    section = Section(start, velocity / scale**2)
    hint = _time_of_return(path, start, section, scale)
    if hint is None:
        return None
    coarse, fine = tolerances

    def turn(y: np.ndarray, rtol: float) -> Turn | None:
        return first_return(follower, y, section, hint, rtol, _NEAR, scale)

    here = _compared(turn, start, scale, fine, coarse, follower.rounding)
    if here is None:
        return None
    is_led = not here.closes
    if is_led:
        times = _turns_to_close(turn, start, scale, fine, here.error)
        if times > 1:
            turn = _repeated(follower, turn, times)
            here = _compared(turn, start, scale, fine, coarse, follower.rounding)
            if here is None or not here.closes:
                return None
            is_led = False
        else:
            here = _led_to(turn, here, scale, fine, coarse, follower.rounding)
            if here is None:
                return None
    itemsize = follower.itemsize
    if here.error > _CLOSED[itemsize] or here.time_error > _TIMES_AGREE[itemsize] * here.turn.time:
        return None
    found = _with_neighbors(follower, turn, here, section, scale, fine, elapsed)
    # An orbit that does not close itself goes to a closed one only if that attracts.
    return None if is_led and found is not None and "nearer" not in found.reason else found


def _turns_to_close(turn: Any, start: np.ndarray, scale: np.ndarray, fine: float, error: float) -> int:
    """After how many turns an orbit that does not close in one is back; 0 if not in a few."""
    y = start
    for number in range(1, _MOST_TURNS + 1):
        following = turn(y, fine)
        if following is None:
            return 0
        y = following.end
        if np.max(np.abs(y - start) / scale) < 1e3 * error * number:
            return number
    return 0


def _repeated(follower: Follower, turn: Any, times: int) -> Any:
    """So many turns as one."""

    def several(y: np.ndarray, rtol: float) -> Turn | None:
        end, whole = y, 0.0
        for _ in range(times):
            following = turn(end, rtol)
            if following is None:
                return None
            end, whole = following.end, whole + following.time
        return Turn(y, end, whole, follower.follow(y, whole, rtol))

    return several


class _Compared:
    """A turn at two tolerances."""

    def __init__(self, fine: Turn, coarse: Turn, scale: np.ndarray, rounding: float):
        self.turn, self.scale = fine, scale
        grain = 8 * rounding * float(np.max(np.abs(fine.start) / scale))
        self.error = float(np.max(np.abs(fine.end - coarse.end) / scale)) + grain
        self.distance = float(np.max(np.abs(fine.end - fine.start) / scale))
        self.time_error = abs(fine.time - coarse.time) + grain * fine.time
        self.closes = self.distance <= _SURE * self.error


def _compared(
    turn, start: np.ndarray, scale: np.ndarray, fine: float, coarse: float, rounding: float
) -> _Compared | None:
    one = turn(start, fine)
    other = None if one is None else turn(start, coarse)
    return None if one is None or other is None else _Compared(one, other, scale, rounding)


def _time_of_return(path: Path, start: np.ndarray, section: Section, scale: np.ndarray) -> float | None:
    heights = section.height(path.points)
    upward = np.flatnonzero((heights[:-1] < 0) & (heights[1:] >= 0))
    near = [i for i in upward if np.max(np.abs(path.points[i + 1] - start) / scale) < _NEAR]
    return float(np.min(np.diff(path.ts[near]))) if len(near) >= 3 else None


def _led_to(turn, here: _Compared, scale: np.ndarray, fine: float, coarse: float, rounding: float) -> _Compared | None:
    """The closed orbit that the turns lead to: they shrink steadily, and Anderson's extrapolation finds their limit."""
    ends, distances = [here.turn.start, here.turn.end], [here.distance]
    for _ in range(_TURNS):
        following = turn(ends[-1], fine)
        if following is None:
            return None
        ends.append(following.end)
        distances.append(float(np.max(np.abs(ends[-1] - ends[-2]) / scale)))
    ratios = np.array(distances[2:]) / np.array(distances[1:-1])
    if distances[-1] < 50 * here.error:
        return _compared(turn, ends[-1], scale, fine, coarse, rounding)
    if np.any(ratios > 0.999) or np.ptp(np.log(ratios)) > 1.5:
        return None
    reach = 10 * distances[-1] / (1 - float(np.max(ratios)))
    xs, gs = ends[:-1], [later - earlier for earlier, later in itertools.pairwise(ends)]
    depth = min(len(scale), 6)
    for _ in range(_SEARCHES):
        recent = min(depth, len(xs) - 1)
        moves = np.array([(xs[-j] - xs[-j - 1]) / scale for j in range(1, recent + 1)]).T
        changes = np.array([(gs[-j] - gs[-j - 1]) / scale for j in range(1, recent + 1)]).T
        weights = np.linalg.lstsq(changes, gs[-1] / scale, rcond=1e-10)[0]
        there = xs[-1] + gs[-1] - scale * ((moves + changes) @ weights)
        if not np.all(np.isfinite(there)) or np.max(np.abs(there - ends[-1]) / scale) > max(reach, 1e-6):
            return None
        found = _compared(turn, there, scale, fine, coarse, rounding)
        if found is None:
            return None
        if found.closes:
            return found
        xs.append(there)
        gs.append(found.turn.end - there)
    return None


def _with_neighbors(
    follower: Follower, turn, here: _Compared, section: Section, scale: np.ndarray, fine: float, elapsed: float
) -> Fate | None:  # fmt: skip
    center = here.turn.start
    beside = max(_BESIDE[follower.itemsize], 100 * here.error)
    normal = section.normal * scale
    ratios, times = [], []
    for direction in np.random.default_rng(2).standard_normal((_NEIGHBORS, len(scale))):
        across = direction - (direction @ normal) / (normal @ normal) * normal
        y = center + beside * scale * across / np.linalg.norm(across)
        distance = 1.0
        for _ in range(_TURNS_OF_NEIGHBORS):
            following = turn(y, fine)
            if following is None:
                return None
            y = following.end
            times.append(following.time)
            distance = float(np.linalg.norm((y - center) / scale)) / beside
            if distance > _LEAVES:
                after = f"after a turn of {here.turn.time:.8g} the orbit closes to {here.distance:.1e} of its size"
                return Fate(
                    "undecided", f"{after}, but its neighbors leave it: rounding decides where it goes", final=True
                )
        ratios.append(distance)
    size, error = extent(follower, here.turn, fine)
    shrink = max(ratios) < 0.9
    after = f"after a turn of {here.turn.time:.8g} the orbit closes to {here.distance:.1e} of its size"
    stay = "come nearer" if shrink else "stay beside it"
    if shrink:
        # The closed orbit is off by the closing error over their contraction.
        turns, gain = 1.0, 1 / (1 - max(ratios) ** (1 / _TURNS_OF_NEIGHBORS))
    else:
        # It is another one of the family than the one from the start, by the errors of all turns up to here.
        turns, gain = 1 + elapsed / here.turn.time, 1.0
    shift = turns * gain * (here.distance + here.error)
    steepness = float(np.max(np.abs(np.array(times) - here.turn.time))) / beside
    time_error = 2 * turns * here.time_error + (4 * here.turn.time + steepness) * shift
    numbers = {
        "period": here.turn.time, "period_error": time_error,
        "amplitude": size, "amplitude_error": error + 4 * shift * size, "closure": here.distance,
    }  # fmt: skip
    return Fate("cycles", f"{after}, and its neighbors {stay}", numbers)
