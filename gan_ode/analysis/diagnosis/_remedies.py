"""What each change would do to the modes that were found."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from . import _thresholds
from ._budget import Budget
from ._candidates import Candidate
from ._model import largest_step, Model
from ._products import Jacobian, Steps
from ._result import Noise, Remedy
from ._spectrum import rates_of, search, turning
from ._training import takes_any_state, Training

# Weights between these powers of ten, in units of the norm of the Jacobian over that of what a weight of 1 adds.
_WEIGHTS = np.logspace(-3, 2, 48)
_RATIOS = np.logspace(-2, 2, 48)
_SECTIONS = 14
# Factors on the step that are tried beside.
_FACTORS = (1.0, 0.5, 0.25, 0.125, 0.0625)


@dataclasses.dataclass(frozen=True)
class _Choice:
    """A weight and a factor on the step, and the growth there."""

    weight: float
    factor: float
    growth: float
    matrix: np.ndarray


def remedy(
    small: Model, candidate: Candidate, noise: Noise, resolved: float, budget: Budget, given: float | None = None
) -> Remedy:
    """The best of one change as the small game has it.

    Args:
        small: The small game.
        candidate: The change.
        noise: Of the minibatch.
        resolved: The largest factor on the step that resolves what grows fastest.
        budget: What is left.
        given: The weight, where it is not to be searched.
    """
    if candidate.name == "larger batch":
        return _larger_batch(small, candidate, noise)
    base, slope = _linear_in_weight(small, candidate, budget)
    chosen = _chosen(small, candidate, base, slope, resolved) if given is None else _at(small, candidate, base, given)
    field, update = candidate.applied(chosen.weight, chosen.factor)
    how = candidate.how.format(weight=f"{chosen.weight:.4g}", step=f"{chosen.factor:.4g}")
    weight = chosen.factor if candidate.name == "smaller step" else chosen.weight
    return Remedy(
        candidate.name, weight, chosen.growth, chosen.factor,
        largest_step(small, candidate.rule, chosen.matrix), candidate.cost, -chosen.growth / candidate.cost, how, field,
        update,
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


def _chosen(small: Model, candidate: Candidate, base: np.ndarray, slope: np.ndarray, resolved: float) -> _Choice:
    """The weight, and the factor on the step, of fastest decay."""
    best: _Choice | None = None
    factors = _FACTORS if candidate.name != "smaller step" else tuple(np.logspace(0, -3, 49))
    if not candidate.has_weight:
        matrices = np.asarray(factors)[:, None, None] * base
        growths = small.growths(candidate.rule, matrices)
        i = _least(growths)
        if candidate.name == "smaller step" and (resolved < 1 or growths[i] > 0):
            # Where no step helps, or it is not the decay that matters.
            i, factors = 0, (resolved,)
            matrices = resolved * base[None]
            growths = small.growths(candidate.rule, matrices)
        # A smaller step is for what decays then; what grows only grows more slowly.
        i = i if growths[i] < 0 else 0
        return _Choice(float("nan"), factors[i], float(growths[i]), matrices[i])
    for factor in factors:
        found = _best_weight(small, candidate, base, slope, factor)
        if best is None or found.growth < 0:
            best = found
        if best.growth < 0:
            # A smaller step is for what grows at this one.
            break
    assert best is not None
    return best


def _at(small: Model, candidate: Candidate, base: np.ndarray, weight: float) -> _Choice:
    """What comes of a weight of a change of the rows."""
    matrices = _with_rows(small, candidate, base, np.asarray([weight]))
    return _Choice(weight, 1.0, float(small.growths(candidate.rule, matrices)[0]), matrices[0])


def _with_rows(small: Model, candidate: Candidate, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The matrix with factors on the two players' rows, of each weight."""
    assert candidate.rows is not None
    first, second = candidate.rows(weights)
    rows = [np.full((small.split or 0, len(weights)), 1.0) * first]
    rows.append(np.ones((len(base) - (small.split or 0), len(weights))) * second)
    return np.concatenate(rows).T[:, :, None] * base


def _least(growths: np.ndarray) -> int:
    return int(np.nanargmin(np.where(np.isnan(growths), np.inf, growths)))


def _best_weight(small: Model, candidate: Candidate, base: np.ndarray, slope: np.ndarray, factor: float) -> _Choice:
    def matrices(weights: np.ndarray) -> np.ndarray:
        if candidate.rows is None:
            return factor * (base + weights[:, None, None] * slope)
        return factor * _with_rows(small, candidate, base, weights)

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


def looked_at(at: Training, candidate: Candidate, made: Remedy, turn: float, budget: Budget) -> Remedy:
    """The remedy, with the growth of what still turns in the treated training and its residual, if anything does.

    Args:
        at: The training.
        candidate: The change.
        made: What the small game says of it.
        turn: Angle per step of the leading rotation.
        budget: What is left.
    """
    jacobian = _treated(at, candidate, made, budget)
    most, sought = _thresholds.MOST_PRODUCTS_OF_A_LOOK, ((turning, _thresholds.NUM_MODES),)
    if takes_any_state(candidate.rule):
        (found,) = search(at, jacobian, at.size, sought, most)
        rates = rates_of(dataclasses.replace(at, rule=candidate.rule), found.values)
        residuals = found.residuals * float(candidate.rule.step_size)
    else:
        steps = Steps(candidate.rule, jacobian, at.size, at.split)
        (found,) = search(at, steps, steps.size, sought, most)
        rates, residuals = np.log(found.values) / steps.known.period, found.residuals
    counts = (np.abs(np.imag(rates)) >= _thresholds.TURNS * turn) & (turn > 0)
    if not np.any(counts):
        return made
    i = int(np.argmax(np.where(counts, np.real(rates), -np.inf)))
    growth, residual = float(np.real(rates[i])), float(residuals[i])
    return dataclasses.replace(made, growth_per_step=growth, progress=-growth / made.cost, residual=residual)


def _treated(at: Training, candidate: Candidate, made: Remedy, budget: Budget) -> Jacobian:
    treated = None if candidate.field is None else candidate.field(jnp.asarray(made.weight))
    factors = np.full(at.size, made.step_factor)
    if candidate.rows is not None:
        first, second = candidate.rows(np.asarray([made.weight]))
        factors[: at.split] *= first[0]
        factors[at.split :] *= second[0]
    return at.jacobian(budget, treated).stretched(factors)
