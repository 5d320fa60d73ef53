"""Colors, and the style sheet that figures are made in."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap

# Okabe and Ito (2008): told apart by color-blind readers.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
# Yellow comes last: on white paper it is hardly seen.
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY_BLUE, BLACK, YELLOW)

WHITE = "#FFFFFF"
INK = "#1A1A1A"
GRAY = "#7F8893"
PALE = "#DCE4EE"

TIME = matplotlib.colormaps["viridis"]
PARAMETER = matplotlib.colormaps["cividis"]
SPEED = LinearSegmentedColormap.from_list("speed", [WHITE, PALE])

SHEET: Mapping[str, Any] = MappingProxyType(
    {
        "axes.axisbelow": True,
        "axes.labelsize": 8,
        "axes.linewidth": 0.6,
        "axes.prop_cycle": cycler(color=CYCLE),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlepad": 5,
        "axes.titlesize": 8,
        "figure.constrained_layout.use": True,
        "figure.dpi": 150,
        "figure.titlesize": 9,
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.handlelength": 1.8,
        "lines.linewidth": 1.2,
        "lines.markersize": 4,
        # The letters of the text, in formulas too.
        "mathtext.fontset": "dejavusans",
        # Type 3 fonts, the default, are refused by some publishers.
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "savefig.dpi": 300,
        "text.usetex": False,
        "xtick.labelsize": 7,
        "xtick.major.size": 2.5,
        "xtick.major.width": 0.6,
        "xtick.minor.size": 1.5,
        "xtick.minor.width": 0.4,
        "ytick.labelsize": 7,
        "ytick.major.size": 2.5,
        "ytick.major.width": 0.6,
        "ytick.minor.size": 1.5,
        "ytick.minor.width": 0.4,
    }
)


def style(overrides: Mapping[str, Any] | None = None) -> AbstractContextManager[None]:
    """A context in which figures look alike: make a figure and save it inside.

    Text of 8 points for figures at most 7.2 inches wide (two columns), the colors of Okabe and Ito, formulas in the
    font of the text that need no LaTeX, constrained layout. Matplotlib's settings are what they were before, once the
    context ends.

    Args:
        overrides: Matplotlib settings that go before the sheet's, for example `{"font.size": 10}`.
    """
    settings: dict[Any, Any] = {**SHEET, **(overrides or {})}
    return matplotlib.rc_context(settings)
