r"""What would stop this cycle, which knob by the least turn, and what is there instead?

Three cycles, each with some knobs, each value with a verdict on both sides:

- the Wasserstein GAN circles in a family of cycles. Any weight of the gradient norm, of R1 or of consensus breaks it,
  and no ratio of rates does. Alternating steps keep closed curves, extragradient steps do not have them;
- the almost bilinear game of Hsieh et al. (2021) has a cycle that attracts. It ends in a Hopf point, at
  $\mu = \epsilon$ of a weight decay $\mu y^2/2$ of the discriminator, at $\epsilon/(2 + \epsilon^2)$ of consensus, and
  by no step size;
- a GAN of networks on the ring, whose players are drawn to where they began: the pull that stops it is a Hopf point of
  their equilibrium.

Source: the counterexample is that of Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065, section 5.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = ("almost bilinear", "Wasserstein", "ring")
    """Games; any of these."""
    knobs: tuple[str, ...] = (
        "weight decay",
        "consensus",
        "gradient norm",
        "R1",
        "ratio of rates",
        "alternating steps",
        "extragradient steps",
        "pull",
    )
    """Knobs, those that a game has; any of these."""
    epsilon: float = 0.5
    """Charge of the almost bilinear game, above 0."""
    num_values: int = 7
    """How many values of a range are looked at where a branch does not say."""
    seed: int = 2
    """Seed of the networks and the minibatch on the ring."""

    def __post_init__(self) -> None:
        for name in ("cases", "knobs"):
            given, known = getattr(self, name), getattr(Config, name)
            if not given or not set(given) <= set(known) or len(set(given)) < len(given):
                raise ValueError(f"`{name}` must be some of {', '.join(known)}, each once, but is {given}.")
        if not 0 < self.epsilon < 1:
            raise ValueError(f"`epsilon` must be between 0 and 1, but is {self.epsilon}.")
        if self.num_values < 3:
            raise ValueError(f"`num_values` must be at least 3, but is {self.num_values}.")


QUICK = Config(cases=("almost bilinear",), knobs=("weight decay",))

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.patches import Patch

from experiments._machinery._runner import Claim
from gan_ode import analysis, distributions, fields, games, losses, plot, regularizers, updates
from gan_ode.games import Players

# Events are found to rounding, rates by the spectrum; measured 1e-15. The Wasserstein GAN's are
# fitted to turns of a finite size; measured 1.1e-2.
ROUNDING, FITTED = 1e-9, 2e-2
RANGES = {
    "weight decay": (0.0, 1.0),
    "consensus": (0.0, 1.0),
    "gradient norm": (0.0, 1.0),
    "R1": (0.0, 1.0),
    "ratio of rates": (1.0, 4.0),
    "alternating steps": (0.05, 0.8),
    "extragradient steps": (0.05, 0.8),
    "pull": (0.0605, 0.09),
}
# How strong the pull is from which the ring's equilibrium is followed.
STRONG = 3.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A cycle and what may stop it.

    Attributes:
        cycle: The cycle, or a state on it.
        knobs: Names, each with what makes a field or an update of a value, and its range.
        field: The field that rules step, if there are rules among the knobs.
        args: The minibatch.
    """

    cycle: Any
    knobs: dict[str, Any]
    field: Any = None
    args: Any = None


def scalars(discriminator: float, generator: float) -> Players:
    return Players(jnp.asarray(discriminator, float), jnp.asarray(generator, float))


def of_a_game(game: Any, start: Players, penalties: dict[str, Any]) -> Case:
    """A game with two parameters and the knobs that every one has."""

    def penalized(penalty: Any) -> Any:
        return lambda weight: fields.GameField(regularizers.Penalized(game, penalty(weight)))

    plain = fields.GameField(game)
    made = {name: penalized(penalty) for name, penalty in penalties.items()} | {
        "consensus": lambda weight: regularizers.Adjusted(plain, regularizers.Consensus(weight)),
        "ratio of rates": lambda ratio: fields.GameField(game, Players(ratio, 1.0)),
        "alternating steps": updates.Alternating,
        "extragradient steps": updates.Extragradient,
    }
    knobs = {name: (what, RANGES[name]) for name, what in made.items()}
    return Case(analysis.find_periodic_orbit(plain, start), knobs, field=plain)


def almost_bilinear(config: Config) -> Case:
    decay = {"weight decay": lambda weight: regularizers.WeightDecay(discriminator=weight)}
    return of_a_game(games.AlmostBilinear(config.epsilon), scalars(0.0, 1.5), decay)


def wasserstein(config: Config) -> Case:
    penalties = {"gradient norm": regularizers.GradientNorm, "R1": regularizers.R1}
    return of_a_game(games.LinearQuadratic(losses.Wasserstein()), scalars(0.3, 1.0), penalties)


