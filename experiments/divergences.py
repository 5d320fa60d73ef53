"""Does it matter which f-divergence a GAN minimizes?

Near the equilibrium, in two numbers only: the slope and the curvature of what data and samples are paid. They make the
Jacobian, with two kernels of the game, and so all eigenvalues, decay rates and critical steps; divergences that share
the two numbers cannot be told apart. Far away they can: orbits of two such divergences from the same start part by the
square of its distance from the equilibrium. How the dynamics depend on the divergence is an open question of Nagarajan
and Kolter (2017).
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    distances: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    """Distances of starts from the equilibrium, rising."""
    divergences: tuple[str, ...] = (
        "KL",
        "reverse KL",
        "alpha = 1/2",
        "alpha = 3/2",
        "Pearson",
        "Neyman",
        "Jeffreys",
        "squared Hellinger",
        "Jensen-Shannon",
    )
    """Divergences; any of these. Orbits are compared where both of a pair are among them."""
    duration: float = 12.0
    """How long orbits are followed, about a turn."""
    linear_term: bool = True
    """Whether spectra are looked at with a linear term in the discriminator, too."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        known = Config.divergences
        if not self.divergences or not set(self.divergences) <= set(known):
            raise ValueError(f"`divergences` must be some of {', '.join(known)}, but is {self.divergences}.")
        if len(self.distances) < 3 or sorted(self.distances) != list(self.distances) or self.distances[0] <= 0:
            raise ValueError(f"`distances` must be at least three, positive and rising, but are {self.distances}.")
        if self.distances[-1] >= 1:
            raise ValueError(
                f"`distances` must be below 1, where the generator is zero, but reach {self.distances[-1]}."
            )
        if self.duration <= 0:
            raise ValueError(f"`duration` must be positive, but is {self.duration}.")


QUICK = Config(
    distances=(0.01, 0.05, 0.2),
    divergences=("KL", "reverse KL", "Pearson", "Jensen-Shannon"),
    linear_term=False,
)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, games, losses, plot

FAMILY: dict[str, Any] = {
    "KL": losses.KL(),
    "reverse KL": losses.ReverseKL(),
    "alpha = 1/2": losses.Alpha(0.5),
    "alpha = 3/2": losses.Alpha(1.5),
    "Pearson": losses.PearsonChiSquared(),
    "Neyman": losses.NeymanChiSquared(),
    "Jeffreys": losses.FDivergence(lambda u: (u - 1) * jnp.log(u)),
    "squared Hellinger": losses.SquaredHellinger(),
    "Jensen-Shannon": losses.JensenShannon(),
}
# The second derivative of f at 1, by hand: KL u log u, and so on.
BEND = {
    "KL": 1.0,
    "reverse KL": 1.0,
    "alpha = 1/2": 1.0,
    "alpha = 3/2": 1.0,
    "Pearson": 2.0,
    "Neyman": 2.0,
    "Jeffreys": 2.0,
    "squared Hellinger": 0.5,
    "Jensen-Shannon": 0.5,
}
# T'(0): the activations of all but the last have slope 1.
SLOPE = {name: 0.5 if name == "Jensen-Shannon" else 1.0 for name in FAMILY}
# Pairs with the same two numbers.
TWINS = (("KL", "reverse KL"), ("alpha = 1/2", "alpha = 3/2"), ("Pearson", "Neyman"))
RTOL = 1e-11
# Quadratures of polynomials and exponentials, and eigenvalues of order 1.
ROUNDING = 1e-9


def field_of_number(names: tuple[str, ...]) -> Any:
    """A field whose `args` say which of these divergences, as a number: all are one program."""
    branches = [_velocity(FAMILY[name]) for name in names]
    return lambda t, y, which: jax.lax.switch(which, branches, t, y)


