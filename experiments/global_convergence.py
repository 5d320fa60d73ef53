r"""Does the two-parameter GAN converge from everywhere, and under which losses?

The paper shows that its two-parameter GAN, D(x) = w x^2 and G(z) = a z, converges near the equilibrium (0, 1), and
leaves open what it does from afar. The function

    H(w, a) = w^2/2 + a^2/4 - (1/2) ln|a|

answers that: its level sets on a > 0 are closed curves around the equilibrium. The plain Wasserstein GAN keeps it. With
the regularizer it falls, dH/dt = -(2 eta/9)(1 - a^2)^2, and stands still only on the line a = 1, which orbits cross
unless they are at the equilibrium: by LaSalle's principle all orbits with a > 0 converge. Without a regularizer H never
rises if f is concave and the generator is paid what lies between zero-sum and non-saturating; unless f is affine around
0 (Wasserstein, hinge), all orbits with a > 0 converge again. A loss that is not concave and a generator with another
pay show where that ends. Here identities are held against automatic differentiation over a box, the fall over a time is
searched for where it is weakest, and orbits are followed from far away.

From far away an orbit passes exponentially close to a = 0: from (w0, 1) with w0 < 0 it falls to about exp(-w0^2). There
an absolute tolerance lets the solver do with a what it likes, and what it does is amplified on the way back. A relative
tolerance alone, or log a for a coordinate, keeps H. Alternating steps keep H from drifting without any tolerance, since
they keep area in (w, log a).

Source: Nagarajan and Kolter (2017), arXiv:1706.04156, sections 2.3 and 4; the function H and its use derived here
(docs/analysis/global_convergence.md).
"""