def ring(config: Config) -> Case:
    """Networks of 39 parameters, near a Hopf point of their equilibrium."""
    keys = jax.random.split(jax.random.key(config.seed), 4)
    discriminator = eqx.nn.MLP(2, "scalar", 4, 1, activation=jnp.tanh, key=keys[0])
    generator = eqx.nn.MLP(2, 2, 4, 1, activation=jnp.tanh, key=keys[1])
    gan = games.GAN(
        discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(2)
    )
    began, batch = jax.tree.map(lambda leaf: leaf.astype(float), (gan.players, gan.sample(keys[3], 64)))
    field = fields.GameField(gan)

    def pulled(weight: Any) -> Any:
        def velocity(t: Any, y: Players, args: Any) -> Players:
            return jax.tree.map(lambda v, here, there: v - weight * (here - there), field(t, y, args), y, began)

        return velocity

    # From where the pull is strong, through whatever folds there are.
    branch = analysis.continue_equilibrium(
        pulled, jnp.array([STRONG, RANGES["pull"][0]]), began, args=batch, longest_step=0.1
    )
    beside = jax.tree.map(lambda leaf: 1.05 * leaf[-1], branch.states)
    return Case(beside, {"pull": (pulled, RANGES["pull"])}, args=batch)


CASES = {"almost bilinear": almost_bilinear, "Wasserstein": wasserstein, "ring": ring}


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    stops: dict[str, analysis.Stops]

    @property
    def dataset(self) -> xr.Dataset:
        parts = [
            stops.to_xarray().expand_dims(case=[name]).stack(row=("case", "knob")) for name, stops in self.stops.items()
        ]
        return xr.concat(parts, "row").reset_index("row")


def run(config: Config) -> Results:
    found = {}
    for name in config.cases:
        case = CASES[name](config)
        knobs = {knob: case.knobs[knob] for knob in config.knobs if knob in case.knobs}
        if knobs:
            found[name] = analysis.what_stops(
                case.cycle, knobs, field=case.field, args=case.args, num_values=config.num_values
            )
    return Results(config, found)


def claims(results: Results) -> list[Claim]:
    found = []
    for case, stops in results.stops.items():
        for stop in stops:
            name = f"{case}, {stop.knob}"
            if np.isfinite(stop.turn) and stop.turn > 0:
                sides = f"{stop.before.kind}, {stop.after.kind}"
                found.append(Claim.equal(f"{name}: on its two sides it", sides, "cycles, converges"))
            found += _expected(results.config, case, stop, name)
    return found


def _expected(config: Config, case: str, stop: analysis.Stop, name: str) -> list[Claim]:
    """By hand: the trace of the almost bilinear game's Jacobian, and the Wasserstein GAN's damping."""
    epsilon = config.epsilon
    ends = {"weight decay": (epsilon, 0.5), "consensus": (epsilon / (2 + epsilon**2), (2 + epsilon**2) / 2)}
    damping = {"gradient norm": 4 / 9, "consensus": 4 / 9, "R1": 2 / 3}
    if case == "almost bilinear" and stop.knob in ends:
        value, slope = ends[stop.knob]
        rate = -slope * (stop.beyond - value)
        return [
            Claim.equal(f"{name}: it ends in", stop.how, "hopf"),
            Claim.close(f"{name}: value", stop.value, value, atol=ROUNDING),
            Claim.close(f"{name}: rate just beyond", stop.rate, rate, atol=ROUNDING, unit="1/time"),
        ]
    if case == "Wasserstein" and stop.knob in damping:
        rate = -damping[stop.knob] * stop.beyond
        return [
            Claim.equal(f"{name}: it is one of", stop.how, "family of cycles"),
            Claim.close(f"{name}: value", stop.value, 0.0, atol=ROUNDING),
            Claim.close(f"{name}: rate just beyond", stop.rate, rate, atol=FITTED * abs(rate), unit="1/time"),
        ]
    if case == "ring":
        return [Claim.equal(f"{name}: it ends in", stop.how, "hopf")]
    words = {
        "ratio of rates": "not in the range",
        "alternating steps": "not in the range",
        "extragradient steps": "no cycle at the start" if case == "Wasserstein" else "not in the range",
    }
    return [Claim.equal(f"{name}: it ends", stop.how, words[stop.knob])]


COLORS = {"cycles": "C1", "converges": "C0"}


def draw(results: Results) -> matplotlib.figure.Figure:
    """A row for each knob: along its range, what trajectories from the cycle do, and what happens in between."""
    rows = [len(stops) for stops in results.stops.values()]
    figure = matplotlib.figure.Figure(figsize=(7.2, 0.9 + 0.42 * len(rows) + 0.27 * sum(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    for panel, letter, (case, stops) in zip(panels, "abc", results.stops.items(), strict=False):
        names = [f"{stop.knob}, {RANGES[stop.knob][0]:g} to {RANGES[stop.knob][1]:g}" for stop in stops]
        for row, stop in enumerate(stops):
            turn = min(stop.turn, 1.0)
            panel.barh(row, turn, height=0.6, color=COLORS["cycles"])
            # One verdict just beyond stands for the rest.
            panel.barh(row, 1 - turn, left=turn, height=0.6, color=COLORS["converges"], alpha=0.3)
            panel.barh(row, min(0.02, 1 - turn), left=turn, height=0.6, color=COLORS["converges"])
            said = stop.how if not np.isfinite(stop.turn) else f"{stop.how}: {stop.value:.4g}"
            panel.text(1.02, row, said, va="center", fontsize=8)
        panel.set_yticks(range(len(names)), names)
        panel.invert_yaxis()
        panel.set(xlim=(0, 1))
        panel.tick_params(axis="y", length=0)
        plot.label_panel(panel, letter, case)
    panels[-1].set_xlabel("turn of the knob, as a part of its range")
    words = {"cycles": "cycles", "converges": "converges, just beyond"}
    patches = [Patch(color=color, label=words[kind]) for kind, color in COLORS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=2)
    return figure
