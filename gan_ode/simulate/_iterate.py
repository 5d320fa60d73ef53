from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .. import _checks, _tree
from .._types import Args, Field, State
from ..updates import AbstractUpdate
from . import _inputs
from ._orbit import Orbit, OUTCOMES
from ._training import Saved, Standing, Training


def iterate(
    update: AbstractUpdate,
    field: Field,
    y0: Any,
    num_steps: int,
    *,
    args: Args = None,
    batches: Args | Callable[[Array], Args] = None,
    save_every: int = 1,
    record: Callable[[Array, State, Args], Any] | None = None,
) -> Orbit:
    """Follows a field by the discrete rule that practitioners run.

    One compiled scan. Time is step size times number of steps, so the orbit lies beside a flow's. A state that grows
    without bound is a result: from the first state that is not finite on, `ts` and `ys` hold infinity and the outcome
    is `OUTCOMES.blow_up`.

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
        record: What to save in the place of the state: a function `(t, y, args) -> pytree of arrays`, called inside the
            scan at every save, for example `lambda t, y, args: gan.losses(y, args)`. Its `args` are those of the step
            that led there, at the start those of the first step. So memory does not grow with the parameters.

    Returns:
        The orbit, with `num_steps // save_every + 1` states, the initial one first; with `record`, `ys` has what it
        returned. `final_state` is the whole state in any case.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    if not isinstance(update, AbstractUpdate):
        raise ValueError(
            f"`update` must be a rule from `gan_ode.updates`, but is {update!r}: for example `Simultaneous(0.1)`."
        )
    y0 = _inputs.state(y0)
    num_steps = _checks.count("num_steps", num_steps)
    save_every = _checks.count("save_every", save_every)
    if num_steps % save_every:
        raise ValueError(
            f"`save_every` must divide `num_steps`, but {save_every} does not divide {num_steps}: take "
            f"{num_steps - num_steps % save_every or save_every} steps."
        )
    if batches is not None:
        if args is not None:
            raise ValueError("`args` and `batches` must not both be given: a batch takes the place of `args`.")
        _check_batches(batches, num_steps)
    if record is not None and not callable(record):
        raise ValueError(f"`record` must be a function `(t, y, args) -> pytree of arrays`, but is {record!r}.")
    training = Training(update, field, args, batches, record)
    copies = num_steps // save_every + 1
    _inputs.fits_in_memory("num_steps", copies * _bytes_saved(training, y0), "save fewer states by `save_every`.")
    return _scan(training, y0, num_steps, save_every)


def _bytes_saved(training: Training, y0: State) -> int:
    if training.record is None:
        return _tree.num_bytes(y0)
    _, saved = eqx.filter_eval_shape(training.start, y0)
    return _tree.num_bytes(saved.values)


def _check_batches(batches: Any, num_steps: int) -> None:
    if callable(batches):
        return
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batches)}
    if lengths != {(num_steps,)}:
        found = ", ".join(str(length[0]) if length else "none" for length in sorted(lengths))
        raise ValueError(
            f"`batches` must have a leading axis of `num_steps` = {num_steps} on every leaf, but has {found}: for one "
            "batch at every step give it as `args`, or give a function of the step's number."
        )


@eqx.filter_jit
def _scan(training: Training, y0: State, num_steps: int, save_every: int) -> Orbit:
    def one(standing: Standing, n: Array) -> tuple[Standing, None]:
        return training.step(n, standing), None

    def until_save(standing: Standing, numbers: Array) -> tuple[Standing, Saved]:
        standing, _ = jax.lax.scan(one, standing, numbers)
        return training.save(numbers[-1] + 1, standing)

    def each(standing: Standing, n: Array) -> tuple[Standing, Saved]:
        return training.save(n + 1, training.step(n, standing))

    standing, first = training.start(y0)
    numbers = jnp.arange(num_steps)
    if save_every == 1:
        standing, rest = jax.lax.scan(each, standing, numbers)
    else:
        standing, rest = jax.lax.scan(until_save, standing, numbers.reshape(-1, save_every))
    saved = jax.tree.map(lambda start, rest: jnp.concatenate([start[None], rest]), first, rest)
    ts = training.time(save_every * jnp.arange(num_steps // save_every + 1), y0)
    return _orbit(ts, saved, standing, num_steps)


def _orbit(ts: Array, saved: Saved, standing: Standing, num_steps: int) -> Orbit:
    """The orbit, with infinity from the first state on that is not finite."""
    finite, blown_up = saved.finite, ~standing.finite
    last = jnp.sum(finite) - 1
    sound = jax.tree.map(lambda leaf: leaf[last], saved.values) if standing.sound is None else standing.sound
    return Orbit(
        ts=jnp.where(finite, ts, jnp.inf),
        ys=_where_reached(finite, saved.values),
        stats={"num_steps": jnp.asarray(num_steps)},
        result=diffrax.RESULTS.successful,
        outcome=OUTCOMES.where(blown_up, OUTCOMES.blow_up, OUTCOMES.ok),
        final_time=ts[last],
        final_state=_tree.where(blown_up, sound, standing.y),
    )


def _where_reached(finite: Array, values: Any) -> Any:
    """The values, with infinity in the place of those that were not reached; zero where a dtype has no infinity."""

    def select(leaf: Array) -> Array:
        return _tree.where(finite, leaf, jnp.inf if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0.0)

    return jax.tree.map(select, values)
