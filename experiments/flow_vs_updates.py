"""What do the updates that people run make of the flow?

Three systems: the GAN, whose flow converges; the Wasserstein GAN, whose flow cycles; the regularized Wasserstein GAN,
whose flow converges. Each flow, by a non-stiff and by a stiff solver, is laid beside simultaneous steps, alternating
steps and Adam at four step sizes, at matched times t = n h. Simultaneous steps lose what the flow keeps: they spiral
out of the Wasserstein GAN's cycle at any step size. Alternating steps keep it. Each has a critical step size, which the
spectrum predicts. Adam follows another flow altogether.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    systems: tuple[str, ...] = ("GAN", "WGAN", "regularized WGAN")
    """Systems to compare; the Wasserstein GAN is always among them."""
    rules: tuple[str, ...] = ("simultaneous", "alternating", "Adam")
    """Rules to compare: with or without Adam."""
    step_sizes: tuple[float, ...] = (0.4, 0.2, 0.1, 0.05)
    """Step sizes to draw, from large to small; the largest at most 0.5."""
    rungs: int = 7
    """Halvings of the largest step size, itself included, on the ladder that shows the order."""
    eta: float = 0.5
    """Weight of the regularizer in the third system, in units of inverse loss."""
    start: tuple[float, float] = (0.5, 1.0)
    """Initial state (w, a), with a > 0."""
    duration: float = 20.0
    """Time to draw orbits for."""
    compared: float = 8.0
    """Time over which errors are taken; a multiple of the largest step size."""
    bisected_steps: int = 4000
    """Steps of the simulated orbits whose growth or decay is bisected."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if "WGAN" not in self.systems or not set(self.systems) <= {"GAN", "WGAN", "regularized WGAN"}:
            raise ValueError(f"`systems` must be 'WGAN' and any of 'GAN', 'regularized WGAN', but is {self.systems}.")
        if self.rules[:2] != ("simultaneous", "alternating") or self.rules[2:] not in ((), ("Adam",)):
            raise ValueError(f"`rules` must be 'simultaneous alternating', or 'Adam' too, but are {self.rules}.")
        sizes = list(self.step_sizes)
        if not sizes or len(sizes) > 10 or min(sizes) <= 0 or max(sizes) > 0.5 or sizes != sorted(sizes, reverse=True):
            raise ValueError(f"`step_sizes` must be at most ten, falling from at most 0.5, above 0, but is {sizes}.")
        if self.rungs < 3:
            raise ValueError(f"`rungs` must be at least 3 to see a slope settle, but is {self.rungs}.")
        if not 0 < self.eta <= 1.5:
            raise ValueError(f"`eta` must be above 0 and at most 1.5, beyond which nothing turns, but is {self.eta}.")
        if self.start[1] <= 0:
            raise ValueError(f"`start` must have a > 0, but is {self.start}: a = 0 is invariant.")
        for name in ("duration", "compared"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0, but is {getattr(self, name)}.")
        if abs(self.compared / sizes[0] - round(self.compared / sizes[0])) > 1e-9:
            raise ValueError(f"`compared` must be a multiple of the largest step size, but is {self.compared}.")
        if self.bisected_steps < 500:
            raise ValueError(f"`bisected_steps` must be at least 500 to tell growth, but is {self.bisected_steps}.")


# The two systems of the Wasserstein loss share every compiled program, and compiling is nearly all of the time.
QUICK = Config(
    systems=("WGAN", "regularized WGAN"),
    rules=("simultaneous", "alternating"),
    step_sizes=(0.4, 0.1),
    bisected_steps=1000,
)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import math
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
import xarray as xr

from experiments._machinery import _linear_quadratic as lq, _near_equilibrium as near_equilibrium
from experiments._machinery._parts_of_orbits import size, until, within
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, losses, Orbit, plot, regularizers, updates
from gan_ode.games import LinearQuadratic

SOLVERS = {"Tsit5": diffrax.Tsit5(), "Kvaerno5": diffrax.Kvaerno5()}
RTOL = 1e-10


def adam(h: jax.Array) -> updates.Optax:
    return updates.Optax(optax.adam(h), optax.adam(h), step_size=h)


RULES: dict[str, near_equilibrium.Rule] = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "Adam": adam,
}
# As the flow does on the linear part, so that they have critical step sizes of order one.
STEPPED = ("simultaneous", "alternating")


