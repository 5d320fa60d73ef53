"""A diagnosis as one figure."""

import dataclasses
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.container import BarContainer
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.text import Text

from ...analysis import Diagnosis
from .._panel import inches, label_panel, scale
from .._style import BLUE, GRAY, GREEN, INK, ORANGE, PALE, PURPLE, SKY_BLUE, VERMILLION, WHITE

# What a mode does: a mark and a color each, so that neither alone has to tell.
_MARKS = {
    "cycles": ("o", VERMILLION), "grows": ("^", VERMILLION), "flips": ("s", PURPLE), "spirals": ("o", BLUE),
    "decays": ("v", BLUE), "creeps": ("D", GREEN), "flat": ("x", GRAY),
}  # fmt: skip
_SHARE = LinearSegmentedColormap.from_list("share", [WHITE, SKY_BLUE])
_LETTERS = "abcde"
_MOST_MODES, _MOST_LAYERS, _MOST_REMEDIES = 4, 8, 9
# Characters of the verdict in an inch of the figure's width, and of a layer's name.
_CHARACTERS, _NAME = 15, 26
# Strengths beyond this are drawn as this, with their number.
_STRONGEST = 5.0
_MARGIN = 0.4
# Parts of one, and of a threshold, below which a bar is written as none.
_NOTHING = 0.005
# What is left of a progress of zero by rounding.
_ROUNDING = 1e-12
# Where half of the bars are shorter than this part of the longest, a logarithmic axis shows so many decades of them.
_MANY_SIZES, _DECADES = 8.0, 1e3


@dataclasses.dataclass(frozen=True)
class DiagnosisPlot:
    """The artists of a diagnosis; None or empty where something was not measured.

    Attributes:
        axes: The five panels: multipliers, diseases, shares, layers, remedies.
        verdict: The title.
        unit_circle: Where a step makes a mode neither larger nor smaller.
        multipliers: Those of the step, minus one, a line of marks for each thing that a mode does.
        strengths: How strong the evidence for each disease is.
        shares: Rotation, noise, saturation and the slope that is left, as parts of one.
        layers: The share of each layer in the leading modes of the step.
        remedies: What each remedy makes of the worst mode.
    """

    axes: tuple[Axes, ...]
    verdict: Text
    unit_circle: Circle
    multipliers: tuple[Line2D, ...]
    strengths: BarContainer | None
    shares: BarContainer | None
    layers: QuadMesh | None
    remedies: BarContainer | None


def diagnosis(result: Diagnosis, *, figure: Figure | SubFigure) -> DiagnosisPlot:
    r"""Draws a diagnosis as one figure of five panels, with the verdict as its title.

    (a) The multipliers of a training step, as distances from 1, with the unit circle within which a mode dies out: for
    simultaneous steps these are $h\lambda$ and the disc $\lvert 1 + h\lambda \rvert \le 1$. (b) How strong the evidence
    for each disease is: it is there from 1 on. (c) Which part of the Jacobian turns, which part of a step is noise of
    the minibatch, and where scores are known, how many are saturated and which part of the generator's slope is left.
    (d) Which layers own the leading modes. (e) What each remedy would make of the worst mode that counts: how much of
    it a step takes away, for the cost of a step of now; the dashed line is the training as it is.

    Args:
        result: From `analysis.diagnose`.
        figure: Where to draw: an empty figure of about 7.2 by 8 inches, with constrained layout, as `plot.style` has
            it.

    Returns:
        The artists.
    """
    # Rows by themselves: long names in one do not narrow the others.
    rows: Any = figure.subfigures(3, 1, height_ratios=[1.2, 1.0, 1.15])
    axes = (*rows[0].subplots(1, 2), *rows[1].subplots(1, 2), rows[2].subplots())
    titles = (
        "Multipliers of a step", "What was looked for", "Rotation, noise, scores", "Who owns the leading modes",
        "What each remedy would do",
    )  # fmt: skip
    for ax, letter, title in zip(axes, _LETTERS, titles, strict=True):
        label_panel(ax, letter, title)
    circle, points = _multipliers(axes[0], result)
    return DiagnosisPlot(
        axes=axes,
        verdict=_verdict(figure, result),
        unit_circle=circle,
        multipliers=points,
        strengths=_strengths(axes[1], result),
        shares=_shares(axes[2], result),
        layers=_layers(axes[3], result),
        remedies=_remedies(axes[4], result),
    )


def _verdict(figure: Figure | SubFigure, result: Diagnosis) -> Text:
    inches = figure.bbox.width / figure.get_figure(root=True).dpi
    said = f"{str(result.disease).capitalize()}: {result.verdict}"
    said += "" if result.complete else " (Not complete.)"
    # Dollars would begin a formula.
    return figure.suptitle(textwrap.fill(said, int(_CHARACTERS * inches)).replace("$", r"\$"))


