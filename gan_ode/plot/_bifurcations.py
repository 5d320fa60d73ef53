"""Branches over a parameter: what attracts is solid, what does not is dashed, and events are marked by their kind.

Of cycles the greatest and the least value are drawn, with the range between them filled where they attract.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from ..analysis import ClosedCurveBranch, CycleBranch, EquilibriumBranch
from ._panel import scale
from ._style import CYCLE, GRAY, INK, WHITE

# A mark for each kind of event, told apart by its shape alone.
_MARKS = {
    "fold": ("s", "fold"),
    "branch point": ("X", "branch point"),
    "hopf": ("o", "Hopf"),
    "flip": ("D", "flip"),
    "neimark-sacker": ("^", "Neimark–Sacker"),
    "fold of cycles": ("p", "fold of cycles"),
    "torus": ("v", "torus"),
    "fold of curves": ("h", "fold of curves"),
    "strong resonance": ("*", "strong resonance"),
    "change of attraction": ("d", "change of attraction"),
}
# By how much a line is broader than the one above it.
_BROADER = 1.7
# How much of the color fills what cycles that attract run through.
_FILLED = 0.12


@dataclasses.dataclass(frozen=True)
class BifurcationDiagram:
    """The artists of a bifurcation diagram.

    Attributes:
        stable: Solid lines, one for each stretch on which all directions shrink.
        unstable: Dashed lines, one for each of the others.
        marks: The events, one artist for each kind that there is.
        labels: The entries of branches that have a name.
        extents: What cycles that attract run through, one patch for each stretch.
    """

    stable: tuple[Line2D, ...]
    unstable: tuple[Line2D, ...]
    marks: tuple[Line2D, ...]
    labels: tuple[Line2D, ...]
    extents: tuple[Polygon, ...] = ()

    @property
    def handles(self) -> list[Artist]:
        """Entries for a legend."""
        styles: list[Artist] = []
        looks: Any = ((self.stable, "-", "stable"), (self.unstable, (0, (3, 1.5)), "unstable"))
        for lines, style, label in looks:
            if lines:
                width = min(line.get_linewidth() for line in lines)
                styles.append(Line2D([], [], color=GRAY, linestyle=style, linewidth=width, label=label))
        return [*self.labels, *styles, *self.marks]


def bifurcation_diagram(
    *branches: EquilibriumBranch | CycleBranch | ClosedCurveBranch,
    ax: Axes,
    of: Callable[[Any], Any] | None = None,
    labels: tuple[str, ...] = (),
    name: str = "p",
    quantity: str | None = None,
) -> BifurcationDiagram:
    """Draws a number of the state along branches against their parameter: a flow's and updates' beside each other.

    Of a branch of cycles, or of closed curves, the greatest and the least value on each are drawn.

    Args:
        *branches: From `analysis.continue_equilibrium`, `analysis.switch_branch` or `analysis.continue_cycle`. Each has
            a color.
        ax: Where to draw.
        of: From a state to a number; by default the state's only number, or else its norm.
        labels: What the branches are called in a legend, in their order. Branches of one label have one color.
        name: The parameter's symbol, as mathematics.
        quantity: The label of the vertical axis; by default what `of` is by default, or nothing.

    Returns:
        The artists.

    Raises:
        ValueError: If there is no branch, there are more labels than branches, or a branch is a batch.
    """
    _check(branches, labels)
    size, colors = scale(ax), dict[str, str]()
    drawn, named, number = _Drawn([], [], [], {}), [], _usual if of is None else of
    # A flow and its updates have the same states: the first lies below as the broadest line. Cycles lie elsewhere.
    layers = list(dict.fromkeys(label for label, branch in zip(labels, branches, strict=False) if _is_of_rest(branch)))
    for i, branch in enumerate(branches):
        label = labels[i] if i < len(labels) else ""
        color = colors.setdefault(label or f"\0{i}", CYCLE[len(colors) % len(CYCLE)])
        above = len(layers) - layers.index(label) - 1 if label in layers and _is_of_rest(branch) else 0
        width = (1.3 + _BROADER * above) * size
        _draw(ax, branch, number, color, width, drawn)
        if label and label not in [line.get_label() for line in named]:
            named.append(Line2D([], [], color=color, linewidth=width, label=label))
    places = drawn.places
    marks = tuple(_mark(ax, kind, places[kind], size) for kind in _MARKS if kind in places)
    ax.set_xlabel(f"${name}$")
    if quantity is not None or of is None:
        ax.set_ylabel(quantity if quantity is not None else _usual_name(branches[0].states))
    return BifurcationDiagram(
        tuple(drawn.stable), tuple(drawn.unstable), marks, tuple(named), extents=tuple(drawn.extents)
    )


def _is_of_rest(branch: Any) -> bool:
    """Whether it is of equilibria, or of fixed points."""
    return not isinstance(branch, CycleBranch | ClosedCurveBranch)


@dataclasses.dataclass
class _Drawn:
    """What has been drawn so far, and where events are by their kind."""

    stable: list[Line2D]
    unstable: list[Line2D]
    extents: list[Polygon]
    places: dict[str, list[tuple[float, float]]]


def _draw(ax: Axes, branch: Any, number: Callable, color: str, width: float, drawn: _Drawn) -> None:
    """A branch: one curve of equilibria, or two of cycles and what lies between them."""
    values, stable = np.asarray(branch.values, float), np.asarray(branch.stable)
    curves = list(_curves(branch, number))
    parts = [list(_stretches(values, heights, stable, places)) for heights, places in curves]
    for stretches in zip(*parts, strict=True):
        for is_stable, x, y in stretches:
            style: Any = "-" if is_stable else (0, (3, 1.5))
            (line,) = ax.plot(x, y, color=color, linestyle=style, linewidth=width, zorder=2)
            (drawn.stable if is_stable else drawn.unstable).append(line)
        if len(stretches) > 1 and stretches[0][0]:
            (_, x, high), (_, back, low) = stretches
            corners = np.append(x, back[::-1]), np.append(high, low[::-1])
            drawn.extents += ax.fill(*corners, color=color, alpha=_FILLED, linewidth=0, zorder=1)
    for _, places in curves:
        for kind, value, height in places:
            drawn.places.setdefault(kind, []).append((value, height))


def _curves(branch: Any, number: Callable) -> Iterator[tuple[np.ndarray, list[tuple[str, float, float]]]]:
    """Heights along a branch, and its events with theirs: of cycles first the greatest, then the least."""
    values = [(event.kind, float(event.value)) for event in branch.events]
    if _is_of_rest(branch):
        heights = [float(np.asarray(number(event.state))) for event in branch.events]
        here = [(*event, height) for event, height in zip(values, heights, strict=True)]
        yield np.asarray(jax.vmap(number)(branch.states), float), here
        return
    along = np.asarray(jax.vmap(jax.vmap(number))(branch.orbits), float)
    at_events = [np.asarray(jax.vmap(number)(event.orbit), float) for event in branch.events]
    for extreme in (np.max, np.min):
        here = [(*event, float(extreme(each))) for event, each in zip(values, at_events, strict=True)]
        yield extreme(along, axis=1), here


def _check(branches: tuple[Any, ...], labels: tuple[str, ...]) -> None:
    if not branches:
        raise ValueError("`branches` must be at least one: give what `analysis.continue_equilibrium` returned.")
    if len(labels) > len(branches):
        raise ValueError(f"`labels` must be at most one for each branch, but are {len(labels)} for {len(branches)}.")
    if any(np.ndim(branch.values) != 1 for branch in branches):
        raise ValueError("`branches` must be single ones, but one is a batch: take its rows, and trim what is NaN.")


def _mark(ax: Axes, kind: str, places: list[tuple[float, float]], size: float) -> Line2D:
    shape, label = _MARKS[kind]
    x, y = np.transpose(places)
    return ax.plot(
        x, y, shape, markerfacecolor=WHITE, markeredgecolor=INK, markersize=4.6 * size, markeredgewidth=1.0 * size,
        zorder=4, label=label,
    )[0]  # fmt: skip


def _stretches(
    values: np.ndarray, heights: np.ndarray, stable: np.ndarray, events: list[tuple[str, float, float]]
) -> Iterator[tuple[bool, np.ndarray, np.ndarray]]:
    """Stretches of one stability, each up to the event at which it changes, or else to the middle between two points.

    Yields:
        Whether it is stable, and the places.
    """
    start, lead = 0, None
    for i in range(1, len(values) + 1):
        if i < len(values) and stable[i] == stable[start]:
            continue
        x, y = list(values[start:i]), list(heights[start:i])
        if lead is not None:
            x.insert(0, lead[0])
            y.insert(0, lead[1])
        if i < len(values):
            lead = _between(values[i - 1 : i + 1], heights[i - 1 : i + 1], events)
            x.append(lead[0])
            y.append(lead[1])
        yield bool(stable[start]), np.array(x), np.array(y)
        start = i


def _between(values: np.ndarray, heights: np.ndarray, events: list[tuple[str, float, float]]) -> tuple[float, float]:
    """The event between two neighboring points of a branch; their middle if there is none."""
    middle, reach = (values.mean(), heights.mean()), (np.ptp(values), np.ptp(heights))
    # Near a fold the parameter passes both points, and the height does not.
    near = [
        (abs(x - middle[0]) / (reach[0] or 1) + abs(y - middle[1]) / (reach[1] or 1), x, y)
        for _, x, y in events
        if abs(y - middle[1]) <= reach[1] or abs(x - middle[0]) <= reach[0]
    ]
    if not near or min(near)[0] > 3:
        return float(middle[0]), float(middle[1])
    return min(near)[1:]


def _usual(y: Any) -> Any:
    """A state's only number, or its norm."""
    leaves = [np.reshape(leaf, -1) if isinstance(leaf, np.ndarray) else leaf.ravel() for leaf in jax.tree.leaves(y)]
    if sum(leaf.size for leaf in leaves) == 1:
        return leaves[0][0]
    return sum((leaf**2).sum() for leaf in leaves) ** 0.5


def _usual_name(states: Any) -> str:
    size = sum(np.prod(np.shape(leaf)[1:]) for leaf in jax.tree.leaves(states))
    return "state" if size == 1 else "norm of the state"
