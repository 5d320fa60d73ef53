r"""Which starts converge, and where do discrete steps lose what the flow keeps?

The paper's two-parameter GAN with the usual loss has two equilibria, (w, a) = (0, 1) and (0, -1). The flow keeps the
sign of a, and takes every start to the equilibrium on its side. Steps of size h do not:

- They lose generators that grow. While w > 0 the scale a grows, and a wide generator makes the game stiff: at w = 0 the
  discriminator alone is damped at the rate (1 + a^4) / 20, so that its steps overshoot where h (1 + a^4) > 40. There a
  wanders about, and takes very long to come back, if ever.
- They change sides. a is multiplied by 1 + 2 h w phi(w a^2), with phi at most 1/6 for w < 0: below w = -3/h it may
  change its sign.
- Beyond the critical step size, 0.9 for simultaneous steps, the equilibria themselves are lost.

Source: the system is that of Nagarajan and Kolter (2017), arXiv:1706.04156, section 2.3.
"""

import dataclasses

from experiments._machinery import _runner


@dataclasses.dataclass(frozen=True)
class Config:
    widest: tuple[float, float] = (6.0, 4.0)
    """Largest |w| and |a| of the starts."""
    resolution: int = 160
    """Starts along each axis of a panel; even, so that none lies on the invariant line a = 0."""
    simultaneous: tuple[float, ...] = (0.1, 0.4, 0.7, 1.0)
    """Step sizes of the panels of simultaneous steps, growing; the last one beyond the critical 0.9."""
    alternating: tuple[float, ...] = (1.5, 4.0)
    """Step sizes of the panels of alternating steps, growing."""
    sweep: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.95, 1.3, 1.8, 2.5, 3.3, 4.0, 4.8)
    """Step sizes of the last panel, growing."""
    sweep_resolution: int = 32
    """Starts along each axis for the last panel, even."""
    duration: float = 1000.0
    """How long a start may take to converge."""
    seed: int = 0
    """Not used: nothing here is random."""

    def __post_init__(self) -> None:
        for name in ("resolution", "sweep_resolution"):
            value = getattr(self, name)
            if value < 8 or value % 2:
                raise ValueError(f"`{name}` must be even and at least 8, but is {value}.")
        for name in ("simultaneous", "alternating", "sweep"):
            sizes = getattr(self, name)
            if len(sizes) < 2 or min(sizes) <= 0 or list(sizes) != sorted(set(sizes)):
                raise ValueError(f"`{name}` must be at least two growing step sizes above 0, but is {sizes}.")
        if not self.simultaneous[-2] < 0.9 < self.simultaneous[-1]:
            raise ValueError(f"`simultaneous` must end beyond 0.9, and only end there, but is {self.simultaneous}.")
        if min(self.widest) <= 1:
            raise ValueError(f"`widest` must be above 1, to have the equilibria inside, but is {self.widest}.")
        if self.duration < 100:
            raise ValueError(f"`duration` must be at least 100, for the flow to settle, but is {self.duration}.")


QUICK = Config(
    resolution=40, simultaneous=(0.4, 1.0), alternating=(1.5, 4.0), sweep=(0.4, 0.7, 2.5), sweep_resolution=16
)

if __name__ == "__main__":
    _runner.main(Config, QUICK)

import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from experiments._machinery import _linear_quadratic as lq
from experiments._machinery._runner import Claim
from gan_ode import analysis, fields, losses, plot, updates
from gan_ode.analysis import Basin, FATES
from gan_ode.games import LinearQuadratic, Players

FIELD = fields.GameField(LinearQuadratic(losses.Minimax()))
EQUILIBRIA = (lq.state(0.0, 1.0), lq.state(0.0, -1.0))
LABELS = ("to a = 1", "to a = −1")
RULES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
}
# Critical step sizes at the equilibria, in closed form but for the last, a root to six digits.
CRITICAL = {"simultaneous": 0.9, "alternating": 0.3 * (409**0.5 - 3), "extragradient": 3.702705}


