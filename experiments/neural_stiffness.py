r"""Which solver follows a neural GAN cheapest, and when does stiffness pay?

Two tanh networks on the ring of Gaussians, with one minibatch that is held, followed as four fields: with a large
weight of the gradient-norm regularizer, with a discriminator that learns much faster than the generator, with wide
data, and plain. Each by the explicit Tsit5; by the three solvers for stiff fields that form no matrix, RKC2, Rodas3 and
Kvaerno3, at falling tolerances; and by fixed Euler and Heun steps, from just inside their limit of stability on. All
in float32, and held against a tight explicit solution in float64. Work is counted as it happens: evaluations of the
field, and products with its Jacobian at two evaluations each.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    eta: float = 100.0
    """Weight of the regularizer in the first field."""
    rate_ratio: float = 100.0
    """The discriminator's learning rate over the generator's in the second."""
    widening: float = 10.0
    """Radius of the data in the third, over that of the others."""
    durations: tuple[float, ...] = (1.0, 1.0, 2.0, 2.0)
    """Time to follow each of the four fields for; the last is the plain one."""
    tolerances: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-5)
    """Relative and absolute tolerances of the adaptive steps, falling."""
    solvers: tuple[str, ...] = ("Tsit5", "RKC2", "Rodas3", "Kvaerno3", "Euler", "Heun")
    """Solvers to compare, Tsit5 and RKC2 among them."""
    refinements: tuple[float, ...] = (1.1, 1.5, 2.0, 3.0)
    """Fixed steps, over the fewest that are stable at the start; as many as there are tolerances."""
    width: int = 128
    """Width of both networks."""
    depth: int = 2
    """Hidden layers of the generator; the discriminator has one."""
    batch: int = 64
    """Samples in the minibatch."""
    rounds: int = 5
    """Rounds of timing, the solvers in turn; 0 for none."""
    seed: int = 0
    """For the weights and the minibatch."""

    def __post_init__(self) -> None:
        if len(self.durations) != 4 or min(self.durations) <= 0:
            raise ValueError(f"`durations` must be four times above 0, but are {self.durations}.")
        if list(self.tolerances) != sorted(self.tolerances, reverse=True) or not 1e-6 <= self.tolerances[-1] < 1:
            raise ValueError(
                f"`tolerances` must fall, to no less than the 1e-6 that float32 resolves, but are {self.tolerances}."
            )
        if not {"Tsit5", "RKC2"} <= set(self.solvers) <= set(SOLVERS):
            raise ValueError(
                f"`solvers` must be of {', '.join(SOLVERS)}, the first two among them, but are {self.solvers}."
            )
        if len(self.refinements) != len(self.tolerances) or min(self.refinements) < 1:
            raise ValueError(
                f"`refinements` must be {len(self.tolerances)} factors, as many as `tolerances`, of at least 1, but "
                f"are {self.refinements}."
            )
        if self.rounds < 0:
            raise ValueError(f"`rounds` must be at least 0, but is {self.rounds}.")


SOLVERS = ("Tsit5", "RKC2", "Rodas3", "Kvaerno3", "Euler", "Heun")
# Each solver is compiled anew, which is most of a quick run.
QUICK = Config(
    durations=(3.0, 2.0, 0.5, 0.5), tolerances=(1e-2, 1e-4), solvers=("Tsit5", "RKC2"),
    refinements=(1.1, 4.0), width=32, batch=32, rounds=0,
)  # fmt: skip

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import itertools
import time
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import matplotlib.lines
import numpy as np
import xarray as xr

from experiments._machinery._evaluation_counts import Counted, Tally
from experiments._machinery._runner import Claim
from gan_ode import analysis, distributions, fields, flow, games, losses, plot, regularizers, simulate, solvers
from gan_ode.games import Players

FIELDS = ("large weight", "unequal rates", "wide data", "plain")
ADAPTIVE = {
    "Tsit5": diffrax.Tsit5(),
    "RKC2": solvers.RKC2(),
    "Rodas3": solvers.Rodas3(),
    "Kvaerno3": diffrax.Kvaerno3(root_finder=solvers.matrix_free()),
}
FIXED = {"Euler": diffrax.Euler(), "Heun": diffrax.Heun()}
# A product with the Jacobian is a derivative in one direction: about two evaluations.
PRODUCT = 2
REFERENCE = 1e-9
LATENT, RADIUS = 2, 2.0
MAX_STEPS = 1_000_000
# One for all fields: what is compiled for a solver counts into it.
TALLY = Tally()


def run(config: Config) -> xr.Dataset:
    cases = [measure(config, name, duration) for name, duration in zip(FIELDS, config.durations, strict=True)]
    dataset = xr.concat(cases, xr.DataArray(list(FIELDS), dims="field", name="field"))
    return dataset.assign_coords(solver=list(config.solvers), tolerance=list(config.tolerances))


@dataclasses.dataclass(frozen=True)
class Problem:
    """One of the fields, with a start and a minibatch.

    Attributes:
        fastest: Modulus of the largest eigenvalue at the start.
        end: Where the solution is at the end.
    """

    field: fields.GameField
    y0: Players
    batch: Any
    ts: jax.Array
    fastest: float
    end: Players


def pose(config: Config, name: str, duration: float) -> Problem:
    d_key, g_key, batch_key = jax.random.split(jax.random.key(config.seed), 3)
    radius = RADIUS * (config.widening if name == "wide data" else 1.0)
    gan = games.GAN(
        eqx.nn.MLP(2, "scalar", config.width, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP(LATENT, 2, config.width, config.depth, activation=jnp.tanh, key=g_key),
        losses.Minimax(), data=distributions.Ring(radius=radius), latent=distributions.Normal(LATENT),
    )  # fmt: skip
    # Arrays, and the regularizer at weight 0 too, so that one compiled program of each solver serves all fields.
    eta = config.eta if name == "large weight" else 0.0
    ratio = config.rate_ratio if name == "unequal rates" else 1.0
    penalized = regularizers.Penalized(gan, regularizers.GradientNorm(jnp.asarray(eta)))
    field = fields.GameField(penalized, Players(jnp.asarray(ratio), jnp.asarray(1.0)))
    batch, ts = gan.sample(batch_key, config.batch), jnp.array([0.0, duration])
    exact = flow(
        field, gan.players, ts, args=batch, solver=diffrax.Dopri8(), rtol=REFERENCE, max_steps=MAX_STEPS,
        adjoint=diffrax.ForwardMode(),
    )  # fmt: skip
    fastest = analysis.leading_eigenvalues(field, gan.players, 2, "largest", args=batch).eigenvalues[0]
    single = jax.tree.map(in_float32, (field, gan.players, batch, ts))
    return Problem(*single, fastest=float(abs(fastest)), end=exact.final_state)


def in_float32(leaf: Any) -> Any:
    return leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf


def measure(config: Config, name: str, duration: float) -> xr.Dataset:
    """Everything about one field."""
    problem = pose(config, name, duration)
    rungs = list(itertools.product(config.solvers, range(len(config.tolerances))))
    rows = [measure_run(config, problem, solver, rung) for solver, rung in rungs]
    shape = (len(config.solvers), len(config.tolerances))
    dims = ("solver", "tolerance")
    found = {key: (dims, np.reshape([row[key] for row in rows], shape)) for key in rows[0]}
    seconds = np.reshape(time_runs(config, problem, rungs), (*shape, config.rounds))
    return xr.Dataset(
        {**found, "seconds": ((*dims, "round"), seconds), "fastest": problem.fastest},
        attrs={"parameters": sum(leaf.size for leaf in jax.tree.leaves(problem.y0))},
    )


def measure_run(config: Config, problem: Problem, solver: str, rung: int) -> dict[str, float]:
    """Error, steps and counted work."""
    TALLY.evaluations = TALLY.products = 0
    counted = dataclasses.replace(problem, field=Counted(problem.field, TALLY, each_product=True))  # pyright: ignore
    orbit = solve(config, counted, solver, rung)
    return {
        "error": error(orbit.final_state, problem.end) if orbit.outcome == simulate.OUTCOMES.ok else np.inf,
        "steps": int(orbit.stats["num_steps"]),
        "evaluations": TALLY.evaluations,
        "products": TALLY.products,
        "work": TALLY.evaluations + PRODUCT * TALLY.products,
    }


def solve(config: Config, problem: Problem, solver: str, rung: int) -> simulate.Orbit:
    how: dict[str, Any]
    if solver in FIXED:
        # The stable steps of both methods are those of h |lambda| below 2.
        num = np.ceil(config.refinements[rung] * float(problem.ts[-1]) * problem.fastest / 2)
        how = {"solver": FIXED[solver], "step_size": problem.ts[-1] / np.float32(num)}
    else:
        how = {"solver": ADAPTIVE[solver], "rtol": jnp.asarray(config.tolerances[rung], jnp.float32)}
    orbit = flow(
        problem.field, problem.y0, problem.ts, args=problem.batch, max_steps=MAX_STEPS,
        adjoint=diffrax.ForwardMode(), throw=False, **how,
    )  # fmt: skip
    return jax.block_until_ready(orbit)


def error(y: Players, exact: Players) -> float:
    """Relative to one plus the state, as a root mean square over the parameters."""
    gaps = jax.tree.map(lambda y, x: (y - x) / (1 + jnp.abs(x)), y, exact)
    leaves = jax.tree.leaves(gaps)
    return float(jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in leaves) / sum(leaf.size for leaf in leaves)))


def time_runs(config: Config, problem: Problem, rungs: list[tuple[str, int]]) -> np.ndarray:
    """Seconds of each adaptive solve, without the compilation, in interleaved rounds.

    One row a solve, one column a round; NaN for fixed steps.
    """
    seconds = np.full((len(rungs), config.rounds), np.nan)
    if config.rounds:
        for solver in config.solvers:
            if solver in ADAPTIVE:
                solve(config, problem, solver, 0)
    for i, (row, (solver, rung)) in itertools.product(range(config.rounds), enumerate(rungs)):
        if solver in ADAPTIVE:
            start = time.perf_counter()
            solve(config, problem, solver, rung)
            seconds[row, i] = time.perf_counter() - start
    return seconds


def least(results: xr.Dataset, quantity: str, solver: str, largest_error: float) -> float:
    """What a solver's cheapest run with at most this error costs; or its most accurate run, if none has.

    Never too much: where no run is as accurate, one that were would have cost more.
    """
    case = results.sel(solver=solver)
    costs, errors = cost(case, quantity), np.asarray(case.error)
    good = errors <= largest_error
    return float(costs[good].min() if good.any() else costs[np.nanargmin(errors)])


def cost(case: xr.Dataset, quantity: str) -> np.ndarray:
    return np.asarray(case.seconds.median("round") if quantity == "seconds" else case[quantity], float)


def over_tsit5(results: xr.Dataset, quantity: str, solver: str, field: str) -> np.ndarray:
    """What the runs of a solver cost, over Tsit5 to the same error: by tolerance."""
    case = results.sel(field=field)
    runs = case.sel(solver=solver)
    rivals = [least(case, quantity, "Tsit5", float(each)) for each in runs.error]
    return cost(runs, quantity) / np.array(rivals)


def claims(results: xr.Dataset) -> list[Claim]:
    stiffness = results.fastest / results.fastest.sel(field="plain")
    stiff = FIELDS[:2]
    found = [
        Claim.above(f"{name}: fastest rate over that of the plain field", stiffness.sel(field=name), 10)
        for name in stiff
    ]
    found.append(
        Claim.below("wide data: fastest rate over that of the plain field", stiffness.sel(field="wide data"), 10)
    )
    same = "to the same error, median over the tolerances"
    for name, bound in zip(stiff, (0.25, 0.5), strict=True):
        ratio = np.median(over_tsit5(results, "work", "RKC2", name))
        found.append(Claim.below(f"{name}: work of RKC2 over that of Tsit5", ratio, bound, source=same))
    if results.sizes["round"]:
        ratio = np.median(over_tsit5(results, "seconds", "RKC2", FIELDS[0]))
        found.append(Claim.below(f"{FIELDS[0]}: time of RKC2 over that of Tsit5", ratio, 0.1, source=same))
    found += of_stiff_solvers(results)
    last = over_tsit5(results, "work", "RKC2", "plain")[-1]
    found.append(
        Claim.above("plain: work of RKC2 over that of Tsit5", last, 1, source="to the error at the least tolerance")
    )
    return found


def of_stiff_solvers(results: xr.Dataset) -> list[Claim]:
    found = []
    large = results.sel(field=FIELDS[0])
    names = [name for name in ("RKC2", "Rodas3", "Kvaerno3") if name in results.solver]
    for name in names:
        ratio = (large.steps.sel(solver=name) / large.steps.sel(solver="Tsit5")).median()
        found.append(
            Claim.below(f"{FIELDS[0]}: steps of {name} over those of Tsit5, median over the tolerances", ratio, 0.2)
        )
    # With unequal rates all solvers err by more, the implicit ones least.
    calm = [name for name in FIELDS if name != FIELDS[1]]
    for name in names:
        worst = (results.error / results.tolerance).sel(solver=name, field=calm).max()
        found.append(Claim.below(f"{name}: largest error over the tolerance, {', '.join(calm)}", worst, 10))
    worst = (large.error / large.tolerance).sel(solver="Tsit5").max()
    found.append(Claim.above(f"{FIELDS[0]}: largest error of Tsit5 over the tolerance", worst, 10))
    return found


COLORS: dict[str, str] = dict(zip(SOLVERS, (*plot.CYCLE[:4], "0.35", "0.6"), strict=True))
MARKERS: dict[str, str] = dict(zip(SOLVERS, ("o", "s", "^", "D", "v", "<"), strict=True))


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    timed = bool(results.sizes["round"])
    rows = ("work", "seconds") if timed else ("work",)
    figure = matplotlib.figure.Figure(figsize=(7.2, 0.9 + 1.9 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(FIELDS), sharey=True, squeeze=False)
    lines = []
    for panels, quantity in zip(grid, rows, strict=True):
        for panel, name in zip(panels, FIELDS, strict=True):
            drawn = draw_field(panel, results.sel(field=name), quantity)
            lines = lines or drawn
        panels[0].set_ylabel("error")
    letters = iter("abcdefgh")
    for panel, name in zip(grid[0], FIELDS, strict=True):
        plot.label_panel(panel, next(letters), name)
    for panel in grid[1:].flat:
        plot.label_panel(panel, next(letters))
    mark = matplotlib.lines.Line2D([], [], marker="o", fillstyle="none", color="0.2", linestyle="none", markersize=7)
    mark.set_label("loosest tolerance")
    figure.legend(handles=[*lines, mark], loc="outside lower center", ncols=len(lines) + 1, handlelength=2.2)
    return figure


def draw_field(panel, case: xr.Dataset, quantity: str) -> list:
    """Error against cost: work, or time over that of Tsit5 at the first tolerance."""
    unit = cost(case.sel(solver="Tsit5"), quantity)[0] if quantity == "seconds" else 1.0
    lines = []
    for name in map(str, case.solver.values):
        if quantity == "seconds" and name in FIXED:
            continue
        runs = case.sel(solver=name)
        style = {"linestyle": ":" if name in FIXED else "-", "marker": MARKERS[name], "markersize": 3.2}
        lines += panel.plot(
            cost(runs, quantity) / unit, runs.error, color=COLORS[name], label=name, linewidth=1.0, **style
        )
        # Where a curve begins: with tighter tolerances it may turn back.
        first = cost(runs, quantity)[:1] / unit, np.asarray(runs.error)[:1]
        panel.plot(*first, "o", fillstyle="none", color=COLORS[name], markersize=7, markeredgewidth=0.8)
    label = "evaluations" if quantity == "work" else "time / first of Tsit5"
    panel.set(xscale="log", yscale="log", xlabel=label)
    return lines
