"""What panels share: their scale, their letter, a color bar, a legend."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.container import Container
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Text

_USUAL_INCHES = 2.4
_POINTS_OF_AN_INCH = 72
# About how wide a character is, and what stands beside a label in a legend, in units of the size of its font.
_CHARACTER, _HANDLE = 0.55, 4.8


@runtime_checkable
class Explained(Protocol):
    """Artists with entries for a legend."""

    @property
    def handles(self) -> list[Artist]: ...


@runtime_checkable
class Colored(Protocol):
    """Artists whose color means a number."""

    @property
    def mappable(self) -> ScalarMappable | None: ...

    @property
    def color_label(self) -> str: ...


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes. A later layout changes them a little."""
    dpi = ax.figure.dpi
    return ax.bbox.width / dpi, ax.bbox.height / dpi


def scale(ax: Axes) -> float:
    """What widths and marker sizes are multiplied by: 1 for a usual panel, less for a small one."""
    return float(np.clip(np.sqrt(np.prod(inches(ax))) / _USUAL_INCHES, 0.55, 1.3))


def label_panel(ax: Axes, letter: str, title: str = "") -> Text:
    """Puts a bold letter and a title above the panel's left corner.

    Args:
        ax: The panel.
        letter: Its letter, for example `"a"`.
        title: What it shows.
    """
    return ax.set_title(rf"$\mathbf{{{letter}}}$  {title}".rstrip(), loc="left")


def colorbar(
    artists: Colored, *, ax: Axes | Sequence[Axes] | np.ndarray, label: str | None = None, **kwargs: Any
) -> Colorbar:
    """Draws what the colors of orbits (time) or branches (parameter) mean.

    Args:
        artists: What `phase_portrait` or `spectrum` returned.
        ax: The panel, or panels, beside which the bar takes its place.
        label: Its label; `time $t$`, or the parameter's name, by default.
        **kwargs: Handed to `Figure.colorbar`.

    Raises:
        ValueError: If no color stands for a number.
    """
    mappable = artists.mappable
    if mappable is None:
        raise ValueError("`artists` must be colored by a number, but are not: give orbits, or a `parameter`, to draw.")
    first = np.ravel(np.asarray(ax, dtype=object))[0]
    bar = first.get_figure().colorbar(mappable, ax=ax, **{"aspect": 28, "fraction": 0.05, "pad": 0.02, **kwargs})
    bar.outline.set_visible(False)
    bar.set_label(artists.color_label if label is None else label)
    return bar


def legend(
    target: Axes | Figure | SubFigure, *artists: Explained | Artist | Container | Sequence[Artist], **kwargs: Any
) -> Legend:
    """One legend for the artists of one or several panels, each label once.

    What you drew yourself is named only if you hand it over, too:

    ```python
    from matplotlib.figure import Figure
    from gan_ode import plot

    ax = Figure().subplots()
    theory = ax.plot([0, 1], [0, 1], label="theory")
    assert plot.legend(ax, theory).get_texts()[0].get_text() == "theory"
    ```

    Args:
        target: A panel, or the figure: there the legend stands below all panels, in one row if that fits.
        *artists: What the functions of this module returned; and artists of Matplotlib with a label, one by one or as
            what `ax.plot` returns.
        **kwargs: Handed to Matplotlib's `legend`.

    Raises:
        ValueError: If something has no entries, or an artist no label.
    """
    entries: dict[str, Any] = {}
    for handle in (handle for each in artists for handle in _handles(each)):
        entries.setdefault(str(handle.get_label()), handle)
    # By what lies on what, so that lines come before marks though panels differ in what they have.
    handles = sorted(entries.values(), key=_height)
    place = {} if isinstance(target, Axes) else {"loc": "outside lower center", "ncols": _columns(target, entries)}
    return target.legend(handles=handles, **{**place, **kwargs})


def _height(handle: Any) -> float:
    """What an artist lies above; of bars and error bars, which are several, that of the first."""
    first = (
        next((each for each in handle if isinstance(each, Artist)), None) if isinstance(handle, Container) else handle
    )
    return 0.0 if first is None else float(first.get_zorder())


def _handles(artists: Any) -> list[Any]:
    """What stands in a legend for some artists."""
    if isinstance(artists, Explained):
        return artists.handles
    handles = [artists] if isinstance(artists, Artist | Container) else artists
    if not isinstance(handles, Sequence) or not all(isinstance(each, Artist | Container) for each in handles):
        raise ValueError(
            f"`artists` must be what functions of `plot` returned, or artists of Matplotlib, but one is {artists!r}: "
            "for example what `ax.plot(..., label='theory')` returns."
        )
    for each in handles:
        if str(each.get_label() or "_").startswith("_"):
            raise ValueError(f"`artists` must have labels, but {each!r} has none: draw it with `label=`.")
    return list(handles)


def _columns(figure: Figure | SubFigure, labels: Collection[str]) -> int:
    """As many columns as fit side by side, by an estimate of how wide text is; all in one row if they do."""
    size = FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()
    room = figure.bbox.width / figure.get_figure(root=True).dpi * _POINTS_OF_AN_INCH
    widths = [size * (_CHARACTER * len(label) + _HANDLE) for label in labels]
    return max(len(widths), 1) if sum(widths) <= room else max(int(room / max(widths)), 1)
