"""Some eigenvalues of a matrix that is known by its products alone: Arnoldi's process, restarted by Schur vectors."""

import abc
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from ..._lowering import jit
from ..._types import Args, Field, RealScalarLike, State
from ...updates import AbstractUpdate
from ..maps._fixed_point import step_at_fixed_point
from ..maps._rhythm import Rhythm

_Inputs = ParamSpec("_Inputs")
_Output = TypeVar("_Output")

# What rounding leaves of a residual, in units of the matrix's norm times the spacing of floats; measured at most 6, on
# networks in both precisions.
ROUNDINGS = 10
# A product that lies in the space so far but for this part of it, in the same units, has left nothing new.
_NOTHING_NEW = 10


class AbstractLinearization(eqx.Module):
    """A matrix at a state. To add one, implement `function`."""

    @abc.abstractmethod
    def function(self) -> tuple[Float[Array, " n"], Callable[[Array], Array], Callable[[Array], State]]:
        """A flat state, the function of it whose Jacobian is the matrix, and from a flat vector back to a state."""


class OfField(AbstractLinearization):
    """The Jacobian of a field."""

    field: Field
    y: State
    args: Args
    t: RealScalarLike

    def function(self) -> tuple[Float[Array, " n"], Callable[[Array], Array], Callable[[Array], State]]:
        flat, restore = ravel_pytree(self.y)
        return flat, lambda x: ravel_pytree(self.field(self.t, restore(x), self.args))[0], restore


class OfStep(AbstractLinearization):
    """The Jacobian of the steps of an update's period, in state and memory together."""

    update: AbstractUpdate
    field: Field
    y: State
    args: Args
    rhythm: Rhythm

    def function(self) -> tuple[Float[Array, " m"], Callable[[Array], Array], Callable[[Array], State]]:
        flat, step = step_at_fixed_point(self.update, self.field, self.y, self.args, self.rhythm)
        kept, restore = ravel_pytree(self.y)
        return flat, step, lambda x: restore(x[: kept.size])


class Pairs(eqx.Module):
    """Eigenvalues and unit eigenvectors, the wanted ones first.

    Attributes:
        values: Shape `(k,)`, in double precision.
        real: Real parts of the vectors, shape `(k, n)`.
        imag: Imaginary parts.
        residuals: Norms of the matrix times a vector minus the eigenvalue times it, shape `(k,)`.
        norm: That of the matrix on the space that was searched: at most that of the matrix.
        rounding: What rounding leaves of a residual.
        num_products: Products of the matrix with a vector.
    """

    values: np.ndarray
    real: Float[Array, "k n"]
    imag: Float[Array, "k n"]
    residuals: np.ndarray
    norm: float
    rounding: float
    num_products: int


class _Space(eqx.Module):
    """An orthonormal basis, one row more than columns of `images`: the matrix times row j is column j of them.

    Attributes:
        basis: Shape `(m + 1, n)`; rows that are not there yet are zero.
        images: In terms of the basis, shape `(m + 1, m)`.
    """

    basis: Float[Array, "rows n"]
    images: Float[Array, "rows m"]


