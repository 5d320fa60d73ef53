"""Where convergence is certain: a sublevel set of a quadratic Lyapunov function around an equilibrium."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate
from ..linearization._jacobian import eigenvalues_of, field_jacobian
from ..maps._clock import taken_apart
from ..maps._fixed_point import look, step_at_fixed_point
from ..maps._rhythm import Rhythm, rhythm

# Where the quadratic function is checked: on so many ellipsoids, over eight decades of it, in so many directions each.
_LEVELS = 64
_DECADES = 8
_DIRECTIONS = 256
# It has to fall at a tenth of the rate that the linear part has at the equilibrium; so much stands against what lies
# between the points that are looked at.
_SHARE = 0.1
# Squarings of the linear part: modes down to 1e-12 of the fastest are summed up.
_DOUBLINGS = 45


class TrappingRegion(eqx.Module):
    r"""A set $\{V < \text{level}\}$, $V(x) = (x - x^*)^T P (x - x^*)$, in which $V$ falls: what enters it converges.

    Attributes:
        center: The equilibrium $x^*$ as a vector; for an update with memory, state and memory. What of the memory does
            not answer to the state is in it, but counts for nothing.
        matrix: $P$, from the Lyapunov equation of the linear part with the identity on the right.
        level: 0 where the equilibrium is not stable, or nothing could be shown.
        repels: Whether the linear part is unstable.
        growth: Of small disturbances, per unit time: the spectral abscissa, or for an update the logarithm of the
            spectral radius over the step size.
        period: For an update, where the trap speaks: after numbers of steps that are multiples of this.
        since: The first such number.
    """

    center: Float[Array, "*equilibria n"]
    matrix: Float[Array, "*equilibria n n"]
    level: Float[Array, "*equilibria"]
    repels: Bool[Array, "*equilibria"]
    growth: Float[Array, "*equilibria"]
    period: int = eqx.field(static=True, default=1)
    since: int = eqx.field(static=True, default=0)

    def height(self, x: Float[Array, " n"]) -> Scalar:
        """$V$ at a point."""
        away = x - self.center
        return away @ self.matrix @ away

    def holds(self, x: Float[Array, " n"]) -> Bool[Array, ""]:
        """Whether the point is inside."""
        return self.height(x) < self.level

    def speaks(self, step: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether being inside tells anything after so many steps of an update."""
        return (step % self.period == 0) & (step >= self.since)


def flow_trap(field: Field, y: State, args: Args, reach: Scalar) -> TrappingRegion:
    r"""For a flow, where $\dot V = 2 (x - x^*)^T P F(x) \le -\tfrac1{10} |x - x^*|^2$.

    $P$ solves $J^T P + P J = -I$. The inequality is not proved but looked at, in many directions on ellipsoids whose
    distances are a seventh of their size.

    Args:
        field: The field.
        y: An equilibrium.
        args: Handed to the field.
        reach: Euclidean distance up to which to look.
    """
    center, restore = ravel_pytree(y)
    linear = field_jacobian(field, y, args)
    # The Cayley transform makes a map of the flow, with the same function.
    size = jnp.linalg.norm(linear)
    identity = jnp.eye(center.size, dtype=center.dtype)
    inverse = jnp.linalg.inv(size * identity - linear)
    matrix = _sum_of_powers((size * identity + linear) @ inverse, 2 * size * inverse.T @ inverse)

    def change(x: Array) -> Scalar:
        return 2 * (x - center) @ matrix @ ravel_pytree(field(0.0, restore(x), args))[0]

    growth = jnp.max(jnp.real(eigenvalues_of(linear)))
    return _trap(center, matrix, change, growth / size, growth, reach)


