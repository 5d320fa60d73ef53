"""Leading eigenvalues of a matrix that is known by its products alone, in NumPy's double precision.

The basis and all sums are NumPy's, so that the products are the only program that has to be compiled, once for each
field that is looked at; `spectra` does all of it in one program, which is faster for one field and slower for ten.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..spectra._arnoldi import _eigenvalues_of_blocks, ROUNDINGS

_NOTHING_NEW = 10


@dataclasses.dataclass(frozen=True)
class Found:
    """Eigenvalues, the wanted ones first, unit vectors as columns, residuals; and the norm where it was searched."""

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    norm: float


@dataclasses.dataclass(frozen=True)
class Space:
    """A full basis by rows, one more than columns of `images`: the matrix times row j is column j of them."""

    basis: np.ndarray
    images: np.ndarray


def space(product: Callable[[np.ndarray], np.ndarray], size: int, *, subspace: int, eps: float) -> Space:
    """The first basis, from which searches for different eigenvalues start; in the precision of the products."""
    m = min(subspace, size)
    rng = np.random.default_rng(0)
    basis, images = np.zeros((m + 1, size), np.float32 if eps > 1e-10 else float), np.zeros((m + 1, m))
    basis[0] = _unit(rng.standard_normal(size))
    for j in range(m):
        _extend(product, basis, images, j, eps, rng)
    return Space(basis, images)


def leading(
    product: Callable[[np.ndarray], np.ndarray],
    k: int,
    score: Callable[[np.ndarray], np.ndarray],
    *,
    start: Space,
    tol: float,
    eps: float,
    most: int,
) -> Found:
    """The eigenvalues of largest score, by the Krylov-Schur method.

    Source: Stewart (2002), SIAM Journal on Matrix Analysis and Applications 23, 601-614, in real arithmetic.

    Args:
        product: The matrix times a vector.
        k: How many.
        score: What to order eigenvalues by; equal for the two of a pair.
        start: The first basis.
        tol: Relative tolerance of the residuals.
        eps: Rounding of the products.
        most: Products after which it ends with what there is, those of the first basis too.
    """
    basis, images = start.basis, start.images
    m, size = images.shape[1], basis.shape[1]
    k, rng, products = min(k, m), np.random.default_rng(1), images.shape[1]
    while True:
        values, coefficients = np.linalg.eig(images[:-1])
        order = np.argsort(-score(values), kind="stable")
        # A pair is kept whole.
        wanted = order[: k + int(k < m and np.imag(values[order[k - 1]]) != 0)]
        left = np.abs(images[-1] @ coefficients[:, wanted])
        norm = float(np.linalg.norm(images, 2))
        done = left <= np.maximum(tol * np.abs(values[wanted]), ROUNDINGS * eps * norm)
        keep = min(k + int(np.sum(done)) + (m - k) // 3, m - 2)
        if np.all(done) or m == size or products + m - keep > most:
            vectors = basis[:-1].T @ coefficients[:, wanted].astype(complex)
            vectors = vectors / np.linalg.norm(vectors, axis=0)
            return Found(values[wanted].astype(complex), vectors, np.maximum(left, eps * norm), norm)
        basis, images, kept = _restarted(basis, images, score, keep)
        for j in range(kept, m):
            _extend(product, basis, images, j, eps, rng)
        products += m - kept


def _extend(product: Any, basis: np.ndarray, images: np.ndarray, j: int, eps: float, rng: Any) -> None:
    """Adds what the product with vector `j` adds to the basis."""
    image = product(basis[j]).astype(basis.dtype)
    if not np.all(np.isfinite(image)):
        raise ValueError(
            "`y` must be where the field has a finite derivative, but its products with vectors are not: take an "
            "earlier state, or look at the field there by `analysis.inspect`."
        )
    vector, within = _orthogonal(image, basis[: j + 1])
    length = np.linalg.norm(vector)
    images[: j + 1, j] = within
    if length <= _NOTHING_NEW * eps * np.linalg.norm(image):
        # The space so far is mapped into itself, and any vector outside of it goes on.
        length, vector = 0.0, _orthogonal(rng.standard_normal(len(image)).astype(basis.dtype), basis[: j + 1])[0]
    images[j + 1, j] = length
    # A basis of the whole space leaves nothing to go on with.
    basis[j + 1] = _unit(vector) if j + 1 < len(image) else 0.0


def _orthogonal(vector: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    within = basis @ vector
    vector = vector - within @ basis
    # Twice, since once leaves rounding of what is taken away.
    rest = basis @ vector
    return vector - rest @ basis, within + rest


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), np.finfo(float).tiny)


def _restarted(basis: np.ndarray, images: np.ndarray, score: Any, keep: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The space spanned by the Schur vectors of largest score, and how many there are."""
    # SciPy's linear algebra takes a while to import.
    import scipy.linalg

    m = images.shape[1]
    form, vectors = scipy.linalg.schur(images[:-1])  # pyright: ignore[reportAssignmentType]
    chosen = np.zeros(m, np.int32)
    chosen[np.argsort(-score(_eigenvalues_of_blocks(form)), kind="stable")[:keep]] = 1
    reorder: Any = scipy.linalg.lapack.dtrsen  # pyright: ignore[reportAttributeAccessIssue]
    form, vectors, _, _, kept, *_ = reorder(chosen, form, vectors, job="N")
    kept = int(kept)
    new, turned = np.zeros_like(images), np.zeros_like(basis)
    new[:kept, :kept] = form[:kept, :kept]
    new[kept, :kept] = images[-1] @ vectors[:, :kept]
    turned[:kept] = vectors[:, :kept].T.astype(basis.dtype) @ basis[:-1]
    turned[kept] = basis[-1]
    return turned, new, kept