import dataclasses
import itertools

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    eta: float = 0.5
    """Weight of the regularizer, below 3/2, where the equilibrium is a focus."""
    starts: tuple[tuple[float, float], ...] = ((-5.0, 1.0), (5.0, 0.01), (3.0, 4.0), (-2.0, 0.002), (0.0, 0.05))
    """Initial states (w, a) with a > 0, far from the equilibrium."""
    duration: float = 60.0
    """Time to follow orbits for."""
    num_times: int = 1201
    """Times to save at."""
    far: float = -5.0
    """Initial w of the plain Wasserstein GAN's orbit, at a = 1, on which tolerances are compared."""
    tolerance: float = 1e-8
    """Relative tolerance of that comparison; the absolute one is the same, or zero."""
    over_time: float = 1.0
    """Time over which the change of H is taken from each point of a box; 0 leaves that out."""
    loss_duration: float = 200.0
    """Time to follow orbits for under each of the losses."""
    step_size: float = 0.1
    """Of the updates."""
    num_steps: int = 1_000_000
    """Steps of the alternating update; a multiple of 1,000."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if not 0 < self.eta < 1.5:
            raise ValueError(f"`eta` must be above 0 and below 3/2, but is {self.eta}: beyond there is no rotation.")
        if not self.starts or any(a <= 0 for _, a in self.starts):
            raise ValueError(f"`starts` must be states (w, a) with a > 0, but is {self.starts}: a = 0 is invariant.")
        if self.duration < 40:
            raise ValueError(f"`duration` must be at least 40 for a rate at the end, but is {self.duration}.")
        if self.num_times < 200:
            raise ValueError(f"`num_times` must be at least 200 to see orbits turn, but is {self.num_times}.")
        if not -8 <= self.far < 0:
            raise ValueError(f"`far` must be from -8 to 0, but is {self.far}: beyond, a underflows in raw coordinates.")
        if not 1e-12 <= self.tolerance <= 1e-6:
            raise ValueError(f"`tolerance` must be from 1e-12 to 1e-6, but is {self.tolerance}.")
        if not 0 <= self.over_time <= 10:
            raise ValueError(f"`over_time` must be from 0 to 10, but is {self.over_time}.")
        if not 100 <= self.loss_duration <= 1000:
            raise ValueError(
                f"`loss_duration` must be from 100 to 1000, but is {self.loss_duration}: the usual GAN takes that long."
            )
        if not 0 < self.step_size <= 0.5:
            raise ValueError(f"`step_size` must be above 0 and at most 0.5, but is {self.step_size}.")
        if self.num_steps < 10_000 or self.num_steps % 1000:
            raise ValueError(f"`num_steps` must be at least 10,000, in thousands, but is {self.num_steps}.")


# The search over time compiles a solve at every point of a grid, which takes a third of all.
QUICK = Config(num_steps=100_000, over_time=0.0, starts=((-5.0, 1.0), (3.0, 4.0), (-2.0, 0.002)))

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _every_loss as every_loss, _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, iterate, losses, Orbit, plot, regularizers, updates
from gan_ode.games import LinearQuadratic, Players

RTOL = 1e-10
UPDATES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
}
STEPS_SHOWN = 1500
SAVED = 10
# The box that is searched: in log a it holds the level set through the farthest start.
BOX = (Players(jnp.array(-5.0), jnp.array(-6.0)), Players(jnp.array(5.0), jnp.array(1.4)))


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    field: lq.LogScale
    orbits: list[Orbit]
    verdicts: list[analysis.Verdict]
    identity: float
    check: analysis.LyapunovCheck
    over_time: analysis.LyapunovCheck | None
    lowest: analysis.BoxExtremes
    tolerances: dict[str, analysis.InvariantDrift]
    updates: dict[str, analysis.InvariantDrift]
    losses: every_loss.Findings
    dataset: xr.Dataset


def wasserstein(eta: float) -> fields.GameField:
    game = regularizers.Penalized(LinearQuadratic(losses.Wasserstein()), regularizers.GradientNorm(eta))
    return fields.GameField(game)


def run(config: Config) -> Results:
    field = lq.LogScale(wasserstein(config.eta))
    ts = jnp.linspace(0.0, config.duration, config.num_times)
    orbits = [flow(field, lq.logarithmic(*start), ts, rtol=RTOL) for start in config.starts]
    tolerances, rules = compare_tolerances(config, ts), follow_updates(config)
    of_losses = every_loss.find(BOX, config.loss_duration, config.over_time)
    return Results(
        config=config,
        field=field,
        orbits=orbits,
        verdicts=[analysis.classify(field, lq.logarithmic(*start)) for start in config.starts],
        identity=identity(field, config.eta),
        check=analysis.check_lyapunov_function(lq.energy, field, *BOX),
        over_time=over_time(config) if config.over_time else None,
        lowest=analysis.box_extremes(lq.energy, *BOX),
        tolerances=tolerances,
        updates=rules,
        losses=of_losses,
        dataset=tabulate(config, orbits, tolerances, rules, of_losses),
    )


def over_time(config: Config) -> analysis.LyapunovCheck:
    eta, time = jnp.asarray(config.eta), jnp.asarray(config.over_time)
    return analysis.check_lyapunov_function(lq.energy, by_hand, *BOX, duration=time, args=eta, resolution=41)


def by_hand(t: Any, y: Players, eta: Any) -> Players:
    """The same field in (w, log a) from its closed form, which compiles sooner inside a solve on a grid."""
    w, square = y.discriminator, jnp.exp(2 * y.generator)
    return Players((1 - square) / 3, 2 * w / 3 + 4 * eta * (1 - square) / 9)


def identity(field: lq.LogScale, eta: float) -> float:
    """The largest miss of dH/dt = -(2 eta/9)(1 - a^2)^2 over the box, relative to the size of the terms."""
    derivative = analysis.lie_derivative(lq.energy, field)

    def miss(y: Players) -> jax.Array:
        w, square = y.discriminator, jnp.exp(2 * y.generator)
        terms = jnp.abs(w * (1 - square)) + eta * (1 - square) ** 2 + 1e-3
        return (derivative(y) + 2 * eta / 9 * (1 - square) ** 2) / terms

    found = analysis.box_extremes(miss, *BOX)
    return float(jnp.maximum(found.largest, -found.smallest))


def compare_tolerances(config: Config, ts: jax.Array) -> dict[str, analysis.InvariantDrift]:
    """Drift of H along the plain Wasserstein GAN's orbit from afar, by tolerances and coordinates."""
    plain, start = wasserstein(0.0), lq.state(config.far, 1.0)
    absolute = flow(plain, start, ts, rtol=config.tolerance, atol=config.tolerance)
    relative = flow(plain, start, ts, rtol=config.tolerance, atol=0.0)
    log_scale = flow(lq.LogScale(plain), lq.logarithmic(config.far, 1.0), ts, rtol=config.tolerance)
    return {
        "absolute and relative": analysis.invariant_drift(lq.invariant, absolute),
        "relative alone": analysis.invariant_drift(lq.invariant, relative),
        "log a as coordinate": analysis.invariant_drift(lq.energy, log_scale),
    }


