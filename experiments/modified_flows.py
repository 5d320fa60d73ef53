"""Which ODE does an update really follow?

Three cases: simultaneous steps on the Wasserstein GAN, which spiral out of the flow's cycle; alternating steps on it,
which circle on a closed curve of their own; simultaneous steps on the regularized Wasserstein GAN, which spiral in more
slowly than the flow. Each orbit is laid beside the flow and beside the flows of the modified fields, whose terms are
computed from the update by automatic differentiation: above in the plane, in the middle by the energy H that the
Wasserstein GAN's flow keeps, and below by the error against the step size, order by order.

Source: Hairer, Lubich and Wanner (2006), Geometric Numerical Integration, chapter IX; for games Rosca, Wu, Dherin and
Barrett (2021), arXiv:2105.13922.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = ("simultaneous", "alternating", "regularized")
    """Steps on the Wasserstein GAN, and simultaneous steps on the regularized one; the first is always among them."""
    orders: tuple[int, ...] = (1, 2, 3, 4)
    """Orders of the modified fields, rising from 1, the field itself; the first two or three and the last are drawn."""
    step_size: float = 0.4
    """Step size to draw, and the largest on the ladder that shows the orders."""
    rungs: int = 6
    """Halvings of the step size, itself included, on the ladder."""
    eta: float = 0.5
    """Weight of the regularizer in the third case, in units of inverse loss."""
    start: tuple[float, float] = (0.35, 1.0)
    """Initial state (w, a), with a > 0."""
    duration: float = 12.0
    """Time to draw orbits for; a multiple of the step size."""
    compared: float = 4.0
    """Time over which errors are taken; a multiple of the step size."""
    seed: int = 0
    """For the states at which the drift is compared with the regularizer."""

    def __post_init__(self) -> None:
        if self.cases[:1] != ("simultaneous",) or not set(self.cases) <= {"simultaneous", "alternating", "regularized"}:
            raise ValueError(
                f"`cases` must be 'simultaneous' and then any of 'alternating' and 'regularized', but are {self.cases}."
            )
        if len(self.orders) < 2 or list(self.orders) != list(range(1, len(self.orders) + 1)) or len(self.orders) > 6:
            raise ValueError(f"`orders` must be 1, 2 and so on, two to six of them, but is {self.orders}.")
        if not 0 < self.step_size <= 0.5:
            raise ValueError(f"`step_size` must be above 0 and at most 0.5, but is {self.step_size}.")
        if self.rungs < 3:
            raise ValueError(f"`rungs` must be at least 3 to see a slope settle, but is {self.rungs}.")
        if not 0 < self.eta <= 1.5:
            raise ValueError(
                f"`eta` must be above 0 and at most 1.5, where the spectrum turns real, but is {self.eta}."
            )
        if self.start[1] <= 0:
            raise ValueError(f"`start` must have a > 0, but is {self.start}: a = 0 is invariant.")
        for name in ("duration", "compared"):
            count = getattr(self, name) / self.step_size
            if count < 1 or abs(count - round(count)) > 1e-9:
                raise ValueError(
                    f"`{name}` must be a multiple of the step size {self.step_size}, but is {getattr(self, name)}."
                )


# Compiling is nearly all of the time, and a flow of each order is compiled for either rule.
# Each rule is compiled anew, which is most of a quick run.
QUICK = Config(cases=("simultaneous", "regularized"), orders=(1, 2), rungs=5)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _linear_quadratic as lq, _near_equilibrium as near_equilibrium
from experiments._machinery._runner import Claim
from gan_ode import analysis, backward_error, fields, flow, losses, Orbit, plot, regularizers, updates
from gan_ode.games import LinearQuadratic, Players

RULES: dict[str, near_equilibrium.Rule] = {"simultaneous": updates.Simultaneous, "alternating": updates.Alternating}
RTOL = 1e-11


@dataclasses.dataclass(frozen=True)
class Case:
    """One column: an update on a field, and the flows of its modified fields by order."""

    name: str
    rule: str
    eta: float
    field: fields.GameField
    orbit: Orbit
    flows: dict[int, Orbit]
    ladders: dict[int, analysis.Convergence]
    growth: float


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    cases: list[Case]
    swings: np.ndarray | None
    mismatch: dict[str, float]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    columns = {
        "simultaneous": ("WGAN", "simultaneous", 0.0),
        "alternating": ("WGAN", "alternating", 0.0),
        "regularized": ("regularized WGAN", "simultaneous", config.eta),
    }
    cases = [measure(config, *columns[name]) for name in config.cases]
    plain, rules = cases[0].field, [rule for rule in RULES if rule in config.cases]
    mismatch = {rule: regularizer_mismatch(config, plain, rule) for rule in rules}
    swings = energy_swings(config, plain) if "alternating" in rules else None
    return Results(config, cases, swings, mismatch, tabulate(config, cases))


def measure(config: Config, name: str, rule: str, eta: float) -> Case:
    # Penalized at eta = 0 too, so that one compiled solve serves both.
    game = regularizers.Penalized(LinearQuadratic(losses.Wasserstein()), regularizers.GradientNorm(eta))
    field, y0, h = fields.GameField(game), lq.state(*config.start), jnp.asarray(config.step_size)
    # As many times as the ladder's finest rung has, so that one compiled solve serves both.
    ts = jnp.linspace(0.0, config.duration, round(config.compared / ladder(config)[-1]) + 1)
    num_steps = round(config.duration / config.step_size)
    followed = near_equilibrium.follow(RULES[rule], field, y0, np.array([config.step_size]), num_steps)
    linear = backward_error.modified_jacobian(RULES[rule], field, lq.EQUILIBRIUM, step_size=h)
    return Case(
        name=name,
        rule=rule,
        eta=eta,
        field=field,
        orbit=jax.tree.map(lambda leaf: leaf[0], followed),
        flows={order: flow(modified(rule, field, h, order), y0, ts, rtol=RTOL) for order in config.orders},
        ladders={order: errors(config, rule, field, order) for order in config.orders},
        growth=float(jnp.trace(linear) / 2),
    )


def modified(rule: str, field: fields.GameField, h: Any, order: int) -> Any:
    """To first order that is the field itself, for both rules."""
    return field if order == 1 else backward_error.modified_field(RULES[rule], field, h, order)


def ladder(config: Config) -> np.ndarray:
    return config.step_size / 2.0 ** np.arange(config.rungs)


def errors(config: Config, rule: str, field: fields.GameField, order: int) -> analysis.Convergence:
    return analysis.convergence(
        RULES[rule],
        field,
        lq.state(*config.start),
        config.compared,
        ladder(config),
        rtol=RTOL,
        reference_at=lambda h: modified(rule, field, h, order),
    )


def modified_energy(y: Players, h: Any) -> jax.Array:
    """What alternating steps (the discriminator first) keep to O(h^2).

    In (w, u = ln a) a round composes w' = -U'(u) and u' = T'(w), with U' = (e^(2u) - 1)/3 and hT' = ln(1 + 2hw/3): two
    Hamiltonian flows, whose composition has the Hamiltonian T + U - (h/2) T'U' + O(h^2), here in units of H.
    """
    w, a = y.discriminator, y.generator
    return lq.invariant(y) - h * (w**3 / 9 + w * (a**2 - 1) / 6)


def energy_swings(config: Config, field: fields.GameField) -> np.ndarray:
    """Largest change of H, and of the modified one, along alternating orbits, at the two smallest steps."""
    sizes = ladder(config)[-2:]
    num_steps = round(config.duration / float(sizes[-1]))
    orbits = near_equilibrium.follow(updates.Alternating, field, lq.state(*config.start), sizes, num_steps)
    energies = [
        jax.vmap(jax.vmap(lq.invariant))(orbits.ys),
        jax.vmap(jax.vmap(modified_energy, (0, None)))(orbits.ys, sizes),
    ]
    return np.array([[np.max(np.abs(row - row[0])) for row in np.asarray(energy)] for energy in energies])


def regularizer_mismatch(config: Config, field: fields.GameField, rule: str) -> float:
    """How far the generator's interaction drift is from what the regularizer of weight -h/4 or +h/4 adds."""
    h, sign = config.step_size, -1 if rule == "simultaneous" else 1
    rng = np.random.default_rng(config.seed)
    states = Players(jnp.asarray(rng.uniform(-1, 1, 100)), jnp.asarray(rng.uniform(0.2, 2, 100)))
    penalized = eqx.tree_at(lambda f: f.game.penalty.eta, field, jnp.asarray(h / 4))
    drift = backward_error.interaction_drift(RULES[rule], field, h)

    def velocities(y: Players) -> tuple[jax.Array, jax.Array]:
        return drift(0.0, y, None).generator, penalized(0.0, y, None).generator - field(0.0, y, None).generator

    drifts, added = jax.jit(jax.vmap(velocities))(states)
    return float(jnp.max(jnp.abs(drifts - sign * added)))


