"""One of several processes that work on the same sweep, without anybody who hands out the blocks."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _checks, _files
from .._progress import meter, Progress
from . import _blocks
from ._claims import Claims
from ._folder import Folder, Seen
from ._grid import check_size, grid
from ._sweep import Compute, interruptible

# After so many blocks that somebody else was faster at, it is time to look again which are left.
_MISSES = 3
# Of the claims of others so many are watched: thousands of processes that all watch all are too much for a file server.
_WATCHED = 16
# The first pause and the longest one between two looks at what others compute, as parts of the time that a claim lasts.
_FIRST_WAIT, _LAST_WAIT = 1000, 60


def take_part(
    compute: Compute,
    over: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    expire: float = 600.0,
    wait: bool = True,
    config: Any = None,
    notes: Any = None,
    block_size: int = 256,
    progress: Progress = False,
    keep_going: bool = False,
) -> int:
    """Computes blocks of a sweep that other processes compute as well, on this machine or on others.

    Each process makes the same call. A block belongs to who is the first to claim it, by a file in the folder, for as
    long as that process is alive: after a kill its claim expires, and another process computes the block. Nobody
    coordinates, so that processes may come and go, as the tasks of a job array do. `open_sweep` reads what there is.

    ```python
    import tempfile
    import numpy as np
    from gan_ode import sweeps

    def compute(points):
        return {"square": points["x"] ** 2}

    with tempfile.TemporaryDirectory() as folder:
        assert sweeps.take_part(compute, {"x": np.arange(6.0)}, folder, block_size=2) == 3
        assert sweeps.open_sweep(folder)["square"].sum() == 55
    ```

    Args:
        compute: As for `sweep`.
        over: Likewise.
        folder: The folder, on a disk that all processes share.
        expire: Seconds after which a block may be taken from a process that shows no sign of life. It shows one four
            times as often. Network file systems may tell of it a minute late: take ten minutes there, as by default.
        wait: Whether to stay until all blocks are computed, and to take over those of processes that die; without, it
            ends where no block is left to claim.
        config: As for `sweep`.
        notes: Likewise.
        block_size: Likewise.
        progress: Likewise.
        keep_going: Likewise: what has failed since this process came is not tried again by it.

    Returns:
        How many blocks this process has computed.

    Raises:
        ValueError: If an argument cannot work, the folder is of another sweep, or `sweep` has it for itself; the text
            says which, and the remedy.
        ImportError: If xarray or h5netcdf is not installed.
        KeyboardInterrupt: On Ctrl-C; what is finished stays, and others go on.
    """
    _blocks.require_xarray()
    points, path = grid(over, block_size), Path(folder)
    seconds = float(_checks.positive("expire", expire, "ten minutes are usual."))
    check_size(points)
    path.mkdir(parents=True, exist_ok=True)
    busy = f"`folder` must not be in use, but `sweep` has {path} for itself: wait, or let it take part as well."
    with _files.held(path, busy, alone=False), interruptible():
        shared = Folder.claim(path, points, config, notes, alone=False)
        return _Part(shared, compute, Claims(path, seconds), keep_going).run(wait, progress)


class _Part:
    """What one process has done, and what it leaves alone.

    Args:
        folder: The folder.
        compute: The user's function.
        claims: The claims on its blocks.
        keep_going: Whether to note what fails, and go on.
    """

    def __init__(self, folder: Folder, compute: Compute, claims: Claims, keep_going: bool):
        self.folder, self.compute, self.claims, self.keep_going = folder, compute, claims, keep_going
        self.failed_before = self._failures(folder.look())
        # Else all that start at once run for the same blocks.
        self.order = list(range(folder.grid.num_blocks))
        random.Random(os.urandom(16)).shuffle(self.order)
        self.computed = 0

    def run(self, wait: bool, progress: Progress) -> int:
        pause = self.claims.expire / _FIRST_WAIT
        seen = self.folder.look()
        with meter(progress, self._points(seen), self.folder.grid.num_points, "point") as show:
            while left := self._left(seen):
                before, claimed = self.computed, set(seen.claimed)
                free = [block for block in left if block not in claimed]
                # Where nothing is free, a few of the others' claims are watched: one of them may expire.
                self._attempt_some(free or left[:_WATCHED], _MISSES if free else _WATCHED)
                if self.computed == before and not free:
                    if not wait:
                        break
                    time.sleep(pause)
                    pause = min(2 * pause, self.claims.expire / _LAST_WAIT)
                seen = self.folder.look()
                show(self._points(seen))
        return self.computed

    def _attempt_some(self, blocks: list[int], most_misses: int) -> None:
        """Computes blocks, until it is time to look again which are left: others have come first too often."""
        misses = 0
        for block in blocks:
            misses += not self._attempt(block)
            if misses == most_misses:
                return

    def _left(self, seen: Seen) -> list[int]:
        """The blocks that are neither done nor have failed since this process came."""
        done = set(seen.done)
        failed = {block for block, when in self._failures(seen).items() if self.failed_before.get(block) != when}
        return [block for block in self.order if block not in done and block not in failed]

    def _attempt(self, block: int) -> bool:
        """Computes a block, if nobody else does or has; says so."""
        if self.folder.block(block).exists():
            return False
        with self.claims.of(self.folder.block(block).stem) as mine:
            # Once more: it may have been written, and its claim given back, in between.
            if not mine or self.folder.block(block).exists():
                return False
            try:
                dataset = _blocks.tabulate(self.compute(self.folder.grid.points(block)), self.folder.grid, block)
                first = self.folder.first()
                if first is None:
                    check_size(self.folder.grid, dataset.nbytes / dataset.sizes[_blocks.POINT])
                else:
                    _blocks.check_alike(first, dataset)
            except Exception as error:
                if not self.keep_going:
                    raise
                self.folder.fail(block, error)
                return False
            self.folder.save(block, dataset)
        self.computed += 1
        return True

    def _failures(self, seen: Seen) -> dict[int, int]:
        """When the blocks failed that did."""
        found = {}
        for block in seen.failed:
            try:
                found[block] = self.folder.failure(block).stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return found

    def _points(self, seen: Seen) -> int:
        """How many points are done."""
        return sum(rows.stop - rows.start for rows in map(self.folder.grid.rows, seen.done))
