"""Where a function of the spectrum changes its sign, or an equilibrium ends, between two values of a parameter."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ... import _tree
from ..._lowering import jit
from ..._types import Args, Scalar, State
from ..arclength._at_values import equilibrium_at, Family, follow
from ..arclength._roots import velocity_and_jacobian
from ..equilibria._newton import at_root
from ..linearization._jacobian import eigenvalues_of
from ..linearization._preconditions import inspect
from ._test_functions import between, find, Followed, is_zero

_BISECTIONS = 60


class Bisected(eqx.Module):
    """What was found between two values.

    Attributes:
        value: The parameter.
        found: What was followed there: the mean of what it is on the two sides.
        y: The equilibrium.
        holds: Whether there is one, and what was followed passes zero in it and does not jump.
    """

    value: Scalar
    found: Array
    y: State
    holds: Bool[Array, ""]


@jit
def bisect(
    family: Family,
    ends: tuple[Array, Array],
    found: tuple[Array, Array],
    y: State | Callable,
    ys: tuple[State, State],
    args: Args,
    followed: Followed,
    scale: Array,
    check: bool,
) -> Bisected:
    """Where what is followed changes, and what was found there.

    Args:
        family: From the parameter to a field.
        ends: The two values.
        found: What is followed, there.
        y: The equilibrium as a function of the parameter, or any state.
        ys: The equilibria at the two values. Those between are followed from the nearest one below.
        args: Handed to the field.
        followed: What is followed.
        scale: The size of eigenvalues.
        check: Whether to look at what was found.
    """

    def halve(_: Any, state: Any) -> Any:
        (low, high), (at_low, at_high), (y_low, y_high), _, _ = state
        middle = (low + high) / 2
        halfway = jax.tree.map(lambda a, b: (a + b) / 2, y_low, y_high)
        there = equilibrium_at(family, (low, middle), y if callable(y) else y_low, args, halfway, jnp.asarray(scale))
        there, matrix = jax.lax.stop_gradient((there, velocity_and_jacobian(family(middle), there, args)[1]))
        at_middle = find(followed, eigenvalues_of(matrix), (at_low + at_high) / 2)
        before = between(followed, at_middle, at_low, at_high)

        def choose(if_before: Any, if_after: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(before, a, b), if_before, if_after)

        return (
            (choose(middle, low), choose(high, middle)),
            (choose(at_middle, at_low), choose(at_high, at_middle)),
            (choose(there, y_low), choose(y_high, there)),
            there,
            matrix,
        )

    ys = jax.lax.stop_gradient(jax.tree.map(jnp.asarray, ys))
    size = sum(leaf.size for leaf in jax.tree.leaves(ys[0]))
    start = ends, found, ys, ys[0], jnp.zeros((size, size), _tree.dtype(ys[0]))
    (low, high), (at_low, at_high), _, there, matrix = jax.lax.fori_loop(0, _BISECTIONS, halve, start)
    value, found_there = (low + high) / 2, (at_low + at_high) / 2
    holds = jnp.asarray(True)
    if check:
        # The last value that was looked at is this one but for rounding.
        seen = inspect(family(value), there, args=args)
        zero = is_zero(followed, (at_low, at_high), eigenvalues_of(matrix), scale)
        holds = seen.holds() & at_root(seen, max(jnp.dtype(_tree.dtype(there)).itemsize, 4)) & zero
    return Bisected(value, found_there, there, holds)


@jit
def last_found(
    family: Family, ends: tuple[Array, Array], y: State | Callable, here: State, args: Args
) -> tuple[Scalar, State, Float[Array, "n n"]]:
    """The last value to which an equilibrium can be followed that is found at one value and not at another.

    Args:
        family: From the parameter to a field.
        ends: The two values.
        y: The equilibrium as a function of the parameter, or any state.
        here: The equilibrium at the first of the values.
        args: Handed to the field.

    Returns:
        The value, the state and the Jacobian there.
    """

    def halve(_: Any, state: Any) -> Any:
        low, high, here, matrix = state
        middle = (low + high) / 2
        along = follow(family, jnp.stack([low, middle]), y if callable(y) else here, args, True)
        found = along.found[1]
        there = middle, high, _tree.last(along.ys), along.matrices[1]
        return jax.tree.map(lambda a, b: jnp.where(found, a, b), there, (low, middle, here, matrix))

    start = (*ends, here, velocity_and_jacobian(family(ends[0]), here, args)[1])
    value, _, there, matrix = jax.lax.fori_loop(0, _BISECTIONS, halve, start)
    return value, there, matrix
