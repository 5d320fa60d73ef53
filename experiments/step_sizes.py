"""Up to which step size is each update stable?

For five updates of the two-parameter GAN, with the usual and with the Wasserstein loss, over the weight eta of the
gradient-norm regularizer and the step size h: how fast a small disturbance of the equilibrium (0, 1) grows in a step,
once by making the steps and once from the multipliers, and the critical step size as a curve. Simultaneous steps need
the regularizer, and allow h < 2 eta on the Wasserstein GAN; a larger weight also stiffens the game, so that every rule
has a weight beyond which its steps have to shrink again.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    losses: tuple[str, ...] = ("WGAN", "GAN")
    """Losses, from top to bottom: any of 'WGAN' and 'GAN'."""
    rules: tuple[str, ...] = ("simultaneous", "alternating", "extragradient", "optimistic", "Heun")
    """Updates, from left to right."""
    num_etas: int = 200
    """Weights of the regularizer in a map."""
    num_step_sizes: int = 200
    """Step sizes in a map."""
    largest_eta: float = 2.0
    """The largest weight, in units of inverse loss; at least 0.5."""
    num_steps: int = 600
    """Steps of every simulated orbit, a multiple of 4."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        for name, known in (("losses", {"WGAN", "GAN"}), ("rules", set(_RULES))):
            given = getattr(self, name)
            if not given or not set(given) <= known or len(set(given)) < len(given):
                raise ValueError(f"`{name}` must be some of {', '.join(sorted(known))}, each once, but is {given}.")
        for name in ("num_etas", "num_step_sizes"):
            if getattr(self, name) < 20:
                raise ValueError(f"`{name}` must be at least 20 to see a border, but is {getattr(self, name)}.")
        if self.largest_eta < 0.5:
            raise ValueError(f"`largest_eta` must be at least 0.5, but is {self.largest_eta}.")
        if self.num_steps < 200 or self.num_steps % 4:
            raise ValueError(f"`num_steps` must be a multiple of 4, at least 200, but is {self.num_steps}.")


_RULES = ("simultaneous", "alternating", "extragradient", "optimistic", "Heun")
# Compiling is nearly all of the time.
QUICK = Config(losses=("WGAN",), rules=("simultaneous", "optimistic"), num_etas=60, num_step_sizes=60, num_steps=400)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import math
from typing import Any

import diffrax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, losses, plot, regularizers, updates
from gan_ode.games import LinearQuadratic

# Near the equilibrium the usual loss's integrands are polynomials of low degree to rounding, so that few nodes do.
NODES = 8
LARGEST_STEP = {"WGAN": 4.0, "GAN": 6.0}
# Weights at which there are closed forms, among those of the curves.
EXACT = (0.0, 0.5)


def heun(h: Any) -> updates.SolverStep:
    return updates.SolverStep(diffrax.Heun(), h)


RULES: dict[str, Any] = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
    "Heun": heun,
}


def wasserstein(eta: Any) -> fields.GameField:
    return fields.GameField(
        regularizers.Penalized(LinearQuadratic(losses.Wasserstein()), regularizers.GradientNorm(eta))
    )


def usual(eta: Any) -> fields.GameField:
    game = LinearQuadratic(losses.Minimax(), num_nodes=NODES)
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


FIELDS = {"WGAN": wasserstein, "GAN": usual}

# Critical step sizes at the two weights, by loss and rule; of the usual loss with a weight only the line is known.
CLOSED_FORMS = {
    ("WGAN", "simultaneous"): (0.0, 1.0),
    ("WGAN", "alternating"): (3.0, 2.162278),
    ("WGAN", "extragradient"): (1.5, 2.103078),
    ("WGAN", "optimistic"): (math.sqrt(3) / 2, 0.951071),
    ("WGAN", "Heun"): (0.0, None),
    ("GAN", "simultaneous"): (0.9, 1.9),
    ("GAN", "alternating"): (3 * (math.sqrt(409) - 3) / 10, None),
    ("GAN", "extragradient"): (3.702705, None),
    ("GAN", "optimistic"): (1.835624, None),
}
# For closed forms that are known to six decimals.
SIX_DECIMALS = 1e-6


@dataclasses.dataclass(frozen=True)
class Case:
    """One panel: a loss, a rule, both maps and the curve."""

    loss: str
    rule: str
    predicted: analysis.StabilityMap
    simulated: analysis.StabilityMap
    weights: np.ndarray
    critical: np.ndarray

    @property
    def decided(self) -> np.ndarray:
        """Where the simulated orbits grow or shrink by more than can be mistaken."""
        return np.asarray(self.simulated.stable | self.simulated.unstable)

    @property
    def at_odds(self) -> np.ndarray:
        """Where the two roads give different verdicts, of the points that are decided."""
        same = (self.simulated.stable & self.predicted.stable) | (self.simulated.unstable & self.predicted.unstable)
        return self.decided & ~np.asarray(same)


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    cases: list[Case]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    cases = [measure(config, loss, rule) for loss in config.losses for rule in config.rules]
    return Results(config, cases, tabulate(config, cases))


