import io
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .. import _checks, _files
from .._types import Field, RealScalarLike, State
from ..simulate import Orbit
from ._plane import limits, players_point
from ._portrait import phase_portrait
from ._samples import samples as draw_samples
from ._style import CYCLE, style

_PICTURES = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG", ".png": "PNG"}
_FILM = ".mp4"
_FEWEST = 20
# How much of an orbit's time its trail shows.
_TRAIL = 0.25
# Names of rules side by side in a legend, in a panel of 3.4 inches.
_COLUMNS = 2


def animate(
    orbits: Orbit | Mapping[str, Orbit],
    path: str | os.PathLike[str],
    *,
    field: Field | None = None,
    samples: Callable[[State], Any] | None = None,
    mixture: Any = None,
    project: Callable[[State], tuple[Any, Any]] = players_point,
    xlim: Sequence[RealScalarLike] | None = None,
    ylim: Sequence[RealScalarLike] | None = None,
    names: tuple[str, str] = (r"\theta_D", r"\theta_G"),
    num_frames: int = 60,
    frames_per_second: int = 15,
    dpi: int = 110,
) -> pathlib.Path:
    """Writes a moving picture of orbits: points with trails in a plane, or the samples of a generator in training.

    Orbits move by the same clock, that of their times, so a flow and the steps of an update stay side by side. One that
    ends early, by a blow-up, stays where it ended.

    ```python
    import pathlib
    import tempfile

    import jax.numpy as jnp
    from gan_ode import fields, flow, games, iterate, losses, plot, updates

    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    y0 = games.Players(jnp.array(0.5), jnp.array(0.5))
    steps = iterate(updates.Simultaneous(0.1), field, y0, 60)
    orbit = flow(field, y0, steps.ts)
    path = pathlib.Path(tempfile.mkdtemp()) / "run.gif"
    plot.animate({"flow": orbit, "simultaneous": steps}, path, field=field, num_frames=20, dpi=50)
    assert path.stat().st_size > 1000
    ```

    Args:
        orbits: One orbit, or several by the names that a legend shows; with `samples` one panel each.
        path: Where to write it: a GIF, WebP or APNG by its suffix (`.gif`, `.webp`, `.apng`), or, where ffmpeg is
            installed, a film (`.mp4`). WebP is the smallest.
        field: Drawn behind the orbits as streamlines; of a game with two numbers.
        samples: From a state to samples in the plane, shape `(num, 2)`; drawn instead of the state.
        mixture: With `samples`: what they should reach, anything with `centers` and `std`, as `distributions.Ring()`.
        project: From a state to the two numbers that are drawn.
        xlim: Limits of the horizontal axis; by default the orbits fit, with some room.
        ylim: Limits of the vertical axis.
        names: The two numbers in formulas.
        num_frames: How many pictures, at least 20.
        frames_per_second: How fast they follow each other.
        dpi: Dots to the inch; a panel is 3.4 inches wide.

    Returns:
        The path.

    Raises:
        ValueError: If an argument cannot work: an orbit that is not single, too few pictures, an unknown suffix, a film
            without ffmpeg.
    """
    target = pathlib.Path(path)
    runs = dict(orbits) if isinstance(orbits, Mapping) else {"": orbits}
    _check(runs, target, num_frames)
    speed = _checks.count("frames_per_second", frames_per_second)
    ends = [float(np.max(np.asarray(orbit.ts), where=np.isfinite(orbit.ts), initial=0.0)) for orbit in runs.values()]
    clock = np.linspace(0.0, max(ends), _checks.count("num_frames", num_frames))
    with style():
        if samples is None:
            frames = _in_plane(runs, clock, field, project, xlim, ylim, names, dpi)
        else:
            frames = _of_samples(runs, clock, samples, mixture, dpi)
        _write(target, frames, speed)
    return target


def _check(runs: Mapping[str, Orbit], target: pathlib.Path, num_frames: int) -> None:
    if not runs:
        raise ValueError("`orbits` must hold at least one, but is empty.")
    for name, orbit in runs.items():
        if np.ndim(orbit.ts) != 1:
            raise ValueError(
                f"`orbits` must be single ones, but the times of {name!r} have shape {np.shape(orbit.ts)}: take one "
                "member by `jax.tree.map(lambda leaf: leaf[0], orbit)`."
            )
    if num_frames < _FEWEST:
        raise ValueError(f"`num_frames` must be at least {_FEWEST}, but is {num_frames}: fewer do not move.")
    if target.suffix not in {*_PICTURES, _FILM}:
        raise ValueError(
            f"`path` must end in .gif, .webp, .apng or .mp4, but is {str(target)!r}: the suffix says what is written."
        )
    if target.suffix == _FILM and shutil.which("ffmpeg") is None:
        raise ValueError("`path` must not be a film (.mp4) where ffmpeg is not installed: take .webp.")


