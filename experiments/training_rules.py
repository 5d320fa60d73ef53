"""How fast is each training rule, and up to which step size?

Every rule of the atlas on four games that the flow settles on: the usual and the regularized Wasserstein GAN of two
parameters, the Dirac-GAN with R1, and a bilinear game with consensus. Predicted from multipliers: the critical step
size, the step size at which the fewest steps are needed, and the rate there. Measured by making the steps: how a small
disturbance shrinks or grows at the best step, and just below and above the critical one.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    rules: tuple[str, ...] = ("all",)
    """Rules, by the names of the atlas; `all` takes every one."""
    num_steps: int = 600
    """Steps of every measured orbit; at least 200."""
    margin: float = 0.03
    """How far below and above its critical step size a rule is tried, relative."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        if not self.rules or len(set(self.rules)) < len(self.rules):
            raise ValueError(f"`rules` must name at least one, each once, but is {self.rules}.")
        if self.num_steps < 200:
            raise ValueError(f"`num_steps` must be at least 200, but is {self.num_steps}.")
        if not 0 < self.margin < 0.5:
            raise ValueError(f"`margin` must be between 0 and 0.5, but is {self.margin}.")


QUICK = Config(rules=("Simultaneous",), num_steps=300)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments._machinery import _atlas as atlas
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, games, iterate, losses, plot, regularizers
from gan_ode.games import Players

# A field of two numbers each, about its equilibrium. Its Jacobian is known in closed form.
GAMES: dict[str, tuple[Any, tuple[float, float], np.ndarray]] = {
    "usual GAN": (
        fields.GameField(games.LinearQuadratic(losses.Minimax(), num_nodes=8)),
        (0.0, 1.0),
        np.array([[-1 / 10, -1 / 3], [1 / 3, 0.0]]),
    ),
    "regularized WGAN": (
        fields.GameField(
            regularizers.Penalized(games.LinearQuadratic(losses.Wasserstein()), regularizers.GradientNorm(0.5))
        ),
        (0.0, 1.0),
        np.array([[0.0, -2 / 3], [2 / 3, -4 / 9]]),
    ),
    "Dirac-GAN with R1": (
        fields.GameField(regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.R1(0.3))),
        (0.0, 0.0),
        np.array([[-0.3, 0.5], [-0.5, 0.0]]),
    ),
    "bilinear with consensus": (
        regularizers.Adjusted(
            fields.GameField(games.FromLosses(lambda y, args: _turn(y))), regularizers.Consensus(0.2)
        ),
        (0.0, 0.0),
        np.array([[-0.2, 1.0], [-1.0, -0.2]]),
    ),
}
# What the rules do besides: averages lag behind, an anchor's pull fades by no power of the steps.
NOT_AT_A_RATE = ("AnchoredExtragradient",)
# Small enough that what is not linear is below the tolerance of rates, large enough for the digits.
DISTURBANCE = 1e-4
# Of a rate, times the square of the number of steps that it is fitted to. A distance wobbles with the turns, which
# moves a line through n points by one over n squared; measured: at most 6.3 (competitive gradients, over 6 steps), 3.8
# otherwise, so that the rates of slow rules, over hundreds of steps, agree to 1e-5.
WOBBLE = 8.0
# The same times that number, where multipliers collide: at the best step there often is a double one, m, and a
# disturbance shrinks as (a + b n) m^n, whose logarithm's slope is off by about 1/n; measured: at most 3.1.
COLLISION = 4.0
# Multipliers that differ by less, relative to the largest, collide; measured: below 1e-7, or above 0.1.
TOUCHING = 0.02
# A line takes at least so many steps.
FEWEST_STEPS = 3


def _turn(y: Players) -> Players:
    value = y.discriminator * y.generator
    return Players(-value, value)


def any_field(t: Any, y: Players, which: Any) -> Players:
    """The field of the game with this number, which may be traced: all are one program."""
    return jax.lax.switch(which, [_velocity(field) for field, _, _ in GAMES.values()], t, y)


