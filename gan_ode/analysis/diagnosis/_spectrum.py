"""Modes of the scaled field and of the update's step: all of a small state, the leading ones of a large."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..._lowering import jit
from ..._printing import leaf_name
from ..._types import Args, State
from ...games import Players
from ...updates import AbstractUpdate
from ..maps._rhythm import rhythm
from ..spectra._arnoldi import AbstractLinearization, leading, OfField, OfStep, Pairs
from . import _thresholds
from ._budget import Budget
from ._linear_game import blocks, Steps, steps_of
from ._result import Mode
from ._training import Rested, Training

_TOLERANCE = {4: 1e-3, 8: 1e-8}


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the scaled field, as far as they are known.

    Attributes:
        values: Eigenvalues, of pairs both.
        vectors: Unit eigenvectors as columns.
        residuals: Of each; NaN where the dense matrix was taken.
        norm: Of the Jacobian, or of the part that was searched.
        matrix: The Jacobian, where it is dense.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    norm: float
    matrix: np.ndarray | None

    def is_flat(self, size: int) -> np.ndarray:
        """Which are zero but for rounding."""
        return np.abs(self.values) <= _thresholds.FLAT[size] * self.norm


def spectrum(at: Training, field: Rested, dense: bool, budget: Budget) -> Spectrum:
    """Of the training's field, or of a treated one."""
    return _dense(at, field, budget) if dense else _leading(at, field, budget)


def dense_jacobian(at: Training, field: Rested, budget: Budget) -> np.ndarray:
    """In double precision."""
    budget.require(_thresholds.PRODUCT * at.size)
    budget.spend(_thresholds.PRODUCT * at.size)
    return np.asarray(_jacobian(field, at.y, at.args), np.float64)


@jit
def _jacobian(field: Rested, y: State, args: Args) -> Any:
    flat, restore = ravel_pytree(y)
    return jax.jacfwd(lambda x: ravel_pytree(field(0.0, restore(x), args))[0])(flat)


def _dense(at: Training, field: Rested, budget: Budget) -> Spectrum:
    return of_matrix(dense_jacobian(at, field, budget))


def of_matrix(matrix: np.ndarray) -> Spectrum:
    """Of a dense Jacobian."""
    if not np.all(np.isfinite(matrix)):
        raise ValueError(
            "`y` must be where the field has a finite derivative, but there it has none: take an earlier state."
        )
    values, vectors = np.linalg.eig(matrix)
    unknown = np.full(len(values), np.nan)
    return Spectrum(values.astype(complex), vectors, unknown, float(np.linalg.norm(matrix, 2)), matrix)


def badness(values: np.ndarray) -> np.ndarray:
    """What grows or turns most."""
    return np.maximum(np.real(values), np.abs(np.imag(values)))


def _leading(at: Training, field: Rested, budget: Budget) -> Spectrum:
    matrix = OfField(field, at.y, at.args, 0.0)
    found = [search(at, matrix, _thresholds.NUM_MODES, badness, budget, _thresholds.PRODUCT)]
    found.append(search(at, matrix, _thresholds.NUM_FASTEST, lambda v: -np.real(v), budget, _thresholds.PRODUCT))
    values = np.concatenate([each.values for each in found])
    vectors = np.concatenate([np.asarray(each.real, float) + 1j * np.asarray(each.imag, float) for each in found]).T
    residuals = np.concatenate([each.residuals for each in found])
    kept = _distinct(values, residuals, found[0].norm)
    norm = max(each.norm for each in found)
    return Spectrum(values[kept], vectors[:, kept], residuals[kept], norm, None)


def search(
    at: Training, matrix: AbstractLinearization, k: int, score: Any, budget: Budget, each: int, most: int | None = None
) -> Pairs:
    """The leading eigenvalues by products, each of so many field evaluations."""
    room = budget.left // each - 2 * k
    size = min(_thresholds.SUBSPACE, at.size)
    budget.require(each * (size + 2 * k))
    pairs = leading(
        matrix, min(k, at.size), score, subspace=size, tol=_TOLERANCE[at.bytes],
        max_products=min(most or _thresholds.MOST_PRODUCTS, max(room, size)), key=jax.random.key(0),
    )  # fmt: skip
    budget.spend(each * pairs.num_products)
    return pairs


def _distinct(values: np.ndarray, residuals: np.ndarray, norm: float) -> np.ndarray:
    kept: list[int] = []
    for i, value in enumerate(values):
        near = [j for j in kept if abs(values[j] - value) <= 1e-6 * norm]
        if not near:
            kept.append(i)
    return np.asarray(kept, int)


def field_modes(at: Training, found: Spectrum) -> list[Mode]:
    """Modes of the field, worst first, with what the update makes of each."""
    above = np.flatnonzero(found.values.imag >= 0)
    values = found.values[above]
    order = np.argsort(-np.round(badness(values) / (found.norm or 1.0), 10), kind="stable")
    rates = rates_of(at, values)
    floor = _thresholds.FLAT[at.bytes] * found.norm
    fastest = np.max(np.abs(values.real), initial=0.0)
    return [
        _mode(at, "field", values[i], rates[i], found.residuals[above[i]], found.vectors[:, above[i]],
              what_it_does(values[i], floor, fastest))
        for i in order
    ]  # fmt: skip


def rates_of(at: Training, values: np.ndarray) -> np.ndarray:
    """Logarithms of the multipliers per step to which the update brings eigenvalues; NaN if it is no such function."""
    if not at.is_function_of_jacobian or not len(values):
        return np.full(len(values), np.nan + 0j)
    logs = steps_of(at.rule, 2, None).logarithms(blocks(values), np.zeros(len(values), int))
    # Of a pair the one above the axis.
    return np.asarray([row[np.argmax(row.real + 1e-12 * (row.imag >= 0))] for row in logs])


