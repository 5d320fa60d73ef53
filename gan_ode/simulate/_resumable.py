"""A run in compiled segments of about half a second: in between come progress, checkpoints and Ctrl-C."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import _checks, _tree
from .._lowering import jit
from .._progress import meter, Progress
from .._types import State
from ._checkpoint import Checkpoint, configuration, Files
from ._update_loop import LoopState, Saved, UpdateLoop

# Of a segment: Ctrl-C waits so long, and what is done between two segments, some 100 microseconds, does not count.
_SECONDS = 0.5
# A segment hands over what it saved in one buffer, which the steps write into.
_BUFFER_BYTES = 2**22


def run_in_segments(
    loop: UpdateLoop, y0: State, num_steps: int, save_every: int, progress: Progress, checkpoint: Checkpoint | None
) -> tuple[Saved, LoopState, int]:
    """What was saved, where the run stands, and after how many steps: fewer than `num_steps` after Ctrl-C or a blow-up.

    One compiled program makes all segments, whatever their lengths: so where they are cut does not show in the bits.
    """
    _refuse_tracers((loop, y0))
    if checkpoint is None:
        return _run(loop, y0, num_steps, save_every, progress, None)
    with Files.held(checkpoint, configuration(loop, y0, save_every)) as files:
        return _run(loop, y0, num_steps, save_every, progress, files)


def _run(
    loop: UpdateLoop, y0: State, num_steps: int, save_every: int, progress: Progress, files: Files | None
) -> tuple[Saved, LoopState, int]:
    state, first = start(loop, y0)
    saved = jax.tree.map(lambda leaf: np.zeros((num_steps // save_every + 1, *leaf.shape), leaf.dtype), first)
    write_rows(saved, jax.tree.map(lambda leaf: leaf[None], first), 0, 1)
    n, state = (0, state) if files is None else files.load(state, saved, num_steps, save_every)
    room = max(_BUFFER_BYTES // _tree.num_bytes(first), 1)
    buffer = jax.tree.map(lambda leaf: np.zeros((room, *leaf.shape), leaf.dtype), first)
    length = SegmentLength()
    with _interrupts() as asked, meter(progress, n, num_steps, "step") as show:
        while n < num_steps and state.finite and not asked():
            stop = min(n + length.steps, num_steps, (n // save_every + room) * save_every)
            if files is not None:
                stop = min(stop, files.next(n))
            with length.measured(stop - n):
                state, rows = jax.block_until_ready(_advance(loop, state, _int(n), _int(stop), buffer, save_every))
            _refuse_tracers(state)
            write_rows(saved, rows, n // save_every + 1, stop // save_every + 1)
            n = stop
            show(n)
            if files is not None and n == files.next(n - 1):
                files.save(n, state, saved, save_every)
        if files is not None and n > files.step:
            files.save(n, state, saved, save_every)
    return jax.tree.map(jnp.asarray, saved), state, n


@jit
def start(loop: UpdateLoop, y0: State) -> tuple[LoopState, Saved]:
    """Where a run stands before its first step, and what is saved of that."""
    return loop.start(y0)


@jit
def _advance(
    loop: UpdateLoop, state: LoopState, start: Array, stop: Array, buffer: Saved, save_every: int
) -> tuple[LoopState, Saved]:
    """From `start` to `stop` steps; the rows of the buffer are the saves in between."""
    first = start // save_every

    def to_next_save(k: Array, carry: tuple[LoopState, Saved]) -> tuple[LoopState, Saved]:
        """To the next save, or to where the segment ends before it."""
        state, buffer = carry
        end = jnp.minimum(stop, (k + 1) * save_every)
        state = jax.lax.fori_loop(jnp.maximum(start, k * save_every), end, lambda n, now: loop.step(n, now), state)
        state, row = jax.lax.cond(
            end == (k + 1) * save_every,
            lambda now: loop.save(end, now),
            lambda now: (now, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), buffer)),
            state,
        )
        return state, jax.tree.map(lambda rows, leaf: rows.at[k - first].set(leaf), buffer, row)

    return jax.lax.fori_loop(first, -(-stop // save_every), to_next_save, (state, buffer))


def write_rows(saved: Saved, rows: Saved, start: int, stop: int) -> None:
    """Puts the first rows into their places."""

    def put(whole: np.ndarray, leaf: Array) -> None:
        whole[start:stop] = np.asarray(leaf)[: stop - start]

    jax.tree.map(put, saved, rows)


def _int(n: int) -> Array:
    return jnp.asarray(n, jnp.result_type(int))


def _refuse_tracers(tree: Any) -> None:
    if _checks.is_traced(tree):
        raise ValueError(
            "`progress` and `checkpoint` must not be given under `jax.jit`, `jax.vmap` or `jax.grad`: there the steps "
            "are one compiled scan. Leave them out, or call `iterate` outside."
        )


class SegmentLength:
    """How many steps come in a segment: as many as fit into the time, by the last segment."""

    def __init__(self) -> None:
        self.steps = 1
        self._compiled = False

    @contextlib.contextmanager
    def measured(self, num_steps: int) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        if self._compiled:
            self.steps = int(min(max(num_steps * _SECONDS / seconds, 1), 10 * num_steps))
        self._compiled = True


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C came. A second one stops at once, and who has another handler keeps it."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)

    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
