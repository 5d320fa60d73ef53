"""How small the components of a trajectory get, and how small an absolute error each of them needs for that.

An absolute tolerance is a floor: a component below it no longer follows the field, and turns around by itself. Near
saddles, corners and invariant lines, where trajectories get closer and closer, this makes periods out of nothing.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from ..._types import Args, RealScalarLike
from ...solvers import _requirements

FlatField: TypeAlias = Callable[[Any, Array, Args], Array]

# What is asked of a component near zero, relative to its amplitude and the relative tolerance.
PART = 1e-2
# So many states are asked. Beyond so many components only those are asked one by one that a few states with half of
# them at zero leave in question.
_STATES, _MOST, _HALVES = 6, 32, 8


def positive_components(
    field: FlatField, ys: Float[Array, "states n"], args: Args, *, t: RealScalarLike = 0.0
) -> Bool[Array, " n"]:
    """Which components can never change their sign: they start off zero, and the field keeps them at zero.

    The parameter of a multiplicative scale and the size of a population are of this kind. They can get as small as
    numbers get and grow from there again, so that only a relative error means something to them.

    The field is asked at some of the states and at others around them, where it is finite, and must be zero exactly.

    Args:
        field: On flat states.
        ys: States of a trajectory, shape `(states, n)`; its start alone may do.
        args: Handed to the field.
        t: Time at which the field is asked.
    """
    size = ys.shape[1]
    states = states_around(ys)
    if size <= _MOST:
        asked, candidates = jnp.arange(size), jnp.ones(size, bool)
    else:
        candidates = _zero_with_others(field, states, args, t)
        asked = jnp.nonzero(candidates, size=_MOST, fill_value=size - 1)[0]

    def stays(component: Array) -> Bool[Array, ""]:
        velocities = jax.vmap(lambda y: field(t, y, args))(states.at[:, component].set(0))
        usable = jnp.all(jnp.isfinite(velocities), axis=1)
        return jnp.all(~usable | (velocities[:, component] == 0)) & (jnp.sum(usable) >= 2)

    kept = jnp.zeros(size, bool).at[asked].max(jax.vmap(stays)(asked))
    # A component so small that it has become zero stays so.
    keeps_sign = (ys[0] != 0) & jnp.all(ys * jnp.sign(ys[0]) >= 0, axis=0)
    return kept & candidates & keeps_sign


def absolute_tolerances(
    ys: Float[Array, "states n"], positive: Bool[Array, " n"], rtol: RealScalarLike, *, part: float = PART
) -> Float[Array, " n"]:
    """An absolute tolerance for each component, by the sizes that it takes along a trajectory.

    For a component that never changes its sign it is the least number, which stands for zero: its error is relative.
    For another one it is a small part of its amplitude times `rtol`, but not below rounding.

    Args:
        ys: States of the trajectory, shape `(states, n)`. Of a single one the largest component is taken for the
            amplitude of all.
        positive: Which components never change their sign, from `positive_components`.
        rtol: The relative tolerance.
        part: Which part of its amplitude. Where a field jumps as a component changes its sign, steps shrink to this
            times the time in which it changes: a part of 1 keeps them above rounding.
    """
    smallest = jnp.finfo(ys.dtype)
    amplitudes = jnp.ptp(ys, axis=0)
    largest = jnp.max(jnp.abs(ys))
    # Nothing is known of how far what rests will move, nor of a start.
    amplitudes = jnp.where(amplitudes > smallest.eps * largest, amplitudes, largest)
    usual = jnp.maximum(part * rtol * amplitudes, smallest.eps * largest)
    usual = jnp.where(largest > 0, usual, rtol)
    return jnp.where(positive, smallest.tiny, usual).astype(ys.dtype)


def tolerances_of_displacements(
    ys: Float[Array, "states n"], positive: Bool[Array, " n"], rtol: RealScalarLike, *, part: float = PART
) -> Float[Array, " n"]:
    """As `absolute_tolerances`, of displacements that start with the size of the trajectory, row by row.

    They pass through zero, and those of a component that never changes its sign are told as well as it is where it is
    smallest.
    """
    smallest = part * rtol * jnp.min(jnp.abs(ys), axis=0)
    # Over this, velocities have finite squares.
    floor = float(jnp.finfo(ys.dtype).tiny) ** 0.45
    usual = absolute_tolerances(ys, positive, rtol, part=part)
    return jnp.maximum(jnp.where(positive, smallest, usual), floor).astype(ys.dtype)


def step_control(solver: Any, rtol: RealScalarLike, atol: ArrayLike) -> diffrax.PIDController:
    """Control of step sizes as `flow` has it, with an absolute tolerance for each component of a state of one array."""
    p, i = (0.0, 1.0) if _requirements.is_implicit(solver) else (0.2, 0.6)
    return diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=p, icoeff=i)  # pyright: ignore[reportArgumentType]


def states_around(ys: Float[Array, "states n"]) -> Float[Array, "more n"]:
    """Some of the states, and some around them in which no component is zero and no two keep their relation."""
    chosen = ys[np.unique(np.linspace(0, len(ys) - 1, min(len(ys), _STATES)).astype(int))]
    counts = np.arange(1, ys.shape[1] + 1)
    largest = jnp.max(jnp.abs(ys))
    off_zero = jnp.where(largest > 0, largest, 1)

    def nudged(seed: int) -> Array:
        factors = 1 + 0.4 * np.sin(seed * 1.7 + counts * (1 + 0.31 * seed))
        shifts = 0.2 * np.cos(seed * 2.3 + counts * (2 + 0.17 * seed))
        return jnp.where(chosen == 0, shifts * off_zero, factors * chosen).astype(ys.dtype)

    return jnp.concatenate([chosen, *(nudged(seed) for seed in range(4))])


def _zero_with_others(field: FlatField, states: Array, args: Args, t: RealScalarLike) -> Bool[Array, " n"]:
    """Which components have no velocity wherever they are zero together with half of the others."""
    counts = np.arange(states.shape[1])
    halves = np.stack([np.sin(seed + 1 + counts * (1.3 + 0.7 * seed)) > 0 for seed in range(_HALVES)])
    points = jnp.where(np.concatenate([halves, ~halves]), 0, states[-1])
    velocities = jax.vmap(lambda y: field(t, y, args))(points)
    return jnp.all((points != 0) | (velocities == 0), axis=0)
