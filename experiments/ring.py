r"""Does the regularizer cover more modes, on a ring of Gaussians?

The toy of the paper, as it is: eight normal modes of standard deviation 0.02 on a circle of radius 2, a generator
256-128-128-2 and a discriminator 2-128-1 with rectified linear units, orthogonal weights of gain 0.8, the usual loss,
minibatches of 512, and Adam at the rate 1e-4 with b1 = 0.5, the discriminator first, in 32-bit numbers. Three ways to
train: plainly; with the gradient-norm regularizer; and unrolled, where the generator sees the discriminator five of
Adam's steps ahead and is differentiated through them, which is what the paper compares itself with. All ways start from
the same networks and see the same minibatches. A mode is covered if at least 20 of 2,500 samples lie within 5 standard
deviations of it.

A step of unrolling takes several times as long, so that it is run from fewer seeds. Seconds are those of a step timed
by itself, the ways in turn, not of the runs, which share the processors.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    num_steps: int = 25_000
    """Steps of each run."""
    save_every: int = 500
    """Samples are measured, and progress is shown, every so many steps."""
    num_seeds: int = 3
    """Runs of the plain and of the regularized GAN: with `seed`, `seed` + 1, ..."""
    num_unrolled: int = 1
    """Runs of the unrolled one."""
    eta: float = 0.5
    """Weight of the regularizer."""
    unrolled_steps: int = 5
    """How far ahead the unrolled generator sees."""
    batch: int = 512
    """Data, and latent points, of a minibatch."""
    num_samples: int = 2500
    """Samples to measure."""
    within: float = 5.0
    """How near a mode's center is near, in standard deviations."""
    least: int = 20
    """Samples near a mode that is covered."""
    rounds: int = 3
    """Rounds of timing, the ways in turn."""
    seed: int = 0
    """The first seed, of networks and minibatches."""

    def __post_init__(self) -> None:
        if self.save_every < 1 or self.num_steps < 1 or self.num_steps % self.save_every:
            raise ValueError(
                f"`save_every` must be at least 1 and divide `num_steps`, but they are {self.save_every} and "
                f"{self.num_steps}."
            )
        if not 1 <= self.num_unrolled <= self.num_seeds:
            raise ValueError(
                f"`num_unrolled` must be at least 1 and at most `num_seeds`, but they are {self.num_unrolled} and "
                f"{self.num_seeds}."
            )
        for name in ("eta", "within"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0, but is {getattr(self, name)}.")
        for name in ("unrolled_steps", "batch", "num_samples", "least", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, but is {getattr(self, name)}.")


# Most of it is compiling, of which unrolling takes the more the further it looks.
QUICK = Config(
    num_steps=100,
    save_every=50,
    num_seeds=1,
    unrolled_steps=1,
    num_samples=500,
    least=4,
    rounds=1,
)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import concurrent.futures
import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import distributions, fields, games, losses, networks, plot, regularizers, updates
from gan_ode.analysis import samples
from gan_ode.games import Players

WAYS = ("plain", "regularized", "unrolled")
COLORS: dict[str, str] = dict(zip(WAYS, (plot.CYCLE[3], plot.CYCLE[0], plot.CYCLE[2]), strict=True))
RATE, MOMENTUM = 1e-4, 0.5
LATENT = 256
MEASURES = ("modes", "quality", "divergence", "energy", "sliced")
NUM_ENERGY = 1000  # the energy distance takes all pairs
NUM_DIRECTIONS = 64
NUM_CHECKPOINTS = 5


class Trainer(eqx.Module):
    """One way to train, from one seed."""

    gan: games.GAN
    field: fields.GameField
    update: updates.AbstractUpdate
    key: jax.Array

    def start(self) -> tuple[Players, Any]:
        return self.gan.players, self.update.init(self.field, self.gan.players, None)


def run(config: Config) -> xr.Dataset:
    wall, processor = time.perf_counter(), time.process_time()
    jobs = [(way, n) for n in range(config.num_seeds) for way in reversed(WAYS) if n < number_of_runs(config, way)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            found = dict(zip(jobs, pool.map(lambda job: train(config, *job), jobs), strict=True))
        finally:
            pool.shutdown(cancel_futures=True)
    results = gather(config, found).assign(measure_data(config)).assign(timing(config))
    return results.assign_attrs(
        wall_seconds=time.perf_counter() - wall,
        processor_seconds=time.process_time() - processor,
        eta=config.eta,
        unrolled_steps=config.unrolled_steps,
        within=config.within,
        num_steps=config.num_steps,
    )


def number_of_runs(config: Config, way: str) -> int:
    return config.num_unrolled if way == "unrolled" else config.num_seeds


def in_single_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function with 32-bit numbers; the setting holds for the thread that it is made in."""

    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        with jax.enable_x64(False):
            return function(*args)

    return wrapped


def make_gan(seed: int) -> games.GAN:
    # Compiled as a whole: operation by operation it takes longer than a hundred steps.
    discriminator, generator = eqx.filter_jit(networks.ring_players)(jax.random.key(seed))
    return games.GAN(
        discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(LATENT)
    )


def make(config: Config, way: str, seed: int) -> Trainer:
    gan = make_gan(seed)
    game = regularizers.Penalized(gan, regularizers.GradientNorm(config.eta)) if way == "regularized" else gan
    # The root in Adam is differentiated, and a unit that is never active would take it at zero.
    adams = optax.adam(RATE, b1=MOMENTUM, eps_root=1e-16 if way == "unrolled" else 0.0), optax.adam(RATE, b1=MOMENTUM)
    update = updates.UnrolledOptax(*adams, steps=config.unrolled_steps) if way == "unrolled" else updates.Optax(*adams)
    return Trainer(gan, fields.GameField(game), update, jax.random.fold_in(jax.random.key(seed), 1))


@in_single_precision
def train(config: Config, way: str, n: int) -> dict[str, np.ndarray]:
    """One run: what is measured of its samples at every save, and the samples themselves."""
    trainer = make(config, way, config.seed + n)
    state = trainer.start()
    found = [assess(config, trainer.gan, state[0])]
    for first in range(0, config.num_steps, config.save_every):
        begun = time.perf_counter()
        state = jax.block_until_ready(advance(trainer, state, jnp.asarray(first), config.save_every, config.batch))
        found.append(assess(config, trainer.gan, state[0]))
        report(way, n, first + config.save_every, time.perf_counter() - begun, found[-1])
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


@eqx.filter_jit
def advance(trainer: Trainer, state: Any, first: jax.Array, num_steps: int, batch: int) -> Any:
    """Some steps, from a state and the optimizers' memory."""

    def one(state: Any, n: jax.Array) -> tuple[Any, None]:
        y, memory = state
        minibatch = trainer.gan.sample(jax.random.fold_in(trainer.key, n), batch)
        return trainer.update.step(trainer.field, 0.0, y, minibatch, memory), None

    return jax.lax.scan(one, state, first + jnp.arange(num_steps))[0]


def report(way: str, n: int, steps: int, seconds: float, found: dict[str, np.ndarray]) -> None:
    if steps % 2500 == 0:
        text = f"{int(found['modes'])} modes, quality {float(found['quality']):.2f}"
        print(f"\n{way}, run {n}, step {steps:,}: {text}, last {seconds:.1f} s", end=" ", file=sys.stderr, flush=True)


def assess(config: Config, gan: games.GAN, y: Players) -> dict[str, np.ndarray]:
    """The measures of a generator's samples. The latent points and the data are the same every time."""
    _, generator = gan.modules(y)
    made = sample_from(generator, config.num_samples)
    measured = measure(made, gan.data, config.within, config.least)
    return {**jax.tree.map(np.asarray, measured), "samples": np.asarray(made)}


@eqx.filter_jit
def sample_from(generator: Any, num: int) -> jax.Array:
    return jax.vmap(generator)(distributions.Normal(LATENT).sample(jax.random.key(1000), num))


@eqx.filter_jit
def measure(made: jax.Array, data: Any, within: float, least: int) -> dict[str, jax.Array]:
    found = samples.mode_measures(made, data, within=within, least=least)
    real = data.sample(jax.random.key(1001), made.shape[0])
    return {
        "modes": found.covered,
        "quality": found.quality,
        "divergence": found.divergence,
        "energy": samples.energy_distance(made[:NUM_ENERGY], real[:NUM_ENERGY]),
        "sliced": samples.sliced_wasserstein(made, real, samples.directions(2, NUM_DIRECTIONS)),
    }


@in_single_precision
def measure_data(config: Config) -> dict[str, float]:
    """The same measures of other samples of the data: the best that can be had."""
    ring = distributions.Ring()
    drawn = ring.sample(jax.random.key(1002), config.num_samples)
    return {f"data_{k}": float(v) for k, v in measure(drawn, ring, config.within, config.least).items()}


def gather(config: Config, found: dict[tuple[str, int], dict[str, np.ndarray]]) -> xr.Dataset:
    steps = np.arange(0, config.num_steps + 1, config.save_every)
    shown = np.linspace(0, len(steps) - 1, min(NUM_CHECKPOINTS + 1, len(steps))).round().astype(int)
    shape = (len(WAYS), config.num_seeds, len(steps))
    arrays = {name: np.full(shape, np.nan) for name in MEASURES}
    pictures = np.empty((len(WAYS), len(shown), config.num_samples, 2), np.float32)
    for (way, n), measured in found.items():
        for name in MEASURES:
            arrays[name][WAYS.index(way), n] = measured[name]
        if n == 0:
            pictures[WAYS.index(way)] = measured["samples"][shown]
    data: dict[str, Any] = {name: (("way", "run", "step"), array) for name, array in arrays.items()}
    data["samples"] = (("way", "checkpoint", "sample", "axis"), pictures)
    return xr.Dataset(data, {"way": list(WAYS), "step": steps, "checkpoint": steps[shown], "axis": ["x", "y"]})


@in_single_precision
def timing(config: Config) -> dict[str, Any]:
    """Milliseconds of a step of each way, by the clock and by the processors."""
    trainers = [make(config, way, config.seed) for way in WAYS]
    table = np.empty((2, len(WAYS), config.rounds))
    for i in range(config.rounds):
        for row, trainer in enumerate(trainers):
            state, first = trainer.start(), jnp.asarray(0)
            wall, processor = time.perf_counter(), time.process_time()
            jax.block_until_ready(advance(trainer, state, first, config.save_every, config.batch))
            table[:, row, i] = time.perf_counter() - wall, time.process_time() - processor
    table *= 1000 / config.save_every
    return {f"{name}_ms": (("way", "round"), rows) for name, rows in zip(("wall", "processor"), table, strict=True)}


def claims(results: xr.Dataset) -> list[Claim]:
    found = of_data(results)
    first = results.samples.isel(checkpoint=0)
    apart = np.max(np.abs(first - first.isel(way=0)))
    found.append(Claim.equal("Largest distance of the first samples of the three ways", float(apart), 0.0))
    moved = np.max(np.abs(results.samples - first), axis=(1, 2, 3))
    found += [Claim.above(f"{way}: how far a sample has moved", by, 0) for way, by in zip(WAYS, moved, strict=True)]
    return found + (of_coverage(results) if results.num_steps >= 20_000 else [])


def of_data(results: xr.Dataset) -> list[Claim]:
    """What the measures say of the data themselves."""
    share = -np.expm1(-(results.within**2) / 2)
    source = "closed form, and its standard error"
    return [
        Claim.equal("Data: modes covered", int(results.data_modes), 8),
        Claim.close(
            "Data: quality",
            results.data_quality,
            share,
            # Four standard errors; with 5 standard deviations a single stray sample is within.
            atol=4 * np.sqrt(share * (1 - share) / results.sizes["sample"]) + 1 / results.sizes["sample"],
            source=source,
        ),
        Claim.below("Data: energy distance to other data", results.data_energy, 0.1),
    ]


def of_coverage(results: xr.Dataset) -> list[Claim]:
    last = results.isel(step=-1)
    regularized, plain = last.sel(way="regularized"), results.sel(way="plain")
    late = plain.modes.where(plain.step >= results.num_steps / 2, drop=True)
    found = [
        Claim.equal(f"regularized, run {n}: modes at the end", int(regularized.modes[n]), 8)
        for n in range(results.sizes["run"])
    ]
    found += [
        Claim.above(f"regularized, run {n}: quality at the end", regularized.quality[n], 0.8)
        for n in range(results.sizes["run"])
    ]
    found.append(Claim.below("plain: most modes in the second half of all runs", late.max(), 8))
    return found


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 6.1), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.75, 1.0))
    pictures, curves = parts
    draw_pictures(pictures, results)
    draw_curves(curves, results)
    return figure


