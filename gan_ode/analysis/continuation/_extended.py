"""An event as a regular zero of more equations: Newton's method finds it to rounding, and it has derivatives.

The matrix that is singular at an event is bordered by a row and a column, which make it regular; the last unknown of
the bordered system with the right-hand side (0, 1) is zero where the matrix is singular, and its derivative takes no
more than a product with the changed matrix.

Source: Govaerts (2000), Numerical Methods for Bifurcations of Dynamical Equilibria, chapters 3 and 4.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from ..._lowering import jit
from ..._types import Scalar
from ..arclength._bordered import FLAT
from ..arclength._corrector import Chart
from ..arclength._motion import AbstractMotion

EventKind = Literal["fold", "branch point", "hopf", "flip", "neimark-sacker"]

# Newton's steps from an event that is known to a few digits; two or three are usual.
_MOST_STEPS = 12
# A zero counts if the last step was as short as this, and it is not farther away than the other.
_CONVERGED, _FAR = {4: 1e-3, 8: 1e-7}, 0.1


class Pinned(eqx.Module):
    """An event that Newton's method ended at.

    Attributes:
        z: Its coordinates in the chart.
        angle: Of a pair, the frequency, or the angle of the multiplier.
        ok: Whether Newton's method converged, near where it started.
    """

    z: Float[Array, " z"]
    angle: Scalar
    ok: Bool[Array, ""]


@jit
def pin(motion: AbstractMotion, chart: Chart, kind: EventKind, guess: Array, angle: Scalar) -> Pinned:
    """The event near a guess, differentiable in what the motion is made of, by the implicit function theorem.

    Args:
        motion: The equations of the branch.
        chart: Coordinates, which are held as they are.
        kind: What is searched for.
        guess: A point near it.
        angle: Of a pair, the frequency or the angle of the multiplier there.
    """
    chart, guess, angle = jax.lax.stop_gradient((chart, guess, angle))
    still = _still(motion)
    size = 1 if kind == "fold" or kind == "flip" else 2
    first = jnp.where(jnp.asarray(kind == "branch point"), jnp.zeros_like(angle), angle)
    start = jnp.concatenate([guess, jnp.atleast_1d(first)[: size - 1]])
    unit = _unit(still, chart, guess)

    def step_from(motion: AbstractMotion, unknown: Array) -> tuple[Array, Array]:
        equations = _equations(motion, chart, kind, unknown, guess, first, unit)
        return equations(unknown), jax.lax.stop_gradient(jax.jacfwd(equations)(jax.lax.stop_gradient(unknown)))

    def advance(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        unknown, _, best, count = state
        left, slope = step_from(still, unknown)
        step = _solved(slope, left)
        shift = jnp.linalg.norm(step)
        return unknown - step, shift, jnp.minimum(best, shift), count + 1

    def goes_on(state: tuple[Array, Array, Array, Array]) -> Array:
        _, shift, best, count = state
        # Until a step is rounding: then it is no shorter than the shortest one.
        moving = (shift > 1e-15) & ((shift <= best) | (shift > 1e-8))
        return (count < 1) | ((count < _MOST_STEPS) & ((count < 2) | moving) & jnp.isfinite(shift))

    infinite = jnp.full((), jnp.inf, start.dtype)
    end, shift, _, _ = jax.lax.while_loop(goes_on, advance, (start, infinite, infinite, jnp.asarray(0)))
    left, slope = step_from(motion, end)
    # Zero, but for its derivative.
    moved = end - _solved(slope, left - jax.lax.stop_gradient(left))
    near = jnp.linalg.norm(end[: guess.size] - guess) <= _FAR * (1 + jnp.linalg.norm(guess))
    ok = (shift <= _CONVERGED[max(start.dtype.itemsize, 4)]) & near
    return Pinned(moved[: guess.size], angle if size == 1 else moved[-1], ok)


def _still(motion: AbstractMotion) -> AbstractMotion:
    """The same without derivatives."""
    arrays, rest = eqx.partition(motion, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def _unit(motion: AbstractMotion, chart: Chart, z: Array) -> Scalar:
    """The size of the Jacobian, in which equations are measured."""
    x, value = chart.flat(z), chart.value(z)
    matrix = jax.jacfwd(lambda x: motion.residual(x, value))(x)
    size = jnp.max(jnp.abs(matrix))
    return jnp.where(size > 0, size, 1)


def _equations(
    motion: AbstractMotion,
    chart: Chart,
    kind: EventKind,
    at: Array,
    guess: Array,
    angle: Scalar,
    unit: Scalar,
) -> Any:
    """The equations of an event as a function of the unknowns, right to first order near one value of these.

    Args:
        motion: The equations of the branch.
        chart: Coordinates.
        kind: What is searched for.
        at: The unknowns: the point, and for some kinds one more.
        guess: Where the search began: the borders are those of the matrix there.
        angle: The frequency or angle there.
        unit: What to measure the equations in.
    """
    still, at = _still(motion), jax.lax.stop_gradient(at)
    num = guess.size

    def residual(motion: AbstractMotion, z: Array) -> Array:
        return motion.residual(chart.flat(z), chart.value(z)) / unit

    def product(motion: AbstractMotion, z: Array, vector: Array) -> Array:
        """The Jacobian in the state times a real vector."""
        x, value = chart.flat(z), chart.value(z)
        return jax.jvp(lambda x: motion.residual(x, value), (x,), (vector,))[1] / unit

    def matrix(z: Array, angle: Scalar) -> Array:
        x, value = chart.flat(z), chart.value(z)
        dense = jax.jacfwd(lambda x: still.residual(x, value))(x) / unit
        return dense - _shift(kind, angle, unit) * jnp.eye(len(dense), dtype=dense.dtype)

    left, _, right = jnp.linalg.svd(matrix(guess, angle))
    border, row = left[:, -1], right[-1]
    other = at[-1] if at.size > num else jnp.zeros_like(angle)
    here = matrix(at[:num], other)
    corner = jnp.zeros((1, 1), here.dtype)
    bordered = jnp.block([[here, border[:, None]], [row[None], corner]])
    aim = jnp.zeros(len(bordered), here.dtype).at[-1].set(1)
    solved, adjoint = jnp.linalg.solve(bordered, aim), jnp.linalg.solve(bordered.conj().T, aim)
    w, psi, height = solved[:-1], adjoint[:-1], solved[-1]

    def singular(z: Array, angle: Scalar) -> Array:
        """Zero where the matrix is singular, with its first derivatives."""
        moved = product(motion, z, w.real)
        if jnp.iscomplexobj(w):
            moved = jax.lax.complex(moved, product(motion, z, w.imag))
        moved = moved - _shift(kind, angle, unit) * w
        change = jnp.vdot(psi, moved - jax.lax.stop_gradient(moved))
        return height - change

    if kind == "branch point":
        rest = _crossing(motion, chart, at[:num], bordered, psi, product, residual)
        return lambda u: jnp.concatenate(
            [
                residual(motion, u[:num]) + u[-1] * border,
                jnp.stack([singular(u[:num], other), rest(u[:num])]),
            ]
        )
    if kind in ("fold", "flip"):
        return lambda u: jnp.concatenate([residual(motion, u), singular(u, other)[None]])

    def both(u: Array) -> Array:
        found = singular(u[:num], u[-1])
        return jnp.concatenate([residual(motion, u[:num]), jnp.stack([found.real, found.imag])])

    return both


def _crossing(
    motion: AbstractMotion, chart: Chart, at: Array, bordered: Array, psi: Array, product: Any, residual: Any
) -> Any:
    """What else is zero where two branches cross: the left null vector does not see the parameter."""

    def by_parameter(z: Array) -> Array:
        along = jnp.zeros_like(z).at[-1].set(1)
        return jax.jvp(lambda z: residual(motion, z), (z,), (along,))[1]

    slope = jax.lax.stop_gradient(by_parameter(at))
    found = jnp.linalg.solve(bordered, jnp.concatenate([slope, jnp.zeros(1, slope.dtype)]))[:-1]
    found = jax.lax.stop_gradient(found)
    height = psi @ slope

    def crossing(z: Array) -> Array:
        moved = psi @ by_parameter(z) - psi @ product(motion, z, found)
        return height + moved - jax.lax.stop_gradient(moved)

    return crossing


def _shift(kind: EventKind, angle: Scalar, unit: Scalar) -> Any:
    """The eigenvalue of the residual's Jacobian that makes the event, in its unit."""
    if kind == "flip":
        return -2 / unit
    if kind == "hopf":
        return jax.lax.complex(jnp.zeros_like(angle), angle) / unit
    if kind == "neimark-sacker":
        return (jax.lax.complex(jnp.cos(angle), jnp.sin(angle)) - 1) / unit
    return 0 / unit


def _solved(slope: Float[Array, "u u"], left: Float[Array, " u"]) -> Float[Array, " u"]:
    """Newton's step; least squares leave a continuum alone."""
    return jnp.linalg.lstsq(slope, left, rcond=FLAT[max(slope.dtype.itemsize, 4)])[0]


def angle_of(kind: EventKind, eigenvalue: Complex[Array, ""]) -> Scalar:
    """The frequency of a pair, or the angle of a multiplier, by the residual's eigenvalue."""
    return jnp.abs(jnp.angle(eigenvalue + 1)) if kind == "neimark-sacker" else jnp.abs(eigenvalue.imag)
