"""Figures of the documentation lose weight, and no colors that a reader misses."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "docs" / "figures.py"
# Of 255; measured: 9 on the atlas, 1 here. A median cut, which looks at how frequent colors are, is off by 130.
UNSEEN = 15


def script():
    spec = importlib.util.spec_from_file_location("figures", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_light_figure_keeps_the_colors_of_its_small_marks(tmp_path):
    # A gray ramp all over, and one small mark.
    pixels = np.broadcast_to(np.linspace(40, 255, 400).astype(np.uint8)[None, :, None], (300, 400, 3)).copy()
    pixels[10:13, 20:23] = (230, 159, 0)
    figure = tmp_path / "figure.png"
    Image.fromarray(pixels).save(figure, compress_level=0)
    before = figure.stat().st_size
    script().lighten(figure)
    assert figure.stat().st_size < before
    after = np.asarray(Image.open(figure).convert("RGB")).astype(int)
    assert np.abs(after - pixels).max() <= UNSEEN


def test_what_would_gain_nothing_stays_as_it_is(tmp_path):
    figure = tmp_path / "figure.png"
    Image.fromarray(np.full((2, 2), 255, np.uint8)).save(figure, optimize=True)
    before = figure.read_bytes()
    script().lighten(figure)
    assert figure.stat().st_size <= len(before)
