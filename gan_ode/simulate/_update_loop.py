"""What one step of a discrete rule does and what is saved of it, for a scan and for a run in segments alike."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .. import _tree
from .._growth import Sizes
from .._types import Args, Field, RealScalarLike, State
from ..updates import AbstractUpdate
from . import _inputs
from ._recorder import AbstractRecorder


class LoopState(eqx.Module):
    """Where a run stands between two steps.

    Attributes:
        y: The state.
        memory: What the update remembers.
        finite: Whether every state so far was finite.
        sizes: How large the last of those were.
        sound: The last one of them that was saved; None where the states themselves are saved.
        carry: What a recorder carries from save to save; None without one.
    """

    y: State
    memory: Any
    finite: Bool[Array, ""]
    sizes: Sizes
    sound: State | None
    carry: Any = None


class Saved(eqx.Module):
    """What is kept of a state.

    Attributes:
        finite: Whether it and all before it were finite.
        values: The state, or what was recorded of it.
    """

    finite: Bool[Array, "*saves"]
    values: Any


class UpdateLoop(eqx.Module):
    """A field followed by a rule: how to start, to step and to save.

    Attributes:
        update: The rule.
        field: The field.
        args: Handed to the field.
        batches: Handed to it in their place, one for each step.
        record: What is saved in the place of states.
        memory: What the rule remembers at the start; None where it starts anew.
    """

    update: AbstractUpdate
    field: Field
    args: Args
    batches: Any
    record: Callable | AbstractRecorder | None
    memory: Any = None

    def start(self, y0: State) -> tuple[LoopState, Saved]:
        """Where the run stands before its first step, and what is saved of that."""
        first = jnp.asarray(0)
        _inputs.same_structure(self.field, 0.0 * self.time(first, y0), y0, self.batch(first))
        memory = self.fresh(y0) if self.memory is None else self.memory
        sound = None if self.record is None else y0
        recorder = self.record if isinstance(self.record, AbstractRecorder) else None
        carry = None if recorder is None else recorder.init(y0, self.batch(first), memory)
        return self.save(first, LoopState(y0, memory, _tree.all_finite(y0), Sizes.of(y0), sound, carry))

    def fresh(self, y0: State) -> Any:
        """What the rule remembers before its first step."""
        return self.update.init(self.field, y0, self.batch(jnp.asarray(0)))

    def step(self, n: Array, state: LoopState) -> LoopState:
        """The step of number `n`, from 0."""
        t, batch = self.time(n, state.y), self.batch(n)
        y, memory = self.update.step(self.field, t, state.y, batch, state.memory)
        sizes, finite = state.sizes.then(y)
        return LoopState(y, memory, state.finite & finite, sizes, state.sound, state.carry)

    def save(self, n: Array, state: LoopState) -> tuple[LoopState, Saved]:
        """What is kept of the state after `n` steps."""
        y, finite = state.y, state.finite
        if self.record is None:
            return state, Saved(finite, y)
        args = self.batch(jnp.maximum(n - 1, 0))
        if isinstance(self.record, AbstractRecorder):
            carry, values = self.record.record(state.carry, n, y, args, state.memory)
            state = eqx.tree_at(lambda s: s.carry, state, carry, is_leaf=lambda leaf: leaf is None)
        else:
            values = self.record(self.time(n, y), y, args)
            _check_recorded(values)
        sound = _tree.where(finite, y, state.sound)
        state = eqx.tree_at(lambda s: s.sound, state, sound)
        return state, Saved(finite, jax.tree.map(jnp.asarray, values))

    def time(self, n: Array, y: State) -> Array:
        return time(self.update.step_size, n, y)

    def batch(self, n: Array) -> Args:
        """What the field is handed in the step of number `n`."""
        if self.batches is None:
            return self.args
        return self.batches(n) if callable(self.batches) else jax.tree.map(lambda leaf: leaf[n], self.batches)


def _check_recorded(values: Any) -> None:
    """Refuses what cannot be saved, for example the activations in a network."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(values)[0]:
        if not eqx.is_array_like(leaf):
            raise ValueError(
                f"`record` must return a pytree of arrays, but at `{jax.tree_util.keystr(path) or 'its top'}` there is "
                f"{leaf!r:.80}: return the state, or numbers that are made of it, and of a network "
                "`equinox.filter(network, equinox.is_array)`."
            )


def time(step_size: RealScalarLike, n: Array, y: State) -> Array:
    """The time after `n` steps, in the state's dtype."""
    step_size = jnp.asarray(step_size, _tree.dtype(y))
    return step_size * n.astype(step_size.dtype)
