"""What is known of many starts, and how more is found out: followed, searched again from their ends, looked at."""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Bool, Int

from .. import _chunks
from .._types import State
from ._attracting_cycles import none, sort_out
from ._fates import Lane
from ._reasons import motion
from ._sinks import Search, Sinks
from ._ways import FlowWay, UpdateWay

# Neighbors along the curve that starts are put in order by.
_NEIGHBORS = 2
# Where extents still change by more (as a logarithm), no cycle is searched.
_STEADY_ENOUGH = 0.3


class Standing:
    """What is known of the starts, in NumPy's arrays.

    Attributes:
        sinks: The equilibria that are known, and their traps.
        cycles: The cycles that are known.
        index: Which of the sinks each start converges to, or -1.
        cycle: Which of the cycles it goes to, or -1.
        grown: Whether it grows without bound.
        time: When that was certain.
        final_state: The state then, of those that converge or grow; of others the state in the end.
        reasons: Why it is undecided, as a name from `REASONS`; of those that are decided it means nothing.
    """

    def __init__(self, way: FlowWay | UpdateWay, sinks: Sinks):
        self._way, self._lanes = way, way.follow_all(sinks.group(0))
        self.sinks = sinks
        lanes = self._lanes
        self.index, self.grown, self.time = (np.array(each) for each in (lanes.index, lanes.grown, lanes.time))
        self.final_state = jax.tree.map(np.array, lanes.y)
        self.cycle, self.reasons = np.full(len(self.index), -1), np.full(len(self.index), "moving", object)
        self.reasons[np.asarray(lanes.nonfinite)], self.reasons[np.asarray(lanes.failed)] = "nonfinite", "failed"
        self.cycles = none(lanes.y, self.sinks.traps.center.shape[-1])

    @property
    def decided(self) -> Bool[np.ndarray, " starts"]:
        return (self.index >= 0) | (self.cycle >= 0) | self.grown

    @property
    def _open(self) -> Int[np.ndarray, " open"]:
        """Those of which nothing is known but that they got to the end."""
        return np.flatnonzero(~self.decided & (self.reasons == "moving"))

    def search_again(self, search: Search) -> None:
        """Searches equilibria from the ends of what is undecided, and gives them to the starts that end there."""
        those = self._open
        if not len(those):
            return
        ends, moved = _chunks.rows(self._lanes.y, those), self._way.moved(self._lanes)[those]
        before = len(self.sinks)
        self.sinks = search.more(self.sinks, ends, moved)
        for group, chosen in self._by_group(self._new_sinks(those, before)):
            # Once more from the start, to know when it was certain.
            again = self._way.follow_some(those[chosen], self.sinks.group(group))
            self._put(those[chosen], again, group)

    def _new_sinks(self, those: Int[np.ndarray, " those"], before: int) -> Int[np.ndarray, " those"]:
        """Which of the sinks from a number on each start may go to, or -1."""
        points = self._way.points(self._lanes)[those]
        if self.sinks.traps.period == 1 or before == len(self.sinks):
            return self.sinks.holding(points)
        # The trap of a rule with a period may hold nothing of it at the end.
        centers = self.sinks.traps.center[before:]
        return before + np.argmin([np.linalg.norm(points - center, axis=1) for center in centers], axis=0)

    def compare_tolerances(self) -> None:
        """Leaves undecided what other tolerances decide otherwise, where that is to be feared."""
        if not isinstance(self._way, FlowWay):
            return
        if self._way.is_loose:
            loose = self._way.follow_loosely(self.sinks.group(0))
            index, grown = np.asarray(loose.index), np.asarray(loose.grown)
            differs = ((index >= 0) | grown) & ((index != self.index) | (grown != self.grown))
            self._withdraw(np.flatnonzero(differs & self.decided), _chunks.rows(loose.y, differs & self.decided))
        border = self._border()
        for group, chosen in self._by_group(np.where(self.grown, 0, self.index)[border]):
            those = border[chosen]
            again = self._way.follow_some(those, self.sinks.group(group), tighter=True)
            index = _counted(again, group, self.sinks.rows)
            differs = (index != self.index[those]) | (np.asarray(again.grown) != self.grown[those])
            self._withdraw(those[differs], _chunks.rows(again.y, differs))

    def _border(self) -> Int[np.ndarray, " border"]:
        """Decided ones with a neighbor that has another fate."""
        kinds = np.where(self.grown, -2, self.index)
        order = _chunks.by_neighborhood(self._way.chunks.starts)
        along, differs = kinds[order], np.zeros(len(kinds), bool)
        for apart in range(1, min(_NEIGHBORS, len(kinds) - 1) + 1):
            other = along[apart:] != along[:-apart]
            differs[order[apart:]] |= other
            differs[order[:-apart]] |= other
        return np.flatnonzero(differs & self.decided)

    def find_cycles(self) -> None:
        """Says of what is still undecided which cycle it goes to, or why that is not known."""
        those = self._open
        if not len(those):
            return
        duration = float(np.asarray(self._way.duration))
        look = self._way.look(self._lanes, those)
        moves = motion(look, self.sinks.traps, self._way.noise(self._lanes)[those], duration)
        self.reasons[those] = moves.names
        boxes, points = np.concatenate([moves.low, moves.high], axis=1), self._way.points(self._lanes)[those]
        around = np.isin(moves.names, ("open", "changing")) & (np.abs(moves.change) < _STEADY_ENOUGH)
        priority = np.where(around, -np.abs(moves.change), -np.inf)
        found = sort_out(lambda i: self._way.cycle(self._lanes, int(those[i])), points, boxes, priority)
        self.reasons[those[around]] = found.evidence[around]
        if found.cycles is not None:
            self.cycles = found.cycles
        for number in range(len(self.cycles)):
            self._follow_to_cycle(number, those[found.members == number])

    def _follow_to_cycle(self, number: int, those: Int[np.ndarray, " those"]) -> None:
        ring = jax.tree.map(lambda leaf: leaf[number : number + 1], self.cycles.rings)
        again = self._way.follow_some(those, ring, tighter=True)
        caught = np.asarray(again.index) >= 0
        self.time[those] = np.asarray(again.time)
        self.cycle[those[caught]], self.reasons[those[~caught]] = number, "tolerance"

    def _by_group(self, index: Int[np.ndarray, " those"]) -> Iterator[tuple[int, Int[np.ndarray, " chosen"]]]:
        groups = np.where(index >= 0, index // self.sinks.rows, -1)
        return ((int(group), np.flatnonzero(groups == group)) for group in np.unique(groups[groups >= 0]))

    def _put(self, those: Int[np.ndarray, " those"], lanes: Lane, group: int) -> None:
        self.index[those], self.grown[those] = _counted(lanes, group, self.sinks.rows), np.asarray(lanes.grown)
        self.time[those] = np.asarray(lanes.time)
        self._write(those, lanes.y)

    def _withdraw(self, those: Int[np.ndarray, " those"], ys: State) -> None:
        self.index[those], self.grown[those], self.reasons[those] = -1, False, "tolerance"
        self._write(those, ys)

    def _write(self, those: Int[np.ndarray, " those"], ys: State) -> None:
        for whole, part in zip(*map(jax.tree.leaves, (self.final_state, ys)), strict=True):
            whole[those] = part


def _counted(lanes: Lane, group: int, rows: int) -> Int[np.ndarray, " starts"]:
    """Indices among all sinks."""
    index = np.asarray(lanes.index)
    return np.where(index >= 0, group * rows + index, -1)
