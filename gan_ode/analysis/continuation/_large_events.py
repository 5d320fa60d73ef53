"""Events on a branch of large states: found by the method of false position, with normal forms by GMRES."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._lowering import jit
from ..._types import Scalar
from ..arclength._corrector import Chart
from ..arclength._motion import AbstractMotion
from ..arclength._signature import critical, FOLD, kind, NONE, Signature, signature
from ._event import described, Event, exact, WORDS
from ._extended import angle_of, EventKind
from ._large import LargePoint, OfMotion, pairs_at, point, solved
from ._normal_form import assembled, doubled, eigenvalue_of, normal_form, Terms

_MOST_TRIALS = 30
# How far the two sides of an event are apart, in units of the range or the state's size.
_WIDTH = 1e-10


def large_events(motion: AbstractMotion, chart: Chart, points: list[LargePoint]) -> tuple[Event, ...]:
    """The events between the points of a branch; of several between two neighbors only one is found."""
    found = []
    for left, right in zip(points[:-1], points[1:], strict=True):
        before, after = _signature(motion, left), _signature(motion, right)
        if not bool(before.differs(after)):
            continue
        code = _code(motion, left, right, before, after)
        if code != NONE:
            found.append(_located(motion, chart, left, right, code))
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


def _located(motion: AbstractMotion, chart: Chart, left: LargePoint, right: LargePoint, code: int) -> Event:
    far = float(left.tangent @ (right.z - left.z))

    def at(share: float) -> LargePoint:
        guess = left.z + share * (right.z - left.z)
        guess = guess + (share * far - left.tangent @ (guess - left.z)) * left.tangent
        return point(motion, chart, guess, left.tangent, spectrum=code != FOLD)

    def height(there: LargePoint, like: complex) -> tuple[float, complex]:
        if code == FOLD:
            return float(there.tangent[-1]), 0j
        values = there.eigenvalues[np.imag(there.eigenvalues) >= 0]
        value = complex(values[np.argmin(np.abs(values - like))])
        return _height(motion, value), value

    # Of what crosses, the one that is nearest to the border at the nearer end; followed from trial to trial.
    ends = [complex(critical(jnp.asarray(each.eigenvalues), jnp.asarray(0), motion.is_map)) for each in (left, right)]
    like = min(ends, key=lambda value: abs(_height(motion, value)))
    (low, at_low), (high, at_high) = (0.0, height(left, like)[0]), (1.0, height(right, like)[0])
    there, value, side = right, like, 0
    for _ in range(_MOST_TRIALS):
        share = (low * at_high - high * at_low) / (at_high - at_low) if at_high != at_low else (low + high) / 2
        there = at(float(np.clip(share, low, high)))
        here, value = height(there, value if value else like)
        if here * at_high > 0:
            high, at_high = share, here
            at_low, side = (at_low / 2, -1) if side == -1 else (at_low, -1)
        else:
            low, at_low = share, here
            at_high, side = (at_high / 2, 1) if side == 1 else (at_high, 1)
        if (high - low) * far <= _WIDTH or here == 0 or abs(here) <= 1e-12:
            break
    name: Any = WORDS[code]
    angle = angle_of(name, jnp.asarray(value))
    form = normal_form(name, _terms(motion, name, chart.flat(there.z), chart.value(there.z), angle), angle)
    return described(motion, chart, jnp.asarray(code), there.z, there.tangent, exact(name, angle), form)


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


@jit
def _assembled(
    motion: AbstractMotion, name: EventKind, x: Array, value: Scalar, angle: Scalar, q: Array, p: Array
) -> Terms:
    def function(x: Array) -> Array:
        return motion.residual(x, value)

    _, product = jax.linearize(function, x)
    pull = jax.jvp(lambda v: motion.residual(x, v), (value,), (jnp.ones_like(value),))[1]
    q = q / jnp.linalg.norm(q)
    overlap = jnp.vdot(p, q)
    p = p / jnp.where(jnp.abs(overlap) > 0, jnp.conj(overlap), 1)
    double = doubled(name, angle)

    def slow(right: Array) -> Array:
        if name not in ("fold", "branch point"):
            return -solved(product, right)
        found = solved(lambda v: jnp.append(product(v[:-1]) + v[-1] * q, p @ v[:-1]), jnp.append(right, 0))
        return -found[:-1]

    def fast(right: Array) -> Array:
        """In real arithmetic: real and imaginary parts one after the other."""

        def both(v: Array) -> Array:
            a, b = jnp.split(v, 2)
            real, imag = double.real, double.imag
            return jnp.concatenate([real * a - imag * b - product(a), imag * a + real * b - product(b)])

        a, b = jnp.split(solved(both, jnp.concatenate([right.real, right.imag])), 2)
        return jax.lax.complex(a, b)

    simple = jnp.abs(overlap) > 1e-9
    return assembled(function, x, name, q, p, slow, fast, pull, simple)
