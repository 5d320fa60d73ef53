r"""When does a stiff solver pay?

The scaled two-parameter GAN has one knob: with data on [-c, c] the discriminator is damped at the rate d = c^4/10 and
the players rotate at the rate k = c/3, so that the eigenvalues at the equilibrium part, and their ratio grows as
d^2/k^2 = 9 c^6/100. Two explicit and two implicit solvers follow the same orbit at the same tolerance, from a start
near the equilibrium (w, a) = (0, c): w = 0.05 and a = 1.1 c. What the explicit ones pay is set by the damping, under
which they must stay stable; what the implicit ones pay, by the orbit alone.

The cost is in evaluations of the field, counted as they happen; a linearization counts as three of them, as by finite
differences in two parameters. (Diffrax linearizes twice for each trial step, where once would do.) The error is the
largest over all save times, of the interpolated orbit.
"""

import dataclasses
import itertools

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    half_widths: tuple[float, ...] = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.3, 8.0, 10.0)
    """Half-widths c of the data, rising."""
    solvers: tuple[str, ...] = ("Tsit5", "Dopri8", "Kvaerno3", "Kvaerno5")
    """Solvers to compare, Tsit5 and Kvaerno5 among them."""
    duration: float = 100.0
    """Time to follow the orbit for."""
    tolerance: float = 1e-4
    """Relative and absolute tolerance of all solvers."""
    reference_tolerance: float = 1e-10
    """That of the reference, and of the other solver that it is checked against."""
    start: tuple[float, float] = (0.05, 1.1)
    """Initial state: w, and a in units of c."""
    num_times: int = 201
    """Times at which errors are taken, evenly spaced."""
    rounds: int = 5
    """Rounds of timing, the solvers in turn; 0 for none."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        widths = self.half_widths
        if len(widths) < 3 or min(widths) <= 0 or any(b <= a for a, b in itertools.pairwise(widths)):
            raise ValueError(f"`half_widths` must be at least 3, above 0 and rising, but are {widths}.")
        if not {"Tsit5", "Kvaerno5"} <= set(self.solvers) <= {"Tsit5", "Dopri8", "Kvaerno3", "Kvaerno5"}:
            raise ValueError(
                "`solvers` must be of Tsit5, Dopri8, Kvaerno3, Kvaerno5, the first and the last among them, but are "
                f"{self.solvers}."
            )
        if self.duration <= 0:
            raise ValueError(f"`duration` must be above 0, but is {self.duration}.")
        if not 1e-13 <= self.reference_tolerance <= self.tolerance / 1000 <= 1e-5:
            raise ValueError(
                "`tolerance` must be at most 0.01, and `reference_tolerance` at least 1e-13 and a thousandfold below, "
                f"but they are {self.tolerance} and {self.reference_tolerance}."
            )
        if self.start[1] <= 0:
            raise ValueError(f"`start` must have a > 0, but is {self.start}: a = 0 is invariant.")
        if self.num_times < 2:
            raise ValueError(f"`num_times` must be at least 2, but is {self.num_times}.")
        if self.rounds < 0:
            raise ValueError(f"`rounds` must be at least 0, but is {self.rounds}.")


# Each solver is compiled anew, which is most of a quick run.
QUICK = Config(
    half_widths=(1.0, 2.0, 3.0, 8.0), solvers=("Tsit5", "Dopri8", "Kvaerno5"), reference_tolerance=1e-9, rounds=0
)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import time
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery._evaluation_counts import Counted, Tally
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, losses, Orbit, plot
from gan_ode.games import LinearQuadratic, Players

EXPLICIT = {"Tsit5": diffrax.Tsit5(), "Dopri8": diffrax.Dopri8()}
IMPLICIT = {"Kvaerno3": diffrax.Kvaerno3(), "Kvaerno5": diffrax.Kvaerno5()}
SOLVERS = EXPLICIT | IMPLICIT
MARKERS = dict(zip(SOLVERS, ("o", "s", "^", "D"), strict=True))
MAX_STEPS = 4_000_000
NUM_PARAMETERS = 2


def run(config: Config) -> xr.Dataset:
    tally = Tally()
    cases = [measure(config, c, tally) for c in config.half_widths]
    dataset = xr.concat(cases, xr.DataArray(np.array(config.half_widths), dims="half_width", name="half_width"))
    dataset = dataset.assign(check_formula(config, tally))
    dataset["stability_bound"] = ("explicit", [stability_bound(solver) for solver in EXPLICIT.values()])
    dataset = dataset.assign_coords(solver=list(config.solvers), explicit=list(EXPLICIT))
    return dataset.assign_attrs(duration=config.duration, tolerance=config.tolerance)


def measure(config: Config, c: float, tally: Tally) -> xr.Dataset:
    """Everything about one half-width."""
    field = make_field(c)
    reference = solve(config, Counted(field, tally), c, IMPLICIT["Kvaerno5"], config.reference_tolerance)
    check = solve(config, field, c, EXPLICIT["Dopri8"], config.reference_tolerance)
    rows = [measure_solver(config, field, c, name, tally, reference) for name in config.solvers]
    per_solver = {name: ("solver", np.array([row[name] for row in rows])) for name in rows[0]}
    fast, slow = rates(field, field.game.equilibrium)
    return xr.Dataset(
        {
            **per_solver,
            "seconds": (("solver", "round"), time_solvers(config, field, c)),
            "reference_gap": float(error(reference, check)),
            "fast_rate": float(fast),
            "slow_rate": float(slow),
            "mean_fast_rate": float(jnp.mean(jax.vmap(lambda y: rates(field, y)[0])(reference.ys))),
        }
    )


def make_field(c: float) -> fields.GameField:
    # An array, so that one compiled program serves all half-widths.
    return fields.GameField(LinearQuadratic(losses.Minimax(), jnp.asarray(c)))


def solve(config: Config, field, c: float, solver: diffrax.AbstractSolver, tolerance: float) -> Orbit:
    y0 = Players(jnp.asarray(config.start[0]), jnp.asarray(config.start[1] * c))
    ts = jnp.linspace(0.0, config.duration, config.num_times)
    orbit = flow(
        field, y0, ts, solver=solver, rtol=jnp.asarray(tolerance), max_steps=MAX_STEPS, adjoint=diffrax.ForwardMode()
    )
    return jax.block_until_ready(orbit)


def measure_solver(
    config: Config, field: fields.GameField, c: float, name: str, tally: Tally, reference: Orbit
) -> dict[str, float]:
    implicit = name in IMPLICIT
    tally.evaluations = tally.jacobians = 0
    orbit = solve(config, Counted(field, tally) if implicit else field, c, SOLVERS[name], config.tolerance)
    steps = int(orbit.stats["num_steps"])
    evaluations = tally.evaluations if implicit else explicit_evaluations(SOLVERS[name], steps)
    return {
        "steps": steps,
        "rejected": int(orbit.stats["num_rejected_steps"]),
        "jacobians": tally.jacobians,
        "evaluations": evaluations + (NUM_PARAMETERS + 1) * tally.jacobians,
        "error": float(error(orbit, reference)) / config.tolerance,
    }


def explicit_evaluations(solver: diffrax.AbstractERK, steps: int) -> int:
    """One to start; then each step's last stage is the first of the next."""
    tableau: Any = solver.tableau
    return 1 + (tableau.num_stages - 1) * steps


