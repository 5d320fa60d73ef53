"""Equilibria that move with a parameter, and the Jacobian there."""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _checks, _tree
from ..._problem import state_of
from ..._types import Args, Field, Scalar, State
from ..linearization._jacobian import check_dense
from ..linearization._preconditions import complaint, inspect, Inspection
from ._newton import at_root

Family: TypeAlias = Callable[[Any], Field]
"""From a parameter, a scalar array, to a field."""

# From the neighbor's equilibrium Newton's steps double the digits: six are usual, and many where the Jacobian vanishes.
# Where they overshoot they are halved, down to this part.
_MOST_STEPS = 100
_SHORTEST = 1 / 64
# Directions that the Jacobian shrinks below this, relative to the largest, are those of a continuum of equilibria.
_FLAT = {4: 1e-5, 8: 1e-11}
# A step along the branch, from value to value or a part of that, counts if the way back ends where it started, to this
# part of the step, and if it is as long as the branch's slopes at both ends say, to another. Both also to this part of
# the state's size, which is as well as Newton's method finds an equilibrium where the Jacobian vanishes.
_BACK, _AS_LONG = 0.3, 0.3
_REST = {4: 1e-2, 8: 1e-5}
# The shortest part.
_LEAST_PART = 1 / 256


class Followed(eqx.Module):
    """Equilibria along the values of a parameter, and the field there.

    Attributes:
        ys: The states, with a leading axis.
        velocities: Zero, but where the equilibrium was lost.
        matrices: The Jacobians.
        seen: What was seen there.
        found: Where the state is the equilibrium that was followed, and the field has a linear part.
    """

    ys: State
    velocities: Float[Array, "values n"]
    matrices: Float[Array, "values n n"]
    seen: Inspection
    found: Bool[Array, " values"]


def follow(family: Family, values: Float[Array, " values"], y: State | Callable, args: Args, check: bool) -> Followed:
    """The equilibria along the values, each from the one before it unless a function gives them.

    An equilibrium is lost for good where Newton's method finds none, or one that is not of the same branch: past a fold
    it goes on to other branches, or to places that are no equilibria.
    """
    ys, joined = (
        (jax.vmap(lambda value: state_of(y(value)))(values), jnp.ones(values.shape, bool))
        if callable(y)
        else _follow(family, values, y, args)
    )

    def look(value: Scalar, there: State) -> tuple[Any, Inspection, State]:
        # All from one field, which is made once.
        field = family(value)
        there = there if callable(y) else with_derivative(field, there, args)
        return linearized(field, there, args), inspect(field, there, args=args), there

    (velocities, matrices), seen, ys = jax.vmap(look)(values, ys)
    if not check:
        return Followed(ys, velocities, matrices, seen, jnp.ones(values.shape, bool))
    if not callable(y):
        itemsize = max(jnp.dtype(_tree.dtype(ys)).itemsize, 4)
        joined = jnp.cumprod(joined & at_root(seen, itemsize)).astype(bool)
    found = joined & seen.holds()
    return Followed(ys, velocities, matrices, seen, found)


def refuse_if_nothing(found: Bool[Array, " values"], seen: Inspection) -> None:
    """Raises if the values are known and there is no equilibrium at any."""
    if _checks.is_traced((found, seen)) or np.any(found):
        return
    first = jax.tree.map(lambda leaf: leaf[0], seen)
    raise ValueError(complaint(first) or "`y` must be an equilibrium at the first of `values`, but is none.")


def equilibrium_at(family: Family, parameter: Scalar, y: State | Callable, args: Args) -> State:
    """The equilibrium: a function's value, or what Newton's method finds from a state. Differentiable in the family."""
    if callable(y):
        return state_of(y(parameter))
    field = family(parameter)
    return with_derivative(field, newton(field, y, args).y, args)


def jacobian_at(family: Family, parameter: Scalar, y: State | Callable, args: Args) -> Float[Array, "n n"]:
    """The Jacobian at the equilibrium, differentiable in the parameter and in what the family is made of."""
    return linearized(family(parameter), equilibrium_at(family, parameter, y, args), args)[1]


