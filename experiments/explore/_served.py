"""A page for a game of any size: this process computes, a browser on the same machine shows.

The page is a document of a Bokeh server that listens on loopback alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.events import Pan, Tap
from bokeh.layouts import column, row
from bokeh.models import Button, CheckboxGroup, ColumnDataSource, Div, Range1d, Select, Slider
from bokeh.plotting import figure
from bokeh.server.server import Server

from ._plane import Explored, Plane, plane_through, Seen

BLUE, GRAY, INK, SKY_BLUE = "#0072B2", "#7F8893", "#1A1A1A", "#56B4E9"
# As in the explorer of two numbers.
COLORS = ("#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
# Of the distance that the flow goes, what is shown on either side.
_ROOM = 1.3
# Of the distance between two arrows, the longest.
_LONGEST = 0.8


class Page:
    """The page of one visitor.

    Args:
        explored: The games by their names; visitors share them, and what they have compiled.
        parameters: For each parameter its lowest and highest value.
        step_size: The smallest and the largest.
        start: The state that the plane goes through.
        title: Of the page.
    """

    def __init__(
        self,
        explored: Mapping[str, Explored],
        parameters: Mapping[str, tuple[float, float]],
        step_size: tuple[float, float],
        start: Any,
        title: str = "gan_ode explorer",
    ):
        self.explored, self.start, self.title = explored, start, title
        first = next(iter(explored))
        self.rules = list(explored[first].rules)
        self.family = Select(
            title="game", options=list(explored), value=first, name="family", visible=len(explored) > 1
        )
        self.sliders = {
            name: Slider(title=name, start=low, end=high, step=(high - low) / 200, value=low, name=name)
            for name, (low, high) in parameters.items()
        }
        low, high = (math.log10(each) for each in step_size)
        self.log_step = Slider(
            title="log₁₀ step size", start=low, end=high, step=(high - low) / 200, value=max(low, high - 1),
            name="step size",
        )  # fmt: skip
        self.shown = CheckboxGroup(
            labels=["flow", *self.rules], active=list(range(1 + len(self.rules))), name="rules", inline=True
        )
        self.words = Div(name="words")
        self.turn = Button(label="Turn the plane to the leading eigenvectors", name="turn")
        self.place, self.width, self.waiting = np.array([0.0, 0.0]), 1.0, False
        self.plane: Plane | None = None
        self.eigenvalues = np.zeros(0, complex)
        self.sources = _sources(self.rules)
        self.figures = _figures(self.sources, self.rules)

    def add_to(self, document: Document) -> None:
        """Puts the page into a document, and computes it for the first time."""
        document.title = self.title
        self.turn_plane()
        moved = lambda attr, old, new: self.plan(document)  # noqa: E731
        for slider in (*self.sliders.values(), self.log_step):
            slider.on_change("value", moved)
        self.shown.on_change("active", moved)
        self.family.on_change("value", moved)
        self.turn.on_click(self.turn_and_draw)
        for kind in (Tap, Pan):
            self.figures["plane"].on_event(kind, lambda event: self.move(document, event.x, event.y))
        controls = row(self.family, *self.sliders.values(), self.log_step, self.turn)
        panels = row(self.figures["plane"], column(self.words, self.figures["spectrum"], self.figures["away"]))
        document.add_root(column(controls, self.shown, panels))
        self.draw()

    def move(self, document: Document, x: float, y: float) -> None:
        """Starts orbits elsewhere in the plane."""
        self.place = np.array([x, y])
        self.plan(document)

    def plan(self, document: Document) -> None:
        """Draws soon, once for all moves that came until then."""
        if not self.waiting:
            self.waiting = True
            document.add_next_tick_callback(self.draw)

    @property
    def parameters(self) -> dict[str, float]:
        return {name: float(slider.value) for name, slider in self.sliders.items()}

    @property
    def step_size(self) -> float:
        return 10.0 ** float(self.log_step.value)

    def turn_and_draw(self) -> None:
        self.turn_plane()
        self.draw()

    def turn_plane(self) -> None:
        """Puts the plane along the eigenvectors that lead at these parameters, and the view around the flow."""
        explored = self.explored[str(self.family.value)]
        self.plane, self.eigenvalues = plane_through(explored.family(**self.parameters), self.start, explored.args)
        # At the origin the field may stand still. So the flow begins beside it, where the view will be; how far it goes
        # from there is seen once more.
        self.place = np.zeros(2)
        self.place = np.full(2, 0.3 * self.reach())
        self.width = _ROOM * self.reach()
        for axis in (self.figures["plane"].x_range, self.figures["plane"].y_range):
            axis.update(start=-1.1 * self.width, end=1.1 * self.width)

    def reach(self) -> float:
        """How far the flow goes within the plane; 1 if it stands still."""
        places = np.abs(self.seen().orbits["flow"])
        return float(places[np.isfinite(places)].max(initial=0.0)) or 1.0

    def seen(self) -> Seen:
        """What is to be drawn."""
        if self.plane is None:
            raise ValueError("the plane must be made before it is drawn")
        explored = self.explored[str(self.family.value)]
        return explored.seen(self.plane, self.parameters, self.step_size, self.place, self.width)

    def draw(self) -> None:
        """Computes the setting, and hands it to the browser."""
        self.waiting = False
        seen = self.seen()
        self.sources["arrows"].data, self.sources["heads"].data = arrow_shapes(seen.arrows, self.width)
        self.sources["start"].data = {"x": [self.place[0]], "y": [self.place[1]]}
        for i, name in enumerate(("flow", *self.rules)):
            shown = i in self.shown.active
            path, away = (seen.orbits[name], seen.away[name]) if shown else (np.zeros((0, 2)), np.zeros(0))
            kept = np.isfinite(path).all(axis=1)
            self.sources[f"orbit_{name}"].data = {"x": path[kept, 0], "y": path[kept, 1]}
            self.sources[f"away_{name}"].data = {"x": seen.times[: len(away)][kept], "y": np.maximum(away[kept], 1e-16)}
        scaled = self.step_size * self.eigenvalues
        self.sources["spectrum"].data = {"x": scaled.real, "y": scaled.imag}
        self.words.text = said(self.eigenvalues, self.step_size)


def arrow_shapes(arrows: np.ndarray, width: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shafts along velocities over a grid, as long as the root of the speed says, so that slow ones show; and heads."""
    side = len(arrows)
    marks, speed = np.linspace(-width, width, side), np.linalg.norm(arrows, axis=-1)
    fastest = speed[np.isfinite(speed)].max(initial=0.0) or 1.0
    size = _LONGEST * (2 * width / (side - 1)) * np.sqrt(speed / fastest)
    unit = arrows / np.where(speed > 0, speed, 1.0)[..., None]
    q, p = np.meshgrid(marks, marks, indexing="ij")
    ends = np.stack([p, q], axis=-1) + size[..., None] * unit
    shafts = {
        "xs": [np.array(each) for each in zip(p.ravel(), ends[..., 0].ravel(), strict=True)],
        "ys": [np.array(each) for each in zip(q.ravel(), ends[..., 1].ravel(), strict=True)],
    }
    # A triangle points upward.
    angle = np.arctan2(unit[..., 1], unit[..., 0]) - math.pi / 2
    return shafts, {"x": ends[..., 0].ravel(), "y": ends[..., 1].ravel(), "angle": angle.ravel()}


