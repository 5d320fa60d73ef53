"""Moving pictures of orbits."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_ode import distributions, flow, iterate, plot, updates
from gan_ode.games import Players


def rotation(t, y, args):
    return Players(y.generator, -y.discriminator)


@pytest.fixture(scope="module")
def runs():
    y0 = Players(jnp.array(0.0), jnp.array(1.0))
    steps = iterate(updates.Simultaneous(0.1), rotation, y0, 40)
    return {"flow": flow(rotation, y0, steps.ts), "simultaneous": steps}


def pictures(path):
    with Image.open(path) as image:
        assert image.n_frames >= 20
        for i in range(image.n_frames):
            image.seek(i)
            yield np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_every_kind_of_file_moves(runs, tmp_path, suffix):
    path = plot.animate(runs, tmp_path / f"run{suffix}", num_frames=20, dpi=40)
    first, *_, last = pictures(path)
    assert np.mean(np.abs(first - last)) > 0.1


def head(picture) -> np.ndarray:
    """Where the end of the trail is, in pixels: the middle of its disc, the widest blue there is."""
    blue = np.sum(np.abs(picture - np.array([0, 114, 178])), axis=2) < 40
    # The disc is wider than the trail: only its middle stays when three pixels are taken off all around.
    for _ in range(2):
        blue[1:-1, 1:-1] = blue[1:-1, 1:-1] & blue[:-2, 1:-1] & blue[2:, 1:-1] & blue[1:-1, :-2] & blue[1:-1, 2:]
    rows, columns = np.nonzero(blue)
    return np.array([columns.mean(), -rows.mean()])


def test_the_heads_are_where_the_orbits_are(runs, tmp_path):
    path = plot.animate(
        {"": runs["flow"]}, tmp_path / "run.apng", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), num_frames=41, dpi=100
    )
    shown = list(pictures(path))
    # The flow turns clockwise from (0, 1), a tenth of a unit of time from each picture to the next.
    turns = {number: np.array([np.sin(0.1 * number), np.cos(0.1 * number)]) for number in (0, 8, 16, 31, 40)}
    seen = {number: head(shown[number]) for number in turns}
    # Two of them give the scale and the middle of the panel, and say where the others have to be.
    across, up = (seen[16][i] - seen[31][i] for i in range(2))
    unit = np.array([across, up]) / (turns[16] - turns[31])
    middle = seen[16] - unit * turns[16]
    for number, expected in turns.items():
        np.testing.assert_allclose((seen[number] - middle) / unit, expected, atol=0.05)


def test_samples_are_drawn_in_their_plane(runs, tmp_path):
    path = plot.animate(
        runs, tmp_path / "run.webp", num_frames=20, dpi=40, mixture=distributions.Ring(),
        samples=lambda y: jnp.stack([y.discriminator, y.generator])[None] * jnp.linspace(0.5, 1.5, 50)[:, None],
    )  # fmt: skip
    first, *_, last = pictures(path)
    assert np.mean(np.abs(first - last)) > 0.01


def test_long_names_leave_room_for_the_plane(runs, tmp_path):
    # A legend that takes the whole figure is a warning of Matplotlib, which is an error here.
    named = {f"a rule of a rather long name, {i}": runs["simultaneous"] for i in range(4)}
    plot.animate(named, tmp_path / "run.gif", num_frames=20, dpi=40)


def test_an_orbit_that_ends_early_stays_where_it_ended(tmp_path):
    y0 = Players(jnp.array(1.0), jnp.array(1.0))
    field = lambda t, y, args: Players(y.discriminator**2, -y.generator)  # noqa: E731
    orbit = flow(field, y0, jnp.linspace(0.0, 2.0, 41), throw=False)
    path = plot.animate(orbit, tmp_path / "run.gif", num_frames=20, dpi=40, xlim=(0, 30), ylim=(0, 1.5))
    *_, before, last = pictures(path)
    assert np.mean(np.abs(before - last)) < 1.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("run.bmp", {}, "must end in .gif"),
        ("run.gif", {"num_frames": 5}, "`num_frames` must be at least 20, but is 5"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(runs, tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        plot.animate(runs, tmp_path / name, **options)


def test_a_film_needs_ffmpeg(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="ffmpeg"):
        plot.animate(runs, tmp_path / "run.mp4")
