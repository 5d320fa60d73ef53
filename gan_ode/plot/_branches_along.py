import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Array, Complex, Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .._types import RealScalarLike
from ._panel import scale
from ._style import GRAY

_LABELS = {"real": r"$\mathrm{Re}\,\lambda$", "imag": r"$\mathrm{Im}\,\lambda$"}


@dataclasses.dataclass(frozen=True)
class BranchesPlot:
    """The artists of eigenvalues along a parameter.

    Attributes:
        lines: One for each branch.
        critical: Vertical lines at the critical values.
    """

    lines: tuple[Line2D, ...]
    critical: tuple[Line2D, ...]

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return [*self.lines[:1], *self.critical[:1]]


def branches(
    parameter: Float[Array | np.ndarray, " points"],
    eigenvalues: Complex[Array | np.ndarray, "values n"],
    *,
    ax: Axes,
    part: Literal["real", "imag"] = "real",
    parameter_name: str = r"\eta",
    critical: Sequence[RealScalarLike] = (),
    label: str | None = None,
    **kwargs: Any,
) -> BranchesPlot:
    """Draws the real or the imaginary parts of eigenvalues against a parameter, one line a branch.

    Args:
        parameter: Its values, shape `(values,)`.
        eigenvalues: The branches, as `analysis.eigenvalue_branches` follows them.
        ax: Where to draw.
        part: Which part.
        parameter_name: Its name in formulas.
        critical: Values to mark by vertical lines.
        label: Name of all lines, for a legend.
        **kwargs: Handed to `Axes.plot`.

    Returns:
        The artists.

    Raises:
        ValueError: If there is not one row of eigenvalues for each value.
    """
    values, rows = np.asarray(parameter, float), np.asarray(eigenvalues, complex)
    if rows.ndim != 2 or values.shape != rows.shape[:1]:
        raise ValueError(
            f"`eigenvalues` must have one row for each value of `parameter`, but the shapes are {rows.shape} and "
            f"{values.shape}."
        )
    marks = tuple(
        ax.axvline(float(np.asarray(at)), color=GRAY, linewidth=0.7 * scale(ax), linestyle=(0, (1, 2)), zorder=1)
        for at in critical
    )
    look = {"linewidth": 1.5 * scale(ax), "label": label, **kwargs}
    columns = (np.real(rows) if part == "real" else np.imag(rows)).T
    # The first color for all branches of one call, since they are one spectrum.
    (first,) = ax.plot(values, columns[0], **look)
    others = [
        ax.plot(values, column, **{**look, "color": first.get_color(), "label": None})[0] for column in columns[1:]
    ]
    ax.set(xlabel=f"${parameter_name}$", ylabel=_LABELS[part])
    return BranchesPlot((first, *others), marks)