def _velocity(field: Any) -> Any:
    return lambda t, y: field(t, y, None)


@dataclasses.dataclass(frozen=True)
class Case:
    """A rule on a game: what is predicted, and what steps did.

    Attributes:
        critical: The critical step size.
        best: The step size at which the fewest steps are needed.
        predicted: The logarithm of the spectral radius there.
        gap: How far the largest multiplier there is from the next, relative to it.
        measured: The mean growth of the logarithm of the distance, in a step, there.
        num_fitted: The steps that this is fitted to.
        below: The same, a little below the critical step; NaN where there is none.
        above: The same, a little above.
    """

    critical: float
    best: float
    predicted: float
    gap: float
    measured: float
    num_fitted: int
    below: float
    above: float

    @property
    def stable(self) -> bool:
        """Whether some step is stable."""
        return self.critical > 0 and self.predicted < -1e-6

    @property
    def crosses(self) -> bool:
        return 0 < self.critical < np.inf

    @property
    def tolerance(self) -> float:
        """Of the measured rate."""
        if self.gap < TOUCHING:
            return COLLISION / self.num_fitted
        return WOBBLE / self.num_fitted**2


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    cases: dict[tuple[str, str], Case]

    @property
    def rules(self) -> list[str]:
        return list(dict.fromkeys(rule for rule, _ in self.cases))

    @property
    def dataset(self) -> xr.Dataset:
        def table(name: str) -> tuple[tuple[str, str], np.ndarray]:
            rows = [[getattr(self.cases[rule, game], name) for game in GAMES] for rule in self.rules]
            return ("rule", "game"), np.array(rows)

        names = [field.name for field in dataclasses.fields(Case)]
        return xr.Dataset({name: table(name) for name in names}, coords={"rule": self.rules, "game": list(GAMES)})


def run(config: Config) -> Results:
    known = [rule.name for rule in atlas.RULES]
    if unknown := set(config.rules) - {"all", *known}:
        raise ValueError(f"`rules` must be of {', '.join(known)}, but has {', '.join(sorted(unknown))}.")
    rules = [rule for rule in atlas.RULES if "all" in config.rules or rule.name in config.rules]
    found = {}
    for rule in rules:
        predictions = predict(rule)
        sizes = np.array([[best, (1 - config.margin) * h, (1 + config.margin) * h] for h, best, *_ in predictions])
        # No step below a critical one of 0, and none above infinity.
        usable = np.isfinite(sizes) & (sizes > 0)
        growth, fitted = measure(rule, np.where(usable, sizes, 1.0), config.num_steps)
        growth = np.where(usable, growth, np.nan)
        for game, predicted, (measured, below, above), nums in zip(GAMES, predictions, growth, fitted, strict=True):
            found[rule.name, game] = Case(*predicted, float(measured), int(nums[0]), float(below), float(above))
    return Results(config, found)


def predict(rule: atlas.Method) -> list[tuple[float, float, float, float]]:
    """Critical step, best step, the growth and the gap there, of each game, from its Jacobian in closed form."""

    @eqx.filter_jit
    def one(matrix: Any) -> tuple[Any, ...]:
        field = atlas.LinearPart(matrix, 1)
        best = analysis.optimal_step_size(rule.make, field, field.rest, check=False)
        critical = analysis.critical_step_size(rule.make, field, field.rest, check=False)
        multipliers = analysis.multipliers(rule.make(best.value), field, field.rest, check=False)
        gap = jnp.min(jnp.abs(multipliers[1:] - multipliers[0])) / jnp.abs(multipliers[0])
        return critical, best.value, -best.rate, gap

    found = jax.vmap(one)(jnp.asarray(np.stack([matrix for _, _, matrix in GAMES.values()])))
    return [tuple(map(float, row)) for row in zip(*found, strict=True)]  # pyright: ignore[reportReturnType]


