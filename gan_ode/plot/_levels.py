import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D

from .. import _checks
from .._types import RealScalarLike, Scalar, State
from ._panel import scale
from ._plane import players_state, window
from ._style import INK


@dataclasses.dataclass(frozen=True)
class LevelSets:
    """The artists of a quantity's level sets.

    Attributes:
        contours: Matplotlib's lines, or filled bands.
        label: What the quantity is called.
        filled: Whether the bands between the levels are filled.
    """

    contours: QuadContourSet
    label: str
    filled: bool

    @property
    def mappable(self) -> ScalarMappable | None:
        """What `colorbar` draws."""
        return self.contours if self.filled else None

    @property
    def color_label(self) -> str:
        return self.label

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        if self.filled or not self.label:
            return []
        look: Any = self.contours
        line = {"color": np.asarray(look.get_edgecolor())[0], "linewidth": np.ravel(look.get_linewidth())[0]}
        return [Line2D([], [], label=self.label, **line)]


def level_sets(
    quantity: Callable[[State], Any],
    *,
    ax: Axes,
    xlim: Sequence[RealScalarLike],
    ylim: Sequence[RealScalarLike],
    state: Callable[[Any, Any], State] = players_state,
    levels: Sequence[RealScalarLike] | int = 10,
    filled: bool = False,
    label: str = "",
    color: str = INK,
    cmap: str | Colormap = "Blues",
    resolution: int = 200,
) -> LevelSets:
    """Draws where a quantity of the state is constant in a plane: an invariant, a Lyapunov function, its derivative.

    Args:
        quantity: A scalar function of one state.
        ax: Where to draw.
        xlim: Limits of the horizontal axis.
        ylim: Limits of the vertical axis.
        state: From `x, y` (scalar arrays) to a state; by default discriminator and generator of a game.
        levels: The values, rising, or how many.
        filled: Whether to fill the bands between them, for `colorbar`, or to draw lines.
        label: What the quantity is called, for the legend or the color bar.
        color: Of lines.
        cmap: Of filled bands.
        resolution: Points of the grid along each axis.

    Returns:
        The artists.

    Raises:
        ValueError: If the limits are no intervals.
    """
    panel = window(xlim, ylim)
    resolution = _checks.count("resolution", resolution, least=10)
    xs, ys = (np.linspace(*ends, resolution) for ends in panel)
    values = np.asarray(_values(quantity, state, jnp.asarray(xs), jnp.asarray(ys)))
    at: Any = levels
    if filled:
        contours = ax.contourf(xs, ys, values, levels=at, cmap=cmap, extend="both", zorder=0.5)
        contours.set_rasterized(True)
    else:
        width = 0.7 * scale(ax)
        contours = ax.contour(xs, ys, values, levels=at, colors=[color], linewidths=width, zorder=1.5)
    ax.set(xlim=panel.x, ylim=panel.y)
    return LevelSets(contours, label, filled)


@eqx.filter_jit
def _values(quantity: Callable, state: Callable, xs: Float[Array, " n"], ys: Float[Array, " m"]) -> Float[Array, "m n"]:
    def at(x: Scalar, y: Scalar) -> Scalar:
        return quantity(jax.tree.map(jnp.asarray, state(x, y)))

    return jax.lax.map(lambda y: jax.vmap(lambda x: at(x, y))(xs), ys)