def _follow(family: Family, values: Array, y: State, args: Args) -> tuple[State, Bool[Array, " values"]]:
    """The branch by Newton's method, in steps from value to value or shorter ones, and where it was still followed."""
    first = newton(family(values[0]), jax.tree.map(jnp.asarray, y), args)
    start = _Place(first, jnp.zeros_like(first.ahead), _least(first.slope)), jnp.asarray(True)

    def go(carry: tuple[_Place, Array], ends: tuple[Array, Array]) -> tuple[tuple[_Place, Array], Any]:
        here, alive = _step_by_step(family, *ends, *carry, args)
        return (here, alive), (here.solved.y, alive)

    _, (rest, alive) = jax.lax.scan(go, start, (values[:-1], values[1:]))
    ys = jax.tree.map(lambda one, others: jnp.concatenate([one[None], others]), first.y, rest)
    return ys, jnp.concatenate([jnp.ones(1, bool), alive])


class _Place(eqx.Module):
    """A place on a branch.

    Attributes:
        solved: The equilibrium.
        rate: How it moved with the parameter on the way here.
        regular: The least singular value of the Jacobian where it was largest on the way.
    """

    solved: "Solved"
    rate: Float[Array, " n"]
    regular: Scalar


def _step_by_step(
    family: Family, low: Array, high: Array, here: _Place, alive: Array, args: Args
) -> tuple[_Place, Bool[Array, ""]]:
    """From the equilibrium at one value to that at another, in steps that are halved where they leave the branch.

    Each goes along the branch's slope, and, where the Jacobian has become singular, as the branch went before.
    """

    def advance(state: tuple[Array, Array, _Place]) -> tuple[Array, Array, _Place]:
        done, part, here = state
        part = jnp.minimum(part, 1 - done)
        ends = low + jnp.stack([done + part, done]) * (high - low)
        width = ends[0] - ends[1]
        flat = ravel_pytree(here.solved.y)[0]

        def solve(start: Solved, leg: tuple[Array, Array]) -> tuple[Solved, Solved]:
            value, is_back = leg
            known = jnp.where(is_back, flat - ravel_pytree(start.y)[0], here.rate * width)
            singular = _least(start.slope) <= jnp.sqrt(jnp.finfo(flat.dtype).eps) * here.regular
            there = newton(family(value), start.y, args, (start.slope, known, singular))
            return there, there

        # There and back in one loop, so that the field is compiled once.
        _, both = jax.lax.scan(solve, here.solved, (ends, jnp.array([False, True])))
        there, back = _tree.first(both), _tree.last(both)
        flat_there, flat_back = (ravel_pytree(each.y)[0] for each in (there, back))
        same = _is_same_branch(flat, flat_there, flat_back, there.ahead, -back.ahead)
        moved = _Place(there, (flat_there - flat) / width, jnp.maximum(here.regular, _least(there.slope)))
        here = jax.tree.map(lambda a, b: jnp.where(same, a, b), moved, here)
        return jnp.where(same, done + part, done), jnp.where(same, 2 * part, part / 2), here

    def goes_on(state: tuple[Array, Array, _Place]) -> Array:
        done, part, _ = state
        return alive & (done < 1) & (part >= _LEAST_PART)

    start = jnp.zeros((), low.dtype), jnp.ones((), low.dtype), here
    done, _, here = jax.lax.while_loop(goes_on, advance, start)
    return here, alive & (done >= 1)


def _least(matrix: Float[Array, "n n"]) -> Scalar:
    return jnp.linalg.svd(matrix, compute_uv=False)[-1]


def _is_same_branch(here: Array, there: Array, back: Array, ahead: Array, behind: Array) -> Bool[Array, ""]:
    """Whether a step along a branch stayed on it.

    Args:
        here: The equilibrium before.
        there: The one after.
        back: The one that is found from there at the value before.
        ahead: The step as the slope of the branch says before it.
        behind: As the slope says after it.
    """
    step = there - here
    rest = _REST[max(here.dtype.itemsize, 4)] * (1 + jnp.linalg.norm(here))
    length, before, after = (jnp.linalg.norm(each) for each in (step, ahead, behind))
    returns = jnp.linalg.norm(back - here) <= _BACK * length + rest
    mean = jnp.linalg.norm(step - (ahead + behind) / 2) <= _AS_LONG * jnp.maximum(before, after) + rest
    # Close to a fold the branch is a root: it moves by the harmonic mean of what its two slopes say.
    steeper = jnp.where(before > after, ahead, behind)
    harmonic = 2 * jnp.minimum(before, after) / jnp.where(before + after > 0, before + after, 1) * steeper
    return returns & (mean | (jnp.linalg.norm(step - harmonic) <= _AS_LONG * length))