def measure(rule: atlas.Method, sizes: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean growth in a step, and over how many steps, of each game and step size."""

    @eqx.filter_jit
    def one(which: Any, rest: Any, size: Any) -> Any:
        start = Players(rest[0] + 0.6 * DISTURBANCE, rest[1] + 0.8 * DISTURBANCE)
        orbit = iterate(rule.make(size), any_field, start, num_steps=num_steps, args=which)
        points = jnp.stack([orbit.ys.discriminator, orbit.ys.generator], axis=1) - rest
        return jnp.linalg.norm(points, axis=1)

    rests = jnp.asarray([rest for _, rest, _ in GAMES.values()])
    over_sizes = jax.vmap(one, (None, None, 0))
    distances = jax.vmap(over_sizes)(jnp.arange(len(GAMES)), rests, jnp.asarray(sizes))
    found = np.array([[slope(np.asarray(each)) for each in row] for row in distances])
    return found[..., 0], found[..., 1]


def slope(distances: np.ndarray) -> tuple[float, int]:
    """Of the logarithm of a distance, by least squares, from when memory is forgotten until digits run out.

    Returns:
        The slope, and the number of steps that it is fitted to; NaN and 0 if there are too few.
    """
    numbers = np.arange(len(distances))
    within = (distances > 1e-12) & (distances < 1e-2) & np.isfinite(distances)
    # What comes after the first that is lost is rounding.
    last = int(np.argmin(within)) if not within.all() else len(distances)
    first = min(20, last // 3)
    if last - first < FEWEST_STEPS:
        return float("nan"), 0
    return float(np.polyfit(numbers[first:last], np.log(distances[first:last]), 1)[0]), last - first


def claims(results: Results) -> list[Claim]:
    found = []
    for (rule, game), case in results.cases.items():
        if rule in NOT_AT_A_RATE:
            continue
        at = f"{rule}, {game}"
        # Where all is lost in fewer steps there is no rate to see.
        if case.stable and case.num_fitted:
            name = f"{at}: rate at the best step, measured against predicted"
            found.append(Claim.close(name, case.measured, case.predicted, atol=case.tolerance, unit="per step"))
        if case.crosses:
            found.append(
                Claim.below(f"{at}: growth a little below the critical step", case.below, 0.0, unit="per step")
            )
            found.append(Claim.above(f"{at}: growth a little above it", case.above, 0.0, unit="per step"))
    return found


def draw(results: Results) -> matplotlib.figure.Figure:
    rules = results.rules
    figure = matplotlib.figure.Figure(figsize=(7.2, 1.2 + 0.22 * len(rules)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(rules))[::-1]
    for i, (game, mark) in enumerate(zip(GAMES, "osD^", strict=True)):
        cases = [results.cases[rule, game] for rule in rules]
        shift = rows + 0.18 * (1.5 - i)
        left.plot(
            [case.critical if case.crosses else np.nan for case in cases],
            shift,
            mark,
            color=f"C{i}",
            markersize=3.5,
            label=game,
        )
        stable = [case if case.stable else None for case in cases]
        right.plot(
            [-c.predicted if c else np.nan for c in stable],
            shift,
            mark,
            color=f"C{i}",
            markersize=5,
            markerfacecolor="none",
        )
        right.plot([-c.measured if c else np.nan for c in stable], shift, ".", color=f"C{i}", markersize=4)
    left.set(xlabel="critical step size", yticks=rows, yticklabels=rules, xscale="log", ylim=(-0.6, len(rules) - 0.4))
    right.set(xlabel="decay in a step at the best step size", xscale="log")
    left.tick_params(axis="y", labelsize=6)
    for ax in (left, right):
        ax.grid(axis="y", color="0.92")
    right.plot([], [], "o", color="0.3", markerfacecolor="none", label="predicted")
    right.plot([], [], ".", color="0.3", label="measured")
    plot.label_panel(left, "a", "how far")
    plot.label_panel(right, "b", "how fast")
    handles = [handle for ax in (left, right) for handle in ax.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=6)
    return figure
