"""The eigenvalues that matter of a Jacobian too large to be written down."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray

from ... import _checks
from ..._entry import guarded
from ..._printing import number, printed, Report
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, State
from ...updates import AbstractUpdate
from ..linearization._jacobian import falling
from ..linearization._preconditions import LINEAR, require
from ..maps._multipliers import rhythm_and_standing, trusted
from ._arnoldi import AbstractLinearization, leading, OfField, OfStep
from ._spectrum import refuse_time

Which = Literal["rightmost", "largest", "leftmost"]

_SCORES: dict[str, Callable[[np.ndarray], Any]] = {
    "rightmost": np.real,
    "largest": np.abs,
    "leftmost": lambda values: -np.real(values),
}
_TOLERANCE = {4: 1e-4, 8: 1e-8}
# The basis: large enough that networks seldom need a restart, and small beside a minibatch's activations.
_SUBSPACE = 80
_MAX_PRODUCTS = 2000


@printed
class LeadingEigenvalues(eqx.Module):
    r"""Some eigenvalues of a Jacobian, with the evidence for each.

    What a residual says: the eigenvalue is exactly one of a matrix at that distance, $\lVert E \rVert = r$, from the
    Jacobian. How far it is from one of the Jacobian itself is that times its condition, which is 1 for a normal matrix
    and can be large for a game's (compare those of two tolerances). It does not say that none was missed.

    Attributes:
        eigenvalues: Shape `(k,)`, the wanted ones first, of a pair the one above the axis; the last may be one of a
            pair. In units of one over time.
        residuals: $r = \lVert J v - \lambda v \rVert$ with a unit vector $v$, measured; in the same units.
        converged: Which residuals are at most `tol` times $|\lambda|$. An eigenvalue that is zero but for rounding of
            the largest has converged where its residual is as small.
        norm: The norm of $J$ on the space that was searched: at most its norm, and close to it.
        num_products: Products of $J$ with a vector that it took.
        eigenvectors: Unit vectors, complex, of the structure of the state with a leading axis of `k`; None unless asked
            for.
    """

    eigenvalues: Complex[Array, "*batch k"]
    residuals: Float[Array, "*batch k"]
    converged: Bool[Array, "*batch k"]
    norm: Float[Array, "*batch"]
    num_products: Int[Array, "*batch"]
    eigenvectors: State = None

    def _report(self) -> Report:
        good = np.asarray(self.converged)
        rows = [
            (number(value, 6), number(abs(value), 6), number(residual, 2), "yes" if known else "no")
            for value, residual, known in zip(np.asarray(self.eigenvalues), self.residuals, good, strict=True)
        ]
        verdict = "all converged" if good.all() else f"{int(good.sum())} of {good.size} converged"
        lines = {"norm": number(self.norm), "products": number(self.num_products)}
        return Report(
            f"{good.size} leading eigenvalues, {verdict}",
            lines,
            ("eigenvalue", "modulus", "residual", "converged"),
            rows,
        )


@guarded("y")
def leading_eigenvalues(
    field: Field,
    y: State,
    k: int = 6,
    which: Which | None = None,
    *,
    update: AbstractUpdate | None = None,
    args: Args = None,
    t: RealScalarLike = 0.0,
    tol: float | None = None,
    subspace: int | None = None,
    max_products: int = _MAX_PRODUCTS,
    eigenvectors: bool = False,
    key: PRNGKeyArray | None = None,
    check: bool = True,
) -> LeadingEigenvalues:
    r"""A few eigenvalues of the Jacobian of a field at a state, or of an update's steps, without the matrix.

    The Krylov-Schur method: a basis of vectors $v, Jv, J^2v, \dots$ is made orthonormal, the Jacobian restricted to it
    is a small matrix, and the basis is restarted with the best of its Schur vectors until the residuals are small. Each
    vector takes one product with the linearized field, about one field evaluation; memory is that of `subspace` states.
    `spectrum` gives all eigenvalues, where a dense matrix can be had.

    The field must be smooth at the state, which is looked at first; a minibatch, if it takes one, is held. Not under
    `jax.jit`: how many restarts it takes depends on the numbers. States of one shape share the compiled program.

    With an update they are its multipliers at a fixed point, in state and memory together and over the steps of a
    rule's period, as `multipliers` has them. The modulus of the first, per step, is the spectral radius. Multipliers
    crowd near 1, where modes hardly move; there convergence is slow.

    Source: Stewart (2002), SIAM Journal on Matrix Analysis and Applications 23, 601-614.

    Args:
        field: The field.
        y: State: a pytree of floating-point arrays, of float32 too.
        k: How many eigenvalues.
        which: `"rightmost"`: of largest real part, which decide over stability; `"largest"`: of largest modulus;
            `"leftmost"`: of smallest real part, which decide over stiffness. By default the rightmost of a field, the
            largest of an update.
        update: If given, the eigenvalues are those of its steps, and `y` a fixed point.
        args: Handed to the field: a minibatch, or None.
        t: Time, of the field alone.
        tol: Largest residual, relative to the eigenvalue; 1e-8 by default, 1e-4 in float32. No residual gets below
            rounding of `norm`, and there the search ends: one much smaller, as the rightmost ones of a stiff field,
            may need float64 to converge.
        subspace: Size of the basis, above `k`; 80 by default, or 4 `k`. More takes fewer restarts, and more memory.
        max_products: When to give up, and return what there is.
        eigenvectors: Whether to return them; of an update the part of the state alone.
        key: For the first vector of the basis; always the same by default.
        check: Whether to look first if the field is smooth there, and, for an update, if linear statements make sense.

    Returns:
        Eigenvalues, residuals, and which converged. One that did not is a result, to be read with its residual.

    Raises:
        ValueError: If an argument cannot work, or the field is not differentiable at the state: it jumps or has a kink;
            with an update also as `multipliers` does.
    """
    y = state_of(y)
    _check_state(y)
    if update is None:
        require(field, y, args, t=t, needs=LINEAR, check=check)
        matrix, usual = OfField(field, y, args, t), "rightmost"
    else:
        refuse_time(t)
        known = trusted(rhythm_and_standing, update, field, y, args, check)
        matrix, usual = OfStep(update, field, y, args, known), "largest"
    return _found(matrix, k, which or usual, tol, subspace, max_products, eigenvectors, key)


def _check_state(y: State) -> None:
    if _checks.is_traced(y):
        raise ValueError(
            "`y` must be concrete, since how many products it takes depends on the numbers: call it outside of "
            "`jax.jit`, and for several states in a loop, where they share one compiled program."
        )
    _checks.finite("y", y)


def _found(
    matrix: AbstractLinearization,
    k: int,
    which: str,
    tol: float | None,
    subspace: int | None,
    max_products: int,
    eigenvectors: bool,
    key: PRNGKeyArray | None,
) -> LeadingEigenvalues:
    _checks.one_of("which", which, tuple(_SCORES))
    flat = eqx.filter_eval_shape(lambda: matrix.function()[0])
    k = _checks.count("k", k)
    if k > flat.size:
        raise ValueError(f"`k` must be at most the {flat.size:,} parameters of `y`, but is {k}.")
    size = max(_SUBSPACE, 4 * k) if subspace is None else _checks.count("subspace", subspace, least=k + 2)
    tol = (
        _TOLERANCE[max(flat.dtype.itemsize, 4)] if tol is None else float(_checks.positive("tol", tol, "Leave it out."))
    )
    pairs = leading(
        matrix, k, _SCORES[which], subspace=min(size, flat.size), tol=tol,
        max_products=_checks.count("max_products", max_products), key=jax.random.key(0) if key is None else key,
    )  # fmt: skip
    order = _order(pairs.values, which)
    dtype = jnp.result_type(flat.dtype, jnp.complex64)
    values, residuals = pairs.values[order], pairs.residuals[order]
    vectors = _restored(matrix, pairs.real[order], pairs.imag[order]) if eigenvectors else None
    zero = (np.abs(values) <= pairs.rounding) & (residuals <= pairs.rounding)
    return LeadingEigenvalues(
        eigenvalues=jnp.asarray(values, dtype),
        residuals=jnp.asarray(residuals, flat.dtype),
        converged=jnp.asarray((residuals <= tol * np.abs(values)) | zero),
        norm=jnp.asarray(pairs.norm, flat.dtype),
        num_products=jnp.asarray(pairs.num_products),
        eigenvectors=vectors,
    )


def _order(values: np.ndarray, which: str) -> np.ndarray:
    """By what was asked for, and of a pair the one above the axis first."""
    if which == "largest":
        sizes = np.abs(values)
        rounded = np.round(sizes / (np.max(sizes) + np.finfo(float).tiny), 10)
        return np.lexsort((-np.imag(values), -rounded))
    return np.asarray(falling(jnp.asarray(values if which == "rightmost" else -np.conj(values))))


@eqx.filter_jit
def _restored(matrix: AbstractLinearization, real: Float[Array, "k n"], imag: Float[Array, "k n"]) -> State:
    """The vectors as complex states."""
    restore = matrix.function()[2]
    return jax.tree.map(jax.lax.complex, jax.vmap(restore)(real), jax.vmap(restore)(imag))
