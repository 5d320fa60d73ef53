r"""How does the regularizer move the eigenvalues, and how much of it is best?

The paper's two-parameter GAN, D(x) = w x^2 and G(z) = a z with data and latent points uniform on [-1, 1], at its
equilibrium (w, a) = (0, 1). With the weight eta of the gradient-norm regularizer the pair of eigenvalues leaves the
imaginary axis (Wasserstein loss) or the line of its own damping (the usual loss), moves along a circle, since the
determinant does not depend on eta, and meets on the real axis: at eta = 3/2 and at eta = 51/20. There the equilibrium
attracts fastest. With more of the regularizer one of the two comes back to the axis, and convergence is slower again.

With unequal rates the eigenvalues tell half of the story: perturbations grow before they decay. The Dirac-GAN with R1
and the discriminator 10^4 times as fast has all eigenvalues to the left, and grows ninefold.

Source: Nagarajan and Kolter (2017), arXiv:1706.04156, sections 2.3 and 4; Mescheder, Geiger and Nowozin (2018),
arXiv:1801.04406, for the Dirac-GAN.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    largest_eta: float = 3.2
    """The regularizer's weight runs from 0 to this; above 2.55, to pass both critical values."""
    num_etas: int = 400
    """Number of weights."""
    ratio: float = 1e4
    """The discriminator's rate over the generator's, for the Dirac-GAN."""
    gammas: tuple[float, ...] = (0.05, 0.1, 0.3)
    """Weights of R1 for the Dirac-GAN; the first one is measured."""
    num_times: int = 301
    """Times at which growth is drawn."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if not 2.6 <= self.largest_eta < 100:
            raise ValueError(f"`largest_eta` must be from 2.6 to 100, but is {self.largest_eta}.")
        if self.num_etas < 20:
            raise ValueError(f"`num_etas` must be at least 20, but is {self.num_etas}.")
        if not 1 <= self.ratio <= 1e8:
            raise ValueError(f"`ratio` must be from 1 to 1e8, but is {self.ratio}.")
        if not self.gammas or min(self.gammas) <= 0:
            raise ValueError(f"`gammas` must be above 0, but are {self.gammas}: without damping nothing decays.")
        if self.num_times < 20:
            raise ValueError(f"`num_times` must be at least 20, but is {self.num_times}.")


QUICK = Config(num_etas=100, gammas=(0.05, 0.3), num_times=101)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import math
from typing import Literal

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import scipy.linalg
import xarray as xr

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, games, losses, plot, regularizers

# The loss, and in closed form: where the pair becomes real, which is the best weight, and the decay rate there.
GANS = {"WGAN": (losses.Wasserstein(), 3 / 2, 2 / 3), "GAN": (losses.Minimax(), 51 / 20, 1 / 3)}
COLORS = dict(zip(GANS, plot.CYCLE, strict=False))


def family(loss: losses.AbstractObjective):
    game = games.LinearQuadratic(loss)
    return lambda eta: fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def equilibrium(eta):
    return lq.EQUILIBRIUM


def run(config: Config) -> xr.Dataset:
    etas = jnp.linspace(0.0, config.largest_eta, config.num_etas)
    dataset = xr.concat([sweep(loss, etas) for loss, _, _ in GANS.values()], dim="loss")
    return dataset.assign_coords(loss=list(GANS)).merge(unequal_rates(config)).assign_attrs(ratio=config.ratio)


def sweep(loss: losses.AbstractObjective, etas: jax.Array) -> xr.Dataset:
    """Branches, critical values and the best weight of one GAN."""
    of = family(loss)
    branches = analysis.eigenvalue_branches(of, etas, equilibrium)
    critical = analysis.critical_parameters(of, etas, equilibrium, branches=branches)
    best = analysis.optimal_parameter(of, etas, equilibrium)
    eigenvalues = np.asarray(branches.eigenvalues)
    return xr.Dataset(
        {
            "eigenvalue_real": (("eta", "branch"), np.real(eigenvalues), {"units": "1/time"}),
            "eigenvalue_imag": (("eta", "branch"), np.imag(eigenvalues), {"units": "1/time"}),
            "collisions": sum(each.kind == "collision" for each in critical),
            "crossings": sum(each.kind == "crossing" for each in critical),
            "critical": critical[0].value if critical else np.nan,
            "best": float(best.value),
            "best_rate": float(best.rate),
        },
        coords={"eta": np.asarray(etas)},
    )


def unequal_rates(config: Config) -> xr.Dataset:
    """Growth before decay of the Dirac-GAN with R1."""
    matrices = jax.jit(jax.vmap(dirac_jacobian, in_axes=(0, None)))(jnp.array(config.gammas), jnp.asarray(config.ratio))
    grown = jax.jit(jax.vmap(analysis.transient_growth))(matrices)
    times = np.logspace(-2, 2, config.num_times) / math.sqrt(config.ratio)
    norms = [[np.linalg.norm(scipy.linalg.expm(t * matrix), 2) for t in times] for matrix in np.asarray(matrices)]
    return xr.Dataset(
        {
            "norm": (("gamma", "time"), norms, {"long_name": "norm of exp(tJ)"}),
            "growth": ("gamma", np.asarray(grown.growth)),
            "growth_time": ("gamma", np.asarray(grown.time), {"units": "time"}),
            "numerical_abscissa": ("gamma", np.asarray(grown.numerical_abscissa), {"units": "1/time"}),
            "spectral_abscissa": ("gamma", np.linalg.eigvals(np.asarray(matrices)).real.max(axis=1)),
        },
        coords={"gamma": list(config.gammas), "time": times},
    )


def dirac_jacobian(gamma: jax.Array, ratio: jax.Array) -> jax.Array:
    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.R1(gamma))
    field = fields.GameField(game, rates=games.Players(ratio, jnp.ones_like(ratio)))
    return analysis.jacobian(field, games.Players(jnp.zeros(()), jnp.zeros(())))


def claims(results: xr.Dataset) -> list[Claim]:
    found = []
    for name, (_, critical, rate) in GANS.items():
        case = results.sel(loss=name)
        expected = closed_form(name, results.eta.values)
        # Nearer to the point where they meet, eigenvalues are only good to the root of rounding.
        apart = np.abs(expected[:, 0] - expected[:, 1]) > 1e-4
        miss = np.max(np.abs(eigenvalues(case) - expected)[apart])
        found += [
            Claim.below(f"{name}: distance of the branches from the closed form", miss, 1e-10),
            Claim.equal(f"{name}: pairs that become real", case.collisions, 1),
            Claim.equal(f"{name}: crossings of the axis", case.crossings, 0),
            Claim.close(f"{name}: eta where the pair becomes real", case.critical, critical, atol=1e-10),
            Claim.close(f"{name}: best eta", case.best, critical, atol=1e-10),
            Claim.close(f"{name}: decay rate at the best eta", case.best_rate, rate, atol=1e-10, unit="1/time"),
        ]
    return found + of_growth(results)


def closed_form(name: str, etas: np.ndarray) -> np.ndarray:
    """Both eigenvalues; the principal root takes that from above the axis to the larger real value."""
    upper = np.array([lq.eigenvalue(name, eta) for eta in etas])
    traces = np.array([lq.jacobian(name, eta)[0] + lq.jacobian(name, eta)[3] for eta in etas])
    return np.stack([upper, traces - upper], axis=1)


def of_growth(results: xr.Dataset) -> list[Claim]:
    case, ratio = results.isel(gamma=0), results.ratio
    gamma = float(case.gamma)
    # The largest eigenvalue of [[-r g, (r - 1)/4], [(r - 1)/4, 0]].
    expected = -ratio * gamma / 2 + math.hypot(ratio * gamma / 2, (ratio - 1) / 4)
    at = f"Dirac-GAN, rates {ratio:g} : 1, gamma = {gamma:g}:"
    return [
        Claim.below(f"{at} spectral abscissa", case.spectral_abscissa, 0, unit="1/time"),
        Claim.close(f"{at} numerical abscissa", case.numerical_abscissa, expected, rtol=1e-10, unit="1/time"),
        Claim.close(f"{at} growth, against the maximum of a curve by SciPy", case.growth, case.norm.max(), rtol=1e-3),
        Claim.above(f"{at} growth above that curve", case.growth * (1 + 1e-12), case.norm.max()),
        Claim.above(f"{at} bound by the numerical abscissa", expected * case.growth_time, np.log(case.growth)),
    ]


def eigenvalues(case: xr.Dataset) -> np.ndarray:
    return case.eigenvalue_real.values + 1j * case.eigenvalue_imag.values


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.6), layout="constrained")
    grid = figure.subplots(2, 3, width_ratios=(1.1, 1, 1))
    drawn = [draw_plane(panel, results, name) for panel, name in zip(grid[:, 0], GANS, strict=True)]
    plot.colorbar(drawn[0], ax=grid[:, 0], location="bottom", aspect=30)
    draw_parts(grid[0, 1], results, "real")
    draw_parts(grid[1, 1], results, "imag")
    draw_rate(grid[0, 2], results)
    draw_growth(grid[1, 2], results)
    titles = (
        "WGAN",
        "real parts",
        r"decay rate",
        "GAN",
        "imaginary parts",
        f"Dirac-GAN, rates $10^{{{math.log10(results.ratio):g}}} : 1$",
    )
    for panel, letter, title in zip(grid.flat, "abcdef", titles, strict=True):
        plot.label_panel(panel, letter, title)
    return figure


def draw_plane(panel, results: xr.Dataset, name: str) -> plot.SpectrumPlot:
    case = results.sel(loss=name)
    drawn = plot.spectrum(eigenvalues(case), ax=panel, parameter=results.eta.values)
    panel.plot(-float(case.best_rate), 0.0, "*", color=plot.CYCLE[3], markersize=8, zorder=5)
    panel.annotate(
        rf"$\eta = {float(case.critical):.4g}$", (-float(case.best_rate), 0.0), (-7, -5), textcoords="offset points",
        ha="right", va="top", fontsize=7,
    )  # fmt: skip
    return drawn


def draw_parts(panel, results: xr.Dataset, part: Literal["real", "imag"]) -> None:
    for name in GANS:
        case = results.sel(loss=name)
        plot.branches(
            results.eta.values, eigenvalues(case), ax=panel, part=part, label=name, color=COLORS[name],
            critical=[float(case.critical)],
        )  # fmt: skip
    panel.axhline(0.0, color="0.6", linewidth=0.6, zorder=0)
    if part == "real":
        panel.legend(loc="lower left")


def draw_rate(panel, results: xr.Dataset) -> None:
    for name in GANS:
        case = results.sel(loss=name)
        panel.plot(results.eta, -case.eigenvalue_real.max("branch"), color=COLORS[name], label=name)
        panel.plot(case.best, case.best_rate, "*", color=plot.CYCLE[3], markersize=8, zorder=5)
        panel.annotate(
            rf"$\eta^* = {float(case.best):.4g}$", (float(case.best), float(case.best_rate)), (0, 7),
            textcoords="offset points", ha="center", fontsize=7,
        )  # fmt: skip
    panel.set(xlabel=r"$\eta$", ylabel=r"$-\max\,\mathrm{Re}\,\lambda$", ylim=(0, 0.75))


def draw_growth(panel, results: xr.Dataset) -> None:
    for color, gamma in zip(plot.CYCLE[4:] + plot.CYCLE, results.gamma.values, strict=False):
        case = results.sel(gamma=gamma)
        panel.plot(results.time, case.norm, color=color)
        panel.plot(case.growth_time, case.growth, "o", color=color, markersize=4)
        panel.annotate(
            rf"$\gamma = {gamma:g}$", (float(case.growth_time), float(case.growth)), (0, 5),
            textcoords="offset points", ha="center", fontsize=7, color=color,
        )  # fmt: skip
    panel.set(xscale="log", xlabel="time $t$", ylabel=r"$\Vert e^{tJ} \Vert$")
    panel.set_ylim(0, 1.12 * float(results.growth.max()))
