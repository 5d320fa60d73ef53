import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .. import _checks, _problem, _tree
from .._lowering import jit
from .._progress import told
from .._rules import an_update
from .._types import Args, Field, State
from ..updates import AbstractUpdate
from . import _inputs, _resumable
from ._checkpoint import Checkpoint
from ._orbit import Orbit, OUTCOMES
from ._outcome import outcome_of_steps
from ._recorder import AbstractRecorder
from ._update_loop import LoopState, Saved, time, UpdateLoop


@told
def iterate(
    update: AbstractUpdate,
    field: Field,
    y0: Any,
    num_steps: int,
    *,
    args: Args = None,
    batches: Args | Callable[[Array], Args] = None,
    save_every: int = 1,
    memory: Any = None,
    record: Callable[[Array, State, Args], Any] | AbstractRecorder | None = None,
    progress: bool | Callable[[int, int], object] = False,
    checkpoint: Checkpoint | None = None,
) -> Orbit:
    """Follows a field by the discrete rule that practitioners run.

    One compiled scan, which works under `jax.jit`, `jax.vmap` and `jax.grad`. Time is step size times number of steps,
    so the orbit lies beside a flow's. A state that grows without bound is a result: from the first state that is not
    finite on, `ts` and `ys` hold infinity and the outcome is `OUTCOMES.blow_up`. Where the state did not grow, the
    field is not finite there (`OUTCOMES.nonfinite_field`), or the equations of an implicit step have no solution that
    was found (`OUTCOMES.root_find_failed`).

    With `progress` or `checkpoint` the run goes in compiled segments of about half a second, outside transformations
    only. Between two of them Ctrl-C ends it: the orbit then has the outcome `OUTCOMES.interrupted`, and infinity where
    it did not come. (A second Ctrl-C raises at once. Who has set a handler for the signal keeps it.)

    Args:
        update: The rule, from `updates`.
        field: The field, `(t, y, args) -> dy/dt`.
        y0: Initial state: any pytree of floating-point arrays of one dtype, for a game `Players`.
        num_steps: How many steps.
        args: Handed to the field at every step.
        batches: A minibatch for every step, handed to the field in the place of `args`: a pytree with a leading axis
            of `num_steps`, or a function of the step's number (an integer array), which is called inside the scan, for
            example `lambda n: gan.sample(jax.random.fold_in(key, n), 512)`.
        save_every: Save every so many steps; must divide `num_steps`.
        memory: What the rule remembers at the start, such as Adam's moments and counters: of the structure, shapes and
            dtypes of `update.init(field, y0, args)`. So a run goes on where another one stood, under another field or
            from another state: `simulate.load_checkpoint` and one's own training loop have it. By default the rule
            starts anew. Time and the numbers that `batches` sees count from 0 in any case.
        record: What to save in the place of the state: a function `(t, y, args) -> pytree of arrays`, called inside the
            scan at every save, for example `lambda t, y, args: gan.losses(y, args)`. Its `args` are those of the step
            that led there, at the start those of the first step. So memory does not grow with the parameters. Or a
            recorder that carries something from save to save, such as `analysis.Watch(field, update)`.
        progress: Whether to show a bar by tqdm, on a terminal; or a function `(steps done, num_steps)`, called between
            the segments.
        checkpoint: Where and how often to put the run on disk. If there is a checkpoint of it, the run goes on from
            there, to the same bits as if it had never stopped; `num_steps` counts from the start, and may be more than
            before. One of another run is refused.

    Returns:
        The orbit, with `num_steps // save_every + 1` states, the initial one first; with `record`, `ys` has what it
        returned. `final_state` is the whole state in any case.

    Raises:
        ValueError: If an argument cannot work, or the checkpoint is of another run; the text names it, and the remedy.
        OSError: If a checkpoint cannot be written; the one before it stays.
    """
    y0 = _inputs.state(y0)
    loop, num_steps, save_every = prepared(update, field, num_steps, args, batches, save_every, record)
    loop = _remembering(loop, y0, memory)
    check_memory(loop, y0, num_steps // save_every + 1)
    if not progress and checkpoint is None:
        return scan(loop, y0, num_steps, save_every)
    saved, state, done = _resumable.run_in_segments(loop, y0, num_steps, save_every, progress, checkpoint)
    return _close(update, saved, state, jnp.asarray(done), save_every)


def prepared(
    update: Any, field: Field, num_steps: Any, args: Args, batches: Any, save_every: Any, record: Any
) -> tuple[UpdateLoop, int, int]:
    """What is to be done, how many steps, and after how many to save; or a `ValueError`."""
    an_update(update)
    num_steps = _checks.count("num_steps", num_steps, most=_checks.MOST_STEPS)
    save_every = _checks.count("save_every", save_every)
    if num_steps % save_every:
        raise ValueError(
            f"`save_every` must divide `num_steps`, but {save_every} does not divide {num_steps}: take "
            f"{num_steps - num_steps % save_every or save_every} steps."
        )
    if batches is not None and args is not None:
        raise ValueError("`args` and `batches` must not both be given: a batch takes the place of `args`.")
    _check_batches(batches, num_steps)
    if record is not None and (isinstance(record, type) or not isinstance(record, AbstractRecorder | Callable)):
        raise ValueError(
            f"`record` must be a function `(t, y, args) -> pytree of arrays`, or a recorder, but is {record!r}."
        )
    return UpdateLoop(update, field, args, batches, record), num_steps, save_every


def _remembering(loop: UpdateLoop, y0: State, memory: Any) -> UpdateLoop:
    """The loop that starts with a memory, if one is given.

    Raises:
        ValueError: If the rule remembers something else.
    """
    if memory is None:
        return loop
    expected = eqx.filter_eval_shape(loop.fresh, y0)
    kept = jax.tree.map(jnp.asarray, memory)
    if _kinds(kept) != _kinds(expected):
        raise ValueError(
            f"`memory` must be what this {type(loop.update).__name__} remembers of such a state, "
            f"{_problem.shapes_of(expected)}, but is {_problem.shapes_of(kept)}: take it from a run of the same "
            "rule and of the same shapes, or leave it out to start anew."
        )
    return dataclasses.replace(loop, memory=kept)


def _kinds(tree: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def check_memory(loop: UpdateLoop, y0: State, copies: int) -> None:
    """Refuses more saves than fit in memory."""
    _checks.fits_in_memory("num_steps", copies * _bytes_saved(loop, y0), "save fewer states by `save_every`.")


def _bytes_saved(loop: UpdateLoop, y0: State) -> int:
    if loop.record is None:
        return _tree.num_bytes(y0)
    _, saved = eqx.filter_eval_shape(loop.start, y0)
    return _tree.num_bytes(saved.values)


def _check_batches(batches: Any, num_steps: int) -> None:
    if batches is None or callable(batches):
        return
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batches)}
    if lengths != {(num_steps,)}:
        found = ", ".join(str(length[0]) if length else "none" for length in sorted(lengths))
        raise ValueError(
            f"`batches` must have a leading axis of `num_steps` = {num_steps} on every leaf, but has {found}: for one "
            "batch at every step give it as `args`, or give a function of the step's number."
        )


