from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ... import _checks, _tree
from ..._entry import guarded
from ..._lowering import jit
from ..._problem import state_of
from ..._rules import maker, Rule
from ..._types import Args, Field, RealScalarLike, Scalar, State
from . import _fixed_point
from ._fixed_point import narrowest, Standing
from ._multipliers import fastest, radius_of_step, trusted
from ._rhythm import Rhythm, rhythm

_SCAN = 721  # over eighteen decades of h, forty a decade
_BISECTIONS = 60
# How far the computed radius of a neutral update strays from 1. Coarser than rounding, because multipliers that
# collide are only good to its square root.
NEUTRAL = {4: 1e-4, 8: 1e-9}
# A step, in units of one over the largest eigenvalue, at which a rule is looked at.
TYPICAL = 0.1
# A rule whose counters come to no end is looked at late, and short of its limit by about one over their number. Twice
# what is left of that at the smallest step, if it is no more than this, is noise too.
_LATE = 1e-6


@guarded("y")
def critical_step_size(
    rule: Rule,
    field: Field,
    y: State,
    *,
    args: Args = None,
    check: bool = True,
) -> Scalar:
    r"""The step size at which an update loses stability at a fixed point.

    The smallest $h$ where the spectral radius of the update passes 1; of a rule with a period that over the period.
    Zero, if it is unstable at the smallest steps (simultaneous steps at a center), whatever it is at larger ones, which
    `stability_map` and `continue_equilibrium` show; infinity, if stable for all. A neutral update (radius 1, as
    alternating steps at a center) counts as stable. Differentiable in the field's parameters, by the implicit function
    theorem, where the radius passes 1 with a slope.

    Found by a scan of eighteen decades around one over the largest eigenvalue, forty points each, and bisection: a
    window of instability narrower than 6 % in $h$ can be missed.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, for example
            `lambda h: updates.Optax(optax.sgd(h), optax.sgd(h))`, or an update, whose step size is replaced.
        field: The field.
        y: The fixed point: a state or an equilibrium.
        args: Handed to the field.
        check: Whether to look first if linear statements make sense there.

    Returns:
        The critical step size, a scalar. Under a transformation NaN where there is none, since `y` is no smooth fixed
        point.

    Raises:
        ValueError: If `y` is no fixed point, or not a smooth one, as for `multipliers`; if the update never repeats, or
            is one whose steps have another size than its `step_size`, as `updates.Optax`; or if
            it cannot be differentiated at the fixed point, for which under a transformation there is a RuntimeError.
    """
    y = state_of(y)
    rule = maker(rule, field, y, args)
    critical, differentiable = trusted(critical_and_whether, rule, field, y, args, check)
    return checked(critical, differentiable)


def checked(critical: Array, differentiable: Bool[Array, "*batch"]) -> Array:
    """Critical step sizes, or an error if the update has no derivative."""
    message = (
        "`rule` must be differentiable at the fixed point, but its multipliers are not finite there: for Adam and "
        "its like give `eps_root=1e-30`, since the square root has no slope at a gradient of zero."
    )
    if _checks.is_traced(critical):
        return eqx.error_if(critical, ~differentiable, message)
    if not jnp.all(differentiable):
        raise ValueError(message)
    return critical


@jit
def critical_and_whether(
    rule: Callable, field: Field, y: State, args: Args, known: Rhythm | None, check: bool
) -> tuple[tuple[Scalar, Bool[Array, ""]], Standing | None]:
    """The critical step size, whether the update is differentiable, and what was seen of it."""
    arrays, rest = eqx.partition((field, y), eqx.is_inexact_array)
    still_field, still_y = eqx.combine(jax.lax.stop_gradient(arrays), rest)
    dtype = _tree.dtype(y)
    scale = fastest(still_field, still_y, args)
    unit = 1 / jnp.where(scale > 0, scale, 1)
    typical = rule(TYPICAL * unit)
    known = rhythm(typical, still_field, still_y, args, strict=check) if known is None else known
    standing = _fixed_point.look(typical, still_field, still_y, args, known) if check else None
    zero = NEUTRAL[narrowest(typical, still_field, still_y, args, known)]

    def excess(h: Array, field: Field, y: State) -> Array:
        return radius_of_step(rule(h), field, y, args, known) - 1

    ladder = jnp.logspace(-12, 6, _SCAN, dtype=dtype) * unit
    heights = jax.lax.map(lambda h: excess(h, still_field, still_y), ladder)

    neutral = _noise(zero, heights[0]) if known.followed else zero
    unstable = heights > neutral
    crosses = jnp.any(unstable)
    after = jnp.where(crosses, jnp.argmax(unstable), 1)
    earlier = jnp.arange(_SCAN) < after
    contracted = jnp.any((heights < -neutral) & earlier)
    # From a truly stable side the radius crosses 1 itself; from a neutral one only what exceeds the noise counts.
    level = jnp.where(contracted, 0.0, neutral).astype(dtype)
    # Not simply the one before: a rung may lie past the crossing by less than the noise.
    before = jnp.max(jnp.where((heights <= level) & earlier, jnp.arange(_SCAN), 0))

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = jnp.sqrt(low * high)
        above = excess(middle, still_field, still_y) > level
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (ladder[before], ladder[after]))
    h = jax.lax.stop_gradient(jnp.sqrt(low * high))
    # A center that grows does so by a power of h: twice past the noise it is still slight. Multipliers that collide
    # on the unit circle part as a square root, and at twice the step the radius is far above 1.
    probes = jnp.stack([2 * h, 1.0001 * h, 0.9999 * h])
    beyond_h, above, below = jax.lax.map(lambda h: excess(h, still_field, still_y), probes)
    creeping = beyond_h < 1e3 * neutral
    at_once = (after == 0) & crosses
    zero = at_once | (crosses & ~contracted & creeping)
    height = excess(h, field, y)
    slope = jax.lax.stop_gradient((above - below) / (0.0002 * h))
    moving = (height - jax.lax.stop_gradient(height)) / jnp.where(contracted & (slope != 0), slope, jnp.inf)
    critical = jnp.where(zero, 0.0, jnp.where(crosses, h - moving, jnp.inf)).astype(dtype)
    beyond = crosses & (jnp.arange(_SCAN) > after)
    # Where the point is none to ask about, the derivative has no say.
    differentiable = jnp.all(jnp.isfinite(heights) | beyond)
    return (critical, differentiable if standing is None else differentiable | ~standing.holds()), standing


def _noise(neutral: RealScalarLike, at_smallest: Scalar) -> Scalar:
    """What counts as zero of a rule that is looked at late, by its height at the smallest step."""
    left = jnp.abs(at_smallest)
    return jnp.where(left < _LATE, jnp.maximum(neutral, 2 * left), neutral)
