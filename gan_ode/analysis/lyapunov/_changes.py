"""How a quantity changes along a field, and how much of that may be rounding."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _tree
from ..._types import Args, Field, Scalar, State
from ...simulate import flow
from ...updates import AbstractUpdate
from ._box_search import Box

# A flow is followed at both tolerances, and their difference taken for its error; and some tolerances of the tighter
# one, since both may take the same few steps.
_TOLERANCES = {4: (1e-5, 1e-4), 8: (1e-10, 1e-9)}
_STEPS_OFF = 3
# Invariants of a dozen fields were measured to change by up to a quarter of what rounding is estimated at.
_SAFETY = 8
# What is left out around an equilibrium, in cells of the grid.
_LEFT_OUT = 1e-2
# What a Newton step leaves of the velocity where it leads to an equilibrium.
_SOLVED = 0.1

Vector = Float[Array, " sides"]


class Measured(eqx.Module):
    """The change of a quantity at a state.

    Attributes:
        change: The derivative, or the change over a step or a time.
        relative: The change over gradient times motion, at most 1 in size, less `rounding`; zero if that is more.
            NaN at equilibria, and where the change is not finite.
        rounding: What of it may be rounding or the solver's error; NaN likewise. Infinite, and `relative` NaN, where a
            step does not move the state though the field does: at a fixed point of the update, or below rounding.
    """

    change: Scalar
    relative: Scalar
    rounding: Scalar


class _Difference(eqx.Module):
    """A change and its error, in absolute numbers, beside the gradient's norm and the length of the motion."""

    change: Scalar
    error: Scalar
    slope: Scalar
    moved: Scalar


def change_along(
    quantity: Callable[[State], Scalar], field: Field, box: Box, update: Any, duration: Any, args: Args
) -> Callable[[State], Measured]:
    """A function that measures the change at a state of the box: the derivative, or over a step or a duration."""
    low, restore = ravel_pytree(box.low)
    sides = ravel_pytree(box.high)[0] - low
    cells, scale = sides / (box.per_axis - 1), jnp.minimum(1, jnp.min(sides))

    def height(y: Vector) -> Scalar:
        return jnp.asarray(quantity(restore(y)), low.dtype)

    def speed(y: Vector) -> Vector:
        return ravel_pytree(velocity(field, restore(y), args))[0]

    def follow(y: Vector) -> Float[Array, "ends sides"]:
        state = restore(y)
        if update is not None:
            return ravel_pytree(stepped(update, field, state, args))[0][None]
        ts = jnp.stack([jnp.zeros_like(duration), duration])

        def end(tolerance: Scalar) -> Vector:
            orbit = flow(
                field, state, ts, args=args, rtol=tolerance, atol=tolerance * scale,
                adjoint=diffrax.ForwardMode(), throw=False,
            )  # fmt: skip
            # Infinite if it is not reached, where the last state would be a finite one.
            return ravel_pytree(_tree.last(orbit.ys))[0]

        return jax.vmap(end)(jnp.asarray(_TOLERANCES[_size(low)], low.dtype))

    def measure(state: State) -> Measured:
        y = ravel_pytree(state)[0]
        local = _Local(height, speed, y, sides)
        if update is None and duration is None:
            return _relative(local.derivative(), local.is_still(cells))
        tolerance = _STEPS_OFF * _TOLERANCES[_size(low)][0] if update is None else 0.0
        return _relative(local.difference(follow(y), height, tolerance), local.is_still(cells))

    return measure


