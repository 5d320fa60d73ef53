r"""What does it take to train a GAN as a flow, and what does the flow do that Adam does not?

Sixteen Gaussians on a grid, two small smooth networks, the gradient-norm regularizer, and one minibatch that is held,
so that training is an ordinary differential equation. First, followed for a short time by fixed steps: Euler, Heun and
the classical Runge-Kutta method, each a joint step of both players; the last one with the opponent frozen for all its
stages, as hand-written loops do; and adaptive Tsit5. Errors are held against a tight reference, by the number of field
evaluations. Then for a long time: the flow, and Adam from the same start, on the same minibatch, with as many
evaluations.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    duration: float = 4.0
    """Time to follow the flow for, when errors are measured."""
    steps: tuple[int, ...] = (16, 32, 64, 128)
    """Fixed steps in that time, each twice the one before."""
    tolerances: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    """Tolerances of the adaptive steps, falling."""
    long_duration: float = 1000.0
    """Time of the flow that is laid beside Adam."""
    long_tolerance: float = 1e-4
    """Its tolerance."""
    learning_rate: float = 1e-3
    """Of Adam, for both players."""
    eta: float = 0.5
    """Weight of the gradient-norm regularizer."""
    widths: tuple[int, int] = (32, 24)
    """Widths of the discriminator (one layer) and the generator (two)."""
    batch: int = 256
    """Samples in the minibatch."""
    seed: int = 0
    """For the weights and the minibatch."""

    def __post_init__(self) -> None:
        if len(self.steps) < 2 or any(b != 2 * a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"`steps` must be at least two counts, each twice the one before, but are {self.steps}.")
        if list(self.tolerances) != sorted(self.tolerances, reverse=True) or not self.tolerances[-1] >= 1e-9:
            raise ValueError(f"`tolerances` must fall, to no less than 1e-9, but are {self.tolerances}.")


QUICK = Config(
    duration=2.0, steps=(16, 32, 64), tolerances=(1e-4, 1e-6), long_duration=100.0, widths=(12, 10),
    batch=64,
)  # fmt: skip

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import matplotlib.ticker
import numpy as np
import optax
import xarray as xr
from jax.flatten_util import ravel_pytree

from experiments._machinery._runner import Claim
from gan_ode import analysis, distributions, fields, flow, games, iterate, losses, plot, regularizers, solvers, updates
from gan_ode.games import Players

LATENT = 4
STAGES = {"Euler": 1, "Heun": 2, "RK4": 4, "frozen RK4": 4}
ORDERS = {"Euler": 1, "Heun": 2, "RK4": 4, "frozen RK4": 1}
REFERENCE = 1e-11
# Samples that measure the generator.
NUM_SAMPLES = 2048


def run(config: Config) -> xr.Dataset:
    key = jax.random.key(config.seed)
    gan = make_gan(config, key)
    batch = gan.sample(jax.random.fold_in(key, 1), config.batch)
    field = fields.GameField(regularizers.Penalized(gan, regularizers.GradientNorm(config.eta)))
    dataset = fixed_steps(config, field, gan.players, batch).merge(adaptive_steps(config, field, gan.players, batch))
    paths, nodes = long_paths(config, field, gan, batch, jax.random.fold_in(key, 2))
    centers = xr.DataArray(np.asarray(gan.data.centers), dims=("mode", "axis"))  # pyright: ignore
    return dataset.merge(paths).assign(samples=nodes, centers=centers).assign_attrs(parameters=count(gan.players))


def make_gan(config: Config, key) -> games.GAN:
    d_key, g_key = jax.random.split(key)
    score = eqx.nn.MLP(2, "scalar", config.widths[0], 1, activation=jnp.tanh, key=d_key)
    generator = eqx.nn.MLP(LATENT, 2, config.widths[1], 2, activation=jnp.tanh, key=g_key)
    return games.GAN(score, generator, losses.Minimax(), data=distributions.Grid(), latent=distributions.Normal(LATENT))


def count(y: Players) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(y))


def rules() -> dict[str, Any]:
    """From a step size to an update."""
    return {
        "Euler": updates.Simultaneous,
        "Heun": lambda h: updates.SolverStep(diffrax.Heun(), h),
        "RK4": lambda h: updates.SolverStep(solvers.RK4(), h),
        "frozen RK4": lambda h: updates.FrozenOpponent(solvers.RK4(), h),
    }


def fixed_steps(config: Config, field: fields.GameField, y0: Players, batch) -> xr.Dataset:
    """Errors and observed orders over the ladder."""
    sizes = config.duration / np.array(config.steps)
    found = [
        analysis.convergence(rule, field, y0, config.duration, sizes, args=batch, rtol=REFERENCE)
        for rule in rules().values()
    ]
    stages = np.array([STAGES[name] for name in rules()])
    return xr.Dataset(
        {
            "error": (("rule", "steps"), np.stack([np.asarray(each.errors) for each in found])),
            "order": ("rule", np.array([float(each.order) for each in found])),
            "evaluations": (("rule", "steps"), stages[:, None] * np.array(config.steps)),
        },
        coords={"rule": list(rules()), "steps": list(config.steps)},
    )


def adaptive_steps(config: Config, field: fields.GameField, y0: Players, batch) -> xr.Dataset:
    """Errors and evaluations of Tsit5, at the times of the finest fixed steps."""
    # As many as the reference of the fixed steps has, so that one compiled program serves both, and the long flow.
    ts = jnp.linspace(0.0, config.duration, config.steps[-1] + 1)
    exact = flow(field, y0, ts, args=batch, rtol=REFERENCE)
    errors, evaluations = [], []
    for tolerance in config.tolerances:
        orbit = flow(field, y0, ts, args=batch, rtol=jnp.asarray(tolerance))
        errors.append(float(analysis.compare(exact, orbit).largest))
        # One to start and one or two to choose the first step; then each step's last stage is the next one's first.
        evaluations.append(6 * int(orbit.stats["num_steps"]) + 3)
    return xr.Dataset(
        {
            "adaptive_error": ("tolerance", errors),
            "adaptive_evaluations": ("tolerance", evaluations),
        },
        coords={"tolerance": list(config.tolerances)},
    )


def long_paths(config: Config, field: fields.GameField, gan: games.GAN, batch, key) -> tuple[xr.Dataset, Any]:
    """The flow and Adam with as many evaluations, and what each generates in the end."""
    saves = config.steps[-1]
    ts = jnp.linspace(0.0, config.long_duration, saves + 1)
    orbit = flow(field, gan.players, ts, args=batch, rtol=config.long_tolerance)
    evaluations = 6 * int(orbit.stats["num_steps"])
    every = max(evaluations // saves, 1)
    adam = optax.adam(config.learning_rate)
    steps = iterate(
        updates.Optax(adam, adam, order="simultaneous"), field, gan.players, every * saves, args=batch,
        save_every=every,
    )  # fmt: skip
    latent = gan.latent.sample(key, NUM_SAMPLES)
    looked_at = [look_along(field, gan, found.ys, batch, latent) for found in (orbit, steps)]
    names = xr.DataArray(["flow", "Adam"], dims="path", name="path")
    paths, nodes = (xr.concat(list(parts), names) for parts in zip(*looked_at, strict=True))
    progress = np.linspace(0.0, 1.0, saves + 1)
    return paths.assign_coords(progress=progress).assign(total_evaluations=evaluations), nodes


@eqx.filter_jit
def _look(field: fields.GameField, gan: games.GAN, y: Players, batch, latent) -> tuple:
    nodes = jax.vmap(lambda z: gan.generate(y.generator, z))(latent)
    found = analysis.samples.mode_measures(nodes, gan.data, least=NUM_SAMPLES // 200)  # pyright: ignore
    gaps = jnp.linalg.norm(nodes[:, None] - gan.data.centers, axis=-1)  # pyright: ignore
    value = -gan.losses(y, batch).discriminator
    return value, fields.velocity_size(field, y, batch), jnp.mean(jnp.min(gaps, axis=1)), found.covered, nodes


def look_along(field, gan: games.GAN, ys: Players, batch, latent) -> tuple[xr.Dataset, xr.DataArray]:
    """Value, speed, and how near the samples are to the modes, at each state; and the samples of the last one."""
    rows = [jax.tree.map(lambda leaf: leaf[i], ys) for i in range(jax.tree.leaves(ys)[0].shape[0])]  # noqa: B023
    value, speed, gap, covered, nodes = zip(*(_look(field, gan, y, batch, latent) for y in rows), strict=True)
    parts = {"value": value, "speed": speed, "gap": gap, "covered": covered}
    dataset = xr.Dataset({name: ("progress", np.asarray(part, float)) for name, part in parts.items()})
    return dataset.assign(moved=("progress", distances(ys))), xr.DataArray(
        np.asarray(nodes[-1]), dims=("sample", "axis")
    )


def distances(ys: Players) -> np.ndarray:
    """From the start."""
    rows = np.asarray(jax.vmap(lambda y: ravel_pytree(y)[0])(ys))
    return np.linalg.norm(rows - rows[0], axis=1)


def later(results: xr.Dataset, quantity: str) -> tuple[float, float]:
    """The median of a quantity over the second half of either path: the flow's, and Adam's."""
    half = results[quantity].isel(progress=slice(results.sizes["progress"] // 2, None)).median("progress")
    return float(half.sel(path="flow")), float(half.sel(path="Adam"))


def claims(results: xr.Dataset) -> list[Claim]:
    found = [
        Claim.close(f"{name}: observed order", results.order.sel(rule=name), order, atol=0.2)
        for name, order in ORDERS.items()
    ]
    finest = results.isel(steps=-1)
    errors = {name: float(finest.error.sel(rule=name)) for name in ORDERS}
    found += [
        Claim.above("Frozen RK4: error over that of joint RK4", errors["frozen RK4"] / errors["RK4"], 1e3),
        Claim.above("Frozen RK4: error over that of Euler, which takes a quarter of the evaluations",
                    errors["frozen RK4"] / errors["Euler"], 0.25),
    ]  # fmt: skip
    (flow_speed, adam_speed), (flow_gap, adam_gap) = later(results, "speed"), later(results, "gap")
    flow_covered, adam_covered = later(results, "covered")
    source = "medians over the second half"
    return [
        *found,
        Claim.above("Size of the velocity: Adam's over the flow's", adam_speed / flow_speed, 2, source=source),
        Claim.above("Mean distance to a mode: Adam's over the flow's", adam_gap / flow_gap, 1, source=source),
        Claim.above("Modes covered: the flow's less Adam's", flow_covered - adam_covered, 0, source=source),
    ]


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.9), layout="constrained")
    grid = figure.subplots(2, 3)
    draw_errors(grid[0, 0], results)
    draw_path(grid[0, 1], results, "value", "value $V$")
    draw_path(grid[0, 2], results, "speed", r"$\Vert F \Vert$")
    grid[0, 2].set(yscale="log")
    draw_path(grid[1, 0], results, "gap", "mean distance to a mode")
    for panel, path in zip(grid[1, 1:], ("flow", "Adam"), strict=True):
        draw_samples(panel, results, path)
    titles = ("error by cost", "value", "size of the velocity", "samples", "the flow at its end", "Adam at its end")
    for panel, letter, title in zip(grid.flat, "abcdef", titles, strict=True):
        plot.label_panel(panel, letter, title)
    return figure


MARKERS = ("o", "s", "^", "v")
COLORS = {"flow": plot.CYCLE[0], "Adam": plot.CYCLE[1]}
NEIGHBORS = 9


def draw_errors(panel, results: xr.Dataset) -> None:
    for marker, color, name in zip(MARKERS, plot.CYCLE, results.rule.values, strict=False):
        case = results.sel(rule=name)
        style = "--" if name.startswith("frozen") else "-"
        panel.plot(case.evaluations, case.error, style, marker=marker, color=color, markersize=3.2, label=name)
    panel.plot(
        results.adaptive_evaluations, results.adaptive_error, "D:", color="black", markersize=3, label="Tsit5, adaptive"
    )
    panel.set(xscale="log", yscale="log", xlabel="field evaluations", ylabel="largest error")
    ticks = (20, 50, 100, 200, 500)
    panel.set_xticks(ticks, map(str, ticks))
    panel.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    panel.legend(fontsize=6)


def draw_path(panel, results: xr.Dataset, quantity: str, label: str) -> None:
    thousands = results.progress * float(results.total_evaluations) / 1000
    for path, color in COLORS.items():
        measured = results[quantity].sel(path=path)
        # Minibatches make single values jump: the median over some neighbors stands out, they lie pale behind it.
        middle = measured.rolling(progress=NEIGHBORS, center=True, min_periods=1).median()
        panel.plot(thousands, measured, color=color, linewidth=0.6, alpha=0.3)
        panel.plot(thousands, middle, color=color, label=path, linewidth=1.2)
    panel.set(xlabel="field evaluations / 1000", ylabel=label)
    panel.legend()


def draw_samples(panel, results: xr.Dataset, path: str) -> None:
    nodes = results.samples.sel(path=path)
    panel.plot(nodes[:, 0], nodes[:, 1], ".", color=COLORS[path], markersize=1.5, alpha=0.5, rasterized=True)
    panel.plot(results.centers[:, 0], results.centers[:, 1], "+", color="black", markersize=5, markeredgewidth=0.8)
    panel.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
