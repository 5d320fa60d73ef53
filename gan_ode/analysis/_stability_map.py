from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .. import _checks
from .._compiled import jit
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..updates import AbstractUpdate
from ._critical import critical_step_size, NEUTRAL
from ._jacobian import spectral_radius, step_at_fixed_point

# A simulated disturbance is rescaled where it has left this many times its size on either side.
_ROOM = 100.0


class StabilityMap(eqx.Module):
    """How fast an update leaves, or comes back to, a fixed point, over a parameter and the step size.

    Attributes:
        parameters: The parameter's values, shape `(parameters,)`.
        step_sizes: Step sizes, shape `(step_sizes,)`.
        radius: Growth of a small disturbance in one step, shape `(parameters, step_sizes)`. NaN where there is none.
        resolution: How far the radius can stray from 1 and still count as neutral.
    """

    parameters: Float[Array, " parameters"]
    step_sizes: Float[Array, " step_sizes"]
    radius: Float[Array, "parameters step_sizes"]
    resolution: Scalar

    @property
    def stable(self) -> Bool[Array, "parameters step_sizes"]:
        """Where disturbances die out."""
        return self.radius < 1 - self.resolution

    @property
    def unstable(self) -> Bool[Array, "parameters step_sizes"]:
        """Where disturbances grow."""
        return self.radius > 1 + self.resolution

    @property
    def neutral(self) -> Bool[Array, "parameters step_sizes"]:
        """Where neither can be told: the linear part does not decide."""
        return jnp.abs(self.radius - 1) <= self.resolution


def stability_map(
    update: Callable[[RealScalarLike], AbstractUpdate],
    make: Callable[[Any], Field],
    parameters: Any,
    step_sizes: Any,
    y: State | Callable[[Any], State],
    args: Args = None,
) -> StabilityMap:
    r"""Spectral radius of an update at a fixed point, over a grid of a parameter and the step size.

    One compiled program for the whole grid. Keep `update` and `make` for further calls: a new `lambda` compiles anew.

    Args:
        update: A class of update that takes the step size, or a function from step size to update.
        make: The field, as a function of the parameter, for example of the regularizer's weight.
        parameters: The parameter's values, one axis.
        step_sizes: Step sizes, one axis, each above 0.
        y: The fixed point; or a function from the parameter to it, where it moves.
        args: Handed to the field.

    Returns:
        The map: `radius`, and the verdicts `stable`, `neutral` and `unstable`.

    Raises:
        ValueError: If the parameters or step sizes are not one axis of finite numbers, or a step size is not above 0.
    """
    parameters, step_sizes = _grid(parameters, step_sizes)
    radius, resolution = _predict(update, make, parameters, step_sizes, y, args)
    return StabilityMap(parameters, step_sizes, radius, resolution)


def simulated_stability_map(
    update: Callable[[RealScalarLike], AbstractUpdate],
    make: Callable[[Any], Field],
    parameters: Any,
    step_sizes: Any,
    y: State | Callable[[Any], State],
    args: Args = None,
    *,
    num_steps: int = 1000,
) -> StabilityMap:
    r"""The same map as `stability_map`'s by making the steps: no derivative is taken.

    Every point of the grid starts beside its fixed point and makes `num_steps` steps, all in one compiled scan. The
    disturbance is brought back to its first size, the cube root of the dtype's rounding, whenever it has grown or
    shrunk a hundredfold. The growth in a step is taken from the largest disturbance in the second quarter of the steps
    to that in the last.

    Args:
        update: A class of update that takes the step size, or a function from step size to update.
        make: The field, as a function of the parameter.
        parameters: The parameter's values, one axis.
        step_sizes: Step sizes, one axis, each above 0.
        y: The fixed point; or a function from the parameter to it.
        args: Handed to the field.
        num_steps: Steps of every orbit, a multiple of 4. What grows or shrinks by less than `4 / num_steps` in a step
            counts as neutral.

    Returns:
        The map. The radius is NaN where a step gave a state that is not finite.

    Raises:
        ValueError: If the parameters or step sizes are not one axis of finite numbers, a step size is not above 0, or
            `num_steps` is not a multiple of 4.
    """
    parameters, step_sizes = _grid(parameters, step_sizes)
    num_steps = _checks.count("num_steps", num_steps)
    if num_steps % 4:
        raise ValueError(f"`num_steps` must be a multiple of 4, but is {num_steps}: growth is taken between quarters.")
    radius = _simulate(update, make, parameters, step_sizes, y, args, num_steps)
    return StabilityMap(parameters, step_sizes, radius, jnp.asarray(4 / num_steps, radius.dtype))