def what_it_does(rate: complex, floor: float, fastest: float, flip: bool = False) -> str:
    """A word for an eigenvalue, or for the logarithm of a multiplier."""
    turns = abs(rate.imag)
    if flip and turns > _thresholds.FLIPS:
        return "flips"
    if abs(rate) <= floor:
        return "flat"
    if turns > floor:
        if rate.real > _thresholds.CYCLES * turns:
            return "grows"
        return "cycles" if rate.real > -_thresholds.CYCLES * turns else "spirals"
    if rate.real > 0:
        return "grows"
    return "creeps" if -rate.real < _thresholds.CREEPS * fastest else "decays"


def _mode(at: Training, of: str, value: complex, rate: complex, residual: float, vector: np.ndarray, does: str) -> Mode:
    squares = np.abs(vector) ** 2
    squares = squares / np.sum(squares)
    shares, start = {}, 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(at.y)[0]:
        shares[leaf_name(path, "y")] = float(np.sum(squares[start : start + np.size(leaf)]))
        start += np.size(leaf)
    nan = float("nan")
    first = float(np.sum(squares[: at.split])) if at.split is not None else nan
    return Mode(of, complex(value), complex(rate), float(residual), does, Players(first, 1 - first), shares)


def step_modes(at: Training, found: Spectrum, fields: list[Mode], budget: Budget) -> list[Mode]:
    """Modes of the update's step, worst first."""
    if found.matrix is not None:
        return _dense_steps(at, found)
    if at.is_function_of_jacobian:
        return _mapped(at, fields)
    return _searched(at, budget)


def _dense_steps(at: Training, found: Spectrum) -> list[Mode]:
    assert found.matrix is not None
    steps = steps_of(at.rule, at.size, at.split)
    matrix = steps.matrices(found.matrix[None])[0]
    values, vectors = np.linalg.eig(matrix)
    flat = np.zeros(len(values), bool)
    num = int(np.sum(found.is_flat(at.bytes)))
    flat[np.argsort(np.abs(values - 1), kind="stable")[:num]] = True
    return _of_steps(at, values, vectors[: at.size], np.full(len(values), np.nan), flat, steps)


def _of_steps(
    at: Training, values: np.ndarray, vectors: np.ndarray, residuals: np.ndarray, flat: np.ndarray, steps: Steps
) -> list[Mode]:
    period = steps.known.period
    with np.errstate(divide="ignore"):
        rates = np.log(np.asarray(values, complex)) / period
    floor = np.where(flat, np.inf, 0.0)
    finite = rates.real[np.isfinite(rates.real)]
    fastest = float(np.max(-finite, initial=0.0))
    above = [i for i in range(len(values)) if values[i].imag >= 0 and np.any(vectors[:, i])]
    order = sorted(above, key=lambda i: (flat[i], -round(rates[i].real, 10), -rates[i].imag))
    return [
        _mode(at, "update", values[i], rates[i], residuals[i], vectors[:, i],
              what_it_does(rates[i], max(floor[i], 1e-12), fastest, flip=period == 1))
        for i in order
    ]  # fmt: skip


def _mapped(at: Training, fields: list[Mode]) -> list[Mode]:
    """Where each eigenvalue has its multipliers, the eigenvectors are the same."""
    values = np.asarray([mode.value for mode in fields], complex)
    # By how much the multiplier follows the eigenvalue.
    size = np.maximum(np.abs(values), 1e-300) * 1e-6
    slopes = np.abs(np.exp(rates_of(at, values + size)) - np.exp([mode.rate for mode in fields])) / size
    fastest = float(np.max([-mode.rate.real for mode in fields], initial=0.0))
    made = []
    for mode, slope in zip(fields, slopes, strict=True):
        does = "flat" if mode.does == "flat" else what_it_does(mode.rate, 1e-12, fastest, flip=True)
        changed = {"of": "update", "value": complex(np.exp(mode.rate)), "residual": mode.residual * float(slope)}
        made.append(dataclasses.replace(mode, does=does, **changed))
    return sorted(made, key=lambda mode: (mode.does == "flat", -round(mode.rate.real, 10)))


def step_linearization(at: Training, rule: AbstractUpdate, field: Rested) -> OfStep:
    """The matrix of a rule's steps on a scaled field, in state and memory."""
    return OfStep(rule, field, at.y, at.args, rhythm(rule, field, at.y, at.args, strict=False))


def _searched(at: Training, budget: Budget) -> list[Mode]:
    matrix = step_linearization(at, at.rule, at.rested)
    each = 2 * _thresholds.PRODUCT
    ahead = search(at, matrix, _thresholds.NUM_MODES, lambda v: badness(v - 1), budget, each)
    behind = search(at, matrix, _thresholds.NUM_FASTEST, lambda v: -np.real(v), budget, each)
    values = np.concatenate([ahead.values, behind.values])
    vectors = np.concatenate([np.asarray(p.real, float) + 1j * np.asarray(p.imag, float) for p in (ahead, behind)]).T
    residuals = np.concatenate([ahead.residuals, behind.residuals])
    kept = _distinct(values, residuals, ahead.norm)
    values, vectors, residuals = values[kept], vectors[: at.size, kept], residuals[kept]
    floor = _thresholds.FLAT[at.bytes] * np.max(np.abs(values - 1), initial=0.0) + 20 * float(
        np.finfo(np.float32 if at.bytes == 4 else np.float64).eps
    )
    return _of_steps(at, values, vectors, residuals, np.abs(values - 1) <= floor, steps_of(at.rule, 2, 1))
