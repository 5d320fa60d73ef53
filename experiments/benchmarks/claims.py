"""How many processes can take part in one sweep, before its folder is what they wait for?

What `sweeps.take_part` asks of the file system is counted in operations: a look at the folder (an operation for each
hundred names), whether a block is there, a claim, its renewals, a block that is written beside its place and renamed,
the claim given back. What such operations cost on this disk is measured. Then ten to ten thousand processes are
simulated, each with blocks of a minute, ten a process, all beside one file server that does one operation after the
other: as fast as this disk, and as slow as servers of networks are. Where one folder is too much, the same processes
are shared out over several, each a part of the grid.

The table has how long it all took over what the blocks alone would take, the share of time in which the server is at
work, how often a process was not the first at a block, and the longest wait for one operation: where it comes near the
time in which a claim expires, blocks would be computed twice.
"""

import argparse
import dataclasses
import functools
import heapq
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_ode.sweeps._take_part import _MISSES

NAMES_AN_OPERATION = 100
# Beside a path, flushed, renamed, the folder flushed, the note of a failure removed; the claim read and removed.
WRITE = 7
MINUTE, BLOCKS_EACH = 60.0, 10
CASES = ((10, 1), (100, 1), (1000, 1), (1000, 10), (10_000, 1), (10_000, 10), (10_000, 100))
SLOWER_SERVERS = (10_000.0, 1000.0)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to a thousand processes")
    quick = parser.parse_args(argv).quick
    here = operations_a_second()
    print(f"This disk: {here:,.0f} operations a second\n")
    print("processes  folders   blocks  server, operations/s  time/ideal  server busy  beaten/block  longest wait")
    for number, folders in [case for case in CASES if case[0] <= 1000 or not quick]:
        for rate in (here, *SLOWER_SERVERS):
            found = simulate(number, folders, BLOCKS_EACH * number, rate)
            print(
                f"{number:>9,}{folders:>9}{BLOCKS_EACH * number:>9,}{rate:>22,.0f}{found.slowdown:>12.2f}"
                f"{found.busy:>13.0%}{found.beaten:>14.3f}{found.longest_wait:>12.2f} s",
                flush=True,
            )
    return 0


def operations_a_second(num: int = 2000) -> float:
    """Of claims that are made, looked at, touched, read and removed, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for n in range(num):
            path = Path(folder) / f"block-{n:06d}.claim"
            with open(path, "x") as file:
                file.write("0" * 16)
            path.exists()
            os.utime(path)
            path.read_text()
            path.unlink()
        return 5 * num / (time.perf_counter() - start)


@dataclasses.dataclass(frozen=True)
class Found:
    """What became of a simulated sweep."""

    slowdown: float
    busy: float
    beaten: float
    longest_wait: float


class Server:
    """Does one operation after the other."""

    def __init__(self, rate: float):
        self.rate, self.free_at, self.work, self.longest_wait = rate, 0.0, 0.0, 0.0

    def serve(self, now: float, operations: float) -> float:
        """When operations that are asked for now are done."""
        self.longest_wait = max(self.longest_wait, self.free_at - now)
        spent = operations / self.rate
        self.free_at, self.work = max(now, self.free_at) + spent, self.work + spent
        return self.free_at


class Sweep:
    """The blocks of a simulated sweep, and the processes at work on them, as `take_part` with `wait=False` has them."""

    def __init__(self, processes: int, folders: int, blocks: int, rate: float, expire: float = 600.0):
        self.server, self.rng = Server(rate), np.random.default_rng(0)
        self.done, self.claimed = np.zeros(blocks, bool), np.zeros(blocks, bool)
        self.size = blocks // folders
        self.look_costs = self.size / NAMES_AN_OPERATION
        # A renewal is a look at the claim and a touch.
        self.renewals = 2 * MINUTE / (expire / 4)
        self.beaten, self.ends_at = 0, 0.0
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.count = 0
        for n in range(processes):
            self.at(self.rng.uniform(0, 1), functools.partial(self.look, n % folders))

    def run(self) -> None:
        while self.events:
            now, _, happens = heapq.heappop(self.events)
            happens(now)

    def at(self, when: float, happens: Callable[[float], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, happens))

    def look(self, folder: int, now: float) -> None:
        """At the names in a folder: some of those blocks that nobody has are attempted."""

        def seen(now: float) -> None:
            part = slice(folder * self.size, (folder + 1) * self.size)
            free = np.flatnonzero(~(self.done[part] | self.claimed[part])) + part.start
            if len(free) > 0:
                chosen = self.rng.choice(free, min(len(free), 4 * BLOCKS_EACH), replace=False)
                self.attempt(folder, list(chosen), 0, now)
            else:
                self.ends_at = max(self.ends_at, now)

        self.at(self.server.serve(now, self.look_costs), seen)

    def attempt(self, folder: int, blocks: list[int], misses: int, now: float) -> None:
        """The next block of a list is claimed, if nobody was faster."""
        if not blocks or misses == _MISSES:
            self.look(folder, now)
            return
        block = blocks.pop()

        def claims(now: float) -> None:
            if self.done[block] or self.claimed[block]:
                self.beaten += 1
                self.attempt(folder, blocks, misses + 1, now)
                return
            self.claimed[block] = True
            self.at(now + MINUTE * self.rng.uniform(0.8, 1.2), writes)

        def writes(now: float) -> None:
            self.at(self.server.serve(now, WRITE + self.renewals), written)

        def written(now: float) -> None:
            self.done[block], self.claimed[block] = True, False
            self.attempt(folder, blocks, misses, now)

        self.at(self.server.serve(now, 1 if self.done[block] else 2), claims)


def simulate(processes: int, folders: int, blocks: int, rate: float) -> Found:
    """A sweep of blocks of a minute each."""
    sweep = Sweep(processes, folders, blocks, rate)
    sweep.run()
    assert sweep.done.all()
    ideal = MINUTE * blocks / processes
    busy = sweep.server.work / sweep.ends_at
    return Found(sweep.ends_at / ideal, busy, sweep.beaten / blocks, sweep.server.longest_wait)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
