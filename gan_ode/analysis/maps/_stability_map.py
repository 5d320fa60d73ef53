from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._problem import state_of
from ..._rules import maker, Rule
from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate
from ..linearization import _preconditions
from ..linearization._preconditions import Inspection
from . import _fixed_point
from ._clock import NotKnownError
from ._critical_step_size import checked, critical_and_whether, NEUTRAL
from ._fixed_point import narrowest, Standing, step_at_fixed_point
from ._multipliers import known_rhythm, marked, per_step, radius_of_step
from ._rhythm import Rhythm, rhythm

By: TypeAlias = Literal["spectrum", "steps"]

# A simulated disturbance is rescaled where it has left this many times its size on either side.
_ROOM = 100.0


@printed
class StabilityMap(eqx.Module):
    """How fast an update leaves, or comes back to, a fixed point, over a parameter and the step size.

    Attributes:
        parameters: The parameter's values, shape `(parameters,)`.
        step_sizes: Step sizes, shape `(step_sizes,)`.
        radius: Growth of a small disturbance in one step, shape `(parameters, step_sizes)`; for a rule with a period
            the mean over its steps. NaN where there is none.
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

    def _report(self) -> Report:
        parts = {"stable": self.stable, "neutral": self.neutral, "unstable": self.unstable}
        shares = ", ".join(f"{np.mean(np.asarray(part)):.1%} {word}" for word, part in parts.items())
        lines = {
            name: f"{len(values):,} from {number(values[0])} to {number(values[-1])}"
            for name, values in (("parameters", self.parameters), ("step sizes", self.step_sizes))
        }
        lines["radius"] = f"{number(np.nanmin(self.radius))} to {number(np.nanmax(self.radius))}"
        return Report(f"StabilityMap: {shares}", lines)


@guarded("y", along="parameters")
def stability_map(
    rule: Rule,
    family: Callable[[Any], Field],
    parameters: Any,
    step_sizes: Any,
    y: State | Callable[[Any], State],
    *,
    args: Args = None,
    by: By = "spectrum",
    num_steps: int = 1000,
    check: bool = True,
) -> StabilityMap:
    r"""Growth of a disturbance in a step of an update at a fixed point, over a grid of a parameter and the step size.

    By the spectrum it is the spectral radius of the step. By steps it is measured, and no derivative is taken: every
    point of the grid starts beside its fixed point and makes `num_steps` steps. The disturbance is brought back to its
    first size, the cube root of the dtype's rounding, whenever it has grown or shrunk a hundredfold. The growth in a
    step is taken from the largest disturbance in the second quarter of the steps to that in the last. A rule with a
    period makes whole periods, at large step counts, where warm-up and bias correction are over.

    One compiled program for the whole grid. Keep `rule` and `family` for further calls: a new `lambda` compiles anew.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        family: From the parameter, a scalar array, to a field, for example of the regularizer's weight.
        parameters: The parameter's values, one axis.
        step_sizes: Step sizes, one axis, each above 0.
        y: The fixed point, a state or an equilibrium; or a function from the parameter to it, where it moves.
        args: Handed to the field.
        by: "spectrum" or "steps".
        num_steps: Steps of every orbit, a multiple of 4, by steps alone. What grows or shrinks by less than
            `4 / num_steps` in a step counts as neutral.
        check: Whether to look first, at each value of the parameter, if linear statements make sense there.

    Returns:
        The map: `radius`, and the verdicts `stable`, `neutral` and `unstable`. The radius is NaN where the field is not
        finite, or a step gave a state that is not.

    Raises:
        ValueError: If the parameters or step sizes are not one axis of finite numbers, or a step size is not above 0;
            if `num_steps` is not a multiple of 4; and, as for `multipliers`, if `y` is no smooth fixed point at a value
            of the parameter, for which under a transformation the radius is NaN, or the update never repeats.
    """
    _checks.one_of("by", by, ("spectrum", "steps"))
    parameters = _checks.axis("parameters", parameters)
    step_sizes = _checks.axis("step_sizes", step_sizes, above=0.0)
    if by == "spectrum":
        radius, resolution = _trusted(_predict, rule, family, parameters, step_sizes, y, args, check)
    else:
        num_steps = _quarters(num_steps)
        radius, resolution = _trusted(_simulate, rule, family, parameters, step_sizes, y, args, check, num_steps)
    return StabilityMap(parameters, step_sizes, radius, resolution)


def _quarters(num_steps: int) -> int:
    num_steps = _checks.count("num_steps", num_steps)
    if num_steps % 4:
        raise ValueError(f"`num_steps` must be a multiple of 4, but is {num_steps}: growth is taken between quarters.")
    return num_steps


@guarded("y", along="parameters")
def critical_curve(
    rule: Rule,
    family: Callable[[Any], Field],
    parameters: Any,
    y: State | Callable[[Any], State],
    *,
    args: Args = None,
    check: bool = True,
) -> Float[Array, " parameters"]:
    """The critical step size as a function of a parameter: the border in a `stability_map`.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        family: From the parameter, a scalar array, to a field.
        parameters: The parameter's values, one axis.
        y: The fixed point, a state or an equilibrium; or a function from the parameter to it.
        args: Handed to the field.
        check: Whether to look first, at each value of the parameter, if linear statements make sense there.

    Returns:
        Critical step sizes, shape `(parameters,)`: zero where steps of any size are unstable, infinity where none are.
        Differentiable as `critical_step_size` is.

    Raises:
        ValueError: If `y` is no smooth fixed point at a value of the parameter, for which under a transformation the
            critical step size is NaN; if the update never repeats; or if it cannot be differentiated at a fixed point,
            for which under a transformation there is a RuntimeError.
    """
    parameters = _checks.axis("parameters", parameters)
    critical, differentiable = _trusted(_critical_curve, rule, family, parameters, None, y, args, check)
    return checked(critical, differentiable)


def _trusted(
    compute: Callable, rule: Any, family: Callable, parameters: Array, step_sizes: Any, y: Any, args: Args,
    check: bool, *rest: Any,
) -> Any:  # fmt: skip
    """What is computed for each parameter, or a `ValueError` that names the one for which it would say nothing.

    Under a transformation NaN; and NaN in any case where the field is not finite, since nothing is claimed there.
    """
    y = state_of(y)
    if not callable(rule):
        rule = maker(rule, family(parameters[0]), _fixed_point_at(y, parameters[0]), args)
    seen = _inspect(family, parameters, y, args) if check else None
    if seen is not None and not _checks.is_traced(seen):
        _demand(seen, _complaint, parameters, y, seen)
    try:
        found, standing = compute(rule, family, parameters, step_sizes, y, args, None, check, *rest)
    except NotKnownError:
        if _checks.is_transformed():
            raise
        known = known_rhythm(rule, family(parameters[0]), _fixed_point_at(y, parameters[0]), args, check)
        found, standing = compute(rule, family, parameters, step_sizes, y, args, known, check, *rest)
    if seen is None or standing is None:
        return found
    if not _checks.is_traced((seen, standing)):
        _demand(standing, _fixed_point.complaint, parameters, y, seen)
    holds = jax.vmap(lambda field, steps: field.holds() & steps.holds())(seen, standing)
    return marked(holds, found[0]), *found[1:]


def _complaint(seen: Inspection) -> str:
    return _preconditions.complaint(seen, ("still", "smooth", "autonomous"))


def _demand(seen: Any, complain: Callable[[Any], str], parameters: Array, y: Any, inspection: Inspection) -> None:
    for i in np.flatnonzero(np.asarray(inspection.finite)):
        message = complain(jax.tree.map(lambda leaf, i=i: leaf[i], seen))
        if message:
            moves = "" if callable(y) else " Give `y` as a function of the parameter, if the fixed point moves with it."
            raise ValueError(f"{message} This is at the parameter {np.asarray(parameters)[i]:.6g}.{moves}")


@jit
def _inspect(family: Callable, parameters: Array, y: Any, args: Args) -> Inspection:
    def at(value: Array) -> Inspection:
        return _preconditions.inspect(family(value), _fixed_point_at(y, value), args=args)

    return jax.vmap(at)(parameters)


@jit
def _critical_curve(
    rule: Callable, family: Callable, parameters: Array, _: None, y: Any, args: Args, known: Rhythm | None, check: bool
) -> tuple[tuple[Array, Array], Standing | None]:
    def at(value: Array) -> tuple[tuple[Array, Array], Standing | None]:
        return critical_and_whether(rule, family(value), _fixed_point_at(y, value), args, known, check)

    return jax.vmap(at)(parameters)


@jit
def _predict(
    rule: Callable, family: Callable, parameters: Array, step_sizes: Array, y: Any, args: Args, known: Rhythm | None,
    check: bool,
) -> tuple[tuple[Array, Scalar], Standing | None]:  # fmt: skip
    known = _rhythm(rule, family, parameters, step_sizes, y, args, check) if known is None else known

    def row(value: Array) -> tuple[Array, Standing | None]:
        field, here = family(value), _fixed_point_at(y, value)
        standing = _fixed_point.look(rule(step_sizes[0]), field, here, args, known) if check else None
        return jax.vmap(lambda h: radius_of_step(rule(h), field, here, args, known))(step_sizes), standing

    # A row at a time keeps memory small, and what the rows compute in the cache.
    radius, standing = jax.lax.map(row, parameters)
    first = rule(step_sizes[0]), family(parameters[0]), _fixed_point_at(y, parameters[0])
    return (radius, jnp.asarray(NEUTRAL[narrowest(*first, args, known)], radius.dtype)), standing


@jit
def _simulate(
    rule: Callable, family: Callable, parameters: Array, step_sizes: Array, y: Any, args: Args, known: Rhythm | None,
    check: bool, num_steps: int,
) -> tuple[tuple[Array, Scalar], Standing | None]:  # fmt: skip
    known = _rhythm(rule, family, parameters, step_sizes, y, args, check) if known is None else known

    def row(value: Array) -> tuple[Array, Standing | None]:
        field, here = family(value), _fixed_point_at(y, value)
        standing = _fixed_point.look(rule(step_sizes[0]), field, here, args, known) if check else None
        return jax.vmap(lambda h: _growth(rule(h), field, here, args, known, num_steps))(step_sizes), standing

    radius, standing = jax.lax.map(row, parameters)
    return (radius, jnp.asarray(4 / num_steps, radius.dtype)), standing


def _rhythm(
    rule: Callable, family: Callable, parameters: Array, step_sizes: Array, y: Any, args: Args, check: bool
) -> Rhythm:
    first = parameters[0]
    return rhythm(rule(step_sizes[0]), family(first), _fixed_point_at(y, first), args, strict=check)


def _growth(update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm, num_steps: int) -> Scalar:
    """Of a disturbance of the state, in one step."""
    center, step = step_at_fixed_point(update, field, y, args, known)
    num_periods = -(-num_steps // (4 * known.period))
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
        (disturbance, scale, peak), _ = jax.lax.scan(one, start, length=num_periods)
        peaks.append(peak)
    # What vanished to the last bit stays zero, and the logarithms are minus infinity on both sides.
    rise = peaks[3] - jnp.where(jnp.isneginf(peaks[3]), 0, peaks[1])
    growth = per_step(jnp.exp(rise / (2 * num_periods)), known.period)
    return jnp.where(jnp.all(jnp.isfinite(disturbance)), growth, jnp.nan)


def _fixed_point_at(y: Any, value: Array) -> State:
    return state_of(y(value)) if callable(y) else y
