"""Whether sequences that are known in a few windows repeat, with which period, and from when."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LONGEST = 256
"""The longest period that is looked for."""

# By the precision: how far numbers may change, relative to the largest that they ever were, and count as the same.
_SAME = {0: 0.0, 4: 1e-4, 8: 1e-6}
_SPACING = {0: 0.0, 4: 2.0**-23, 8: 2.0**-52}
# A counter that is made a floating-point number is rounded: a function of it strays by so many roundings of the counter
# times its slope. Past this part of the whole range nothing is told of it.
_ROUNDINGS, _BLIND = 4.0, 0.05
# What is within this of the limit has settled enough for a region in which convergence is certain.
_NEARLY = 0.1
_FADED = 1e-6

_REMEDY = (
    "give the rule that you ask about without them, for example with a constant learning rate, or take `check=False` "
    "for one step at late counters."
)


class Reading(NamedTuple):
    """One number, in every window.

    Attributes:
        rows: Its values, shape `(windows, steps)`.
        itemsize: Of its floating-point type; 0 for whole numbers.
        open: Whether it may grow evenly, since what is made of it is looked at elsewhere.
    """

    rows: np.ndarray
    itemsize: int
    open: bool


class Settled(NamedTuple):
    """How sequences repeat.

    Attributes:
        period: Of all of them.
        window: The window in which they are nearest to the limit.
        tick: The step of it with which a period begins, a multiple of it after the start; at least 1.
        since: The first step from which all are within a tenth of the limit, a multiple of the period.
        open: Whether some grow evenly.
        fades: Whether some come to zero.
    """

    period: int
    window: int
    tick: int
    since: int
    open: bool
    fades: bool


def settled(readings: Sequence[Reading], starts: Sequence[int], late: Sequence[int]) -> Settled:
    """How sequences repeat, or a `ValueError` if they do not.

    Args:
        readings: The sequences.
        starts: Number of the first step of each window.
        late: Which windows tell of the limit, in order.
    """
    at = np.asarray(starts)
    growing = [each.open and _grows_evenly(each, at, late) for each in readings]
    found = [_Limit(each, at, late) for each, grows in zip(readings, growing, strict=True) if not grows]
    period = math.lcm(*(each.period for each in found))
    if period > LONGEST:
        raise ValueError(
            f"`update` must do the same again after at most {LONGEST} steps, but its parts do so only after {period} "
            f"together: {_REMEDY}"
        )
    errors = [max((each.error(i) for each in found), default=0.0) for i in late]
    window = [i for i, error in zip(late, errors, strict=True) if error <= min(errors)][-1]
    if not min(errors) < np.inf:
        raise ValueError(_changes(int(at[late[-1]])))
    tick = 1 + (-int(at[window]) - 1) % period
    since = max((each.since for each in found), default=0)
    fades = any(each.fades for each in found)
    return Settled(period, window, tick, -(-since // period) * period, any(growing), fades)


class _Limit:
    """The periodic sequence that a reading comes to.

    Attributes:
        period: Its period.
        since: The first step from which the reading is within a tenth of it.
        fades: Whether it is zero, beside what the reading once was.
    """

    def __init__(self, reading: Reading, at: np.ndarray, late: Sequence[int]):
        rows = reading.rows
        finite = np.where(np.isfinite(rows), np.abs(rows), 0)
        self._rows, self._at, self._scale = rows, at, float(np.max(finite, initial=0.0))
        slope = np.max(np.abs(np.diff(rows, axis=1)), axis=1)
        span = np.max(rows, axis=1) - np.min(rows, axis=1)
        self._noise = _ROUNDINGS * _SPACING[reading.itemsize] * (at + rows.shape[1]) * slope
        self._sees = ~((self._noise > _BLIND * span) & (span > 0))
        seen = [i for i in late if self._sees[i]]
        if len(seen) < 2:
            raise ValueError(
                "`update` must repeat, but what it takes from its counters is lost in their rounding: switch on "
                "double precision by `jax.config.update('jax_enable_x64', True)`, or count by whole numbers."
            )
        self._last, before = seen[-1], seen[-2]
        same = _SAME[reading.itemsize] * self._scale
        found = least_period(rows[self._last], same + 2 * self._noise[self._last])
        if found is None:
            raise ValueError(
                f"`update` must do the same again after at most {LONGEST} steps, but what it takes from its counters "
                f"does not: {_REMEDY}"
            )
        self.period = found
        if not self._distance(before) <= same + self._noise[before] + self._noise[self._last]:
            raise ValueError(_changes(int(at[self._last])))
        self.since = self._first()
        size = float(np.max(np.abs(rows[self._last])))
        self.fades = size <= _FADED * self._scale and self._scale > 0

    def error(self, window: int) -> float:
        """How far the reading is from the limit there, relative to the largest that it ever was."""
        if not self._sees[window]:
            return np.inf
        apart = max(self._distance(window) - self._noise[self._last], self._noise[window], 0.0)
        return 0.0 if apart == 0 else apart / self._scale

    def _apart(self, window: int) -> np.ndarray:
        """The distance from the limit, step by step."""
        steps = self._at[window] + np.arange(self._rows.shape[1])
        limit = self._rows[self._last][(steps - self._at[self._last]) % self.period]
        return np.abs(self._rows[window] - limit)

    def _distance(self, window: int) -> float:
        return float(np.max(self._apart(window)))

    def _first(self) -> int:
        near = [self._apart(i) <= _NEARLY * self._scale for i in range(self._last + 1)]
        if all(np.all(each) for each in near):
            return 0
        last = max(i for i, each in enumerate(near) if not np.all(each))
        inside = int(np.flatnonzero(~near[last])[-1]) + 1
        if inside < len(near[last]) or last == self._last:
            return int(self._at[last]) + inside
        return int(self._at[last + 1])


def least_period(row: np.ndarray, tolerance: float) -> int | None:
    """The least period of a sequence, along its first axis; None if it is longer than `LONGEST`."""
    for period in range(1, LONGEST + 1):
        if np.all(np.abs(row[period:] - row[:-period]) <= tolerance):
            return period
    return None


def _grows_evenly(reading: Reading, at: np.ndarray, late: Sequence[int]) -> bool:
    """Whether it is a counter: it grows by the same in every period, and between windows too."""
    spacing = _SPACING[reading.itemsize]
    for i, j in zip(late[-2::-1], late[:0:-1], strict=True):
        row, tolerance = reading.rows[j], spacing * np.max(np.abs(reading.rows[j]))
        for period in range(1, LONGEST + 1):
            growth = row[period:] - row[:-period]
            if np.all(np.abs(growth - growth[0]) <= tolerance) and abs(growth[0]) > 4 * tolerance:
                between = (row[0] - reading.rows[i][0]) / (at[j] - at[i]) * period
                return bool(abs(between - growth[0]) <= 0.1 * abs(growth[0]))
    return False


def _changes(steps: int) -> str:
    return (
        "`update` must come to a limit, but what it takes from its counters (a schedule, an average over all steps) "
        f"still changes after {steps:,} steps: {_REMEDY}"
    )
