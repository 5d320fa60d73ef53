"""The value of a parameter, or of the step size, at which an equilibrium attracts fastest."""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Real

from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report, yes
from ..._problem import state_of
from ..._rules import maker, Rule
from ..._types import Args, Field, Scalar, State
from ..arclength._at_values import equilibrium_at, Family, follow, refuse_if_nothing
from ..arclength._roots import velocity_and_jacobian
from ..linearization._jacobian import by_real_part
from ..linearization._preconditions import demand, inspect, Inspection, nan_unless
from ..maps._fixed_point import look, Standing
from ..maps._multipliers import fastest, matrix_of_steps, trusted
from ..maps._rhythm import Rhythm, rhythm
from ._branches import noise, rising_values

# Golden sections need no slope, and bisection of the slope's sign no values, which are flat at a smooth optimum.
_SECTIONS = 30
_BISECTIONS = 50
_GOLDEN = (5**0.5 - 1) / 2
# Powers of ten, in units of one over the largest eigenvalue, and how many.
_STEPS = (-3.0, 2.0, 101)

_Heights: TypeAlias = Callable[[Array], Array]
"""Of each eigenvalue, what the decay rate is minus the largest of."""


@printed
class Optimum(eqx.Module):
    """Where a rate of decay is largest.

    Attributes:
        value: The parameter, or the step size.
        rate: The decay rate there: minus the spectral abscissa of a field, per unit time; minus the logarithm of the
            spectral radius of an update, per step.
        eigenvalue: The one that decides: the rightmost eigenvalue, or the largest multiplier (over the period of a rule
            that has one).
        at_end: Whether the optimum lies at an end of the range, and may be beyond, or where the equilibrium was lost.
    """

    value: Scalar
    rate: Scalar
    eigenvalue: Complex[Array, ""]
    at_end: Any

    def _report(self) -> Report:
        lines = {
            "decay rate": number(self.rate, 6),
            "by": f"eigenvalue or multiplier {number(self.eigenvalue, 6)}",
            "note": "at an end of the range: the optimum may lie beyond" if yes(self.at_end) else None,
        }
        return Report(f"Optimum at {number(self.value, 6)}", lines)


@guarded("y", along="values")
def optimal_parameter(
    family: Family,
    values: Real[Array | np.ndarray, " values"],
    y: State | Callable,
    *,
    args: Args = None,
    check: bool = True,
) -> Optimum:
    r"""The value of a parameter at which the flow returns to an equilibrium fastest.

    The spectral abscissa is least there. It has a kink where the optimum usually is: where a complex pair becomes real
    (on one side the abscissa moves as a square root), or where another eigenvalue takes over. So the lowest of the
    values is bracketed, the bracket shrunk by golden sections, and then halved by the sign of the slope, which is
    taken through the eigenvalues where they are simple. Good to rounding in `value` at a kink, and to about 1e-12 at a
    smooth optimum. Values at which the equilibrium was lost, as `eigenvalue_branches` says, are left out.

    Works under `jax.vmap` and `jax.jit`. Both `value` and `rate` are differentiable in whatever the family is made of,
    by the implicit function theorem with differences across the optimum: good to about 1e-7, relative, in float64.

    Args:
        family: From the parameter, a scalar array, to a field.
        values: The range, as a grid of rising values: fine enough that the optimum lies next to the best of them.
        y: The equilibrium at the first value, followed from there, or a function from parameter to equilibrium.
        args: Handed to the field.
        check: Whether to look for the equilibrium, as in `eigenvalue_branches`, and again at the optimum.

    Returns:
        The parameter, the decay rate, the eigenvalue; under a transformation NaN where there is no equilibrium.

    Raises:
        ValueError: If there are fewer than two values; if there is no equilibrium at any, or none at the optimum.
    """
    optimum, found, seen, there = _optimal_parameter(family, rising_values(values), state_of(y), args, check)
    refuse_if_nothing(found, seen)
    return nan_unless(jnp.any(found) & demand(there, name="y") if check else found[0], optimum)


