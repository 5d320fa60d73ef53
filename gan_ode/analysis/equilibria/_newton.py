"""Newton's method of least change, and what counts as a root."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool

from ..._types import Args, Field, RealScalarLike, State
from ..linearization._preconditions import Inspection

# Steps of Newton's method gain a factor two to nine tenths at a root of order two to ten.
POLISH = 60
# A component of the velocity is zero at a root if it is this small against what it is near by. Finer than what an
# equilibrium that somebody hands in must keep: Newton's method gets there at any root, and stays above it at the least
# velocity of a field that has none.
_ROOT = {4: 2e-3, 8: 1e-6}


def at_root(seen: Inspection, itemsize: int) -> Bool[Array, "*rows"]:
    """Whether a state at which Newton's method ended is a root."""
    return seen.still & (seen.unrest <= _ROOT[itemsize])


def flat_velocity(field: Field, args: Args, restore: Callable[[Array], State]) -> Callable[[Array], Array]:
    """The velocity at time 0 of states in flat form."""
    return lambda x: ravel_pytree(field(0.0, restore(x), args))[0]


def least_change(
    velocity: Callable[[Array], Array], x: Array, max_steps: int, enough: RealScalarLike, zero: RealScalarLike
) -> tuple[Array, Array]:
    """Newton's method of least change, while it makes the residual smaller. No derivative goes through it.

    Args:
        velocity: Of a flat state.
        x: Start.
        max_steps: Most steps.
        enough: The residual at which it stops; it also stops where rounding of the state explains it.
        zero: Singular values of the Jacobian that count as zero.

    Returns:
        The last state, and the residual there.
    """
    rounding = jnp.finfo(x.dtype).eps

    def residual_at(x: Array) -> Array:
        return jnp.linalg.norm(jax.lax.stop_gradient(velocity(x)))

    def step(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        x, residual, _, left = carry
        matrix, here = jax.lax.stop_gradient((jax.jacfwd(velocity)(x), velocity(x)))
        left_vectors, values, right_vectors = jnp.linalg.svd(matrix)
        kept = values > jnp.maximum(zero, rounding * values[0])
        inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1.0), 0.0)
        trial = x - right_vectors.T @ (inverse * (left_vectors.T @ here))
        there = residual_at(trial)
        noise = rounding * jnp.linalg.norm(jnp.abs(matrix) @ jnp.abs(x))
        better = (there < residual) & (residual > jnp.maximum(noise, enough))
        return jnp.where(better, trial, x), jnp.where(better, there, residual), better, left - 1

    def goes_on(carry: tuple[Array, Array, Array, Array]) -> Array:
        _, residual, better, left = carry
        return better & (left > 0) & (residual > enough)

    x = jax.lax.stop_gradient(x)
    start = (x, residual_at(x), jnp.asarray(True), jnp.asarray(max_steps))
    x, residual, _, _ = jax.lax.while_loop(goes_on, step, start)
    return x, residual