@jit
def critical_curve(
    update: Callable[[RealScalarLike], AbstractUpdate],
    make: Callable[[Any], Field],
    parameters: Any,
    y: State | Callable[[Any], State],
    args: Args = None,
) -> Float[Array, " parameters"]:
    """The critical step size as a function of a parameter: the border in a `stability_map`.

    Args:
        update: A class of update that takes the step size, or a function from step size to update.
        make: The field, as a function of the parameter.
        parameters: The parameter's values, one axis.
        y: The fixed point; or a function from the parameter to it.
        args: Handed to the field.

    Returns:
        Critical step sizes, shape `(parameters,)`: zero where steps of any size are unstable, infinity where none are.
        Differentiable as `critical_step_size` is.

    Raises:
        RuntimeError: If the update cannot be differentiated at a fixed point.
    """
    return jax.vmap(lambda value: critical_step_size(update, make(value), _fixed_point(y, value), args))(
        _checks.axis("parameters", parameters)
    )


@jit
def _predict(
    update: Callable, make: Callable, parameters: Array, step_sizes: Array, y: Any, args: Args
) -> tuple[Array, Scalar]:
    def row(value: Array) -> Array:
        field, here = make(value), _fixed_point(y, value)
        return jax.vmap(lambda h: spectral_radius(update(h), field, here, args))(step_sizes)

    # A row at a time keeps memory small, and what the rows compute in the cache.
    radius = jax.lax.map(row, parameters)
    return radius, jnp.asarray(NEUTRAL[max(radius.dtype.itemsize, 4)], radius.dtype)


@jit
def _simulate(
    update: Callable, make: Callable, parameters: Array, step_sizes: Array, y: Any, args: Args, num_steps: int
) -> Array:
    def row(value: Array) -> Array:
        field, here = make(value), _fixed_point(y, value)
        return jax.vmap(lambda h: _growth(update(h), field, here, args, num_steps))(step_sizes)

    return jax.lax.map(row, parameters)


def _growth(update: AbstractUpdate, field: Field, y: State, args: Args, num_steps: int) -> Scalar:
    """Of a disturbance of the state, in one step."""
    center, step = step_at_fixed_point(update, field, y, args)
    size = float(np.cbrt(jnp.finfo(center.dtype).eps))
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(y))
    # Of no symmetry that the field may have: one that is kept would hide the directions across it.
    spread = 1 + np.sqrt(np.arange(1, num_parameters + 1)) % 1
    direction = jnp.asarray(spread / np.linalg.norm(spread), center.dtype)
    aside = jnp.zeros_like(center).at[:num_parameters].set(direction)

    def one(carry: tuple[Array, Scalar, Scalar], _: None) -> tuple[tuple[Array, Scalar, Scalar], None]:
        disturbance, scale, largest = carry
        disturbance = step(center + disturbance) - center
        length = jnp.linalg.norm(disturbance)
        log_length = scale + jnp.log(length)
        far = (length > _ROOM * size) | (length < size / _ROOM)
        factor = jnp.where(far & (length > 0), size / jnp.where(length > 0, length, 1), 1)
        return (factor * disturbance, scale - jnp.log(factor), jnp.maximum(largest, log_length)), None

    disturbance, scale, peaks = size * aside, jnp.zeros((), center.dtype), []
    for _ in range(4):
        start = (disturbance, scale, jnp.full((), -jnp.inf, center.dtype))
        (disturbance, scale, peak), _ = jax.lax.scan(one, start, length=num_steps // 4)
        peaks.append(peak)
    # What vanished to the last bit stays zero, and the logarithms are minus infinity on both sides.
    rise = peaks[3] - jnp.where(jnp.isneginf(peaks[3]), 0, peaks[1])
    growth = jnp.exp(rise / (num_steps // 2))
    return jnp.where(jnp.all(jnp.isfinite(disturbance)), growth, jnp.nan)


def _fixed_point(y: Any, value: Array) -> State:
    return y(value) if callable(y) else y


def _grid(parameters: Any, step_sizes: Any) -> tuple[Array, Array]:
    return _checks.axis("parameters", parameters), _checks.axis("step_sizes", step_sizes, above=0.0)
