"""The walk along a branch of cycles: steps, what happens on the way, and what ends it."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..arclength._between import zero_between
from ..arclength._motion import OfFields
from ._branch import CycleEventKind
from ._collocation import Chart, Path
from ._corrector import Cycle, follow
from ._events import Crossing, happened, kind_of

END_OF_RANGE = "end of range"
AT_HOPF = "a Hopf point"
NO_END = "period without end: homoclinic or heteroclinic"
FAMILY = "a family of cycles at one value"
SHORT_STEP, OUTSIDE = "step too small", "left the domain"
MANY_POINTS, MANY_FOLDS = "number of points", "fold count"
NO_START = "no cycle at the start"

# The first step, and the shortest.
FIRST, SHORTEST = 1e-2, 1e-7
# What a step aims at and what it must not pass: the angle between two tangents, in radians; Newton's contraction.
ANGLE, CONTRACTION = (0.2, 0.5), (0.1, 0.5)
GROWS, SHRINKS = 1.6, 0.4
# A branch runs to a period without end where the period has grown so many times, and the parameter moves by no more
# than this part of its range while it grows e-fold.
LONGER, STANDS = 4.0, 1e-8
_LONGEST = 1e4
# A cycle that is so many times smaller than the one before is too far away from it.
SHRUNK = 0.2
# The parameter of a family of cycles at one value moves by less than this part of its range.
_SAME = 1e-9


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a branch is followed.

    Attributes:
        longest: The longest step, in units of the range, of the state's size, or of the period's logarithm.
        max_points: Most points.
        max_folds: Most folds.
    """

    longest: float | Array
    max_points: int
    max_folds: int


@dataclasses.dataclass
class Walk:
    """What was found.

    Attributes:
        cycles: The points.
        events: What happened on the way, and the cycle there.
        ended: Why it ended.
        shortest: The logarithm of the shortest period.
        spread: The least and the greatest share of the range from the second cycle on.
    """

    cycles: list[Cycle]
    events: list[tuple[CycleEventKind, Cycle]]
    ended: str
    shortest: float = np.inf
    spread: tuple[float, float] = (np.inf, -np.inf)

    def add(self, cycle: Cycle) -> None:
        share, log_period = float(cycle.path.share), float(cycle.path.log_period)
        if self.cycles:
            self.spread = min(self.spread[0], share), max(self.spread[1], share)
        self.cycles.append(cycle)
        self.shortest = min(self.shortest, log_period)


def walk(family: OfFields, chart: Chart, begun: list[Cycle], settings: Settings) -> Walk:
    """Follows a branch from its first cycles, along the last one's tangent."""
    found = Walk([], [], "")
    for cycle in begun:
        found.add(cycle)
    longest = float(settings.longest)
    step = min(FIRST, longest)
    while not found.ended:
        here = found.cycles[-1]
        reach = step * max(1.0, float(here.seen.amplitude))
        base, there = follow(family, chart, here, _number(reach, here), here.tangent, here.path.k, jnp.asarray(True))
        if bool(there.ok) and float(there.seen.overlap) < 0 and float(here.seen.amplitude) < 2 * reach:
            found.ended = AT_HOPF
            break
        crossings = happened(base, there) if bool(there.ok) else []
        factor = _judged(here, there, len(crossings), reach)
        if factor is None:
            step *= SHRINKS
            if step < SHORTEST:
                found.ended = OUTSIDE if not bool(there.finite) else SHORT_STEP
            continue
        _take(family, chart, found, base, there, reach, crossings)
        folds = sum(kind == "fold of cycles" for kind, _ in found.events)
        found.ended = found.ended or _ended(found, settings, folds)
        step = min(step * factor, longest)
    return found


def _take(
    family: OfFields, chart: Chart, found: Walk, base: Cycle, there: Cycle, reach: float, crossings: list[Crossing]
) -> None:
    """Adds a cycle with what happened on the way to it, up to where the parameter leaves its range."""

    def look(way: float) -> Cycle:
        return follow(family, chart, base, _number(way, base), base.tangent, base.path.k, jnp.asarray(False))[1]

    share, last, after = float(there.path.share), reach, there
    outside = share <= 0 if share < 0.5 else share >= 1
    if outside:
        border = 0.0 if share < 0.5 else 1.0
        end = zero_between(look, reach, lambda cycle: float(cycle.path.share) - border)
        if end is not None:
            # It lies there to rounding.
            last, there = end
            there = eqx.tree_at(lambda cycle: cycle.path.share, there, _number(border, there))
        found.ended = END_OF_RANGE
    places = []
    for crossing in crossings:
        place = zero_between(look, last, crossing.number)
        kind = None if place is None else kind_of(crossing, place[1], base, after)
        if place is not None and kind is not None:
            places.append((*place, kind))
    found.events += [(kind, cycle) for _, cycle, kind in sorted(places, key=lambda place: place[0])]
    found.add(there)


def _judged(here: Cycle, there: Cycle, num_crossings: int, reach: float) -> float | None:
    """By what the step grows; None if it was too long."""
    # An equilibrium obeys the equations as well, with any period.
    shrunk = float(there.seen.amplitude) < SHRUNK * float(here.seen.amplitude)
    if not bool(there.ok) or shrunk:
        return None
    angle = float(np.arccos(np.clip(float(there.seen.turned), -1, 1)))
    contraction = float(there.contraction)
    too_long = angle > ANGLE[1] or contraction > CONTRACTION[1] or (num_crossings > 1 and reach > 1e-3)
    if too_long:
        return None
    aims = (ANGLE[0] / max(angle, 1e-6), np.sqrt(CONTRACTION[0] / max(contraction, 1e-6)))
    return float(np.clip(min(aims), SHRINKS, GROWS))


def _ended(found: Walk, settings: Settings, folds: int) -> str:
    last = found.cycles[-1]
    along, across = float(last.tangent.log_period), abs(float(last.tangent.share))
    grown = float(last.path.log_period) - found.shortest
    if along > 0 and (grown > np.log(_LONGEST) or (grown > np.log(LONGER) and across < STANDS * along)):
        return NO_END
    if len(found.cycles) > 4 and found.spread[1] - found.spread[0] < _SAME:
        return FAMILY
    if folds > settings.max_folds:
        return MANY_FOLDS
    return MANY_POINTS if len(found.cycles) >= settings.max_points else ""


def _number(value: float, cycle: Cycle) -> Any:
    return jnp.asarray(value, cycle.path.x.dtype)


def only_share(path: Path) -> Path:
    """The direction of the parameter."""
    # In NumPy, of which nothing is compiled.
    still = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), path)
    return eqx.tree_at(lambda p: p.share, still, jnp.asarray(np.ones((), path.x.dtype)))
