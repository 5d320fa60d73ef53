import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.streamplot import StreamplotSet

from .. import _checks
from .._types import Args, Field, RealScalarLike, State
from ..simulate import Orbit
from ._background import draw_nullclines, draw_speed, draw_streamlines
from ._curves import draw_arrows, draw_flow, draw_starts, draw_updates, time_norm
from ._equilibria import draw_equilibria
from ._plane import limits, members, Path, path, Plane, players_point, players_state, velocities, Window, window
from ._style import TIME


@dataclasses.dataclass(frozen=True)
class PhasePortrait:
    """The artists of a phase portrait; None or empty where something was not drawn.

    Attributes:
        background: Shading by speed.
        streamlines: Matplotlib's lines and arrows.
        nullclines: Where the first and where the second component of the velocity is zero.
        orbits: One collection for each flow orbit; its array holds times.
        arrows: Arrowheads on them.
        starts: Marks where orbits start.
        updates: One line for each orbit of an update.
        equilibria: One mark for each equilibrium, labelled by its type.
        norm: Color scale of time.
    """

    background: QuadMesh | None
    streamlines: StreamplotSet | None
    nullclines: tuple[Line2D, ...]
    orbits: tuple[LineCollection, ...]
    arrows: tuple[FancyArrowPatch, ...]
    starts: Line2D | None
    updates: tuple[Line2D, ...]
    equilibria: tuple[Line2D, ...]
    norm: Normalize | None

    @property
    def mappable(self) -> ScalarMappable | None:
        """What `colorbar` draws."""
        return None if self.norm is None else ScalarMappable(self.norm, TIME)

    @property
    def color_label(self) -> str:
        return "time $t$"

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend; `legend` shows each label once."""
        nullclines = [line for line in self.nullclines if np.size(line.get_xdata())]
        flows = [_flow_entry(lines) for lines in self.orbits[:1]]
        starts = [] if self.starts is None else [self.starts]
        return [*nullclines, *flows, *self.updates, *starts, *self.equilibria]


def phase_portrait(
    field: Field,
    *,
    ax: Axes,
    xlim: Sequence[RealScalarLike],
    ylim: Sequence[RealScalarLike],
    args: Args = None,
    t: RealScalarLike = 0.0,
    state: Callable[[Any, Any], State] = players_state,
    project: Callable[[State], tuple[Any, Any]] = players_point,
    names: tuple[str, str] = (r"\theta_D", r"\theta_G"),
    axis_labels: tuple[str, str] | None = None,
    background: Literal["speed"] | None = "speed",
    streamlines: bool = True,
    nullclines: bool = True,
    equilibria: Sequence[State] = (),
    orbits: Orbit | Sequence[Orbit] = (),
    updates: Orbit | Sequence[Orbit] | Mapping[str, Orbit | Sequence[Orbit]] = (),
    color_by: Literal["time"] | None = "time",
    time_limits: tuple[RealScalarLike, RealScalarLike] | None = None,
    resolution: int = 160,
) -> PhasePortrait:
    r"""Draws a field in a plane, with orbits of flows and updates on it.

    By default the plane is that of a game with two scalar parameters: discriminator to the right, generator upward.
    For others, `state` and `project` say which plane it is. Arrows then are the projected velocities at the plane's
    points; orbits follow them only if the plane is invariant.

    Marks of equilibria: a filled circle is a stable focus, a filled square a stable node; open circle a center, open
    triangles unstable, a cross a saddle, an open diamond degenerate, an open plus where the field is not smooth. Widths
    and densities follow the size of the panel.

    Args:
        field: The field.
        ax: Where to draw.
        xlim: Limits of the horizontal axis.
        ylim: Limits of the vertical axis.
        args: Handed to the field.
        t: Time that the field is taken at.
        state: From `x, y` (scalar arrays) to a state.
        project: From a state to `(x, y)`; must be differentiable.
        names: The two parameters in formulas, as `("w", "a")`: for axes and nullclines.
        axis_labels: Labels of the two axes, for example `("slope of D", "shift of G")`; by default the names, with the
            player in front where the plane is that of the players.
        background: `"speed"` shades by the logarithm of speed, white where it is slow, over two decades.
        streamlines: Whether to draw them.
        nullclines: Whether to draw where either component of the velocity is zero.
        equilibria: States to mark; those outside the limits are left out.
        orbits: Orbits of flows, ensembles too.
        updates: Orbits of updates; `{label: orbits}` to tell several rules apart.
        color_by: `"time"`, or None for one color.
        time_limits: Times at the ends of the color scale, to share it between panels; by default those of `orbits`.
        resolution: Points of the grid along each axis.

    Returns:
        The artists.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    _check_choices(background, color_by)
    resolution = _checks.count("resolution", resolution, least=10)
    panel, plane = window(xlim, ylim), Plane(state, project)
    flows = [path(plane, panel, *each) for each in members(orbits)]
    rules = {label: [path(plane, panel, *each) for each in members(some)] for label, some in _by_label(updates).items()}
    norm = (
        time_norm(flows, None if time_limits is None else limits("time_limits", time_limits))
        if color_by == "time"
        else None
    )
    grid = velocities(field, plane, panel, args, t, resolution)
    portrait = PhasePortrait(
        background=draw_speed(ax, grid) if background == "speed" else None,
        streamlines=draw_streamlines(ax, grid) if streamlines else None,
        nullclines=draw_nullclines(ax, grid, names) if nullclines else (),
        orbits=tuple(draw_flow(ax, flow, norm) for flow in flows if len(flow.ts) > 1),
        arrows=tuple(arrow for flow in flows for arrow in draw_arrows(ax, flow, panel, norm)),
        updates=_draw_rules(ax, rules),
        starts=draw_starts(ax, flows + [each for paths in rules.values() for each in paths]),
        equilibria=draw_equilibria(ax, field, plane, panel, args, t, equilibria),
        norm=norm,
    )
    _frame(ax, panel, axis_labels or _axis_labels(names, project is players_point))
    return portrait


def _check_choices(background: str | None, color_by: str | None) -> None:
    for name, value, option in (("background", background, "speed"), ("color_by", color_by, "time")):
        if value is not None:
            _checks.one_of(name, value, (option,))


def _by_label(updates: Any) -> Mapping[str, Any]:
    return updates if isinstance(updates, Mapping) else {"updates": updates}


def _draw_rules(ax: Axes, rules: Mapping[str, list[Path]]) -> tuple[Line2D, ...]:
    lines = [draw_updates(ax, each, label, i) for i, (label, paths) in enumerate(rules.items()) for each in paths]
    return tuple(lines)


def _flow_entry(lines: LineCollection) -> Line2D:
    """A line in a middle color: a legend has no room for the whole scale."""
    color: Any = np.asarray(lines.get_edgecolor())[0] if lines.get_array() is None else TIME(0.35)
    return Line2D(
        [], [], color=color, linewidth=np.ravel(lines.get_linewidth())[0], zorder=3, label=str(lines.get_label())
    )


def _axis_labels(names: tuple[str, str], are_players: bool) -> tuple[str, str]:
    whose = ("discriminator ", "generator ") if are_players else ("", "")
    return f"{whose[0]}${names[0]}$", f"{whose[1]}${names[1]}$"


def _frame(ax: Axes, panel: Window, labels: tuple[str, str]) -> None:
    ax.set(xlim=panel.x, ylim=panel.y, xlabel=labels[0], ylabel=labels[1])
