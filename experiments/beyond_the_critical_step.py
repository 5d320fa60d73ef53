"""What does an update do when its step is too large?

The flow of the usual two-parameter GAN converges to (w, a) = (0, 1), and so do simultaneous steps while h < 0.9. With
larger ones they do not blow up: a pair of multipliers leaves the unit circle, and the steps settle on a closed curve
around the equilibrium whose size grows as the root of h - 0.9 (a Neimark-Sacker bifurcation). So training that goes
round and round may be one that takes too large steps in a game that converges. Still larger steps lock onto 19 states
in turn, and then become irregular.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    num_step_sizes: int = 641
    """Step sizes of the diagram, evenly from 0.8 to 1.76."""
    num_transient: int = 8000
    """Steps that pass before states of the diagram are kept."""
    num_kept: int = 1000
    """States that are kept of each orbit of the diagram."""
    rungs: int = 6
    """Step sizes near the critical one, each twice as far beyond it as the last."""
    num_near: int = 150_000
    """Steps that pass near the critical step size, where orbits settle slowly."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        least = {"num_step_sizes": 40, "num_transient": 6000, "num_kept": 200, "rungs": 3, "num_near": 40_000}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"`{name}` must be at least {bound}, but is {getattr(self, name)}.")
        if self.rungs > 10:
            raise ValueError(f"`rungs` must be at most 10, but is {self.rungs}: the square-root law is a local one.")


QUICK = Config(num_step_sizes=97, num_transient=6000, num_kept=400, rungs=4, num_near=40_000)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, losses, Orbit, plot, updates
from gan_ode.games import LinearQuadratic, Players

FIELD = fields.GameField(LinearQuadratic(losses.Minimax()))
CRITICAL = lq.critical_step_size("simultaneous", "GAN", 0.0)
FIRST, LAST = 0.8, 1.76
START = lq.state(0.1, 1.0)
# Of the first rung, from the critical step size.
NEAREST = 1e-3
NUM_KEPT_NEAR = 4000
# Starts near the critical step size, inside and outside of the curve: over its size by the normal form.
INSIDE, OUTSIDE = 0.85, 1.1
# Shown in the plane: curves, and an orbit of 19 states. Of the second the largest |w| is known.
PLANE = (0.91, 0.95, 1.1, 1.4)
KNOWN, LARGEST = 0.95, 0.4603
# Step sizes at which 19 states repeat, and at which most orbits are irregular.
LOCKED, IRREGULAR = (1.3, 1.44), (1.66, 1.76)


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    bifurcation: analysis.Bifurcation
    flow: Orbit
    diagram: analysis.OrbitDiagram
    turns: analysis.Rotation
    near: dict[float, analysis.OrbitDiagram]
    near_turns: dict[float, analysis.Rotation]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    bifurcation = analysis.bifurcation(updates.Simultaneous, FIELD, lq.EQUILIBRIUM)
    sizes = np.linspace(FIRST, LAST, config.num_step_sizes)
    diagram = analysis.orbit_diagram(
        updates.Simultaneous, FIELD, START, sizes, num_transient=config.num_transient, num_kept=config.num_kept
    )
    beyond = jnp.concatenate([CRITICAL + NEAREST * 2.0 ** jnp.arange(config.rungs), jnp.asarray(PLANE)])
    widths = jnp.minimum(bifurcation.amplitude(beyond).discriminator, 0.7)
    near = {
        place: follow_each(lq.state(0.0, 1.0), place * widths, beyond, config.num_near) for place in (INSIDE, OUTSIDE)
    }
    turns, near_turns = rotation_numbers(diagram), {place: rotation_numbers(each) for place, each in near.items()}
    return Results(
        config=config,
        bifurcation=bifurcation,
        flow=flow(FIELD, lq.state(0.75, 1.0), jnp.linspace(0.0, 400.0, 4001), rtol=1e-9),
        diagram=diagram,
        turns=turns,
        near=near,
        near_turns=near_turns,
        dataset=tabulate(diagram, turns, near[INSIDE], near_turns[INSIDE]),
    )


@eqx.filter_jit
def follow_each(center: Players, widths: jax.Array, sizes: jax.Array, num_transient: int) -> analysis.OrbitDiagram:
    """Like `orbit_diagram`, but each orbit from a start of its own."""

    def one(width: jax.Array, size: jax.Array) -> analysis.OrbitDiagram:
        start = Players(center.discriminator + width, center.generator)
        found = analysis.orbit_diagram(
            updates.Simultaneous, FIELD, start, size[None], num_transient=num_transient, num_kept=NUM_KEPT_NEAR
        )
        return jax.tree.map(lambda leaf: leaf[0], found)

    return jax.vmap(one)(widths, sizes)


@jax.jit
def rotation_numbers(diagram: analysis.OrbitDiagram) -> analysis.Rotation:
    return jax.vmap(lambda ys: analysis.rotation_number(ys, lq.EQUILIBRIUM))(diagram.values)