def said(eigenvalues: np.ndarray, step_size: float) -> str:
    """What the leading eigenvalues say of the flow and of simultaneous steps, near the state."""
    lead = eigenvalues[0]
    rounding = 1e-9 * np.abs(eigenvalues).max()
    word = "grows" if lead.real > rounding else "decays" if lead.real < -rounding else "neither grows nor decays"
    how = "turning" if abs(lead.imag) > rounding else "straight"
    value = f"{lead.real:.4g} ± {abs(lead.imag):.4g} i" if abs(lead.imag) > rounding else f"{lead.real:.4g}"
    radius = float(np.abs(1 + step_size * eigenvalues).max())
    return (
        f"<b>Along the leading eigenvectors the flow {word}, {how}</b> (eigenvalue {value}).<br>"
        f"Simultaneous steps of {step_size:.3g} multiply what moves along them by up to {radius:.6f}."
    )


def _sources(rules: Sequence[str]) -> dict[str, ColumnDataSource]:
    orbits = [f"{kind}_{name}" for kind in ("orbit", "away") for name in ("flow", *rules)]
    names = {"start": "x y", "spectrum": "x y", "arrows": "xs ys", "heads": "x y angle", **dict.fromkeys(orbits, "x y")}
    return {name: ColumnDataSource({each: [] for each in axes.split()}, name=name) for name, axes in names.items()}


