"""An update's orbit is followed for doubling numbers of steps, and asked after each, until it is decided."""

import math
from collections.abc import Callable

import diffrax
import numpy as np
from jax.flatten_util import ravel_pytree

from ...._types import Args, Field, State
from ....updates import AbstractUpdate
from .._follower import Follower
from .._verdict import Verdict
from ._by_law import by_law
from ._evidence import Evidence
from ._going_around import goes_around
from ._repeating import repeats
from ._resting import settles
from ._segments import SAVES
from ._unbounded import ended, still_grows

_MOST_SEGMENTS = 14
# Steps in all, unless a duration asks for more.
_BUDGET = 2_000_000


def judge_update(
    update: AbstractUpdate, field: Field, y0: State, args: Args, *, duration: float | None, invariant: Callable | None
) -> Verdict:
    follower = Follower(field, y0, args, diffrax.Dopri8())
    start = np.asarray(ravel_pytree(y0)[0], float)
    known = Evidence(update, field, y0, args, follower, invariant)
    if not np.all(np.isfinite(follower.velocity(start))):
        return known.verdict("undecided", "the field is not finite at the start: look at it there")
    around = np.stack([start, 1.1 * start + 0.1])
    h = float(update.step_size)
    fields = [follower.at(time).velocities(around) for time in (0.0, h, 97.3 * h, 1e4 * h, 1e7 * h)]
    if not all(np.array_equal(each, fields[0], equal_nan=True) for each in fields):
        return known.verdict("undecided", "the field depends on time: freeze it, or take the time as part of the state")
    most = _BUDGET if duration is None else max(math.ceil(duration / h), SAVES)
    return _run(known, most)


def _run(known: Evidence, most: int) -> Verdict:
    stride, extensible = 1, most == _BUDGET
    for number in range(_MOST_SEGMENTS):
        left = most - known.runner.steps
        if left < SAVES and number and extensible and still_grows(known):
            most, extensible = 4 * most, False
            left = most - known.runner.steps
        if left < SAVES and number:
            break
        stride = max(min(stride, left // SAVES // known.period), 1)
        segment = known.runner.run(stride * known.period)
        known.segments.append(segment)
        known.follower.look_at(segment.points) if number == 0 else known.follower.grow(segment.points)
        found = ended(known, segment) or settles(known, segment) or repeats(known) or by_law(known)
        if found is not None:
            return found
        if number:
            stride *= 2
    return goes_around(known) or known.verdict(
        "undecided", "it neither settles, nor repeats, nor keeps a law in the steps followed"
    )
