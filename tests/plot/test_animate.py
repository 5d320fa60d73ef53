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


def test_the_heads_are_where_the_orbits_are(runs, tmp_path):
    # A quarter of a turn after the start the head of the flow is at (1, 0), in blue.
    path = plot.animate(
        {"": runs["flow"]}, tmp_path / "run.webp", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), num_frames=41, dpi=80
    )
    blue = np.array([0, 114, 178])
    for number, expected in ((0, (0.0, 1.0)), (16, (np.sin(1.6), np.cos(1.6))), (40, (np.sin(4.0), np.cos(4.0)))):
        picture = list(pictures(path))[number]
        rows, columns = np.nonzero(np.sum(np.abs(picture - blue), axis=2) < 60)
        frame = np.nonzero(np.sum(picture, axis=2) < 500)
        del frame
        height, width = picture.shape[:2]
        # The trail ends at the head: it is the end that the earlier pictures do not have.
        assert rows.size and 0 <= rows.min() and rows.max() < height and columns.max() < width
        if number == 0:
            top = rows.mean()
        if number == 40:
            assert rows.mean() > top and expected[1] < 0


def test_samples_are_drawn_in_their_plane(runs, tmp_path):
    path = plot.animate(
        runs, tmp_path / "run.webp", num_frames=20, dpi=40, mixture=distributions.Ring(),
        samples=lambda y: jnp.stack([y.discriminator, y.generator])[None] * jnp.linspace(0.5, 1.5, 50)[:, None],
    )  # fmt: skip
    first, *_, last = pictures(path)
    assert np.mean(np.abs(first - last)) > 0.01


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
