"""The first closed curve of a branch: from a Neimark-Sacker point, from a flow's cycle, or from a state drawn to it."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.interpolate
from jaxtyping import Array

from ..._lowering import jit_quickly
from ..._types import Scalar, State
from ..arclength._motion import AbstractMotion
from ..maps._rotation_number import rotation_number
from ._coordinates import InCoordinates
from ._corrector import Change, follow, Place, Units
from ._fourier import nodes
from ._walk import HARMONICS, resolved

# The mean radius at which a curve is searched beside a Neimark-Sacker point, in units of the state's size.
_AWAY = 3e-2, 1e-2, 3e-3, 1e-3
# Steps after which a state has come to the curve, and steps on it from which it is guessed.
_SETTLING, _ON_IT = 8192, 8192
# Steps for the memory of an update to follow the states of a cycle.
_REMEMBERING = 16


def only_share(curve: Change) -> Change:
    """The direction of the parameter."""
    return Change(jnp.zeros_like(curve.rows), jnp.ones_like(curve.share))


def corrected(motion: AbstractMotion, units: Units, guess: Change) -> Place | None:
    """The curve near a guess, at the guess's value of the parameter; None if there is none."""
    border = only_share(guess)
    place = follow(motion, units, guess, border, _as_they_are(guess), jnp.zeros_like(guess.share), border)
    return resolved(motion, units, place) if bool(place.ok) else None


def _as_they_are(curve: Change) -> Array:
    """The density by which nodes stay."""
    return jnp.ones(len(curve.rows), curve.rows.dtype)


def beside_point(motion: InCoordinates, units: Units, share: float) -> Place | None:
    """The first curve beside a Neimark-Sacker point, if there is one: a turn of the linear steps, of some radius.

    Args:
        motion: The steps, in coordinates around the point.
        units: The units.
        share: Its parameter, as a share of the range.
    """
    num, dtype = 2 * HARMONICS[0] + 1, motion.origin.dtype
    turn = np.zeros((num, len(motion.origin)))
    turn[:, 0], turn[:, 1] = np.cos(nodes(num)), np.sin(nodes(num))
    along = Change(jnp.asarray(turn, dtype), jnp.asarray(0.0, dtype))
    for away in _AWAY:
        guess = Change(away * along.rows, jnp.asarray(share, dtype))
        place = follow(motion, units, guess, along, _as_they_are(guess), along.share, along)
        if bool(place.ok) and abs(float(place.amplitude) / away - 1) < 0.5:
            return resolved(motion, units, place)
    return None


@jit_quickly
def jacobian_of_steps(motion: AbstractMotion, x: Array, value: Scalar) -> Array:
    return jnp.eye(x.size, dtype=x.dtype) + jax.jacfwd(motion.residual)(x, value)


def along_cycle(motion: AbstractMotion, value: Array, states: State, shares: np.ndarray) -> np.ndarray:
    """Flat states at evenly spaced phases, from samples of a flow's cycle.

    Args:
        motion: The steps.
        value: The first value of the parameter.
        states: The samples, with a leading axis, both ends included.
        shares: The shares of the period at which they are.
    """
    rows = np.asarray(_with_memory(motion, states, value), float)
    rows = np.concatenate([rows[:-1], rows[:1]])
    curve = scipy.interpolate.CubicSpline(shares, rows, bc_type="periodic")
    num = 2 * HARMONICS[0] + 1
    return curve(np.arange(num) / num)


@jit_quickly
def _with_memory(motion: AbstractMotion, states: State, value: Array) -> Array:
    """Flat states; what the update remembers is as some steps leave it."""

    def one(y: State) -> Array:
        x = motion.flat(y, value)
        size = sum(leaf.size for leaf in jax.tree.leaves(y))
        if x.size == size:
            return x
        return jax.lax.fori_loop(0, _REMEMBERING, lambda _, x: x + motion.residual(x, value), x)

    return jax.vmap(one)(states)


def from_state(motion: AbstractMotion, x: Array, value: Array) -> np.ndarray | None:
    """Flat states at evenly spaced phases, from the steps of a state that is drawn to a curve; None if there is none.

    The turns that a step makes on the average order the states along the curve.
    """
    states = np.asarray(_steps(motion, x, value), float)
    if not np.all(np.isfinite(states)):
        return None
    middle = states.mean(axis=0)
    _, _, axes = np.linalg.svd(states - middle, full_matrices=False)
    plane = (states - middle) @ axes[:2].T
    # The curve is run through as the steps go.
    rotation = abs(float(rotation_number(jnp.asarray(plane), jnp.zeros(2)).value))
    if not np.isfinite(rotation):
        return None
    shares = np.mod(rotation * np.arange(len(states)), 1)
    order = np.argsort(shares)
    num = 2 * HARMONICS[0] + 1
    ends = np.concatenate([order[-1:], order, order[:1]])
    places = np.concatenate([shares[order[-1:]] - 1, shares[order], shares[order[:1]] + 1])
    return np.stack([np.interp(np.arange(num) / num, places, column) for column in states[ends].T], axis=1)


@jit_quickly
def _steps(motion: AbstractMotion, x: Array, value: Array) -> Array:
    def step(x: Array, _: None) -> tuple[Array, Array]:
        return x + motion.residual(x, value), x

    return jax.lax.scan(step, x, length=_SETTLING + _ON_IT)[1][_SETTLING:]