def _reached(orbit: Orbit, time: float) -> int:
    """The place of the last saved time until then."""
    ts = np.asarray(orbit.ts)
    return max(int(np.sum(np.isfinite(ts) & (ts <= time * (1 + 1e-9)))) - 1, 0)


def _in_plane(
    runs: Mapping[str, Orbit],
    clock: np.ndarray,
    field: Field | None,
    project: Callable[[State], tuple[Any, Any]],
    xlim: Sequence[RealScalarLike] | None,
    ylim: Sequence[RealScalarLike] | None,
    names: tuple[str, str],
    dpi: int,
) -> Iterator[Image.Image]:
    paths = {name: np.stack(jax.vmap(project)(orbit.ys), axis=-1) for name, orbit in runs.items()}
    everything = np.concatenate([points[np.all(np.isfinite(points), axis=1)] for points in paths.values()])
    bounds = [
        limits(name, given) if given is not None else _around(everything[:, i])
        for i, (name, given) in enumerate((("xlim", xlim), ("ylim", ylim)))
    ]
    figure = Figure(figsize=(3.4, 3.0), dpi=dpi, layout="constrained")
    ax = figure.add_subplot()
    if field is not None:
        phase_portrait(field, ax=ax, xlim=bounds[0], ylim=bounds[1], names=names, nullclines=False)
    ax.set(xlim=bounds[0], ylim=bounds[1], xlabel=f"${names[0]}$", ylabel=f"${names[1]}$")
    moving = [_trail(ax, name, CYCLE[i % len(CYCLE)]) for i, name in enumerate(paths)]
    if any(paths):
        figure.legend(loc="outside upper center", ncols=min(len(paths), _COLUMNS))
    clock_text = ax.text(0.98, 0.02, "", transform=ax.transAxes, ha="right", va="bottom", fontsize=7)
    for time in clock:
        for (line, head), (name, points) in zip(moving, paths.items(), strict=True):
            last, first = _reached(runs[name], time), _reached(runs[name], time - _TRAIL * clock[-1])
            line.set_data(*points[first : last + 1].T)
            head.set_data(*points[last : last + 1].T)
        clock_text.set_text(_time(time))
        yield _picture(figure)


def _around(values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room


def _time(time: float) -> str:
    return f"$t = {time:.0f}$" if time >= 100 else f"$t = {time:.3g}$"


def _trail(ax: Axes, name: str, color: str) -> tuple[Any, Any]:
    (line,) = ax.plot([], [], color=color, linewidth=1.4, alpha=0.8, label=name or None, zorder=5)
    (head,) = ax.plot([], [], "o", color=color, markersize=6, markeredgecolor="white", zorder=6)
    return line, head


def _of_samples(
    runs: Mapping[str, Orbit], clock: np.ndarray, samples: Callable[[State], Any], mixture: Any, dpi: int
) -> Iterator[Image.Image]:
    figure = Figure(figsize=(3.4 * min(len(runs), 3), 3.6), dpi=dpi, layout="constrained")
    axes = figure.subplots(1, len(runs), squeeze=False)[0]
    shown = jax.jit(samples)
    for time in clock:
        for ax, (name, orbit) in zip(axes, runs.items(), strict=True):
            place = _reached(orbit, time)
            ax.clear()
            draw_samples(np.asarray(shown(jax.tree.map(lambda leaf: leaf[place], orbit.ys))), ax=ax, mixture=mixture)  # noqa: B023
            ax.set_title(f"{name}  {_time(time)}".strip())
        yield _picture(figure)


def _picture(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _write(target: pathlib.Path, frames: Iterator[Image.Image], speed: int) -> None:
    pictures = list(frames)
    if target.suffix == _FILM:
        _film(target, pictures, speed)
        return
    if target.suffix == ".gif":
        # One palette for all: a palette of its own for each picture flickers.
        first = pictures[len(pictures) // 2].quantize(128)
        pictures = [each.quantize(palette=first, dither=Image.Dither.NONE) for each in pictures]
    kind, stream = _PICTURES[target.suffix], io.BytesIO()
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:], duration=round(1000 / speed), loop=0)
    _files.replace(target, stream.getvalue())


def _film(target: pathlib.Path, pictures: list[Image.Image], speed: int) -> None:
    width, height = pictures[0].size
    # The usual encoding of films takes even sizes alone.
    even = f"crop={width - width % 2}:{height - height % 2}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(speed), "-i", "-"]
    command = ["ffmpeg", "-y", "-loglevel", "error", *raw, "-vf", even, "-pix_fmt", "yuv420p", str(target)]
    subprocess.run(command, input=b"".join(each.tobytes() for each in pictures), check=True)
