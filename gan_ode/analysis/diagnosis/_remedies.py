"""What each change would do to the modes that were found."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from . import _thresholds
from ._budget import Budget, SpentError
from ._candidates import Candidate
from ._model import largest_step, Model
from ._products import Jacobian, Steps
from ._result import Noise, Remedy
from ._spectrum import badness, rates_of, search
from ._training import takes_any_state, Training

# Weights between these powers of ten, in units of the norm of the Jacobian over that of what a weight of 1 adds.
_WEIGHTS = np.logspace(-3, 2, 48)
_RATIOS = np.logspace(-2, 2, 48)
_SECTIONS = 14
# Factors on the step that are tried beside.
_FACTORS = (1.0, 0.5, 0.25, 0.125, 0.0625)
_NONE = np.zeros(1)
# Products of a search that looks whether a treated training is what the small game says.
_MOST_PRODUCTS = 120


@dataclasses.dataclass(frozen=True)
class _Choice:
    """A weight and a factor on the step, and the growth there."""

    weight: float
    factor: float
    growth: float
    matrix: np.ndarray


def remedy(small: Model, candidate: Candidate, noise: Noise, turn: float, budget: Budget) -> Remedy:
    """The best of one change.

    Args:
        small: The small game.
        candidate: The change.
        noise: Of the minibatch.
        turn: Angle per step of the leading rotation.
        budget: What is left.
    """
    if candidate.name == "larger batch":
        return _larger_batch(small, candidate, noise)
    base, slope = _linear_in_weight(small, candidate, budget)
    chosen = _chosen(small, candidate, base, slope)
    residual, growth = float("nan"), chosen.growth
    if small.basis is not None:
        growth, residual = _looked_at(small, candidate, chosen, turn, budget)
    field, update = candidate.applied(chosen.weight, chosen.factor)
    how = candidate.how.format(weight=f"{chosen.weight:.4g}", step=f"{chosen.factor:.4g}")
    has_weight = candidate.has_weight or candidate.name == "smaller step"
    weight = chosen.factor if candidate.name == "smaller step" else chosen.weight
    return Remedy(
        candidate.name, weight if has_weight else float("nan"), growth, chosen.factor,
        largest_step(small, candidate.rule, chosen.matrix), candidate.cost, -growth / candidate.cost, how, field,
        update, residual,
    )  # fmt: skip


def _larger_batch(small: Model, candidate: Candidate, noise: Noise) -> Remedy:
    growth = float(small.growths(candidate.rule, small.matrix[None])[0])
    wanted = noise.trusted_batch if np.isfinite(noise.trusted_batch) else noise.batch * _thresholds.NOISY
    num = float(np.ceil(max(wanted, noise.batch)))
    cost = num / noise.batch if noise.batch else 1.0
    largest = largest_step(small, candidate.rule, small.matrix)
    how = candidate.how.format(weight=f"{num:,.0f}", step="1")
    return Remedy(candidate.name, num, growth, 1.0, largest, cost, -growth / cost, how)


def _linear_in_weight(small: Model, candidate: Candidate, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
    """The matrix without the change, and what a weight of 1 adds."""
    if candidate.field is None:
        return small.matrix, np.zeros_like(small.matrix)
    treated = candidate.field(jnp.asarray(1.0)) if candidate.has_weight else candidate.field(None)
    there = small.of(small.at.jacobian(budget, treated))
    return (small.matrix, there - small.matrix) if candidate.has_weight else (there, np.zeros_like(there))


def _chosen(small: Model, candidate: Candidate, base: np.ndarray, slope: np.ndarray) -> _Choice:
    """The weight, and the factor on the step, of fastest decay."""
    best: _Choice | None = None
    factors = _FACTORS if candidate.name != "smaller step" else tuple(np.logspace(0, -3, 49))
    if not candidate.has_weight:
        matrices = np.asarray(factors)[:, None, None] * base
        growths = small.growths(candidate.rule, matrices)
        i = _least(growths)
        return _Choice(float("nan"), factors[i], float(growths[i]), matrices[i])
    for factor in factors:
        found = _best_weight(small, candidate, base, slope, factor)
        if best is None or found.growth < best.growth - 1e-12:
            best = found
        if best.growth < 0:
            # A smaller step is for what grows at this one.
            break
    assert best is not None
    return best


def _least(growths: np.ndarray) -> int:
    return int(np.nanargmin(np.where(np.isnan(growths), np.inf, growths)))


def _best_weight(small: Model, candidate: Candidate, base: np.ndarray, slope: np.ndarray, factor: float) -> _Choice:
    def matrices(weights: np.ndarray) -> np.ndarray:
        if candidate.rows is None:
            return factor * (base + weights[:, None, None] * slope)
        first, second = candidate.rows(weights)
        rows = [np.full((small.split or 0, len(weights)), 1.0) * first]
        rows.append(np.ones((len(base) - (small.split or 0), len(weights))) * second)
        return factor * np.concatenate(rows).T[:, :, None] * base

    def growths(weights: np.ndarray) -> np.ndarray:
        return small.growths(candidate.rule, matrices(weights))

    norm = np.linalg.norm(slope, 2)
    unit = np.linalg.norm(base, 2) / norm if norm > 0 else 1.0
    weights = _RATIOS if candidate.rows is not None else unit * _WEIGHTS
    for _ in range(_SECTIONS):
        found = growths(weights)
        i = _least(found)
        low, high = weights[max(i - 1, 0)], weights[min(i + 1, len(weights) - 1)]
        if high - low <= 1e-9 * high:
            break
        weights = np.linspace(low, high, 16)
    found = growths(weights)
    i = _least(found)
    return _Choice(float(weights[i]), factor, float(found[i]), matrices(weights[i : i + 1])[0])


def _looked_at(small: Model, candidate: Candidate, chosen: _Choice, turn: float, budget: Budget) -> tuple[float, float]:
    """The growth of what still turns or grows in the treated training, and its residual; else what was said."""
    at = small.at
    jacobian = _treated(at, candidate, chosen, budget)
    try:
        if takes_any_state(candidate.rule):
            found = search(at, jacobian, at.size, _thresholds.NUM_MODES, badness, _MOST_PRODUCTS)
            rates = rates_of(dataclasses.replace(at, rule=candidate.rule), found.values)
            residuals = found.residuals * float(candidate.rule.step_size)
        else:
            steps = Steps(candidate.rule, jacobian, at.size, at.split)
            found = search(at, steps, steps.size, _thresholds.NUM_MODES, lambda v: badness(v - 1), _MOST_PRODUCTS)
            rates, residuals = np.log(found.values.astype(complex)), found.residuals
    except SpentError:
        return chosen.growth, float("nan")
    counts = (np.abs(np.imag(rates)) >= _thresholds.TURNS * turn) & (turn > 0)
    if not np.any(counts):
        return chosen.growth, float("nan")
    i = int(np.argmax(np.where(counts, np.real(rates), -np.inf)))
    return float(np.real(rates[i])), float(residuals[i])


def _treated(at: Training, candidate: Candidate, chosen: _Choice, budget: Budget) -> Jacobian:
    treated = None if candidate.field is None else candidate.field(jnp.asarray(chosen.weight))
    factors = np.full(at.size, chosen.factor)
    if candidate.rows is not None:
        first, second = candidate.rows(np.asarray([chosen.weight]))
        factors[: at.split] *= first[0]
        factors[at.split :] *= second[0]
    return at.jacobian(budget, treated).stretched(factors)