def leading(
    matrix: AbstractLinearization,
    k: int,
    score: Callable[[np.ndarray], np.ndarray],
    *,
    subspace: int,
    tol: float,
    max_products: int,
    key: PRNGKeyArray,
) -> Pairs:
    """The eigenvalues of largest score, by the Krylov-Schur method.

    Source: Stewart (2002), SIAM Journal on Matrix Analysis and Applications 23, 601-614, in real arithmetic.

    Args:
        matrix: The matrix.
        k: How many.
        score: What to order eigenvalues by; equal for the two of a pair.
        subspace: Most vectors in the basis, m: above k, or all of the space.
        tol: Relative tolerance of the residuals.
        max_products: Most products before it gives up.
        key: For the first vector.

    Raises:
        ValueError: If a product is not finite.
    """
    space, kept, products = _start(matrix, key, subspace), 0, 0
    while True:
        space = _extend(matrix, space, jnp.asarray(kept), key)
        products += subspace - kept
        images = np.asarray(space.images, np.float64)
        if not np.all(np.isfinite(images)):
            raise ValueError(
                "`y` must be where the field has a finite derivative, but its products with vectors are not: look at "
                "the field there, for example by `jax.debug.callback`, or take an earlier state."
            )
        square, last = images[:-1], images[-1]
        values, coefficients = (part.astype(complex) for part in np.linalg.eig(square))
        order = np.argsort(-score(values), kind="stable")
        wanted = order[:k]
        # An estimate; the residuals that are reported are measured.
        left = np.abs(last @ coefficients[:, wanted])
        norm = float(np.linalg.norm(images, 2))
        rounding = ROUNDINGS * float(jnp.finfo(space.basis.dtype).eps) * norm
        done = left <= np.maximum(tol * np.abs(values[wanted]), rounding)
        # Beside the wanted ones some others are kept, so that these are told apart from them.
        keep = min(k + int(np.sum(done)) + (subspace - k) // 3, subspace - 2)
        everything = subspace == space.basis.shape[1]
        if np.all(done) or everything or products + subspace - keep > max_products:
            real, imag, residuals = _measure(matrix, space.basis[:-1], values[wanted], coefficients[:, wanted])
            products += 2 * k
            return Pairs(values[wanted], real, imag, np.asarray(residuals, float), norm, rounding, products)
        space, kept = _restarted(space, score, keep)


def _restarted(space: _Space, score: Callable[[np.ndarray], np.ndarray], keep: int) -> tuple[_Space, int]:
    """The space spanned by the Schur vectors of largest score, and how many there are."""
    # SciPy's linear algebra takes a while to import.
    import scipy.linalg

    images = np.asarray(space.images, np.float64)
    m = images.shape[1]
    form, vectors = scipy.linalg.schur(images[:-1])  # pyright: ignore[reportAssignmentType]
    values = _eigenvalues_of_blocks(form)
    chosen = np.zeros(m, np.int32)
    chosen[np.argsort(-score(values), kind="stable")[:keep]] = 1
    # A pair is one block: both are kept if one is.
    reorder: Any = scipy.linalg.lapack.dtrsen  # pyright: ignore[reportAttributeAccessIssue]
    form, vectors, _, _, kept, *_ = reorder(chosen, form, vectors, job="N")
    new = np.zeros_like(images)
    new[:kept, :kept] = form[:kept, :kept]
    new[kept, :kept] = images[-1] @ vectors[:, :kept]
    rotation = np.zeros((m, m + 1))
    rotation[:, :kept] = vectors[:, :kept]
    return _rotate(space, jnp.asarray(rotation), jnp.asarray(new), jnp.asarray(kept)), kept


def _eigenvalues_of_blocks(form: np.ndarray) -> np.ndarray:
    """In the order of the diagonal of a real Schur form, whose blocks of two have equal diagonals."""
    below = np.append(np.diag(form, -1), 0.0)
    beside = np.append(np.diag(form, 1), 0.0)
    upper = np.sqrt(np.maximum(-below * beside, 0.0))
    return np.diag(form) + 1j * np.where(below != 0, upper, -np.roll(np.where(below != 0, upper, 0.0), 1))


def _precisely(function: Callable[_Inputs, _Output]) -> Callable[_Inputs, _Output]:
    """Compiles it with products of matrices to all digits: accelerators leave some of single precision out."""
    compiled = jit(function)

    @functools.wraps(function)
    def call(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Output:
        with jax.default_matmul_precision("highest"):
            return compiled(*args, **kwargs)

    return call


@jit
def _start(matrix: AbstractLinearization, key: PRNGKeyArray, subspace: int) -> _Space:
    flat, _, _ = matrix.function()
    first = jax.random.normal(key, flat.shape, flat.dtype)
    basis = jnp.zeros((subspace + 1, flat.size), flat.dtype).at[0].set(first / jnp.linalg.norm(first))
    return _Space(basis, jnp.zeros((subspace + 1, subspace), flat.dtype))


@_precisely
def _extend(matrix: AbstractLinearization, space: _Space, start: Array, key: PRNGKeyArray) -> _Space:
    """Fills the basis, from row `start` on, with what products add to it."""
    flat, function, _ = matrix.function()
    _, product = jax.linearize(function, flat)
    nothing_new = _NOTHING_NEW * jnp.finfo(flat.dtype).eps

    def orthogonal(vector: Array, basis: Array) -> tuple[Array, Array]:
        """What is not in the space, and what is; twice, since once leaves rounding of what is taken away."""
        within = basis @ vector
        vector = vector - within @ basis
        rest = basis @ vector
        return vector - rest @ basis, within + rest

    def one(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, images = carry
        image = product(basis[j])
        vector, within = orthogonal(image, basis)
        length = jnp.linalg.norm(vector)
        # Then the space so far is mapped into itself, and any vector outside of it goes on.
        closed = length <= nothing_new * jnp.linalg.norm(image)
        vector = jax.lax.cond(closed, lambda: fresh(j, basis), lambda: vector / jnp.where(closed, 1.0, length))
        images = images.at[:, j].set(within).at[j + 1, j].set(jnp.where(closed, 0.0, length))
        return basis.at[j + 1].set(vector), images

    def fresh(j: Array, basis: Array) -> Array:
        vector = orthogonal(jax.random.normal(jax.random.fold_in(key, j), flat.shape, flat.dtype), basis)[0]
        return vector / jnp.linalg.norm(vector)

    basis, images = jax.lax.fori_loop(start, space.images.shape[1], one, (space.basis, space.images))
    return _Space(basis, images)


@_precisely
def _rotate(space: _Space, rotation: Array, images: Array, kept: Array) -> _Space:
    dtype = space.basis.dtype
    basis = rotation.astype(dtype).T @ space.basis[:-1]
    return _Space(basis.at[kept].set(space.basis[-1]), images.astype(dtype))


@_precisely
def _measure(
    matrix: AbstractLinearization,
    basis: Float[Array, "m n"],
    values: Complex[Any, " k"],
    coefficients: Complex[Any, "m k"],
) -> tuple[Float[Array, "k n"], Float[Array, "k n"], Float[Array, " k"]]:
    """Unit eigenvectors, by real and imaginary parts, and their residuals: the matrix is applied once more."""
    flat, function, _ = matrix.function()
    _, product = jax.linearize(function, flat)

    def one(pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        value, coefficient = pair
        real, imag = (part.astype(flat.dtype) @ basis for part in (coefficient.real, coefficient.imag))
        length = jnp.sqrt(jnp.sum(real**2) + jnp.sum(imag**2))
        real, imag = real / length, imag / length
        a, b = value.real.astype(flat.dtype), value.imag.astype(flat.dtype)
        left = product(real) - a * real + b * imag, product(imag) - a * imag - b * real
        return real, imag, jnp.sqrt(jnp.sum(left[0] ** 2) + jnp.sum(left[1] ** 2))

    # One after the other: memory is that of two products.
    return jax.lax.map(one, (jnp.asarray(values), jnp.asarray(coefficients).T))
