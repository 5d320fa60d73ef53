"""Which GAN converges, which one cycles, and what does the regularizer change?

The paper's two-parameter GAN, D(x) = w x^2 and G(z) = a z with data and latent points uniform on [-1, 1], around its
equilibrium (w, a) = (0, 1): the usual loss above, the Wasserstein loss below, with the weight eta of the gradient-norm
regularizer growing from left to right. The usual GAN converges by itself; the Wasserstein GAN circles for ever, and
converges with any eta > 0.

Source: Nagarajan and Kolter (2017), arXiv:1706.04156, figure 1.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    etas: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    """Weights of the regularizer, in units of inverse loss; the first one must be 0."""
    starts: tuple[tuple[float, float], ...] = ((0.5, 1.0), (-0.75, 1.5), (0.9, 0.45))
    """Initial states (w, a) with a > 0; the first one is measured."""
    duration: float = 30.0
    """Time to draw orbits for."""
    num_times: int = 601
    """Times to save at."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if not self.etas or self.etas[0] != 0 or min(self.etas) < 0:
            raise ValueError(f"`etas` must start with 0 and not be negative, but is {self.etas}: 0 is the plain GAN.")
        if not self.starts or any(a <= 0 for _, a in self.starts):
            raise ValueError(f"`starts` must be states (w, a) with a > 0, but is {self.starts}: a = 0 is invariant.")
        if self.duration <= 0:
            raise ValueError(f"`duration` must be above 0, but is {self.duration}.")
        if self.num_times < 200:
            raise ValueError(f"`num_times` must be at least 200 to integrate along an orbit, but is {self.num_times}.")


QUICK = Config(etas=(0.0, 0.5), starts=((0.5, 1.0), (-0.75, 1.5)), num_times=401)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, losses, Orbit, plot, regularizers
from gan_ode.games import LinearQuadratic, Players

LOSSES = {"GAN": losses.Minimax(), "WGAN": losses.Wasserstein()}
RTOL = 1e-9


@dataclasses.dataclass(frozen=True)
class Case:
    """One panel: a field, its orbits and what was measured of it."""

    name: str
    eta: float
    field: fields.GameField
    orbits: list[Orbit]
    eigenvalues: np.ndarray
    verdict: analysis.Verdict
    drift: analysis.InvariantDrift


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    cases: dict[tuple[str, float], Case]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    cases = {(name, eta): measure(config, name, loss, eta) for name, loss in LOSSES.items() for eta in config.etas}
    return Results(config, cases, tabulate(config, cases))


def measure(config: Config, name: str, loss: losses.AbstractObjective, eta: float) -> Case:
    # Penalized at eta = 0 too, so that one compiled solve serves all panels of a row.
    game = regularizers.Penalized(LinearQuadratic(loss), regularizers.GradientNorm(eta))
    field = fields.GameField(game)
    ts = jnp.linspace(0.0, config.duration, config.num_times)
    orbits = [flow(field, lq.state(*start), ts, rtol=RTOL) for start in config.starts]
    return Case(
        name=name,
        eta=eta,
        field=field,
        orbits=orbits,
        eigenvalues=np.asarray(analysis.spectrum(field, lq.EQUILIBRIUM)),
        verdict=analysis.classify(field, lq.state(*config.starts[0]), invariant=lq.invariant),
        drift=analysis.invariant_drift(lq.invariant, orbits[0]),
    )


def tabulate(config: Config, cases: dict[tuple[str, float], Case]) -> xr.Dataset:
    grid = [[cases[name, eta] for eta in config.etas] for name in LOSSES]

    def table(of_orbit):
        return np.array([[[np.asarray(of_orbit(orbit)) for orbit in case.orbits] for case in row] for row in grid])

    spectra = np.array([[case.eigenvalues for case in row] for row in grid], complex)
    over = ("loss", "eta", "start", "time")
    return xr.Dataset(
        {
            "w": (over, table(lambda orbit: orbit.ys.discriminator), {"long_name": "discriminator's weight"}),
            "a": (over, table(lambda orbit: orbit.ys.generator), {"long_name": "generator's scale"}),
            "H": (
                over,
                table(lambda orbit: jax.vmap(lq.invariant)(orbit.ys)),
                {"long_name": "w^2/2 + a^2/4 - ln|a|/2"},
            ),
            "eigenvalue_real": (("loss", "eta", "eigenvalue"), np.real(spectra), {"units": "1/time"}),
            "eigenvalue_imag": (("loss", "eta", "eigenvalue"), np.imag(spectra), {"units": "1/time"}),
            "verdict": (("loss", "eta"), [[case.verdict.kind for case in row] for row in grid]),
            "period": (("loss", "eta"), [[case.verdict.period for case in row] for row in grid], {"units": "time"}),
        },
        coords={
            "loss": list(LOSSES),
            "eta": list(config.etas),
            "time": np.linspace(0.0, config.duration, config.num_times),
        },
    )


