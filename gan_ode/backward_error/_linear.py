import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from .. import _checks, _tree
from .._lowering import jit
from .._rules import Rule
from .._types import Args, Field, RealScalarLike, State
from ..updates import AbstractUpdate
from . import _one_step
from ._modified import FORWARD

# Square roots of the matrix bring a rotation by almost a half turn, and a growth or decay by e^30, below this.
_CLOSE = 0.25
_MOST_ROOTS = 8
# Newton's iteration halves the logarithm of a far eigenvalue at first, and then doubles the digits.
_NEWTON_STEPS = 30
# The roots, squared, must be the matrix again: far above the rounding, and far below what a failed one leaves.
_REBUILT = {4: 1e-2, 8: 1e-6}
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(8)


def modified_jacobian(
    rule: Rule,
    field: Field,
    y: State,
    *,
    args: Args = None,
    step_size: RealScalarLike,
) -> Float[Array, "n n"]:
    r"""The exact linear part of the modified field at a fixed point: $\tfrac1h \log D\Phi_h$, all orders at once.

    $D\Phi_h$ is the Jacobian of one step; its principal logarithm is a real matrix $A$ with $e^{hA} = D\Phi_h$, whose
    eigenvalues are $\tfrac1h \log m$ for the multipliers $m$: the rates and frequencies at which the update's orbit
    really spirals. The Jacobian of `modified_field(..., order=k)` there differs from it by $O(h^k)$.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field.
        y: The fixed point.
        args: Handed to the field.
        step_size: $h > 0$.

    Returns:
        A dense matrix, in units of one over time, shape `(n, n)`, rows and columns in the order of `y`'s leaves.

    Raises:
        ValueError: If a multiplier is zero or a negative number: then no real field has such a step (the orbit jumps
            from side to side, or arrives at once), and a smaller step size has. Under a transformation a
            RuntimeError. Also as `modified_field`.
    """
    h = _checks.positive("step_size", step_size, FORWARD)
    found, is_logarithm, matrix = _modified_jacobian(_one_step.make(rule, h), field, y, args)
    message = (
        "`step_size` must be small enough that no multiplier of the update is zero or a negative number, where the "
        "step's Jacobian has no real logarithm"
    )
    if _checks.is_traced(found):
        return eqx.error_if(found, ~is_logarithm, f"{message}. Take a smaller one.")
    if not is_logarithm:
        seen = ", ".join(f"{m:.4g}" for m in np.linalg.eigvals(np.asarray(matrix)))
        raise ValueError(f"{message}, but is {h} with the multipliers {seen}. Take a smaller one.")
    return found


@jit
def _modified_jacobian(
    rule: AbstractUpdate, field: Field, y: State, args: Args
) -> tuple[Float[Array, "n n"], Bool[Array, ""], Float[Array, "n n"]]:
    """The logarithm over h, whether it is one, and the step's Jacobian."""
    zero = jnp.zeros((), _tree.dtype(y))
    _one_step.check(rule, field, zero, y, args)
    flat, restore = ravel_pytree(y)
    h = jnp.asarray(rule.step_size, flat.dtype)
    matrix = jax.jacfwd(lambda x: ravel_pytree(_one_step.step(rule, field, zero, restore(x), args, h))[0])(flat)
    logarithm, is_one = _principal_logarithm(matrix)
    return logarithm / h, is_one & ~_has_none(jax.lax.stop_gradient(matrix)), matrix


def _has_none(matrix: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether an eigenvalue is zero or a negative number, to rounding."""
    values = jnp.linalg.eigvals(matrix)
    zero = 1e2 * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(values))
    return jnp.any((jnp.real(values) <= zero) & (jnp.abs(jnp.imag(values)) <= zero))


def _principal_logarithm(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Bool[Array, ""]]:
    """The real logarithm of a matrix, and whether it is one: not if an eigenvalue is zero or a negative number.

    By square roots until the matrix is close to the identity, and there by the integral of X / (1 + s X), s from 0 to
    1. Unlike the way through eigenvectors it works where eigenvalues coincide, and can be differentiated there.

    Source: Cheng, Higham, Kenney and Laub (2001), Approximating the logarithm of a matrix to specified accuracy.
    """
    identity = jnp.eye(len(matrix), dtype=matrix.dtype)

    def nearer(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        root, count = carry
        far = jnp.linalg.norm(root - identity) > _CLOSE
        return (jnp.where(far, _square_root(root), root), count + far), None

    (root, count), _ = jax.lax.scan(nearer, (matrix, jnp.zeros((), int)), length=_MOST_ROOTS)
    excess = root - identity
    nodes, weights = ((1 + _NODES) / 2).astype(matrix.dtype), (_NODE_WEIGHTS / 2).astype(matrix.dtype)
    summands = jax.vmap(lambda s, weight: weight * jnp.linalg.solve(identity + s * excess, excess))(nodes, weights)
    logarithm = (2.0**count).astype(matrix.dtype) * jnp.sum(summands, axis=0)

    rebuilt = jax.lax.fori_loop(0, count, lambda _, power: power @ power, jax.lax.stop_gradient(root))
    small = _REBUILT[max(matrix.dtype.itemsize, 4)] * jnp.max(jnp.abs(matrix))
    # Not so if something is NaN.
    return logarithm, (jnp.max(jnp.abs(rebuilt - matrix)) <= small) & (jnp.linalg.norm(excess) <= _CLOSE)


def _square_root(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The product form of the iteration of Denman and Beavers."""
    identity = jnp.eye(len(matrix), dtype=matrix.dtype)

    def newton(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        product, root = carry
        inverse = jnp.linalg.inv(product)
        return ((identity + (product + inverse) / 2) / 2, root @ (identity + inverse) / 2), None

    (_, root), _ = jax.lax.scan(newton, (matrix, matrix), length=_NEWTON_STEPS)
    return root
