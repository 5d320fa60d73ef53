import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .._types import State
from ..analysis import Basin, FATES
from ._panel import scale
from ._plane import players_point
from ._style import BLACK, BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, SKY_BLUE, VERMILLION, WHITE, YELLOW

_OF_EQUILIBRIA = (BLUE, ORANGE, GREEN, SKY_BLUE)
_OF_CYCLES = (PURPLE, VERMILLION, YELLOW)
_OF_FATES = {"diverges": INK, "undecided": "#C4C9D0"}
# How far towards white the slowest are.
_PALEST = 0.72


@dataclasses.dataclass(frozen=True)
class BasinPlot:
    """The artists of a picture of basins.

    Attributes:
        image: A cell for each start.
        equilibria: Their marks: filled where they attract, open where not.
        traps: Outlines of the regions where convergence is certain.
        cycles: The cycles that starts go to.
        patches: What the colors mean, for a legend.
    """

    image: AxesImage
    equilibria: tuple[Line2D, ...]
    traps: tuple[Line2D, ...]
    cycles: tuple[Line2D, ...]
    patches: tuple[Patch, ...]

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend: what colors, marks and outlines mean."""
        marks = {mark.get_label(): mark for mark in self.equilibria}
        # White, as the outlines on the colors, is not seen on a page.
        outlines = [Line2D([], [], color=GRAY, linewidth=0.8, label="trap: no way out") for _ in self.traps[:1]]
        return [*self.patches, *marks.values(), *outlines]


def basin(
    basin: Basin,
    *,
    ax: Axes,
    names: tuple[str, str] = (r"\theta_D", r"\theta_G"),
    project: Callable[[State], tuple[Any, Any]] = players_point,
    labels: Sequence[str] | None = None,
    time_limits: tuple[float, float] | None = None,
    traps: bool = True,
) -> BasinPlot:
    """Draws what becomes of a grid of starts: a color for each equilibrium and each cycle, paler where it takes longer.

    The bands of equal time are as smooth as the grid is fine, for a flow; for an update they show its steps.

    Args:
        basin: From `analysis.basin`, over starts that form a grid, as `analysis.state_grid` makes it.
        ax: Where to draw.
        names: Mathematical names of the axes.
        project: From a state to its point in the plane; by default `(discriminator, generator)` of two scalars.
        labels: What the legend calls the equilibria, one for each. Cycles are called by their periods.
        time_limits: Times of the darkest and of the palest color, on a logarithmic scale; by default from a tenth of
            the median time to the largest.
        traps: Whether to outline the traps, only if the starts are states of two numbers; and to mark the cycles.

    Returns:
        The artists.

    Raises:
        ValueError: If the starts form no grid.
    """
    columns, rows, order = _grid(*_points(project, basin.starts).T)
    colors = _colors(basin, _limits(basin, time_limits))[order].reshape(len(rows), len(columns), 3)
    image = ax.imshow(
        colors, origin="lower", extent=(*_edges(columns), *_edges(rows)), aspect="auto", interpolation="nearest",
        rasterized=True, zorder=0,
    )  # fmt: skip
    ax.set_xlabel(f"${names[0]}$")
    ax.set_ylabel(f"${names[1]}$", rotation=0, labelpad=7, va="center")
    planar = basin.traps.center.shape[-1] == 2 and traps
    outlines = _outlines(ax, basin) if planar else ()
    cycles = _cycles(ax, basin, project) if traps else ()
    return BasinPlot(image, _marks(ax, basin, project), outlines, cycles, _patches(basin, labels))


def _points(project: Callable, states: State) -> Float[np.ndarray, "states 2"]:
    places = [np.asarray(each, float) for each in project(states)]
    if [each.ndim for each in places] != [1, 1]:
        raise ValueError(
            f"`project` must give two numbers for a state, but gives shapes {[each.shape[1:] for each in places]}: for "
            "states that are not `Players` of two scalars, write for example `lambda y: (y[..., 0], y[..., 1])`."
        )
    return np.stack(places, axis=1)


def _grid(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows, and the order of the starts row by row."""
    columns, rows = np.unique(x), np.unique(y)
    if len(columns) * len(rows) != len(x) or min(len(columns), len(rows)) < 2:
        raise ValueError(
            f"`basin` must be over a grid of starts, but has {len(x)} starts in {len(columns)} columns and "
            f"{len(rows)} rows: make them by `analysis.state_grid(xs, ys)`."
        )
    return columns, rows, np.lexsort((x, y))


def _edges(middles: Float[np.ndarray, " n"]) -> tuple[float, float]:
    half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
    return float(middles[0] - half), float(middles[-1] + half)


