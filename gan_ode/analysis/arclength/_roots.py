"""The zero of a field near a state, with its derivative by what the field is made of, and the Jacobian there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ... import _tree
from ..._problem import state_of
from ..._types import Args, Field, Scalar, State
from ..linearization._jacobian import check_dense
from ._bordered import FLAT

# Near a zero Newton's steps double the digits: six are usual, and many where the Jacobian vanishes. Where one
# overshoots it is halved, down to this part.
_MOST_STEPS = 100
_SHORTEST = 1 / 64


def jacobian_at(family: Callable, parameter: Scalar, y: State | Callable, args: Args) -> Float[Array, "n n"]:
    """The Jacobian at an equilibrium, differentiable in the parameter and in what the family is made of.

    Args:
        family: From the parameter to a field.
        parameter: The parameter.
        y: The equilibrium there, or a function from the parameter to it.
        args: Handed to the field.
    """
    field = family(parameter)
    there = state_of(y(parameter)) if callable(y) else with_derivative(field, y, args)
    return velocity_and_jacobian(field, there, args)[1]


def velocity_and_jacobian(field: Field, y: State, args: Args) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Velocity and Jacobian in one pass: to compile the field once is what takes the time."""
    x, restore = ravel_pytree(y)
    check_dense(x.size, x.dtype.itemsize)

    def velocity(x: Array) -> Array:
        return ravel_pytree(field(0.0, restore(x), args))[0]

    along = jax.vmap(lambda direction: jax.jvp(velocity, (x,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(x.size, dtype=x.dtype))


def root(field: Field, y: State, args: Args) -> State:
    """The zero of the field near a state: Newton's steps of least length, halved until they shrink the velocity.

    At a zero it stays, also within a continuum of them. No derivative goes through it.
    """
    start, restore = ravel_pytree(jax.lax.stop_gradient(y))
    flat = FLAT[max(jnp.dtype(_tree.dtype(y)).itemsize, 4)]

    def advance(state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Looks at the trial, keeps it if the velocity is smaller there, and proposes the next."""
        trial, kept, factor, count = state
        velocity, matrix = jax.lax.stop_gradient(velocity_and_jacobian(field, restore(trial), args))
        size, step = jnp.linalg.norm(velocity), -_least(matrix, velocity, flat)
        shrinks = size < kept[1]
        kept = jax.tree.map(lambda a, b: jnp.where(shrinks, a, b), (trial, size, matrix, step), kept)
        factor = jnp.where(shrinks, 1.0, factor / 2).astype(start.dtype)
        return kept[0] + factor * kept[3], kept, factor, count + 1

    def goes_on(state: tuple[Any, ...]) -> Array:
        _, (x, size, matrix, _), factor, count = state
        # Rounding of the state explains the rest.
        noise = jnp.finfo(start.dtype).eps * jnp.linalg.norm(jnp.abs(matrix) @ jnp.abs(x))
        return (size > noise) & (factor >= _SHORTEST) & (count < _MOST_STEPS)

    square, none = jnp.zeros((start.size, start.size), start.dtype), jnp.zeros_like(start)
    nothing_yet = start, jnp.full((), jnp.inf, start.dtype), square, none
    initial = start, nothing_yet, jnp.ones((), start.dtype), jnp.array(0)
    _, (x, *_), _, _ = jax.lax.while_loop(goes_on, advance, initial)
    return restore(x)


def with_derivative(field: Field, y: State, args: Args) -> State:
    """An equilibrium with its derivative by whatever the field is made of, by the implicit function theorem."""
    x, restore = ravel_pytree(jax.lax.stop_gradient(y))
    here, slope = velocity_and_jacobian(field, restore(x), args)
    here = here - jax.lax.stop_gradient(here)
    flat = FLAT[max(jnp.dtype(_tree.dtype(y)).itemsize, 4)]
    return restore(x - _least(jax.lax.stop_gradient(slope), here, flat))


def _least(slope: Float[Array, "n n"], velocity: Float[Array, " n"], flat: float) -> Float[Array, " n"]:
    """The shortest solution, which leaves alone what the matrix shrinks below a part of the largest."""
    return jnp.linalg.lstsq(slope, velocity, rcond=flat)[0]
