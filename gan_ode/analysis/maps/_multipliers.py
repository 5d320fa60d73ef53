"""Multipliers of an update at a fixed point: the linear part of the map that its steps make."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._problem import state_of
from ..._types import Args, Field, Scalar, State
from ...updates import AbstractUpdate
from ..linearization._jacobian import check_dense, eigenvalues_of
from ..linearization._preconditions import require
from . import _fixed_point
from ._clock import NotKnownError, time_zero
from ._fixed_point import Standing, step_at_fixed_point
from ._rhythm import Rhythm, rhythm

_Output = TypeVar("_Output")


@guarded("y")
def multipliers(
    update: AbstractUpdate, field: Field, y: State, *, args: Args = None, check: bool = True
) -> Complex[Array, " m"]:
    """Eigenvalues of the Jacobian of the steps of an update at a fixed point: `spectrum(field, y, update=update)`.

    Of one step, for most rules. One that only does the same again after some steps, as `optax.MultiSteps` or a learning
    rate that cycles, has the multipliers of its whole period, those of the product of the Jacobians: `step_period` says
    how many steps that are.

    For an update with memory (momentum, optimistic) the map is that of state and memory together, so there are more of
    them than parameters; memory is taken as the rule starts it, which at a fixed point is where it stays. Counters, and
    what else of the memory runs by itself, are taken as having run for ever: past warm-ups, at the end of a schedule.

    Args:
        update: The update.
        field: The field.
        y: The fixed point: a state or an equilibrium.
        args: Handed to the field.
        check: Whether to look first if linear statements make sense there.

    Returns:
        Multipliers by falling modulus, shape `(m,)`; the fixed point is stable where all are below 1 in modulus. NaN
        where the step cannot be differentiated: Adam at zero gradient, unless `eps_root` is above 0.

    Raises:
        ValueError: If there are too many parameters for a dense matrix; if the update never repeats, or only after more
            than 256 steps; if `y` is no equilibrium of the field, or no fixed point of the update, or not smooth, or
            explicit time moves it. Under a transformation NaN, for all but the first two.
    """
    return trusted(_multipliers, update, field, y, args, check)


def step_jacobian(
    update: AbstractUpdate, field: Field, y: State, args: Args = None, *, check: bool = True
) -> Float[Array, "m m"]:
    """What `analysis.jacobian` gives of an update: that of its steps at a fixed point, shape `(m, m)`.

    Raises:
        ValueError: As `multipliers` does.
    """
    return trusted(_step_jacobian, update, field, y, args, check)


@guarded("y")
def spectral_radius(update: AbstractUpdate, field: Field, y: State, *, args: Args = None, check: bool = True) -> Scalar:
    r"""By how much a small disturbance of a fixed point grows in one step: the largest modulus of a multiplier.

    For a rule with a period of $p$ steps the $p$-th root of it, the mean growth, so that rates per step compare.

    Where state and memory are two numbers, by trace $\tau$ and determinant $\delta$: $\sqrt\delta$ for a complex
    pair ($\tau^2 < 4\delta$), else $|\tau|/2 + \sqrt{\tau^2/4 - \delta}$. Differentiable where the largest
    multipliers do not collide.

    Args:
        update: The update.
        field: The field.
        y: The fixed point: a state or an equilibrium.
        args: Handed to the field.
        check: As for `multipliers`.

    Returns:
        The radius: below 1 the fixed point is stable, above it unstable. NaN where `multipliers` are.

    Raises:
        ValueError: As `multipliers` does.
    """
    return trusted(_spectral_radius, update, field, y, args, check)


def trusted(
    compute: Callable[..., tuple[_Output, Standing | None]],
    update: Any,
    field: Field,
    y: State,
    args: Args,
    check: bool,
    *rest: Any,
) -> _Output:
    """What is computed at a fixed point, or a `ValueError` if it would say nothing; under a transformation NaN.

    Args:
        compute: Of the update, the field, the state, `args`, a rhythm or None, whether to look, and the rest; with what
            was seen of the update.
        update: The update, or a function from step size to update.
        field: The field.
        y: The state.
        args: Handed to the field.
        check: Whether to look.
        rest: Handed on.
    """
    y = state_of(y)
    holds = require(field, y, args, check=check)
    try:
        found, standing = compute(update, field, y, args, None, check, *rest)
    except NotKnownError:
        if _checks.is_transformed():
            raise
        known = known_rhythm(update, field, y, args, check)
        found, standing = compute(update, field, y, args, known, check, *rest)
    return found if standing is None else marked(holds & _fixed_point.demand(standing), found)


def known_rhythm(update: Any, field: Field, y: State, args: Args, check: bool) -> Rhythm:
    """The rhythm of an update whose counters run by what is known here, but not while JAX traces."""
    if isinstance(update, AbstractUpdate):
        return rhythm(update, field, y, args, strict=check)
    # At steps of no special size.
    found = [rhythm(update(jnp.asarray(size)), field, y, args, strict=check) for size in (0.0123, 0.789)]
    if found[0].period != found[1].period:
        raise ValueError(
            "`rule` must have the same period at every step size, but has "
            f"{found[0].period} and {found[1].period} at two of them: ask for the multipliers of one at a time."
        )
    return found[0]


def marked(holds: Bool[Array, "*batch"], found: _Output) -> _Output:
    """The numbers of what was found, NaN where it does not hold."""
    if not _checks.is_traced(holds) and jnp.all(holds):
        return found

    def number(leaf: Any) -> Any:
        if not jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact):
            return leaf
        flags = jnp.reshape(holds, jnp.shape(holds) + (1,) * (jnp.ndim(leaf) - jnp.ndim(holds)))
        return jnp.where(flags, leaf, jnp.asarray(jnp.nan, leaf.dtype))

    return jax.tree.map(number, found)


@jit
def _multipliers(
    update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm | None, check: bool
) -> tuple[Complex[Array, " m"], Standing | None]:
    matrix, standing = _step_jacobian(update, field, y, args, known, check)
    values = eigenvalues_of(matrix)
    return values[jnp.argsort(-jnp.abs(values))], standing


@jit
def _spectral_radius(
    update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm | None, check: bool
) -> tuple[Scalar, Standing | None]:
    known, standing = rhythm_and_standing(update, field, y, args, known, check)
    return radius_of_step(update, field, y, args, known), standing


@jit
def _step_jacobian(
    update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm | None, check: bool
) -> tuple[Float[Array, "m m"], Standing | None]:
    known, standing = rhythm_and_standing(update, field, y, args, known, check)
    return matrix_of_steps(update, field, y, args, known), standing


@jit
def rhythm_and_standing(
    update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm | None, check: bool
) -> tuple[Rhythm, Standing | None]:
    """How an update repeats, and what was seen of it."""
    known = rhythm(update, field, y, args, strict=check) if known is None else known
    return known, _fixed_point.look(update, field, y, args, known) if check else None


def matrix_of_steps(update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm) -> Float[Array, "m m"]:
    """The Jacobian over a period, without a look at anything."""
    flat, step = step_at_fixed_point(update, field, y, args, known)
    check_dense(flat.size, flat.dtype.itemsize)
    return jax.jacfwd(step)(flat)


def radius_of_step(update: AbstractUpdate, field: Field, y: State, args: Args, known: Rhythm) -> Scalar:
    """The spectral radius per step, without a look at anything."""
    matrix = matrix_of_steps(update, field, y, args, known)
    radius = _radius_in_the_plane(matrix) if len(matrix) == 2 else jnp.max(jnp.abs(eigenvalues_of(matrix)))
    return per_step(radius, known.period)


def fastest(field: Field, y: State, args: Args) -> Scalar:
    """The largest modulus of an eigenvalue of the field."""
    flat, restore = ravel_pytree(y)
    check_dense(flat.size, flat.dtype.itemsize)
    matrix = jax.jacfwd(lambda x: ravel_pytree(field(time_zero(y), restore(x), args))[0])(flat)
    return jnp.max(jnp.abs(eigenvalues_of(matrix)))


def per_step(growth: Array, period: int) -> Array:
    """The mean growth in a step, of that in a period."""
    if period == 1:
        return growth
    # At zero the root has no slope.
    return jnp.where(growth == 0, 0, jnp.where(growth == 0, 1, growth) ** (1 / period))


def _radius_in_the_plane(matrix: Float[Array, "2 2"]) -> Scalar:
    (p, q), (r, s) = matrix
    # Not trace^2 / 4 - determinant, which loses digits where the two numbers on the diagonal are close.
    discriminant = ((p - s) / 2) ** 2 + q * r
    turns = discriminant < 0
    turning = jnp.sqrt(jnp.where(turns, p * s - q * r, 1))
    real = jnp.abs((p + s) / 2) + _root(jnp.where(turns, 1, discriminant))
    return jnp.where(turns, turning, real)


def _root(square: Scalar) -> Scalar:
    # A slope of zero instead of infinity where two multipliers collide: infinity times zero would be NaN.
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
