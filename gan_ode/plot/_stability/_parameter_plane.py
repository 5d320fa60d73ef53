"""The plane of two parameters: borders of stability, told apart by how they are drawn, with what meets on them."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import Stroke, withStroke
from matplotlib.text import Annotation

from ...analysis import EventCurve
from .._panel import scale
from .._style import GREEN, INK, ORANGE, PURPLE, WHITE

# How each kind of curve is drawn, so that it is told apart without colors.
_STYLES: dict[str, tuple[Any, str]] = {
    "fold": ("-", "fold"),
    "hopf": ((0, (5, 1.5)), "Hopf"),
    "flip": ((0, (5, 1.3, 1, 1.3)), "flip"),
    "neimark-sacker": ((0, (1.6, 1.2)), "Neimark–Sacker"),
    "fold of cycles": ((0, (3.5, 1, 1, 1, 1, 1)), "fold of cycles"),
}
# The signs of degenerate points, and what they say in a legend. Of points that need none there the sign says it.
_SIGNS = {
    "cusp": ("CP", "cusp"),
    "bogdanov-takens": ("BT", "Bogdanov–Takens"),
    "generalized hopf": ("GH", "generalized Hopf"),
    "fold-hopf": ("FH", "fold–Hopf"),
    "hopf-hopf": ("HH", "Hopf–Hopf"),
    "generalized flip": ("GF", "generalized flip"),
    "cusp of cycles": ("CPC", "cusp of cycles"),
    "chenciner": ("CH", "Chenciner"),
    "fold-flip": ("FF", "fold–flip"),
    "fold-neimark-sacker": ("FN", "fold–Neimark–Sacker"),
    "flip-neimark-sacker": ("PN", "flip–Neimark–Sacker"),
    "neimark-sacker-neimark-sacker": ("NN", "two Neimark–Sacker"),
    "1:1": ("1:1", "resonance 1:1"),
    "1:2": ("1:2", "resonance 1:2"),
    "1:3": ("1:3", "resonance 1:3"),
    "1:4": ("1:4", "resonance 1:4"),
}
_COLORS = (INK, PURPLE, GREEN, ORANGE)
# Where a sign may stand beside its point, in units of the size of its letters: in the first place that is free.
_PLACES = [(1.1, 0.0), (0.8, 0.9), (0.8, -0.9), (-1.1, 0.0), (-0.8, 0.9), (-0.8, -0.9), (0.0, 1.2), (0.0, -1.2)]


@dataclasses.dataclass(frozen=True)
class ParameterPlane:
    """The artists of a plane of parameters.

    Attributes:
        curves: One line for each curve.
        points: One mark for each degenerate point; where curves meet in one, a single mark.
        signs: The letters beside them.
        entries: What a legend says.
    """

    curves: tuple[Line2D, ...]
    points: tuple[Line2D, ...]
    signs: tuple[Annotation, ...]
    entries: tuple[Line2D, ...]

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return list(self.entries)


def parameter_plane(
    *curves: EventCurve,
    ax: Axes,
    labels: Sequence[str] = (),
    names: tuple[str, str] | None = None,
    signs: bool = True,
) -> ParameterPlane:
    """Draws curves of events in the plane of two parameters, and marks what is degenerate on them.

    On an empty panel, or on top of what `stability_map` painted, whose limits are kept: the curves are the borders of
    its colors. Kinds of events differ in how their line is dashed, curves of different labels in their color.

    Args:
        *curves: From `analysis.continue_event`.
        ax: Where to draw.
        labels: What the curves are called in a legend, in their order; by default their kinds alone.
        names: The symbols of both parameters, as mathematics; by default the axes keep their labels.
        signs: Whether letters stand beside degenerate points.

    Returns:
        The artists; for `legend` all kinds of curves and points that there are.

    Raises:
        ValueError: If there is no curve, or there are more labels than curves.
    """
    if not curves:
        raise ValueError("`curves` must be at least one: give what `analysis.continue_event` returned.")
    if len(labels) > len(curves):
        raise ValueError(f"`labels` must be at most one for each curve, but are {len(labels)} for {len(curves)}.")
    size, keeps = scale(ax), ax.has_data()
    limits = ax.get_xlim(), ax.get_ylim()
    colors: dict[str, str] = {}
    lines, entries = [], {}
    for i, each in enumerate(curves):
        label = labels[i] if i < len(labels) else ""
        color = colors.setdefault(label, _COLORS[len(colors) % len(_COLORS)])
        style, word = _STYLES[each.kind]
        text = f"{label}: {word}" if label else word
        look = {"color": color, "linestyle": style, "linewidth": 1.5 * size, "label": text}
        (line,) = ax.plot(np.asarray(each.first), np.asarray(each.second), zorder=3, **look)
        # On dark colors a dark line needs a rim.
        line.set_path_effects([Stroke(linewidth=2.7 * size, foreground=WHITE, alpha=0.75), withStroke(linewidth=0)])
        lines.append(line)
        entries.setdefault(text, Line2D([], [], **look))
    if keeps:
        ax.set(xlim=limits[0], ylim=limits[1])
    if names is not None:
        ax.set(xlabel=f"${names[0]}$", ylabel=f"${names[1]}$")
    marks, letters = _points(ax, curves, size, signs)
    for kind in (point.kind for each in curves for point in each.points):
        sign, word = _SIGNS[kind]
        if sign != kind:
            entries.setdefault(kind, _mark([], [], size, f"{sign}  {word}"))
    return ParameterPlane(tuple(lines), tuple(marks), tuple(letters), tuple(entries.values()))


def _points(
    ax: Axes, curves: tuple[EventCurve, ...], size: float, signs: bool
) -> tuple[list[Line2D], list[Annotation]]:
    """Marks of degenerate points inside the panel, and letters that keep clear of curves and of each other."""
    low, high = np.sort(np.transpose([ax.get_xlim(), ax.get_ylim()]), axis=0)
    places: list[tuple[str, np.ndarray]] = []
    for point in (point for each in curves for point in each.points):
        at = np.array([float(point.first), float(point.second)])
        inside = np.all((at >= low - 1e-9 * (high - low)) & (at <= high + 1e-9 * (high - low)))
        known = any(kind == point.kind and np.allclose(at, there, atol=1e-6) for kind, there in places)
        if inside and not known:
            places.append((point.kind, at))
    marks = [ax.add_line(_mark([x], [y], size, _SIGNS[kind][1])) for kind, (x, y) in places]
    if not signs:
        return marks, []
    ways = [np.stack([np.asarray(each.first, float), np.asarray(each.second, float)], axis=-1) for each in curves]
    path = np.concatenate([_dense(ax.transData.transform(way)) for way in ways])
    taken = [ax.transData.transform(at) for _, at in places]
    return marks, [_letters(ax, kind, at, path, taken, size) for kind, at in places]


def _mark(x: list[float], y: list[float], size: float, label: str) -> Line2D:
    look: Any = {"markerfacecolor": WHITE, "markeredgecolor": INK, "linestyle": "none", "label": label}
    return Line2D(x, y, marker="o", markersize=4.4 * size, markeredgewidth=1.0 * size, zorder=4, **look)


def _letters(ax: Axes, kind: str, at: np.ndarray, path: np.ndarray, taken: list[np.ndarray], size: float) -> Annotation:
    """A sign beside its point, where there is most room."""
    sign, points = _SIGNS[kind][0], 7 * size
    pixels = points * ax.figure.dpi / 72
    half = np.array([0.33 * len(sign), 0.5]) * pixels
    here = ax.transData.transform(at)
    corners = ax.transAxes.transform([(0, 0), (1, 1)])

    def room(place: tuple[float, float]) -> float:
        """How far the box is from what is drawn, in letters; less where it leaves the panel."""
        middle = _middle(place)
        others = np.concatenate([path, np.array(taken)])
        gaps = np.max(np.abs(others - middle) - half, axis=1)
        outside = np.maximum(corners[0] - (middle - half), (middle + half) - corners[1]).max()
        return min(float(gaps.min()), 0.5 * pixels) - 10 * max(outside, 0.0)

    def _middle(place: tuple[float, float]) -> np.ndarray:
        way = np.array(place) * pixels
        return here + way + np.sign(place) * half * np.array([1.0, 0.0])

    best = max(_PLACES, key=room)
    offset = (_middle(best) - here) * 72 / ax.figure.dpi
    text = ax.annotate(
        sign,
        (float(at[0]), float(at[1])),
        xytext=(float(offset[0]), float(offset[1])),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=points,
        color=INK,
        zorder=5,
        annotation_clip=False,
    )
    text.set_path_effects([withStroke(linewidth=2.0 * size, foreground=WHITE, alpha=0.85)])
    taken.append(_middle(best))
    return text


def _dense(path: np.ndarray) -> np.ndarray:
    """A path by points that are a few pixels apart, without what is far outside."""
    pieces = [
        start + np.linspace(0, 1, int(np.clip(np.linalg.norm(end - start) / 3, 2, 200)))[:, None] * (end - start)
        for start, end in itertools.pairwise(path)
    ]
    return np.concatenate([*pieces, path[-1:]])
