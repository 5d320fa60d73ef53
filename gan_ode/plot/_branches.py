"""Eigenvalues followed along a parameter."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from ._panel import scale
from ._style import PARAMETER, WHITE


def draw_branches(ax: Axes, branches: np.ndarray, parameter: np.ndarray, norm: Normalize) -> tuple[LineCollection, ...]:
    """One line for each column, colored by the parameter between its values."""
    middle = (parameter[:-1] + parameter[1:]) / 2
    lines = [_branch(column, middle, norm, scale(ax)) for column in branches.T]
    for each in lines:
        ax.add_collection(each, autolim=False)
    return tuple(lines)


def _branch(column: np.ndarray, middle: np.ndarray, norm: Normalize, size: float) -> LineCollection:
    points = np.stack([np.real(column), np.imag(column)], axis=-1)
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    return LineCollection(
        list(pieces), array=middle, cmap=PARAMETER, norm=norm, linewidths=2.2 * size, capstyle="round", zorder=3
    )


def draw_ends(ax: Axes, branches: np.ndarray, parameter: np.ndarray, norm: Normalize) -> tuple[Line2D, ...]:
    """Dots where the branches begin and end: open at the first value of the parameter, filled at the last."""
    colors: Sequence = [PARAMETER(norm(value)) for value in parameter[[0, -1]]]
    faces = (WHITE, colors[1])
    size = scale(ax)
    return tuple(
        ax.plot(
            np.real(row), np.imag(row), "o", markerfacecolor=face, markeredgecolor=color, markersize=4.6 * size,
            markeredgewidth=1.3 * size, zorder=4, scalex=False, scaley=False,
        )[0]
        for row, face, color in zip(branches[[0, -1]], faces, colors, strict=True)
    )  # fmt: skip
