import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Real
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, PathCollection

from ._panel import scale
from ._style import BLUE, GRAY

# Beyond the outermost mode, in distances of it from the middle.
_MARGIN = 1.35


@dataclasses.dataclass(frozen=True)
class SamplesPlot:
    """The artists of samples in a plane.

    Attributes:
        points: The samples.
        modes: Circles around the modes; None if there was no mixture.
        outside: How many samples lie outside the panel.
    """

    points: PathCollection
    modes: EllipseCollection | None
    outside: int

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return [self.points]


def samples(
    points: Real[Array | np.ndarray, "num 2"],
    *,
    ax: Axes,
    mixture: Any = None,
    within: float = 5.0,
    label: str | None = None,
    **kwargs: Any,
) -> SamplesPlot:
    """Draws samples in the plane, with the modes that they should reach.

    The panel shows the mixture and some room around it, whatever the samples do, so that panels can be compared.

    Args:
        points: Shape `(num, 2)`.
        ax: Where to draw.
        mixture: Anything with `centers` and `std`, such as `distributions.Ring()`.
        within: Radius of the circles around the modes, in standard deviations.
        label: For a legend.
        **kwargs: Handed to `Axes.scatter`.

    Raises:
        ValueError: If the points are not in a plane.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"`points` must have shape (num, 2), but have {points.shape}: choose two coordinates.")
    modes = None if mixture is None else _modes(ax, mixture, within)
    look = {
        "s": 1.2 * scale(ax) ** 2,
        "color": BLUE,
        "alpha": 0.35,
        "linewidths": 0,
        "rasterized": True,
        "label": label,
    }
    drawn = ax.scatter(points[:, 0], points[:, 1], **{**look, **kwargs})
    ax.set_aspect("equal")
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x, y = points.T
    # Those that are not finite are nowhere, and outside too.
    inside = (x >= left) & (x <= right) & (y >= low) & (y <= high)
    return SamplesPlot(drawn, modes, int(np.sum(~inside)))


def _modes(ax: Axes, mixture: Any, within: float) -> EllipseCollection:
    centers, reach = np.asarray(mixture.centers), within * float(mixture.std)
    half = _MARGIN * np.max(np.abs(centers)) + reach
    middle = (np.max(centers, axis=0) + np.min(centers, axis=0)) / 2
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), autoscale_on=False)
    size = np.full(len(centers), 2 * reach)
    circles = EllipseCollection(
        size,
        size,
        np.zeros(len(centers)),
        units="xy",
        offsets=centers,
        offset_transform=ax.transData,
        facecolors="none",
        edgecolors=GRAY,
        linewidths=0.5,
    )
    ax.add_collection(circles)
    return circles