class _Local(eqx.Module):
    """Velocity and gradient at a state, and their rounding: that of the state, carried on, and that of themselves."""

    y: Vector
    scale: Scalar
    value: Scalar
    velocity: Vector
    jacobian: Float[Array, "sides sides"]
    slope: Vector
    velocity_error: Vector
    slope_error: Vector

    def __init__(self, height: Callable, speed: Callable, y: Vector, sides: Vector):
        unit = _SAFETY * jnp.finfo(y.dtype).eps
        self.y, self.scale, self.value = y, jnp.minimum(1, jnp.min(sides)), height(y)
        self.velocity, jacobian = _linearized(speed, y)
        self.slope, curvature = _linearized(jax.grad(height), y)
        # Where only a derivative is not finite, as that of a root at zero, its part of the rounding is left out.
        self.jacobian, curvature = _finite_or_zero(jacobian), _finite_or_zero(curvature)
        self.velocity_error = unit * (jnp.abs(self.velocity) + jnp.abs(self.jacobian) @ jnp.abs(y))
        # A slope that makes less than rounding of the value over the whole box is none.
        of_value = jnp.abs(self.value) / sides
        self.slope_error = unit * (jnp.abs(self.slope) + jnp.abs(curvature) @ jnp.abs(y) + of_value)

    def is_still(self, cells: Vector) -> Bool[Array, ""]:
        """Whether this is an equilibrium, or very near one.

        A slow state may be far from any, such as one on a slow manifold: how far, Newton's step says.
        """
        at_rest = jnp.all(jnp.abs(self.velocity) <= self.velocity_error)
        largest = jnp.max(jnp.abs(self.jacobian))
        matrix = self.jacobian * cells / jnp.where(largest > 0, largest, 1)
        velocity = self.velocity / jnp.where(largest > 0, largest, 1)
        left, sizes, right = jnp.linalg.svd(matrix)
        kept = sizes > 10 * len(sizes) * jnp.finfo(sizes.dtype).eps * sizes[0]
        step = right.T @ (jnp.where(kept, left.T @ velocity / jnp.where(kept, sizes, 1), 0))
        remaining = _norm(velocity - matrix @ step)
        near = (jnp.max(jnp.abs(step)) <= _LEFT_OUT) & (remaining <= _SOLVED * _norm(velocity))
        return at_rest | near

    def derivative(self) -> _Difference:
        """The change per unit of time, with gradient and velocity as multiples of their largest entries."""
        error = jnp.abs(self.slope) @ self.velocity_error + jnp.abs(self.velocity) @ self.slope_error
        rests = jnp.all(self.velocity == 0) & jnp.isfinite(self.value)
        # A gradient need not exist at rest: that of a distance does not.
        change = jnp.where(rests, 0.0, self.slope @ self.velocity)
        return _Difference(change, jnp.where(rests, 0.0, error), self._slope(self.slope), _norm(self.velocity))

    def difference(self, ends: Float[Array, "ends sides"], height: Callable, tolerance: float) -> _Difference:
        """The change to the first of the ends; its error is what the others differ from it by, and the tolerance."""
        end, others = ends[0], ends[1:]
        value, slope = jax.value_and_grad(height)(end)
        heights = jax.vmap(height)(others)
        moved = _norm(end - self.y)
        unit = _SAFETY * jnp.finfo(self.y.dtype).eps
        slope = _finite_or_zero(slope)
        of_values = unit * (
            jnp.abs(self.value) + jnp.abs(value)
            + _finite_or_zero(jnp.abs(self.slope)) @ jnp.abs(self.y) + jnp.abs(slope) @ jnp.abs(end)
        )  # fmt: skip
        speed = _norm(self.velocity)
        of_motion = unit * _norm(end) + _norm(self.velocity_error) * moved / jnp.where(speed > 0, speed, 1)
        of_others = sum((_norm(other - end) for other in others), jnp.zeros_like(moved))
        of_solver = of_others + tolerance * (self.scale + _norm(end))
        error = of_values + _norm(slope) * (of_motion + of_solver) + jnp.sum(jnp.abs(heights - value))
        largest = jnp.maximum(self._slope(_finite_or_zero(self.slope)), self._slope(slope))
        return _Difference(value - self.value, error, largest, moved)

    def _slope(self, slope: Vector) -> Scalar:
        """The gradient's norm, zero if it is rounding."""
        return jnp.where(jnp.all(jnp.abs(slope) <= self.slope_error), 0.0, _norm(slope))


def velocity(field: Field, y: State, args: Args) -> State:
    """The field at time 0, in the dtypes of the state."""
    return jax.tree.map(lambda v, leaf: jnp.asarray(v, leaf.dtype), field(0.0, y, args), y)


def stepped(update: AbstractUpdate, field: Field, y: State, args: Args) -> State:
    """The state after one step, the first."""
    return update.step(field, 0.0, y, args, update.init(field, y, args))[0]


def _relative(found: _Difference, still: Bool[Array, ""]) -> Measured:
    # One factor after the other: their product may overflow.
    def over(number: Scalar) -> Scalar:
        return number / jnp.where(found.moved > 0, found.moved, 1) / jnp.where(found.slope > 0, found.slope, 1)

    flat = (found.slope == 0) & (jnp.abs(found.change) <= found.error)
    # Over a step that leads across a hill, gradients say too little of how much the quantity changes.
    unit = jnp.maximum(1, jnp.abs(over(found.change)))
    relative, rounding = over(found.change) / unit, over(found.error) / unit
    beyond = jnp.sign(relative) * jnp.maximum(jnp.abs(relative) - rounding, 0)
    finite = jnp.isfinite(found.change) & jnp.isfinite(found.error)

    def moving(number: Scalar, unmoved: float) -> Scalar:
        number = jnp.where(found.moved == 0, unmoved, jnp.where(flat, 0, number))
        return jnp.where(still | ~finite, jnp.nan, number)

    change = jnp.where(finite, found.change, jnp.nan)
    return Measured(change, moving(beyond, jnp.nan), moving(rounding, jnp.inf))


def _linearized(function: Callable[[Vector], Vector], y: Vector) -> tuple[Vector, Float[Array, "sides sides"]]:
    """The value and the Jacobian, the function evaluated once."""
    along = jax.vmap(lambda direction: jax.jvp(function, (y,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(len(y), dtype=y.dtype))


def _norm(vector: Vector) -> Scalar:
    """Its length, whose squares neither overflow nor vanish."""
    largest = jnp.max(jnp.abs(vector))
    usable = (largest > 0) & jnp.isfinite(largest)
    scale = jnp.where(usable, largest, 1)
    return scale * jnp.sqrt(jnp.sum(jnp.square(vector / scale)))


def _finite_or_zero(array: Array) -> Array:
    return jnp.where(jnp.isfinite(array), array, 0)


def _size(vector: Vector) -> int:
    return max(jnp.dtype(vector.dtype).itemsize, 4)