def follow_updates(config: Config) -> dict[str, analysis.InvariantDrift]:
    """H along the steps of updates of the plain Wasserstein GAN, saved every tenth."""
    start = lq.state(0.5, 1.0)
    lengths = {"alternating": config.num_steps}
    return {
        name: analysis.invariant_drift(
            lq.invariant,
            iterate(rule(config.step_size), wasserstein(0.0), start, lengths.get(name, STEPS_SHOWN), save_every=SAVED),
        )
        for name, rule in UPDATES.items()
    }


def tabulate(
    config: Config, orbits: list[Orbit], tolerances: dict, rules: dict, of_losses: every_loss.Findings
) -> xr.Dataset:
    shown = STEPS_SHOWN // SAVED + 1
    near = [every_loss.heights(orbit) for orbit in of_losses.near.values()]
    lost = [(0, every_loss.NUM_TIMES - len(values)) for values in near]
    of_orbits = ("start", "time")
    return xr.Dataset(
        {
            "w": (of_orbits, np.stack([orbit.ys.discriminator for orbit in orbits])),
            "log_a": (of_orbits, np.stack([orbit.ys.generator for orbit in orbits])),
            "H": (
                of_orbits,
                np.stack([jax.vmap(lq.energy)(orbit.ys) for orbit in orbits]),
                {"long_name": "w^2/2 + a^2/4 - ln|a|/2"},
            ),
            "drift_of_H": (("tolerances", "time"), np.stack([drift.change for drift in tolerances.values()])),
            "H_of_updates": (("update", "step"), np.stack([drift.values[:shown] for drift in rules.values()])),
            "H_of_losses": (
                ("loss", "loss_time"),
                np.stack([np.pad(a, b, constant_values=np.nan) for a, b in zip(near, lost, strict=True)]),
            ),
        },
        coords={
            "time": np.linspace(0.0, config.duration, config.num_times),
            "tolerances": list(tolerances),
            "update": list(rules),
            "step": SAVED * np.arange(shown),
            "loss": list(of_losses.near),
            "loss_time": np.linspace(0.0, config.loss_duration, every_loss.NUM_TIMES),
        },
    )


def claims(results: Results) -> list[Claim]:
    config = results.config
    rises = [float(np.max(np.diff(jax.vmap(lq.energy)(orbit.ys)))) for orbit in results.orbits]
    found = [
        Claim.below("Miss of dH/dt = -(2 eta/9)(1 - a^2)^2 over the box, to its terms", results.identity, 1e-12),
        Claim.close("Smallest H in the box", results.lowest.smallest, lq.LOWEST, atol=1e-12),
        Claim.equal("H over the box, by its derivative", results.check.kind, "falls"),
        Claim.below("Largest rise of H between save times, on any orbit", max(rises), 1e-8),
    ]
    if results.over_time is not None:
        name = f"H over the box, by its change in the time {config.over_time:g}"
        found += [
            Claim.equal(name, results.over_time.kind, "falls strictly"),
            Claim.above(f"{name}: weakest relative fall", results.over_time.margin, 1e-3),
        ]
    for (w, a), verdict, orbit in zip(config.starts, results.verdicts, results.orbits, strict=True):
        name = f"From ({w:g}, {a:g})"
        found.append(Claim.equal(f"{name}: verdict", verdict.kind, "converges"))
        away = np.hypot(float(orbit.final_state.discriminator), float(orbit.final_state.generator))
        found.append(Claim.below(f"{name}: distance from the equilibrium at the end", away, 1e-2))
    # H - 1/4 is quadratic in the distance, so it falls at twice the spectral abscissa.
    expected = 2 * lq.eigenvalue("WGAN", config.eta).real
    found.append(Claim.close("Rate of the fall of H - 1/4 at the end", rate_at_the_end(results), expected, rtol=5e-3))
    of_losses = every_loss.claims(results.losses, config.loss_duration)
    return found + of_tolerances(results) + of_updates(results) + of_losses