def _limits(basin: Basin, given: tuple[float, float] | None) -> tuple[float, float]:
    if given is not None:
        low, high = (float(each) for each in given)
        if not 0 < low < high:
            raise ValueError(f"`time_limits` must be two positive times, the smaller first, but is {given}.")
        return low, high
    times = np.asarray(basin.time)[(np.asarray(basin.index) >= 0) | (np.asarray(basin.cycle) >= 0)]
    times = times[times > 0]
    return (float(np.median(times)) / 10, float(times.max()) * 1.001) if len(times) else (1.0, 2.0)


def _colors(basin: Basin, limits: tuple[float, float]) -> Float[np.ndarray, "starts 3"]:
    low, high = np.log(limits)
    time = np.asarray(basin.time, float)
    colors = np.empty((len(time), 3))
    for name, color in _OF_FATES.items():
        colors[_has(basin, name)] = to_rgb(color)
    slow = np.clip((np.log(np.maximum(time, limits[0])) - low) / (high - low), 0, 1)[:, None] * _PALEST
    for members, palette in ((basin.index, _OF_EQUILIBRIA), (basin.cycle, _OF_CYCLES)):
        for i in _those(members):
            full, chosen = np.array(to_rgb(palette[i % len(palette)])), np.asarray(members) == i
            colors[chosen] = (full + (np.array(to_rgb(WHITE)) - full) * slow)[chosen]
    return colors


def _has(basin: Basin, name: str) -> np.ndarray:
    return np.asarray(basin.fate == getattr(FATES, name))


def _num_equilibria(basin: Basin) -> int:
    return basin.traps.level.shape[0]


def _marks(ax: Axes, basin: Basin, project: Callable) -> tuple[Line2D, ...]:
    lines = []
    for place, level in zip(_points(project, basin.equilibria), np.asarray(basin.traps.level), strict=True):
        face, edge = (BLACK, WHITE) if level > 0 else (WHITE, BLACK)
        lines += ax.plot(
            *place, marker="o", color=face, markeredgecolor=edge, markersize=5.5 * scale(ax), markeredgewidth=0.8,
            linestyle="none", zorder=6, scalex=False, scaley=False,
            label="attracting equilibrium" if level > 0 else "other equilibrium",
        )  # fmt: skip
    return tuple(lines)


def _outlines(ax: Axes, basin: Basin) -> tuple[Line2D, ...]:
    angles = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    lines = []
    all_traps = map(np.asarray, (basin.traps.center, basin.traps.matrix, basin.traps.level))
    for center, matrix, level in zip(*all_traps, strict=True):
        if level > 0:
            x, y = center[:, None] + np.sqrt(level) * np.linalg.solve(np.linalg.cholesky(matrix).T, circle)
            lines += ax.plot(x, y, color=WHITE, linewidth=0.8 * scale(ax), zorder=5, scalex=False, scaley=False)
    return tuple(lines)


def _cycles(ax: Axes, basin: Basin, project: Callable) -> tuple[Line2D, ...]:
    """As points: those of an update are in no order."""
    lines = []
    for i in _those(basin.cycle):
        points = _points(project, jax.tree.map(lambda leaf, i=i: leaf[i], basin.cycles.ys))
        lines += ax.plot(
            *points.T, marker=".", color=BLACK, markersize=1.6 * scale(ax), markeredgewidth=0, linestyle="none",
            zorder=5, scalex=False, scaley=False,
        )  # fmt: skip
    return tuple(lines)


def _those(members: Any) -> list[int]:
    """Numbers that some start has."""
    members = np.asarray(members)
    return [int(i) for i in np.unique(members[members >= 0])]


def _patches(basin: Basin, labels: Sequence[str] | None) -> tuple[Patch, ...]:
    num = _num_equilibria(basin)
    names = [f"converges to equilibrium {i + 1}" for i in range(num)] if labels is None else list(labels)
    if len(names) != num:
        raise ValueError(f"`labels` must be one for each of the {num} equilibria, but are {len(names)}.")
    shown = [(names[i], _OF_EQUILIBRIA[i % len(_OF_EQUILIBRIA)]) for i in _those(basin.index)]
    shown += [(_cycle_name(basin, i), _OF_CYCLES[i % len(_OF_CYCLES)]) for i in _those(basin.cycle)]
    shown += [(name, color) for name, color in _OF_FATES.items() if np.any(_has(basin, name))]
    return tuple(Patch(facecolor=color, edgecolor="none", label=name) for name, color in shown)


def _cycle_name(basin: Basin, number: int) -> str:
    period = float(np.asarray(basin.cycles.periods)[number])
    name = "cycles" if len(basin.cycles) == 1 else f"cycle {number + 1}"
    return f"{name}, period {period:.3g}" if np.isfinite(period) else name
