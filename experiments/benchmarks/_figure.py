"""The figure of the documentation: who is how fast, at which precision, and how that grows."""

from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import matplotlib.lines

from experiments.benchmarks import _rows
from experiments.benchmarks._rows import PACKAGE, Row
from gan_ode import plot

# By the first word of a name: one hue a library, told apart by color-blind readers.
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY_BLUE, BLACK, _ = plot.CYCLE
GRAY = "#7F8893"
COLORS = {
    "gan_ode": BLUE,
    "Diffrax": ORANGE,
    "bare": BLACK,
    "numba": GREEN,
    "numbalsoda": GREEN,
    "heyoka": VERMILLION,
    "torchdiffeq": PURPLE,
    "torchode": PURPLE,
    "SciPy": SKY_BLUE,
    "SUNDIALS": GRAY,
}
# And several of one library by dashes and markers.
STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ((0, (5, 1, 1, 1, 1, 1)), "v"))
CASES = {"W, end": "o", "W, 200 saves": "s", "JS, end": "^", "JS, 200 saves": "D"}


def draw(parts: Mapping[str, Any]) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure(figsize=(7.2, 7.4), layout="constrained")
    panels = figure.subplot_mosaic([["a", "b"], ["a", "c"], ["d", "e"]], width_ratios=[1.15, 1])
    rows = {name: [_rows.row_from(row) for row in part["rows"]] for name, part in parts.items()}
    looks = Looks()
    draw_ensembles(panels["a"], rows.get("ensembles", []))
    precision = rows.get("work_precision", [])
    for letter, case in (("b", "smooth"), ("c", "stiff")):
        draw_precision(panels[letter], [row for row in precision if row.case == case], looks)
    draw_sizes(panels["d"], rows.get("sizes", []), looks)
    draw_parameters(panels["e"], rows.get("parameters", []), looks)
    titles = ("ensembles, tolerance 1e-6", "smooth field", "stiff field", "cost of a start", "number of parameters")
    for (letter, panel), title in zip(panels.items(), titles, strict=True):
        plot.label_panel(panel, letter, title)
        if not panel.has_data():
            panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center", color="0.4")
    if looks.handles:
        names = sorted(looks.handles, key=lambda name: (list(COLORS).index(_library(name)), name))
        figure.legend([looks.handles[name] for name in names], names, loc="outside lower center", ncols=4)
    return figure


class Looks:
    """One look for each name in all panels, and the handles for a legend."""

    def __init__(self) -> None:
        self.handles: dict[str, Any] = {}
        self.taken: dict[str, int] = {}

    def draw(self, panel: Any, name: str, x: list[float], y: list[float]) -> None:
        color = COLORS[_library(name)]
        known = self.handles.get(name)
        if known is None:
            place = self.taken.get(color, 0)
            self.taken[color] = place + 1
            dashes, marker = STYLES[place % len(STYLES)]
        else:
            dashes, marker = known.get_linestyle(), known.get_marker()
        (line,) = panel.plot(x, y, color=color, linestyle=dashes, marker=marker, markersize=3.2, linewidth=1.1)
        self.handles.setdefault(name, line)


def _library(name: str) -> str:
    word = name.replace(",", " ").split()[0]
    return word if word in COLORS else "gan_ode"


def draw_ensembles(panel: Any, rows: list[Row]) -> None:
    """Times over the package's, at the largest size of each case."""
    rows = [row for row in rows if row.asked == 1e-6]
    if not rows:
        return
    largest = max(row.size or 0 for row in rows)
    rows = [row for row in rows if row.size == largest]
    names = [name for name in dict.fromkeys(row.name for row in rows) if name != PACKAGE]
    shown: dict[str, list[tuple[str, float]]] = {name: [] for name in names}
    for row in rows:
        own = next((each for each in rows if each.case == row.case and each.name == PACKAGE), None)
        if row.name != PACKAGE and row.seconds and own is not None and own.seconds:
            case = row.case.rpartition(", 1e")[0]
            shown[row.name].append((case, _rows.ratio([own, row], row.name, PACKAGE).value or float("nan")))
    names.sort(key=lambda name: min((value for _, value in shown[name]), default=float("inf")), reverse=True)
    for place, name in enumerate(names):
        for i, (case, marker) in enumerate(CASES.items()):
            values = [value for each, value in shown[name] if each == case]
            offset = (len(CASES) / 2 - 0.5 - i) * 0.14
            panel.plot(
                values, [place + offset] * len(values), marker, color=COLORS[_library(name)], markersize=4,
                fillstyle="full" if marker in "os" else "none",
            )  # fmt: skip
        if not shown[name]:
            why = next(row.why_not for row in rows if row.name == name)
            panel.text(1.15, place, why.partition(":")[0], fontsize=7, color="0.4", va="center")
    panel.axvline(1.0, color="0.6", linewidth=0.8, zorder=0)
    panel.set_xscale("log")
    panel.set_yticks(range(len(names)), [name.replace(", ", ",\n", 1) for name in names])
    panel.set_ylim(-0.6, len(names) - 0.4)
    panel.grid(axis="y", color="0.92", linewidth=0.6)
    panel.set_xlabel(f"time / time of gan_ode, {largest:,} starts")
    cases = {case for values in shown.values() for case, _ in values}
    marks = [
        matplotlib.lines.Line2D(
            [], [], linestyle="", marker=marker, color="0.3", fillstyle="full" if marker in "os" else "none", label=case
        )
        for case, marker in CASES.items()
        if case in cases
    ]
    panel.legend(handles=marks, loc="upper left", bbox_to_anchor=(0.0, -0.12), ncols=2, borderaxespad=0)


def draw_precision(panel: Any, rows: list[Row], looks: Looks) -> None:
    for name in dict.fromkeys(row.name for row in rows):
        points = sorted((row.error, row.median) for row in rows if row.name == name and row.error and row.median)
        if points:
            looks.draw(panel, name, [x for x, _ in points], [y for _, y in points])
    panel.set(xscale="log", yscale="log", xlabel="largest error", ylabel="time, s")
    if rows:
        panel.invert_xaxis()
        panel.text(0.98, 0.02, f"{rows[0].size:,} starts", transform=panel.transAxes, ha="right", fontsize=7)


def draw_sizes(panel: Any, rows: list[Row], looks: Looks) -> None:
    points = [(row.size, 1e6 * row.median / row.size) for row in rows if row.size and row.median]
    if points:
        looks.draw(panel, PACKAGE, [float(x) for x, _ in points], [y for _, y in points])
    panel.set(xscale="log", yscale="log", xlabel="starts", ylabel="time for each start, µs")


def draw_parameters(panel: Any, rows: list[Row], looks: Looks) -> None:
    for name in dict.fromkeys(row.name for row in rows):
        points = [(float(row.size), row.median) for row in rows if row.name == name and row.size and row.median]
        if points:
            looks.draw(panel, name, [x for x, _ in points], [y for _, y in points])
    panel.set(xscale="log", yscale="log", xlabel="parameters", ylabel="time for 100 starts, s")
