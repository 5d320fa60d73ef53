r"""Does the generator converge by itself?

No. The value of the game is concave in the discriminator, but not convex in the generator: where the discriminator
scores generated samples positively, it is concave in both. The generator descends, and so a frozen discriminator has
no minimum to offer it, however near to its equilibrium it is. On the two-parameter GAN, from the equilibrium's a = 1
and with w frozen,

    a' = 2 w a phi(w a^2),  phi(s) = integral of x^2 / (1 + exp(-s x^2)) over [0, 1].

For w > 0, a grows without bound: at first at the rate 2 w phi(w), about w/3, and in the end at 2w/3, since phi rises
from 1/6 to 1/3. For w < 0 it falls to 0, the collapsed generator, in the end at the rate |w|/3. Either way it leaves
any neighborhood of a = 1, after a time like 1/|w|. From the same starts the two players together converge.

Source: Nagarajan and Kolter (2017), arXiv:1706.04156, whose argument it is that GANs are not convex-concave; rederived.
"""

import dataclasses
import itertools

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    distances: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
    """Distances |w| of the frozen discriminator from its equilibrium 0, falling."""
    factor: float = 1.5
    """The generator has left when it has grown, or shrunk, by this factor."""
    shown: float = 0.3
    """Distance |w| of the orbits in the plane, and where the curvature is shown."""
    duration: float = 200.0
    """Time for which the players are followed together."""
    late: float = 60.0
    """Time at which the growth is late, in units of 1/|w|."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        far = self.distances
        if len(far) < 2 or not 0 < min(far) <= max(far) <= 1 or any(b >= a for a, b in itertools.pairwise(far)):
            raise ValueError(f"`distances` must be at least 2, fall, and lie above 0 and up to 1, but are {far}.")
        if not 1 < self.factor <= 10:
            raise ValueError(f"`factor` must be above 1 and at most 10, but is {self.factor}.")
        if not 0 < self.shown <= 1:
            raise ValueError(f"`shown` must be above 0 and at most 1, but is {self.shown}.")
        if self.duration < 100:
            raise ValueError(
                f"`duration` must be at least 100, or the players have no time to settle, but is {self.duration}."
            )
        if not 30 <= self.late <= 300:
            raise ValueError(f"`late` must be at least 30, and at most 300 for a to stay finite, but is {self.late}.")


QUICK = Config(distances=(1e-1, 1e-3, 1e-6))

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import diffrax
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optimistix as optx
import xarray as xr

from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, flow, losses, Orbit, plot
from gan_ode.games import LinearQuadratic, Players

GAME = LinearQuadratic(losses.Minimax())
TOGETHER = fields.GameField(GAME)
# As `fields.generator_only(TOGETHER)`, but then every program would be compiled for either field.
ALONE = fields.GameField(GAME, rates=Players(0.0, 1.0))
RTOL = 1e-10
SIGNS = (1.0, -1.0)
NUM_TIMES = 1001
BLUE, VERMILLION = plot.CYCLE[0], plot.CYCLE[3]


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    verdicts: dict[str, analysis.Verdict]
    portraits: dict[str, list[Orbit]]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    start = state(config.distances[0])
    verdicts = {"together": analysis.classify(TOGETHER, start), "alone": analysis.classify(ALONE, start)}
    portraits = {
        name: [follow(field, sign * config.shown, config.duration) for sign in SIGNS]
        for name, field in (("together", TOGETHER), ("alone", ALONE))
    }
    dataset = xr.merge([departures(config), settled(config), growth(config), curvatures(config)])
    return Results(config, verdicts, portraits, dataset)


def state(w: float, a: float = 1.0) -> Players:
    return Players(jnp.asarray(w), jnp.asarray(a))


def follow(field, w: float, duration: float) -> Orbit:
    """From the generator's equilibrium a = 1, with the discriminator at w."""
    # Alone, w is constant and a goes to 0 or to infinity: its error counts relative to itself.
    atol = 0.0 if field is ALONE else RTOL
    return flow(field, state(w), jnp.linspace(0.0, duration, NUM_TIMES), rtol=RTOL, atol=atol)


