r"""Does the regularizer cover more of a thousand modes?

Three handwritten digits, drawn independently and stacked as the channels of one image of 8 x 8, make 1,000 modes: a
stack of a, b and c is mode 100 a + 10 b + c. A convolutional GAN learns the stacks, and a classifier, trained here on
single digits, names the digits of what it makes. As in the paper's table the discriminator has a quarter or half of the
generator's parameters, and is trained with and without the gradient-norm regularizer, by Adam, the discriminator first,
in 32-bit numbers. With one seed, both start from the same networks and see the same minibatches.

What is counted of 26,000 samples: the modes that have one at least, the Kullback-Leibler divergence of their histogram
from equal weights, and the stacks that are clear, each of whose digits gets a probability above 0.9 from the
classifier, with the modes that those cover. (It names noise, too: random stacks are counted in hundreds of modes.)

Source: Metz et al. (2017), arXiv:1611.02163, section 3.3.1, with digits of 28 x 28; Nagarajan and Kolter (2017),
arXiv:1706.04156, section 5.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    num_steps: int = 3000
    """Steps of each run."""
    save_every: int = 500
    """Samples are counted every so many steps."""
    num_seeds: int = 3
    """Runs of each setting: with `seed`, `seed` + 1, ..."""
    shares: tuple[float, ...] = (0.25, 0.5)
    """Parameters of the discriminator, over those of the generator."""
    etas: tuple[float, ...] = (0.1, 0.5)
    """Weights of the regularizer, beside none."""
    rate: float = 5e-4
    """Learning rate of both players."""
    width: int = 24
    """Channels of the generator between its convolutions."""
    batch: int = 64
    """Data, and latent points, of a minibatch."""
    num_samples: int = 26_000
    """Samples to count modes of."""
    classifier_steps: int = 1500
    """Steps of the classifier's training."""
    seed: int = 0
    """The first seed, of networks and minibatches."""

    def __post_init__(self) -> None:
        if self.save_every < 1 or self.num_steps < 1 or self.num_steps % self.save_every:
            raise ValueError(
                f"`save_every` must be at least 1 and divide `num_steps`, but they are {self.save_every} and "
                f"{self.num_steps}."
            )
        if not self.shares or not 0.02 <= min(self.shares) <= max(self.shares) <= 2:
            raise ValueError(f"`shares` must lie between 0.02 and 2, and be one at least, but are {self.shares}.")
        if not self.etas or min(self.etas) <= 0 or len(set(self.etas)) < len(self.etas):
            raise ValueError(f"`etas` must be above 0, differ, and be one at least, but are {self.etas}.")
        if self.rate <= 0:
            raise ValueError(f"`rate` must be above 0, but is {self.rate}.")
        for name in ("num_seeds", "width", "batch", "classifier_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, but is {getattr(self, name)}.")
        if self.num_samples < 10_000:
            raise ValueError(
                f"`num_samples` must be at least 10,000, or the data miss modes too, but is {self.num_samples}."
            )


QUICK = Config(num_steps=100, save_every=50, num_seeds=1, shares=(0.25,), etas=(0.1,), width=8)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import concurrent.futures
import functools
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import matplotlib.figure
import numpy as np
import optax
import xarray as xr

from experiments._machinery import _stacks
from experiments._machinery._runner import Claim
from gan_ode import distributions, fields, games, iterate, losses, plot, regularizers, simulate, updates

TRAINED_ON = 1400  # of 1,797 digits; the others are held out
MOMENTUM = 0.5
NUM_PICTURES = 36
SIDE = 4  # of a grid of those that are shown
COLORS = (plot.CYCLE[3], plot.CYCLE[0], plot.CYCLE[2], plot.CYCLE[1])
MEASURES = ("modes", "clear_modes", "divergence", "clear")


class Minibatches(eqx.Module):
    """The minibatch of each step."""

    gan: games.GAN
    key: jax.Array
    num: int = eqx.field(static=True)

    def __call__(self, n: jax.Array) -> Any:
        return self.gan.sample(jax.random.fold_in(self.key, n), self.num)


