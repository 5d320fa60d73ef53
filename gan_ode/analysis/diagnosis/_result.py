"""What a diagnosis holds."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._printing import number, printed, Report
from ..._types import Field
from ...games import Players
from ...updates import AbstractUpdate
from . import _dataset, _report

_NAN = float("nan")


class DISEASES(enum.StrEnum):
    """What a state of training suffers from; items are strings, and compare with them."""

    healthy = "healthy"
    cycling = "cycling"
    step_too_large = "step too large"
    discriminator_too_fast = "discriminator too fast"
    vanishing_logits = "vanishing logits"
    batch_too_small = "batch too small"
    undecided = "undecided"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One disease that was looked for, and the evidence.

    Attributes:
        disease: Which.
        strength: The evidence over its threshold, without unit: from 1 on it is there; NaN where it could not be
            measured.
        sentence: The evidence in a sentence.
        numbers: The numbers behind the sentence, by name.
    """

    disease: DISEASES
    strength: float
    sentence: str
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Mode:
    """A direction in which the linear part of the field, or of the update's step, only scales and turns.

    Attributes:
        of: "field" or "update".
        value: An eigenvalue of the field's Jacobian, per unit time; or a multiplier of the update, per step. Of a pair
            the one above the axis.
        rate: The logarithm of the multiplier per step: growth, and angle of turning. Of a mode of the field that is
            the multiplier to which the update brings it, where the update is a function of the Jacobian, else NaN.
        residual: Norm of the matrix times the unit vector minus the value times it, in the units of `value`; NaN where
            the dense matrix was taken.
        does: "cycles" (turns without decay), "spirals" (turns and decays), "flips" (changes sign in every step),
            "grows", "decays", "creeps" (decays much more slowly than the fastest), "flat" (zero but for rounding).
        shares: Of each player in the squared unit vector; of another state than `Players` NaN.
        layers: Of each array of the state, by name; they add up to 1.
    """

    of: str
    value: complex
    rate: complex
    residual: float
    does: str
    shares: Players
    layers: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Noise:
    r"""How much a minibatch's velocity is noise.

    Attributes:
        variance: $\operatorname{tr}\operatorname{cov}$ of the velocity on this minibatch, in squared units of the
            velocity; 0 where there is no minibatch.
        variance_error: Its standard error, by the jackknife.
        drift: $\lVert E F \rVert^2$, unbiased: the squared velocity minus its variance; may come out below 0.
        drift_error: Its standard error.
        batch: Samples in the minibatch; 0 if there is none.
        trusted_batch: $\operatorname{tr}\operatorname{cov}$ of one sample over the drift: with so many samples noise
            and drift are as large. Infinite where the drift does not show.
        shares: Of each player in the variance.
        jitter: How far noise alone carries a sample in the next 200 steps: root mean square, over latent points and
            over runs that differ in their minibatches alone, in units of the data's spread (the root of their total
            variance). NaN where something else was found, where there are no samples, and where a run does not stay
            finite.
        jitter_error: Its standard error, by the jackknife over the runs.
    """

    variance: float = 0.0
    variance_error: float = 0.0
    drift: float = _NAN
    drift_error: float = 0.0
    batch: int = 0
    trusted_batch: float = 0.0
    shares: Players = dataclasses.field(default_factory=lambda: Players(_NAN, _NAN))
    jitter: float = _NAN
    jitter_error: float = _NAN

    @property
    def samples_needed(self) -> str:
        """`trusted_batch` in words; where the drift does not show, what is needed at least, if it is its error."""
        if np.isfinite(self.trusted_batch):
            return f"{number(self.trusted_batch, 3)} samples"
        return f"more than {number(self.variance * self.batch / self.drift_error, 3)} samples"


@dataclasses.dataclass(frozen=True)
class Logits:
    """The discriminator's scores, and what is left of the losses' slopes.

    Attributes:
        data_mean: Mean score of the data.
        data_spread: Their standard deviation.
        sample_mean: Mean score of the samples.
        sample_spread: Their standard deviation.
        saturation: The share of scores that lie further than 4 from the loss's score at equilibrium.
        slope: Mean size of the slope of the generator's loss by its samples' scores, over its size at equilibrium: near
            0 where the loss has saturated.
    """

    data_mean: float
    data_spread: float
    sample_mean: float
    sample_spread: float
    saturation: float
    slope: float


@dataclasses.dataclass(frozen=True)
class Extremes:
    """The extreme eigenvalues of a player's Hessian times its rate: curvatures of its own loss, per unit time."""

    smallest: float
    largest: float


