import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .._types import State
from ..simulate import Orbit
from ._panel import scale

_MOST_LINES = 8


@dataclasses.dataclass(frozen=True)
class OrbitPlot:
    """The artists of an orbit against time.

    Attributes:
        lines: One for each component, labelled.
    """

    lines: tuple[Line2D, ...]

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        return list(self.lines)


def orbit(
    orbit: Orbit,
    *,
    ax: Axes,
    quantity: Callable[[State], Any] | None = None,
    labels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    marks: bool = False,
    **kwargs: Any,
) -> OrbitPlot:
    """Draws an orbit against time: each component of the state, or a quantity of it.

    Times that were not reached are left out, so a line of a blow-up ends where it does.

    Args:
        orbit: A single orbit.
        ax: Where to draw.
        quantity: From a state to what to draw instead: a scalar, or a pytree of at most eight numbers.
        labels: One for each line; by default the components' names.
        colors: One for each line; by default the next ones of the panel's cycle.
        marks: Whether to put a dot at every saved time, as for the steps of an update.
        **kwargs: Handed to `Axes.plot`.

    Returns:
        The lines.

    Raises:
        ValueError: If the orbit is not single, has more than eight components, or the labels or colors are not as many.
    """
    ts = np.asarray(orbit.ts)
    if ts.ndim != 1:
        raise ValueError(
            f"`orbit` must be a single one, but its times have shape {ts.shape}: take one member of the ensemble by "
            "`jax.tree.map(lambda leaf: leaf[0], orbit)`."
        )
    components = _components(orbit.ys if quantity is None else jax.vmap(quantity)(orbit.ys), len(ts))
    names = _one_each("labels", labels, list(components))
    shades = _one_each("colors", colors, [None] * len(components))
    reached = np.isfinite(ts)
    look = {"marker": ".", "linewidth": 0.7 * scale(ax), "markersize": 4 * scale(ax)} if marks else {}
    lines = [
        ax.plot(
            ts[reached], values[reached], label=name, **look, **({} if color is None else {"color": color}), **kwargs
        )[0]
        for values, name, color in zip(components.values(), names, shades, strict=True)
    ]
    ax.set_xlabel("time $t$")
    return OrbitPlot(tuple(lines))


def _components(ys: Any, num_times: int) -> dict[str, np.ndarray]:
    """The entries along time, by name."""
    leaves = [(_name(keys), np.asarray(leaf).reshape(num_times, -1), np.ndim(leaf) == 1) for keys, leaf in _leaves(ys)]
    total = sum(values.shape[1] for _, values, _ in leaves)
    if total > _MOST_LINES:
        raise ValueError(
            f"`orbit` must have at most {_MOST_LINES} components to tell the lines apart, but has {total}: pass "
            "`quantity=`, a function of the state, for example `lambda y: jnp.linalg.norm(y.generator)`."
        )
    return {
        (name if is_scalar else f"{name}[{i}]"): values[:, i]
        for name, values, is_scalar in leaves
        for i in range(values.shape[1])
    }


def _leaves(ys: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(ys)[0]


def _name(keys: Any) -> str:
    return jax.tree_util.keystr(keys).lstrip(".") or "quantity"


def _one_each(name: str, values: Sequence[Any] | None, usual: list[Any]) -> Sequence[Any]:
    if values is None:
        return usual
    if isinstance(values, str) or len(values) != len(usual):
        raise ValueError(f"`{name}` must be {len(usual)}, one for each line, but is {values!r}.")
    return values