def _velocity(loss: Any) -> Any:
    field = fields.GameField(games.LinearQuadratic(loss))
    return lambda t, y: field(t, y, None)


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    spectra: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]
    wide: dict[str, np.ndarray]
    wide_predicted: dict[str, np.ndarray]
    orbits: dict[tuple[str, float], np.ndarray]
    ts: np.ndarray

    @property
    def twins(self) -> list[tuple[str, str]]:
        return [pair for pair in TWINS if set(pair) <= set(self.config.divergences)]

    def apart(self, twins: tuple[str, str]) -> np.ndarray:
        """The largest distance of two orbits, over the distance of their start, by that."""
        pairs = [(self.orbits[twins[0], r], self.orbits[twins[1], r], r) for r in self.config.distances]
        return np.array([np.linalg.norm(one - other, axis=1).max() / r for one, other, r in pairs])

    @property
    def dataset(self) -> xr.Dataset:
        names = list(self.spectra)
        spectra = np.array([self.spectra[name] for name in names])
        predicted = np.array([self.predicted[name] for name in names])
        orbits = np.array([[self.orbits[name, r] for r in self.config.distances] for name in names])
        over, per_time = ("divergence", "eigenvalue"), {"units": "1/time"}
        return xr.Dataset(
            {
                "eigenvalue_real": (over, np.real(spectra), per_time),
                "eigenvalue_imag": (over, np.imag(spectra), per_time),
                "predicted_real": (over, np.real(predicted), per_time),
                "predicted_imag": (over, np.imag(predicted), per_time),
                "orbit": (("divergence", "distance", "time", "parameter"), orbits),
                "apart": (("twins", "distance"), np.array([self.apart(each) for each in self.twins])),
            },
            coords={
                "divergence": names,
                "distance": list(self.config.distances),
                "time": self.ts,
                "parameter": ["w", "a"],
                "twins": [" and ".join(each) for each in self.twins],
            },
        )


def run(config: Config) -> Results:
    any_field = field_of_number(config.divergences)
    numbers = {name: jnp.asarray(number) for number, name in enumerate(config.divergences)}
    ts = jnp.linspace(0.0, config.duration, 121)

    def orbit(name: str, distance: float) -> np.ndarray:
        start = lq.state(0.6 * distance, 1 + 0.8 * distance)
        ys = flow(any_field, start, ts, args=numbers[name], rtol=RTOL, atol=RTOL).ys
        return np.stack([ys.discriminator, ys.generator], axis=1)

    return Results(
        config,
        spectra={
            name: sorted_spectrum(analysis.jacobian(any_field, lq.EQUILIBRIUM, args=number))
            for name, number in numbers.items()
        },
        predicted={name: prediction(name) for name in numbers},
        wide={name: of_four(FAMILY[name]) for name in numbers} if config.linear_term else {},
        wide_predicted={name: prediction_of_four(name) for name in numbers} if config.linear_term else {},
        orbits={(name, r): orbit(name, r) for name in numbers for r in config.distances},
        ts=np.asarray(ts),
    )


def sorted_spectrum(matrix: Any) -> np.ndarray:
    values = np.linalg.eigvals(np.asarray(matrix))
    return values[np.lexsort([np.imag(values), np.real(values)])]


def numbers_of(name: str) -> tuple[float, float]:
    """Slope and curvature, from f''(1) and the activation alone: the curvature is -slope^2/(2 f''(1))."""
    return SLOPE[name], -(SLOPE[name] ** 2) / (2 * BEND[name])


def prediction(name: str) -> np.ndarray:
    """With K_DD = 1/5 and K_DG = -2/3."""
    slope, curvature = numbers_of(name)
    return sorted_spectrum([[2 * curvature / 5, -2 * slope / 3], [2 * slope / 3, 0.0]])


def of_four(loss: Any) -> np.ndarray:
    game = games.LinearQuadratic(loss, linear=True, offset=True)
    return sorted_spectrum(analysis.jacobian(fields.GameField(game), game.equilibrium, check=False))


