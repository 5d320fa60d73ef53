r"""Which training rules escape the spurious cycles of the published counterexamples?

Two zero-sum games with a single critical point each, of Hsieh, Mertikopoulos and Cevher (2021). Around that of
`AlmostBilinear` lies a cycle that attracts, and the point repels. That of `Forsaken` attracts, but is shielded by a
cycle that repels, within one that attracts. For every rule and step size many starts are followed: which part comes to
the critical point, still moves at the end, or grows without bound.

No rule comes to a point at which one of its multipliers is beyond the unit circle, and so none escapes from the first
game without a change of the field; with the consensus adjustment its point attracts from the weight
epsilon/(2 + epsilon^2) on. In the second game multipliers within the circle are not enough: the cycles have to go as
well, and they do at large steps of rules that damp rotation, at the price of starts that are thrown out.

Source: Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065, section 5; the consensus adjustment is that of
Mescheder, Nowozin and Geiger (2017), arXiv:1705.10461.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    games: tuple[str, ...] = ("almost bilinear", "forsaken")
    """Games: either or both of these."""
    rules: tuple[str, ...] = ("simultaneous", "alternating", "extragradient", "optimistic", "momentum", "consensus")
    """Rules: any of these. 'momentum' is -1/2; 'consensus' is simultaneous steps of the adjusted field."""
    step_sizes: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
    """Step sizes, growing."""
    shown: float = 0.35
    """Step size of the maps: one of `step_sizes`."""
    epsilon: float = 0.5
    """Charge of the almost bilinear game, above 0."""
    weight: float = 0.4
    """Weight of the consensus adjustment, in units of time."""
    widest: float = 2.0
    """Largest |x| and |y| of the starts."""
    resolution: int = 50
    """Starts along each axis, even."""
    num_steps: int = 6000
    """Steps of every orbit."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        for name in ("games", "rules"):
            given, known = getattr(self, name), getattr(Config, name)
            if not given or not set(given) <= set(known) or len(set(given)) < len(given):
                raise ValueError(f"`{name}` must be some of {', '.join(known)}, each once, but is {given}.")
        sizes = self.step_sizes
        if not sizes or min(sizes) <= 0 or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"`step_sizes` must be growing and above 0, but is {sizes}.")
        if self.shown not in sizes:
            raise ValueError(f"`shown` must be one of {sizes}, but is {self.shown}.")
        if self.epsilon <= 0 or self.weight <= self.epsilon / (2 + self.epsilon**2):
            raise ValueError(
                "`weight` must be above epsilon / (2 + epsilon^2) for the point to attract, and `epsilon` above 0, but "
                f"they are {self.weight} and {self.epsilon}."
            )
        if self.resolution < 8 or self.resolution % 2:
            raise ValueError(f"`resolution` must be even and at least 8, but is {self.resolution}.")
        if self.widest < 1:
            raise ValueError(f"`widest` must be at least 1, to have the cycles inside, but is {self.widest}.")
        if self.num_steps < 1000:
            raise ValueError(f"`num_steps` must be at least 1,000, for starts to settle, but is {self.num_steps}.")


QUICK = Config(games=("forsaken",), rules=("extragradient",), step_sizes=(0.1, 0.35), resolution=16, num_steps=3000)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, games, plot, regularizers, simulate, updates
from gan_ode.games import Players

RULES: dict[str, Any] = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
    "momentum": lambda h: updates.HeavyBall(h, -0.5),
    "consensus": updates.Simultaneous,
}
COMES, MOVES, GROWS = range(3)
ENDS = ("comes to the critical point", "still moves at the end", "grows without bound")
# Where multipliers are this near to the circle, the time may not do; and from this near the linear part decides.
NEUTRAL, NEAR = 0.005, 1e-3


def game_of(config: Config, name: str) -> games.AlmostBilinear | games.Forsaken:
    return games.AlmostBilinear(config.epsilon) if name == "almost bilinear" else games.Forsaken()


def field_of(config: Config, name: str, rule: str) -> Any:
    plain = fields.GameField(game_of(config, name))
    return regularizers.Adjusted(plain, regularizers.Consensus(config.weight)) if rule == "consensus" else plain


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    dataset: xr.Dataset
    verdicts: dict[str, str]


def run(config: Config) -> Results:
    pairs = [(name, rule) for name in config.games for rule in config.rules]
    ends = [follow(config, *pair) for pair in pairs]
    radii = [radii_of(config, *pair) for pair in pairs]
    return Results(config, tabulate(config, ends, radii), {name: verdict_of(config, name) for name in config.games})