@dataclasses.dataclass(frozen=True)
class Results:
    config: Config
    panels: dict[tuple[str, float], Basin]
    dataset: xr.Dataset


def run(config: Config) -> Results:
    starts = starts_of(config, config.resolution)
    cases = [("flow", 0.0)]
    cases += [("simultaneous", h) for h in config.simultaneous] + [("alternating", h) for h in config.alternating]
    panels = {case: follow(starts, config.duration, *case) for case in cases}
    few = starts_of(config, config.sweep_resolution)
    sweep = {(rule, h): follow(few, config.duration, rule, h) for rule in RULES for h in config.sweep}
    return Results(config, panels, tabulate(config, panels, sweep))


def starts_of(config: Config, resolution: int) -> Players:
    """A grid that is its own mirror image to the last digit."""
    half = (np.arange(resolution // 2) + 0.5) / (resolution // 2)
    symmetric = np.concatenate([-half[::-1], half])
    w, a = config.widest
    return analysis.state_grid(jnp.asarray(w * symmetric), jnp.asarray(a * symmetric))


def follow(starts: Players, duration: float, rule: str, h: float) -> Basin:
    update = None if rule == "flow" else RULES[rule](h)
    return analysis.basin(FIELD, starts, duration, update=update, equilibria=EQUILIBRIA)


def limit(h: float) -> float:
    """The width beyond which a step of the discriminator alone is unstable: h (1 + a^4) = 40."""
    return max(40 / h - 1, 0.0) ** 0.25


def kept(basin: Basin) -> np.ndarray:
    """Whether a start converges to where the flow takes it, the equilibrium on its side."""
    # In the order of EQUILIBRIA.
    side = np.where(np.asarray(basin.starts.generator) > 0, 0, 1)
    return np.asarray(basin.index) == side


def swapped(basin: Basin) -> np.ndarray:
    return (np.asarray(basin.index) >= 0) & ~kept(basin)


def tabulate(
    config: Config, panels: dict[tuple[str, float], Basin], sweep: dict[tuple[str, float], Basin]
) -> xr.Dataset:
    shape = (config.resolution, config.resolution)

    def maps(of_basin):
        return np.stack([np.reshape(np.asarray(of_basin(basin)), shape) for basin in panels.values()])

    def curves(of_basin):
        return np.array([[np.mean(of_basin(sweep[rule, h])) for h in config.sweep] for rule in RULES])

    one, over = panels["flow", 0.0], ("panel", "a", "w")
    return xr.Dataset(
        {
            "index": (over, maps(lambda b: b.index), {"long_name": "0: to a = 1, 1: to a = -1, -1: to neither"}),
            "time": (over, maps(lambda b: b.time), {"units": "time", "long_name": "when that was certain"}),
            "diverges": (over, maps(lambda b: b.fate == FATES.diverges)),
            "cycles": (over, maps(lambda b: b.fate == FATES.cycles)),
            "final_w": (over, maps(lambda b: b.final_state.discriminator)),
            "final_a": (over, maps(lambda b: b.final_state.generator)),
            "kept": (("rule", "step_size"), curves(kept), {"long_name": "converges where the flow does"}),
            "swapped": (("rule", "step_size"), curves(swapped), {"long_name": "converges on the other side"}),
        },
        coords={
            "panel": [f"{rule} {h:g}" for rule, h in panels],
            "w": np.unique(np.asarray(one.starts.discriminator)),
            "a": np.unique(np.asarray(one.starts.generator)),
            "rule": list(RULES),
            "step_size": list(config.sweep),
        },
    )


def claims(results: Results) -> list[Claim]:
    found = []
    for (rule, h), basin in results.panels.items():
        name = "flow" if rule == "flow" else f"{rule}, h = {h:g}"
        found.append(Claim.below(f"{name}: starts whose mirror image has another fate", asymmetry(basin), 0.01))
    flow = results.panels["flow", 0.0]
    found.append(
        Claim.equal("flow: starts that do not reach the equilibrium on their side", int(np.sum(~kept(flow))), 0)
    )
    below = {h: basin for (rule, h), basin in results.panels.items() if rule == "simultaneous" and h < 0.9}
    parts = [float(np.mean(kept(basin))) for basin in (flow, *below.values())]
    rise = float(np.max(np.diff(parts)))
    found.append(Claim.below("from the flow to larger simultaneous steps: rise of the fraction kept", rise, 1e-9))
    found += [of_the_width(h, basin) for h, basin in below.items() if h >= 0.4]
    beyond = [basin for (rule, h), basin in results.panels.items() if rule == "simultaneous" and h > 0.9]
    total = sum(int(np.sum(np.asarray(basin.index) >= 0)) for basin in beyond)
    found.append(Claim.equal("simultaneous, beyond h = 0.9: starts that converge", total, 0))
    part = max(float(basin.fraction(FATES.cycles)) for basin in beyond)
    found.append(Claim.above("simultaneous, beyond h = 0.9: fraction that cycles", part, 0.05))
    found += [of_the_critical_step(results.dataset, rule) for rule in RULES]
    for (rule, h), basin in results.panels.items():
        if rule == "alternating":
            found.append(
                Claim.above(f"alternating, h = {h:g}: fraction that changes sides", swapped(basin).mean(), 0.01)
            )
    return found


def asymmetry(basin: Basin) -> float:
    """The fraction of starts whose mirror image under a -> -a has another fate."""
    side = int(np.sqrt(basin.index.shape[0]))
    index = np.asarray(basin.index).reshape(side, side)
    mirrored = np.where(index[::-1] >= 0, 1 - index[::-1], -1)
    return float(np.mean(index != mirrored))


def of_the_width(h: float, basin: Basin) -> Claim:
    lost = np.asarray(basin.index) < 0
    width = float(np.median(np.abs(np.asarray(basin.final_state.generator))[lost]))
    name = f"simultaneous, h = {h:g}: |a| of the starts that are lost, in the end (median), over (40/h - 1)^(1/4)"
    return Claim.above(name, width, limit(h))


def of_the_critical_step(data: xr.Dataset, rule: str) -> Claim:
    converges = (data["kept"] + data["swapped"]).sel(rule=rule).values > 0
    wrong = int(np.sum(converges != (data["step_size"].values < CRITICAL[rule])))
    name = f"{rule}: step sizes at which some start converges though h > {CRITICAL[rule]:.4g}, or none though below"
    return Claim.equal(name, wrong, 0)


def draw(results: Results) -> matplotlib.figure.Figure:
    num = len(results.panels) + 1
    columns = 4 if num > 4 else num
    rows = -(-num // columns)
    figure = matplotlib.figure.Figure(figsize=(7.2, 0.4 + 1.95 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    drawn = []
    for i, ((rule, h), basin) in enumerate(results.panels.items()):
        drawn.append(panel(axes[i], basin, results.config.duration))
        if i % columns:
            axes[i].set_ylabel("")
        if i + columns < num:
            axes[i].set_xlabel("")
        plot.label_panel(axes[i], "abcdefghijkl"[i], "flow" if rule == "flow" else f"{rule}, $h = {h:g}$")
    curves(axes[num - 1], results.dataset)
    plot.label_panel(axes[num - 1], "abcdefghijkl"[num - 1], "fraction kept")
    for ax in axes[num:]:
        ax.set_axis_off()
    plot.legend(figure, *drawn, title="paler: takes longer")
    return figure


def panel(ax, basin: Basin, duration: float) -> plot.BasinPlot:
    drawn = plot.basin(basin, ax=ax, names=("w", "a"), labels=LABELS, time_limits=(3.0, duration))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return drawn


def curves(ax, data: xr.Dataset) -> None:
    for rule, style in zip(RULES, ("-", "--", ":"), strict=True):
        ax.plot(data["step_size"], data["kept"].sel(rule=rule), linestyle=style, marker=".", label=rule)
    ax.set_xscale("log")
    ax.set_xlim(0.012, 6.5)
    ax.set_xticks([0.1, 1], ["0.1", "1"])
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("step size $h$")
    ax.legend(loc="lower left", fontsize=6, handlelength=1.5, borderaxespad=0.2)
