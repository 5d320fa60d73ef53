"""Any quantity over a grid of parameters and seeds, block by block, on disk."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, TYPE_CHECKING

import numpy as np

from .. import _files
from .._progress import meter, Progress
from . import _blocks
from ._folder import Folder
from ._grid import check_size, Grid, grid
from ._lazy import lazily_joined
from ._workers import Crew, Executor

if TYPE_CHECKING:
    import xarray

Compute = Callable[[dict[str, np.ndarray]], Any]


def sweep(
    compute: Compute,
    over: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    config: Any = None,
    notes: Any = None,
    block_size: int = 256,
    progress: Progress = False,
    keep_going: bool = False,
    executor: Executor | None = None,
    cost: Callable[[dict[str, np.ndarray]], Any] | None = None,
) -> "xarray.Dataset":
    """Computes a quantity at every point of a grid, and keeps what is finished on disk.

    The points go to `compute` in blocks of one size, each of which is put into the folder as soon as it is computed,
    whole or not at all. After Ctrl-C, SIGTERM, `kill -9` or a power failure the same call goes on from there: a
    finished block is never computed again, and the result is that of a run that was never stopped, bit for bit if
    `compute` gives the same bits for the same points. `open_sweep` reads the folder at any time.

    The folder gets `sweep.json`, which says what sweep it is of, and `block-000000.nc` and so on, netCDF with
    checksums. Only one process at a time may sweep into a folder (not checked on Windows); `take_part` is for several.

    Args:
        compute: From the points of a block, a mapping from names to arrays of shape `(block_size,)`, to a mapping from
            names to arrays with that leading axis: numbers, truth values or strings. Inside, `jax.vmap` or
            `simulate.ensemble` take all the points at once. Further axes are called `NAME_dim_0` and so on; name them
            by a tuple `(("point", "time"), array)`, or return an `xarray.DataArray` with its coordinates, or all of it
            as an `xarray.Dataset`. All blocks must be alike in everything but the values.
        over: From names to their values, numbers or strings, each one axis of the grid. The last one runs fastest.
        folder: The folder; made if missing. One folder for each sweep.
        config: Everything else that the result depends on, made of what JSON knows. It is compared when a sweep goes
            on: nothing looks into `compute`. Compared too are `over`, `block_size`, whether JAX has 64 bits, and the
            version of gan_ode.
        notes: Likewise, but not compared. The versions of Python, JAX and other packages are noted anyway.
        block_size: Points in a block: what is lost by a kill, and what memory must hold. A last block that is not full
            gets its last point several times, so that all are of one shape and compile once.
        progress: Whether to show a bar with the time left on stderr, if that is a terminal; or a function
            `(points done, number of points)`.
        keep_going: Whether to note an exception of `compute` in the folder, and go on with the other blocks. The same
            call tries again those that failed.
        executor: Who computes the blocks: anything with the `submit` of `concurrent.futures.Executor`, or a function
            that makes one, as `sweeps.Processes(4)`. `compute` must then be something that can be sent to its workers,
            a function of a module, and the folder be on a disk that they share: each block is written by who computed
            it. A worker that dies costs what was at work when it died, which is computed by others: where a function
            makes workers anew, as here, or where the executor does so by itself.
        cost: From the points of a block to how long it takes, about, in any unit: then the longest come first, so that
            few workers wait for the last one.

    Returns:
        As `open_sweep`.

    Raises:
        ValueError: If an argument cannot work, the folder is of another sweep or in use, or a block is damaged; the
            text says which, and the remedy.
        ImportError: If xarray or h5netcdf is not installed.
        KeyboardInterrupt: On Ctrl-C; what is finished stays.
    """
    _blocks.require_xarray()
    points, path = grid(over, block_size), Path(folder)
    check_size(points)
    path.mkdir(parents=True, exist_ok=True)
    busy = f"`folder` must not be in use, but another process sweeps into {path}: wait, or give another folder."
    with _files.held(path, busy), interruptible():
        own = Folder.claim(path, points, config, notes)
        _compute_missing(own, compute, progress, keep_going, executor, cost)
        return own.join()


def open_sweep(folder: str | os.PathLike, *, lazy: bool = False) -> "xarray.Dataset":
    """What a sweep has so far, at any time: while it runs, after a kill, when it is complete.

    Args:
        folder: The folder that was given to `sweep`.
        lazy: Whether quantities are arrays of Dask, which read a block when its values are asked for: for sweeps that
            are larger than memory. A damaged block is then found when it is read.

    Returns:
        A dataset with a dimension and a coordinate for each axis of the grid, the quantities over them, and `done`:
            which points are computed. Where they are not, numbers and truth values are NaN (so that whole numbers and
            truth values are floating-point numbers as long as points are missing) and strings are empty. With blocks
            that failed, `failure` says why.

    Raises:
        ValueError: If the folder holds no sweep, or a block is damaged; the text says which, and the remedy.
        ImportError: If xarray or h5netcdf is not installed, or Dask where `lazy` asks for it.
    """
    _blocks.require_xarray()
    found = Folder.find(Path(folder), any_size=lazy)
    return lazily_joined(found) if lazy else found.join()


def _compute_missing(
    folder: Folder,
    compute: Compute,
    progress: Progress,
    keep_going: bool,
    executor: Executor | None,
    cost: Callable[[dict[str, np.ndarray]], Any] | None,
) -> None:
    points, blocks = folder.grid, folder.read_all()
    first = next(iter(blocks.values()), None)
    num_done = sum(dataset.sizes[_blocks.POINT] for dataset in blocks.values())
    missing = [block for block in range(points.num_blocks) if block not in blocks]
    if cost is not None:
        missing = _longest_first(missing, points, cost)
    with meter(progress, num_done, points.num_points, "point") as show:

        def finished(block: int) -> None:
            nonlocal num_done
            rows = points.rows(block)
            num_done += rows.stop - rows.start
            show(num_done)

        if executor is not None:
            Crew(folder, compute, executor, keep_going, finished).run(missing)
            return
        for block in missing:
            try:
                dataset = _blocks.tabulate(compute(points.points(block)), points, block)
                if first is None:
                    # All of it, before hours are spent on what cannot be put together.
                    check_size(points, dataset.nbytes / dataset.sizes[_blocks.POINT])
                else:
                    _blocks.check_alike(first, dataset)
            except Exception as error:
                if not keep_going:
                    raise
                folder.fail(block, error)
            else:
                folder.save(block, dataset)
                first = dataset if first is None else first
            finished(block)


def _longest_first(blocks: list[int], points: Grid, cost: Callable[[dict[str, np.ndarray]], Any]) -> list[int]:
    costs = {block: np.asarray(cost(points.points(block))) for block in blocks}
    for block, each in costs.items():
        if each.shape != () or each.dtype.kind not in "biuf" or not np.isfinite(each):
            raise ValueError(
                f"`cost` must return one finite number for the points of a block, but returned {each!r} for block "
                f"{block}: take the sum over its points."
            )
    return sorted(blocks, key=lambda block: -float(costs[block]))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C through what would take it for a wish to end early: `iterate` leaves it to other handlers."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.default_int_handler(number, frame)

    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