def linearized(field: Field, y: State, args: Args) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Velocity and Jacobian in one pass: to compile the field once is what takes the time."""
    x, restore = ravel_pytree(y)
    check_dense(x.size, x.dtype.itemsize)

    def velocity(x: Array) -> Array:
        return ravel_pytree(field(0.0, restore(x), args))[0]

    along = jax.vmap(lambda direction: jax.jvp(velocity, (x,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(x.size, dtype=x.dtype))


class Solved(eqx.Module):
    """What Newton's method ended at.

    Attributes:
        y: The zero.
        slope: The Jacobian there.
        ahead: The first step, as it was before it was halved.
    """

    y: State
    slope: Float[Array, "n n"]
    ahead: Float[Array, " n"]


def newton(field: Field, y: State, args: Args, begin: tuple[Array, Array, Array] | None = None) -> Solved:
    """The zero of the field near a state: Newton's steps of least length, halved until they shrink the velocity.

    At a zero it stays, also within a continuum of them. No derivative goes through it.

    Args:
        field: The field.
        y: Start.
        args: Handed to the field.
        begin: How to go first along a branch of zeros, if the start is one, of another field: by that field's Jacobian,
            or, where the last of the three says so, by the second, a step.
    """
    start, restore = ravel_pytree(jax.lax.stop_gradient(y))
    flat = _FLAT[max(jnp.dtype(_tree.dtype(y)).itemsize, 4)]
    if begin is not None:
        start = jnp.where(begin[2], start + begin[1], start)

    def advance(state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Looks at the trial, keeps it if the velocity is smaller there, and proposes the next."""
        trial, kept, first, factor, count = state
        velocity, matrix = jax.lax.stop_gradient(linearized(field, restore(trial), args))
        by = matrix if begin is None else jnp.where((count == 0) & ~begin[2], begin[0], matrix)
        size, step = jnp.linalg.norm(velocity), -_solve(by, velocity, flat)
        shrinks = size < kept[1]
        kept = jax.tree.map(lambda a, b: jnp.where(shrinks, a, b), (trial, size, matrix, step), kept)
        factor = jnp.where(shrinks, 1.0, factor / 2).astype(start.dtype)
        return kept[0] + factor * kept[3], kept, jnp.where(count == 0, step, first), factor, count + 1

    def goes_on(state: tuple[Any, ...]) -> Array:
        _, (x, size, matrix, _), _, factor, count = state
        # Rounding of the state explains the rest.
        noise = jnp.finfo(start.dtype).eps * jnp.linalg.norm(jnp.abs(matrix) @ jnp.abs(x))
        return (size > noise) & (factor >= _SHORTEST) & (count < _MOST_STEPS)

    square, none = jnp.zeros((start.size, start.size), start.dtype), jnp.zeros_like(start)
    nothing_yet = start, jnp.full((), jnp.inf, start.dtype), square, none
    initial = start, nothing_yet, none, jnp.ones((), start.dtype), jnp.array(0)
    _, (x, _, matrix, _), first, _, _ = jax.lax.while_loop(goes_on, advance, initial)
    return Solved(restore(x), matrix, first if begin is None else jnp.where(begin[2], begin[1], first))


def with_derivative(field: Field, y: State, args: Args) -> State:
    """An equilibrium with its derivative by whatever the field is made of, by the implicit function theorem."""
    x, restore = ravel_pytree(jax.lax.stop_gradient(y))
    here, slope = linearized(field, restore(x), args)
    here = here - jax.lax.stop_gradient(here)
    return restore(x - _solve(jax.lax.stop_gradient(slope), here, _FLAT[max(jnp.dtype(_tree.dtype(y)).itemsize, 4)]))


def _solve(slope: Float[Array, "n n"], velocity: Float[Array, " n"], flat: float) -> Float[Array, " n"]:
    return jnp.linalg.lstsq(slope, velocity, rcond=flat)[0]
