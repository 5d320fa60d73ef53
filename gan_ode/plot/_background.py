"""What lies behind the orbits of a phase portrait: speed, streamlines, nullclines."""

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D
from matplotlib.streamplot import StreamplotSet

from ._panel import inches, scale
from ._plane import Grid
from ._style import BLUE, GRAY, SPEED, VERMILLION

# Decades of speed below the fastest that the shading tells apart.
_DECADES = 2.0
# Cells of Matplotlib's streamline mask: at density 1 there are 30 along an axis, and each holds one line.
_CELLS_PER_INCH = 10.0
# Of the panel: shorter pieces are clutter.
_SHORTEST_STREAMLINE = 0.25


def draw_speed(ax: Axes, grid: Grid) -> QuadMesh | None:
    """Shades by the logarithm of speed: white is slow. One pixel image in a vector file, not thousands of cells."""
    speed = np.ma.masked_invalid(np.hypot(grid.u, grid.v))
    fastest = speed.max()
    if fastest is np.ma.masked or fastest == 0:
        return None
    shade = np.ma.log10(np.ma.maximum(speed, fastest * 10**-_DECADES))
    top = float(np.log10(fastest))
    return ax.pcolormesh(
        grid.x, grid.y, shade, cmap=SPEED, vmin=top - _DECADES, vmax=top, shading="gouraud", rasterized=True, zorder=0
    )


def draw_streamlines(ax: Axes, grid: Grid) -> StreamplotSet | None:
    """Thin gray streamlines, as dense on paper for a small panel as for a large one."""
    if not np.any(np.hypot(grid.u, grid.v) > 0):
        return None
    width, height = inches(ax)
    return ax.streamplot(
        grid.x,
        grid.y,
        np.ma.masked_invalid(grid.u),
        np.ma.masked_invalid(grid.v),
        density=(max(width * _CELLS_PER_INCH, 8) / 30, max(height * _CELLS_PER_INCH, 8) / 30),
        color=GRAY,
        linewidth=0.5 * scale(ax),
        arrowsize=0.5 * scale(ax),
        minlength=_SHORTEST_STREAMLINE,
        zorder=1,
    )


def draw_nullclines(ax: Axes, grid: Grid, names: tuple[str, str]) -> tuple[Line2D, Line2D]:
    """Where either component of the velocity is zero; a line without points where it never is."""
    width = 1.1 * scale(ax)
    looks = ({"color": BLUE, "linestyle": (0, (4, 2))}, {"color": VERMILLION, "linestyle": (0, (1, 1.4))})
    lines = []
    for component, name, look in zip((grid.u, grid.v), names, looks, strict=True):
        x, y = zero_level(grid, component).T
        lines += ax.plot(
            x, y, linewidth=width, zorder=2, label=f"${derivative(name)} = 0$", scalex=False, scaley=False, **look
        )
    return lines[0], lines[1]


def derivative(name: str) -> str:
    r"""Newton's dot over the letter alone, not over its index: `\theta_D` gives `\dot{\theta}_D`."""
    letter, mark, index = name.partition("_")
    return rf"\dot{{{letter}}}{mark}{index}"


def zero_level(grid: Grid, component: np.ndarray) -> np.ndarray:
    """Points of the zero contour, shape `(points, 2)`, with a row of NaN between its pieces."""
    generator = contour_generator(grid.x, grid.y, np.ma.masked_invalid(component), line_type="ChunkCombinedNan")
    (points,) = generator.lines(0.0)[0]
    return np.zeros((0, 2)) if points is None else np.asarray(points)