def claims(results: Results) -> list[Claim]:
    found = []
    for (name, eta), case in results.cases.items():
        expected = lq.eigenvalue(name, eta)
        miss = float(np.min(np.abs(case.eigenvalues - expected)))
        found.append(Claim.below(f"{name}, eta = {eta:g}: distance of the spectrum from its closed form", miss, 1e-12))
        word = "cycles" if (name, eta) == ("WGAN", 0.0) else "converges"
        found.append(Claim.equal(f"{name}, eta = {eta:g}: verdict", case.verdict.kind, word))
        if name == "WGAN":
            found.extend(of_the_invariant(case))
    cycle = results.cases["WGAN", 0.0]
    w0, a0 = results.config.starts[0]
    if a0 == 1.0:
        found.append(Claim.close("WGAN, eta = 0: period", cycle.verdict.period, lq.period(w0), rtol=1e-6, unit="time"))
    return found


def of_the_invariant(case: Case) -> list[Claim]:
    if case.eta == 0:
        return [Claim.below("WGAN, eta = 0: drift of H along the orbit", case.drift.largest, 1e-7)]
    ts, a = np.asarray(case.orbits[0].ts), np.asarray(case.orbits[0].ys.generator)
    fallen = np.trapezoid(2 * case.eta / 9 * (1 - a**2) ** 2, ts)
    name = f"WGAN, eta = {case.eta:g}: fall of H, against the integral of (2 eta/9)(1 - a^2)^2"
    return [Claim.close(name, -float(case.drift.change[-1]), fallen, rtol=1e-3)]


def draw(results: Results) -> matplotlib.figure.Figure:
    etas = results.config.etas
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.3), layout="constrained")
    axes = figure.subplots(len(LOSSES), len(etas), sharex=True, sharey=True, squeeze=False)
    portraits = []
    for panel, ((name, eta), case) in zip(axes.flat, results.cases.items(), strict=True):
        portraits.append(portrait(panel, case, results.config.duration))
        letter = "abcdefghijklmnopqrstuvwxyz"[len(portraits) - 1]
        plot.label_panel(panel, letter, rf"{name}, $\eta = {eta:g}$")
        panel.label_outer()
    plot.colorbar(portraits[0], ax=axes, aspect=40)
    plot.legend(figure, *portraits)
    return figure


def portrait(panel, case: Case, duration: float) -> plot.PhasePortrait:
    # A closed orbit is drawn once around: more would only cover its beginning.
    shown = case.orbits
    if case.verdict.kind == "cycles":
        shown = [once_around(orbit) for orbit in shown]
    return plot.phase_portrait(
        case.field,
        ax=panel,
        xlim=(-1.3, 1.3),
        ylim=(0.0, 2.3),
        names=("w", "a"),
        equilibria=[lq.EQUILIBRIUM],
        orbits=shown,
        time_limits=(0.0, duration),
    )


def once_around(orbit: Orbit) -> Orbit:
    """The orbit until it is back at its start."""
    points = np.stack([np.asarray(orbit.ys.discriminator), np.asarray(orbit.ys.generator)], axis=1)
    away = np.linalg.norm(points - points[0], axis=1)
    left = int(np.argmax(away > 0.5 * away.max()))
    back = left + int(np.argmax(away[left:] < 0.02 * away.max())) + 2
    ys = Players(orbit.ys.discriminator[:back], orbit.ys.generator[:back])
    return dataclasses.replace(orbit, ts=orbit.ts[:back], ys=ys)
