"""What of an update's memory runs by itself, as counters do, and what a step takes from it.

Some leaves of the memory answer to the state, as momentum does; some are held as they are; the others are the rule's
clock. What a step reads off its clock where that meets the state are its *coefficients*: of Adam the bias corrections,
of a schedule the learning rate, of accumulated gradients whether this is the step that moves. Steps with the same
coefficients are the same map, whatever the counters say.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._lowering import strongly_typed
from ..._types import Args, Field, State
from ...updates import AbstractUpdate
from ._dependence import Dependence, Evaluation, Sources, STATE, UNKNOWN, Value, walk

_NUMBER = bool | int | float | np.ndarray | np.generic
# A coefficient of more numbers is told by a few sums over it.
_MOST_NUMBERS = 16


class NotKnownError(ValueError):
    """The clock runs by numbers that are not known while JAX traces."""


class Readings(eqx.Module):
    """What a step reads off its clock, each flat.

    Attributes:
        coefficients: Where it meets the state.
        mixed: Where it meets numbers that are not known.
        moduli: What counters were divided by, with a remainder.
        compared: Pairs of numbers that were compared, one of the clock's at least.
    """

    coefficients: list[Array]
    mixed: list[Array]
    moduli: list[Array]
    compared: list[tuple[Array, Array]]


class Clock:
    """Which leaves of an update's memory are what; and those that run by themselves, as a function.

    Attributes:
        answers: Of each leaf of the memory, whether it answers to the state.
        followed: Numbers of the leaves of the clock that a step takes anything from, directly or by other leaves.
        start: Their values when the rule starts.
        anchored: Whether a step takes something from a leaf that stays as it was made of the first state.

    Args:
        update: The update.
        field: The field.
        y: The state, of which only shapes matter.
        args: Handed to the field.
        memory: The memory at the fixed point, if all is known. Then counters may depend on the state too; without, they
            are refused by `NotKnownError`.
    """

    def __init__(self, update: AbstractUpdate, field: Field, y: State, args: Args, memory: Any = None):
        y = jax.tree.map(jnp.asarray, y)
        restore: Any = None

        def begin(y: State) -> list[Array]:
            nonlocal restore
            leaves, restore = taken_apart(update.init(field, y, args))
            return leaves

        def step(y: State, leaves: list[Array]) -> tuple[list[Array], list[Array]]:
            there, memory = update.step(field, time_zero(y), y, args, restore(leaves))
            return jax.tree.leaves(there), taken_apart(memory)[0]

        self._begin, self._like = jax.make_jaxpr(begin, return_shape=True)(y)
        self._num_numbers = len(jax.tree.leaves(y))
        self._at: tuple[list[Array], list[Array]] | None = None
        if memory is not None:
            self._at = jax.tree.leaves(y), taken_apart(memory)[0]
        self.answers: tuple[bool, ...] = ()
        self.followed: tuple[int, ...] = ()
        self.start: list[Array] = []
        self.anchored = False
        if self._like:
            self._step = jax.make_jaxpr(step)(y, self._like)
            self._sort()

    def _sort(self) -> None:
        everything = range(len(self._like))
        outer = [Sources(STATE)] * self._num_numbers
        before = [Sources(i) for i in everything]
        found = walk(self._step, [*outer, *before], Dependence())
        after = found[self._num_numbers :]
        needs = [each.of for each in after]
        self._held = [after[i] is before[i] for i in everything]
        reaches = _reaching([STATE in need for need in needs], needs)
        self.answers = tuple(reaches[i] and self._is_inexact(i) for i in everything)
        started = [each.of for each in walk(self._begin, outer, Dependence())]
        self.anchored = any(
            self._held[i] and STATE in started[i] and any(i in each.of for each in found if each is not before[i])
            for i in everything
        )
        if self._at is None:
            loose = [bool(started[i] or UNKNOWN in needs[i] or reaches[i]) for i in everything]
            self._unknown = _reaching(loose, needs)
        else:
            self._unknown = [False for _ in everything]
        essential = self._essential(needs)
        running = {i for i in everything if self._unknown[i] and not self.answers[i] and not self._held[i]}
        # A number that is not known may be made anew in each step from what is; not from itself.
        if any(i in running and (not self._is_inexact(i) or needs[i] & running) for i in essential):
            raise NotKnownError(
                "`update` must count by numbers that are known, but its counters depend on the state, or on numbers "
                "that JAX is tracing: call this outside of `jax.jit`, `jax.vmap` and `jax.grad`."
            )
        self.by_unknown = bool(essential & running)
        self.followed = tuple(sorted(essential - running))
        self.start = self._started(self.followed)

    def _essential(self, needs: list[frozenset]) -> set[int]:
        """Leaves of the clock that coefficients depend on."""
        rule = Dependence()
        inputs = [Sources(STATE)] * self._num_numbers + [self._as_source(i) for i in range(len(needs))]
        moved = walk(self._step, inputs, rule)[: self._num_numbers]
        for each in moved:
            rule.note([Sources(STATE), each])
        wanted, found = list(rule.met), set()
        while wanted:
            i = wanted.pop()
            if i not in found:
                found.add(i)
                wanted += [j for j in needs[i] if isinstance(j, int) and not self.answers[j] and not self._held[j]]
        return found

    def _as_source(self, i: int) -> Sources:
        if self.answers[i]:
            return Sources(STATE)
        marks = [UNKNOWN] if self._unknown[i] and self._is_inexact(i) else []
        return Sources(*marks) if self._held[i] else Sources(i, *marks)

    def _is_inexact(self, i: int) -> bool:
        return bool(jnp.issubdtype(self._like[i].dtype, jnp.inexact))

    def _started(self, which: Sequence[int]) -> list[Array]:
        """Values of leaves when the rule starts."""
        if self._at is not None:
            return [self._at[1][i] for i in which]
        if not which:
            return []

        def values() -> list[Array]:
            found = walk(self._begin, [Value(None, answers=True)] * self._num_numbers, Evaluation())
            return [jnp.asarray(found[i].value, self._like[i].dtype) for i in which]

        with jax.ensure_compile_time_eval():
            return jax.jit(values)()

    def tick(self, values: Sequence[Array], traced: bool = False) -> tuple[list[Array], Readings]:
        """The followed leaves after a step, and what the step read.

        Args:
            values: The followed leaves.
            traced: Whether numbers that JAX is tracing count as known; only where this is traced itself.
        """
        rule = Evaluation(traced)
        held = [i for i in range(len(self._like)) if self._held[i] and not self._unknown[i]]
        known = dict(zip(held, map(Value, self._started(held)), strict=True))
        known |= {i: Value(each, ticks=True) for i, each in zip(self.followed, values, strict=True)}
        numbers, memory = self._at or ([None] * self._num_numbers, [None] * len(self._like))
        inputs = [Value(each, answers=True) for each in numbers]
        for i, each in enumerate(memory):
            inputs.append(known.get(i, Value(each, answers=self.answers[i], ticks=not self._held[i])))
        found = walk(self._step, inputs, rule)
        after = found[self._num_numbers :]
        for each in found[: self._num_numbers]:
            rule.note([Value(None, answers=True), each])
        some = (rule.coefficients.values(), rule.mixed.values(), rule.moduli)
        read = [[_flat(each) for each in readings] for readings in some]
        pairs = [(_flat(left), _flat(right)) for left, right in rule.compared if jnp.size(left) == jnp.size(right) == 1]
        readings = Readings(read[0], read[1], read[2], pairs)
        return [jnp.asarray(after[i].value, self._like[i].dtype) for i in self.followed], readings


def time_zero(y: State) -> Array:
    """The time at which steps are looked at."""
    return jnp.zeros((), jnp.result_type(*jax.tree.leaves(y)))


def taken_apart(memory: Any) -> tuple[list[Array], Callable[[Sequence[Array]], Any]]:
    """The arrays of a memory, Python's numbers among them, and how to put them back."""
    memory = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, _NUMBER) else leaf, memory)
    arrays, rest = eqx.partition(strongly_typed(memory), eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    return leaves, lambda leaves: eqx.combine(jax.tree.unflatten(structure, leaves), rest)


def _reaching(start: list[bool], needs: list[frozenset]) -> list[bool]:
    """Which leaves come of some of the first ones, in one step or more."""
    found = list(start)
    while True:
        come = [any(found[j] for j in need if isinstance(j, int)) for need in needs]
        more = [now or comes for now, comes in zip(found, come, strict=True)]
        if more == found:
            return found
        found = more


def _flat(reading: Any) -> Array:
    if jnp.issubdtype(getattr(reading, "dtype", jnp.float32), jax.dtypes.prng_key):
        reading = jax.random.key_data(reading)
    flat = jnp.ravel(jnp.asarray(reading))
    if flat.size <= _MOST_NUMBERS:
        return flat
    # Weights in no relation to anything.
    weights = np.random.default_rng(0).uniform(0.5, 1, (4, flat.size))
    dtype = jnp.promote_types(flat.dtype, float)
    return jnp.asarray(weights, dtype) @ flat.astype(dtype)
