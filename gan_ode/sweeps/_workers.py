"""The blocks of a sweep computed by the workers of any executor, each written by who computed it."""

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable
from typing import Any

import jax

from .. import _checks
from . import _blocks
from ._folder import Folder
from ._grid import check_size

# So many blocks are handed out at a time: enough for every worker of this machine, and few to look after when one dies;
# and enough for those of others, who look after their dead by themselves.
_HANDED_OUT, _TO_OTHERS = 256, 10_000
# A worker may be killed by somebody else; one block at which two have died alone kills them.
_DEATHS = 2

Executor = concurrent.futures.Executor | Callable[[], concurrent.futures.Executor]


def compute_block(compute: Callable[[Any], Any], folder: Folder, block: int, x64: bool) -> None:
    """What a worker does: computes a block and writes it, whole or not at all.

    Args:
        compute: The user's function.
        folder: The folder, on a disk that the worker shares.
        block: Which block.
        x64: Whether JAX has 64 bits where the sweep was started.
    """
    if folder.block(block).exists():
        return  # By a worker that died, or lost its connection, after its work.
    try:
        with jax.enable_x64(x64):
            dataset = _blocks.tabulate(compute(folder.grid.points(block)), folder.grid, block)
    except Exception as error:
        raise _that_can_be_sent(error) from None
    folder.save(block, dataset)


def _that_can_be_sent(error: Exception) -> Exception:
    """The error, or its words where it does not come back from being pickled: a pool of processes breaks at that."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@dataclasses.dataclass
class Crew:
    """Who computes the blocks, and which of them are still to be computed.

    Attributes:
        folder: The folder.
        compute: The user's function.
        executor: An executor, or what makes one: then another one is made where workers have died.
        keep_going: Whether to note what fails, and go on.
        finished: Called with each block that is done or has failed.
    """

    folder: Folder
    compute: Callable[[Any], Any]
    executor: Executor
    keep_going: bool
    finished: Callable[[int], object]

    def __post_init__(self) -> None:
        # A class makes one, too.
        self._own = isinstance(self.executor, type) or not hasattr(self.executor, "submit")
        if self._own and not callable(self.executor):
            raise ValueError(
                f"`executor` must have a method `submit`, or be a function that makes an executor, but is "
                f"{self.executor!r}: for example `sweeps.Processes(4)`."
            )
        self._pool: Any = self.executor() if self._own else self.executor  # pyright: ignore[reportCallIssue]
        self._deaths: collections.Counter[int] = collections.Counter()

    def run(self, blocks: Iterable[int]) -> None:
        """Computes blocks.

        Those that were handed out when a worker died come last, by halves, until it is known which one it died of.
        """
        groups = [list(blocks)]
        try:
            while groups:
                lost = self._hand_out(collections.deque(groups.pop()))
                if len(lost) == 1 and self._died_of(lost[0]):
                    lost = []
                middle = len(lost) // 2
                groups += [half for half in (lost[:middle], lost[middle:]) if half]
        finally:
            if self._own:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _hand_out(self, blocks: collections.deque[int]) -> list[int]:
        """Computes blocks, some at a time, but those that were at work when a worker died."""
        at_work: dict[Any, int] = {}
        lost: list[int] = []
        most = _HANDED_OUT if self._own else _TO_OTHERS
        try:
            while blocks or at_work:
                try:
                    while blocks and len(at_work) < most:
                        future = self._submit(blocks[0])
                        at_work[future] = blocks.popleft()
                    done, _ = concurrent.futures.wait(at_work, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        self._take(future, at_work[future])
                        del at_work[future]
                except concurrent.futures.BrokenExecutor as error:
                    lost += self._left_over(at_work.values())
                    at_work.clear()
                    self._renew(error)
        finally:
            for future in at_work:
                future.cancel()
        return lost

    def _submit(self, block: int) -> Any:
        x64 = bool(jax.config.read("jax_enable_x64"))
        return self._pool.submit(compute_block, self.compute, self.folder, block, x64)

    def _take(self, future: Any, block: int) -> None:
        """Looks at what has become of a block."""
        error = future.exception()
        if isinstance(error, concurrent.futures.BrokenExecutor):
            raise error
        if error is None:
            self._look_at(block)
        else:
            self._fail(block, error)

    def _look_at(self, block: int) -> None:
        """Reads a block that is written. What is not like the others is removed again, as if it had never been."""
        blocks = self.folder.read_all(only=block)
        dataset, first = blocks[block], next(iter(blocks.values()))
        check_size(self.folder.grid, dataset.nbytes / dataset.sizes[_blocks.POINT])
        try:
            _blocks.check_alike(first, dataset)
        except ValueError as error:
            self.folder.remove(block)
            self._fail(block, error)
        else:
            self.folder.failure(block).unlink(missing_ok=True)
            self.finished(block)

    def _fail(self, block: int, error: BaseException) -> None:
        if isinstance(error, pickle.PicklingError | AttributeError) and "pickle" in str(error):
            raise ValueError(
                f"`compute` must be a function that the workers of `executor` can be sent, but cannot be: {error}. "
                "Write it at the top of a module, and what it needs as arguments by `functools.partial`."
            ) from error
        if not (self.keep_going and isinstance(error, Exception)):
            raise error
        self.folder.fail(block, error)
        self.finished(block)

    def _left_over(self, blocks: Iterable[int]) -> list[int]:
        """Of blocks that were at work when a worker died those that are not written."""
        there = [block for block in blocks if self.folder.block(block).exists()]
        for block in there:
            self._look_at(block)
        return [block for block in blocks if block not in there]

    def _died_of(self, block: int) -> bool:
        """Whether a block is given up, since workers die that have nothing else to do."""
        self._deaths[block] += 1
        if self._deaths[block] < _DEATHS:
            return False
        self._fail(block, RuntimeError(f"{_DEATHS} workers died while they computed it"))
        return True

    def _renew(self, error: Exception) -> None:
        if not self._own:
            raise ValueError(
                "`executor` must have workers, but one has died and the executor with it: what is finished stays, and "
                "the same call with another executor goes on. Give a function that makes one, for example "
                "`sweeps.Processes(4)`, and the sweep goes on by itself."
            ) from error
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self.executor()  # pyright: ignore[reportCallIssue]


@dataclasses.dataclass(frozen=True)
class Processes:
    """Makes processes of this machine for the `executor` of a sweep, and others in the place of those that have died.

    They are started anew and not forked, since JAX's threads do not survive a fork. Each computes on one thread, so
    that as many are at work as there are processes, and leaves Ctrl-C to the process that started it.

    ```python
    from gan_ode import sweeps

    four = sweeps.Processes(4)  # sweeps.sweep(compute, over, folder, executor=four)
    assert four.number == 4
    ```

    Args:
        number: How many.

    Raises:
        ValueError: If that is not a whole number of at least 1.
    """

    number: int

    def __post_init__(self) -> None:
        _checks.count("number", self.number)

    def __call__(self) -> concurrent.futures.Executor:
        return concurrent.futures.ProcessPoolExecutor(
            self.number, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(self.number > 1,)
        )


def _prepare(several: bool) -> None:
    """Before JAX looks at the machine: it starts with the first computation."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if several:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()