def prediction_of_four(name: str) -> np.ndarray:
    """The pairs (w2, a) and (w1, b) part, with E x^4 = 1/5 and E x^2 = 1/3."""
    slope, curvature = numbers_of(name)
    first = [[2 * curvature / 5, -2 * slope / 3], [2 * slope / 3, 0.0]]
    second = [[2 * curvature / 3, -slope], [slope, 0.0]]
    return sorted_spectrum(np.block([[np.array(first), np.zeros((2, 2))], [np.zeros((2, 2)), np.array(second)]]))


def claims(results: Results) -> list[Claim]:
    found = []
    for name in results.config.divergences:
        there, (slope, curvature) = FAMILY[name].at_equilibrium(), numbers_of(name)
        found.append(Claim.close(f"{name}: slope at the equilibrium", there.slope, slope, atol=ROUNDING))
        found.append(Claim.close(f"{name}: curvature there", there.curvature, curvature, atol=ROUNDING))
        miss = np.abs(results.spectra[name] - results.predicted[name]).max()
        found.append(Claim.below(f"{name}: distance of the spectrum from that of two numbers", miss, ROUNDING))
        if results.wide:
            miss = np.abs(results.wide[name] - results.wide_predicted[name]).max()
            found.append(Claim.below(f"{name}, four parameters: distance of the spectrum", miss, ROUNDING))
    distances = np.asarray(results.config.distances)
    for twins in results.twins:
        names, apart = " and ".join(twins), results.apart(twins)
        found.append(Claim.below(f"{names}: orbits apart near the equilibrium, relative", apart[0], 0.02))
        found.append(Claim.above(f"{names}: orbits apart far away, relative", apart[-1], 0.015))
        # The quadratic part of the field is the first that differs.
        power = np.polyfit(np.log(distances[:3]), np.log(apart[:3]), 1)[0]
        found.append(
            Claim.close(f"{names}: power of the distance with which they part, relative", power, 1.0, atol=0.15)
        )
    return found


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 3.8), layout="constrained")
    spectra, near, parting = figure.subplots(1, 3)
    groups = {1.0: "$f''(1) = 1$", 2.0: "$f''(1) = 2$", 0.5: "$f''(1) = 1/2$"}
    marks = ("o", "s", "^", "v", "D", "P", "X", "<", ">")
    for mark, (name, values) in zip(marks, results.spectra.items(), strict=False):
        color = f"C{list(groups).index(BEND[name])}"
        spectra.plot(
            np.real(values), np.imag(values), mark, color=color, markerfacecolor="none", markersize=5, label=name
        )
    values = np.concatenate(list(results.predicted.values()))
    spectra.plot(np.real(values), np.imag(values), "+", color="k", markersize=7, zorder=5, label="of two numbers")
    spectra.axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
    spectra.set(xlabel="real part", ylabel="imaginary part", xlim=(-0.27, 0.03))
    farthest = results.config.distances[-1]
    for i, name in enumerate(dict.fromkeys(each for twins in results.twins[::2] for each in twins)):
        near.plot(
            *results.orbits[name, farthest].T, color=f"C{i}", linewidth=1, label=name, linestyle=("-", "--")[i % 2]
        )
    near.plot(0, 1, "k+", markersize=6)
    near.set(xlabel="$w$", ylabel="$a$")
    for i, twins in enumerate(results.twins):
        parting.loglog(results.config.distances, results.apart(twins), "osD"[i] + "-", label=", ".join(twins))
    distances = np.asarray(results.config.distances)
    parting.loglog(distances, 0.2 * distances, color="0.5", linestyle=":", label="proportional")
    parting.set(xlabel="distance of the start", ylabel="orbits apart / distance")
    for panel, letter, title in zip(
        (spectra, near, parting), "abc", ("spectra", "orbits far away", "twins"), strict=True
    ):
        plot.label_panel(panel, letter, title)
    for panel in (spectra, near, parting):
        # Below, where nothing is drawn.
        panel.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure
