"""A point of a branch from a guess: Newton's method, with the hyperplane that the point is searched in as one more
equation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._types import Scalar, State
from ._bordered import solve
from ._motion import AbstractMotion

# Newton's method stops where a step is shorter than this: of a step so short the square is rounding.
ENOUGH = {4: 1e-4, 8: 1e-9}
# Where all digits are wanted it goes on down to this.
FINEST = {4: 1e-6, 8: 1e-14}
_MOST_STEPS = 10
# Where a step is not at least so much shorter than the one before, the guess was too far away.
_CONTRACTS = 0.7
# What a solution of a linear system may leave of its right-hand side.
_SOLVED = 1e-2


class Chart(eqx.Module):
    """Coordinates in which a branch's length is measured: the state by its size, the parameter by its range.

    A point has the coordinates $z = (x / \\text{size}, (p - \\text{start}) / \\text{width})$, one vector.

    Attributes:
        size: What is a large change of the state.
        start: Where the parameter's range begins.
        width: Its length, negative where it falls.
    """

    size: Scalar
    start: Scalar
    width: Scalar

    def coordinates(self, x: Float[Array, "*rows m"], value: Array) -> Float[Array, "*rows z"]:
        share = (value - self.start) / self.width
        return jnp.concatenate([x / self.size, share[..., None].astype(x.dtype)], axis=-1)

    def flat(self, z: Float[Array, "*rows z"]) -> Float[Array, "*rows m"]:
        return self.size * z[..., :-1]

    def value(self, z: Float[Array, "*rows z"]) -> Float[Array, "*rows"]:
        return self.start + self.width * z[..., -1]


class Point(eqx.Module):
    """A point of a branch.

    Attributes:
        z: Its coordinates.
        tangent: The branch's unit tangent there.
        slope: The residual's derivative by the coordinates.
        ok: Whether Newton's method converged.
        finite: Whether the residual was finite all the way.
        contraction: By how much Newton's first steps shrank; small for a good guess.
    """

    z: Float[Array, " z"]
    tangent: Float[Array, " z"]
    slope: Float[Array, "m z"]
    ok: Bool[Array, ""]
    finite: Bool[Array, ""]
    contraction: Scalar

    def matrix(self, chart: Chart) -> Float[Array, "m m"]:
        """The residual's Jacobian in the state."""
        return self.slope[:, :-1] / chart.size


class _Search(eqx.Module):
    z: Float[Array, " z"]
    slope: Float[Array, "m z"]
    shift: Scalar
    count: Int[Array, ""]
    done: Bool[Array, ""]
    failed: Bool[Array, ""]
    finite: Bool[Array, ""]
    contraction: Scalar


def linearized(motion: AbstractMotion, chart: Chart, z: Array) -> tuple[Float[Array, " m"], Float[Array, "m z"]]:
    """The residual at a point, and its derivative by the coordinates, in one pass."""

    def residual(z: Array) -> Array:
        return motion.residual(chart.flat(z), chart.value(z))

    along = jax.vmap(lambda direction: jax.jvp(residual, (z,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(z.size, dtype=z.dtype))


def correct(
    motion: AbstractMotion, chart: Chart, guess: Array, border: Array, enough: dict[int, float] = ENOUGH
) -> Point:
    """The point of a branch in the hyperplane through a guess, across a direction.

    Args:
        motion: The equations.
        chart: The coordinates.
        guess: Where to start.
        border: The direction, a unit vector. The branch's tangent points to its side.
        enough: The step at which Newton's method may stop, by the bytes of a number.
    """
    itemsize = max(guess.dtype.itemsize, 4)
    rounding = jnp.finfo(guess.dtype).eps

    def advance(search: _Search) -> _Search:
        residual, slope = linearized(motion, chart, search.z)
        # One unit for all rows, in which the border weighs as much as the equations.
        unit = _unit(slope)
        off = border @ (search.z - guess)
        right, matrix = jnp.concatenate([residual / unit, off[None]]), jnp.concatenate([slope / unit, border[None]])
        step = solve(matrix, right)
        shift = jnp.linalg.norm(step)
        finite = jnp.isfinite(shift)
        settled = jnp.linalg.norm(residual) <= rounding * jnp.linalg.norm(jnp.abs(slope) @ jnp.abs(search.z))
        at_rest = settled & (search.count > 0)
        # A singular system may have no solution, as at the least velocity of a field that has no zero.
        solved = jnp.linalg.norm(matrix @ step - right) <= _SOLVED * jnp.linalg.norm(right)
        done = finite & (solved | settled) & ((shift <= enough[itemsize] * (1 + jnp.linalg.norm(search.z))) | at_rest)
        ratio = jnp.where(search.count > 0, shift / search.shift, 0)
        # What does not shrink any more near the goal has come to rounding.
        near = shift <= jnp.sqrt(rounding) * (1 + jnp.linalg.norm(search.z))
        stuck = (ratio > _CONTRACTS) & ~done
        done = done | (stuck & near & finite)
        return _Search(
            z=jnp.where(finite & ~at_rest, search.z - step, search.z),
            slope=slope,
            shift=shift,
            count=search.count + 1,
            done=done,
            failed=~finite | (stuck & ~near) | ~(solved | settled),
            finite=search.finite & finite,
            contraction=jnp.where(search.count == 1, ratio, search.contraction),
        )

    def goes_on(search: _Search) -> Array:
        return ~search.done & ~search.failed & (search.count < _MOST_STEPS)

    zero = jnp.zeros((), guess.dtype)
    no, yes = jnp.asarray(False), jnp.asarray(True)
    start = _Search(
        guess, jnp.zeros((guess.size - 1, guess.size), guess.dtype), zero, jnp.asarray(0), no, no, yes, zero
    )
    end = jax.lax.while_loop(goes_on, advance, start)
    return Point(end.z, tangent_at(end.slope, border), end.slope, end.done, end.finite, end.contraction)


def tangent_at(slope: Float[Array, "m z"], border: Float[Array, " z"]) -> Float[Array, " z"]:
    """The unit tangent on the side of another direction, and of several the nearest to it."""
    matrix = jnp.concatenate([slope / _unit(slope), border[None]])
    aim = jnp.zeros_like(border).at[-1].set(1)
    # The difference alone is solved for, so that what no equation says stays as it is.
    tangent = border + solve(matrix, aim - matrix @ border)
    length = jnp.linalg.norm(tangent)
    return tangent / jnp.where(length > 0, length, 1)


def _unit(slope: Array) -> Scalar:
    largest = jnp.max(jnp.abs(slope))
    return jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)


def states_of(motion: AbstractMotion, chart: Chart, zs: Float[Array, "rows z"]) -> State:
    """States of many points."""
    return jax.vmap(lambda z: motion.state(chart.flat(z)))(zs)


def where(condition: Array, left: Any, right: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), left, right)