def check_formula(config: Config, tally: Tally) -> dict[str, int]:
    """Tsit5's evaluations by counting and by formula, at the second half-width, which has rejected steps."""
    c = config.half_widths[1]
    tally.evaluations = 0
    orbit = solve(config, Counted(make_field(c), tally), c, EXPLICIT["Tsit5"], config.tolerance)
    formula = explicit_evaluations(EXPLICIT["Tsit5"], int(orbit.stats["num_steps"]))
    return {"counted": tally.evaluations, "formula": formula}


def error(orbit: Orbit, reference: Orbit) -> jax.Array:
    """Largest error over all times, relative to one plus the state, as a root mean square over the parameters."""
    parts = jax.tree.map(lambda y, exact: (y - exact) / (1 + jnp.abs(exact)), orbit.ys, reference.ys)
    return jnp.max(jnp.sqrt((parts.discriminator**2 + parts.generator**2) / NUM_PARAMETERS))


def rates(field: fields.GameField, y: Players) -> tuple[jax.Array, jax.Array]:
    """Moduli of the largest and of the smallest eigenvalue."""
    sizes = jnp.abs(analysis.spectrum(field, y))
    return jnp.max(sizes), jnp.min(sizes)


def time_solvers(config: Config, field: fields.GameField, c: float) -> np.ndarray:
    """Seconds of a solve, without the compilation: one row a solver, one column a round."""
    solvers = [SOLVERS[name] for name in config.solvers]
    seconds = np.empty((len(solvers), config.rounds))
    if config.rounds:
        for solver in solvers:
            solve(config, field, c, solver, config.tolerance)
    for i, (row, solver) in itertools.product(range(config.rounds), enumerate(solvers)):
        start = time.perf_counter()
        solve(config, field, c, solver, config.tolerance)
        seconds[row, i] = time.perf_counter() - start
    return seconds