@dataclasses.dataclass(frozen=True)
class Remedy:
    """What a change of the training would do to the modes that were found, as far as their linear part tells.

    Attributes:
        name: What is changed.
        weight: The best one: of a penalty or an adjustment its weight, of the ratio of rates the discriminator's rate
            over the generator's relative to now, of a smaller step the factor on it, of a larger batch the samples;
            NaN where there is nothing to choose.
        growth_per_step: The largest growth, the logarithm of the modulus of a multiplier, of the modes that count:
            below 0 they decay.
        step_factor: By which factor the step is to be multiplied beside: 1, unless a smaller step is needed.
        largest_step: The largest factor on the present step at which no mode that counts grows; infinite beyond 100.
        cost: Field evaluations of a step relative to a step now.
        progress: `-growth_per_step / cost`: decay per cost of a step of now.
        how: How to apply it, in a sentence.
        field: The treated field; None where it is not for the package to make.
        update: The update to train it with; None likewise.
        residual: Of the deciding mode, as measured on the treated training; NaN where all eigenvalues are known, and
            where nothing turns any more, so that the growth is that of the small game of the modes that were found.
    """

    name: str
    weight: float
    growth_per_step: float
    step_factor: float
    largest_step: float
    cost: float
    progress: float
    how: str
    field: Field | None = None
    update: AbstractUpdate | None = None
    residual: float = _NAN

    def apply(self, field: Field, update: AbstractUpdate) -> tuple[Field, AbstractUpdate]:
        """The treated training: what takes the place of the field and the update that were diagnosed.

        Args:
            field: The field that was diagnosed; kept where the remedy does not change it.
            update: Likewise the update.
        """
        return (field if self.field is None else self.field), (update if self.update is None else self.update)


@printed
@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What a state of training suffers from, and what would help; made by `analysis.diagnose`.

    Attributes:
        verdict: One sentence.
        disease: The strongest finding, "healthy" if there is none, "undecided" if too little could be measured.
        findings: Every disease that was looked for, by falling strength.
        near_equilibrium: Whether the state is an equilibrium but for what linear statements forgive.
        horizon: For how many steps the linear part is a statement about the training: until the drift has carried the
            state as far as a tenth of its own size; infinite at an equilibrium.
        speeds: Norm of each player's velocity; of another state than `Players` all of it, and NaN.
        noise: Variance beside drift, on the minibatch.
        curvatures: Extremes of each player's own curvature; None for another state than `Players`.
        logits: Scores and saturation; None where the game has no scores.
        rotation_share: The antisymmetric part's share of the squared Jacobian, without unit.
        rotation_error: Its standard error; 0 where the dense matrix was taken.
        modes: Modes of the field: those that grow or turn most first, and of the fastest that decay.
        step_modes: Modes of the update's step, likewise.
        complete_spectrum: Whether `modes` and `step_modes` are all there are.
        flat: Among them, how many are zero but for rounding.
        stiffness: Modulus of the fastest mode over that of the slowest that is not flat, among those seen.
        largest_step: The largest factor on the present step at which no mode that counts grows: 0 if one grows at
            every step, infinite beyond 100. Away from an equilibrium modes that grow without turning do not count: so a
            loss is descended where it is not convex.
        period_in_steps: Steps of one turn of the leading rotation; infinite if nothing turns.
        growth_per_step: The largest growth of a mode of the update that counts: the logarithm of its modulus.
        remedies: By falling progress.
        step_size: The time that one step stands for, of the update.
        method: "dense" or "matrix-free".
        notes: What the reader has to know of how it was measured.
        num_evaluations: Field evaluations that it took.
        complete: Whether the budget sufficed and nobody interrupted.
    """

    verdict: str
    disease: DISEASES
    findings: tuple[Finding, ...]
    near_equilibrium: bool
    horizon: float
    speeds: Players
    noise: Noise
    curvatures: Players | None
    logits: Logits | None
    rotation_share: float
    rotation_error: float
    modes: tuple[Mode, ...]
    step_modes: tuple[Mode, ...]
    complete_spectrum: bool
    flat: int
    stiffness: float
    largest_step: float
    period_in_steps: float
    growth_per_step: float
    remedies: tuple[Remedy, ...]
    step_size: float
    method: str
    notes: tuple[str, ...]
    num_evaluations: int
    complete: bool

    @property
    def trusted_batch(self) -> float:
        """`noise.trusted_batch`."""
        return self.noise.trusted_batch

    @property
    def eigenvalues(self) -> np.ndarray:
        """Of the field, complex, as `modes` has them."""
        return np.asarray([mode.value for mode in self.modes], complex)

    @property
    def multipliers(self) -> np.ndarray:
        """Of the update's step, complex, as `step_modes` has them."""
        return np.asarray([mode.value for mode in self.step_modes], complex)

    @property
    def dataset(self) -> Any:
        """All numbers as a dataset of xarray, which can be written as netCDF.

        Raises:
            ImportError: If xarray is not installed.
        """
        return _dataset.dataset(self)

    def finding(self, disease: DISEASES | str) -> Finding | None:
        """The finding of a disease; None if it was not looked for."""
        return next((each for each in self.findings if each.disease == disease), None)

    def _report(self) -> Report:
        return _report.report(self)
