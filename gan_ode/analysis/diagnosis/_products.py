"""Products of the scaled Jacobian with vectors, and of a rule's linear steps: one compiled program for each field."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..._lowering import jit
from ..._types import Args, Field, State
from ...games import Players
from ...updates import AbstractUpdate
from ..maps._clock import time_zero
from . import _thresholds
from ._budget import Budget
from ._linear_game import steps_of

Product = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Jacobian:
    """The Jacobian of a field at a state, each row scaled.

    Attributes:
        field: The field.
        y: The state.
        args: The minibatch.
        scale: Factors on the rows, flat.
        budget: What products are counted in.
        split: How many numbers are the discriminator's; None for another state than `Players`.
    """

    field: Field
    y: State
    args: Args
    scale: np.ndarray
    budget: Budget
    split: int | None

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """The matrix times a vector, in double precision."""
        self.budget.require(_thresholds.PRODUCT)
        self.budget.spend(_thresholds.PRODUCT)
        image = _push(self.field, self.y, self.args, jnp.asarray(vector, float))[1]
        return self.scale * np.asarray(image, np.float64)

    @property
    def size(self) -> int:
        """Rows and columns."""
        return len(self.scale)

    def dense(self) -> np.ndarray:
        """All of it."""
        self.budget.require(_thresholds.PRODUCT * self.size)
        return np.stack([self(row) for row in np.eye(self.size)], axis=1)

    def compressed(self, basis: np.ndarray) -> np.ndarray:
        """On a basis, given by columns."""
        self.budget.require(_thresholds.PRODUCT * basis.shape[1])
        return basis.T @ np.stack([self(column) for column in basis.T], axis=1)

    def stretched(self, factors: np.ndarray) -> "Jacobian":
        """With other factors on the rows."""
        return dataclasses.replace(self, scale=self.scale * factors)


@jit
def _push(field: Field, y: State, args: Args, vector: Float[Array, " n"]) -> tuple[Array, Array]:
    flat, restore = ravel_pytree(y)
    with jax.default_matmul_precision("highest"):
        return jax.jvp(lambda x: ravel_pytree(field(time_zero(y), restore(x), args))[0], (flat,),
                       (vector.astype(flat.dtype),))  # fmt: skip


def velocity(field: Field, y: State, args: Args) -> State:
    """The field at a state, by the program that the products take."""
    flat, restore = ravel_pytree(y)
    return restore(_push(field, y, args, jnp.zeros(flat.size))[0])


class Steps:
    """A rule's linear steps on a field that is known by its products: their matrix, in state and memory.

    Args:
        rule: The rule.
        product: The Jacobian times a vector.
        size: Numbers of the state.
        split: How many are the discriminator's.
    """

    def __init__(self, rule: AbstractUpdate, product: Product, size: int, split: int | None):
        self._rule, self._product, self._state, self._split = rule, product, size, split
        self.known = steps_of(rule, 2, None if split is None else 1).known
        start = self._players(np.zeros(size))
        memory = self.known.with_clock(rule.init(self._still, start, None), self.known.before)
        _, memory = rule.step(self._still, jnp.zeros(()), start, None, memory)
        self._memory = self.known.with_clock(memory, self.known.late)
        leaves = [np.asarray(leaf) for leaf in self.known.of_state(self._memory)]
        self._shapes = [leaf.shape for leaf in leaves]
        self.size = size + sum(leaf.size for leaf in leaves)

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """The matrix times a vector."""
        y, rest = self._players(vector[: self._state]), vector[self._state :]
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])
        leaves = [jnp.asarray(np.reshape(part, shape)) for part, shape in
                  zip(np.split(rest, ends[:-1]) if len(ends) else [], self._shapes, strict=True)]  # fmt: skip
        memory = self.known.with_state(self._memory, leaves)
        for _ in range(self.known.period):
            y, memory = self._rule.step(self._moved, jnp.zeros(()), y, None, memory)
        after = [ravel_pytree(y)[0], *(jnp.ravel(leaf) for leaf in self.known.of_state(memory))]
        return np.concatenate([np.asarray(part, np.float64) for part in after])

    def _players(self, vector: np.ndarray) -> State:
        array = jnp.asarray(vector, float)
        return array if self._split is None else Players(array[: self._split], array[self._split :])

    def _moved(self, t: Any, y: State, args: Args = None) -> State:
        return self._players(self._product(np.asarray(ravel_pytree(y)[0], np.float64)))

    def _still(self, t: Any, y: State, args: Args = None) -> State:
        return jax.tree.map(jnp.zeros_like, y)