def in_single_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function with 32-bit numbers; the setting holds for the thread that it is made in."""

    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        with jax.enable_x64(False):
            return function(*args)

    return wrapped


def run(config: Config) -> xr.Dataset:
    wall, processor = time.perf_counter(), time.process_time()
    digits, classifier, judged = prepare(config)
    # All runs of one size are of one program: the second size is compiled while the first one runs.
    jobs = list(itertools.product(range(config.num_seeds), weights(config), config.shares))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            orbits = list(pool.map(lambda job: train(config, digits, classifier, *job), jobs))
        finally:
            pool.shutdown(cancel_futures=True)
    results = gather(config, dict(zip(jobs, orbits, strict=True)))
    return results.assign(originals=(("picture", "channel", "row", "column"), judged.pop("pictures"))).assign_attrs(
        **judged,
        num_steps=config.num_steps,
        num_samples=config.num_samples,
        wall_seconds=time.perf_counter() - wall,
        processor_seconds=time.process_time() - processor,
    )


def weights(config: Config) -> tuple[float, ...]:
    return (0.0, *config.etas)


@in_single_precision
def prepare(config: Config) -> tuple[_stacks.Digits, Any, dict[str, Any]]:
    """The digits, the classifier, and what it says of the data."""
    digits = _stacks.load()
    key = jax.random.key(999)
    order = jax.random.permutation(key, digits.labels.shape[0])
    classifier = _stacks.train_classifier(digits.part(order[:TRAINED_ON]), key, config.classifier_steps)
    real = _stacks.Stacks(digits.images).sample(key, config.num_samples)
    found = eqx.filter_jit(lambda classifier, real: _stacks.measure(*_stacks.named(classifier, real)))(classifier, real)
    judged: dict[str, Any] = {f"data_{name}": float(value) for name, value in found.items()}
    judged["held_out"] = float(_stacks.accuracy(classifier, digits.part(order[TRAINED_ON:])))
    frequencies = np.bincount(np.asarray(digits.labels), minlength=_stacks.CLASSES) / digits.labels.shape[0]
    judged["entropy_lost"] = float(np.sum(frequencies * np.log(_stacks.CLASSES * frequencies)))
    judged["pictures"] = np.asarray(real[:NUM_PICTURES])
    return digits, classifier, judged


@eqx.filter_jit
def make_gan(images: jax.Array, key: jax.Array, share: float, width: int) -> games.GAN:
    """The GAN at its start; compiled as a whole, since operation by operation it takes longer."""
    d_key, g_key = jax.random.split(key)
    return games.GAN(
        _stacks.make_discriminator(d_key, _stacks.discriminator_width(share, width)),
        _stacks.make_generator(g_key, width),
        losses.NonSaturating(),
        data=_stacks.Stacks(images),
        latent=distributions.Normal(_stacks.LATENT),
    )


@functools.cache
def adam(rate: float) -> optax.GradientTransformation:
    """One object for all runs: another one of the same rate would compile everything once more."""
    return optax.adam(rate, b1=MOMENTUM)


@in_single_precision
def train(config: Config, digits: Any, classifier: Any, n: int, eta: float, share: float) -> dict[str, Any]:
    """One run: what is recorded of it, and pictures of its last samples."""
    key = jax.random.key(config.seed + n)
    gan = make_gan(digits.images, key, share, config.width)
    # The plain GAN too: its weight is zero, and the program the same.
    field = fields.GameField(regularizers.Penalized(gan, regularizers.GradientNorm(eta)))
    rule = adam(config.rate)
    orbit = iterate(
        updates.Optax(rule, rule),
        field,
        gan.players,
        config.num_steps,
        batches=Minibatches(gan, jax.random.fold_in(key, 1), config.batch),
        save_every=config.save_every,
        record=_stacks.Count(gan, classifier, config.num_samples),
        progress=teller(share, eta, n),
    )
    z = gan.latent.sample(jax.random.key(1001), NUM_PICTURES)
    pictures = generate(gan.modules(orbit.final_state)[1], z)
    sizes = tuple(_stacks.num_parameters(player) for player in (gan.players.discriminator, gan.players.generator))
    ended = orbit.outcome == simulate.OUTCOMES.ok
    return {**orbit.ys, "pictures": pictures, "sizes": sizes, "finite": bool(ended)}


@eqx.filter_jit
def generate(generator: Any, z: jax.Array) -> jax.Array:
    return jax.vmap(generator)(z)


def teller(share: float, eta: float, n: int) -> Callable[[int, int], None]:
    """Says on stderr how far a run is, at each quarter."""
    told = [0]

    def tell(done: int, num_steps: int) -> None:
        if 4 * done // num_steps > told[0]:
            told[0] = 4 * done // num_steps
            text = f"\nsize {share:g}, eta {eta:g}, run {n}: step {done:,} of {num_steps:,}"
            print(text, end=" ", file=sys.stderr, flush=True)

    return tell


def gather(config: Config, found: dict[tuple[int, float, float], dict[str, Any]]) -> xr.Dataset:
    etas = weights(config)

    def table(name: str) -> np.ndarray:
        runs = range(config.num_seeds)
        return np.array([[[found[n, eta, share][name] for n in runs] for eta in etas] for share in config.shares])

    along = ("share", "eta", "run")
    data: dict[str, Any] = {name: ((*along, "step"), table(name)) for name in MEASURES}
    data["finite"] = along, table("finite")
    data["generated"] = ("share", "eta", "picture", "channel", "row", "column"), table("pictures")[:, :, 0]
    data["parameters"] = ("share", "player"), table("sizes")[:, 0, 0]
    steps = np.arange(0, config.num_steps + 1, config.save_every)
    coordinates = {"share": list(config.shares), "eta": list(etas), "step": steps}
    return xr.Dataset(data, coordinates | {"player": ["discriminator", "generator"]})


def claims(results: xr.Dataset) -> list[Claim]:
    found = [*of_data(results), *of_runs(results)]
    settled = results.num_steps >= 2000 and {0.25, 0.5} <= set(results.share.values)
    return found + (of_coverage(results) if settled and {0.1, 0.5} <= set(results.eta.values) else [])


def of_data(results: xr.Dataset) -> list[Claim]:
    """What is measured of the data themselves: as good as it gets."""
    # Of samples of a fixed histogram: modes / (2 samples), and what the digits' unequal numbers add.
    expected = (_stacks.MODES - 1) / (2 * results.num_samples) + _stacks.CHANNELS * results.entropy_lost
    return [
        Claim.above("Classifier: accuracy on held-out digits", results.held_out, 0.9),
        Claim.above("Data: modes covered", results.data_modes, 990),
        Claim.close(
            "Data: divergence",
            results.data_divergence,
            expected,
            rtol=0.2,  # four standard deviations, and misnamed digits
            unit="nats",
            source="chi-square of 999 degrees of freedom / (2 samples)",
        ),
    ]


def of_runs(results: xr.Dataset) -> list[Claim]:
    starts = results.modes.isel(step=0)
    sizes = results.parameters.sel(player="discriminator") / results.parameters.sel(player="generator")
    return [
        Claim.equal("Runs whose states stay finite", int(results.finite.sum()), results.finite.size),
        Claim.equal("Starts, with and without the regularizer: most modes apart", int(apart(starts)), 0),
        Claim.below(
            "Discriminator's size over the share asked for, off by", np.abs(sizes / results.share - 1).max(), 0.1
        ),
    ]


def apart(starts: xr.DataArray) -> xr.DataArray:
    return np.abs(starts - starts.isel(eta=0)).max()


def of_coverage(results: xr.Dataset) -> list[Claim]:
    """After the last step. The bounds leave room: on another machine sums are rounded otherwise, and runs part."""
    last = results.isel(step=-1)
    plain, mild, strong = (last.sel(eta=eta) for eta in (0.0, 0.1, 0.5))
    found = []
    for share in (0.25, 0.5):
        name, here = f"{fraction(share)}, eta = 0.1", mild.sel(share=share)
        found += [
            Claim.above(f"{name}: modes, least of the runs", here.modes.min(), 950),
            Claim.below(f"{name}: divergence, largest of the runs", here.divergence.max(), 0.5, unit="nats"),
            Claim.above(
                f"{name}: divergence over that of data, least", here.divergence.min() / last.data_divergence, 3
            ),
            Claim.above(f"{name}: mean modes, more than with 0.5 by", more_modes(here, strong, share), 50),
        ]
    ratio = plain.divergence.mean("run") / mild.divergence.mean("run")
    more = (mild.clear_modes - plain.clear_modes).mean("run")
    return [
        *found,
        Claim.below("1/4, eta = 0: modes, most of the runs", plain.modes.sel(share=0.25).max(), 400),
        Claim.above("1/2: mean divergence, eta = 0 over eta = 0.1", ratio.sel(share=0.5), 1.5),
        Claim.above("1/2: mean modes of clear stacks, eta = 0.1 over eta = 0 by", more.sel(share=0.5), 50),
    ]


def more_modes(here: xr.Dataset, strong: xr.Dataset, share: float) -> xr.DataArray:
    return (here.modes - strong.modes.sel(share=share)).mean("run")


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 3.5), layout="constrained")
    curves, pictures = cast(Any, figure.subfigures(2, 1, height_ratios=(1.75, 1.0)))
    draw_curves(curves, results)
    draw_pictures(pictures, results)
    return figure


def draw_curves(figure: Any, results: xr.Dataset) -> None:
    """Means over the runs, and bands from the least to the most."""
    panels: Any = figure.subplots(1, 4)
    settings = itertools.product(results.eta.values, results.share.values)
    lines = [draw_setting(panels, results, share, eta) for eta, share in settings]
    texts = (
        ("modes covered", results.data_modes),
        ("modes of clear stacks", results.data_clear_modes),
        ("divergence (nats)", results.data_divergence),
        ("clear stacks (%)", 100 * results.data_clear),
    )
    for ax, letter, (title, best) in zip(panels, "abcd", texts, strict=True):
        of_data = ax.axhline(best, color="0.5", linewidth=0.8, linestyle=":", label="data")
        lines += [of_data] if letter == "a" else []
        ax.set(xlabel="steps / 1,000", xlim=(0, results.num_steps / 1000), ylim=(0, None))
        plot.label_panel(ax, letter, title)
    figure.legend(handles=lines, loc="outside lower center", ncols=results.sizes["eta"] + 1)


def draw_setting(panels: Any, results: xr.Dataset, share: float, eta: float) -> Any:
    chosen = results.sel(share=share, eta=eta)
    shares, etas = list(results.share.values), list(results.eta.values)
    look = {"color": COLORS[etas.index(eta) % len(COLORS)], "linestyle": ("-", "--", "-.")[shares.index(share) % 3]}
    label, by_step, lines = f"size {fraction(share)}, $\\eta = {eta:g}$", results.step / 1000, []
    for ax, values in zip(panels, shown_measures(chosen), strict=True):
        lines += ax.plot(by_step, values.mean("run"), label=label, **look)
        ax.fill_between(by_step, values.min("run"), values.max("run"), color=look["color"], alpha=0.12, linewidth=0)
    return lines[0]


def shown_measures(chosen: xr.Dataset) -> tuple[xr.DataArray, ...]:
    return chosen.modes, chosen.clear_modes, chosen.divergence, 100 * chosen.clear


def fraction(share: float) -> str:
    return {0.25: "1/4", 0.5: "1/2"}.get(float(share), f"{share:g}")


def draw_pictures(figure: Any, results: xr.Dataset) -> None:
    """Stacks as colors: of the data, and the last ones of the first run of each setting."""
    settings = list(itertools.product(results.share.values, results.eta.values))
    shown = [("data", results.originals)]
    shown += [
        (f"{fraction(share)}, $\\eta = {eta:g}$", results.generated.sel(share=share, eta=eta))
        for share, eta in settings
    ]
    panels = figure.subplots(1, len(shown))
    for ax, letter, (title, stacks) in zip(panels, "efghijklmn", shown, strict=False):
        ax.imshow(mosaic(stacks.values[: SIDE**2]), interpolation="nearest")
        ax.set_axis_off()
        plot.label_panel(ax, letter, title)


def mosaic(stacks: np.ndarray) -> np.ndarray:
    """Stacks as one picture in colors, in rows, with white between them."""
    colors = np.moveaxis(np.clip((stacks + 1) / 2, 0, 1), 1, -1)
    framed = np.pad(colors, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    size = framed.shape[1]
    return framed.reshape(SIDE, SIDE, size, size, -1).swapaxes(1, 2).reshape(SIDE * size, SIDE * size, -1)[:-1, :-1]
