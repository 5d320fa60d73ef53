"""What updates of the two-parameter GAN do near its equilibrium, from simulated orbits alone."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments._machinery import _linear_quadratic as lq
from gan_ode import fields, iterate, Orbit, updates
from gan_ode.games import Players

Rule = Callable[[Any], updates.AbstractUpdate]

# Distance from the equilibrium at which orbits start to show its linear part, and up to which they do: what is not
# linear changes a growth rate by about the distance squared.
NEAR, SMALL = 1e-6, 1e-3
AT_ONCE = 10  # step sizes in a round of bisection, and in every compiled program


def follow(rule: Rule, field: fields.GameField, y0: Players, sizes: np.ndarray, num_steps: int) -> Orbit:
    """One orbit for each of at most ten step sizes, all of as many steps."""
    # As many at each call, so that one compiled program serves them all.
    padded = np.concatenate([sizes, np.repeat(sizes[-1:], AT_ONCE - len(sizes))])
    orbits = _follow(rule, field, y0, jnp.asarray(padded), num_steps)
    return jax.tree.map(lambda leaf: leaf[: len(sizes)], orbits)


@eqx.filter_jit
def _follow(rule: Rule, field: fields.GameField, y0: Players, sizes: jax.Array, num_steps: int) -> Orbit:
    return jax.vmap(lambda h: iterate(rule(h), field, y0, num_steps))(sizes)


def distances(rule: Rule, field: fields.GameField, sizes: np.ndarray, num_steps: int) -> np.ndarray:
    """Distances from the equilibrium along orbits that start near it, shape `(sizes, num_steps + 1)`."""
    orbit = follow(rule, field, lq.state(NEAR, 1.0), sizes, num_steps)
    return np.hypot(np.asarray(orbit.ys.discriminator), np.asarray(orbit.ys.generator) - 1.0)


def growth_rates(rule: Rule, field: fields.GameField, sizes: np.ndarray, num_steps: int) -> np.ndarray:
    """Growth of the logarithm of the distance per unit time, for each of at most ten step sizes."""
    apart = distances(rule, field, sizes, num_steps)
    return np.array([_growth(row) / h for row, h in zip(apart, sizes, strict=True)])


def _growth(apart: np.ndarray) -> float:
    """Per step, while the distance is small: between the peaks of two stretches."""
    small = int(np.argmax(apart > SMALL)) if np.any(apart > SMALL) else len(apart)
    half = small // 2
    first, second = apart[:half], apart[half : 2 * half]
    i, j = int(np.argmax(first)), half + int(np.argmax(second))
    return float(np.log(apart[j] / apart[i]) / (j - i))


def critical_step_size(rule: Rule, field: fields.GameField, num_steps: int) -> float:
    """Where orbits that start near the equilibrium begin to leave it, by bisection.

    Zero, if they leave it at the smallest step size too.
    """

    def leaves(sizes: np.ndarray) -> np.ndarray:
        apart = distances(rule, field, sizes, num_steps)
        half = num_steps // 2
        early, late = apart[:, : half + 1].max(axis=1), apart[:, half:].max(axis=1)
        return ~(late < SMALL) | (late > 1.02 * early)

    low, high = 0.02, 10.0
    if leaves(np.array([low]))[0]:
        return 0.0
    while high - low > 1e-5 * high:
        inner = np.linspace(low, high, AT_ONCE + 2)[1:-1]
        gone = leaves(inner)
        first = int(np.argmax(gone)) if gone.any() else len(inner)
        ends = np.concatenate([[low], inner, [high]])
        low, high = ends[first], ends[first + 1]
    return float((low + high) / 2)