def half_width(diagram: analysis.OrbitDiagram) -> np.ndarray:
    """Of the closed curves in w."""
    return np.ptp(np.asarray(diagram.values.discriminator), axis=1) / 2


def tabulate(
    diagram: analysis.OrbitDiagram, turns: analysis.Rotation, near: analysis.OrbitDiagram, near_turns: analysis.Rotation
) -> xr.Dataset:
    over, at = ("step_size", "kept"), ("near_step_size",)
    return xr.Dataset(
        {
            "w": (over, np.asarray(diagram.values.discriminator, np.float32), {"long_name": "discriminator's weight"}),
            "a": (over, np.asarray(diagram.values.generator, np.float32), {"long_name": "generator's scale"}),
            "rotation": ("step_size", np.asarray(turns.value), {"units": "turns in a step"}),
            "rotation_error": ("step_size", np.asarray(turns.error), {"units": "turns in a step"}),
            "period": ("step_size", np.asarray(diagram.period), {"long_name": "0 where the states do not repeat"}),
            "settled": ("step_size", np.asarray(diagram.settled)),
            "half_width": (at, half_width(near), {"long_name": "of the closed curve in w"}),
            "near_rotation": (at, np.asarray(near_turns.value), {"units": "turns in a step"}),
        },
        coords={"step_size": np.asarray(diagram.step_sizes), "near_step_size": np.asarray(near.step_sizes)},
    )


def claims(results: Results) -> list[Claim]:
    return [*of_the_bifurcation(results), *of_the_curve(results), *of_rotation(results), *of_large_steps(results)]


def of_the_bifurcation(results: Results) -> list[Claim]:
    found = results.bifurcation
    end = results.flow.final_state
    distance = float(np.hypot(float(end.discriminator), float(end.generator) - 1))
    multiplier = 1 + CRITICAL * lq.eigenvalue("GAN", 0.0)
    before = np.asarray(results.diagram.step_sizes) < 0.84
    return [
        Claim.below("Flow: distance from the equilibrium at t = 400", distance, 1e-6),
        Claim.equal("h < 0.84: step sizes that end at the equilibrium", int(
            np.sum(np.asarray(results.diagram.period)[before] == 1)), int(before.sum())
        ),
        Claim.close("Critical step size", found.step_size, CRITICAL, atol=1e-10, unit="time"),
        Claim.below("Distance of the multiplier from 1 + 0.9 l", abs(complex(found.multiplier) - multiplier), 1e-10),
        Claim.equal("What takes the equilibrium's place", found.kind, "closed curve"),
        Claim.equal("The curve attracts", bool(found.supercritical), True),
    ]  # fmt: skip


def of_the_curve(results: Results) -> list[Claim]:
    near, rungs = results.near[INSIDE], results.config.rungs
    sizes, widths = np.asarray(near.step_sizes)[:rungs], half_width(near)[:rungs]
    past = sizes - CRITICAL
    predicted = np.asarray(results.bifurcation.amplitude(sizes).discriminator)
    order = math.log(widths[1] / widths[0]) / math.log(past[1] / past[0])
    at = rungs + PLANE.index(KNOWN)
    largest = [float(np.abs(np.asarray(each.values.discriminator)[at]).max()) for each in results.near.values()]
    return [
        Claim.equal("Orbits near the critical step size that have settled", int(near.settled.sum()), len(near.settled)),
        Claim.close("Order of the curve's size in h - 0.9", order, 0.5, atol=0.02),
        Claim.close("Size of the curve over the normal form's, nearest", widths[0] / predicted[0], 1.0, atol=0.01),
        Claim.close("h = 0.95: largest |w|, from inside", largest[0], LARGEST, atol=5e-5),
        Claim.close("h = 0.95: largest |w|, from outside", largest[1], LARGEST, atol=5e-5),
    ]


def of_rotation(results: Results) -> list[Claim]:
    multiplier = 1 + CRITICAL * lq.eigenvalue("GAN", 0.0)
    turn = math.atan2(multiplier.imag, multiplier.real) / (2 * math.pi)
    nearest, second = (abs(float(results.near_turns[INSIDE].value[i])) for i in (0, 1))
    predicted = float(results.bifurcation.rotation(results.near[INSIDE].step_sizes[0]))
    at = results.config.rungs + PLANE.index(KNOWN)
    inside, outside = (float(each.value[at]) for each in results.near_turns.values())
    shift = (nearest - turn) / (predicted - turn)
    return [
        Claim.close("Turns in a step, continued to h = 0.9, and arg mu / 2 pi", 2 * nearest - second, turn, atol=2e-6),
        Claim.close("Shift of the turns from there over the normal form's, nearest", shift, 1.0, atol=0.1),
        Claim.below("h = 0.95: turns from inside and from outside apart", abs(inside - outside), 1e-9),
    ]


