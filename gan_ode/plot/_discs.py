"""Stability discs of simultaneous updates in the plane of eigenvalues."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.text import Text

from ._panel import scale
from ._plane import Window
from ._style import GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILLION, WHITE

_COLORS = (SKY_BLUE, ORANGE, GREEN, PURPLE, VERMILLION)
# Crowded at zero, where the circle touches the origin: of a disc much larger than the panel only that arc is seen.
_ANGLES = np.pi * np.linspace(-1, 1, 1201) ** 5
# In units of the panel: what a label needs to its center from the edge, and from what it must not cover.
_EDGE = np.array([0.14, 0.07])
_ROOM = 0.25


def draw_discs(ax: Axes, step_sizes: Sequence[float]) -> tuple[Circle, ...]:
    r"""For each step size the disc $|1 + h\lambda| \le 1$, of center $-1/h$ and radius $1/h$."""
    return tuple(_disc(ax, h, _COLORS[i % len(_COLORS)]) for i, h in enumerate(step_sizes))


def _disc(ax: Axes, h: float, color: str) -> Circle:
    circle = Circle(
        (-1 / h, 0),
        1 / h,
        facecolor=(color, 0.08),
        edgecolor=color,
        linewidth=1.1 * scale(ax),
        zorder=1.5,
        label=_text(h),
    )
    # Not `add_patch`, which would widen the limits to a disc that may be huge.
    ax.add_artist(circle)
    return circle


def _text(h: float) -> str:
    return f"$h = {h:.3g}$"


def draw_disc_labels(ax: Axes, discs: Sequence[Circle], panel: Window, eigenvalues: np.ndarray) -> tuple[Text, ...]:
    """Writes each step size into its circle, away from eigenvalues and other labels, and if it can from other lines.

    Args:
        ax: Where to draw.
        discs: The circles.
        panel: The limits.
        eigenvalues: Points to keep away from, shape `(points, 2)`.
    """
    texts, taken = [], eigenvalues
    rims = [_rim(disc) for disc in discs]
    for i, disc in enumerate(discs):
        lines = np.concatenate([_axes(panel), *rims[:i], *rims[i + 1 :]])
        place = free_place(*(panel.relative(points) for points in (rims[i], taken, lines)))
        if place is not None:
            texts.append(_label(ax, disc, rims[i][place]))
            taken = np.concatenate([taken, rims[i][place : place + 1]])
    return tuple(texts)


def _rim(disc: Circle) -> np.ndarray:
    return np.asarray(disc.center) + disc.radius * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)


def _axes(panel: Window) -> np.ndarray:
    x, y = (np.linspace(*limits, 60) for limits in panel)
    return np.concatenate([np.stack([x, 0 * x], axis=-1), np.stack([0 * y, y], axis=-1)])


def free_place(rim: np.ndarray, taken: np.ndarray, lines: np.ndarray) -> int | None:
    """The point of the rim with most room around, in units of the panel; None if the rim does not pass through it."""
    inside = np.all((rim > _EDGE) & (rim < 1 - _EDGE), axis=-1)
    if not inside.any():
        return None
    room = np.minimum(_distance(rim, taken), _ROOM) + np.minimum(_distance(rim, lines), _ROOM) / 2
    return int(np.argmax(np.where(inside, room, -1)))


def _distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """From each point to the nearest of the others."""
    return np.min(np.linalg.norm(points[:, None] - others[None], axis=-1), axis=1, initial=1.0)


def _label(ax: Axes, disc: Circle, place: np.ndarray) -> Text:
    size = scale(ax)
    box = {"boxstyle": "round,pad=0.2", "facecolor": WHITE, "edgecolor": disc.get_edgecolor(), "linewidth": 0.6 * size}
    points = float(np.clip(7 * size, 5.5, 7))
    return ax.text(
        place[0],
        place[1],
        str(disc.get_label()),
        ha="center",
        va="center",
        fontsize=points,
        bbox=box,
        zorder=5,
        clip_on=True,
    )
