"""Whether other tolerances give starts the same fates, where it is to be feared that they do not."""

import numpy as np
from jaxtyping import Bool, Float, Int

from ...simulate.ensembles import _chunks
from ._sinks import flat
from ._status_of_starts import Standing
from ._ways_to_follow import FlowWay, LEVELS

# Neighbors along the curve that starts are put in order by.
_NEIGHBORS = 2
# States at two tolerances are the same if they differ by so small a part of their distance from the sink, or of the
# radius of the ring; and times of growth, if by so small a part of them.
_SAME, _SAME_TIME = 0.02, 0.1
_NEARLY = 0.7


def compare_tolerances(standing: Standing) -> None:
    """Leaves undecided what depends on the tolerance. The steps of an update do not."""
    way = standing.way
    if not isinstance(way, FlowWay):
        return
    if way.is_loose:
        loose = way.follow_loosely(standing.sinks.group(0))
        differs = (loose.index >= 0) & (loose.index != standing.index) | loose.grown & ~standing.grown
        _withdraw(standing, np.flatnonzero(differs & standing.decided))
    compared = np.zeros(len(standing.index), bool)
    # Next to one that has lost its fate, others may lose theirs, and those that take as long.
    while np.any(feared := (_border(standing) | _late(standing)) & ~compared):
        compared |= feared
        _compare(standing, way, feared)


def _late(standing: Standing) -> Bool[np.ndarray, " starts"]:
    """Decided ones that took nearly as long as the fastest that has lost its fate."""
    lost = standing.time[standing.reasons == "tolerance"]
    return standing.decided & (standing.time > _NEARLY * np.min(lost, initial=np.inf))


def _border(standing: Standing) -> Bool[np.ndarray, " starts"]:
    """Decided ones with a neighbor that has another fate."""
    kinds = np.where(standing.grown, -2, np.where(standing.cycle >= 0, -3 - standing.cycle, standing.index))
    order = _chunks.morton_order(standing.way.chunks.starts)
    along, differs = kinds[order], np.zeros(len(kinds), bool)
    for apart in range(1, min(_NEIGHBORS, len(kinds) - 1) + 1):
        other = along[apart:] != along[:-apart]
        differs[order[apart:]] |= other
        differs[order[:-apart]] |= other
    return differs & standing.decided


def _compare(standing: Standing, way: FlowWay, feared: Bool[np.ndarray, " starts"]) -> None:
    _agree(standing, way, np.flatnonzero(feared & (standing.index >= 0) & (standing.time > 0)), 0)
    # Those were told at a higher level.
    _agree(standing, way, np.flatnonzero(feared & (standing.cycle >= 0) & (standing.time > 0)), 1)
    grown = np.flatnonzero(feared & standing.grown)
    if len(grown):
        again, before = way.follow_some(grown, standing.sinks.group(0), 1), standing.time[grown]
        same = again.grown & (np.abs(again.time - before) <= _SAME_TIME * before)
        _withdraw(standing, grown[~same])


def _agree(standing: Standing, way: FlowWay, those: Int[np.ndarray, " those"], level: int) -> None:
    """Follows ever more tightly, until two agree on the state at the time when it was certain.

    Chaos comes to the same end by chance, but not to the same state on the way. What gets small on the way, near an
    invariant line, needs more than one round.
    """
    while len(those):
        there = flat(way.state_at(those, standing.time, level + 1))
        those, level = those[~_are_near(standing, those, there)], level + 1
        if level == LEVELS:
            _withdraw(standing, those)
            return
        _follow_again(standing, way, those, level)
        those = those[standing.decided[those]]


def _follow_again(standing: Standing, way: FlowWay, those: Int[np.ndarray, " those"], level: int) -> None:
    """Tells fates at another tolerance."""
    for group, chosen in standing.by_group(standing.index[those]):
        some = those[chosen]
        again = way.follow_some(some, standing.sinks.group(group), level)
        # It may be another one.
        standing.index[some] = standing.counted(again, group)
        standing.write(some, again)
        _withdraw(standing, some[again.index < 0])
    for number in np.unique(standing.cycle[those][standing.cycle[those] >= 0]):
        some = those[standing.cycle[those] == number]
        _withdraw(standing, some[~standing.follow_to_cycle(number, some, level)])


def _are_near(
    standing: Standing, those: Int[np.ndarray, " those"], there: Float[np.ndarray, "those n"]
) -> Bool[np.ndarray, " those"]:
    found = np.zeros(len(those), bool)
    for number, (i, point) in enumerate(zip(those, there, strict=True)):
        away = np.abs(standing.certain[i] - point)
        if standing.index[i] >= 0:
            traps, index = standing.sinks.traps, standing.index[i]
            width = np.sqrt(traps.level[index] / np.linalg.norm(traps.matrix[index], 2))
            size = max(float(np.linalg.norm(standing.certain[i] - traps.center[index])), float(width))
        else:
            rings, cycle = standing.cycles.rings, standing.cycle[i]
            away, size = away / np.asarray(rings.scale)[cycle], float(np.asarray(rings.radius)[cycle])
        found[number] = np.linalg.norm(away) <= _SAME * size
    return found


def _withdraw(standing: Standing, those: Int[np.ndarray, " those"]) -> None:
    standing.index[those], standing.cycle[those], standing.grown[those] = -1, -1, False
    standing.reasons[those] = "tolerance"
