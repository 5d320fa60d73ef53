"""Marks of equilibria, by their type."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .. import analysis
from .._types import Args, Field, RealScalarLike, State
from ._panel import scale
from ._plane import Plane, point, Window
from ._style import BLACK, WHITE

# Filled is stable, open is neutral, pointed is unstable; round turns, square does not.
_FILLED = {"markerfacecolor": BLACK, "markeredgecolor": WHITE}
_OPEN = {"markerfacecolor": WHITE, "markeredgecolor": BLACK}
MARKS: dict[str, dict[str, str]] = {
    "stable focus": {"marker": "o", **_FILLED},
    "stable node": {"marker": "s", **_FILLED},
    "unstable focus": {"marker": "^", **_OPEN},
    "unstable node": {"marker": "v", **_OPEN},
    "saddle": {"marker": "X", **_FILLED},
    "center": {"marker": "o", **_OPEN},
    "degenerate": {"marker": "D", **_OPEN},
    "not smooth": {"marker": "P", **_OPEN},
}


def draw_equilibria(
    ax: Axes, field: Field, plane: Plane, window: Window, args: Args, t: RealScalarLike, states: Sequence[State]
) -> tuple[Line2D, ...]:
    """One mark for each equilibrium inside the window."""
    places = [(state, point(plane, state)) for state in states]
    return tuple(_mark(ax, place, _kind(field, state, args, t)) for state, place in places if window.contains(place))


def _kind(field: Field, state: State, args: Args, t: RealScalarLike) -> str:
    if not analysis.inspect(field, state, args=args, t=t).smooth:
        return "not smooth"
    return analysis.equilibrium_type(analysis.spectrum(field, state, args=args, t=t, check=False))


def _mark(ax: Axes, place: np.ndarray, kind: str) -> Line2D:
    look = mark(kind, scale(ax))
    x, y = place
    (line,) = ax.plot([x], [y], label=kind, zorder=6, clip_on=False, scalex=False, scaley=False, **look)
    return line


def mark(kind: str, size: float) -> dict:
    """Settings of a line that shows one equilibrium of this type."""
    look = MARKS[kind]
    is_filled = look["markeredgecolor"] == WHITE
    return {
        **look,
        "linestyle": "none",
        "markersize": (6.4 if is_filled else 5.6) * (1.25 if kind == "saddle" else 1) * size,
        "markeredgewidth": (0.7 if is_filled else 1.2) * size,
    }
