"""An update run segment by segment: each a number of evenly spaced states, from where the last one ended."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .... import _tree
from ...._lowering import jit
from ...._types import Args, Field, State
from ....updates import AbstractUpdate

SAVES = 4096


@dataclasses.dataclass(frozen=True)
class Segment:
    """Evenly spaced states of an orbit.

    Attributes:
        points: Shape `(SAVES + 1, n)`, as far as they are finite.
        stride: Steps between two of them.
        steps: Number of the last step.
        whole: State and memory in flat form at its end.
        finite: Whether all states were.
    """

    points: np.ndarray
    stride: int
    steps: int
    whole: np.ndarray
    finite: bool


class Runner:
    """Runs an update segment by segment."""

    def __init__(self, update: AbstractUpdate, field: Field, y0: State, args: Args):
        self.update, self.field, self.args = update, field, args
        self.y, self.memory = y0, update.init(field, y0, args)
        self.steps, self.step_size = 0, float(update.step_size)

    def run(self, stride: int) -> Segment:
        points, self.y, self.memory = _run(
            self.update, self.field, self.y, self.memory, self.args, jnp.asarray(self.steps), jnp.asarray(stride)
        )
        self.steps += SAVES * stride
        points = np.asarray(points, float)
        finite = np.all(np.isfinite(points), axis=1)
        good = len(points) if np.all(finite) else int(np.argmin(finite))
        whole = np.asarray(ravel_pytree((self.y, eqx.filter(self.memory, eqx.is_inexact_array)))[0], float)
        return Segment(points[:good], stride, self.steps, whole, good == len(points))


@jit
def _run(
    update: AbstractUpdate, field: Field, y: State, memory: Any, args: Args, first: Array, stride: Array
) -> tuple[Array, State, Any]:
    dtype = _tree.dtype(y)
    arrays, rest = eqx.partition(memory, eqx.is_array)
    step_size = update.step_size.astype(dtype)

    def one(n: Array, carry: tuple[State, Any]) -> tuple[State, Any]:
        y, arrays = carry
        t = step_size * n.astype(dtype)
        y, memory = update.step(field, t, y, args, eqx.combine(arrays, rest))
        return y, eqx.filter(memory, eqx.is_array)

    def until_save(carry: tuple[State, Any], number: Array) -> tuple[tuple[State, Any], Array]:
        start = first + number * stride
        carry = jax.lax.fori_loop(start, start + stride, one, carry)
        return carry, ravel_pytree(carry[0])[0]

    (y_end, arrays), points = jax.lax.scan(until_save, (y, arrays), jnp.arange(SAVES))
    start = ravel_pytree(y)[0]
    return jnp.concatenate([start[None], points]), y_end, eqx.combine(arrays, rest)