def stability_bound(solver: diffrax.AbstractERK) -> float:
    """Largest step times rate at which a decay stays stable: where |R(-x)| = 1 for the stability function R.

    From the Butcher tableau, as R(z) = 1 + z b (1 - z A)^(-1) 1.
    """
    tableau: Any = solver.tableau
    stages = tableau.num_stages
    weights = np.asarray(tableau.b_sol, float)
    matrix = np.zeros((stages, stages))
    for i, row in enumerate(tableau.a_lower):
        matrix[i + 1, : len(row)] = row

    def unstable(x: float) -> bool:
        return bool(abs(1 - x * weights @ np.linalg.solve(np.eye(stages) + x * matrix, np.ones(stages))) > 1)

    low = next(x for x in np.arange(0.1, 20, 0.1) if unstable(x + 0.1))
    high = low + 0.1
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if unstable(middle) else (middle, high)
    return float(low)


def claims(results: xr.Dataset) -> list[Claim]:
    return [*of_spectra(results), *of_costs(results), *of_errors(results)]


def of_spectra(results: xr.Dataset) -> list[Claim]:
    found = []
    for at in (0, -1):
        case = results.isel(half_width=at)
        c = float(case.half_width)
        damping, rotation = c**4 / 10, c / 3
        root = np.sqrt(complex(damping**2 - 4 * rotation**2))
        exact = abs(damping + root) / abs(damping - root)
        name = f"c = {c:g}: ratio of the eigenvalues"
        found.append(Claim.close(name, case.fast_rate / case.slow_rate, exact, rtol=1e-6, source="closed form"))
    found.append(Claim.close(f"{name}, over 9 c^6/100", exact / (9 * c**6 / 100), 1.0, rtol=10 / (9 * c**6 / 100)))
    return found


def of_costs(results: xr.Dataset) -> list[Claim]:
    stiffest = results.isel(half_width=-1)
    explicit, implicit = ([name for name in solvers(results) if name in kind] for kind in (EXPLICIT, IMPLICIT))
    c = float(stiffest.half_width)
    at = f"c = {c:g}:"
    least = stiffest.duration * c**4 / 100
    # The choice of the first step evaluates the field once or twice.
    found = [Claim.close("Evaluations of Tsit5: counted, and by formula", results.counted, results.formula, atol=2)]
    found += [
        Claim.above(
            f"{at} steps of {name}", stiffest.steps.sel(solver=name), least, source="duration times damping / 10"
        )
        for name in explicit
    ]
    found += [Claim.below(f"{at} steps of {name}", stiffest.steps.sel(solver=name), 100) for name in implicit]
    for name in explicit:
        measured = stiffest.duration * stiffest.mean_fast_rate / stiffest.steps.sel(solver=name)
        bound = stiffest.stability_bound.sel(explicit=name)
        # Rejected steps count as steps.
        source = "stability function of the tableau"
        found.append(
            Claim.close(f"{at} mean step of {name} times fastest rate", measured, bound, rtol=0.25, source=source)
        )
    saved = stiffest.evaluations.sel(solver="Tsit5") / stiffest.evaluations.sel(solver="Kvaerno5")
    found.append(Claim.above(f"{at} evaluations of Tsit5 over those of Kvaerno5", saved, 50))
    for name in implicit:
        found.append(
            Claim.close(f"c where {name} and Tsit5 evaluate equally often", crossover(results, name), 2, atol=0.5)
        )
    return found