def departures(config: Config) -> xr.Dataset:
    """When the generator alone leaves a neighborhood, for either sign and each distance."""
    edge = np.log(config.factor)

    def beyond(t, y: Players, args, **kwargs) -> jax.Array:
        return jnp.abs(jnp.log(y.generator)) - edge

    event = diffrax.Event(beyond, optx.Newton(1e-10, 1e-10))

    def measured(w: float) -> float:
        # The rate is at least |w| / 10 up to a factor of 10.
        ts = jnp.array([0.0, 100 * edge / abs(w)])
        return float(flow(ALONE, state(w), ts, rtol=RTOL, events=event, dt0=0.01 / abs(w)).final_time)

    signed = np.outer(SIGNS, config.distances)
    expected = [[time_by_quadrature(w, np.sign(w) * edge) for w in row] for row in signed]
    along, unit = ("sign", "distance"), {"units": "time"}
    return xr.Dataset(
        {
            "departure": (along, [[measured(w) for w in row] for row in signed], unit),
            "departure_by_quadrature": (along, expected, unit),
        },
        {"sign": list(SIGNS), "distance": list(config.distances)},
    )


def phi(s: np.ndarray) -> np.ndarray:
    """The integral of x^2 / (1 + exp(-s x^2)) over [0, 1], by Simpson's rule."""
    x = np.linspace(0, 1, 2001)
    return simpson(x**2 / (1 + np.exp(-np.multiply.outer(s, x**2))), x[1])


def time_by_quadrature(w: float, log_a: float) -> float:
    """When the generator alone comes from a = 1 to a given ln a: the integral of d(ln a) / (2 w phi)."""
    u = np.linspace(0, log_a, 201)
    return float(simpson(1 / (2 * w * phi(w * np.exp(2 * u))), u[1]))


def simpson(values: np.ndarray, spacing: float) -> np.ndarray:
    ends, odd, even = values[..., [0, -1]], values[..., 1:-1:2], values[..., 2:-1:2]
    return spacing / 3 * (ends.sum(-1) + 4 * odd.sum(-1) + 2 * even.sum(-1))


def settled(config: Config) -> xr.Dataset:
    """How far both players together go from the same starts, and where they end, relative to the start."""
    farthest, ending = [], []
    for w in config.distances:
        orbits = [follow(TOGETHER, sign * w, config.duration) for sign in SIGNS]
        farthest.append([float(jnp.max(jnp.abs(jnp.log(orbit.ys.generator)))) for orbit in orbits])
        ending.append(
            [float(jnp.hypot(orbit.ys.discriminator[-1], orbit.ys.generator[-1] - 1)) / w for orbit in orbits]
        )
    along = ("distance", "sign")
    return xr.Dataset({"together_farthest": (along, farthest), "together_end": (along, ending)})