@dataclasses.dataclass(frozen=True)
class System:
    name: str
    loss: str
    eta: float
    field: fields.GameField


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    systems: list[System]
    flows: dict[str, Orbit]
    disagreement: dict[str, float]
    orbits: dict[tuple[str, str], Orbit]
    ladders: dict[tuple[str, str], analysis.Convergence]
    rates: dict[str, np.ndarray]
    predicted: dict[tuple[str, str], float]
    simulated: dict[tuple[str, str], float]
    verdicts: dict[tuple[str, str], analysis.Verdict]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    systems = make_systems(config)
    y0, ts = lq.state(*config.start), jnp.linspace(0.0, config.duration, 801)
    flows, disagreement = {}, {}
    for system in systems:
        by_solver = {name: flow(system.field, y0, ts, solver=s, rtol=RTOL) for name, s in SOLVERS.items()}
        flows[system.name] = by_solver["Tsit5"]
        apart = analysis.compare(by_solver["Tsit5"], by_solver["Kvaerno5"]).largest
        disagreement[system.name] = float(apart / size(by_solver["Tsit5"]))
    pairs = [(system, rule) for system in systems for rule in config.rules]
    stepped = [(system, rule) for system in systems for rule in STEPPED]
    cycling, sizes = systems[config.systems.index("WGAN")], np.asarray(config.step_sizes)
    found = {
        "flows": flows,
        "disagreement": disagreement,
        "orbits": {(s.name, rule): orbits(config, s, rule) for s, rule in pairs},
        "ladders": {(s.name, rule): ladder(config, s, rule) for s, rule in pairs},
        "rates": {
            rule: near_equilibrium.growth_rates(RULES[rule], cycling.field, sizes, config.bisected_steps)
            for rule in STEPPED
        },
        "predicted": {
            (s.name, rule): float(analysis.critical_step_size(RULES[rule], s.field, lq.EQUILIBRIUM))
            for s, rule in stepped
        },
        "simulated": {
            (s.name, rule): near_equilibrium.critical_step_size(RULES[rule], s.field, config.bisected_steps)
            for s, rule in stepped
        },
        "verdicts": {
            (s.name, rule): analysis.classify(s.field, y0, update=RULES[rule](jnp.asarray(0.1))) for s, rule in stepped
        },
    }
    return Results(config, systems, **found, dataset=tabulate(config, systems, found))


def make_systems(config: Config) -> list[System]:
    def system(name: str, loss: losses.AbstractObjective, kind: str, eta: float) -> System:
        game = regularizers.Penalized(LinearQuadratic(loss), regularizers.GradientNorm(eta))
        return System(name, kind, eta, fields.GameField(game))

    everything = [
        system("GAN", losses.Minimax(), "GAN", 0.0),
        system("WGAN", losses.Wasserstein(), "WGAN", 0.0),
        system("regularized WGAN", losses.Wasserstein(), "WGAN", config.eta),
    ]
    return sorted((s for s in everything if s.name in config.systems), key=lambda s: config.systems.index(s.name))


def orbits(config: Config, system: System, rule: str) -> Orbit:
    start, sizes = lq.state(*config.start), np.asarray(config.step_sizes)
    shown = math.ceil(config.duration / sizes[-1])
    # As many steps as are bisected, if that is enough, so that one compiled program serves both.
    members = near_equilibrium.follow(RULES[rule], system.field, start, sizes, max(shown, config.bisected_steps))
    ts, ys = jax.tree.map(lambda leaf: leaf[:, : shown + 1], (members.ts, members.ys))
    return dataclasses.replace(members, ts=ts, ys=ys)


def ladder(config: Config, system: System, rule: str) -> analysis.Convergence:
    sizes = config.step_sizes[0] / 2.0 ** np.arange(config.rungs)
    return analysis.convergence(RULES[rule], system.field, lq.state(*config.start), config.compared, sizes)


def tabulate(config: Config, systems: list[System], found: dict) -> xr.Dataset:
    names, steps = [s.name for s in systems], math.ceil(config.duration / config.step_sizes[-1])

    def by_rule(value):
        return np.array([[value(name, rule) for rule in config.rules] for name in names])

    def critical(kind: str):
        return np.array([[found[kind][name, rule] for rule in STEPPED] for name in names])

    along = ("system", "rule", "step_size", "step")
    over = ("system", "time")
    return xr.Dataset(
        {
            "flow_w": (over, np.array([found["flows"][name].ys.discriminator for name in names])),
            "flow_a": (over, np.array([found["flows"][name].ys.generator for name in names])),
            "w": (along, by_rule(lambda n, r: np.asarray(found["orbits"][n, r].ys.discriminator))),
            "a": (along, by_rule(lambda n, r: np.asarray(found["orbits"][n, r].ys.generator))),
            "error": (("system", "rule", "rung"), by_rule(lambda n, r: np.asarray(found["ladders"][n, r].errors))),
            "spiral_rate": (
                ("stepped", "step_size"),
                np.array([found["rates"][r] for r in STEPPED]),
                {"units": "1/time"},
            ),
            "critical_predicted": (("system", "stepped"), critical("predicted"), {"units": "time"}),
            "critical_simulated": (("system", "stepped"), critical("simulated"), {"units": "time"}),
        },
        coords={
            "system": names,
            "rule": list(config.rules),
            "stepped": list(STEPPED),
            "step_size": list(config.step_sizes),
            "rung": config.step_sizes[0] / 2.0 ** np.arange(config.rungs),
            "step": np.arange(steps + 1),
            "time": np.linspace(0.0, config.duration, 801),
        },
    )


