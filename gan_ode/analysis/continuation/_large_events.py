"""Events on a branch of large states: found by the method of false position, with normal forms by GMRES."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..arclength._corrector import Chart
from ..arclength._extended import angle_of, eigenvalue_of, EventKind
from ..arclength._motion import AbstractMotion
from ..arclength._signature import critical, FOLD, kind, NONE, Signature, signature
from ._event import described, Event, WORDS
from ._large import LargePoint, OfMotion, pairs_at, point, solved
from ._multilinear import bilinear, trilinear
from ._normal_form import assembled, doubled, normal_form, Terms

_MOST_TRIALS = 30
# How far the two sides of an event are apart, in units of the range or the state's size.
_WIDTH = 1e-10
# What passes zero there is as small as the first where the search may end, and as the second where it must.
_ZERO, _PASSES = 1e-12, 1e-6


def large_events(motion: AbstractMotion, chart: Chart, points: list[LargePoint]) -> tuple[Event, ...]:
    """The events between the points of a branch; of several between two neighbors only one is found."""
    found = []
    for left, right in itertools.pairwise(points):
        before, after = _signature(motion, left), _signature(motion, right)
        if not bool(before.differs(after)):
            continue
        code = _code(motion, left, right, before, after)
        event = _located(motion, chart, left, right, code) if code != NONE else None
        if event is not None:
            found.append(event)
    return tuple(found)


def _signature(motion: AbstractMotion, at: LargePoint) -> Signature:
    return signature(jnp.asarray(at.eigenvalues), at.tangent, jnp.asarray(0), motion.is_map)


def _code(motion: AbstractMotion, left: LargePoint, right: LargePoint, before: Signature, after: Signature) -> int:
    """The kind of an event, by the eigenvalue that is nearest to the border of stability at either end."""
    ends = [critical(jnp.asarray(each.eigenvalues), jnp.asarray(0), motion.is_map) for each in (left, right)]
    nearest = min(ends, key=lambda value: abs(_height(motion, complex(value))))
    scale = jnp.asarray(np.max(np.abs(left.eigenvalues)))
    return int(kind(before, after, nearest, scale, motion.is_map))


def _height(motion: AbstractMotion, value: complex) -> float:
    """How far an eigenvalue of the residual is beyond the border of stability."""
    return abs(value + 1) - 1 if motion.is_map else value.real


def _located(motion: AbstractMotion, chart: Chart, left: LargePoint, right: LargePoint, code: int) -> Event | None:
    """The event between two points; None where what changes does not pass zero."""
    far = float(left.tangent @ (right.z - left.z))
    # As many directions grow on both sides; the next one by height crosses, and moves continuously.
    rank = min(int(_signature(motion, each).growing) for each in (left, right))

    def at(share: float) -> LargePoint:
        guess = left.z + share * (right.z - left.z)
        guess = guess + (share * far - left.tangent @ (guess - left.z)) * left.tangent
        return point(motion, chart, guess, left.tangent, spectrum=code != FOLD)

    def height(there: LargePoint) -> tuple[float, complex]:
        if code == FOLD:
            return float(there.tangent[-1]), 0j
        heights = [_height(motion, complex(value)) for value in there.eigenvalues]
        place = int(np.argsort(heights)[::-1][min(rank, len(heights) - 1)])
        value = complex(there.eigenvalues[place])
        return heights[place], complex(value.real, abs(value.imag))

    (low, at_low), (high, at_high) = (0.0, height(left)[0]), (1.0, height(right)[0])
    there, here, value, side = right, at_high, 0j, 0
    for _ in range(_MOST_TRIALS):
        share = (low * at_high - high * at_low) / (at_high - at_low) if at_high != at_low else (low + high) / 2
        share = share if low < share < high else (low + high) / 2
        there = at(share)
        here, value = height(there)
        if here * at_high > 0:
            high, at_high = share, here
            at_low, side = (at_low / 2, -1) if side == -1 else (at_low, -1)
        else:
            low, at_low = share, here
            at_high, side = (at_high / 2, 1) if side == 1 else (at_high, 1)
        if (high - low) * far <= _WIDTH or abs(here) <= _ZERO:
            break
    if abs(here) > _PASSES:
        return None
    name: Any = WORDS[code]
    angle = angle_of(name, jnp.asarray(value))
    form = normal_form(name, _terms(motion, name, chart.flat(there.z), chart.value(there.z), angle), angle)
    return described(
        motion, chart, jnp.asarray(code), there.z, there.tangent, eigenvalue_of(name, jnp.asarray(angle)), form
    )


def _terms(motion: AbstractMotion, name: EventKind, x: Array, value: Scalar, angle: Scalar) -> Terms:
    """The terms of a normal form, with eigenvectors from Krylov spaces and solutions from GMRES."""
    shown = complex(eigenvalue_of(name, angle)) + (1 if motion.is_map else 0)
    vectors = []
    for transposed in (False, True):
        pairs = pairs_at(OfMotion(motion, x, value, transposed), motion.is_map)
        # Of the transposed matrix the eigenvector to the conjugate is the left one.
        aim = shown.conjugate() if transposed else shown
        both = np.concatenate([pairs.values, pairs.values.conj()])
        place = int(np.argmin(np.abs(both - aim)))
        row = place % len(pairs.values)
        sign = 1 if place < len(pairs.values) else -1
        vectors.append(np.asarray(pairs.real[row]) + 1j * sign * np.asarray(pairs.imag[row]))
    q, p = vectors
    if name in ("hopf", "neimark-sacker"):
        q, p = jnp.asarray(q), jnp.asarray(p)
    else:
        q, p = (_real(each) for each in (q, p))
        q = q * np.sign(q[np.argmax(np.abs(q))])
    return _assembled(motion, name, x, value, angle, jnp.asarray(q), jnp.asarray(p))


def _real(vector: np.ndarray) -> np.ndarray:
    """A complex eigenvector of a real eigenvalue as the real one that it is a multiple of."""
    turned = vector / vector[np.argmax(np.abs(vector))]
    return np.real(turned) / np.linalg.norm(np.real(turned))


def _assembled(
    motion: AbstractMotion, name: EventKind, x: Array, value: Scalar, angle: Scalar, q: Array, p: Array
) -> Terms:
    """The terms, from eigenvectors; each piece is compiled by itself, which takes less time than all of them."""
    pull = _pull(motion, x, value)
    q = q / jnp.linalg.norm(q)
    overlap = jnp.vdot(p, q)
    p = p / jnp.where(jnp.abs(overlap) > 0, jnp.conj(overlap), 1)
    to_complex = jnp.result_type(x.dtype, jnp.complex64)
    double = jnp.asarray(doubled(name, angle)).astype(to_complex)

    def slow(right: Array) -> Array:
        if name in ("fold", "branch point"):
            return -_solve_beside(motion, x, value, q, p, right)
        return -_solve(motion, x, value, right)

    def fast(right: Array) -> Array:
        return _solve_shifted(motion, x, value, double, right)

    simple = jnp.abs(overlap) > 1e-9

    def second(left: Array, right: Array) -> Array:
        return jnp.stack([_second(motion, x, value, u, v) for u, v in zip(left, right, strict=True)])

    def third(directions: Array) -> Array:
        return jnp.stack([_third(motion, x, value, triple) for triple in directions])

    return assembled(name, q, p, second, third, slow, fast, pull, simple)


@jit_quickly
def _pull(motion: AbstractMotion, x: Array, value: Scalar) -> Array:
    return jax.jvp(lambda v: motion.residual(x, v), (value,), (jnp.ones_like(value),))[1]


@jit_quickly
def _second(motion: AbstractMotion, x: Array, value: Scalar, u: Array, v: Array) -> Array:
    return bilinear(lambda x: motion.residual(x, value), x, u[None], v[None])[0]


@jit_quickly
def _third(motion: AbstractMotion, x: Array, value: Scalar, triple: Array) -> Array:
    return trilinear(lambda x: motion.residual(x, value), x, triple[None])[0]


@jit_quickly
def _solve(motion: AbstractMotion, x: Array, value: Scalar, right: Array) -> Array:
    _, product = jax.linearize(lambda x: motion.residual(x, value), x)
    return solved(product, right)


@jit_quickly
def _solve_beside(motion: AbstractMotion, x: Array, value: Scalar, q: Array, p: Array, right: Array) -> Array:
    """Off the null space."""
    _, product = jax.linearize(lambda x: motion.residual(x, value), x)
    return solved(lambda v: jnp.append(product(v[:-1]) + v[-1] * q, p @ v[:-1]), jnp.append(right, 0))[:-1]


@jit_quickly
def _solve_shifted(motion: AbstractMotion, x: Array, value: Scalar, shift: Array, right: Array) -> Array:
    """With a complex number less the Jacobian; in real arithmetic, real and imaginary parts one after the other."""
    _, product = jax.linearize(lambda x: motion.residual(x, value), x)

    def both(v: Array) -> Array:
        a, b = jnp.split(v, 2)
        real, imag = shift.real, shift.imag
        return jnp.concatenate([real * a - imag * b - product(a), imag * a + real * b - product(b)])

    a, b = jnp.split(solved(both, jnp.concatenate([right.real, right.imag])), 2)
    return jax.lax.complex(a, b)