def of_errors(results: xr.Dataset) -> list[Claim]:
    found = [Claim.below("Reference against another solver, over the tolerance", largest_gap(results), 1e-2)]
    for name in solvers(results):
        worst = results.error.sel(solver=name).max()
        found.append(Claim.below(f"{name}: largest error over the tolerance, all c", worst, 10))
    return found


def solvers(results: xr.Dataset) -> list[str]:
    return [str(name) for name in results.solver.values]


def largest_gap(results: xr.Dataset) -> float:
    return float(results.reference_gap.max()) / results.tolerance


def crossover(results: xr.Dataset, implicit: str) -> float:
    """The half-width where an implicit solver's evaluations fall below those of Tsit5, between the sweep's points."""
    costs = results.evaluations
    gap = np.log(np.asarray(costs.sel(solver=implicit) / costs.sel(solver="Tsit5")))
    widths = np.log(np.asarray(results.half_width))
    falls = np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))
    if len(falls) != 1:
        return float("nan")
    i = falls[0]
    return float(np.exp(widths[i] + (widths[i + 1] - widths[i]) * gap[i] / (gap[i] - gap[i + 1])))


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 2.75), layout="constrained")
    panels = figure.subplots(1, 3)
    texts = (
        ("steps", "steps, rejected ones included"),
        ("cost", "field evaluations"),
        ("accuracy", "error / tolerance"),
    )
    quantities = ("steps", "evaluations", "error")
    drawn = [draw_quantity(panel, results, quantity) for panel, quantity in zip(panels, quantities, strict=True)]
    for panel, letter, (title, label) in zip(panels, "abc", texts, strict=True):
        panel.set_ylabel(label)
        plot.label_panel(panel, letter, title)
    draw_bound(panels[0], results)
    draw_crossover(panels[1], results)
    panels[2].axhline(1.0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    figure.legend(handles=drawn[0], loc="outside lower center", ncols=len(drawn[0]), handlelength=2.8)
    return figure


def draw_quantity(panel, results: xr.Dataset, quantity: str) -> list:
    lines = []
    colors = dict(zip(SOLVERS, plot.CYCLE, strict=False))
    for name in solvers(results):
        style = {"linestyle": "-" if name in EXPLICIT else "--", "marker": MARKERS[name], "markersize": 3.2}
        lines += panel.plot(
            results.half_width,
            results[quantity].sel(solver=name),
            color=colors[name],
            label=name,
            linewidth=1.1,
            **style,
        )
    panel.set(xscale="log", yscale="log", xlabel="half-width $c$ of the data")
    widths = np.asarray(results.half_width)
    ticks = [tick for tick in (1, 2, 5, 10, 20) if widths[0] <= tick <= widths[-1]]
    panel.set_xticks(ticks, [f"{tick}" for tick in ticks])
    panel.set_xticks([], minor=True)
    return lines


def draw_bound(panel, results: xr.Dataset) -> None:
    """The steps that stability asks of Tsit5, whatever the tolerance."""
    bound = float(results.stability_bound.sel(explicit="Tsit5"))
    shown = results.half_width >= 2
    needed = (results.duration * results.mean_fast_rate / bound)[shown]
    panel.plot(results.half_width[shown], needed, color="0.6", linewidth=3.2, alpha=0.6, zorder=0)
    panel.annotate(
        "stability bound\nof Tsit5",
        (float(results.half_width[shown][0]), float(needed[0])),
        (0.06, 0.62),
        textcoords="axes fraction",
        color="0.35",
        fontsize=7,
        arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkB": 3},
    )


def draw_crossover(panel, results: xr.Dataset) -> None:
    """Where the stiff solver starts to pay."""
    at = crossover(results, "Kvaerno5")
    if np.isfinite(at):
        panel.axvline(at, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
        ratio = 9 * at**6 / 100
        panel.annotate(
            f"stiff solver pays\nfrom $c = {at:.2g}$ on\n(eigenvalues\n{ratio:.2g} : 1)",
            (at, 0.97),
            (4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=7,
            color="0.35",
        )
