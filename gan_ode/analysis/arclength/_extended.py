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

from ..._lowering import jit_quickly
from ..._types import Scalar
from ._bordered import FLAT
from ._corrector import Chart, linearized
from ._motion import AbstractMotion

EventKind = Literal["fold", "branch point", "hopf", "flip", "neimark-sacker"]

# Newton's steps from an event that is known to a few digits; two or three are usual.
_MOST_STEPS = 12
# A zero counts if the last step was as short as this, and it is not farther away than the other.
_CONVERGED, _FAR = {4: 1e-3, 8: 1e-7}, 0.5


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


class _Unknowns(eqx.Module):
    """What Newton's method solves for.

    Attributes:
        z: The point.
        other: The frequency or the angle of a pair; where branches cross what the equations are off by; else zero.
    """

    z: Float[Array, " z"]
    other: Scalar


class _Search(eqx.Module):
    """Where Newton's method is, with the column and the row that border the matrix."""

    at: _Unknowns
    border: Array
    row: Array
    shift: Scalar
    best: Scalar
    count: Array


def pin(motion: AbstractMotion, chart: Chart, kind: EventKind, guess: Array, angle: Scalar) -> Pinned:
    """The event near a guess; no derivative goes through it.

    Args:
        motion: The equations of the branch.
        chart: Coordinates, which are held as they are.
        kind: What is searched for.
        guess: A point near it.
        angle: Of a pair, the frequency or the angle of the multiplier there.
    """
    return _pin(motion, chart, kind, guess, angle)[0]


def with_derivative(
    motion: AbstractMotion, chart: Chart, kind: EventKind, guess: Array, angle: Scalar
) -> tuple[Pinned, Float[Array, " z"]]:
    """The event, and its coordinates with their derivatives by what the motion is made of.

    By the implicit function theorem: the bordered equations are zero there, whatever the motion is made of.
    """
    chart, guess, angle = _still((chart, guess, angle))
    pinned, end = _still(_pin(motion, chart, kind, guess, angle))
    _, slope = _linear_system(motion, chart, kind, end.at, end.border, end.row)
    moved = _equations(motion, chart, kind, end.at, end.border, end.row)
    change = -_solved(slope, moved - jax.lax.stop_gradient(moved))
    return pinned, end.at.z + change[: guess.size]


@jit_quickly
def _pin(motion: AbstractMotion, chart: Chart, kind: EventKind, guess: Array, angle: Scalar) -> tuple[Pinned, _Search]:
    size = guess.size

    def advance(search: _Search) -> _Search:
        matrix, _ = _still(_linear(motion, chart, kind, search.at))
        # The borders are those of the first matrix.
        left, _, right = jnp.linalg.svd(matrix)
        fresh = search.count == 0
        border, row = jnp.where(fresh, left[:, -1], search.border), jnp.where(fresh, right[-1], search.row)
        height, slope = _linear_system(motion, chart, kind, search.at, border, row)
        step = _solved(slope, height)
        shift = jnp.linalg.norm(step)
        other = search.at.other - (step[-1] if step.size > size else 0)
        at = _Unknowns(search.at.z - step[:size], other)
        return _Search(at, border, row, shift, jnp.minimum(search.best, shift), search.count + 1)

    def goes_on(search: _Search) -> Array:
        # Until a step is rounding: then it is no shorter than the shortest one.
        moving = (search.shift > 1e-15) & ((search.shift <= search.best) | (search.shift > 1e-8))
        going = (search.count < _MOST_STEPS) & ((search.count < 2) | moving) & jnp.isfinite(search.shift)
        return (search.count < 1) | going

    other = jnp.zeros_like(angle) if kind == "branch point" else angle
    like = jnp.zeros(size - 1, jnp.result_type(eigenvalue_of(kind, angle), guess.dtype))
    infinite = jnp.full((), jnp.inf, guess.dtype)
    start = _Search(_Unknowns(guess, other), like, like, infinite, infinite, jnp.asarray(0))
    end = jax.lax.while_loop(goes_on, advance, start)
    near = jnp.linalg.norm(end.at.z - guess) <= _FAR * (1 + jnp.linalg.norm(guess))
    ok = (end.shift <= _CONVERGED[max(guess.dtype.itemsize, 4)]) & near
    return Pinned(end.at.z, end.at.other if kind in ("hopf", "neimark-sacker") else angle, ok), end


def _still(tree: Any) -> Any:
    """The same without derivatives."""
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def _linear(motion: AbstractMotion, chart: Chart, kind: EventKind, at: _Unknowns) -> tuple[Array, tuple[Array, Array]]:
    """The matrix that is singular at the event; the residual, and its derivative by the coordinates."""
    residual, slope = linearized(motion, chart, at.z)
    matrix = slope[:, :-1] / chart.size
    return matrix - eigenvalue_of(kind, at.other) * jnp.eye(len(matrix), dtype=matrix.dtype), (residual, slope)


def _bordered(matrix: Array, border: Array, row: Array) -> Array:
    return jnp.block([[matrix, border[:, None]], [row[None], jnp.zeros((1, 1), matrix.dtype)]])