def draw_pictures(figure: Any, results: xr.Dataset) -> None:
    """Samples of the first run of each way, along the training."""
    panels = figure.subplots(len(WAYS), results.sizes["checkpoint"], squeeze=False)
    for row, way in enumerate(WAYS):
        for column, step in enumerate(results.checkpoint.values):
            ax = panels[row, column]
            shown = results.samples.sel(way=way, checkpoint=step)
            plot.samples(shown, ax=ax, mixture=distributions.Ring(), within=results.within, color=COLORS[way])
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="0.8")
            if row == 0:
                ax.set_title(f"step {step:,}", loc="center", fontsize=7)
        panels[row, 0].set_ylabel(name_of(way, results), color=COLORS[way], fontsize=8)
    # The others have the step for a title, and the letter stands for all of them.
    panels[0, 0].annotate("$\\mathbf{a}$", (0, 1), (-12, 5), xycoords="axes fraction", textcoords="offset points")


def name_of(way: str, results: xr.Dataset) -> str:
    return {
        "plain": "plain",
        "regularized": f"regularized, $\\eta = {results.eta:g}$",
        "unrolled": f"unrolled, {results.unrolled_steps} steps",
    }[way]


def draw_curves(figure: Any, results: xr.Dataset) -> None:
    by_step, by_time = results.step / 1000, milliseconds(results) * results.step / 1000
    panels = figure.subplots(1, 3)
    lines = []
    for way in WAYS:
        lines.append(draw_runs(panels[0], by_step, results.modes.sel(way=way), way, results))
        draw_runs(panels[1], by_step, 100 * results.quality.sel(way=way), way, results)
        draw_runs(panels[2], by_time.sel(way=way), 100 * results.quality.sel(way=way), way, results)
    panels[0].set(ylim=(-0.3, 8.3), yticks=range(0, 9, 2), ylabel="modes of 8", xlabel="steps / 1,000")
    panels[1].set(ylim=(-3, 103), ylabel="samples near a mode (%)", xlabel="steps / 1,000")
    panels[2].set(ylim=(-3, 103), xlabel="seconds, training alone", xlim=(0, None))
    for ax, letter, title in zip(panels, "bcd", ("modes covered", "quality", "quality by time"), strict=True):
        plot.label_panel(ax, letter, title)
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))


def draw_runs(ax: Any, along: xr.DataArray, runs: xr.DataArray, way: str, results: xr.Dataset) -> Any:
    lines = [ax.plot(along, run, color=COLORS[way], linewidth=0.9, label=name_of(way, results))[0] for run in runs]
    return lines[0]


def milliseconds(results: xr.Dataset) -> xr.DataArray:
    """Of a step, by the clock: the least of all rounds, since what disturbs only adds."""
    return results.wall_ms.min("round")
