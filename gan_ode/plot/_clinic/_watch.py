"""The history of a watch on training."""

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from ...analysis import Reading
from .._panel import label_panel, scale
from .._style import BLUE, GRAY, INK, ORANGE, PALE, VERMILLION

_LETTERS = "abcd"


@dataclasses.dataclass(frozen=True)
class WatchPlot:
    """The artists of a watch's history; None or empty where there is nothing.

    Attributes:
        axes: The four panels: speeds, the leading mode's turns, its growth in a turn, parts of one.
        speeds: A line for each player, or one.
        turns: Turns of the leading mode in a thousand steps.
        growth: Its growth in a turn.
        parts: Path angle, share of rotation, noise.
        onset: A line where cycling sets in, in each panel.
    """

    axes: tuple[Axes, ...]
    speeds: tuple[Line2D, ...]
    turns: Line2D
    growth: Line2D
    parts: tuple[Line2D, ...]
    onset: tuple[Line2D, ...]


def watch(history: Reading, *, figure: Figure | SubFigure) -> WatchPlot:
    """Draws what a watch read along training, four panels over the step.

    (a) The players' speeds. (b) How many turns the leading mode makes in a thousand steps, (c) by what factor it grows
    in a turn: filled marks are readings that see it turn, by which both are scaled. (d) The cosine between the last two
    ways between readings, the rotation's share of the Jacobian, and the noise's part of the velocity. Readings that are
    called cycling stand on a shaded ground, and a dashed line is where that set in.

    Args:
        history: From `watch.history`, of at least one reading.
        figure: Where to draw: an empty figure of about 7.2 by 4.5 inches, with constrained layout, as `plot.style` has
            it.

    Returns:
        The artists.

    Raises:
        ValueError: If `history` is a single reading.
    """
    if np.ndim(history.step) != 1:
        raise ValueError("`history` must have an axis of readings, but is one: give `watch.history(...)`.")
    axes = tuple(figure.subplots(2, 2, sharex=True).ravel())
    titles = ("Speed", "Turning", "Growth", "Path, rotation, noise")
    step = np.asarray(history.step)
    onset = history.onset
    for ax, letter, title in zip(axes, _LETTERS, titles, strict=True):
        label_panel(ax, letter, title)
        _shade(ax, step, np.asarray(history.cycling))
    for ax in axes[2:]:
        ax.set_xlabel("step")
    marks = (
        ()
        if onset is None
        else tuple(
            ax.axvline(onset, color=INK, linewidth=0.9 * scale(ax), linestyle=(0, (4, 2)), zorder=1) for ax in axes
        )
    )
    return WatchPlot(
        axes=axes,
        speeds=_speeds(axes[0], step, history),
        turns=_turns(axes[1], step, history),
        growth=_growth(axes[2], step, history),
        parts=_parts(axes[3], step, history),
        onset=marks,
    )


def _shade(ax: Axes, step: np.ndarray, cycling: np.ndarray) -> None:
    """The ground behind readings that are called cycling, half a reading to either side."""
    edges = np.concatenate([step[:1], (step[1:] + step[:-1]) / 2, step[-1:]])
    for i in np.flatnonzero(cycling):
        ax.axvspan(edges[i], edges[i + 1], color=PALE, linewidth=0, zorder=0)


def _speeds(ax: Axes, step: np.ndarray, history: Reading) -> tuple[Line2D, ...]:
    if history.speeds is None:
        lines = _line(ax, step, history.speed, BLUE, "all")
    else:
        lines = _line(ax, step, history.speeds.discriminator, BLUE, "discriminator")
        lines += _line(ax, step, history.speeds.generator, ORANGE, "generator", "--")
    # A speed of zero, as at a start at rest, has no place on this axis.
    ax.set_yscale("log", nonpositive="mask")
    if len(lines) > 1:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.25)
        ax.legend(ncols=2, loc="upper right", columnspacing=1.0)
    ax.set_ylabel("norm of the velocity")
    return tuple(lines)


def _turns(ax: Axes, step: np.ndarray, history: Reading) -> Line2D:
    (line,) = _line(ax, step, 1000 / np.asarray(history.period), INK, "leading mode")
    _fill(ax, line, history)
    ax.set(ylabel="turns in 1,000 steps")
    # Room above: a line at the frame would be cut.
    ax.set_ylim(0, 1.15 * np.max(_that_count(np.asarray(line.get_ydata(), float), history), initial=0.0) or 1.0)
    return line


def _growth(ax: Axes, step: np.ndarray, history: Reading) -> Line2D:
    turns = np.isfinite(np.asarray(history.period))
    growth = np.where(turns, np.asarray(history.growth), np.nan)
    (line,) = _line(ax, step, growth, INK, "leading mode")
    _fill(ax, line, history)
    ax.axhline(1, color=GRAY, linewidth=0.7 * scale(ax), zorder=1)
    ax.set_ylabel("factor in a turn")
    counting = _that_count(growth, history)
    least, most = np.min(counting, initial=1.0), np.max(counting, initial=1.0)
    if most > 10 * least > 0:
        ax.set_yscale("log")
        ax.set_ylim(least / 1.5, most * 1.5)
    else:
        ax.set_ylim(least - 0.1 * (most - least + 0.1), most + 0.1 * (most - least + 0.1))
    return line


def _that_count(values: np.ndarray, history: Reading) -> np.ndarray:
    """Those by which an axis is scaled: of readings that see a mode turn, or of all where none does."""
    known = np.isfinite(values)
    turning = known & np.asarray(history.turning)
    return values[turning] if turning.any() else values[known]


def _parts(ax: Axes, step: np.ndarray, history: Reading) -> tuple[Line2D, ...]:
    lines = _line(ax, step, history.path_angle, BLUE, "path angle")
    lines += _line(ax, step, history.rotation_share, VERMILLION, "rotation", "--")
    if np.isfinite(np.asarray(history.noise)).any():
        lines += _line(ax, step, history.noise, GRAY, "noise", ":")
    ax.axhline(0, color=GRAY, linewidth=0.7 * scale(ax), zorder=1)
    ax.set(ylabel="cosine, or part of one", ylim=(-1.08, 1.5), yticks=[-1, -0.5, 0, 0.5, 1])
    ax.legend(ncols=3, loc="upper right", columnspacing=1.0)
    return tuple(lines)


def _line(ax: Axes, x: np.ndarray, values: object, color: str, label: str, style: str = "-") -> list[Line2D]:
    look = {"marker": "o", "markersize": 3 * scale(ax), "markerfacecolor": "white", "linewidth": 1.1 * scale(ax)}
    return ax.plot(x, np.asarray(values), color=color, label=label, linestyle=style, **look)


def _fill(ax: Axes, line: Line2D, history: Reading) -> None:
    """Fills the marks of readings that see a mode turn."""
    seen = np.asarray(history.turning)
    x, y = (np.asarray(values)[seen] for values in line.get_data())
    ax.plot(x, y, linestyle="none", marker="o", markersize=3.4 * scale(ax), color=line.get_color(), zorder=4)
