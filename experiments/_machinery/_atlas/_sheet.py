"""A sheet of small phase portraits, one for each method on each game of two parameters."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
from jax.flatten_util import ravel_pytree

from experiments._machinery._atlas._cells import Cell, orbit_of
from gan_ode import plot
from gan_ode.games import Players

COLUMNS = 6
# How long the flow is drawn: some turns of a rotation of frequency 1/2 to 1.
DURATION = 25.0
LONGEST_TITLE = 27
# Beyond every window.
FAR = 100.0


def drawn(cells: Sequence[Cell]) -> list[Cell]:
    """Those with a plane."""
    return [cell for cell in cells if cell.system.window is not None]


def sheet(cells: Sequence[Cell]) -> matplotlib.figure.Figure:
    """All portraits, a block of rows for each system."""
    systems = list({cell.system.name: cell.system for cell in cells}.values())
    blocks = [[cell for cell in cells if cell.system is system] for system in systems]
    heights = [math.ceil(len(block) / COLUMNS) for block in blocks]
    figure = matplotlib.figure.Figure(
        figsize=(7.2, 0.3 + 1.32 * sum(heights) + 0.35 * len(blocks)), layout="constrained"
    )
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(blocks), 1, height_ratios=[h + 0.25 for h in heights])))
    for part, block, rows, system in zip(parts, blocks, heights, systems, strict=True):
        part.suptitle(system.title, fontsize="medium")
        axes = part.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
        for ax in axes.flat[len(block) :]:
            ax.set_visible(False)
        for number, (ax, cell) in enumerate(zip(axes.flat, block, strict=False)):
            portrait(ax, cell)
            last = number + COLUMNS >= len(block)
            ax.tick_params(labelbottom=last, labelleft=number % COLUMNS == 0, labelsize=5)
            ax.set_xlabel(f"${system.axes[0]}$" if last else "", fontsize=6)
            ax.set_ylabel(f"${system.axes[1]}$" if number % COLUMNS == 0 else "", fontsize=6)
    return figure


def spectra(cells: Sequence[Cell]) -> matplotlib.figure.Figure:
    """Eigenvalues, for systems of more than two parameters."""
    rows = math.ceil(len(cells) / COLUMNS)
    figure = matplotlib.figure.Figure(figsize=(7.2, 0.3 + 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, min(COLUMNS, len(cells)), squeeze=False)
    for ax in axes.flat[len(cells) :]:
        ax.set_visible(False)
    for ax, cell in zip(axes.flat, cells, strict=False):
        plot.spectrum(cell.eigenvalues, ax=ax)
        ax.set_title(f"{title(cell)}\n{subtitle(cell)}", fontsize=5.5, pad=2)
    return figure


class _Plane(eqx.Module):
    """From two numbers to a state; a module, so that portraits of a system share what is compiled."""

    like: Players

    def __call__(self, x: jax.Array, y: jax.Array) -> Players:
        return ravel_pytree(self.like)[1](jnp.stack([x, y]))


def _numbers(y: Players) -> tuple[jax.Array, jax.Array]:
    return jnp.ravel(y.discriminator)[0], jnp.ravel(y.generator)[0]


def portrait(ax, cell: Cell) -> None:
    """Streamlines, the flow from the start, its verdict."""
    assert cell.system.window is not None
    (left, right), (low, high) = cell.system.window

    plot.phase_portrait(
        cell.field,
        ax=ax,
        args=cell.args,
        xlim=(left, right),
        ylim=(low, high),
        state=_Plane(cell.system.equilibrium),
        project=_numbers,
        background=None,
        nullclines=False,
        resolution=40,
    )
    orbit = orbit_of(cell, DURATION)
    points = np.stack([np.ravel(orbit.ys.discriminator), np.ravel(orbit.ys.generator)])
    # What has left is not drawn: Matplotlib overflows on what blows up.
    points = np.where(np.abs(points).max(axis=0) < FAR, points, np.nan)
    ax.plot(*points, color="C0", linewidth=0.9, zorder=3)
    ax.plot(*points[:, :1], "o", color="C0", markersize=2.2, zorder=4)
    ax.plot(*np.asarray(ravel_pytree(cell.equilibrium)[0]), "+", color="C1", markersize=4, zorder=4)
    ax.set(xlim=(left, right), ylim=(low, high))
    ax.set_title(f"{title(cell)}\n{subtitle(cell)}", fontsize=5.5, pad=2)


def title(cell: Cell) -> str:
    """The method and its weight."""
    plain = cell.base if cell.method is None else cell.name
    name = plain if np.isnan(cell.weight) else f"{plain}({cell.weight:g})"
    return name if len(name) <= LONGEST_TITLE else f"{name[: LONGEST_TITLE - 1].rstrip()}…"


def subtitle(cell: Cell) -> str:
    """The game, where there are several, and the verdict."""
    told = cell.method is not None and cell.base and len(cell.system.bases) > 1
    return f"{cell.base}: {cell.word}" if told else cell.word
