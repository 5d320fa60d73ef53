"""Modes of the scaled field and of the update's step: all of a small state, the leading ones of a large."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from ..._printing import leaf_name
from ...games import Players
from . import _thresholds
from ._krylov import Found, leading, space
from ._linear_game import blocks, steps_of
from ._products import Jacobian, Product, Steps
from ._result import Mode
from ._training import Training

Score = Callable[[np.ndarray], np.ndarray]

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


def spectrum(at: Training, jacobian: Jacobian, dense: bool) -> Spectrum:
    """Of the training's field: all of it, or what grows or turns most, and what decays fastest."""
    if dense:
        return of_matrix(jacobian.dense())
    found = search(at, jacobian, jacobian.size, _SOUGHT)
    values, vectors, residuals = _joined(at, found)
    return Spectrum(values, vectors, residuals, max(each.norm for each in found), None)


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


def turning(values: np.ndarray) -> np.ndarray:
    """What turns most."""
    return np.abs(np.imag(values))


def falling(values: np.ndarray) -> np.ndarray:
    """What decays fastest."""
    return -np.real(values)


# What is looked for without the matrix, and how many.
_SOUGHT: tuple[tuple[Score, int], ...] = (
    (turning, _thresholds.NUM_MODES), (np.real, _thresholds.NUM_GROWING), (falling, _thresholds.NUM_FASTEST),
)  # fmt: skip


def search(
    at: Training,
    product: Product,
    size: int,
    sought: Sequence[tuple[Score, int]],
    most: int = _thresholds.MOST_PRODUCTS,
    subspace: int = _thresholds.SUBSPACE,
) -> list[Found]:
    """Leading eigenvalues by products, by several scores from one basis."""
    eps = float(np.finfo(np.float32 if at.bytes == 4 else np.float64).eps)
    start = space(product, size, subspace=subspace, eps=eps)
    tol = _TOLERANCE[at.bytes]
    return [leading(product, k, score, start=start, tol=tol, eps=eps, most=most) for score, k in sought]


def _joined(at: Training, found: list[Found]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What several searches found, each eigenvalue once, and none that has not converged."""
    values = np.concatenate([each.values for each in found])
    vectors = np.concatenate([each.vectors for each in found], axis=1)
    residuals = np.concatenate([each.residuals for each in found])
    kept: list[int] = []
    largest = _thresholds.CONVERGED[at.bytes] * found[0].norm
    for i, value in enumerate(values):
        if residuals[i] <= largest and not any(abs(values[j] - value) <= 1e-6 * found[0].norm for j in kept):
            kept.append(i)
    return values[kept], vectors[:, kept], residuals[kept]


def field_modes(at: Training, found: Spectrum) -> list[Mode]:
    """Modes of the field, worst first, with what the update makes of each."""
    above = np.flatnonzero(np.imag(found.values) >= 0)
    values = np.asarray(found.values[above], complex)
    order = np.argsort(-np.round(badness(values) / (found.norm or 1.0), 10), kind="stable")
    rates = rates_of(at, values)
    floor = _thresholds.FLAT[at.bytes] * found.norm
    fastest = np.max(np.abs(np.real(values)), initial=0.0)
    made = []
    for i in order:
        does = what_it_does(complex(values[i]), floor, float(fastest))
        residual, vector = float(found.residuals[above[i]]), found.vectors[:, above[i]]
        made.append(_mode(at, "field", complex(values[i]), complex(rates[i]), residual, vector, does))
    return made


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
    squares = np.square(np.abs(vector))
    squares = squares / np.sum(squares)
    shares, start = {}, 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(at.y)[0]:
        shares[leaf_name(path, "y")] = float(np.sum(squares[start : start + np.size(leaf)]))
        start += np.size(leaf)
    nan = float("nan")
    first = float(np.sum(squares[: at.split])) if at.split is not None else nan
    return Mode(of, complex(value), complex(rate), float(residual), does, Players(first, 1 - first), shares)


def step_modes(at: Training, found: Spectrum, fields: list[Mode], jacobian: Jacobian) -> list[Mode]:
    """Modes of the update's step, worst first."""
    if found.matrix is not None:
        return _dense_steps(at, found)
    if at.is_function_of_jacobian:
        return _mapped(at, fields)
    return _searched(at, jacobian)


def _dense_steps(at: Training, found: Spectrum) -> list[Mode]:
    assert found.matrix is not None
    steps = steps_of(at.rule, at.size, at.split)
    matrix = steps.matrices(found.matrix[None])[0]
    values, vectors = np.linalg.eig(matrix)
    flat = np.zeros(len(values), bool)
    num = int(np.sum(found.is_flat(at.bytes)))
    flat[np.argsort(np.abs(values - 1), kind="stable")[:num]] = True
    return _of_steps(at, values, vectors[: at.size], np.full(len(values), np.nan), flat, steps.known.period)


def _of_steps(
    at: Training, values: np.ndarray, vectors: np.ndarray, residuals: np.ndarray, flat: np.ndarray, period: int
) -> list[Mode]:
    with np.errstate(divide="ignore"):
        rates = np.log(np.asarray(values, complex)) / period
    floor = np.where(flat, np.inf, 0.0)
    finite = rates.real[np.isfinite(rates.real)]
    fastest = float(np.max(-finite, initial=0.0))
    above = [i for i in range(len(values)) if values[i].imag >= 0 and np.any(vectors[:, i])]
    order = sorted(above, key=lambda i: (flat[i], -round(rates[i].real, 10), -rates[i].imag))
    return [
        _mode(at, "update", complex(values[i]), complex(rates[i]), float(residuals[i]), vectors[:, i],
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


def _searched(at: Training, jacobian: Jacobian) -> list[Mode]:
    steps = Steps(at.rule, jacobian, at.size, at.split)
    found = search(at, steps, steps.size, _SOUGHT)
    values, vectors, residuals = _joined(at, found)
    floor = _thresholds.FLAT[at.bytes] * np.max(np.abs(values - 1), initial=0.0) + 20 * float(
        np.finfo(np.float32 if at.bytes == 4 else np.float64).eps
    )
    return _of_steps(at, values, vectors[: at.size], residuals, np.abs(values - 1) <= floor, steps.known.period)