def measure(config: Config, loss: str, rule: str) -> Case:
    etas = np.linspace(0.0, config.largest_eta, config.num_etas)
    sizes = np.linspace(0.0, LARGEST_STEP[loss], config.num_step_sizes + 1)[1:]
    weights = np.unique(np.concatenate([np.linspace(0.0, config.largest_eta, 81), EXACT]))
    make, update = FIELDS[loss], RULES[rule]
    return Case(
        loss=loss,
        rule=rule,
        predicted=analysis.stability_map(update, make, etas, sizes, lq.EQUILIBRIUM),
        simulated=analysis.stability_map(
            update, make, etas, sizes, lq.EQUILIBRIUM, by="steps", num_steps=config.num_steps
        ),
        weights=weights,
        critical=np.asarray(analysis.critical_curve(update, make, jnp.asarray(weights), lq.EQUILIBRIUM)),
    )


def tabulate(config: Config, cases: list[Case]) -> xr.Dataset:
    rows = [[case for case in cases if case.loss == loss] for loss in config.losses]

    def table(of_case) -> np.ndarray:
        return np.array([[np.asarray(of_case(case)) for case in row] for row in rows])

    over = ("loss", "rule", "eta", "step")
    return xr.Dataset(
        {
            "predicted": (over, table(lambda case: case.predicted.radius), {"long_name": "spectral radius"}),
            "simulated": (over, table(lambda case: case.simulated.radius), {"long_name": "growth in a step"}),
            "step_size": (
                ("loss", "step"),
                np.array([np.asarray(row[0].predicted.step_sizes) for row in rows]),
                {"units": "time"},
            ),
            "critical": (("loss", "rule", "weight"), table(lambda case: case.critical), {"units": "time"}),
        },
        coords={
            "loss": list(config.losses),
            "rule": list(config.rules),
            "eta": np.asarray(cases[0].predicted.parameters),
            "weight": cases[0].weights,
        },
    )


def claims(results: Results) -> list[Claim]:
    return [claim for case in results.cases for claim in (*of_agreement(case), *of_closed_forms(case))]


def of_agreement(case: Case) -> list[Claim]:
    at = f"{case.loss}, {case.rule}"
    with np.errstate(divide="ignore"):
        apart = np.log(np.asarray(case.simulated.radius)) - np.log(np.asarray(case.predicted.radius))
    # Where a multiplier is almost zero its logarithm says nothing of the border.
    near = np.asarray(case.predicted.radius) > 0.5
    return [
        Claim.equal(f"{at}: points where simulated and predicted stability differ", int(case.at_odds.sum()), 0),
        Claim.above(f"{at}: share of the points that steps decide", case.decided.mean(), 0.8),
        Claim.below(f"{at}: largest distance of the growth in a step, ln rho", np.abs(apart[near]).max(), 0.03),
    ]


def of_closed_forms(case: Case) -> list[Claim]:
    at = f"{case.loss}, {case.rule}"
    found = []
    for eta, expected in zip(EXACT, CLOSED_FORMS.get((case.loss, case.rule), ()), strict=False):
        if expected is not None:
            critical = case.critical[np.searchsorted(case.weights, eta)]
            name = f"{at}, eta = {eta:g}: critical step size"
            found.append(Claim.close(name, critical, expected, atol=SIX_DECIMALS, unit="time"))
    if case.rule == "simultaneous":
        # Up to where the eigenvalues turn real.
        line, end = {"WGAN": (2 * case.weights, 3 / 2), "GAN": (0.9 + 2 * case.weights, 51 / 20)}[case.loss]
        before = case.weights < end - 1e-9
        word = {"WGAN": "2 eta", "GAN": "0.9 + 2 eta"}[case.loss]
        miss = np.abs(case.critical - line)[before].max()
        found.append(Claim.below(f"{at}: distance of the critical step sizes from {word}", miss, 1e-9, unit="time"))
    return found


LIMIT = 0.4


def draw(results: Results) -> matplotlib.figure.Figure:
    rows, columns = len(results.config.losses), len(results.config.rules)
    figure = matplotlib.figure.Figure(figsize=(7.2, 0.8 + 1.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
    drawn = []
    for panel, case, letter in zip(panels.flat, results.cases, "abcdefghij", strict=False):
        drawn.append(
            plot.stability_map(
                case.simulated, ax=panel, border=(case.weights, case.critical), limit=LIMIT, label="predicted border"
            )
        )
        exact = CLOSED_FORMS.get((case.loss, case.rule), ())
        known = [(eta, h) for eta, h in zip(EXACT, exact, strict=False) if h is not None]
        if known:
            look = {"color": "k", "markerfacecolor": "w", "markersize": 3.6, "clip_on": False, "zorder": 5}
            panel.plot(*np.array(known).T, "o", label="closed form", **look)
        plot.label_panel(panel, letter, case.rule)
        panel.label_outer()
    for row, loss in zip(panels, results.config.losses, strict=True):
        row[0].set_ylabel(f"{loss}\nstep size $h$")
    plot.colorbar(drawn[0], ax=panels, aspect=30, extend="both")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return figure
