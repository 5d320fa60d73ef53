"""The limit: the same method as a loop over all members, written out in JAX for this very system.

Each member has its own step size; those that are done, or past the next save, wait. Each slope is divided by a one that
the compiler does not know, which keeps it from computing every stage anew for each that follows. What is left out is
what a library has: other systems, solvers, events, statistics, a choice of the first step.
"""

import concurrent.futures
import itertools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks._problem import Problem
from experiments.benchmarks._rivals import _jax_field, _tsit5
from experiments.benchmarks._rivals._rival import Rival, Task

# Members to a chunk: few enough for a processor's cache.
CHUNK, CHUNK_WITH_SAVES = 200, 100


class _Carry(NamedTuple):
    t: jax.Array
    h: jax.Array
    y: tuple[jax.Array, jax.Array]
    slope: tuple[jax.Array, jax.Array]
    curve: Any  # of the last step: its start, its length, state and coefficients of its interpolant


def whole(name: str) -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        solve = jax.jit(follow(problem, tolerance))
        w, a = (jnp.asarray(column) for column in problem.starts.T)
        one = jnp.ones(())
        return Task(lambda: jax.block_until_ready(solve(w, a, one)), lambda found: np.moveaxis(np.asarray(found), 2, 0))

    return Rival(name, prepare, distributions=("jax",))


def chunked(name: str) -> Rival:
    def prepare(problem: Problem, tolerance: float) -> Task:
        inner, size = follow(problem, tolerance), CHUNK if problem.ends_only else CHUNK_WITH_SAVES
        solve = jax.jit(lambda w, a, one: jax.lax.map(lambda pair: inner(pair[0], pair[1], one), (w, a)))
        threads = os.cpu_count() or 1
        size = min(size, problem.size)
        filled = -(-problem.size // (threads * size)) * size
        lots = np.resize(problem.starts, (threads, filled // size, size, 2))
        # With fewer members than processors one thread is enough.
        lots = [jnp.asarray(lot) for lot in lots[: -(-problem.size // filled)]]
        pool = concurrent.futures.ThreadPoolExecutor(threads)

        def one(lot: jax.Array) -> Any:
            # `enable_x64` holds for one thread.
            with jax.enable_x64(True):
                return jax.block_until_ready(solve(lot[..., 0], lot[..., 1], jnp.ones(())))

        def states(found: list[Any]) -> np.ndarray:
            parts = [np.moveaxis(np.asarray(part), 3, 1) for part in found]  # chunks, members, times, 2
            return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])[: problem.size]

        return Task(lambda: list(pool.map(one, lots)), states)

    return Rival(name, prepare, distributions=("jax",))


def follow(problem: Problem, tolerance: float) -> Callable[[Any, Any, Any], Any]:
    """From starts w and a, shape (members,), and the one to states of shape (times, 2, members)."""
    field = _jax_field.scalars(problem.system)
    start, times, last = float(problem.ts[0]), jnp.asarray(problem.ts[1:]), float(problem.ts[-1])
    step = _step(field, tolerance, last, keeps_curve=not problem.ends_only)

    def until(carry: _Carry, t: Any, one: jax.Array) -> _Carry:
        return jax.lax.while_loop(lambda now: jnp.any(now.t < t), lambda now: step(now, t, one), carry)

    def save(carry: _Carry, t: Any, one: jax.Array) -> tuple[_Carry, jax.Array]:
        carry = until(carry, t, one)
        t0, length, y0, coefficients = carry.curve
        theta = (t - t0) / length
        return carry, jnp.stack([y + theta * _horner(c, theta) for y, c in zip(y0, coefficients, strict=True)])

    def run(w: jax.Array, a: jax.Array, one: jax.Array) -> jax.Array:
        zero = jnp.zeros_like(w)
        curve = (zero + start, zero + 1, (w, a), ((zero,) * 4,) * 2)
        carry = _Carry(
            zero + start, zero + _tsit5.FIRST_STEP, (w, a), field(w, a), None if problem.ends_only else curve
        )
        if problem.ends_only:
            return jnp.stack(until(carry, last, one).y)[None]
        return jax.lax.scan(lambda now, t: save(now, t, one), carry, times)[1]

    return run


def _step(field: Callable, tolerance: float, last: float, keeps_curve: bool) -> Callable[[_Carry, Any, Any], _Carry]:
    rows = [row[:i].tolist() for i, row in enumerate(_tsit5.stages())][1:]
    error_weights, dense = _tsit5.errors().tolist(), _tsit5.dense().tolist()

    def step(now: _Carry, t: Any, one: Any) -> _Carry:
        active = now.t < t
        slopes, moved = [now.slope], now.y
        for row in rows:
            moved = tuple(y + now.h * _dot(row, k) for y, k in zip(now.y, zip(*slopes, strict=True), strict=True))
            slopes.append(tuple(slope / one for slope in field(*moved)))
        columns = list(zip(*slopes, strict=True))
        scaled = [
            now.h * _dot(error_weights, k) / (tolerance * (1 + jnp.maximum(jnp.abs(y), jnp.abs(new))))
            for k, y, new in zip(columns, now.y, moved, strict=True)
        ]
        square = jnp.maximum((scaled[0] ** 2 + scaled[1] ** 2) / 2, 1e-20)
        accepted = active & (square <= 1)
        # The factor 0.9 error^(-1/5) by exponential and logarithm: a power costs more.
        factor = jnp.clip(0.9 * jnp.exp(-0.1 * jnp.log(square)), 0.2, 10.0)
        reached = jnp.where(accepted, now.t + now.h, now.t)
        length = jnp.where(active, jnp.minimum(now.h * factor, last - reached), now.h)

        def chosen(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda x, y: jnp.where(accepted, x, y), new, old)

        curve = None
        if keeps_curve:
            coefficients = tuple(tuple(now.h * _dot(row, k) for row in dense) for k in columns)
            curve = chosen((now.t, now.h, now.y, coefficients), now.curve)
        return _Carry(reached, length, chosen(moved, now.y), chosen(slopes[-1], now.slope), curve)

    return step


def _dot(weights: list[float], slopes: Any) -> Any:
    return sum(weight * slope for weight, slope in itertools.zip_longest(weights, slopes) if weight)


def _horner(coefficients: Any, theta: Any) -> Any:
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * theta + coefficient
    return value
