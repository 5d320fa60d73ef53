import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Complex, Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text

from .._types import RealScalarLike
from ..analysis import follow_eigenvalues
from ._branches import draw_branches, draw_ends
from ._discs import draw_disc_labels, draw_discs
from ._equilibria import mark
from ._panel import inches, scale
from ._plane import limits, Window
from ._style import GRAY, PALE, PARAMETER

_MARGIN = 0.25
# A disc is shown whole if it is at most so many times as wide as the eigenvalues lie.
_WHOLE_DISC = 2.0


@dataclasses.dataclass(frozen=True)
class SpectrumPlot:
    """The artists of a spectrum; None or empty where something was not drawn.

    Attributes:
        half_plane: Where the flow is stable.
        discs: Where simultaneous updates are stable, one circle for each step size.
        disc_labels: Their step sizes, written into the circles.
        points: Eigenvalues: left of the imaginary axis, on it, right of it.
        branches: One line for each eigenvalue along the parameter; its array holds the parameter.
        ends: Dots at the first and at the last value of the parameter.
        norm: Color scale of the parameter.
        parameter_name: Its name in formulas.
    """

    half_plane: Rectangle
    discs: tuple[Circle, ...]
    disc_labels: tuple[Text, ...]
    points: tuple[Line2D, ...]
    branches: tuple[LineCollection, ...]
    ends: tuple[Line2D, ...]
    norm: Normalize | None
    parameter_name: str

    @property
    def mappable(self) -> ScalarMappable | None:
        """What `colorbar` draws."""
        return None if self.norm is None else ScalarMappable(self.norm, PARAMETER)

    @property
    def color_label(self) -> str:
        return f"${self.parameter_name}$"

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return [self.half_plane, *self.discs]


def spectrum(
    eigenvalues: Complex[Array | np.ndarray, "*values n"],
    *,
    ax: Axes,
    step_sizes: Sequence[RealScalarLike] | Float[Array | np.ndarray, " sizes"] = (),
    parameter: Float[Array | np.ndarray, " values"] | None = None,
    parameter_name: str = r"\eta",
    xlim: tuple[RealScalarLike, RealScalarLike] | None = None,
    ylim: tuple[RealScalarLike, RealScalarLike] | None = None,
) -> SpectrumPlot:
    r"""Draws eigenvalues in the complex plane, with what is stable.

    The flow is stable where all eigenvalues lie in the shaded half-plane; simultaneous updates of step size $h$ where
    all lie in the disc $|1 + h\lambda| \le 1$. Both axes have one scale.

    Args:
        eigenvalues: Shape `(n,)`, or `(values, n)` along a parameter.
        ax: Where to draw.
        step_sizes: Step sizes whose discs to draw.
        parameter: Its values, shape `(values,)`, increasing or decreasing: then the eigenvalues are drawn as branches
            from an open dot at the first value to a filled one at the last.
        parameter_name: Its name in formulas.
        xlim: Limits of the real axis; by default around the eigenvalues and the discs of like size.
        ylim: Limits of the imaginary axis, likewise.

    Returns:
        The artists.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
    """
    values = _checked(eigenvalues, parameter)
    sizes = _sizes(step_sizes)
    panel = _limits(ax, values, sizes, xlim, ylim)
    half_plane = _half_plane(ax, panel)
    discs = draw_discs(ax, sizes)
    if parameter is None:
        branches, ends, norm, points = (), (), None, _points(ax, values)
    else:
        along = np.asarray(parameter, float)
        norm, points = Normalize(along.min(), along.max()), ()
        values = np.asarray(follow_eigenvalues(values, along))
        branches, ends = draw_branches(ax, values, along, norm), draw_ends(ax, values, along, norm)
    texts = draw_disc_labels(ax, discs, panel, np.stack([np.real(values).ravel(), np.imag(values).ravel()], axis=-1))
    return SpectrumPlot(half_plane, discs, texts, points, branches, ends, norm, parameter_name)


