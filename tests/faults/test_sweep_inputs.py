"""Sweeps that cannot end, or could not be read again, are refused before anything is computed or written."""

import json

import numpy as np
import pytest
import xarray

from gan_ode import _checks, sweeps


def test_a_grid_of_trillions_of_points_is_refused_at_once_with_its_size(tmp_path):
    axis = range(3000)
    with pytest.raises(
        ValueError, match=r"`over` must fit in memory, but needs 663 TiB of .* 81,000,000,000,000 points"
    ):
        sweeps.sweep(pytest.fail, {"a": axis, "b": axis, "c": axis, "d": axis}, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_more_blocks_than_a_folder_should_hold_are_refused_at_once(tmp_path):
    with pytest.raises(
        ValueError, match=r"`block_size` must be so large that .* but is 2 for 9,000,000 .* take 9 or more"
    ):
        sweeps.sweep(pytest.fail, {"a": range(3000), "b": range(3000)}, tmp_path / "s", block_size=2)
    assert not (tmp_path / "s").exists()


def test_a_dataset_larger_than_memory_is_refused_after_its_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr(_checks, "_physical_memory", lambda: 10_000)
    asked = []

    def compute(points):
        asked.append(points["a"].tolist())
        return {"x": np.zeros((2, 100))}

    with pytest.raises(ValueError, match=r"`over` must fit in memory, but needs 15.6 KiB of 9.77 KiB"):
        sweeps.sweep(compute, {"a": range(20)}, tmp_path / "s", block_size=2)
    assert asked == [[0, 1]]
    assert sweeps.sweep(compute, {"a": range(10)}, tmp_path / "t", block_size=2)["done"].all()
    # A machine of less memory says so, and not that the folder is damaged.
    monkeypatch.setattr(_checks, "_physical_memory", lambda: 50)
    with pytest.raises(ValueError, match=r"`over` must fit in memory, but needs 90 B of 50 B"):
        sweeps.open_sweep(tmp_path / "t")


ATTRIBUTE = r"`compute` must return what netCDF can keep"


def with_attribute(name, value):
    return lambda points: {"x": xarray.DataArray(points["a"] * 1.0, dims="point", attrs={name: value})}


@pytest.mark.parametrize(
    ("compute", "complaint"),
    [
        (lambda points: {"a\0b": points["a"]}, r"names that are strings without .* but returned 'a\\x00b'"),
        (lambda points: {"x\0": points["a"]}, r"but returned 'x\\x00'"),
        (lambda points: {"\ud800": points["a"]}, r"but returned '\\ud800'"),
        (lambda points: {".": points["a"]}, r"but returned '\.'"),
        (lambda points: {"x": (("point", "t\0"), np.zeros((2, 2)))}, r"but returned 't\\x00'"),
        (lambda points: {"x": ["ab\0", "c"]}, r"strings without null characters .* but `x` holds 'ab\\x00'"),
        (lambda points: {"x": np.array(["ab\0", "c"], object)}, r"but `x` holds 'ab\\x00'"),
        (lambda points: {"x": ("point", ["ab\0", "c"])}, r"but `x` holds 'ab\\x00'"),
        (lambda points: {"x": np.array(["a\0b", "c"])}, r"but `x` holds 'a\\x00b'"),
        (lambda points: {"x": ["\udc00", "c"]}, r"but `x` holds '\\udc00'"),
        # What netCDF has for itself, or cannot give back.
        (with_attribute("u\0n", "days"), ATTRIBUTE),
        (with_attribute("units", "days\0"), ATTRIBUTE),
        (with_attribute("scale_factor", "large"), ATTRIBUTE),
        (with_attribute("scale_factor", 2.0), ATTRIBUTE),
        (with_attribute("coordinates", "here"), ATTRIBUTE),
        (with_attribute("_FillValue", "none"), ATTRIBUTE),
        (with_attribute("_NCProperties", "mine"), ATTRIBUTE),
    ],
)
def test_what_could_not_be_read_again_is_not_written(compute, complaint, tmp_path):
    with pytest.raises(ValueError, match=complaint):
        sweeps.sweep(compute, {"a": [1, 2]}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    assert not sweeps.open_sweep(tmp_path)["done"].any()


def test_strings_and_names_of_every_script_come_back(tmp_path):
    words = ["", " ", "é", "日本", "\U0001f600", "a\nb", "\x7f", "'\"\\"]
    expected = {"ä x": words, "..": list(range(8))}
    sweeps.sweep(
        lambda points: {name: np.asarray(values) for name, values in expected.items()}, {"a": range(8)}, tmp_path
    )
    found = sweeps.open_sweep(tmp_path)
    assert {name: found[name].values.tolist() for name in expected} == expected
    assert json.loads((tmp_path / "sweep.json").read_bytes())["block_size"] == 8