def growth(config: Config) -> xr.Dataset:
    """The generator alone over a long time, at the largest distance; for comparison both players."""
    w = config.distances[0]
    orbits = [follow(ALONE, sign * w, config.late / w) for sign in SIGNS]
    together = follow(TOGETHER, w, config.duration)
    logs = np.array([np.log(orbit.ys.generator) for orbit in orbits])
    early = [early_rate(sign * w) for sign in SIGNS]
    late = (logs[:, -1] - logs[:, NUM_TIMES // 2]) / (config.late / w / 2)
    unit = {"units": "1/time"}
    return xr.Dataset(
        {
            "log_a": (("sign", "time"), logs),
            "together_a": ("together_time", np.asarray(together.ys.generator)),
            "early_rate": ("sign", early, unit),
            "late_rate": ("sign", late, unit),
        },
        {"time": np.asarray(orbits[0].ts), "together_time": np.asarray(together.ts)},
    )


def early_rate(w: float) -> float:
    """The rate of ln a at the start, by a one-sided difference of the orbit."""
    step = 1e-3 / abs(w)
    orbit = follow(ALONE, w, (NUM_TIMES - 1) * step)
    once, twice, thrice = np.log(np.asarray(orbit.ys.generator[1:4]))
    return float((18 * once - 9 * twice + 2 * thrice) / (6 * step))


def curvatures(config: Config) -> xr.Dataset:
    """Second derivatives of the value in either player's parameter at a = 1, by automatic differentiation."""

    def value(w: jax.Array, a: jax.Array) -> jax.Array:
        return -GAME.losses(Players(w, a), None).discriminator

    w = jnp.linspace(-config.shown, config.shown, 61)
    one = jnp.ones(())
    in_w = jax.vmap(jax.grad(jax.grad(value, 0), 0), (0, None))(w, one)
    in_a = jax.vmap(jax.grad(jax.grad(value, 1), 1), (0, None))(w, one)
    # V = ... + E f(-w a^2 z^2), whose derivative in a is -2 w a phi(w a^2).
    small = 1e-4
    slope = (phi(np.asarray(w) + small) - phi(np.asarray(w) - small)) / (2 * small)
    closed = -2 * np.asarray(w) * phi(np.asarray(w)) - 4 * np.asarray(w) ** 2 * slope
    return xr.Dataset(
        {
            "curvature_w": ("w", np.asarray(in_w)),
            "curvature_a": ("w", np.asarray(in_a)),
            "closed_form_a": ("w", closed),
        },
        {"w": np.asarray(w)},
    )


def claims(results: Results) -> list[Claim]:
    return [
        *of_verdicts(results),
        *of_curvatures(results.dataset),
        *of_departures(results.config, results.dataset),
        *of_rates(results.config, results.dataset),
    ]


def of_verdicts(results: Results) -> list[Claim]:
    edge = np.log(results.config.factor)
    farthest, end = results.dataset.together_farthest.max(), results.dataset.together_end.max()
    return [
        Claim.equal("Both players together", results.verdicts["together"].kind, "converges"),
        Claim.equal("The generator alone, w > 0", results.verdicts["alone"].kind, "diverges"),
        Claim.below("Together, all starts: farthest |ln a|", farthest, edge, source="the neighborhood left alone"),
        Claim.below("Together, all starts: distance at the end over that at the start", end, 0.05),
    ]


def of_curvatures(data: xr.Dataset) -> list[Claim]:
    apart = np.abs(data.curvature_a - data.closed_form_a).max()
    ends = data.curvature_a.isel(w=[0, -1])
    return [
        Claim.below("Curvature of the value in w, largest at a = 1", data.curvature_w.max(), 0.0),
        Claim.below(
            "Curvature of the value in a, largest at a = 1, w > 0", data.curvature_a[data.w > 1e-12].max(), 0.0
        ),
        Claim.close(
            "Curvature of the value in a at the equilibrium",
            data.curvature_a.sel(w=0, method="nearest"),
            0.0,
            atol=1e-12,
        ),
        Claim.above("Curvature of the value in a, w < 0", ends[0], 0.0),
        Claim.below("Curvature in a: automatic derivative against closed form", apart, 1e-8),
    ]


def of_departures(config: Config, data: xr.Dataset) -> list[Claim]:
    found = []
    for sign, word in zip(SIGNS, ("> 0", "< 0"), strict=True):
        case = data.sel(sign=sign)
        apart = np.abs(case.departure / case.departure_by_quadrature - 1).max()
        slope = np.polyfit(np.log(case.distance), np.log(case.departure), 1)[0]
        nearest = case.departure[-1] * case.distance[-1]
        name = f"w {word}: time to leave"
        found += [
            Claim.below(
                f"{name}, against quadrature, all starts", apart, 1e-7, source="integral of d(ln a) / (2 w phi)"
            ),
            Claim.close(f"{name}, exponent of |w|", slope, -1.0, atol=0.02),
            Claim.close(
                f"{name} times |w|, nearest start", nearest, 3 * np.log(config.factor), rtol=config.distances[-1]
            ),
        ]
    return found


def of_rates(config: Config, data: xr.Dataset) -> list[Claim]:
    found = []
    w = config.distances[0]
    for sign, word, late in zip(SIGNS, ("> 0", "< 0"), (2 * w / 3, -w / 3), strict=True):
        case = data.sel(sign=sign)
        first = 2 * sign * w * float(phi(np.asarray(sign * w)))
        found += [
            Claim.close(f"w {word}: rate of ln a at a = 1", case.early_rate, first, rtol=1e-6, source="2 w phi(w)"),
            Claim.close(f"w {word}: rate of ln a at last", case.late_rate, late, rtol=1e-6, source="phi at its limits"),
        ]
    return found


def draw(results: Results) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 5.6), layout="constrained")
    (plane, course), (leaving, curvature) = figure.subplots(2, 2)
    draw_plane(plane, results)
    draw_course(course, results)
    draw_leaving(leaving, results)
    draw_curvature(curvature, results.dataset)
    titles = (
        "from $a = 1$, together and alone",
        f"orbits from $w = \\pm{results.config.distances[0]:g}$",
        f"time until $a$ has changed by a factor {results.config.factor:g}",
        "curvature of the value at $a = 1$",
    )
    for panel, letter, title in zip((plane, course, leaving, curvature), "abcd", titles, strict=True):
        plot.label_panel(panel, letter, title)
    return figure