def _checked(eigenvalues: Any, parameter: Any) -> np.ndarray:
    values = np.asarray(eigenvalues, complex)
    shape = "(n,)" if parameter is None else f"({len(parameter)}, n)"
    if values.ndim != (1 if parameter is None else 2) or (parameter is not None and len(values) != len(parameter)):
        raise ValueError(
            f"`eigenvalues` must have shape {shape}, but has {values.shape}: one spectrum, or with `parameter` one row "
            "for each of its values."
        )
    if parameter is not None and len(parameter) < 2:
        raise ValueError(
            f"`parameter` must have at least 2 values, but has {len(parameter)}: leave it out for one spectrum."
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("`eigenvalues` must be finite, but some are not: is the state an equilibrium of the field?")
    return values


def _sizes(step_sizes: Any) -> list[float]:
    sizes = [float(h) for h in np.asarray(step_sizes, float).ravel()]
    for h in sizes:
        if not (np.isfinite(h) and h > 0):
            raise ValueError(
                f"`step_sizes` must be above 0 and finite, but holds {h}: the disc of 0 is the half-plane."
            )
    return sizes


def _limits(ax: Axes, values: np.ndarray, sizes: list[float], xlim: Any, ylim: Any) -> Window:
    """Sets limits with one scale on both axes, which fill the panel as it is now."""
    x, y = _box(values, sizes)
    width, height = inches(ax)
    span = max(x[1] - x[0], (y[1] - y[0]) * width / height)
    x, y = _about(x, span), _about(y, span * height / width)
    panel = Window(x if xlim is None else limits("xlim", xlim), y if ylim is None else limits("ylim", ylim))
    ax.set(xlim=panel.x, ylim=panel.y, xlabel=r"$\mathrm{Re}\,\lambda$", ylabel=r"$\mathrm{Im}\,\lambda$")
    ax.set_aspect("equal", adjustable="box")
    return panel


def _box(values: np.ndarray, sizes: list[float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Around the eigenvalues, zero, and the discs that are not much larger."""
    real, up = np.real(values).ravel(), float(np.max(np.abs(np.imag(values)), initial=0.0))
    extent = max(float(np.max(np.abs(values), initial=0.0)), np.finfo(float).tiny)
    whole = [1 / h for h in sizes if 2 / h <= _WHOLE_DISC * extent]
    left = min(float(np.min(real, initial=0.0)), *(-2 * radius for radius in whole), -0.5 * extent)
    right = max(float(np.max(real, initial=0.0)), 0.1 * extent)
    top = max(up, 0.4 * extent, *whole)
    return _about((left, right), (1 + _MARGIN) * (right - left)), _about((-top, top), (1 + _MARGIN) * 2 * top)


def _about(ends: tuple[float, float], span: float) -> tuple[float, float]:
    middle = (ends[0] + ends[1]) / 2
    return middle - span / 2, middle + span / 2


def _half_plane(ax: Axes, panel: Window) -> Rectangle:
    low = panel.y[0]
    # As wide as the panel twice over, for somebody who moves the limits.
    reach = 3 * max(panel.x[1] - panel.x[0], panel.y[1] - low)
    left = Rectangle(
        (-reach, low - reach), reach, 2 * reach + panel.y[1] - low, color=PALE, lw=0, zorder=0, label="flow stable"
    )
    ax.add_artist(left)
    for line in (ax.axhline, ax.axvline):
        line(0, color=GRAY, linewidth=0.6 * scale(ax), zorder=1)
    return left


def _points(ax: Axes, values: np.ndarray) -> tuple[Line2D, ...]:
    """Marks like those of equilibria, by the side of the imaginary axis."""
    zero = np.sqrt(np.finfo(float).eps) * np.max(np.abs(values), initial=0.0)
    sides = {
        "stable focus": np.real(values) < -zero,
        "center": np.abs(np.real(values)) <= zero,
        "unstable focus": np.real(values) > zero,
    }
    return tuple(
        ax.plot(
            np.real(values[side]), np.imag(values[side]), scalex=False, scaley=False, zorder=4, **mark(kind, scale(ax))
        )[0]
        for kind, side in sides.items()
        if side.any()
    )