def energies(orbit: Orbit) -> np.ndarray:
    return np.asarray(jax.vmap(lq.invariant)(orbit.ys))


def tabulate(config: Config, cases: list[Case]) -> xr.Dataset:
    flows = [[case.flows[order] for order in config.orders] for case in cases]
    over, along = ("case", "order", "time"), ("case", "step")
    return xr.Dataset(
        {
            "flow_w": (over, np.array([[each.ys.discriminator for each in row] for row in flows])),
            "flow_a": (over, np.array([[each.ys.generator for each in row] for row in flows])),
            "flow_H": (over, np.array([[energies(each) for each in row] for row in flows])),
            "w": (along, np.array([case.orbit.ys.discriminator for case in cases])),
            "a": (along, np.array([case.orbit.ys.generator for case in cases])),
            "H": (along, np.array([energies(case.orbit) for case in cases])),
            "error": (
                ("case", "order", "rung"),
                np.array([[case.ladders[order].errors for order in config.orders] for case in cases]),
            ),
            "growth": ("case", [case.growth for case in cases], {"units": "1/time"}),
        },
        coords={
            "case": [f"{case.name}, {case.rule}" for case in cases],
            "order": list(config.orders),
            "time": np.asarray(cases[0].flows[1].ts),
            "step": np.arange(len(cases[0].orbit.ts)),
            "rung": ladder(config),
        },
    )