def starts_of(config: Config, point: Players) -> Players:
    """A grid, and at last one start that is so near that the linear part decides."""
    ticks = jnp.linspace(-config.widest, config.widest, config.resolution)
    grid = analysis.state_grid(ticks, ticks)
    return jax.tree.map(lambda many, one: jnp.append(many, one + 5 * NEAR), grid, point)


def follow(config: Config, name: str, rule: str) -> np.ndarray:
    """How each start ends, for each step size: all of them in one program."""
    point = game_of(config, name).equilibrium
    starts = starts_of(config, point)
    num, sizes = starts.generator.size, jnp.asarray(config.step_sizes)
    orbits = simulate.iterate_ensemble(
        eqx.filter_vmap(RULES[rule])(jnp.repeat(sizes, num)),
        field_of(config, name, rule),
        jax.tree.map(lambda leaf: jnp.tile(leaf, len(sizes)), starts),
        config.num_steps,
        save_every=config.num_steps,
        batched_update=True,
    )
    return np.reshape(ends_of(orbits, point), (len(sizes), num))


def ends_of(orbits: simulate.Orbit, point: Players) -> np.ndarray:
    away = [
        np.asarray(a) - np.asarray(b)
        for a, b in zip(jax.tree.leaves(orbits.final_state), jax.tree.leaves(point), strict=True)
    ]
    settled = np.where(np.hypot(*away) < NEAR, COMES, MOVES)
    return np.where(np.asarray(orbits.outcome == simulate.OUTCOMES.ok), settled, GROWS)


def radii_of(config: Config, name: str, rule: str) -> np.ndarray:
    """The largest multiplier at the critical point, for each step size."""
    field, point = field_of(config, name, rule), game_of(config, name).equilibrium
    radius = jax.jit(jax.vmap(lambda h: analysis.spectral_radius(RULES[rule](h), field, point)))
    return np.asarray(radius(jnp.asarray(config.step_sizes)))


def verdict_of(config: Config, name: str) -> str:
    """Of the flow, from outside."""
    far = Players(discriminator=jnp.array(0.0), generator=jnp.array(1.5))
    return analysis.classify(fields.GameField(game_of(config, name)), far).kind


def tabulate(config: Config, ends: list[np.ndarray], radii: list[np.ndarray]) -> xr.Dataset:
    shape, side = (len(config.games), len(config.rules), len(config.step_sizes)), config.resolution
    ticks = np.linspace(-config.widest, config.widest, side)
    over = ("game", "rule", "step_size")
    every = np.reshape(ends, (*shape, side * side + 1))
    grid = np.reshape(every[..., :-1], (*shape, side, side))
    return xr.Dataset(
        {
            "end": ((*over, "x", "y"), grid, {"long_name": "; ".join(f"{i}: {end}" for i, end in enumerate(ENDS))}),
            "end_from_near": (over, every[..., -1], {"long_name": "the end of a start next to the critical point"}),
            "radius": (over, np.reshape(radii, shape), {"long_name": "largest multiplier at the critical point"}),
            "comes": (over, np.mean(grid == COMES, axis=(-2, -1)), {"long_name": "part that comes to the point"}),
            "grows": (over, np.mean(grid == GROWS, axis=(-2, -1)), {"long_name": "part that grows without bound"}),
        },
        coords={
            "game": list(config.games),
            "rule": list(config.rules),
            "step_size": list(config.step_sizes),
            "x": ticks,
            "y": ticks,
        },
    )


def claims(results: Results) -> list[Claim]:
    config, data = results.config, results.dataset
    found = [Claim.equal(f"{name}: the flow from outside", results.verdicts[name], "cycles") for name in config.games]
    found += [of_the_multipliers(data.sel(game=name, rule=rule)) for name in config.games for rule in config.rules]
    if "almost bilinear" in config.games:
        found += of_the_almost_bilinear(config, data.sel(game="almost bilinear"))
    if "forsaken" in config.games:
        found += of_the_shield(config, data["comes"].sel(game="forsaken"))
    return found


def of_the_multipliers(data: xr.Dataset) -> Claim:
    """The start next to the point comes to it where all multipliers lie within the circle, and only there."""
    radius = data["radius"].values
    decided = np.abs(radius - 1) > NEUTRAL
    wrong = decided & ((data["end_from_near"].values == COMES) != (radius < 1))
    name = f"{data.game.item()}, {data.rule.item()}: step sizes at which multipliers and steps differ next to the point"
    return Claim.equal(name, int(wrong.sum()), 0)


