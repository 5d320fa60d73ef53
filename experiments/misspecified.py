r"""Where do equilibria go if the generator cannot match the data, and are they stable there?

The local theory of Nagarajan and Kolter (2017) takes for granted that the generator can produce the data, and leaves
the other case open. Here data are uniform on [m - 1, m + 1], the generator G(z) = a z makes samples around 0 whatever
it does, and the discriminator D(x) = w2 x^2 + w1 x sees both moments: m is the misfit. As m grows the equilibrium
moves, and where it goes is decided by the regularizer:

- The Wasserstein GAN has no equilibrium for any m > 0: w1' = m for ever. The gradient-norm penalty changes nothing in
  this. With R1 there is one, a^2 = 1 - 3 m^2, so that the generator collapses at m = 1/sqrt(3); with R2 it is
  a^2 = 1 + 3 m^2, the second moment of the data.
- The usual GAN has one, a^2 = 1 - (3/20) m^2 + O(m^4), which the gradient-norm penalty and consensus leave where it is,
  and which R1 and R2 move; with R1 its generator collapses as well, at a larger misfit.

All of these equilibria are stable as long as they are there.

Source: the question is that of Nagarajan and Kolter (2017), arXiv:1706.04156, section 5; the answers are derived here.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = (
        "GAN",
        "GAN gradient norm",
        "GAN consensus",
        "GAN R1",
        "GAN R2",
        "WGAN R1",
        "WGAN R2",
    )
    """Losses with a regularizer or without; any of these."""
    weight: float = 0.5
    """Weight of each regularizer, above 0."""
    largest: float = 1.2
    """The largest misfit, at least 0.7."""
    num_misfits: int = 121
    """Misfits from 0 to the largest."""
    duration: float = 400.0
    """How long the flow beyond the collapse is followed."""
    seed: int = 0
    """Seed of the states at which the Wasserstein GAN is asked for its slowest velocity."""

    def __post_init__(self) -> None:
        known = Config.cases
        if not self.cases or not set(self.cases) <= set(known) or len(set(self.cases)) < len(self.cases):
            raise ValueError(f"`cases` must be some of {', '.join(known)}, each once, but is {self.cases}.")
        if not self.weight > 0:
            raise ValueError(f"`weight` must be above 0, but is {self.weight}.")
        if self.largest < 0.7:
            raise ValueError(f"`largest` must be at least 0.7, beyond the collapse, but is {self.largest}.")
        if self.num_misfits < 25:
            raise ValueError(f"`num_misfits` must be at least 25, to follow the equilibria, but is {self.num_misfits}.")
        if self.duration < 100:
            raise ValueError(f"`duration` must be at least 100, for the flow to settle, but is {self.duration}.")


QUICK = Config(cases=("GAN", "WGAN R1"), num_misfits=49)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import math
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import distributions, fields, flow, games, losses, plot, regularizers
from gan_ode.games import Players

LOSSES = {"GAN": losses.Minimax(), "WGAN": losses.Wasserstein()}
PENALTIES: dict[str, Any] = {
    "gradient norm": regularizers.GradientNorm,
    "R1": regularizers.R1,
    "R2": regularizers.R2,
}
# Newton's method doubles its digits with each step, from the equilibrium of the misfit before.
NEWTON = 12
# Of a velocity: what counts as zero, beside weights of order one to a hundred.
RESIDUAL = 1e-9


def game(loss: str, misfit: Any) -> games.FiniteSample:
    """The linear-quadratic game on shifted data."""
    plain = games.LinearQuadratic(LOSSES[loss], linear=True, num_nodes=40)
    unit = distributions.Uniform().quadrature(40)
    return games.FiniteSample(plain, distributions.Quadrature(unit.nodes + misfit, unit.weights), unit)


def field(case: str, misfit: Any, weight: float) -> Any:
    loss, _, regularizer = case.partition(" ")
    plain = game(loss, misfit)
    if regularizer == "consensus":
        return regularizers.Adjusted(fields.GameField(plain), regularizers.Consensus(weight))
    if not regularizer:
        return fields.GameField(plain)
    return fields.GameField(regularizers.Penalized(plain, PENALTIES[regularizer](weight)))


def unflat(y: jax.Array) -> Players:
    return Players(discriminator=y[:2], generator=y[2])


def velocity(case: str, misfit: Any, weight: float, y: jax.Array) -> jax.Array:
    """Of w2, w1 and a."""
    found = field(case, misfit, weight)(0.0, unflat(y), None)
    return jnp.append(found.discriminator, found.generator)


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    dataset: xr.Dataset
    slowest: np.ndarray
    collapsed: np.ndarray


def run(config: Config) -> Results:
    branches = [branch(config, case) for case in config.cases]
    return Results(config, tabulate(config, branches), slowest(config), after_the_collapse(config))


def misfits(config: Config) -> np.ndarray:
    return np.linspace(0.0, config.largest, config.num_misfits)


def branch(config: Config, case: str) -> dict[str, np.ndarray]:
    """The equilibrium that begins at (0, 0, 1), with the eigenvalues of the field's Jacobian, along the misfit."""

    def of(y: jax.Array, misfit: jax.Array) -> jax.Array:
        return velocity(case, misfit, config.weight, y)

    def step(y: jax.Array, misfit: jax.Array) -> tuple[jax.Array, Any]:
        def newton(_: Any, y: jax.Array) -> jax.Array:
            move = jnp.linalg.solve(jax.jacfwd(of)(y, misfit), of(y, misfit))
            return y - move / jnp.maximum(1.0, jnp.linalg.norm(move))

        y = jax.lax.fori_loop(0, NEWTON, newton, y)
        return y, (y, jnp.linalg.norm(of(y, misfit)), jax.jacfwd(of)(y, misfit))

    start = jnp.array([0.0, 0.0, 1.0])
    _, (ys, residuals, matrices) = jax.jit(lambda ms: jax.lax.scan(step, start, ms))(jnp.asarray(misfits(config)))
    # Where the branch ends, Newton's method goes astray, and from there on nothing counts.
    there = np.cumprod((np.asarray(residuals) < RESIDUAL) & (np.asarray(ys[:, 2]) > 1e-6)).astype(bool)
    ys = np.where(there[:, None], ys, np.nan)
    eigenvalues = np.linalg.eigvals(np.asarray(matrices))
    return {"y": ys, "abscissa": np.where(there, eigenvalues.real.max(axis=1), np.nan)}