def _figures(sources: Mapping[str, ColumnDataSource], rules: Sequence[str]) -> dict[str, Any]:
    colors = dict(zip(("flow", *rules), (BLUE, *COLORS), strict=False))
    plane = _figure("The plane of the leading eigenvectors", "first axis", "second axis", 560, 560)
    plane.x_range, plane.y_range = Range1d(start=-1, end=1), Range1d(start=-1, end=1)
    plane.multi_line("xs", "ys", source=sources["arrows"], line_color=GRAY, line_alpha=0.7)
    heads = {"marker": "triangle", "angle": "angle", "size": 5, "color": GRAY, "line_color": None}
    plane.scatter("x", "y", source=sources["heads"], **heads)
    spectrum = _figure("Step size times eigenvalues", "real part", "imaginary part", 300, 300)
    spectrum.match_aspect = True
    angles = np.linspace(0, 2 * math.pi, 181)
    spectrum.patch(np.cos(angles) - 1, np.sin(angles), fill_color=SKY_BLUE, fill_alpha=0.15, line_color=INK)
    spectrum.scatter("x", "y", source=sources["spectrum"], marker="x", size=10, line_color=INK, line_width=2)
    away = _figure("Distance to the state", "time", "", 420, 220, y_axis_type="log")
    for name, color in colors.items():
        plane.line("x", "y", source=sources[f"orbit_{name}"], line_color=color, line_width=2, legend_label=name)
        away.line("x", "y", source=sources[f"away_{name}"], line_color=color, line_width=2)
    plane.scatter("x", "y", source=sources["start"], size=14, fill_color=BLUE, line_color="white", line_width=2)
    plane.legend.background_fill_alpha = 0.8
    return {"plane": plane, "spectrum": spectrum, "away": away}


def _figure(title: str, x_label: str, y_label: str, width: int, height: int, **options: Any) -> Any:
    made: Any = figure(
        title=title, x_axis_label=x_label, y_axis_label=y_label, width=width, height=height, toolbar_location=None,
        tools="", **options,
    )  # fmt: skip
    made.grid.visible = False
    return made


def games_of(arguments: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Explored]:
    """The games in the arguments of `plot.explorer`; `args`, too, is handed to their fields."""
    family, given = arguments["family"], arguments.get("updates", rules)
    families = family if isinstance(family, Mapping) else {"game": family}
    named = dict(given) if isinstance(given, Mapping) else {each.__name__: each for each in given}
    return {name: Explored(each, named, arguments.get("args")) for name, each in families.items()}


def serve(arguments: Mapping[str, Any], rules: Mapping[str, Any], port: int = 0) -> Server:
    """A server that listens on loopback, started; its `port` says where, and its `io_loop` answers once it runs.

    Args:
        arguments: Those of `plot.explorer`, and `args`.
        rules: From names to what makes updates of a step size, where the arguments have none.
        port: Where to listen; 0 for any that is free.

    Raises:
        ValueError: If the game cannot be followed.
    """
    games, title = games_of(arguments, rules), arguments.get("title", "gan_ode explorer")

    def page() -> Page:
        return Page(games, arguments["parameters"], arguments["step_size"], arguments["start"], title)

    # Compiled before a visitor waits for it, and refused before there is a server.
    page().turn_plane()
    server = Server({"/": lambda document: page().add_to(document)}, address="127.0.0.1", port=port)
    server.start()
    return server
