"""The figures of an explorer, as Bokeh draws them: empty, to be filled in the browser."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from bokeh.models import BasicTickFormatter, ColumnDataSource, HoverTool, LinearColorMapper, Range1d, Span
from bokeh.plotting import figure

from .._style import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, SKY_BLUE, VERMILLION

Range = tuple[float, float]

# The flow is blue; updates take the rest, told apart by color-blind readers.
COLORS = (ORANGE, GREEN, PURPLE, VERMILLION, SKY_BLUE)
MARKERS = ("square", "triangle", "diamond", "inverted_triangle", "hex")
MAP_SIZE = (36, 30)
DIMENSIONS: tuple[Literal["width"], Literal["height"]] = ("width", "height")
# From stable to unstable: blue, white at a radius of 1, red-orange.
_STABLE, _EVEN, _UNSTABLE = (0, 114, 178), (245, 245, 245), (213, 94, 0)
# In square roots of the growth a step, so that the border is seen.
_STEEPEST = 0.45
# Two small panels stand side by side on a laptop, each with a square frame within its borders.
_SQUARE: Mapping[str, Any] = MappingProxyType(
    {
        "sizing_mode": None, "width": None, "height": None, "frame_width": 160, "frame_height": 160,
        "min_border_left": 64, "min_border_right": 8, "min_border_top": 30, "min_border_bottom": 50,
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Figures:
    """What the page shows, and what of it the browser fills.

    Attributes:
        portrait: The plane.
        region: Step size times eigenvalues, within where updates are stable.
        map: First parameter against step size.
        multipliers: The complex plane with the unit circle.
        distance: Distance to the nearest equilibrium over time.
        invariant: A quantity over time; None where there is none.
        parts: Sources and titles, by the names that the page's script uses.
        inked: Glyphs that take the color of the text.
    """

    portrait: Any
    region: Any
    map: Any
    multipliers: Any
    distance: Any
    invariant: Any
    parts: dict[str, Any]
    inked: list[Any]

    @property
    def all(self) -> list[Any]:
        shown = [self.portrait, self.region, self.map, self.multipliers, self.distance]
        return shown if self.invariant is None else [*shown, self.invariant]


def figures(
    view: tuple[Range, Range],
    labels: tuple[str, str],
    rules: Sequence[str],
    parameter: str,
    ranges: Sequence[Range],
    invariant: str | None,
) -> Figures:
    parts: dict[str, Any] = {}
    inked: list[Any] = []
    portrait = _portrait(view, labels, rules, parts, inked)
    region = _region(rules, parts, inked)
    stability = _map(parameter, ranges, parts, inked)
    circle = _multipliers(rules, parts, inked)
    distance = _over_time("distance", "Distance to the nearest equilibrium", rules, parts, y_axis_type="log")
    quantity = None
    if invariant is not None:
        quantity = parts["invariant"] = _over_time("invariant", invariant, rules, parts)
        parts["invariant_title"] = quantity.title
    return Figures(portrait, region, stability, circle, distance, quantity, parts, inked)


def _range(start: float, end: float) -> Range1d:
    return Range1d(start=float(start), end=float(end))


def _source(parts: dict[str, Any], name: str, *columns: str) -> ColumnDataSource:
    parts[name] = ColumnDataSource({column: [] for column in columns}, name=name)
    return parts[name]


def _figure(title: str, x_label: str, y_label: str, **options: Any) -> Any:
    # Nothing is dragged by a tool: the page's script moves the start.
    made: Any = figure(
        title=title, x_axis_label=x_label, y_axis_label=y_label, toolbar_location=None, tools="",
        **{"sizing_mode": "stretch_width", **options},
    )  # fmt: skip
    made.grid.visible = False
    made.title.text_font_size, made.title.text_font_style = "12px", "normal"
    for axis, span in zip(made.axis, (made.x_range, made.y_range), strict=True):
        axis.minor_tick_line_color = None
        # Left to itself, the formatter tries one precision after the other at each painting, which takes longer than
        # the flow.
        if isinstance(axis.formatter, BasicTickFormatter):
            axis.formatter = BasicTickFormatter(precision=_digits(span))
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "12px", "11px"
    return made


def _digits(span: Any) -> int:
    """Digits after the point that tell the ticks of an axis apart."""
    if not isinstance(span, Range1d):
        return 4
    ends: dict[str, Any] = span.properties_with_values()
    return max(0, 2 - math.floor(math.log10(ends["end"] - ends["start"])))


def _portrait(view: Any, labels: Any, rules: Sequence[str], parts: dict[str, Any], inked: list[Any]) -> Any:
    made = _figure("", *labels, height=540, x_range=_range(*view[0]), y_range=_range(*view[1]))
    lines = _source(parts, "streamlines", "xs", "ys")
    made.multi_line("xs", "ys", source=lines, line_color=GRAY, line_alpha=0.75, line_width=1)
    heads = _source(parts, "heads", "x", "y", "angle")
    made.scatter("x", "y", source=heads, marker="triangle", angle="angle", size=6, color=GRAY, line_color=None)
    for i, color in enumerate((PURPLE, SKY_BLUE)):
        zero = _source(parts, f"nullcline_{i}", "xs", "ys")
        made.multi_line("xs", "ys", source=zero, line_color=color, line_width=1.6, line_dash=[2, 3], line_alpha=0.9)
    for i, _ in enumerate(rules):
        steps = _source(parts, f"steps_{i}", "x", "y")
        made.line("x", "y", source=steps, line_color=COLORS[i], line_width=1, line_alpha=0.7)
        made.scatter("x", "y", source=steps, marker=MARKERS[i], size=5, color=COLORS[i], line_color=None)
    made.line("x", "y", source=_source(parts, "flow", "x", "y"), line_color=BLUE, line_width=2)
    points = _source(parts, "equilibria", "x", "y", "type", "marker", "fill")
    drawn = made.scatter(
        "x", "y", source=points, marker="marker", size=11, line_color=INK, fill_color=INK, fill_alpha="fill",
        line_width=1.8,
    )  # fmt: skip
    inked.append(drawn.glyph)
    made.add_tools(
        HoverTool(renderers=[drawn], tooltips=[("equilibrium", "@type"), ("at", "(@x{0.0000}, @y{0.0000})")])
    )
    now = _source(parts, "now", "x", "y", "color")
    made.scatter("x", "y", source=now, size=11, fill_color="color", line_color="white", line_width=1.5)
    start = _source(parts, "start", "x", "y")
    made.scatter("x", "y", source=start, marker="circle", size=14, fill_color=BLUE, line_color="white", line_width=2)
    return made


def _multipliers(rules: Sequence[str], parts: dict[str, Any], inked: list[Any]) -> Any:
    # Equal frames and ranges: the circle is round.
    made = _figure(
        "Multipliers of a step", "real part", "imaginary part", **_SQUARE, x_range=_range(-1.4, 1.4),
        y_range=_range(-1.4, 1.4),
    )  # fmt: skip
    angles = np.linspace(0, 2 * math.pi, 181)
    made.patch(np.cos(angles), np.sin(angles), fill_color=SKY_BLUE, fill_alpha=0.12, line_color=None)
    inked.append(made.line(np.cos(angles), np.sin(angles), line_color=INK, line_width=1).glyph)
    own = _source(parts, "flow_multipliers", "x", "y")
    made.scatter("x", "y", source=own, marker="circle", size=8, color=BLUE)
    for i, _ in enumerate(rules):
        source = _source(parts, f"multipliers_{i}", "x", "y")
        made.scatter("x", "y", source=source, marker=MARKERS[i], size=8, color=COLORS[i])
    return made


def _map(parameter: str, ranges: Sequence[Range], parts: dict[str, Any], inked: list[Any]) -> Any:
    (low, high), (least, most) = ranges[0], ranges[-1]
    beside, above = 0.03 * (high - low), 0.03 * math.log10(most / least)
    made = _figure(
        "Growth", parameter, "log₁₀ step size", **_SQUARE,
        x_range=_range(low - beside, high + beside),
        y_range=_range(math.log10(least) - above, math.log10(most) + above),
    )  # fmt: skip
    image = ColumnDataSource({"image": [np.zeros(MAP_SIZE[::-1])], "x": [low], "y": [0.0], "dw": [1.0], "dh": [1.0]})
    parts["map"] = image
    mapper = LinearColorMapper(palette=_palette(), low=-_STEEPEST, high=_STEEPEST, nan_color="rgba(0, 0, 0, 0)")
    made.image("image", "x", "y", "dw", "dh", source=image, color_mapper=mapper)
    cross = _source(parts, "cross", "x", "y")
    made.scatter("x", "y", source=cross, marker="circle_cross", size=14, fill_alpha=0, line_color=INK, line_width=1.6)
    parts["map_title"] = made.title
    return made


def _palette() -> list[str]:
    half = np.linspace(0, 1, 32)[:, None]
    lower = (1 - half) * _STABLE + half * _EVEN
    upper = (1 - half) * _EVEN + half * _UNSTABLE
    return ["#" + "".join(f"{round(value):02x}" for value in color) for color in (*lower, *upper)]


def _region(rules: Sequence[str], parts: dict[str, Any], inked: list[Any]) -> Any:
    # Equal frames, and ranges that the page keeps equal: the aspect is 1.
    made = _figure(
        "Step size times eigenvalues", "real part", "imaginary part", **_SQUARE, x_range=_range(-2.52, 0.68),
        y_range=_range(-1.6, 1.6),
    )  # fmt: skip
    parts["region_x"], parts["region_y"] = made.x_range, made.y_range
    for dimension in DIMENSIONS:
        made.add_layout(Span(location=0, dimension=dimension, line_color=GRAY, line_width=0.8, line_alpha=0.7))
    for i, _ in enumerate(rules):
        source = _source(parts, f"region_{i}", "xs", "ys")
        made.multi_line("xs", "ys", source=source, line_color=COLORS[i], line_width=2)
    own = _source(parts, "scaled_spectrum", "x", "y")
    inked.append(made.scatter("x", "y", source=own, marker="x", size=10, line_color=INK, line_width=2.2).glyph)
    return made


def _over_time(name: str, title: str, rules: Sequence[str], parts: dict[str, Any], **options: Any) -> Any:
    made = _figure(title, "time", "", height=248, **options)
    for i, _ in enumerate(rules):
        made.line("x", "y", source=_source(parts, f"{name}_{i}", "x", "y"), line_color=COLORS[i], line_width=1.5)
    # Bokeh warns of a logarithmic axis without data.
    parts[f"flow_{name}"] = ColumnDataSource({"x": [0.0, 1.0], "y": [1.0, 0.1]}, name=f"flow_{name}")
    made.line("x", "y", source=parts[f"flow_{name}"], line_color=BLUE, line_width=2)
    return made
