r"""How does the period of a cycling GAN depend on its amplitude?

Three GANs go around for ever, each on a family of closed orbits: the paper's two-parameter Wasserstein GAN through
(w0, 1), and the Dirac-GAN on circles of radius r, with the usual loss and with the Wasserstein one. The larger the
swing, the longer it takes, except with the last, a harmonic oscillator. The periods are known in closed form, and three
solvers are held against it; the Floquet multipliers are 1, since every orbit has others beside it.

A fourth one, the Dirac-GAN with WGAN-GP, has a single cycle, which attracts: it has one amplitude, whatever the start.

Source: the periods rederived; WGAN-GP: Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, section 4.1.
"""

import dataclasses

from experiments._machinery import _runner

SOLVERS = ("Tsit5", "Dopri8", "Kvaerno5")


@dataclasses.dataclass(frozen=True)
class Config:
    amplitudes: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    """Amplitudes w0 and r, rising."""
    solvers: tuple[str, ...] = SOLVERS
    """Diffrax solvers."""
    rtol: float = 1e-11
    """Relative tolerance of the solvers; the absolute one is a hundredth of it."""
    gammas: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    """Weights of WGAN-GP, below 2; the first is drawn. None, to leave it out."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if len(self.amplitudes) < 2 or list(self.amplitudes) != sorted(self.amplitudes):
            raise ValueError(f"`amplitudes` must be at least two and rise, but are {self.amplitudes}.")
        if not 0.01 <= self.amplitudes[0] <= self.amplitudes[-1] <= 3:
            raise ValueError(f"`amplitudes` must lie between 0.01 and 3, but are {self.amplitudes}.")
        if not self.solvers or not set(self.solvers) <= set(SOLVERS):
            raise ValueError(f"`solvers` must be among {', '.join(SOLVERS)}, but are {self.solvers}.")
        if not 1e-13 <= self.rtol <= 1e-6:
            raise ValueError(f"`rtol` must lie between 1e-13 and 1e-6, but is {self.rtol}.")
        if not all(0.1 <= gamma <= 1.8 for gamma in self.gammas):
            raise ValueError(
                f"`gammas` must lie between 0.1 and 1.8, but are {self.gammas}: from 2 on there is no cycle."
            )


QUICK = Config(amplitudes=(0.05, 0.1, 0.5, 1.0), solvers=("Dopri8",), gammas=())

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from scipy.special import i0, i1

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, losses, Orbit, plot, regularizers
from gan_ode.games import Dirac, LinearQuadratic, Players

FAMILIES = {
    "two-parameter WGAN": fields.GameField(LinearQuadratic(losses.Wasserstein())),
    "Dirac-GAN": fields.GameField(Dirac(losses.Minimax())),
    "Dirac-WGAN": fields.GameField(Dirac(losses.Wasserstein())),
}
AT_REST = {"two-parameter WGAN": 3 * np.pi, "Dirac-GAN": 4 * np.pi, "Dirac-WGAN": 2 * np.pi}
REFERENCE = {0.01: 9.4249350411, 0.1: 9.4404924353, 0.5: 9.8210374784, 1.0: 11.0277823435}
COLORS = dict(zip(FAMILIES, (plot.CYCLE[0], plot.CYCLE[3], plot.CYCLE[2]), strict=True))
MARKERS = {"Tsit5": "s", "Dopri8": "o", "Kvaerno5": "^"}
JUMPING_RTOL = 1e-12
TIME = {"units": "time"}


class OneOf(eqx.Module):
    """The family of a number that may be traced, so that one compiled program serves them all."""

    number: jax.Array

    def __call__(self, t: Any, y: Players, args: Any) -> Players:
        velocities = [field(t, y, args) for field in FAMILIES.values()]
        return jax.tree.map(lambda *each: jnp.stack(each)[self.number], *velocities)

    def start(self, amplitude: jax.Array) -> Players:
        """(w0, 1), or theta = r."""
        first = self.number == 0
        return Players(jnp.where(first, amplitude, 0.0), jnp.where(first, 1.0, amplitude))


@dataclasses.dataclass(frozen=True)
class Jumping:
    """The cycles of WGAN-GP, and two orbits of the first weight, from inside and from outside."""

    cycles: analysis.PeriodicOrbit
    orbits: list[Orbit]


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    jumping: Jumping | None
    dataset: xr.Dataset


def run(config: Config) -> Results:
    curves = [measure(config, getattr(diffrax, name)()) for name in config.solvers]
    dataset = tabulate(config, curves)
    if not config.gammas:
        return Results(config, None, dataset)
    jumping = follow_jumping(config)
    return Results(config, jumping, dataset.merge(tabulate_jumping(config, jumping.cycles)))


def follow_jumping(config: Config) -> Jumping:
    cycles = search_jumping(jnp.asarray(config.gammas), 0.5 * jnp.ones(()))
    ts = jnp.linspace(0.0, 4 * cycles.period[0], 801)
    starts = [Players(jnp.asarray(0.05), jnp.asarray(0.0)), Players(jnp.asarray(0.0), jnp.asarray(2.2))]
    field = jumping_field(jnp.asarray(config.gammas[0]))
    return Jumping(cycles, [flow(field, y0, ts, rtol=1e-9) for y0 in starts])


@eqx.filter_jit
def _measure(amplitudes: jax.Array, rtol: jax.Array, solver: diffrax.AbstractSolver) -> analysis.PeriodCurve:
    def along(number: jax.Array) -> analysis.PeriodCurve:
        family = OneOf(number)
        return analysis.period_against_amplitude(
            family, family.start, amplitudes, solver=solver, rtol=rtol, atol=rtol / 100
        )

    return jax.vmap(along)(jnp.arange(len(FAMILIES)))


def measure(config: Config, solver: diffrax.AbstractSolver) -> analysis.PeriodCurve:
    """Of all families, with one solver."""
    return _measure(jnp.asarray(config.amplitudes), jnp.asarray(config.rtol), solver)


def jumping_field(gamma: jax.Array) -> fields.GameField:
    return fields.GameField(regularizers.Penalized(Dirac(losses.Wasserstein()), regularizers.WGANGP(gamma)))


@eqx.filter_jit
def search_jumping(gammas: jax.Array, psi: jax.Array) -> analysis.PeriodicOrbit:
    start = Players(psi, jnp.ones_like(psi))

    def search(gamma: jax.Array) -> analysis.PeriodicOrbit:
        return analysis.find_periodic_orbit(
            jumping_field(gamma), start, derivative="differences", rtol=JUMPING_RTOL, throw=False
        )

    return jax.vmap(search)(gammas)


def closed_form(name: str, amplitude: np.ndarray) -> np.ndarray:
    if name == "Dirac-GAN":
        return 2 * np.pi * (1 + i0(amplitude**2 / 2))
    if name == "Dirac-WGAN":
        return np.full_like(amplitude, 2 * np.pi)
    # Near the equilibrium the quadrature loses digits to cancellation, and the series has none to lose.
    return np.array([series(w0) if w0 < 0.06 else lq.period(float(w0)) for w0 in amplitude])


def series(w0: np.ndarray) -> np.ndarray:
    """Period of the two-parameter Wasserstein GAN for small amplitudes."""
    return 3 * np.pi * (1 + w0**2 / 6 + w0**4 / 144 - 139 * w0**6 / 38880)


def tabulate(config: Config, curves: list[analysis.PeriodCurve]) -> xr.Dataset:
    amplitudes = np.asarray(config.amplitudes)
    over = ("solver", "family", "amplitude")

    def table(of_curve):
        return over, np.array([np.asarray(of_curve(curve)) for curve in curves])

    return xr.Dataset(
        {
            "period": (*table(lambda curve: curve.periods), TIME),
            "slope": table(lambda curve: curve.slopes),
            "multiplier_distance": table(lambda curve: jnp.abs(curve.cycles.multipliers[..., 1] - 1)),
            "eigenvalue_distance": table(lambda curve: distance_of_eigenvalues(curve.cycles.monodromy)),
            "closure": table(lambda curve: curve.cycles.closure),
            "steps": table(lambda curve: curve.cycles.orbit.stats["num_steps"]),
            "closed_form": (over[1:], np.array([closed_form(name, amplitudes) for name in FAMILIES]), TIME),
        },
        {"solver": list(config.solvers), "family": list(FAMILIES), "amplitude": amplitudes},
    )


def tabulate_jumping(config: Config, cycles: analysis.PeriodicOrbit) -> xr.Dataset:
    gammas = np.asarray(config.gammas)
    root = np.sqrt(4 - gammas**2)
    return xr.Dataset(
        {
            "gp_period": ("gamma", np.asarray(cycles.period), TIME),
            "gp_multiplier": ("gamma", np.real(cycles.multipliers[:, 1])),
            "gp_closed_form": ("gamma", 4 * np.pi / root, TIME),
            "gp_closed_form_multiplier": ("gamma", np.exp(-2 * np.pi * gammas / root)),
            "gp_kind": ("gamma", [analysis.cycle_type(values) for values in np.asarray(cycles.multipliers)]),
        },
        {"gamma": gammas},
    )


def distance_of_eigenvalues(monodromy: jax.Array) -> np.ndarray:
    return np.abs(np.linalg.eigvals(np.asarray(monodromy)) - 1).max(axis=-1)


def errors(data: xr.Dataset) -> xr.DataArray:
    return np.abs(data.period / data.closed_form - 1)


def claims(results: Results) -> list[Claim]:
    data, found = results.dataset, []
    for solver in results.config.solvers:
        of_solver = data.sel(solver=solver)
        found.append(
            Claim.below(f"{solver}: relative error of the period, all families", errors(of_solver).max(), 1e-10)
        )
        found.append(
            Claim.below(
                f"{solver}: distance of the Floquet multiplier from 1", of_solver.multiplier_distance.max(), 1e-8
            )
        )
    best = data.sel(solver="Dopri8" if "Dopri8" in results.config.solvers else results.config.solvers[0])
    for w0 in set(REFERENCE) & set(results.config.amplitudes):
        period = best.period.sel(family="two-parameter WGAN", amplitude=w0)
        found.append(Claim.close(f"Two-parameter WGAN: period through ({w0:g}, 1)", period, REFERENCE[w0], rtol=1e-10))
    found += of_slopes(best)
    return found if results.jumping is None else found + of_the_attracting_cycle(data)


def of_slopes(data: xr.Dataset) -> list[Claim]:
    r = data.amplitude
    slope = data.slope.sel(family="Dirac-GAN")
    flat = np.abs(data.slope.sel(family="Dirac-WGAN")).max()
    apart = np.abs(slope - 2 * np.pi * r * i1(r**2 / 2)).max()
    rises = data.slope.sel(family="two-parameter WGAN").min()
    return [
        Claim.below("Dirac-GAN: implicit derivative of the period, distance from 2 pi r I1", apart, 1e-7),
        Claim.below("Dirac-WGAN: derivative of the period", flat, 1e-7),
        Claim.above("Two-parameter WGAN: derivative of the period, smallest", rises, 0.0),
    ]


def of_the_attracting_cycle(data: xr.Dataset) -> list[Claim]:
    apart = np.abs(data.gp_period / data.gp_closed_form - 1).max()
    multipliers = np.abs(data.gp_multiplier - data.gp_closed_form_multiplier).max()
    kinds = set(data.gp_kind.values.tolist())
    source = "exp(-2 pi gamma / sqrt(4 - gamma^2))"
    return [
        Claim.below(
            "WGAN-GP: relative error of the period, all weights", apart, 1e-9, source="4 pi / sqrt(4 - gamma^2)"
        ),
        Claim.below("WGAN-GP: distance of the multiplier from its closed form", multipliers, 1e-6, source=source),
        Claim.equal("WGAN-GP: kind of its cycle", ", ".join(sorted(kinds)), "attracting"),
    ]


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 5.6), layout="constrained")
    (periods, accuracy), (multipliers, plane) = figure.subplots(2, 2)
    draw_periods(periods, results.dataset)
    draw_accuracy(accuracy, results.dataset)
    draw_multipliers(multipliers, results.dataset)
    plot.label_panel(periods, "a", "period over that of small swings")
    plot.label_panel(accuracy, "b", "relative error of the period")
    plot.label_panel(multipliers, "c", "multipliers' distance from 1")
    if results.jumping is None:
        plane.remove()
        return figure
    draw_plane(plane, results.config.gammas[0], results.jumping)
    plot.label_panel(plane, "d", rf"WGAN-GP, $\gamma = {results.config.gammas[0]:g}$: one cycle, which attracts")
    return figure


def draw_periods(panel, data: xr.Dataset) -> None:
    solver = "Dopri8" if "Dopri8" in data.solver else data.solver.values[0]
    grid = np.linspace(0.01, float(data.amplitude[-1]), 120)
    small = grid[grid < 1.5]
    for name, color in COLORS.items():
        panel.plot(grid, closed_form(name, grid) / AT_REST[name], color=color, linewidth=1.2)
        measured = data.period.sel(family=name, solver=solver) / AT_REST[name]
        panel.plot(data.amplitude, measured, "o", color=color, label=name)
    panel.plot(
        small,
        series(small) / (3 * np.pi),
        color="0.2",
        linestyle=(0, (4, 2)),
        linewidth=0.9,
        label="series of the first",
    )
    panel.set(xlabel="amplitude $w_0$, $r$", ylabel="$T / T_0$", xlim=(0, None))
    panel.legend(loc="upper left")


def draw_accuracy(panel, data: xr.Dataset) -> None:
    floor = np.finfo(float).eps / 2
    for solver in data.solver.values:
        for name, color in COLORS.items():
            apart = np.maximum(errors(data).sel(family=name, solver=solver), floor)
            panel.plot(data.amplitude, apart, MARKERS[solver], color=color, markersize=3.5, markeredgewidth=0)
    panel.axhline(1e-10, color="0.6", linewidth=0.8)
    panel.set(xscale="log", yscale="log", xlabel="amplitude $w_0$, $r$", ylabel=r"$|T / T_{\mathrm{exact}} - 1|$")
    handles = [
        panel.plot([], [], MARKERS[solver], color="0.35", markersize=3.5, markeredgewidth=0, label=solver)[0]
        for solver in data.solver.values
    ]
    panel.set_ylim(5e-17, 1e-8)
    panel.text(0.02, 0.8, "colors as in a", transform=panel.transAxes, fontsize="small")
    panel.legend(handles=handles, loc="upper right", ncols=3)


def draw_multipliers(panel, data: xr.Dataset) -> None:
    floor = np.finfo(float).eps / 2
    open_look = {"markerfacecolor": "none", "markeredgewidth": 0.7, "markersize": 3.5}
    for solver in data.solver.values:
        for name, color in COLORS.items():
            case = data.sel(family=name, solver=solver)
            exact = np.maximum(case.multiplier_distance, floor)
            panel.plot(data.amplitude, exact, MARKERS[solver], color=color, markersize=3.5, markeredgewidth=0)
            if name != "Dirac-WGAN":
                split = np.maximum(case.eigenvalue_distance, floor)
                panel.plot(data.amplitude, split, MARKERS[solver], color=color, **open_look)
    panel.set(xscale="log", yscale="log", xlabel="amplitude $w_0$, $r$", ylabel=r"$|\mu - 1|$")
    handles = [
        panel.plot([], [], "o", color="0.35", label="of the return map", markersize=3.5, markeredgewidth=0)[0],
        panel.plot([], [], "o", color="0.35", label="eigenvalues of the monodromy matrix", **open_look)[0],
    ]
    panel.set_ylim(5e-17, 1e-1)
    panel.text(0.98, 0.93, "colors as in a, marks as in b", transform=panel.transAxes, ha="right", fontsize="small")
    panel.legend(handles=handles, loc="upper left")


def draw_plane(panel, gamma: float, jumping: Jumping) -> None:
    plot.phase_portrait(
        jumping_field(jnp.asarray(gamma)),
        ax=panel,
        xlim=(-2.4, 2.4),
        ylim=(-2.4, 2.4),
        names=(r"\psi", r"\theta"),
        nullclines=False,
        orbits=jumping.orbits,
        color_by=None,
    )
    ys = jumping.cycles.orbit.ys
    panel.plot(ys.discriminator[0], ys.generator[0], color=plot.CYCLE[3], linewidth=2.2, zorder=4)
