"""Updates as maps: where they are stable, and what they settle on."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from ...analysis import OrbitDiagram, StabilityMap
from .._panel import scale
from .._style import BLUE, GRAY, INK, VERMILLION, WHITE

# Dying out to the left, growing to the right.
_COLORS = [BLUE, "#9CC9E6", WHITE, "#F2BE95", VERMILLION]
_GROWTH = LinearSegmentedColormap.from_list("growth", _COLORS).with_extremes(bad=GRAY)


@dataclasses.dataclass(frozen=True)
class StabilityMapPlot:
    """The artists of a stability map.

    Attributes:
        mesh: The growth in a step, colored.
        border: The critical step sizes; None if they were not given.
        color_label: What the colors mean.
    """

    mesh: QuadMesh
    border: Line2D | None
    color_label: str

    @property
    def mappable(self) -> ScalarMappable:
        """For `colorbar`."""
        return self.mesh

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return [] if self.border is None else [self.border]


def stability_map(
    result: StabilityMap,
    *,
    ax: Axes,
    border: tuple[Any, Any] | None = None,
    limit: float = 0.5,
    name: str = r"\eta",
    label: str = "critical step size",
) -> StabilityMapPlot:
    r"""Colors the plane of parameter and step size by the growth of a disturbance in one step.

    Blue where it dies out, red where it grows, white where it does neither, gray where there is no number.

    Args:
        result: From `analysis.stability_map` or `analysis.simulated_stability_map`, with increasing axes.
        ax: Where to draw.
        border: Parameters, and the critical step size at each, as of `analysis.critical_curve`.
        limit: The largest absolute $\ln\rho$ that has a color of its own.
        name: The parameter's symbol, as mathematics.
        label: What the border is called in a legend.

    Returns:
        The artists.
    """
    with np.errstate(divide="ignore"):
        growth = np.log(np.asarray(result.radius))
    mesh = ax.pcolormesh(
        np.asarray(result.parameters), np.asarray(result.step_sizes), growth.T, cmap=_GROWTH, vmin=-limit, vmax=limit,
        shading="nearest", rasterized=True,
    )  # fmt: skip
    line = None
    if border is not None:
        parameters, sizes = (np.asarray(values) for values in border)
        shown = np.where(np.isfinite(sizes), sizes, np.nan)
        (line,) = ax.plot(parameters, shown, color=INK, linewidth=1.3 * scale(ax), label=label, clip_on=True)
    ax.set(
        xlabel=f"${name}$", ylabel="step size $h$",
        xlim=np.asarray(result.parameters)[[0, -1]], ylim=(0, np.asarray(result.step_sizes)[-1]),
    )  # fmt: skip
    return StabilityMapPlot(mesh, line, r"growth in a step, $\ln\rho$")


@dataclasses.dataclass(frozen=True)
class OrbitDiagramPlot:
    """The artists of an orbit diagram.

    Attributes:
        points: The kept values of orbits that have settled.
        moving: Those of orbits that have not; None if all have.
        lost: Marks on the axis at step sizes where orbits blew up; None if none did.
    """

    points: Line2D
    moving: Line2D | None
    lost: Line2D | None

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return [artist for artist in (self.points, self.moving, self.lost) if artist is not None]


def orbit_diagram(
    result: OrbitDiagram,
    values: Float[Array | np.ndarray, "step_sizes num_kept"] | None = None,
    *,
    ax: Axes,
    label: str = "settled",
    **kwargs: Any,
) -> OrbitDiagramPlot:
    """Draws the kept values over the step size, a dot each.

    Args:
        result: From `analysis.orbit_diagram`.
        values: What to draw of it, shape `(step_sizes, num_kept)`, by default all that it holds, if
            that is one number for each state; else, for example, `result.values.discriminator`.
        ax: Where to draw.
        label: What settled orbits are called in a legend.
        **kwargs: Handed to `Axes.plot` for the dots.

    Returns:
        The artists.

    Raises:
        ValueError: If the values are not one number for each step size and kept state.
    """
    shown = np.asarray(result.values if values is None else values)
    if shown.dtype == object or shown.ndim != 2:
        raise ValueError(
            "`values` must be one number for each step size and kept state: give `result.values.discriminator`, or "
            "keep a `quantity`."
        )
    sizes, settled = np.asarray(result.step_sizes), np.asarray(result.settled)
    finite = np.all(np.isfinite(shown), axis=1)
    look = {"linestyle": "none", "marker": ".", "markersize": 0.7 * scale(ax), "markeredgewidth": 0, **kwargs}
    points = _dots(ax, sizes, shown, settled & finite, {"color": INK, "label": label, **look})
    still, lost = ~settled & finite, ~finite
    moving = _dots(ax, sizes, shown, still, {**look, "color": GRAY, "label": "not settled"}) if still.any() else None
    marks = None
    if lost.any():
        (marks,) = ax.plot(
            sizes[lost], np.zeros(lost.sum()), "x", color=VERMILLION, markersize=3 * scale(ax), label="blew up",
            transform=ax.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip
    ax.set(xlabel="step size $h$", xlim=(sizes.min(), sizes.max()))
    return OrbitDiagramPlot(points, moving, marks)


def _dots(ax: Axes, sizes: np.ndarray, values: np.ndarray, rows: np.ndarray, look: dict[str, Any]) -> Line2D:
    x = np.repeat(sizes[rows], values.shape[1])
    (line,) = ax.plot(x, values[rows].ravel(), rasterized=True, **look)
    return line