def of_large_steps(results: Results) -> list[Claim]:
    diagram = results.diagram
    sizes, period = np.asarray(diagram.step_sizes), np.asarray(diagram.period)
    value, error = np.abs(np.asarray(results.turns.value)), np.asarray(results.turns.error)
    locked = (sizes > LOCKED[0]) & (sizes < LOCKED[1])
    wild = (sizes > IRREGULAR[0]) & (sizes < IRREGULAR[1])
    curve = (sizes > CRITICAL + 0.03) & (sizes < 1.05)
    names = (f"{LOCKED[0]} < h < {LOCKED[1]}", f"{IRREGULAR[0]} < h < {IRREGULAR[1]}")
    repeats, miss = int(np.sum(period[locked] == 19)), np.abs(value[locked] - 1 / 19).max()
    ratio = np.median(error[wild]) / np.median(error[curve])
    return [
        Claim.equal(f"{names[0]}: step sizes at which 19 states repeat", repeats, int(locked.sum())),
        Claim.below(f"{names[0]}: distance of the turns in a step from 1/19", miss, 1e-5),
        Claim.above(f"{names[1]}: share of step sizes where no 32 states repeat", np.mean(period[wild] == 0), 0.7),
        Claim.above(f"{names[1]}: median error of the turns over that on the curves", ratio, 100.0),
    ]


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 5.6), layout="constrained")
    (above, left), (plane, right) = figure.subplots(2, 2)
    draw_diagram(above, results)
    draw_turns(left, results)
    draw_plane(plane, results)
    draw_sizes(right, results)
    titles = ("what simultaneous steps settle on", "turns in a step", "the plane", "size of the closed curve")
    for panel, letter, title in zip((above, left, plane, right), "abcd", titles, strict=True):
        plot.label_panel(panel, letter, title)
    return figure


def draw_diagram(panel, results: Results) -> None:
    drawn = plot.orbit_diagram(results.diagram, results.diagram.values.discriminator, ax=panel)
    # Irregular orbits never settle, and are shown all the same.
    for dots in drawn.handles:
        dots.set(color="k", alpha=0.5)
    panel.axvline(CRITICAL, color=plot.CYCLE[3], linewidth=0.8, linestyle="--")
    panel.set(ylabel="$w$")


def draw_turns(panel, results: Results) -> None:
    sizes, value = np.asarray(results.diagram.step_sizes), np.abs(np.asarray(results.turns.value))
    # An orbit that has arrived at the equilibrium turns as rounding has it.
    seen = half_width(results.diagram) > 1e-9
    panel.plot(sizes[seen], value[seen], "o", color="k", markersize=1.2, markeredgewidth=0)
    linear = [np.angle(1 + h * lq.eigenvalue("GAN", 0.0)) / (2 * np.pi) for h in sizes]
    panel.plot(sizes, linear, color=plot.CYCLE[0], linewidth=0.9, label=r"$\arg\,\mu(h)\,/\,2\pi$")
    for period in (19, 20):
        panel.axhline(1 / period, color="0.8", linewidth=0.5, zorder=0)
        panel.annotate(f"1/{period}", (FIRST, 1 / period), (2, 1), textcoords="offset points", fontsize=6, color="0.4")
    panel.axvline(CRITICAL, color=plot.CYCLE[3], linewidth=0.8, linestyle="--")
    panel.set(xlabel="step size $h$", ylabel="rotation number", xlim=(FIRST, LAST), ylim=(0.043, 0.056))
    panel.legend(loc="lower right")


def draw_plane(panel, results: Results) -> None:
    ys, rungs = results.near[INSIDE].values, results.config.rungs
    panel.plot(results.flow.ys.discriminator, results.flow.ys.generator, color="0.6", linewidth=0.7, label="flow")
    for i, h in enumerate(PLANE):
        w, a = (np.asarray(leaf[rungs + i]) for leaf in (ys.discriminator, ys.generator))
        look = {"color": plot.CYCLE[i], "markeredgewidth": 0, "linestyle": "none"}
        panel.plot(w, a, marker="o", markersize=1.0 if h < LOCKED[0] else 2.8, rasterized=True, **look)
        panel.plot([], [], marker="o", markersize=2.8, label=f"$h = {h:g}$", **look)
    panel.plot(0, 1, "k+", markersize=5)
    panel.set(xlabel="$w$", ylabel="$a$")
    panel.legend(loc="upper right")


def draw_sizes(panel, results: Results) -> None:
    near, rungs = results.near[INSIDE], results.config.rungs
    sizes, widths = np.asarray(near.step_sizes)[:rungs], half_width(near)[:rungs]
    fine = np.geomspace(NEAREST / 2, 2 * (sizes[-1] - CRITICAL), 50)
    predicted = np.asarray(results.bifurcation.amplitude(CRITICAL + fine).discriminator)
    panel.plot(fine, predicted, color=plot.CYCLE[0], linewidth=1.0, label="normal form")
    panel.plot(sizes - CRITICAL, widths, "o", color="k", markersize=3.6, label="simulated")
    panel.set(xscale="log", yscale="log", xlabel="$h - 0.9$", ylabel="half-width in $w$")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())
    panel.legend(loc="upper left")
