"""Events on a branch, found between its points by halving what lies between them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from ..._lowering import jit_quickly
from ._corrector import correct, FINEST, Point, where
from ._eigenvalues import eigenvalues_at
from ._motion import AbstractMotion
from ._signature import critical, kind, NONE, num_flat, Signature, signature
from ._trace import Trace

_BISECTIONS = 28
# Both sides of an event are looked at so far from it, in units of the range or the state's size: what happens closer to
# it than that is a part of it.
_BESIDE = {4: 1e-3, 8: 1e-6}


class Located(eqx.Module):
    """Events on a branch in the order of its points; rows past `num` say nothing.

    Attributes:
        kinds: What each is, by the numbers of `_signature`; `NONE` for what changed by rounding alone.
        zs: The points, shape `(events, z)`.
        tangents: The branch's tangents there.
        eigenvalues: The critical eigenvalue of the residual's Jacobian, shape `(events,)`.
        after: The number of the branch's point before each.
        num: How many there are.
    """

    kinds: Int[Array, " events"]
    zs: Float[Array, "events z"]
    tangents: Float[Array, "events z"]
    eigenvalues: Complex[Array, " events"]
    after: Int[Array, " events"]
    num: Int[Array, ""]


class _Left(eqx.Module):
    """A point of a branch with what tells it from the other side of an event."""

    z: Float[Array, "*rows z"]
    tangent: Float[Array, "*rows z"]
    signature: Signature


class _Scan(eqx.Module):
    left: _Left
    interval: Int[Array, ""]
    found: Located
    ends: Array


@jit_quickly
def locate(motion: AbstractMotion, along: Trace, most: int) -> Located:
    """All events of a branch, up to a number.

    Args:
        motion: The equations.
        along: The branch.
        most: Most events; those beyond are left out, and `num` is this.
    """
    there = along.there
    flat = num_flat(along.eigenvalues, there)
    known = signature(along.eigenvalues, along.tangents, flat, motion.is_map)
    num = along.num_points
    rows = jnp.arange(len(along.zs) - 1)
    changes = known.differs(jax.tree.map(lambda part: jnp.roll(part, -1), known))[:-1] & (rows + 1 < num)

    def left_of(interval: Array) -> _Left:
        return jax.tree.map(lambda part: part[interval], _Left(along.zs, along.tangents, known))

    def next_one(scan: _Scan) -> _Scan:
        """Finds what comes first after a point, and goes on from just beyond it."""
        left, right = scan.left, left_of(scan.interval + 1)
        point, before, after, end = _halved(motion, along, left, right, flat)
        values = eigenvalues_at(point.matrix(along.chart))
        value, scale = critical(values, flat, motion.is_map), jnp.max(jnp.abs(values))
        # Both sides of what lies near the start of the interval are seen from the start itself.
        code = kind(before, after.signature, value, scale, motion.is_map)
        code = jnp.where(point.ok, code, NONE)
        found = _with(scan.found, code, point, value, scan.interval)
        here = after.signature.differs(right.signature) & (end < 1)
        onward = jnp.argmax(changes & (rows > scan.interval))
        done = ~jnp.any(changes & (rows > scan.interval)) & ~here
        interval = jnp.where(here, scan.interval, onward)
        left = where(here, after, left_of(interval))
        return _Scan(left, interval, found, done)

    first = jnp.argmax(changes)
    start = _Scan(left_of(first), first, _nothing(along, most), ~jnp.any(changes))
    return jax.lax.while_loop(lambda scan: ~scan.ends & (scan.found.num < most), next_one, start).found


def _halved(
    motion: AbstractMotion, along: Trace, left: _Left, right: _Left, flat: Array
) -> tuple[Point, Signature, _Left, Array]:
    """The first change between two points: where it is, both sides of it, and the share of the way at the second."""
    chart, is_map = along.chart, motion.is_map
    far = left.tangent @ (right.z - left.z)
    beside = _BESIDE[max(left.z.dtype.itemsize, 4)] / jnp.maximum(far, 1e-12)

    def at(share: Array) -> tuple[Point, Signature]:
        guess = _between(left, right, share)
        # Through the point at that share of the way along the left tangent, whatever the guess is.
        guess = guess + (share * far - left.tangent @ (guess - left.z)) * left.tangent
        point = correct(motion, chart, guess, left.tangent, FINEST)
        return point, signature(eigenvalues_at(point.matrix(chart)), point.tangent, flat, is_map)

    def look(count: Array, state: tuple[Array, Array, Any]) -> tuple[Array, Array, Any]:
        """Halves so many times, then looks at the middle, and at both sides of it."""
        low, high, seen = state
        sides = jnp.stack([high + beside, low - beside, (low + high) / 2])
        share = jnp.where(count < _BISECTIONS, (low + high) / 2, sides[jnp.maximum(count - _BISECTIONS, 0)])
        point, sign = at(jnp.clip(share, 0, 1))
        same, halving = ~sign.differs(left.signature), count < _BISECTIONS
        low, high = jnp.where(halving & same, share, low), jnp.where(halving & ~same, share, high)
        seen = jax.tree.map(
            lambda rows, row: rows.at[jnp.maximum(count - _BISECTIONS, 0)].set(row), seen, (point, sign)
        )
        return low, high, seen

    zero, one = jnp.zeros((), left.z.dtype), jnp.ones((), left.z.dtype)
    like = jax.tree.map(lambda leaf: jnp.zeros((3, *leaf.shape), leaf.dtype), jax.eval_shape(at, zero))
    _, high, (points, signs) = jax.lax.fori_loop(0, _BISECTIONS + 3, look, (zero, one, like))
    beyond, before, middle = (jax.tree.map(lambda leaf, i=i: leaf[i], (points, signs)) for i in range(3))
    after = _Left(beyond[0].z, beyond[0].tangent, beyond[1])
    return middle[0], before[1], after, high + beside


def _between(left: _Left, right: _Left, share: Array) -> Array:
    """The cubic through two points with their tangents."""
    chord = right.z - left.z
    length = jnp.linalg.norm(chord)
    bend = length * left.tangent - chord, length * right.tangent - chord
    middle = left.z + share * chord
    return middle + share * (1 - share) * ((1 - share) * bend[0] - share * bend[1])


def _nothing(along: Trace, most: int) -> Located:
    size, dtype = along.zs.shape[1], along.zs.dtype
    rows = jnp.zeros((most, size), dtype)
    none = jnp.zeros(most, along.num_points.dtype)
    return Located(none, rows, rows, jnp.zeros(most, along.eigenvalues.dtype), none, jnp.zeros((), none.dtype))


def _with(found: Located, code: Array, point: Point, value: Array, interval: Array) -> Located:
    """What was found with one more, unless that is nothing."""
    at, more = found.num, (code != NONE).astype(found.num.dtype)
    return Located(
        kinds=found.kinds.at[at].set(code.astype(found.kinds.dtype)),
        zs=found.zs.at[at].set(point.z),
        tangents=found.tangents.at[at].set(point.tangent),
        eigenvalues=found.eigenvalues.at[at].set(value.astype(found.eigenvalues.dtype)),
        after=found.after.at[at].set(interval.astype(found.after.dtype)),
        num=at + more,
    )