def _multipliers(ax: Axes, result: Diagnosis) -> tuple[Circle, tuple[Line2D, ...]]:
    values = result.multipliers - 1
    does = [mode.does for mode in result.step_modes]
    extent = max(float(np.max(np.abs(values), initial=0.0)), np.finfo(float).tiny)
    circle = Circle((-1, 0), 1, facecolor=PALE, edgecolor=INK, linewidth=0.9 * scale(ax), zorder=0, label="dies out")
    ax.add_artist(circle)
    for line in (ax.axhline, ax.axvline):
        line(0, color=GRAY, linewidth=0.5 * scale(ax), zorder=1)
    lines = []
    for kind, (mark, color) in _MARKS.items():
        here = values[[each == kind for each in does]]
        if not here.size:
            continue
        both = np.concatenate([here, np.conj(here[np.imag(here) != 0])])
        look = {"marker": mark, "markersize": 4.5 * scale(ax), "markeredgewidth": 0.7, "markeredgecolor": WHITE}
        if mark == "x":
            look["markeredgecolor"] = color
        lines += ax.plot(np.real(both), np.imag(both), linestyle="none", color=color, label=kind, zorder=4, **look)
    left, right = (
        min(float(np.min(np.real(values), initial=0.0)), 0.0),
        max(float(np.max(np.real(values), initial=0.0)), 0.0),
    )
    top = max(float(np.max(np.abs(np.imag(values)), initial=0.0)), 0.4 * extent)
    # One scale on both axes, which fill the panel as it is now.
    width, height = inches(ax)
    span = (1 + _MARGIN) * max(right - left, 2 * top * width / height)
    middle = (left + right) / 2
    ax.set(xlim=(middle - span / 2, middle + span / 2), ylim=(-span * height / width / 2, span * height / width / 2))
    ax.set_aspect("equal", adjustable="box")
    ax.set(xlabel=r"$\mathrm{Re}\,m - 1$", ylabel=r"$\mathrm{Im}\,m$")
    ax.locator_params(nbins=5)
    ax.ticklabel_format(style="sci", scilimits=(-3, 4), useMathText=True)
    if lines:
        ax.legend(handles=[*lines, circle], loc="upper left", handletextpad=0.3, borderaxespad=0.2, handlelength=1.2)
    else:
        _not_measured(ax)
    return circle, tuple(lines)


def _strengths(ax: Axes, result: Diagnosis) -> BarContainer | None:
    found = result.findings
    if not found:
        return _not_measured(ax)
    values = np.array([each.strength for each in found])
    shown = np.where(np.isnan(values), 0.0, np.clip(values, 0.0, _STRONGEST))
    colors = [VERMILLION if value >= 1 else SKY_BLUE for value in values]
    bars = ax.barh(range(len(found)), shown, color=colors, height=0.62)
    texts = [_part(value) for value in values]
    ax.bar_label(bars, texts, padding=3, fontsize="small")
    ax.axvline(1, color=INK, linewidth=0.9 * scale(ax), linestyle=(0, (4, 2)))
    _rows(ax, [str(each.disease) for each in found])
    cut = f" (bars end at {_STRONGEST:g})" if np.any(values > _STRONGEST) else ""
    ax.set(xlabel=f"evidence over its threshold{cut}", xlim=(0, 1.3 * max(float(np.max(shown)), 1.2)))
    return bars


def _shares(ax: Axes, result: Diagnosis) -> BarContainer | None:
    parts = {"rotation in the Jacobian": (result.rotation_share, result.rotation_error)}
    noise = result.noise
    if noise.batch:
        total = noise.variance + max(noise.drift, 0.0)
        parts["noise in a step"] = (noise.variance / total if total > 0 else np.nan, 0.0)
    if result.logits is not None:
        parts["saturated scores"] = (result.logits.saturation, 0.0)
        parts["slope left to the generator"] = (result.logits.slope, 0.0)
    values, errors = (np.array(column, float) for column in zip(*parts.values(), strict=True))
    shown = np.nan_to_num(np.clip(values, 0.0, 1.0))
    bars = ax.barh(range(len(parts)), shown, height=0.62, color=SKY_BLUE, xerr=errors, ecolor=INK)
    texts = [_part(value) for value in values]
    ax.bar_label(bars, texts, padding=3, fontsize="small")
    _rows(ax, list(parts))
    ax.set(xlabel="part of the whole", xlim=(0, 1.25), xticks=[0, 0.5, 1])
    return bars


def _part(value: float) -> str:
    return "not measured" if np.isnan(value) else "0" if abs(value) < _NOTHING else f"{value:.2g}"