@jit
def _optimal_parameter(
    family: Family, values: Array, y: State | Callable, args: Args, check: bool
) -> tuple[Optimum, Array, Inspection, Inspection]:
    along = jax.lax.stop_gradient(follow(family, values, y, args, check))

    def matrix(value: Scalar, near: Array) -> Array:
        here = y if callable(y) else jax.tree.map(lambda leaf: leaf[near], along.ys)
        field = family(value)
        return velocity_and_jacobian(field, equilibrium_at(family, (values[near], value), here, args), args)[1]

    optimum = _least(matrix, _real_parts, values, along.found)
    value = jax.lax.stop_gradient(optimum.value)
    nearest = jnp.argmin(jnp.where(along.found, jnp.abs(values - value), jnp.inf))
    here = y if callable(y) else jax.tree.map(lambda leaf: leaf[nearest], along.ys)
    there = inspect(family(value), equilibrium_at(family, (values[nearest], value), here, args), args=args)
    return optimum, along.found, along.seen, there


@guarded("y")
def optimal_step_size(
    rule: Rule,
    field: Field,
    y: State,
    *,
    args: Args = None,
    step_sizes: Real[Array | np.ndarray, " sizes"] | None = None,
    check: bool = True,
) -> Optimum:
    r"""The step size at which an update returns to a fixed point in the fewest steps.

    The spectral radius is least there. Simultaneous steps at a pair $\lambda, \bar\lambda$ have it at
    $h = -\mathrm{Re}\,\lambda / |\lambda|^2$, half the critical step size, with the radius
    $|\mathrm{Im}\,\lambda| / |\lambda|$. Found, and differentiable, as `optimal_parameter`.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field.
        y: The fixed point: a state or an equilibrium.
        args: Handed to the field.
        step_sizes: The range, as a grid of rising values; by default five decades about the largest eigenvalue.
        check: Whether to look first if linear statements make sense there.

    Returns:
        The step size, the decay rate per step (negative if no step is stable), the multiplier.

    Raises:
        ValueError: If there are fewer than two step sizes, and as for `multipliers`.
    """
    sizes = None if step_sizes is None else rising_values(step_sizes)
    y = state_of(y)
    return trusted(_optimal_step, maker(rule, field, y, args), field, y, args, check, sizes)


