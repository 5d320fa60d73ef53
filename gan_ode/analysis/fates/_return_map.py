"""The return map of an orbit in the plane, on a ray from a root of the field."""

import dataclasses

import numpy as np

from ._follower import Follower
from ._rest import Rest
from ._turns import first_return, Section, Turn

# A displacement counts that is so many times the difference of two tolerances.
SURE = 5.0


@dataclasses.dataclass(frozen=True)
class Displaced:
    """A turn from a radius: the displacement with its error, and the time with its own."""

    radius: float
    delta: float
    error: float
    time: float
    time_error: float
    turn: Turn

    @property
    def sure(self) -> bool:
        return bool(abs(self.delta) > SURE * self.error)


class ReturnMap:
    """The return map on a ray from a root of the field through a state.

    Args:
        follower: The field.
        rest: The root.
        through: A state on the ray; in units of the components' sizes it has the radius 1.
        scale: The components' sizes.
        tolerances: The coarser and the finer.
        hint: About how long a turn takes.
        turns_before: How many turns the trajectory has made up to there.
    """

    def __init__(
        self, follower: Follower, rest: Rest, through: np.ndarray, scale: np.ndarray, tolerances: tuple[float, float],
        hint: float, turns_before: float = 0.0,
    ):  # fmt: skip
        self.follower, self.rest, self.tolerances, self.hint = follower, rest, tolerances, hint
        self.turns_before = turns_before
        away = (through - rest.y) / scale
        self.length = float(np.linalg.norm(away))
        x, y = away / self.length
        self.along = scale * np.array([x, y]) * self.length
        self.section = Section(rest.y, np.array([-y, x]) / scale, np.array([x, y]) / scale)
        self.lost = ""
        self.at_start: Displaced | None = None

    def start(self, radius: float) -> np.ndarray:
        return self.rest.y + radius * self.along

    def radius(self, y: np.ndarray) -> float:
        return float(self.section.side @ (y - self.rest.y)) / self.length

    def at(self, radius: float) -> Displaced | None:
        """The turn from a radius; None if the orbit does not come back, and `lost` is why."""
        start, (coarse, fine) = self.start(radius), self.tolerances
        one = first_return(self.follower, start, self.section, self.hint, fine)
        if one is None or not self._goes_around(one):
            self.lost = self.follower.last.outcome
            return None
        other = first_return(self.follower, start, self.section, one.time / 1.2, coarse)
        if other is None or one.time == 0:
            self.lost = self.follower.last.outcome
            return None
        self.hint = one.time
        there, again = self.radius(one.end), self.radius(other.end)
        # What rounding of coordinates that are not measured from the root makes of the radius.
        offset = np.max(np.abs(self.rest.y) / (np.abs(self.along) * radius + 1e-300) * (np.abs(self.along) > 0))
        grain = self.follower.rounding * (8 + 4 * float(offset))
        error = abs(there - again) / radius + grain
        time_error = abs(one.time - other.time) + grain * one.time
        return Displaced(radius, (there - radius) / radius, error, one.time, time_error, one)

    def _goes_around(self, turn: Turn) -> bool:
        """Whether the turn encircles the root once; with more samples where it is fast in a short part of its time."""
        points = turn.path.points
        away = points - self.rest.y
        for _ in range(2):
            away = points - self.rest.y
            angles = np.unwrap(np.arctan2(away @ self.section.normal, away @ self.section.side))
            if np.max(np.abs(np.diff(angles))) < 2.5:
                return bool(abs(abs(angles[-1] - angles[0]) - 2 * np.pi) < 0.5)
            points = self.follower.densely(turn.start, turn.time, self.tolerances[1], 12)
        # A jump from side to side that no sample shows: it counts if the ray is crossed in one sense only.
        heights, sides = away @ self.section.normal, away @ self.along
        sense = np.sign(self.section.normal @ self.follower.velocity(turn.start))
        crossings = np.diff(np.sign(heights)) * sense
        against = (crossings < 0) & (sides[:-1] > 0) & (sides[1:] > 0)
        opposite = (crossings < 0) & ((sides[:-1] < 0) | (sides[1:] < 0))
        return bool(np.any(opposite) and not np.any(against))
