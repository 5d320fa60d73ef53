"""Linear systems through products with the matrix alone."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .. import _checks
from .._types import RealScalarLike, Scalar

_PRECISE = jax.lax.Precision.HIGHEST


class GMRES(lx.AbstractLinearSolver[Any]):
    r"""The generalized minimal residual method, stopped as soon as the residual is small enough.

    A Lineax solver for square systems $A x = b$ that needs only products with $A$, and keeps one vector for each. Of
    all $x$ in the Krylov space of $b$ it takes the one with the least residual; it stops when
    $\operatorname{rms}(b - A x) \le$ `atol` + `rtol` $\operatorname{rms}(b)$. (`lineax.GMRES` looks at its residual
    only after each cycle of `restart` products, and needs two cycles to be sure; where a stiff step needs five products
    this one takes five.)

    In reverse mode the transposed systems are solved to half the digits of the dtype, whatever `atol`.

    Source: Saad and Schultz (1986), SIAM J. Sci. Stat. Comput. 7, 856; Gram-Schmidt is done twice. The residual in the
    loop is $\lVert b \rVert / \lVert u \rVert$ with $u^T \bar H = 0$, $u_0 = 1$: the left null vector of the
    Hessenberg matrix, as in Ayachour (2003), J. Comput. Appl. Math. 159, 269.

    Args:
        rtol: Residual relative to the right-hand side.
        atol: Residual, as a root mean square over the entries.
        max_products: Most products with the matrix, and size of the Krylov space; there are no restarts. With `n`
            parameters it keeps `max_products + 1` vectors of size `n`.

    Raises:
        ValueError: If `max_products` is not a whole number of at least 1.
    """

    rtol: RealScalarLike
    atol: RealScalarLike
    max_products: int = eqx.field(static=True)

    def __init__(self, rtol: RealScalarLike = 0.0, atol: RealScalarLike = 0.0, max_products: int = 40):
        self.rtol, self.atol = rtol, atol
        self.max_products = _checks.count("max_products", max_products)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> "_System":
        if operator.in_size() != operator.out_size():
            raise ValueError(f"The operator must be square, but is {operator.out_size()} x {operator.in_size()}.")
        return _System(lx.linearise(operator), transposed=False)

    def compute(
        self, state: "_System", vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        right, unravel = ravel_pytree(vector)
        size = min(self.max_products, right.size)
        length = jnp.linalg.norm(right)
        rounding = 4 * jnp.finfo(right.dtype).eps
        if state.transposed:
            # A cotangent has the units of whatever is differentiated: `atol` means nothing to it.
            enough = rounding**0.5 * length
        else:
            enough = self.atol * jnp.sqrt(right.size * 1.0) + self.rtol * length
        enough = jnp.maximum(enough, rounding * length).astype(right.dtype)

        def unfinished(carry: tuple) -> Array:
            j, _, _, _, residual = carry
            return (j < size) & ((residual > enough) | ((j == 0) & (length > 0)))

        def extend(carry: tuple) -> tuple:
            j, basis, matrix, null, _ = carry
            product = ravel_pytree(state.operator.mv(unravel(basis[j])))[0]
            column, product = _orthogonalize(basis, product)
            beyond = jnp.linalg.norm(product)
            following = product / _not_zero(beyond)
            null = null.at[j + 1].set(-jnp.dot(null, column) / _not_zero(beyond))
            matrix = matrix.at[:, j].set(column.at[j + 1].set(beyond))
            return j + 1, basis.at[j + 1].set(following), matrix, null, length / jnp.linalg.norm(null)

        basis = jnp.zeros((size + 1, right.size), right.dtype).at[0].set(right / _not_zero(length))
        # Columns that are not reached keep a one below the diagonal: their unknowns come out as zero.
        matrix = jnp.eye(size + 1, size, k=-1, dtype=right.dtype)
        null = jnp.zeros(size + 1, right.dtype).at[0].set(1.0)
        products, basis, matrix, _, residual = jax.lax.while_loop(
            unfinished, extend, (jnp.asarray(0), basis, matrix, null, length)
        )
        orthogonal, triangular = jnp.linalg.qr(matrix)
        weights = jax.scipy.linalg.solve_triangular(triangular, length * orthogonal[0])
        solution = jnp.matmul(weights, basis[:-1], precision=_PRECISE)
        result = lx.RESULTS.where(residual <= enough, lx.RESULTS.successful, lx.RESULTS.max_steps_reached)
        return unravel(solution), result, {"num_steps": products, "max_steps": size}

    def transpose(self, state: "_System", options: dict[str, Any]) -> tuple["_System", dict[str, Any]]:
        return _System(state.operator.transpose(), not state.transposed), {}

    def conj(self, state: "_System", options: dict[str, Any]) -> tuple["_System", dict[str, Any]]:
        return _System(lx.conj(state.operator), state.transposed), {}

    def assume_full_rank(self) -> bool:
        return True


class _System(eqx.Module):
    operator: lx.AbstractLinearOperator
    transposed: bool = eqx.field(static=True)


def _orthogonalize(basis: Float[Array, "rows size"], vector: Float[Array, " size"]) -> tuple[Array, Array]:
    """The components of a vector along a basis, and what is left of it."""
    first = jnp.matmul(basis, vector, precision=_PRECISE)
    vector = vector - jnp.matmul(first, basis, precision=_PRECISE)
    # Once more: what rounding left behind of a much longer vector.
    second = jnp.matmul(basis, vector, precision=_PRECISE)
    return first + second, vector - jnp.matmul(second, basis, precision=_PRECISE)


def _not_zero(length: Scalar) -> Scalar:
    return jnp.maximum(length, jnp.finfo(length.dtype).tiny)