def claims(results: Results) -> list[Claim]:
    return [
        *of_solvers(results),
        *of_orders(results),
        *of_rates(results),
        *of_verdicts(results),
        *of_critical_step_sizes(results),
    ]


def of_solvers(results: Results) -> list[Claim]:
    return [
        Claim.below(f"{name}: Tsit5 and Kvaerno5 apart, relative to the orbit", apart, 1e-6)
        for name, apart in results.disagreement.items()
    ]


def of_orders(results: Results) -> list[Claim]:
    found = []
    for (name, rule), ladder in results.ladders.items():
        if rule in STEPPED:
            found.append(Claim.close(f"{name}, {rule}: order of the error in h", ladder.order, 1.0, atol=0.1))
        else:
            found.append(Claim.below(f"{name}, {rule}: order of the error in h", ladder.order, 0.5))
    return found


def of_rates(results: Results) -> list[Claim]:
    found = []
    for h, outward, kept in zip(results.config.step_sizes, *(results.rates[rule] for rule in STEPPED), strict=True):
        expected = math.log(1 + 4 * h**2 / 9) / (2 * h)
        found.append(
            Claim.close(f"WGAN, simultaneous, h = {h:g}: spiral rate", outward, expected, rtol=1e-4, unit="1/time")
        )
        found.append(Claim.close(f"WGAN, alternating, h = {h:g}: spiral rate", kept, 0.0, atol=1e-5, unit="1/time"))
    return found


def of_verdicts(results: Results) -> list[Claim]:
    expected = {"GAN": ("converges",) * 2, "WGAN": ("diverges", "cycles"), "regularized WGAN": ("converges",) * 2}
    return [
        Claim.equal(f"{name}, {rule}, h = 0.1: verdict", results.verdicts[name, rule].kind, word)
        for name, words in expected.items()
        for rule, word in zip(STEPPED, words, strict=True)
        if name in results.config.systems
    ]


def of_critical_step_sizes(results: Results) -> list[Claim]:
    found = []
    for system in results.systems:
        for rule in STEPPED:
            at = f"{system.name}, {rule}: critical step size"
            predicted, simulated = results.predicted[system.name, rule], results.simulated[system.name, rule]
            exact = lq.critical_step_size(rule, system.loss, system.eta)
            found.append(Claim.close(f"{at}, from the spectrum", predicted, exact, rtol=1e-9, atol=1e-12, unit="time"))
            found.append(Claim.close(f"{at}, from orbits", simulated, predicted, rtol=2e-3, atol=1e-12, unit="time"))
    return found


SHORT = {"GAN": "GAN", "WGAN": "WGAN", "regularized WGAN": "reg. WGAN"}
STYLES = {"GAN": "-", "WGAN": "--", "regularized WGAN": ":"}
COLORS = dict(zip(RULES, plot.CYCLE, strict=False))
SMALL_PRINT = 7
# What panels show. Good updates lie on the flow, so that they are looked at closely; Adam goes far.
WINDOWS = {
    "simultaneous": ((-1.25, 1.25), (0.0, 2.4)),
    "alternating": ((-0.65, 0.65), (0.4, 1.7)),
    "Adam": ((-3.0, 3.0), (-1.5, 4.0)),
}


def draw(results: Results) -> matplotlib.figure.Figure:
    rules = results.config.rules
    figure = matplotlib.figure.Figure(figsize=(7.2, 2.5 + 2.1 * len(rules)), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(0.1 + len(rules), 1))
    above, below = halves
    letters = iter("abcdefghijkl")
    portraits = []
    columns = len(results.systems)
    grid = above.subplots(len(rules), columns, sharex="row", sharey="row", squeeze=False)
    for row, rule in zip(grid, rules, strict=True):
        for panel, system in zip(row, results.systems, strict=True):
            portraits.append(draw_orbits(panel, results, system, rule))
            plot.label_panel(panel, next(letters), f"{SHORT[system.name]}, {rule}")
            panel.set_xlabel(panel.get_xlabel() if rule == rules[-1] else "")
            panel.set_ylabel(panel.get_ylabel() if system is results.systems[0] else "")
    plot.legend(above, *portraits)
    panels = below.subplots(1, 3)
    titles = ("error at matched times", "WGAN: spiral rate", "critical step size")
    for panel, title, sketch in zip(panels, titles, (draw_ladders, draw_rates, draw_critical), strict=True):
        sketch(panel, results)
        plot.label_panel(panel, next(letters), title)
    return figure