def step_trap(
    update: AbstractUpdate, field: Field, y: State, args: Args, reach: Scalar, known: Rhythm | None = None
) -> TrappingRegion:
    r"""For an update, where $V(x_{+}) - V(x) \le -\tfrac1{10} |x - x^*|^2$; $P$ solves $M^T P M - P = -I$.

    The update's memory belongs to $x$, as far as it answers to the state. For a rule with a period $x_{+}$ is a period
    later, and the trap speaks where the number of steps is a multiple of it; and from `Rhythm.since` on, since counters
    are taken as having run for ever. Where the equilibrium is no fixed point, or the rule never repeats, there is none.

    Args:
        update: The update.
        field: The field.
        y: An equilibrium.
        args: Handed to the field.
        reach: Euclidean distance up to which to look.
        known: How the update repeats, if that is known.
    """
    known = rhythm(update, field, y, args, strict=False) if known is None else known
    center, step = step_at_fixed_point(update, field, y, args, known)
    linear = jax.jacfwd(step)(center)
    matrix = _sum_of_powers(linear, jnp.eye(center.size, dtype=center.dtype))

    def change(x: Array) -> Scalar:
        before, after = x - center, step(x) - center
        return after @ matrix @ after - before @ matrix @ before

    radius = jnp.max(jnp.abs(eigenvalues_of(linear)))
    found = _trap(center, matrix, change, radius - 1, jnp.log(radius) / (known.period * update.step_size), reach)
    holds = look(update, field, y, args, known).holds()
    places, whole = _places(update, field, y, args, known)
    return TrappingRegion(
        center=jnp.zeros(whole, center.dtype).at[places].set(center),
        matrix=jnp.zeros((whole, whole), center.dtype).at[np.ix_(places, places)].set(found.matrix),
        level=jnp.where(holds, found.level, 0),
        repels=holds & found.repels,
        growth=found.growth,
        period=known.period,
        since=known.since,
    )


def _places(update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm) -> tuple[np.ndarray, int]:
    """Where the numbers that the step map is of stand among all numbers of state and memory; and how many there are."""
    like = jax.eval_shape(lambda: taken_apart(update.init(field, y, args))[0])
    sizes = [(leaf.size, kept) for leaf, kept in zip(like, known.answers, strict=True) if _is_inexact(leaf)]
    of_state = sum(leaf.size for leaf in jax.tree.leaves(y))
    kept = np.concatenate([np.ones(of_state, bool), *(np.full(size, each) for size, each in sizes)])
    return np.flatnonzero(kept), len(kept)


def _is_inexact(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _trap(
    center: Array, matrix: Array, change: Callable[[Array], Scalar], relative: Scalar, growth: Scalar, reach: Scalar
) -> TrappingRegion:
    """`relative` is the growth in units of the fastest motion, above rounding where it counts."""
    noise = jnp.sqrt(jnp.finfo(center.dtype).eps)
    stable = (relative < -noise) & jnp.all(jnp.isfinite(matrix))
    safe = jnp.where(stable, matrix, jnp.eye(center.size, dtype=center.dtype))
    lower = jnp.linalg.cholesky(safe)
    # Columns with P-norm 1.
    directions = jax.scipy.linalg.solve_triangular(lower.T, _directions(center.size, center.dtype).T, lower=False).T
    farthest = reach**2 * jnp.linalg.norm(safe, 2)
    levels = farthest * jnp.logspace(-_DECADES, 0, _LEVELS, dtype=center.dtype)

    def falls(level: Array) -> Array:
        away = jnp.sqrt(level) * directions
        falling = jax.vmap(lambda each: change(center + each))(away)
        return jnp.all(falling <= -_SHARE * jnp.sum(away**2, axis=1))

    certain = jnp.cumprod(jax.lax.map(falls, levels)).astype(bool)
    level = jnp.where(stable & certain[0], levels[jnp.maximum(jnp.sum(certain) - 1, 0)], 0.0)
    return TrappingRegion(center, safe, level.astype(center.dtype), relative > noise, growth.astype(center.dtype))


def _sum_of_powers(linear: Array, right: Array) -> Array:
    """Of (M^k)^T Q M^k over all k, by doubling; not finite if M does not contract."""

    def double(_: Any, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        power, total = pair
        return power @ power, total + power.T @ total @ power

    _, total = jax.lax.fori_loop(0, _DOUBLINGS, double, (linear, right))
    return (total + total.T) / 2


def _directions(size: int, dtype: Any) -> Float[np.ndarray, "directions n"]:
    """Unit vectors, the same in every run; in the plane evenly spread."""
    if size == 2:
        angles = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        points = np.random.default_rng(0).standard_normal((_DIRECTIONS * min(size, 16), size))
        points = np.concatenate([points, np.eye(size), -np.eye(size)])
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(dtype)
