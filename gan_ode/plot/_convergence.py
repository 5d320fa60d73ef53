import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Real
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FormatStrFormatter, LogFormatterSciNotation, LogLocator, NullFormatter

from .._types import RealScalarLike
from ._panel import scale
from ._style import GRAY

# How far above the errors the reference line runs, as a factor.
_ABOVE = 2.5


@dataclasses.dataclass(frozen=True)
class ConvergencePlot:
    """The artists of errors against step size; None where something was not drawn.

    Attributes:
        line: The errors.
        slope: The slope that is written beside it.
        slope_label: The text that says so.
        reference: A line of the given order.
        reference_label: Its text.
    """

    line: Line2D
    slope: float
    slope_label: Annotation
    reference: Line2D | None
    reference_label: Annotation | None

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return [self.line]


def convergence(
    step_sizes: Real[Array | np.ndarray, " sizes"],
    errors: Real[Array | np.ndarray, " sizes"],
    *,
    ax: Axes,
    label: str | None = None,
    slope: RealScalarLike | None = None,
    order: RealScalarLike | None = None,
    **kwargs: Any,
) -> ConvergencePlot:
    """Draws errors against step sizes on logarithmic axes, with the observed slope and a line of the expected order.

    Points that have no place on such axes (an error of zero, infinity or NaN) are left out.

    Args:
        step_sizes: Shape `(sizes,)`, in any order.
        errors: Shape `(sizes,)`.
        ax: Where to draw.
        label: Name of the rule, for a legend.
        slope: The slope to write beside the line; by default that of least squares through the logarithms. Give
            `analysis.convergence(...).order` where the larger steps are not yet in the regime.
        order: The order to draw a dashed reference line for.
        **kwargs: Handed to `Axes.plot`.

    Returns:
        The artists, and the slope.

    Raises:
        ValueError: If fewer than two points are left.
    """
    sizes, heights = _drawable(step_sizes, errors)
    observed = float(np.polyfit(np.log(sizes), np.log(heights), 1)[0]) if slope is None else float(np.asarray(slope))
    ax.set(xscale="log", yscale="log", xlabel="step size $h$", ylabel="error")
    look = {"marker": "o", "markersize": 3.6 * scale(ax), "linewidth": 1.2 * scale(ax), "label": label}
    (line,) = ax.plot(sizes, heights, **{**look, **kwargs})
    # Below a rising line, to its right, there is room.
    middle = (len(sizes) - 1) // 2
    at = np.sqrt(sizes[middle] * sizes[middle + 1]), np.sqrt(heights[middle] * heights[middle + 1])
    text = _beside(ax, at, f"slope {observed:.2f}", line.get_color(), below=True)
    reference, name = (None, None) if order is None else _reference(ax, sizes, heights, float(np.asarray(order)))
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        _set_ticks(axis, limits[1] / limits[0])
    return ConvergencePlot(line, observed, text, reference, name)


def _drawable(step_sizes: Any, errors: Any) -> tuple[np.ndarray, np.ndarray]:
    sizes, heights = np.asarray(step_sizes, float), np.asarray(errors, float)
    if sizes.shape != heights.shape or sizes.ndim != 1:
        raise ValueError(
            f"`errors` must have one entry for each step size, but the shapes are {heights.shape} and {sizes.shape}."
        )
    kept = np.isfinite(sizes) & np.isfinite(heights) & (sizes > 0) & (heights > 0)
    if len(np.unique(sizes[kept])) < 2:
        raise ValueError(
            f"`errors` must be above 0 and finite at 2 step sizes or more, but are at {len(np.unique(sizes[kept]))}: "
            "take smaller steps if they blow up, larger ones if they are exact."
        )
    rising = np.argsort(sizes[kept])
    return sizes[kept][rising], heights[kept][rising]


def _reference(ax: Axes, sizes: np.ndarray, heights: np.ndarray, order: float) -> tuple[Line2D, Annotation]:
    """A line of the order, above the errors and touching none of them."""
    constant = _ABOVE * np.max(heights / sizes**order)
    ends = sizes[[0, -1]]
    (line,) = ax.plot(
        ends, constant * ends**order, color=GRAY, linestyle=(0, (4, 2)), linewidth=0.9 * scale(ax), zorder=1
    )
    middle = np.sqrt(ends[0] * ends[1])
    return line, _beside(ax, (middle, constant * middle**order), f"order {order:g}", GRAY, below=False)


def _set_ticks(axis: Axis, ratio: float) -> None:
    """Over less than two decades Matplotlib labels each minor tick in full, and the labels run together."""
    axis.set_minor_formatter(NullFormatter())
    if ratio < 100:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(LogFormatterSciNotation())


def _beside(ax: Axes, at: tuple[float, float], text: str, color: Any, *, below: bool) -> Annotation:
    side = 1 if below else -1
    return ax.annotate(
        text,
        at,
        xytext=(3 * side, -2 * side),
        textcoords="offset points",
        ha="left" if below else "right",
        va="top" if below else "bottom",
        color=color,
        fontsize="small",
    )
