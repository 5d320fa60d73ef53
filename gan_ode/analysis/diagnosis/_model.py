"""A small linear game that stands for the training: all of a small state, or the modes that were found of a large."""

import dataclasses
from typing import Any

import numpy as np

from ...updates import AbstractUpdate
from . import _thresholds
from ._linear_game import BATCH, num_flat, steps_of
from ._products import Jacobian
from ._spectrum import Spectrum
from ._training import Training

# Parts of modes that are this small beside the others say nothing new.
_RANK = 1e-6
# A mode of a treated game belongs to those that were found if this part of its square lies within them.
_BELONGS = 0.5
# To this the largest step is searched, relative to it, and growth that is less than so many roundings is none.
_RESOLUTION, _ROUNDINGS = 1e-10, 64


@dataclasses.dataclass(frozen=True)
class Model:
    """The small game.

    Attributes:
        at: What it stands for.
        matrix: The scaled Jacobian, or that of the part that is looked at.
        split: How many of its numbers are the discriminator's.
        basis: Columns, orthonormal and each of one player; None where it is all of the state.
        within: Orthonormal columns in terms of the basis: where the modes that were found lie; None likewise.
        flat: How many directions are flat without treatment.
    """

    at: Training
    matrix: np.ndarray
    split: int | None
    basis: np.ndarray | None
    within: np.ndarray | None
    flat: int

    def of(self, jacobian: Jacobian) -> np.ndarray:
        """The matrix of a treated field."""
        return jacobian.dense() if self.basis is None else jacobian.compressed(self.basis)

    def growths(self, rule: AbstractUpdate, matrices: np.ndarray) -> np.ndarray:
        """The largest growth per step of the modes that count, of treated games on a leading axis."""
        if not len(self.matrix):
            return np.full(len(matrices), np.nan)
        steps = steps_of(rule, len(self.matrix), self.split)
        if self.within is None:
            return steps.growths(matrices, np.full(len(matrices), self.flat))
        found = steps.matrices(matrices)
        return np.asarray([self._growth(each) / steps.known.period for each in found])

    def _growth(self, step: np.ndarray) -> float:
        """Of those modes of a step that lie mostly where the modes that were found do."""
        assert self.within is not None
        if not np.all(np.isfinite(step)):
            return float("nan")
        values, vectors = np.linalg.eig(step)
        vectors = vectors[: len(self.matrix)]
        squares = np.sum(np.abs(vectors) ** 2, axis=0)
        inside = np.sum(np.abs(self.within.T @ vectors) ** 2, axis=0)
        belongs = (inside >= _BELONGS * squares) & (squares > 0)
        with np.errstate(divide="ignore"):
            return float(np.max(np.log(np.abs(values[belongs])), initial=-np.inf))


def model(at: Training, found: Spectrum, near: bool, jacobian: Jacobian) -> Model:
    """The small game of the modes that were found.

    Away from an equilibrium what grows without turning is left out: so a loss is descended that is not convex there.
    """
    counts = ~found.is_flat(at.bytes)
    if not near:
        counts &= ~((np.real(found.values) > 0) & (np.abs(np.imag(found.values)) <= found.norm * 1e-12))
    vectors = found.vectors[:, counts]
    columns = np.concatenate([np.real(vectors), np.imag(vectors)], axis=1)
    if found.matrix is not None:
        flat = int(num_flat(found.matrix[None])[0])
        within = None if near or np.sum(counts) + flat == at.size else _orthonormal(columns)
        return Model(at, found.matrix, at.split, None, within, flat)
    parts = [columns] if at.split is None else [columns[: at.split], columns[at.split :]]
    bases = [_orthonormal(part) for part in parts]
    split = None if at.split is None else bases[0].shape[1]
    # SciPy's linear algebra takes a while to import.
    import scipy.linalg

    basis: Any = scipy.linalg.block_diag(*bases)
    return Model(at, jacobian.compressed(basis), split, basis, _orthonormal(basis.T @ columns), 0)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    if not columns.shape[1]:
        return columns
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > _RANK * max(float(sizes[0]), np.finfo(float).tiny)]


def largest_step(small: Model, rule: AbstractUpdate, matrix: np.ndarray) -> float:
    """The largest factor on the step at which nothing grows: 0 if something does at all, infinite if nothing does."""
    if not len(matrix):
        return float("nan")
    factors = np.logspace(np.log10(_thresholds.LEAST_STEP), np.log10(_thresholds.MOST_STEP), 3 * BATCH)

    def excess(factors: np.ndarray) -> np.ndarray:
        """Growth over what counts as none."""
        growths = small.growths(rule, factors[:, None, None] * matrix)
        return np.where(np.isnan(growths), np.inf, growths - neutral_below(small.at, factors * norm))

    norm = np.linalg.norm(matrix, 2)
    found = excess(factors)
    if not np.any(found > 0):
        return float("inf")
    first = int(np.argmax(found > 0))
    if first == 0:
        return 0.0
    below, above = factors[first - 1], factors[first]
    # Where something clearly decays before it grows, the change of sign is sharp; what is neutral before is not.
    sharp = found[first - 1] < -3 * neutral_below(small.at, below * norm)
    while above - below > _RESOLUTION * above:
        between = np.linspace(below, above, BATCH + 2)
        inner = between[1:-1]
        grows = excess(inner) + (neutral_below(small.at, inner * norm) if sharp else 0.0) > 0
        first = int(np.argmax(np.append(grows, True)))
        below, above = between[first], between[first + 1]
    return float(below)


def neutral_below(at: Training, size: Any) -> Any:
    """Up to which a growth per step counts as zero, where the step's field has this norm."""
    rounding = float(np.finfo(np.float32 if at.bytes == 4 else np.float64).eps)
    in_a_step = np.minimum(1.0, float(at.rule.step_size) * np.asarray(size))
    return _thresholds.NEUTRAL[at.bytes] * in_a_step + _ROUNDINGS * rounding