def claims(results: Results) -> list[Claim]:
    return [*of_orders(results), *of_growth(results), *of_energy(results), *of_the_regularizer(results)]


def of_orders(results: Results) -> list[Claim]:
    return [
        Claim.close(
            f"{case.name}, {case.rule}: order in h of the error against the modified flow of order {order}",
            found.order,
            order,
            atol=0.1,
        )
        for case in results.cases
        for order, found in case.ladders.items()
    ]


def of_growth(results: Results) -> list[Claim]:
    h, found = results.config.step_size, []
    for case in results.cases:
        # Of the determinant of one step at the equilibrium.
        determinant = 1 - 8 * case.eta * h / 9 + (4 * h**2 / 9 if case.rule == "simultaneous" else 0)
        name = f"{case.name}, {case.rule}: rate of the spiral, from the exact linear part of the modified field"
        found.append(Claim.close(name, case.growth, math.log(determinant) / (2 * h), atol=1e-12, unit="1/time"))
    return found


def of_energy(results: Results) -> list[Claim]:
    outward, best = results.cases[0], results.config.orders[-1]
    gained = {order: energies(orbit)[-1] - energies(orbit)[0] for order, orbit in outward.flows.items()}
    found = [
        Claim.below("WGAN: change of H along the flow", abs(gained[1]), 1e-8),
        Claim.close(
            f"WGAN, simultaneous: gain of H, against that of the modified flow of order {best}",
            energies(outward.orbit)[-1] - energies(outward.orbit)[0],
            gained[best],
            rtol={2: 0.3, 3: 0.1}.get(best, 0.05),
        ),
    ]
    if results.swings is not None:
        swing, modified_swing = np.log2(results.swings[:, 0] / results.swings[:, 1])
        found += [
            Claim.close("WGAN, alternating: order in h of the swing of H", swing, 1.0, atol=0.1),
            Claim.close("WGAN, alternating: order in h of the swing of the modified H", modified_swing, 2.0, atol=0.1),
        ]
    return found