def of_the_shield(config: Config, comes: xr.DataArray) -> list[Claim]:
    """Small steps do as the flow; large steps of extragradient break the cycles for a part of the starts."""
    small = [h for h in config.step_sizes if h <= 0.1]
    plain = [rule for rule in config.rules if rule != "consensus"]
    found = []
    if small and plain:
        most = float(comes.sel(rule=plain, step_size=small).max())
        found.append(Claim.below("forsaken: largest part that comes to the point, plain field, h <= 0.1", most, 0.05))
    if "extragradient" in plain and max(config.step_sizes) >= 0.35:
        most = float(comes.sel(rule="extragradient").max())
        found.append(Claim.above("forsaken, extragradient: part that comes to the point at the best step", most, 0.2))
    return [*found, of_the_critical_step()]


def of_the_almost_bilinear(config: Config, data: xr.Dataset) -> list[Claim]:
    """J - g J^T J with J = [[e, 1], [-1, 0]] has the trace e - g (2 + e^2), which is 0 at the critical weight."""
    plain = data["comes"].sel(rule=[rule for rule in config.rules if rule != "consensus"])
    name = "almost bilinear: starts that come to the point, by any rule of the plain field"
    found = [Claim.equal(name, float(plain.sum()), 0.0)]
    if "consensus" in config.rules:
        field = regularizers.Adjusted(
            fields.GameField(game_of(config, "almost bilinear")),
            regularizers.Consensus(config.epsilon / (2 + config.epsilon**2)),
        )
        point = game_of(config, "almost bilinear").equilibrium
        abscissa = float(np.asarray(analysis.spectrum(field, point))[0].real)
        name = "almost bilinear, consensus at epsilon/(2 + epsilon^2): spectral abscissa"
        found.append(Claim.close(name, abscissa, 0.0, atol=1e-9, unit="1/time"))
        first = float(data["comes"].sel(rule="consensus").values[0])
        name = f"almost bilinear, consensus, h = {config.step_sizes[0]:g}: part that comes to the point"
        found.append(Claim.equal(name, first, 1.0))
    return found


def of_the_critical_step() -> Claim:
    """Two conjugate multipliers 1 + h lambda are on the circle at h = -trace/determinant."""
    game = games.Forsaken()
    x, y = float(game.equilibrium.generator), float(game.equilibrium.discriminator)
    own = [0.5 - 6 * z**2 + 5 * z**4 for z in (x, y)]
    critical = float(analysis.critical_step_size(updates.Simultaneous, fields.GameField(game), game.equilibrium))
    expected = sum(own) / (own[0] * own[1] + 1)
    return Claim.close("forsaken, simultaneous: critical step size", critical, expected, atol=1e-9, unit="time")


COLORS = ListedColormap(["#1f6f8b", "#e8dcc0", "#9a9a9a"])


def draw(results: Results) -> matplotlib.figure.Figure:
    config, data = results.config, results.dataset
    num = len(config.rules)
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.6), layout="constrained")
    above, below = np.ravel(figure.subfigures(2, 1, height_ratios=(1, 1.5), squeeze=False))
    mapped = config.games[-1]
    panels = above.subplots(1, num, sharex=True, sharey=True, squeeze=False)[0]
    shown = data["end"].sel(game=mapped, step_size=config.shown)
    for panel, rule, letter in zip(panels, config.rules, "abcdef", strict=False):
        panel.imshow(
            shown.sel(rule=rule),
            origin="lower",
            extent=(-config.widest, config.widest) * 2,
            cmap=COLORS,
            vmin=-0.5,
            vmax=2.5,
        )
        point = game_of(config, mapped).equilibrium
        panel.plot(float(point.discriminator), float(point.generator), "k+", markersize=5)
        plot.label_panel(panel, letter, rule)
        panel.set_xlabel("$y$")
    panels[0].set_ylabel("$x$")
    marks = [Patch(facecolor=COLORS(i), edgecolor="0.4", linewidth=0.4) for i in range(3)]
    above.legend(marks, ENDS, loc="outside lower center", ncols=3)
    wide = below.subplots(1, len(config.games), sharex=True, sharey=True, squeeze=False)[0]
    for panel, name, letter in zip(wide, config.games, "abcdefgh"[num:], strict=False):
        for rule, marker in zip(config.rules, "osD^vP", strict=False):
            panel.plot(
                data.step_size, data["comes"].sel(game=name, rule=rule), marker=marker, markersize=3.5, label=rule
            )
        plot.label_panel(panel, letter, name)
        panel.set_xlabel("step size $h$")
        panel.set_ylim(-0.04, 1.04)
    wide[0].set_ylabel("part that comes to the point")
    handles, labels = wide[0].get_legend_handles_labels()
    below.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure
