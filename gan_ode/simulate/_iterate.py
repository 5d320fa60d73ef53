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


def iterate(
    update: AbstractUpdate,
    field: Field,
    y0: Any,
    num_steps: int,
    *,
    args: Args = None,
    batches: Args | Callable[[Array], Args] = None,
    save_every: int = 1,
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

    Returns:
        The orbit, with `num_steps // save_every + 1` states, the initial one first.

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
    copies = num_steps // save_every + 1
    _inputs.fits_in_memory("num_steps", _inputs.num_bytes(y0, copies), "save fewer states by `save_every`.")
    return _scan(update, field, y0, args, batches, num_steps, save_every)


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
def _scan(
    update: AbstractUpdate, field: Field, y0: State, args: Args, batches: Any, num_steps: int, save_every: int
) -> Orbit:
    step_size = jnp.asarray(update.step_size, _tree.dtype(y0))

    def time(n: Array) -> Array:
        return step_size * n.astype(step_size.dtype)

    def batch_at(n: Array) -> Args:
        if batches is None:
            return args
        return batches(n) if callable(batches) else jax.tree.map(lambda leaf: leaf[n], batches)

    def one(carry: tuple[State, Any], n: Array) -> tuple[tuple[State, Any], None]:
        y, memory = carry
        return update.step(field, time(n), y, batch_at(n), memory), None

    def until_save(carry: tuple[State, Any], numbers: Array) -> tuple[tuple[State, Any], State]:
        carry, _ = jax.lax.scan(one, carry, numbers)
        return carry, carry[0]

    first = jnp.asarray(0)
    _inputs.same_structure(field, 0.0 * step_size, y0, batch_at(first))
    memory = update.init(field, y0, batch_at(first))
    numbers = jnp.arange(num_steps)
    if save_every == 1:
        (y, _), saved = jax.lax.scan(lambda carry, n: _twice(one(carry, n)[0]), (y0, memory), numbers)
    else:
        (y, _), saved = jax.lax.scan(until_save, (y0, memory), numbers.reshape(-1, save_every))
    ys = jax.tree.map(lambda start, rest: jnp.concatenate([start[None], rest]), y0, saved)
    return _orbit(time(save_every * jnp.arange(num_steps // save_every + 1)), ys, y, num_steps)


def _twice(carry: tuple[State, Any]) -> tuple[tuple[State, Any], State]:
    return carry, carry[0]


def _orbit(ts: Array, ys: State, final_state: State, num_steps: int) -> Orbit:
    """The orbit, with infinity from the first state on that is not finite."""
    finite = jnp.cumprod(jax.vmap(_tree.all_finite)(ys)).astype(bool)
    blown_up = ~jnp.all(finite)
    last = jnp.sum(finite) - 1
    return Orbit(
        ts=jnp.where(finite, ts, jnp.inf),
        ys=_tree.where(finite, ys, jnp.inf),
        stats={"num_steps": jnp.asarray(num_steps)},
        result=diffrax.RESULTS.successful,
        outcome=OUTCOMES.where(blown_up, OUTCOMES.blow_up, OUTCOMES.ok),
        final_time=ts[last],
        final_state=_tree.where(blown_up, jax.tree.map(lambda leaf: leaf[last], ys), final_state),
    )
