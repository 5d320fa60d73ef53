r"""Does the average come to rest where the last iterate circles, and what does an anchor do?

On a bilinear game the steps of alternating players stay on a closed curve for ever, and simultaneous steps leave. Their
averages are tried beside their last iterates: the mean of all iterates so far, an exponential moving average (EMA), as
people take of the generator's weights, and an anchor at the start that pulls less and less. Beside the bilinear game
stand the Dirac-GAN, whose players turn at a speed that depends on the distance, and a regularized Wasserstein GAN,
whose last iterate comes in by itself.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    step_size: float = 0.1
    """Of every rule."""
    ema_rate: float = 0.01
    """What of the new iterate goes into the exponential moving average."""
    num_steps: int = 20_000
    """Steps of every orbit; at least 2,000."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if not 0 < self.step_size < 1:
            raise ValueError(f"`step_size` must be between 0 and 1, but is {self.step_size}.")
        if not 0 < self.ema_rate < 1:
            raise ValueError(f"`ema_rate` must be between 0 and 1, but is {self.ema_rate}.")
        if self.num_steps < 2_000:
            raise ValueError(f"`num_steps` must be at least 2000, but is {self.num_steps}.")


QUICK = Config(num_steps=4_000)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import fields, games, iterate, losses, plot, regularizers, updates
from gan_ode.games import Players

# A field, its equilibrium and a start.
GAMES: dict[str, tuple[Any, tuple[float, float], tuple[float, float]]] = {
    "bilinear": (fields.GameField(games.Dirac(losses.Wasserstein())), (0.0, 0.0), (0.0, 1.0)),
    "Dirac-GAN": (fields.GameField(games.Dirac(losses.Minimax())), (0.0, 0.0), (0.0, 1.0)),
    "regularized WGAN": (
        fields.GameField(
            regularizers.Penalized(games.LinearQuadratic(losses.Wasserstein()), regularizers.GradientNorm(0.5))
        ),
        (0.0, 1.0),
        (0.3, 1.2),
    ),
}
LAST, MEAN, EMA, ANCHORED = "alternating", "mean of all", "moving average", "anchored"
GROWING, OF_GROWING = "simultaneous", "mean of simultaneous"
# A sum of many terms of a rotation: measured 3e-13.
ROUNDING = 1e-9
# Fitted over the later three quarters, with the turns in it; measured 0.06 with few steps.
POWER_TOLERANCE = 0.1


def rules(config: Config) -> dict[str, updates.AbstractUpdate]:
    alternating, simultaneous = updates.Alternating(config.step_size), updates.Simultaneous(config.step_size)
    return {
        LAST: alternating,
        MEAN: updates.Averaged(alternating),
        EMA: updates.Averaged(alternating, config.ema_rate),
        ANCHORED: updates.AnchoredExtragradient(config.step_size),
        GROWING: simultaneous,
        OF_GROWING: updates.Averaged(simultaneous),
    }