def rate_at_the_end(results: Results) -> float:
    """From the integral over one turn to that over a later one, of the orbit that is first where H - 1/4 is small."""
    orbit = min(results.orbits, key=lambda orbit: float(lq.energy(orbit.final_state)))
    ts, height = np.asarray(orbit.ts), np.asarray(jax.vmap(lq.energy)(orbit.ys)) - lq.LOWEST
    period = np.pi / abs(lq.eigenvalue("WGAN", results.config.eta).imag)
    begin = float(ts[int(np.argmax(height < 1e-5))])

    def mean(start: float) -> float:
        inside = (ts >= start) & (ts < start + period)
        return float(np.mean(height[inside]))

    return float(np.log(mean(begin + 3 * period) / mean(begin)) / (3 * period))


def of_tolerances(results: Results) -> list[Claim]:
    drifts = {name: float(drift.largest) for name, drift in results.tolerances.items()}
    where = f"eta = 0, from w = {results.config.far:g}: drift of H with"
    return [
        Claim.above(f"{where} an absolute tolerance too", drifts["absolute and relative"], 0.1),
        Claim.below(f"{where} a relative tolerance alone", drifts["relative alone"], 1e-3),
        Claim.below(f"{where} log a as coordinate", drifts["log a as coordinate"], 1e-3),
    ]


def of_updates(results: Results) -> list[Claim]:
    values = np.asarray(results.updates["alternating"].values)
    windows = values[: 10 * (len(values) // 10)].reshape(10, -1).mean(axis=1)
    n = f"{results.config.num_steps:,} alternating steps"
    rise = float(results.updates["simultaneous"].change[-1])
    fall = float(results.updates["extragradient"].change[-1])
    return [
        Claim.below(f"eta = 0, {n}: spread of the mean of H over tenths", np.ptp(windows), 1e-4),
        Claim.below(f"eta = 0, {n}: largest change of H", results.updates["alternating"].largest, 0.05),
        Claim.below("Miss of area-preservation in (w, log a) by an alternating step", area(results.config), 1e-12),
        Claim.above(f"eta = 0, {STEPS_SHOWN} simultaneous steps: rise of H", rise, 0.1),
        Claim.below(f"eta = 0, {STEPS_SHOWN} extragradient steps: change of H", fall, -0.05),
    ]


def area(config: Config) -> float:
    """The largest miss of determinant one over a grid in the box."""
    rule, plain = updates.Alternating(config.step_size), wasserstein(0.0)

    def miss(y: Players) -> jax.Array:
        def step(point: jax.Array) -> jax.Array:
            there, _ = rule.step(plain, 0.0, lq.raw(Players(point[0], point[1])), None, None)
            return jnp.stack([there.discriminator, jnp.log(jnp.abs(there.generator))])

        return jnp.linalg.det(jax.jacfwd(step)(jnp.stack([y.discriminator, y.generator]))) - 1

    low, high = BOX
    w, u = jnp.meshgrid(*(jnp.linspace(*ends, 101) for ends in zip(astuple(low), astuple(high), strict=True)))
    # On a grid: the miss is rounding, so there is no extreme to be searched for.
    return float(jnp.max(jnp.abs(jax.jit(jax.vmap(miss))(Players(w.ravel(), u.ravel())))))


def astuple(y: Players) -> tuple[jax.Array, jax.Array]:
    return y.discriminator, y.generator


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 8.2), layout="constrained")
    plane, heights, falling, failing, tolerances, rules = figure.subplots(3, 2).flat
    draw_plane(plane, results)
    draw_heights(heights, results)
    every_loss.draw(falling, failing, results.losses)
    plot.label_panel(falling, "c", r"Other losses, $\eta = 0$: $H$ falls from $(1, 1)$")
    plot.label_panel(failing, "d", "Losses under which $H$ does not fall to $1/4$")
    draw_tolerances(tolerances, results)
    draw_updates(rules, results)
    return figure


