"""The spectral radius of a field's Jacobian, followed along an orbit."""

from typing import Any

import jax
import jax.numpy as jnp

from .. import _tree
from .._types import Args, RealScalarLike, Scalar, State

_PRECISION = 0.02
_MOST_PRODUCTS = 50


def spectral_radius(
    terms: Any, t: RealScalarLike, y: State, args: Args, direction: State, guess: Scalar
) -> tuple[Scalar, State]:
    """Modulus of the largest eigenvalue and its direction, by a power iteration that starts from earlier ones.

    Stops when a product changes the modulus by less than 2 %.
    """
    _, times_jacobian = jax.linearize(lambda y: terms.vf(t, y, args), y)
    # How many stages a step takes is no smooth function of anything.
    times_jacobian, direction, guess = jax.tree.map(jax.lax.stop_gradient, (times_jacobian, direction, guess))

    def unfinished(carry: tuple) -> Any:
        i, radius, before, _ = carry
        settled = jnp.abs(radius - before) <= _PRECISION * radius
        return (i == 0) | (~settled & (i < _MOST_PRODUCTS))

    def multiply(carry: tuple) -> tuple:
        i, radius, _, direction = carry
        product = times_jacobian(direction)
        length = _tree.norm(product)
        return i + 1, length, radius, _tree.scale(1 / jnp.maximum(length, 1e-30), product)

    _, radius, before, direction = jax.lax.while_loop(
        unfinished, multiply, (jnp.asarray(0), guess, jnp.zeros_like(guess), direction)
    )
    return jnp.maximum(radius, before), direction


def start_direction(velocity: State) -> State:
    """A unit vector for the power iteration: the velocity, and something of every direction."""
    waves = jax.tree.map(lambda v: jnp.sin(1.0 + jnp.arange(v.size, dtype=v.dtype)).reshape(v.shape), velocity)
    return _unit(_tree.add(_unit(velocity), _unit(waves)))


def _unit(tree: State) -> State:
    return _tree.scale(1 / jnp.maximum(_tree.norm(tree), 1e-30), tree)