def draw_plane(panel, results: Results) -> None:
    width = 1.4 * results.config.shown
    plot.phase_portrait(
        TOGETHER,
        ax=panel,
        xlim=(-width, width),
        ylim=(0.4, 1.7),
        names=("w", "a"),
        nullclines=False,
        equilibria=[state(0.0)],
        orbits=results.portraits["together"],
        color_by=None,
    )
    look = {"arrowstyle": "-|>", "color": VERMILLION, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    for orbit, goal in zip(results.portraits["alone"], (1.68, 0.42), strict=True):
        w = float(orbit.ys.discriminator[0])
        panel.annotate("", (w, goal), (w, 1.0), arrowprops=look, zorder=4)
    handles = [
        panel.plot([], [], color=color, linewidth=1.8, label=label)[0]
        for color, label in ((BLUE, "both players"), (VERMILLION, "generator alone"))
    ]
    panel.legend(handles=handles, loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")


def draw_course(panel, results: Results) -> None:
    """The generator over time, with the rates that theory gives to its late growth and decay."""
    data, w = results.dataset, results.config.distances[0]
    until, middle = 15 / w, 11 / w
    data = data.isel(time=data.time <= until, together_time=data.together_time <= until)
    panel.plot(data.together_time, data.together_a, color=BLUE)
    panel.annotate("both players", (until, 1.0), (-4, 3), textcoords="offset points", ha="right", color=BLUE)
    for sign, label in zip(
        SIGNS, (f"alone, $w = {w:g}$\nrate $2w/3$", f"alone, $w = -{w:g}$\nrate $w/3$"), strict=True
    ):
        a = np.exp(data.log_a.sel(sign=sign))
        panel.plot(data.time, a, color=VERMILLION)
        place = {"ha": "right", "va": "bottom"} if sign > 0 else {"ha": "right", "va": "top"}
        height = float(a.sel(time=middle, method="nearest"))
        panel.annotate(label, (middle, height), (-6, 2 * sign), textcoords="offset points", color=VERMILLION, **place)
    panel.set(yscale="log", xlabel="time $t$", ylabel="generator $a$", xlim=(0, until))


def draw_leaving(panel, results: Results) -> None:
    data, factor = results.dataset, results.config.factor
    grid = np.geomspace(results.config.distances[-1] / 2, min(2 * results.config.distances[0], 1.0), 50)
    panel.plot(grid, 3 * np.log(factor) / grid, color="0.6", linewidth=0.9, label=f"$3\\,\\ln {factor:g}\\,/\\,|w|$")
    looks = ({"markerfacecolor": "none", "markersize": 7}, {"markersize": 3.5, "markeredgewidth": 0})
    for sign, look, label in zip(SIGNS, looks, ("alone, $w > 0$", "alone, $w < 0$"), strict=True):
        panel.plot(data.distance, data.departure.sel(sign=sign), "o", color=VERMILLION, label=label, **look)
    panel.set(xscale="log", yscale="log", xlabel="distance $|w|$ from the equilibrium", ylabel="time to leave")
    panel.legend()


def draw_curvature(panel, data: xr.Dataset) -> None:
    panel.axhline(0, color="0.6", linewidth=0.8)
    panel.axvspan(0, float(data.w[-1]), color="0.93", linewidth=0, zorder=0)
    panel.annotate("concave in both", (0.97, 0.96), xycoords="axes fraction", ha="right", va="top", color="0.35")
    for values, color, text, at in (
        (data.curvature_w, BLUE, "$\\partial^2 V / \\partial w^2$", 8),
        (data.curvature_a, VERMILLION, "$\\partial^2 V / \\partial a^2$", 12),
    ):
        panel.plot(data.w, values, color=color)
        panel.annotate(text, (float(data.w[at]), float(values[at])), (2, 5), textcoords="offset points", color=color)
    panel.set(xlabel="discriminator $w$", ylabel="second derivative", xlim=(float(data.w[0]), float(data.w[-1])))