def of_the_regularizer(results: Results) -> list[Claim]:
    return [
        Claim.below(
            f"WGAN, {rule}: generator's interaction drift less the regularizer of weight {sign}h/4", apart, 1e-14
        )
        for (rule, apart), sign in zip(results.mismatch.items(), "-+", strict=False)
    ]


SHORT = {"WGAN": "WGAN", "regularized WGAN": "reg. WGAN"}
SHADES = {1: "0.55", **dict(zip(range(2, 7), plot.CYCLE[1:], strict=False))}


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 6.6), layout="constrained")
    axes = figure.subplots(3, len(results.cases), height_ratios=(1.3, 0.8, 1.1))
    titles = [f"{SHORT[case.name]}, {case.rule}" for case in results.cases]
    for title in ("energy", "error at matched times; slopes"):
        titles += [title] + [""] * (len(results.cases) - 1)
    sketches = [sketch for sketch in (draw_plane, draw_energy, draw_errors) for _ in results.cases]
    for i, (panel, sketch) in enumerate(zip(axes.flat, sketches, strict=True)):
        sketch(panel, results, results.cases[i % len(results.cases)])
        plot.label_panel(panel, "abcdefghi"[i], titles[i])
        if i % len(results.cases):
            panel.set_ylabel("")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return figure


def shown(results: Results) -> list[int]:
    """The field itself, the first two that are modified, and the last."""
    orders = results.config.orders
    return sorted({*orders[:3], orders[-1]})


def draw_plane(panel, results: Results, case: Case) -> None:
    for order in shown(results):
        ys = case.flows[order].ys
        label = "flow" if order == 1 else f"modified, order {order}"
        panel.plot(ys.discriminator, ys.generator, color=SHADES[order], linewidth=1.1, label=label)
    orbit = case.orbit.ys
    look = {"color": "k", "marker": "o", "markersize": 2.2, "linestyle": "none", "zorder": 4}
    panel.plot(orbit.discriminator, orbit.generator, label="orbit", **look)
    panel.plot(0, 1, "+", color="k", markersize=5, markeredgewidth=0.8)
    panel.set(xlabel="discriminator $w$", ylabel="generator $a$", xlim=(-1.05, 1.05), ylim=(0.2, 2.1))


def draw_energy(panel, results: Results, case: Case) -> None:
    for order in shown(results):
        panel.plot(case.flows[order].ts, energies(case.flows[order]) - 0.25, color=SHADES[order], linewidth=1.1)
    panel.plot(case.orbit.ts, energies(case.orbit) - 0.25, "ok", markersize=1.6)
    panel.set(xlabel="time $t$", ylabel="energy $H - 1/4$", xlim=(0, results.config.duration))
    if case.eta:
        panel.set_yscale("log")


def draw_errors(panel, results: Results, case: Case) -> None:
    for order, found in case.ladders.items():
        drawn = plot.convergence(found.step_sizes, found.errors, ax=panel, slope=found.order, color=SHADES[order])
        # At the left end, where the lines are farthest apart.
        drawn.slope_label.xy = float(found.step_sizes[-1]), float(found.errors[-1])
        drawn.slope_label.set(position=(-4, 0), ha="right", va="center", text=f"{drawn.slope:.2f}")
    panel.set(ylabel="largest distance", xlim=(ladder(results.config)[-1] / 2.2, None))
