import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float, Int

from ..._checks import format_bytes
from ..._lowering import jit
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, State
from ._preconditions import LINEAR, nan_unless, require

_MOST_PARAMETERS = 20_000


def field_jacobian(
    field: Field, y: State, args: Args = None, *, t: RealScalarLike = 0.0, check: bool = True
) -> Float[Array, "n n"]:
    """The field's Jacobian at a state, by forward mode, shape `(n, n)`: what `analysis.jacobian` gives of a field.

    Raises:
        ValueError: If there are too many parameters for a dense matrix, or the field is not finite or not smooth at the
            state; under a transformation the matrix is NaN there.
    """
    y = state_of(y)
    _check_dense(y)
    smooth = require(field, y, args, t=t, needs=LINEAR, check=check)
    return nan_unless(smooth, _jacobian(field, y, args, t))


def field_spectrum(
    field: Field, y: State, args: Args = None, *, t: RealScalarLike = 0.0, check: bool = True
) -> Complex[Array, " n"]:
    """Eigenvalues of that Jacobian by falling real part, shape `(n,)`: what `analysis.spectrum` gives of a field.

    Raises:
        ValueError: As for `field_jacobian`.
    """
    y = state_of(y)
    _check_dense(y)
    smooth = require(field, y, args, t=t, needs=LINEAR, check=check)
    return nan_unless(smooth, _spectrum(field, y, args, t))


@jit
def _jacobian(field: Field, y: State, args: Args, t: RealScalarLike) -> Float[Array, "n n"]:
    flat, restore = ravel_pytree(y)
    return jax.jacfwd(lambda x: ravel_pytree(field(t, restore(x), args))[0])(flat)


@jit
def _spectrum(field: Field, y: State, args: Args, t: RealScalarLike) -> Complex[Array, " n"]:
    return by_real_part(eigenvalues_of(_jacobian(field, y, args, t)))


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


def _check_dense(y: State) -> None:
    leaves = jax.tree.leaves(y)
    check_dense(sum(jnp.size(leaf) for leaf in leaves), jnp.result_type(*leaves).itemsize if leaves else 1)


def check_dense(size: int, itemsize: int) -> None:
    if size > _MOST_PARAMETERS:
        raise ValueError(
            f"`y` must have at most {_MOST_PARAMETERS:,} parameters for a dense Jacobian, but has {size:,}, which "
            f"would take {format_bytes(size**2 * itemsize)}: take `analysis.leading_eigenvalues`."
        )