def draw_orbits(panel, results: Results, system: System, rule: str) -> plot.PhasePortrait:
    members = results.orbits[system.name, rule]
    xlim, ylim = WINDOWS.get(rule, WINDOWS["simultaneous"])
    shown = {
        f"$h = {h:g}$": within(until(results.config.duration, members, i), xlim, ylim)
        for i, h in enumerate(results.config.step_sizes)
    }
    portrait = plot.phase_portrait(
        system.field,
        ax=panel,
        xlim=xlim,
        ylim=ylim,
        names=("w", "a"),
        background=None,
        streamlines=False,
        nullclines=False,
        equilibria=[lq.EQUILIBRIUM],
        orbits=[results.flows[system.name]],
        updates=shown,
        color_by=None,
        resolution=20,
    )
    for i, line in enumerate(portrait.updates):
        line.set(markersize=1.8, linewidth=0.9, zorder=4 - 0.1 * i)  # the many small steps beneath the few large
    for lines in portrait.orbits:
        lines.set(color="k", linewidth=0.7, zorder=5)  # thin and on top: good updates lie on it
    for arrow in portrait.arrows:
        arrow.set_visible(False)
    return portrait


def draw_ladders(panel, results: Results) -> None:
    for (name, rule), ladder in results.ladders.items():
        look = {"color": COLORS[rule], "linestyle": STYLES[name], "linewidth": 1.0}
        panel.plot(ladder.step_sizes, ladder.errors, marker="o", markersize=2, **look)
    ends = np.asarray(results.dataset.rung)[[0, -1]]
    panel.plot(ends, 0.03 * ends, color="0.6", linewidth=0.8)
    note = {"textcoords": "offset points", "fontsize": SMALL_PRINT, "va": "top"}
    panel.annotate("slope 1", (ends[1], 0.03 * ends[1]), (8, -1), color="0.45", **note)
    for name, style in STYLES.items():
        panel.plot([], [], color="0.3", linestyle=style, linewidth=1.0, label=SHORT[name])
    panel.set(xscale="log", yscale="log", xlabel="step size $h$", ylabel="largest distance", ylim=(2e-5, 60))
    panel.legend(fontsize=SMALL_PRINT, loc="lower right", handlelength=1.6, labelspacing=0.2, frameon=False)
    for rule, height in zip(results.config.rules, (0.3, 0.05, 8.0), strict=False):
        panel.annotate(rule, (ends[1], height), (0, 0), color=COLORS[rule], **(note | {"va": "center"}))


def draw_rates(panel, results: Results) -> None:
    sizes = np.asarray(results.config.step_sizes)
    fine = np.linspace(0, sizes.max() * 1.05, 200)[1:]
    panel.plot(fine, np.log1p(4 * fine**2 / 9) / (2 * fine), color="0.5", label=r"$\ln(1 + 4h^2/9)/(2h)$")
    for rule in STEPPED:
        panel.plot(sizes, results.rates[rule], "o", markersize=4, color=COLORS[rule], label=rule)
    panel.set(xlabel="step size $h$", ylabel="growth per unit time", xlim=(0, None))
    panel.legend(fontsize=SMALL_PRINT, loc="upper left", handlelength=1.2, frameon=False)


def draw_critical(panel, results: Results) -> None:
    pairs = [(system.name, rule) for system in results.systems for rule in STEPPED]
    heights = np.arange(len(pairs))[::-1]
    simulated = [results.simulated[pair] for pair in pairs]
    panel.plot(simulated, heights, "o", markersize=4, color=plot.CYCLE[1], label="simulated")
    panel.plot([results.predicted[pair] for pair in pairs], heights, "|", markersize=11, color="k", label="predicted")
    for (name, rule), x, height in zip(pairs, simulated, heights, strict=True):
        left = x > 3.5  # where there is no room to the right
        panel.annotate(
            f"{SHORT[name]}, {rule}", (x, height), (-7 if left else 7, 0), textcoords="offset points",
            fontsize=SMALL_PRINT, va="center", ha="right" if left else "left",
        )  # fmt: skip
    panel.set(xlabel="critical step size $h$", xlim=(-0.4, 6.2), ylim=(-0.7, len(pairs) + 0.9), yticks=[])
    panel.spines["left"].set_visible(False)
    panel.legend(fontsize=SMALL_PRINT, loc="upper right", ncols=2, handletextpad=0.2, columnspacing=1, frameon=False)
