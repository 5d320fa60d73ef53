"""Orbits in a phase portrait: flows as thick curves, updates as thin lines with dots."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from ._panel import scale
from ._plane import Path, Window
from ._style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY_BLUE, TIME, VERMILLION, WHITE

_UPDATE_COLORS = (ORANGE, PURPLE, GREEN, SKY_BLUE, VERMILLION)
_UPDATE_MARKERS = ("o", "s", "^", "D", "v")
# Where arrows are, in panels along the curve.
_ARROWS_AT = (0.22, 1.4)


def time_norm(paths: Sequence[Path], limits: tuple[float, float] | None) -> Normalize | None:
    """The times of all orbits, or the limits given, on one color scale."""
    if limits is not None:
        return Normalize(*limits)
    ends = [t for path in paths if len(path.ts) for t in (path.ts[0], path.ts[-1])]
    return Normalize(min(ends), max(ends)) if ends else None


def draw_flow(ax: Axes, path: Path, norm: Normalize | None) -> LineCollection:
    """One orbit, a piece from each saved time to the next, colored by the time between."""
    pieces = np.stack([path.points[:-1], path.points[1:]], axis=1)
    lines = LineCollection(list(pieces), linewidths=1.9 * scale(ax), capstyle="round", zorder=3, label="flow")
    if norm is None:
        lines.set_color(BLUE)
    else:
        lines.set(cmap=TIME, norm=norm, array=(path.ts[:-1] + path.ts[1:]) / 2)
    ax.add_collection(lines, autolim=False)
    return lines


def draw_arrows(ax: Axes, path: Path, window: Window, norm: Normalize | None) -> tuple[FancyArrowPatch, ...]:
    """One or two arrowheads along the curve: at fixed lengths from its start, or halfway if it is short."""
    return tuple(_arrow(ax, path, i, norm) for i in arrow_places(window.relative(path.points)))


def arrow_places(points: np.ndarray) -> list[int]:
    """Indices of the pieces that bear arrows, all inside the panel, for points in its units."""
    inside = np.all((points > 0.02) & (points < 0.98), axis=-1)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1) * (inside[:-1] & inside[1:])
    length = np.cumsum(steps)
    if len(length) == 0 or length[-1] < 0.05:
        return []
    # The second needs room behind it: where a spiral ends it would only blot.
    wanted = [min(_ARROWS_AT[0], length[-1] / 2)] + [at for at in _ARROWS_AT[1:] if at < 0.8 * length[-1]]
    return [int(np.searchsorted(length, at)) for at in wanted]


def _arrow(ax: Axes, path: Path, i: int, norm: Normalize | None) -> FancyArrowPatch:
    color: Any = BLUE if norm is None else TIME(norm(path.ts[i]))
    arrow = FancyArrowPatch(
        path.points[i],
        path.points[i + 1],
        arrowstyle="-|>,head_width=0.28,head_length=0.6",
        mutation_scale=8 * scale(ax),
        color=color,
        linewidth=0.8 * scale(ax),
        shrinkA=0,
        shrinkB=0,
        zorder=3.5,
    )
    ax.add_patch(arrow)
    return arrow


def draw_starts(ax: Axes, paths: Sequence[Path]) -> Line2D | None:
    """Small open circles where orbits start, one for orbits that share a start."""
    starts = [path.points[0] for path in paths if len(path.ts)]
    if not starts:
        return None
    x, y = np.unique(np.array(starts), axis=0).T
    look: dict[str, Any] = {"marker": "o", "markerfacecolor": WHITE, "markeredgecolor": INK, "linestyle": "none"}
    size = 3.6 * scale(ax)
    (line,) = ax.plot(
        x,
        y,
        markersize=size,
        markeredgewidth=0.8 * scale(ax),
        zorder=5,
        label="start",
        scalex=False,
        scaley=False,
        **look,
    )
    return line


def draw_updates(ax: Axes, path: Path, label: str, index: int) -> Line2D:
    """Thin line with a dot at every saved step; color and marker by `index`."""
    (line,) = ax.plot(
        *path.points.T,
        color=_UPDATE_COLORS[index % len(_UPDATE_COLORS)],
        marker=_UPDATE_MARKERS[index % len(_UPDATE_MARKERS)],
        markersize=2.6 * scale(ax),
        markeredgewidth=0,
        linewidth=0.7 * scale(ax),
        zorder=4,
        label=label,
        scalex=False,
        scaley=False,
    )
    return line