@jit
def scan(loop: UpdateLoop, y0: State, num_steps: int, save_every: int) -> Orbit:
    """The orbit, by one compiled scan."""

    def one(state: LoopState, n: Array) -> tuple[LoopState, None]:
        return loop.step(n, state), None

    def until_save(state: LoopState, numbers: Array) -> tuple[LoopState, Saved]:
        state, _ = jax.lax.scan(one, state, numbers)
        return loop.save(numbers[-1] + 1, state)

    def each(state: LoopState, n: Array) -> tuple[LoopState, Saved]:
        return loop.save(n + 1, loop.step(n, state))

    state, first = loop.start(y0)
    numbers = jnp.arange(num_steps)
    if save_every == 1:
        state, rest = jax.lax.scan(each, state, numbers)
    else:
        state, rest = jax.lax.scan(until_save, state, numbers.reshape(-1, save_every))
    saved = jax.tree.map(lambda start, rest: jnp.concatenate([start[None], rest]), first, rest)
    return _orbit(loop.update, saved, state, jnp.asarray(num_steps), save_every)


@eqx.filter_jit
def _close(update: AbstractUpdate, saved: Saved, state: LoopState, done: Array, save_every: int) -> Orbit:
    """The orbit of a run in segments, which may have been stopped between two saves."""
    orbit = _orbit(update, saved, state, done, save_every)
    stopped = state.finite & ~saved.finite[-1]
    ended = (
        diffrax.RESULTS.where(stopped, diffrax.RESULTS.event_occurred, orbit.result),
        OUTCOMES.where(stopped, OUTCOMES.interrupted, orbit.outcome),
        jnp.where(stopped, time(update.step_size, done, state.y), orbit.final_time),
    )
    return eqx.tree_at(lambda o: (o.result, o.outcome, o.final_time), orbit, ended)


def _orbit(update: AbstractUpdate, saved: Saved, state: LoopState, num_steps: Array, save_every: int) -> Orbit:
    """The orbit, with infinity from the first state on that is not finite."""
    ts = time(update.step_size, save_every * jnp.arange(saved.finite.shape[0]), state.y)
    finite = saved.finite
    last = jnp.sum(finite) - 1
    sound = jax.tree.map(lambda leaf: leaf[last], saved.values) if state.sound is None else state.sound
    return Orbit(
        ts=jnp.where(finite, ts, jnp.inf),
        ys=_where_reached(finite, saved.values),
        stats={"num_steps": num_steps},
        result=diffrax.RESULTS.successful,
        outcome=outcome_of_steps(update, state.finite, state.sizes),
        final_time=ts[last],
        final_state=_tree.where(state.finite, state.y, sound),
    )


def _where_reached(finite: Array, values: Any) -> Any:
    """The values, with infinity in the place of those that were not reached; zero where a dtype has no infinity."""

    def select(leaf: Array) -> Array:
        return _tree.where(finite, leaf, jnp.inf if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0.0)

    return jax.tree.map(select, values)