def _layers(ax: Axes, result: Diagnosis) -> QuadMesh | None:
    modes = [mode for mode in result.step_modes if mode.does != "flat"][:_MOST_MODES]
    if not modes:
        return _not_measured(ax)
    names = list(modes[0].layers)
    shares = np.array([[mode.layers[name] for mode in modes] for name in names])
    if len(names) > _MOST_LAYERS:
        largest = np.argsort(-np.max(shares, axis=1), kind="stable")[: _MOST_LAYERS - 1]
        kept = np.sort(largest)
        rest = np.sum(np.delete(shares, kept, axis=0), axis=0)
        names = [*(names[i] for i in kept), f"{len(names) - len(kept)} others"]
        shares = np.vstack([shares[kept], rest])
    mesh = ax.pcolormesh(shares, cmap=_SHARE, vmin=0.0, vmax=1.0, edgecolors=WHITE, linewidth=1.0)
    for (row, column), share in np.ndenumerate(shares):
        ax.text(column + 0.5, row + 0.5, f"{100 * share:.0f} %", ha="center", va="center", fontsize="small", color=INK)
    ax.set_xticks(np.arange(len(modes)) + 0.5, [_mode_name(mode) for mode in modes], fontsize="small")
    ax.set_yticks(np.arange(len(names)) + 0.5, [_short(name) for name in names], fontsize="small")
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return mesh


def _mode_name(mode: Any) -> str:
    turn = abs(float(np.imag(mode.rate)))
    return f"{mode.does}\n{_count(2 * np.pi / turn)}\nsteps" if turn > 0 else mode.does


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def _short(name: str) -> str:
    """A layer's name with its player as a letter, cut at the front if it is long."""
    for player in ("discriminator", "generator"):
        if name.split(".")[0] == player:
            name = f"{player[0].upper()} {name[len(player) + 1 :]}".strip()
    return name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"


def _remedies(ax: Axes, result: Diagnosis) -> BarContainer | None:
    remedies = [each for each in result.remedies if np.isfinite(each.progress)][:_MOST_REMEDIES]
    if not remedies:
        return _not_measured(ax)
    values = np.array([each.progress if abs(each.progress) > _ROUNDING else 0.0 for each in remedies])
    colors = [BLUE if value > 0 else ORANGE for value in values]
    bars = ax.barh(range(len(remedies)), values, color=colors, height=0.62)
    ax.bar_label(bars, [f"{value:.2g}" for value in values], padding=3, fontsize="small")
    ax.axvline(0, color=GRAY, linewidth=0.6 * scale(ax))
    if np.isfinite(result.growth_per_step):
        ax.axvline(-result.growth_per_step, color=INK, linewidth=0.9 * scale(ax), linestyle=(0, (4, 2)))
    _rows(ax, [_remedy_name(each) for each in remedies])
    ends = np.array([*values, -np.nan_to_num(result.growth_per_step), 0.0])
    _limit(ax, ends)
    ax.set_xlabel(r"decay of the worst mode for the cost of a step of now, $-\ln|m| / \mathrm{cost}$ (dashed: now)")
    return bars


def _limit(ax: Axes, ends: np.ndarray) -> None:
    """Limits around the ends of bars, on an axis that is logarithmic on both sides if they are of many sizes."""
    largest = max(float(np.max(np.abs(ends))), np.finfo(float).tiny)
    if np.median(np.abs(ends[ends != 0])) < largest / _MANY_SIZES:
        ax.set_xscale("symlog", linthresh=largest / _DECADES, linscale=0.5)
        ax.set_xlim(4 * min(ends.min(), -largest / _DECADES), 6 * max(ends.max(), largest / _DECADES))
        decades = 10.0 ** np.arange(np.ceil(np.log10(largest / _DECADES)) + 1, np.ceil(np.log10(largest)) + 1)
        low, high = ax.get_xlim()
        ax.set_xticks([each for each in (*-decades[::-1], 0.0, *decades) if low < each < high], minor=False)
        return
    room = 0.15 * max(float(np.ptp(ends)), np.finfo(float).tiny)
    ax.set_xlim(ends.min() - room, ends.max() + room)
    ax.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4), useMathText=True)


def _remedy_name(remedy: Any) -> str:
    # A smaller step is its own weight.
    chosen = not (np.isnan(remedy.weight) or remedy.weight == remedy.step_factor)
    weight = f" {remedy.weight:,.0f}" if chosen and remedy.weight >= 100 else f" {remedy.weight:.3g}" if chosen else ""
    step = "" if remedy.step_factor == 1 else f", step × {remedy.step_factor:.2g}"
    return f"{remedy.name}{weight}{step}, cost {remedy.cost:.2g}"


def _rows(ax: Axes, names: list[str]) -> None:
    """Names of the bars, the first one on top."""
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.5, -0.5)


def _not_measured(ax: Axes) -> None:
    ax.text(0.5, 0.5, "not measured", ha="center", va="center", color=GRAY, transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
