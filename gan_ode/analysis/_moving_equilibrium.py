"""Equilibria that move with a parameter, and the Jacobian there."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .. import _tree
from .._types import Args, Field, Scalar, State
from ._jacobian import check_dense

Family: TypeAlias = Callable[[Any], Field]
"""From a parameter, a scalar array, to a field."""

# From the neighbor's equilibrium Newton's steps double the digits: six are usual.
_MOST_STEPS = 30
# Directions that the Jacobian shrinks below this, relative to the largest, are those of a continuum of equilibria.
_FLAT = {4: 1e-5, 8: 1e-11}


def equilibrium_at(family: Family, parameter: Scalar, y: State | Callable, args: Args) -> State:
    """The equilibrium: a function's value, or what Newton's method finds from a state."""
    return y(parameter) if callable(y) else newton(family(parameter), y, args)


def jacobian_at(family: Family, parameter: Scalar, y: State | Callable, args: Args) -> Float[Array, "n n"]:
    """The Jacobian at the equilibrium, differentiable in the parameter and in what the family is made of."""
    return linearized(family(parameter), equilibrium_at(family, parameter, y, args), args)[1]


def equilibria(family: Family, values: Float[Array, " values"], y: State | Callable, args: Args) -> State:
    """The equilibria along the values, each searched from the one before it unless a function gives them."""
    if callable(y):
        return jax.vmap(y)(values)

    def follow(here: State, value: Scalar) -> tuple[State, State]:
        there = newton(family(value), here, args)
        return there, there

    return jax.lax.scan(follow, jax.tree.map(jnp.asarray, y), values)[1]


def linearized(field: Field, y: State, args: Args) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Velocity and Jacobian in one pass: to compile the field once is what takes the time."""
    x, restore = ravel_pytree(y)
    check_dense(x.size, x.dtype.itemsize)

    def velocity(x: Array) -> Array:
        return ravel_pytree(field(0.0, restore(x), args))[0]

    along = jax.vmap(lambda direction: jax.jvp(velocity, (x,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(x.size, dtype=x.dtype))


def newton(field: Field, y: State, args: Args) -> State:
    """The zero of the field near a state: Newton's steps of least length, for as long as they shrink the velocity.

    At a zero it stays, also within a continuum of them. Differentiable in the field by the implicit function theorem.
    """
    start, restore = ravel_pytree(jax.lax.stop_gradient(y))
    flat = _FLAT[max(jnp.dtype(_tree.dtype(y)).itemsize, 4)]

    def advance(state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Looks at the trial; keeps it if the velocity is smaller there, and proposes the next."""
        trial, kept, _, count = state
        velocity, slope = jax.lax.stop_gradient(linearized(field, restore(trial), args))
        size = jnp.linalg.norm(velocity)
        shrinks = size < kept[1]
        kept = jax.tree.map(lambda a, b: jnp.where(shrinks, a, b), (trial, size, slope), kept)
        return trial - _solve(slope, velocity, flat), kept, shrinks & (size > 0), count + 1

    def goes_on(state: tuple[Any, ...]) -> Array:
        return state[2] & (state[3] < _MOST_STEPS)

    nothing_yet = start, jnp.full((), jnp.inf, start.dtype), jnp.zeros((start.size, start.size), start.dtype)
    _, (x, _, slope), _, _ = jax.lax.while_loop(goes_on, advance, (start, nothing_yet, jnp.array(True), jnp.array(0)))
    here = ravel_pytree(field(0.0, restore(x), args))[0]
    return restore(x - _solve(slope, here - jax.lax.stop_gradient(here), flat))


def _solve(slope: Float[Array, "n n"], velocity: Float[Array, " n"], flat: float) -> Float[Array, " n"]:
    return jnp.linalg.lstsq(slope, velocity, rcond=flat)[0]