def slowest(config: Config) -> np.ndarray:
    """The least speed of the discriminator of a Wasserstein GAN, over many states, for each misfit."""
    states = jax.random.uniform(jax.random.key(config.seed), (200, 3), minval=-3.0, maxval=3.0)

    def least(case: str, misfit: jax.Array) -> jax.Array:
        speeds = jax.vmap(lambda y: velocity(case, misfit, config.weight, y))(states)
        return jnp.min(jnp.linalg.norm(speeds[:, :2], axis=1))

    cases = ("WGAN", "WGAN gradient norm")
    each = jax.jit(lambda ms: [jax.vmap(lambda m: least(case, m))(ms) for case in cases])  # noqa: B023
    return np.array(each(jnp.asarray(misfits(config))))


def after_the_collapse(config: Config) -> np.ndarray:
    """Where the Wasserstein GAN with R1 ends, from the equilibrium without misfit, at a misfit of 0.7."""
    orbit = flow(
        field("WGAN R1", 0.7, config.weight), unflat(jnp.array([0.0, 0.0, 1.0])), jnp.array([0.0, config.duration])
    )
    return np.append(np.asarray(orbit.final_state.discriminator), np.asarray(orbit.final_state.generator))


def tabulate(config: Config, branches: list[dict[str, np.ndarray]]) -> xr.Dataset:
    over = ("case", "misfit")
    return xr.Dataset(
        {
            "y": ((*over, "parameter"), np.stack([each["y"] for each in branches])),
            "abscissa": (
                over,
                np.stack([each["abscissa"] for each in branches]),
                {"units": "1/time", "long_name": "largest real part"},
            ),
        },
        coords={"case": list(config.cases), "misfit": misfits(config), "parameter": ["w2", "w1", "a"]},
    )