@dataclasses.dataclass(frozen=True)
class Results:
    """Distances from the equilibrium after every step, by game and rule; NaN after a blow-up."""

    config: Config
    distances: dict[tuple[str, str], np.ndarray]

    @property
    def dataset(self) -> xr.Dataset:
        names = list(rules(self.config))
        values = np.array([[self.distances[game, rule] for rule in names] for game in GAMES])
        steps = np.arange(self.config.num_steps + 1)
        return xr.Dataset(
            {"distance": (("game", "rule", "step"), values)}, {"game": list(GAMES), "rule": names, "step": steps}
        )

    def power(self, game: str, rule: str) -> float:
        """The distance goes as this power of the number of steps, over the later three quarters."""
        distances = self.distances[game, rule]
        first = len(distances) // 4
        numbers = np.arange(first, len(distances))
        return float(np.polyfit(np.log(numbers), np.log(distances[first:]), 1)[0])

    def settled(self, game: str, rule: str) -> np.ndarray:
        """Distances over the later half."""
        return self.distances[game, rule][self.config.num_steps // 2 :]


def run(config: Config) -> Results:
    found = {}
    for game, (field, rest, start) in GAMES.items():
        y0 = Players(*map(jnp.asarray, start))
        for name, rule in rules(config).items():
            orbit = iterate(rule, field, y0, num_steps=config.num_steps)
            points = np.stack([np.asarray(orbit.ys.discriminator), np.asarray(orbit.ys.generator)], axis=1)
            found[game, name] = np.linalg.norm(points - np.array(rest), axis=1)
    return Results(config, found)


def gain_of_average(config: Config) -> float:
    r"""How far a moving average stays out of an orbit that turns by theta a step: $r / |1 - (1 - r) e^{-i\theta}|$."""
    turn = np.arccos(1 - config.step_size**2 / 2)
    return float(config.ema_rate / abs(1 - (1 - config.ema_rate) * np.exp(-1j * turn)))


def claims(results: Results) -> list[Claim]:
    config, h = results.config, results.config.step_size
    circle, smoothed = results.settled("bilinear", LAST), results.settled("bilinear", EMA)
    growth = np.diff(np.log(results.distances["bilinear", GROWING][:1000]))
    # Alternating steps keep psi^2 + theta^2 - h psi theta, 1 at the start.
    outermost = 1 / np.sqrt(1 - h / 2)
    found = [
        Claim.close("bilinear: the last iterate's farthest distance", circle.max(), outermost, atol=1e-3),
        Claim.close("bilinear: its nearest one", circle.min(), 1 / np.sqrt(1 + h / 2), atol=1e-3),
        Claim.close(
            "bilinear: power of the mean's distance", results.power("bilinear", MEAN), -1.0, atol=POWER_TOLERANCE
        ),
        Claim.close(
            "bilinear: the moving average over the last iterate",
            smoothed.max() / circle.max(),
            gain_of_average(config),
            atol=1e-3,
        ),
        Claim.close(
            "bilinear: growth of simultaneous steps",
            float(growth.mean()),
            np.log(1 + h**2) / 2,
            atol=ROUNDING,
            unit="per step",
        ),
        Claim.above(
            "bilinear: how far the mean of simultaneous steps is out at the end",
            np.log(results.distances["bilinear", OF_GROWING][-1]),
            np.log(results.distances["bilinear", OF_GROWING][0]),
        ),
        Claim.close(
            "bilinear: power of the anchored distance", results.power("bilinear", ANCHORED), -1.0, atol=POWER_TOLERANCE
        ),
        # Its orbits are symmetric about the equilibrium, so that a turn leaves nothing in the sum.
        Claim.close(
            "Dirac-GAN: power of the mean's distance", results.power("Dirac-GAN", MEAN), -1.0, atol=POWER_TOLERANCE
        ),
        Claim.below(
            "regularized WGAN: the last iterate at the end", results.settled("regularized WGAN", LAST).max(), 1e-12
        ),
        Claim.close(
            "regularized WGAN: power of the mean's distance",
            results.power("regularized WGAN", MEAN),
            -1.0,
            atol=POWER_TOLERANCE,
        ),
    ]
    return found


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 2.9), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    looks = {GROWING: ":", OF_GROWING: ":"}
    for letter, ax, game in zip("abc", panels, GAMES, strict=True):
        for i, rule in enumerate(rules(results.config)):
            distances = results.distances[game, rule]
            # As many points a decade everywhere.
            shown = np.unique(np.geomspace(1, len(distances) - 1, 400).astype(int))
            ax.plot(shown, distances[shown], looks.get(rule, "-"), color=f"C{i}", linewidth=1.0, label=rule)
        ax.set(xscale="log", yscale="log", ylim=(1e-5, 20.0), xlabel="steps")
        plot.label_panel(ax, letter, game)
    panels[0].set_ylabel("distance from the equilibrium")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
