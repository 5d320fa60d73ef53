"""What is known of many starts, and how more is found out: followed, searched again from their ends, looked at."""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Bool, Int

from ...simulate.ensembles import _chunks
from ._attracting_cycles import none, sort_out
from ._follow_starts import Lane
from ._reasons import motion
from ._sinks import flat, Search, Sinks
from ._ways_to_follow import FlowWay, UpdateWay

# Where extents still change by more (as a logarithm), no cycle is searched.
_STEADY_ENOUGH = 0.3


class Standing:
    """What is known of the starts, in NumPy's arrays.

    Attributes:
        way: How they are followed.
        lanes: Where they got to at first.
        sinks: The equilibria that are known, and their traps.
        cycles: The cycles that are known.
        index: Which of the sinks each start converges to, or -1.
        cycle: Which of the cycles it goes to, or -1.
        grown: Whether it grows without bound.
        time: When that was certain.
        certain: The states then, as rows.
        final_state: The state then, of those that converge or grow; of others the state in the end.
        reasons: Why it is undecided, as a name from `REASONS`; of those that are decided it means nothing.
    """

    def __init__(self, way: FlowWay | UpdateWay, sinks: Sinks):
        self.way, self.lanes = way, way.follow_all(sinks.group(0))
        self.sinks = sinks
        lanes = self.lanes
        self.index, self.grown, self.time = (np.array(each) for each in (lanes.index, lanes.grown, lanes.time))
        self.final_state = jax.tree.map(np.array, lanes.y)
        self.certain = flat(lanes.y).copy()
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
        ends, moved = _chunks.rows(self.lanes.y, those), self.way.moved(self.lanes)[those]
        before = len(self.sinks)
        self.sinks = search.more(self.sinks, ends, moved)
        for group, chosen in self.by_group(self._new_sinks(those, before)):
            # Once more from the start, to know when it was certain.
            some = those[chosen]
            again = self.way.follow_some(some, self.sinks.group(group))
            self.index[some], self.grown[some] = self.counted(again, group), again.grown
            self.write(some, again)

    def _new_sinks(self, those: Int[np.ndarray, " those"], before: int) -> Int[np.ndarray, " those"]:
        """Which of the sinks from a number on each start may go to, or -1."""
        points = self.way.points(self.lanes)[those]
        if self.sinks.traps.period == 1 or before == len(self.sinks):
            return self.sinks.holding(points)
        # The trap of a rule with a period may hold nothing of it at the end.
        centers = self.sinks.traps.center[before:]
        return before + np.argmin([np.linalg.norm(points - center, axis=1) for center in centers], axis=0)

    def find_cycles(self) -> None:
        """Says of what is still undecided which cycle it goes to, or why that is not known."""
        those = self._open
        if not len(those):
            return
        duration = float(np.asarray(self.way.duration))
        look = self.way.look(self.lanes, those)
        moves = motion(look, self.sinks.traps, self.way.noise(self.lanes)[those], duration)
        self.reasons[those] = moves.names
        boxes, points = np.concatenate([moves.low, moves.high], axis=1), self.way.points(self.lanes)[those]
        around = np.isin(moves.names, ("open", "changing")) & (np.abs(moves.change) < _STEADY_ENOUGH)
        priority = np.where(around, -np.abs(moves.change), -np.inf)
        found = sort_out(lambda i: self.way.cycle(self.lanes, int(those[i])), points, boxes, priority)
        self.reasons[those[around]] = found.evidence[around]
        if found.cycles is not None:
            self.cycles = found.cycles
        for number in range(len(self.cycles)):
            some = those[found.members == number]
            caught = self.follow_to_cycle(number, some, 1)
            self.cycle[some[caught]], self.reasons[some[~caught]] = number, "tolerance"

    def follow_to_cycle(self, number: int, those: Int[np.ndarray, " those"], level: int) -> Bool[np.ndarray, " those"]:
        """Follows starts until they are certain to go to a cycle; whether they do."""
        ring = jax.tree.map(lambda leaf: leaf[number : number + 1], self.cycles.rings)
        again = self.way.follow_some(those, ring, level)
        self.time[those], self.certain[those] = again.time, flat(again.y)
        return np.asarray(again.index) >= 0

    def by_group(self, index: Int[np.ndarray, " those"]) -> Iterator[tuple[int, Int[np.ndarray, " chosen"]]]:
        """Groups of sinks, and which go to one of them."""
        groups = np.where(index >= 0, index // self.sinks.rows, -1)
        return ((int(group), np.flatnonzero(groups == group)) for group in np.unique(groups[groups >= 0]))

    def counted(self, lanes: Lane, group: int) -> Int[np.ndarray, " lanes"]:
        """Which of all sinks they went to."""
        return np.where(lanes.index >= 0, group * self.sinks.rows + lanes.index, -1)

    def write(self, those: Int[np.ndarray, " those"], lanes: Lane) -> None:
        """Where starts have got to, and when."""
        self.time[those], self.certain[those] = lanes.time, flat(lanes.y)
        for whole, part in zip(*map(jax.tree.leaves, (self.final_state, lanes.y)), strict=True):
            whole[those] = part