def _linear_system(
    motion: AbstractMotion, chart: Chart, kind: EventKind, at: _Unknowns, border: Array, row: Array
) -> tuple[Array, Array]:
    """The equations of an event, and their derivative by the unknowns; constants to JAX."""
    matrix, (residual, slope) = _still(_linear(motion, chart, kind, at))
    bordered = _bordered(matrix, border, row)
    aim = jnp.zeros(len(bordered), matrix.dtype).at[-1].set(1)
    solved, adjoint = jnp.linalg.solve(bordered, aim), jnp.linalg.solve(bordered.conj().T, aim)
    w, psi, height = solved[:-1], adjoint[:-1], solved[-1]
    along = -_second(motion, chart, at.z, psi, w)
    if kind in ("fold", "flip"):
        return jnp.append(residual, height), jnp.concatenate([slope, along[None]])
    if kind == "branch point":
        pull = slope[:, -1]
        bent = jnp.linalg.solve(bordered, jnp.append(pull, 0))[:-1]
        # How the left null vector's product with the parameter's column moves.
        crossing = _second_by_parameter(motion, chart, at.z, psi) - _second(motion, chart, at.z, psi, bent)
        rows = jnp.concatenate([slope, along[None], crossing[None]])
        column = jnp.concatenate([border, jnp.zeros(2, border.dtype)])
        left = jnp.concatenate([residual + at.other * border, jnp.stack([height, psi @ pull])])
        return left, jnp.concatenate([rows, column[:, None]], axis=1)
    by_angle = jnp.vdot(psi, w) * _slope_of_eigenvalue(kind, at.other)
    rows = jnp.concatenate([slope, along.real[None], along.imag[None]])
    column = jnp.concatenate([jnp.zeros(len(slope), slope.dtype), jnp.stack([by_angle.real, by_angle.imag])])
    left = jnp.concatenate([residual, jnp.stack([height.real, height.imag])])
    return left, jnp.concatenate([rows, column[:, None]], axis=1)


def _second(motion: AbstractMotion, chart: Chart, z: Array, psi: Array, w: Array) -> Array:
    """The derivative by the coordinates of the product of the Jacobian in the state with a vector, seen by another."""

    def product(z: Array, vector: Array) -> Array:
        x, value = chart.flat(z), chart.value(z)
        return jax.jvp(lambda x: motion.residual(x, value), (x,), (vector,))[1]

    if not jnp.iscomplexobj(w):
        return psi @ _still(jax.jacfwd(product)(z, w))
    real, imag = _still(jax.vmap(lambda vector: jax.jacfwd(product)(z, vector))(jnp.stack([w.real, w.imag])))
    return psi.conj() @ jax.lax.complex(real, imag)


def _second_by_parameter(motion: AbstractMotion, chart: Chart, z: Array, psi: Array) -> Array:
    """How the residual's derivative by the parameter's coordinate moves with the coordinates, seen by a vector."""
    along = jnp.zeros_like(z).at[-1].set(1)

    def by_parameter(z: Array) -> Array:
        return jax.jvp(lambda z: motion.residual(chart.flat(z), chart.value(z)), (z,), (along,))[1]

    return psi @ _still(jax.jacfwd(by_parameter)(z))


def _equations(
    motion: AbstractMotion, chart: Chart, kind: EventKind, at: _Unknowns, border: Array, row: Array
) -> Array:
    """The equations of an event at fixed unknowns, differentiable in what the motion is made of."""
    matrix, (residual, slope) = _linear(motion, chart, kind, at)
    bordered = _bordered(matrix, border, row)
    aim = jnp.zeros(len(bordered), matrix.dtype).at[-1].set(1)
    height = jnp.linalg.solve(bordered, aim)[-1]
    if kind in ("fold", "flip"):
        return jnp.append(residual, height)
    if kind == "branch point":
        psi = jnp.linalg.solve(bordered.conj().T, aim)[:-1]
        return jnp.concatenate([residual + at.other * border, jnp.stack([height, psi @ slope[:, -1]])])
    return jnp.concatenate([residual, jnp.stack([height.real, height.imag])])


def eigenvalue_of(kind: EventKind, angle: Scalar) -> Array:
    """The eigenvalue of the residual's Jacobian that makes the event."""
    if kind == "hopf":
        return jax.lax.complex(jnp.zeros_like(angle), angle)
    if kind == "neimark-sacker":
        return jax.lax.complex(jnp.cos(angle) - 1, jnp.sin(angle))
    return jnp.full_like(angle, -2.0 if kind == "flip" else 0.0)


def _slope_of_eigenvalue(kind: EventKind, angle: Scalar) -> Array:
    turning = jnp.zeros_like(angle) if kind == "hopf" else angle
    return jax.lax.complex(-jnp.sin(turning), jnp.cos(turning))


def _solved(slope: Float[Array, "u u"], left: Float[Array, " u"]) -> Float[Array, " u"]:
    """Newton's step; least squares leave a continuum alone."""
    return jnp.linalg.lstsq(slope, left, rcond=FLAT[max(slope.dtype.itemsize, 4)])[0]


def angle_of(kind: EventKind, eigenvalue: Complex[Array, ""]) -> Scalar:
    """The frequency of a pair, or the angle of a multiplier, by the residual's eigenvalue."""
    return jnp.abs(jnp.angle(eigenvalue + 1)) if kind == "neimark-sacker" else jnp.abs(eigenvalue.imag)
