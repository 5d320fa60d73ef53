from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float, Int

from .._checks import format_bytes
from .._compiled import jit
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..updates import AbstractUpdate

_MOST_PARAMETERS = 20_000
# Past every warm-up: at a fixed point the counters of optimizers have run for ever.
_LATE = 1_000_000


@jit
def jacobian(field: Field, y: State, args: Args = None, *, t: RealScalarLike = 0.0) -> Float[Array, "n n"]:
    """The field's Jacobian at a state, by forward mode.

    Args:
        field: The field.
        y: State, in the flattened order of its leaves: the discriminator's first.
        args: Handed to the field.
        t: Time.

    Returns:
        A dense matrix, shape `(n, n)` for `n` parameters in all.

    Raises:
        ValueError: If there are too many parameters for a dense matrix.
    """
    flat, restore = ravel_pytree(y)
    check_dense(flat.size, flat.dtype.itemsize)
    return jax.jacfwd(lambda x: ravel_pytree(field(t, restore(x), args))[0])(flat)


@jit
def spectrum(field: Field, y: State, args: Args = None, *, t: RealScalarLike = 0.0) -> Complex[Array, " n"]:
    """Eigenvalues of the field's Jacobian at a state.

    The first has the largest real part, the spectral abscissa: where it is negative, the equilibrium is stable. Zero
    eigenvalues come out as rounding leaves them, so ask `equilibrium_type` rather than for a sign.

    Args:
        field: The field.
        y: State, usually an equilibrium.
        args: Handed to the field.
        t: Time.

    Returns:
        Eigenvalues by falling real part, and of a pair the one above the axis first; shape `(n,)`, in units of one
        over time.

    Raises:
        ValueError: If there are too many parameters for a dense matrix.
    """
    return by_real_part(eigenvalues_of(jacobian(field, y, args, t=t)))


@jit
def multipliers(update: AbstractUpdate, field: Field, y: State, args: Args = None) -> Complex[Array, " m"]:
    """Eigenvalues of the Jacobian of one step of an update at a fixed point.

    For an update with memory (momentum, optimistic) the map is that of state and memory together, so there are more of
    them than parameters; memory is taken as the rule starts it, which at a fixed point is where it stays, and counters
    of warm-ups as having run for ever.

    Args:
        update: The update.
        field: The field.
        y: The fixed point.
        args: Handed to the field.

    Returns:
        Multipliers by falling modulus, shape `(m,)`; the fixed point is stable where all are below 1 in modulus. NaN
        where the step cannot be differentiated: Adam at zero gradient, unless `eps_root` is above 0.

    Raises:
        ValueError: If there are too many parameters for a dense matrix.
    """
    values = eigenvalues_of(step_jacobian(update, field, y, args))
    return values[jnp.argsort(-jnp.abs(values))]


@jit
def step_jacobian(update: AbstractUpdate, field: Field, y: State, args: Args = None) -> Float[Array, "m m"]:
    r"""Jacobian of one step of an update at a fixed point, in state and memory together, by forward mode.

    Of simultaneous steps it is $I + hJ$ with the field's Jacobian $J$; of a rule with memory it has a block for what is
    remembered: at momentum $\beta$, for the state and the trace, $[[I + hJ, -h\beta I], [-J, \beta I]]$.

    Args:
        update: The update; its memory is taken as in `multipliers`.
        field: The field.
        y: The fixed point, in the flattened order of its leaves: the discriminator's first.
        args: Handed to the field.

    Returns:
        A dense matrix, shape `(m, m)` for `m` numbers of state and memory; the state's come first.

    Raises:
        ValueError: If there are too many parameters for a dense matrix.
    """
    flat, step = step_at_fixed_point(update, field, y, args)
    check_dense(flat.size, flat.dtype.itemsize)
    return jax.jacfwd(step)(flat)


@jit
def spectral_radius(update: AbstractUpdate, field: Field, y: State, args: Args = None) -> Scalar:
    r"""Largest modulus of a multiplier: by how much a small disturbance of a fixed point grows in one step.

    Where state and memory are two numbers, by trace $\tau$ and determinant $\delta$: $\sqrt\delta$ for a complex
    pair ($\tau^2 < 4\delta$), else $|\tau|/2 + \sqrt{\tau^2/4 - \delta}$. Differentiable where the largest
    multipliers do not collide.

    Args:
        update: The update.
        field: The field.
        y: The fixed point.
        args: Handed to the field.

    Returns:
        The radius: below 1 the fixed point is stable, above it unstable. NaN where `multipliers` are.

    Raises:
        ValueError: If there are too many parameters for a dense matrix.
    """
    matrix = step_jacobian(update, field, y, args)
    return _radius_in_the_plane(matrix) if len(matrix) == 2 else jnp.max(jnp.abs(eigenvalues_of(matrix)))


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


def step_at_fixed_point(
    update: AbstractUpdate, field: Field, y: State, args: Args
) -> tuple[Float[Array, " m"], Callable[[Array], Array]]:
    """A fixed point in flat form, memory after state, and the step as a map of such vectors."""
    # One step at the fixed point moves nothing, but lowers the flags that some optimizers raise for their first step.
    _, memory = update.step(field, 0.0, y, args, update.init(field, y, args))
    remembered, counters = eqx.partition(memory, eqx.is_inexact_array)
    counters = jax.tree.map(lambda leaf: jnp.full_like(leaf, _LATE) if _is_integer(leaf) else leaf, counters)
    flat, restore = ravel_pytree((y, remembered))

    def step(x: Array) -> Array:
        here, memory = restore(x)
        there, memory = update.step(field, jnp.zeros((), flat.dtype), here, args, eqx.combine(memory, counters))
        return ravel_pytree((there, eqx.filter(memory, eqx.is_inexact_array)))[0]

    return flat, step


def eigenvalues_of(matrix: Float[Array, "n n"]) -> Complex[Array, " n"]:
    """Eigenvalues in any order; NaN where the matrix is not finite, which libraries for accelerators refuse."""
    finite = jnp.all(jnp.isfinite(matrix))
    return jnp.where(finite, jnp.linalg.eigvals(jnp.where(finite, matrix, 0)), jnp.nan)


def by_real_part(eigenvalues: Complex[Array, " n"]) -> Complex[Array, " n"]:
    """In the order of `spectrum`."""
    return eigenvalues[falling(eigenvalues)]


def falling(eigenvalues: Complex[Array, " n"]) -> Int[Array, " n"]:
    """The order by falling real part, and of a pair the one above the axis first."""
    # Rounded, so that noise between the two real parts does not decide which of a pair comes first.
    scale = jnp.max(jnp.abs(eigenvalues)) + jnp.finfo(eigenvalues.real.dtype).tiny
    rounded = jnp.round(eigenvalues.real / scale, 5 if scale.dtype.itemsize <= 4 else 10)
    return jnp.lexsort((-eigenvalues.imag, -rounded))


def _is_integer(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.integer)


def check_dense(size: int, itemsize: int) -> None:
    if size > _MOST_PARAMETERS:
        raise ValueError(
            f"`y` must have at most {_MOST_PARAMETERS:,} parameters for a dense Jacobian, but has {size:,}, which "
            f"would take {format_bytes(size**2 * itemsize)}: take `analysis.leading_eigenvalues`."
        )
