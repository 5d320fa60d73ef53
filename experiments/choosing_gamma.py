r"""Does the spectrum foretell the weight of R1 that trains best?

R1 adds $\tfrac{\gamma}{2} E_x \lVert\nabla_x D(x)\rVert^2$ to the discriminator's loss. People choose $\gamma$ by
trying. Here it is taken from the linear part, and a sweep of weights in training says how good that choice was:

- *Two parameters*: the Dirac-GAN and the LQ GAN, minimax and Wasserstein loss. `analysis.optimal_parameter` gives the
  weight at which the flow returns fastest to the equilibrium; training goes by small alternating steps from starts that
  are not near it.
- *Two networks*: tanh networks of 50 parameters on a mixture of two normals, Wasserstein loss, minibatches. They are
  trained once with a guess of the weight; `analysis.diagnose` gives the weight from the state that this leaves. Then
  they are trained from their start with each weight, and judged by the distance of samples to data in the later half.
"""

import dataclasses
from typing import Any

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    systems: tuple[str, ...] = ("Dirac, minimax", "Dirac, Wasserstein", "LQ, minimax", "LQ, Wasserstein")
    """The GANs of two parameters."""
    num_weights: int = 16
    """Weights of the sweep, evenly spaced by their logarithms."""
    lowest: float = 0.03
    """The smallest of them."""
    highest: float = 30.0
    """The largest."""
    small_steps: int = 400
    """Steps of the two-parameter GANs."""
    small_step_size: float = 0.05
    """Their step size."""
    num_starts: int = 16
    """Their starts, drawn around the equilibrium."""
    guess: float = 1.0
    """Weight of the networks' training before the diagnosis."""
    before: int = 1000
    """Steps of it."""
    after: int = 2000
    """Steps with each weight."""
    step_size: float = 0.1
    """Step size of the networks."""
    batch: int = 128
    """Samples of their minibatches."""
    num_seeds: int = 3
    """Networks: with `seed`, `seed` + 1, ..."""
    within: float = 1.25
    """A weight is as good as the best if its distance is at most so many times the best one's."""
    seed: int = 0
    """The first seed, of starts, networks and minibatches."""

    def __post_init__(self) -> None:
        known: Any = Config.systems
        if not self.systems or not set(self.systems) <= set(known) or len(set(self.systems)) < len(self.systems):
            raise ValueError(f"`systems` must be different ones of {known}, one at least, but are {self.systems}.")
        if not 0 < self.lowest < self.highest:
            raise ValueError(
                f"`lowest` must be above 0 and below `highest`, but they are {self.lowest} and {self.highest}."
            )
        if self.num_weights < 3:
            raise ValueError(f"`num_weights` must be at least 3, but is {self.num_weights}.")
        if self.within <= 1:
            raise ValueError(f"`within` must be above 1, but is {self.within}.")
        if self.after < 20 or self.after % 20:
            raise ValueError(f"`after` must be at least 20, and a multiple of it, but is {self.after}.")
        for name in (
            "guess",
            "small_steps",
            "num_starts",
            "before",
            "batch",
            "num_seeds",
            "small_step_size",
            "step_size",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0, but is {getattr(self, name)}.")


QUICK = Config(systems=("Dirac, minimax",), num_weights=5, num_starts=4, before=100, after=200, num_seeds=1)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import analysis, distributions, fields, games, losses, plot, regularizers, updates
from gan_ode.analysis import samples
from gan_ode.distributions import AbstractDistribution, Quadrature
from gan_ode.games import Players

SMALL: dict[str, Any] = {
    "Dirac, minimax": (games.Dirac(losses.Minimax()), (0.0, 0.0)),
    "Dirac, Wasserstein": (games.Dirac(losses.Wasserstein()), (0.0, 0.0)),
    "LQ, minimax": (games.LinearQuadratic(losses.Minimax()), (0.0, 1.0)),
    "LQ, Wasserstein": (games.LinearQuadratic(losses.Wasserstein()), (0.0, 1.0)),
}
# The eigenvalues of the Dirac-GAN meet at gamma = 1 and 2; of the LQ GANs, with damping d and rotation k from the loss
# and 4 gamma / 3 more of damping, at d + 4 gamma / 3 = 2 k: gamma = 17/40 and 1.
CLOSED = {"Dirac, minimax": 1.0, "Dirac, Wasserstein": 2.0, "LQ, minimax": 0.425, "LQ, Wasserstein": 1.0}
# Bisection of a slope, at a kink: measured 1e-12.
KINK = 1e-6
SPREAD = 0.4
NUM_MEASURED = 500
SAVES = 20


class TwoNormals(AbstractDistribution):
    """Half of the points around -1, half around 1, of standard deviation 1/4."""

    def sample(self, key: Any, num: int) -> jax.Array:
        side, noise = jax.random.split(key)
        return jnp.sign(jax.random.uniform(side, (num,)) - 0.5) + 0.25 * jax.random.normal(noise, (num,))

    def quadrature(self, num: int) -> Quadrature:
        raise ValueError("`TwoNormals` has no quadrature: sample it.")


def run(config: Config) -> xr.Dataset:
    weights = np.geomspace(config.lowest, config.highest, config.num_weights)
    small = {name: small_game(config, name, weights) for name in config.systems}
    large = [networks(config, config.seed + n, weights) for n in range(config.num_seeds)]
    data = {
        "small_distance": (("system", "weight"), np.array([one["distance"] for one in small.values()])),
        "small_predicted": ("system", np.array([one["predicted"] for one in small.values()])),
        "small_at_predicted": ("system", np.array([one["at_predicted"] for one in small.values()])),
        "distance": (("run", "weight"), np.array([one["distance"] for one in large])),
        "predicted": ("run", np.array([one["predicted"] for one in large])),
        "at_predicted": ("run", np.array([one["at_predicted"] for one in large])),
        "untreated": ("run", np.array([one["untreated"] for one in large])),
    }
    coordinates = {
        "system": list(config.systems),
        "weight": weights,
        "run": [config.seed + n for n in range(config.num_seeds)],
    }
    return xr.Dataset(data, coordinates, {"within": config.within, "guess": config.guess})


def small_game(config: Config, name: str, weights: np.ndarray) -> dict[str, Any]:
    """The weight from the spectrum, and the distance after training with each weight and with that one."""
    game, rest = SMALL[name]
    equilibrium = Players(*map(jnp.asarray, rest))

    def family(gamma: jax.Array) -> fields.GameField:
        return fields.GameField(regularizers.Penalized(game, regularizers.R1(gamma)))

    predicted = float(analysis.optimal_parameter(family, jnp.asarray(weights), equilibrium).value)
    starts = SPREAD * jax.random.normal(jax.random.key(config.seed), (config.num_starts, 2))

    @jax.jit
    def distances(gammas: jax.Array) -> jax.Array:
        def one(gamma: jax.Array, start: jax.Array) -> jax.Array:
            update, field = updates.Alternating(config.small_step_size), family(gamma)

            def step(y: Players, _: None) -> tuple[Players, None]:
                return update.step(field, 0.0, y, None, None)[0], None

            y, _ = jax.lax.scan(step, Players(*(jnp.asarray(rest) + start)), length=config.small_steps)
            return jnp.hypot(y.discriminator - rest[0], y.generator - rest[1])

        ends = jax.vmap(lambda gamma: jax.vmap(lambda start: one(gamma, start))(starts))(gammas)
        return jnp.exp(jnp.mean(jnp.log(jnp.maximum(ends, 1e-300)), axis=1))

    found = np.asarray(distances(jnp.asarray([*weights, predicted])))
    found = np.where(np.isfinite(found), found, np.inf)
    return {"predicted": predicted, "distance": found[:-1], "at_predicted": found[-1]}


def networks(config: Config, seed: int, weights: np.ndarray) -> dict[str, Any]:
    """Likewise of two networks: the weight from the state that training with a guess has left."""
    gan = make_gan(seed)
    y = advance(config, gan, gan.players, jnp.asarray(config.guess), jax.random.key(seed), config.before)
    args = gan.sample(jax.random.key(seed + 100), 1024)
    predicted = predict(config, gan, y, args)
    gammas = jnp.asarray([0.0, *weights, predicted])
    found = np.asarray(trained(config, gan, gan.players, gammas, jax.random.key(seed + 200)))
    found = np.where(np.isfinite(found), found, np.inf)
    return {"predicted": predicted, "untreated": found[0], "distance": found[1:-1], "at_predicted": found[-1]}


def make_gan(seed: int) -> games.GAN:
    d_key, g_key = jax.random.split(jax.random.key(seed))
    return games.GAN(
        eqx.nn.MLP("scalar", "scalar", 8, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP("scalar", "scalar", 8, 1, activation=jnp.tanh, key=g_key),
        losses.Wasserstein(), data=TwoNormals(), latent=distributions.Normal(),
    )  # fmt: skip


def field_of(gan: games.GAN, gamma: Any) -> fields.GameField:
    return fields.GameField(regularizers.Penalized(gan, regularizers.R1(gamma)))


def predict(config: Config, gan: games.GAN, y: Players, args: Any) -> float:
    """R1's weight, by the diagnosis of the field without it."""
    update = updates.Alternating(config.step_size)
    found = analysis.diagnose(fields.GameField(gan), y, update=update, args=args, remedies=["R1"])
    return float(found.remedies[0].weight)


@eqx.filter_jit
def advance(config: Config, gan: games.GAN, y: Players, gamma: jax.Array, key: jax.Array, num: int) -> Players:
    """Some steps of minibatches."""
    update, field = updates.Alternating(config.step_size), field_of(gan, gamma)

    def step(y: Players, n: jax.Array) -> tuple[Players, None]:
        args = gan.sample(jax.random.fold_in(key, n), config.batch)
        return update.step(field, 0.0, y, args, None)[0], None

    return jax.lax.scan(step, y, jnp.arange(num))[0]


@eqx.filter_jit
def trained(config: Config, gan: games.GAN, y: Players, gammas: jax.Array, key: jax.Array) -> jax.Array:
    """The mean distance of samples to data in the later half of the training, by weight."""
    real = jnp.sort(gan.data.sample(jax.random.key(1001), NUM_MEASURED))
    z = gan.latent.sample(jax.random.key(1000), NUM_MEASURED)

    def one(gamma: jax.Array) -> jax.Array:
        def until_save(y: Players, n: jax.Array) -> tuple[Players, jax.Array]:
            y = advance(config, gan, y, gamma, jax.random.fold_in(key, n), config.after // SAVES)
            made = jax.vmap(lambda z: gan.generate(y.generator, z))(z)
            along = jnp.ones((1, 1))
            return y, samples.sliced_wasserstein(made[:, None], real[:, None], along)

        return jnp.mean(jax.lax.scan(until_save, y, jnp.arange(SAVES))[1][SAVES // 2 :])

    return jax.vmap(one)(gammas)


def claims(results: xr.Dataset) -> list[Claim]:
    found = []
    for system in results.system.values:
        here = results.sel(system=system)
        predicted, best = float(here.small_predicted), best_weight(here.small_distance)
        found += [
            Claim.close(
                f"{system}: weight from the spectrum", predicted, CLOSED[system], rtol=KINK, source="closed form"
            ),
        ]
        # The sweep is no finer than its weights lie apart.
        if results.sizes["weight"] >= 12:
            found.append(
                Claim.below(f"{system}: factor between it and the best of the sweep", apart(predicted, best), 2)
            )
    if results.sizes["weight"] < 12:
        return found
    runs = [results.isel(run=n) for n in range(results.sizes["run"])]
    factors = [apart(float(here.predicted), best_weight(here.distance)) for here in runs]
    good = [here.weight.values[here.distance.values <= results.within * here.distance.values.min()] for here in runs]
    spans = [weights.max() / weights.min() for weights in good]
    guessed = results.distance.interp(weight=results.guess) / results.distance.min("weight")
    return [
        *found,
        # The slow modes of networks decide the weight at a state, not those that make the training fail.
        Claim.above("networks: median factor by which the diagnosed weight is off", np.median(factors), 10.0),
        Claim.above(
            "networks: median ratio of the largest to the smallest weight near the best", np.median(spans), 3.0
        ),
        Claim.below("networks: median distance at a weight of 1 over the best", np.median(guessed.values), 1.5),
    ]


def best_weight(distances: xr.DataArray) -> float:
    """The weight of the sweep that led nearest."""
    values = distances.squeeze(drop=True)
    return float(values.weight[int(values.fillna(np.inf).argmin("weight"))])


def apart(one: float, other: float) -> float:
    """By which factor two weights differ, at least 1; infinite if one is none."""
    return max(one / other, other / one) if one > 0 and other > 0 else float("inf")


def draw(results: xr.Dataset) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 2.9), layout="constrained")
    small, large = figure.subplots(1, 2)
    for n, system in enumerate(results.system.values):
        here, color = results.sel(system=system), plot.CYCLE[n]
        small.plot(results.weight, here.small_distance, color=color, marker="os^v"[n], markersize=2.5, label=system)
        small.plot(here.small_predicted, here.small_at_predicted, color=color, marker="*", markersize=9)
    small.set(xscale="log", yscale="log", xlabel=r"weight $\gamma$ of R1", ylabel="distance from the equilibrium")
    for n, run in enumerate(results.run.values):
        here, color = results.sel(run=run), plot.CYCLE[n % len(plot.CYCLE)]
        large.plot(results.weight, here.distance, color=color, linewidth=0.9, marker="os^vD"[n % 5], markersize=2.5,
                   label=f"seed {run}")  # fmt: skip
        large.plot(here.predicted, here.at_predicted, color=color, marker="*", markersize=9, clip_on=False)
    large.set(xscale="log", yscale="log", xlabel=r"weight $\gamma$ of R1", ylabel="Wasserstein distance of samples")
    for ax, letter, title in zip((small, large), "ab", ("two parameters", "two networks"), strict=True):
        plot.label_panel(ax, letter, title)
        ax.legend(loc="best")
    return figure