def draw_plane(panel, results: Results) -> None:
    xlim, ylim = (-5.6, 5.6), (-15.0, 2.6)
    derivative = analysis.lie_derivative(lq.energy, results.field)
    fall = plot.level_sets(
        lambda y: jnp.log10(1e-30 - derivative(y)),
        ax=panel, xlim=xlim, ylim=ylim, filled=True, levels=np.arange(-4, 2.1, 0.5).tolist(), cmap="Greys",
        label=r"fall of $H$: $\log_{10}(-\dot H)$",
    )  # fmt: skip
    # Only a tint: orbits lie on it.
    fall.contours.set_alpha(0.45)
    levels = [0.5, 2, 4, 7, 10, 13]
    plot.level_sets(lq.energy, ax=panel, xlim=xlim, ylim=ylim, levels=levels)
    portrait = plot.phase_portrait(
        results.field, ax=panel, xlim=xlim, ylim=ylim, names=("w", r"\ln a"), background=None, streamlines=False,
        nullclines=False, equilibria=[lq.state(0.0, 0.0)], orbits=results.orbits, color_by=None,
    )  # fmt: skip
    # The colors of the curves beside.
    for lines, color in zip(portrait.orbits, itertools.cycle(plot.CYCLE)):
        lines.set_color(color)
    for arrow in portrait.arrows:
        arrow.set_color("0.15")
    plot.label_panel(panel, "a", rf"Level sets of $H$, and its fall, $\eta = {results.config.eta:g}$")
    plot.colorbar(fall, ax=panel)
    shown = [handle for handle in portrait.handles if handle.get_label() != "flow"]
    panel.legend(handles=shown, loc="lower center", frameon=True, framealpha=0.85, edgecolor="none", fontsize="small")


def draw_heights(panel, results: Results) -> None:
    for (w, a), orbit in zip(results.config.starts, results.orbits, strict=True):
        plot.orbit(orbit, ax=panel, quantity=lambda y: lq.energy(y) - lq.LOWEST, labels=[f"$({w:g}, {a:g})$"])
    panel.set_yscale("log")
    panel.set(ylim=(1e-9, 60), ylabel=r"$H - 1/4$")
    panel.legend(title="start $(w, a)$", loc="lower left", fontsize="small")
    plot.label_panel(panel, "b", "It falls to its minimum from every start")


def draw_tolerances(panel, results: Results) -> None:
    for (name, drift), style in zip(results.tolerances.items(), ("-", "--", ":"), strict=True):
        panel.semilogy(drift.ts, np.maximum(np.abs(np.asarray(drift.change)), 1e-16), style, label=name)
    panel.set(xlabel="time $t$", ylabel=r"$|H - H(0)|$", ylim=(1e-13, 1e3))
    panel.legend(title="tolerance", loc=(0.42, 0.44), fontsize="small")
    plot.label_panel(panel, "e", rf"$\eta = 0$, from $w = {results.config.far:g}$: the solver's drift")


def draw_updates(panel, results: Results) -> None:
    shown = slice(0, STEPS_SHOWN // SAVED + 1)
    for name, drift in results.updates.items():
        panel.semilogy(np.asarray(drift.ts)[shown], np.asarray(drift.values)[shown] - lq.LOWEST, label=name)
    panel.set(xlabel="time $t = nh$", ylabel="$H - 1/4$")
    panel.legend(loc="upper left")
    plot.label_panel(panel, "f", rf"$\eta = 0$: updates of step $h = {results.config.step_size:g}$")