@jit
def _optimal_step(
    rule: Callable, field: Field, y: State, args: Args, known: Rhythm | None, check: bool, sizes: Array | None
) -> tuple[Optimum, Standing | None]:
    if sizes is None:
        scale = jax.lax.stop_gradient(fastest(field, y, args))
        sizes = jnp.logspace(*_STEPS, dtype=scale.dtype) / jnp.where(scale > 0, scale, 1)
    typical = rule(jax.lax.stop_gradient(sizes[len(sizes) // 2]))
    known = rhythm(typical, field, y, args, strict=check) if known is None else known
    standing = look(typical, field, y, args, known) if check else None

    def heights(values: Complex[Array, "*m"]) -> Float[Array, "*m"]:
        return jnp.log(jnp.abs(values)) / known.period

    return _least(lambda h, _: matrix_of_steps(rule(h), field, y, args, known), heights, sizes), standing


def _real_parts(values: Complex[Array, "*n"]) -> Float[Array, "*n"]:
    return values.real


def _least(
    matrix: Callable[[Any, Any], Array], heights_of: _Heights, values: Array, found: Array | None = None
) -> Optimum:
    """Where the highest eigenvalue of a matrix that moves with a parameter is lowest: on the grid, then between.

    Args:
        matrix: From a value, and the number of one of the grid near it.
        heights_of: Of eigenvalues.
        values: The grid.
        found: Which of them count, if not all.
    """
    still = jax.lax.stop_gradient(values)
    rows = jnp.arange(len(values))

    def height(value: Scalar, near: Array) -> Scalar:
        return _highest(jax.lax.stop_gradient(matrix(value, near)), heights_of)

    heights = jax.lax.map(lambda pair: height(*pair), (still, rows))
    known = ~jnp.isnan(heights) if found is None else found & ~jnp.isnan(heights)
    best = jnp.argmin(jnp.where(known, heights, jnp.inf))
    # Not into what is not known.
    sides = jnp.maximum(best - 1, 0), jnp.minimum(best + 1, len(values) - 1)
    sides = tuple(jnp.where(known[side], side, best) for side in sides)
    ends = still[sides[0]], still[sides[1]]
    width = ends[1] - ends[0]

    def slope(value: Scalar) -> Scalar:
        one = jnp.ones_like(value)
        pair = jax.lax.stop_gradient(jax.jvp(lambda v: matrix(v, best), (value,), (one,)))
        return jax.jvp(lambda m: _highest(m, heights_of), pair[:1], pair[1:])[1]

    low, high = _golden_sections(lambda value: height(value, best), *ends)
    low, high = _halve(slope, low, high)
    value = (low + high) / 2
    at_low = (value - ends[0] <= 1e-6 * width) & ((sides[0] == best) | (sides[0] == 0))
    at_high = (ends[1] - value <= 1e-6 * width) & ((sides[1] == best) | (sides[1] == len(values) - 1))
    value = jnp.where(at_low, ends[0], jnp.where(at_high, ends[1], value))
    return _with_derivatives(lambda v: matrix(v, best), heights_of, value, ends, at_low | at_high)


def _highest(matrix: Float[Array, "n n"], heights_of: _Heights) -> Scalar:
    return jnp.max(heights_of(jnp.linalg.eigvals(matrix)))


def _deciding(matrix: Float[Array, "n n"], heights_of: _Heights) -> Complex[Array, ""]:
    """The highest eigenvalue; of those that meet there the mean, which is good to rounding where they are not."""
    values = jnp.linalg.eigvals(matrix)
    values = by_real_part(values)
    top = values[jnp.argmax(heights_of(values))]
    return jnp.mean(values, where=jnp.abs(values - top) <= noise(values))


def _golden_sections(height: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    def shrink(_: Any, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high = state
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        # Both anew: a value that is kept from the step before saves a spectrum, and is another program to compile.
        lower_left = jnp.diff(jax.lax.map(height, jnp.stack([left, right])))[0] > 0
        return jnp.where(lower_left, low, left), jnp.where(lower_left, right, high)

    return jax.lax.fori_loop(0, _SECTIONS, shrink, (low, high))


def _halve(slope: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        falls = slope(middle) < 0
        return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

    return jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high))


def _with_derivatives(
    matrix: Callable[[Scalar], Array],
    heights_of: _Heights,
    value: Scalar,
    ends: tuple[Scalar, Scalar],
    at_end: Array,
) -> Optimum:
    r"""The optimum with its derivative by whatever the matrix is made of.

    It is the zero of the central difference $(f(p + d) - f(p - d)) / 2d$, so that its derivative is minus the
    difference of the derivatives at $p \pm d$ over that of the slopes. For a smooth optimum this is the usual formula,
    at a kink that of the point where two branches have one height, and the one-sided infinite slope of a colliding
    pair cancels.
    """
    apart = jnp.sqrt(jnp.finfo(value.dtype).eps) * (ends[1] - ends[0])

    def side(place: Scalar) -> tuple[Scalar, Scalar]:
        there, along = jax.jvp(matrix, (place,), (jnp.ones_like(value),))
        still = jax.lax.stop_gradient((there, along))
        _, slope = jax.jvp(lambda m: _highest(m, heights_of), still[:1], still[1:])
        top = _highest(there, heights_of)
        return top - jax.lax.stop_gradient(top), slope

    moved, slopes = jax.lax.map(side, jnp.clip(value + jnp.stack([-apart, apart]), *ends))
    bend = slopes[1] - slopes[0]
    shift = jnp.where(at_end | (bend == 0), 0.0, -(moved[1] - moved[0]) / jnp.where(bend == 0, 1.0, bend))
    calm = jnp.argmin(jnp.abs(slopes))
    # At an end no slope vanishes, and the parameter stays.
    rise = moved[calm] + jnp.where(at_end, 0.0, slopes[calm]) * shift
    eigenvalue = _deciding(jax.lax.stop_gradient(matrix(value)), heights_of)
    return Optimum(value + shift, -(heights_of(eigenvalue) + rise), eigenvalue, at_end)