def claims(results: Results) -> list[Claim]:
    config, data = results.config, results.dataset
    m = data.misfit.values
    found = [of_a(data, case, sign) for case, sign in (("WGAN R1", -3), ("WGAN R2", 3)) if case in config.cases]
    found += [of_stability(data, case) for case in config.cases]
    if "GAN" in config.cases:
        found.append(of_the_bend(data))
    for case in ("GAN gradient norm", "GAN consensus"):
        if case in config.cases and "GAN" in config.cases:
            apart = np.nanmax(np.abs(data["y"].sel(case=case) - data["y"].sel(case="GAN")))
            found.append(Claim.below(f"{case}: distance of its equilibria from those without", float(apart), 1e-8))
    for name, speeds in zip(("without", "with the gradient-norm penalty"), results.slowest, strict=True):
        short = float(np.max(m - speeds))
        found.append(
            Claim.below(f"WGAN {name}: largest misfit minus the discriminator's speed", short, 1e-12, unit="1/time")
        )
    found.append(Claim.below("WGAN R1, m = 0.7: |a| after the collapse", abs(float(results.collapsed[2])), 1e-6))
    expected = 3 / (4 * config.weight) * (1 / 3 - 0.49)
    found.append(Claim.close("WGAN R1, m = 0.7: w2 after the collapse", results.collapsed[0], expected, atol=1e-6))
    return found


def of_a(data: xr.Dataset, case: str, factor: float) -> Claim:
    """a^2 = 1 + factor m^2, while that is above zero; and nothing beyond."""
    m, a = data.misfit.values, data["y"].sel(case=case, parameter="a").values
    expected = 1 + factor * m**2
    there = expected > 0.01
    miss = np.max(np.abs(a[there] ** 2 - expected[there]))
    return Claim.below(f"{case}: distance of a^2 from 1 {'+' if factor > 0 else '-'} 3 m^2", float(miss), 1e-9)


def of_stability(data: xr.Dataset, case: str) -> Claim:
    abscissa = data["abscissa"].sel(case=case).values
    return Claim.below(f"{case}: largest real part at its equilibria", float(np.nanmax(abscissa)), 1e-12, unit="1/time")


def of_the_bend(data: xr.Dataset) -> Claim:
    """To second order w1 = 3 m, w2 = -9 m^2/4, and the balance of the second moments gives a^2."""
    m, a = data.misfit.values[1:3], data["y"].sel(case="GAN", parameter="a").values[1:3]
    ratios = (a**2 - 1) / m**2
    # The next term is of fourth order: by Richardson from the two smallest misfits.
    bend = (4 * ratios[0] - ratios[1]) / 3
    return Claim.close("GAN: (a^2 - 1)/m^2 for small m", float(bend), -3 / 20, atol=1e-3)


def draw(results: Results) -> matplotlib.figure.Figure:
    data = results.dataset
    figure = matplotlib.figure.Figure(figsize=(7.2, 2.9), layout="constrained")
    panels = figure.subplots(1, 3)
    looks = {"gradient norm": "--", "consensus": ":", "R1": "-", "R2": "-", "": "-"}
    for i, case in enumerate(results.config.cases):
        _, _, regularizer = case.partition(" ")
        look = {"color": f"C{i}", "linestyle": looks[regularizer], "label": case}
        y = data["y"].sel(case=case)
        panels[0].plot(data.misfit, y.sel(parameter="a"), **look)
        panels[1].plot(data.misfit, np.hypot(y.sel(parameter="w1"), y.sel(parameter="w2")), **look)
        panels[2].plot(data.misfit, data["abscissa"].sel(case=case), **look)
    panels[0].axvline(1 / math.sqrt(3), color="0.6", linewidth=0.7, zorder=0)
    panels[1].set_yscale("log")
    panels[2].axhline(0.0, color="0.6", linewidth=0.7, zorder=0)
    words = ("generator's scale $a$", "discriminator's size $|w|$", "largest real part")
    for panel, letter, word in zip(panels, "abc", words, strict=True):
        plot.label_panel(panel, letter, word)
        panel.set_xlabel("misfit $m$")
        panel.set_xlim(0, results.config.largest)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure
