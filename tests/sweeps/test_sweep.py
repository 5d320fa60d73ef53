"""Sweeps: a labelled grid in blocks, which survive a kill at any moment and are never computed twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import xarray

from gan_ode import _files, games, iterate, simulate, sweeps
from gan_ode.sweeps import _blocks, _folder
from gan_ode.updates import Simultaneous
from tests import small_sweep
from tests.small_sweep import compute, computed, NUM_SHARDS, on_disk, OVER, run, SHARD_SIZE, SMALL

ROOT = Path(__file__).parents[2]


def same_bits(left, right):
    assert left.sizes == right.sizes and left.variables.keys() == right.variables.keys()
    for name, variable in left.variables.items():
        other = right.variables[name]
        assert (variable.dims, variable.dtype, variable.attrs) == (other.dims, other.dtype, other.attrs), name
        assert variable.values.tobytes() == other.values.tobytes(), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds a sweep that was never stopped. Tests copy what they change."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    run(folder, folder.parent / "log")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    return sweeps.open_sweep(folder)


@pytest.fixture
def copy(folder, tmp_path):
    """The same sweep, without three of its blocks."""
    for path in folder.iterdir():
        (tmp_path / "copy" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    for block in (0, 4, NUM_SHARDS - 1):
        (tmp_path / "copy" / f"block-{block:06d}.nc").unlink()
    return tmp_path / "copy"


def test_a_sweep_is_opened_without_reading_it(folder, copy, whole):
    lazy = sweeps.open_sweep(folder, lazy=True)
    assert all(variable.chunks for variable in lazy.drop_vars("done").data_vars.values())
    assert lazy.load().equals(whole)
    assert sweeps.open_sweep(copy, lazy=True).load().equals(sweeps.open_sweep(copy))


def test_a_damaged_block_is_found_where_its_values_are_asked_for(copy):
    path = next(copy.glob("block-*.nc"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"is damaged\. Remove it"):
        sweeps.open_sweep(copy, lazy=True).load()


def start(*arguments):
    line = [sys.executable, "-W", "ignore", "-m", "tests.small_sweep", *map(str, arguments)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(*arguments):
    process = start(*arguments)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    return [json.loads(line) for line in stdout.splitlines()]


# The dataset.


def test_every_point_of_the_grid_has_its_values_at_its_labels(whole):
    assert whole["value"].dims == ("eta", "seed", "rule") and whole["value"].shape == (5, 7, 2)
    for eta in OVER["eta"]:
        for seed in OVER["seed"]:
            point = whole.sel(eta=eta, seed=seed)
            assert point["value"].values.tolist() == [eta + 1e-3 * seed, -(eta + 1e-3 * seed)]
            assert point["count"].values.tolist() == 2 * [seed + 9007199254740993]
            assert point["word"].values.tolist() == [f"one {seed}", f"other {seed}"]
            assert point["small"].values.tolist() == 2 * [seed < 3]
            assert point["curve"].sel(rule="one").values.tolist() == [eta + seed, eta * (1 / 3) + seed]
    assert whole["done"].values.all() and whole["done"].dtype == bool
    assert [whole[name].dtype.kind for name in ("value", "count", "small", "word")] == ["f", "i", "b", "U"]


def test_compute_gets_blocks_of_one_size_the_last_one_filled_up(tmp_path):
    seen = []

    def noting(points):
        seen.append(points)
        return {"product": points["a"] * points["b"]}

    found = sweeps.sweep(noting, {"a": [1, 2, 3], "b": [10.0, 20.0, 30.0]}, tmp_path, block_size=4)
    assert [points["a"].tolist() for points in seen] == [[1, 1, 1, 2], [2, 2, 3, 3], [3, 3, 3, 3]]
    assert [points["b"].tolist() for points in seen] == [[10, 20, 30, 10], [20, 30, 10, 20], [30, 30, 30, 30]]
    assert found["product"].values.tolist() == [[10, 20, 30], [20, 40, 60], [30, 60, 90]]


def test_no_block_is_larger_than_the_grid(tmp_path):
    sizes = []
    sweeps.sweep(lambda points: sizes.append(len(points["a"])) or {"x": points["a"]}, {"a": [1, 2]}, tmp_path)
    assert sizes == [2]


def test_axes_without_names_are_called_for_their_quantity(tmp_path):
    found = sweeps.sweep(lambda points: {"m": np.zeros((2, 3, 1))}, {"a": [1, 2]}, tmp_path)
    assert found["m"].dims == ("a", "m_dim_0", "m_dim_1")


def test_labels_and_units_of_xarray_are_kept(tmp_path):
    def labelled(points):
        values = np.outer([1.0, 2.0], points["a"])
        curve = xarray.DataArray(values, dims=("time", "point"), coords={"time": [0.5, 1.5]}, attrs={"units": "days"})
        return {"curve": curve, "plain": jnp.asarray(points["a"])}

    found = sweeps.sweep(labelled, {"a": [1.0, 5.0, 7.0]}, tmp_path, block_size=2)
    assert found["curve"].dims == ("a", "time") and found["curve"].attrs == {"units": "days"}
    assert found["curve"].sel(a=7.0, time=1.5) == 14.0 and found["plain"].sel(a=5.0) == 5.0


def test_a_dataset_may_carry_the_labels_of_its_points(tmp_path):
    def labelled(points):
        return xarray.Dataset({"x": ("point", points["a"] + 1)}, {"a": ("point", points["a"]), "point": [5, 6]})

    found = sweeps.sweep(labelled, {"a": [1.0, 5.0]}, tmp_path)
    assert found["x"].values.tolist() == [2.0, 6.0] and set(found.variables) == {"a", "x", "done"}


def test_an_ensemble_is_swept(tmp_path):
    def decay(points):
        y0s = games.Players(jnp.asarray(points["start"]), jnp.asarray(points["start"]))
        rates = jnp.asarray(points["rate"])
        orbit = simulate.ensemble(
            lambda t, y, rate: jax.tree.map(lambda leaf: -rate * leaf, y), y0s, jnp.array([0.0, 1.0]),
            args=rates, batched_args=True, rtol=1e-8, atol=1e-10,
        )  # fmt: skip
        return {"end": orbit.final_state.generator}

    found = sweeps.sweep(decay, {"rate": [0.5, 1.0, 2.0], "start": [1.0, 3.0]}, tmp_path, block_size=4)
    expected = np.exp(-found["rate"]) * found["start"]
    # Tolerances of the solver are a hundred times smaller; measured 3e-9.
    np.testing.assert_allclose(found["end"], expected, rtol=1e-6)


def test_points_that_are_not_computed_yet_are_nan(copy, whole):
    some = sweeps.open_sweep(copy)
    missing = np.zeros(70, bool)
    missing[0:10] = missing[40:50] = missing[60:70] = True
    assert (some["done"].values.ravel() == ~missing).all()
    for name in ("value", "count", "small", "curve"):
        values = some[name].values.reshape(70, -1)
        assert values.dtype == float and (np.isnan(values).all(axis=1) == missing).all()
        assert (values[~missing] == whole[name].values.reshape(70, -1)[~missing]).all()
    assert (some["word"].values.ravel()[missing] == "").all()
    assert (some["word"].values.ravel()[~missing] == whole["word"].values.ravel()[~missing]).all()


def test_a_sweep_can_be_opened_while_it_runs(tmp_path):
    counts = []

    def look(done, total):
        seen = sweeps.open_sweep(tmp_path / "s")
        counts.append((done, total, int(seen["done"].sum())))

    def first_look(points):
        counts or look(0, 70)
        return compute(points)

    sweeps.sweep(first_look, OVER, tmp_path / "s", block_size=20, progress=look)
    assert counts == [(0, 70, 0), (20, 70, 20), (40, 70, 40), (60, 70, 60), (70, 70, 70)]


def test_progress_may_be_a_bar_which_only_a_terminal_shows(tmp_path, capsys):
    run(tmp_path / "s", tmp_path / "log", progress=True)
    assert capsys.readouterr() == ("", "")


# Interruptions.


@pytest.mark.slow
def test_a_sweep_killed_at_ten_random_moments_ends_as_if_never_stopped(tmp_path, whole):
    kills = told("random", tmp_path / "s", tmp_path / "log")
    assert len(kills) == 10 and sum(killed for killed, _, _ in kills) >= 5
    assert len({len(done) for _, done, _ in kills}) > 3, "the kills must fall into different blocks"
    resumed = run(tmp_path / "s", tmp_path / "log", block_size=SMALL)
    same_bits(resumed, whole)
    asked = computed(tmp_path / "log", SMALL)
    for _, done, before in kills:
        assert not set(done) & set(asked[len(before) :]), "a finished block is never computed again"
    assert set(asked) == set(range(24))
    assert len(asked) <= 24 + len(kills)
    assert not list((tmp_path / "s").glob(".*"))


@pytest.mark.slow
def test_a_kill_before_any_step_on_the_disk_leaves_whole_blocks(tmp_path):
    over = {name: list(values) for name, values in OVER.items()}
    expected = sweeps.sweep(compute, over, tmp_path / "expected", block_size=35)
    kills = told("steps", tmp_path, tmp_path / "log")
    assert len(kills) > 10 and [killed for killed, _, _ in kills] == [True] * (len(kills) - 1) + [False]
    assert {tuple(done) for _, _, done in kills} == {(), (0,), (0, 1)}
    for _, step, done in kills[:-1]:
        again = tmp_path / f"again{step}"
        resumed = sweeps.sweep(small_sweep.logged(again), OVER, tmp_path / str(step), block_size=35)
        asked = len(again.read_text().splitlines()) if again.exists() else 0
        assert asked == 2 - len(done)
        same_bits(resumed, expected)
        names = {"sweep.json", "block-000000.nc", "block-000001.nc"}
        assert {path.name for path in (tmp_path / str(step)).iterdir()} == names


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_stopped_by_a_signal_goes_on(number, tmp_path, whole):
    process = start("run", tmp_path / "s", tmp_path / "log")
    assert process.stdout is not None and f"{2 * SHARD_SIZE}\n" in process.stdout
    process.send_signal(number)
    process.communicate(timeout=100)
    assert process.returncode == -number
    done, asked = on_disk(tmp_path / "s"), computed(tmp_path / "log")
    assert 2 <= len(done) < NUM_SHARDS
    same_bits(run(tmp_path / "s", tmp_path / "log"), whole)
    assert computed(tmp_path / "log")[len(asked) :] == list(range(len(done), NUM_SHARDS))


def test_the_bits_of_a_compiled_program_do_not_depend_on_interruptions(tmp_path):
    @jax.jit
    @jax.vmap
    def program(a, b):
        return jax.lax.fori_loop(0, 30, lambda n, x: jnp.sin(a * x) + b / (1 + x**2), a)

    def stop(points):
        if (points["a"][0], points["b"][0]) == (first["a"][0], first["b"][0]):
            raise KeyboardInterrupt
        return {"x": program(points["a"], points["b"])}

    over = {"a": np.linspace(0, 3, 11), "b": np.linspace(-1, 1, 9)}
    expected = sweeps.sweep(lambda points: {"x": program(**points)}, over, tmp_path / "whole", block_size=16)
    for n in (0, 3, 6):
        flat = np.unravel_index(16 * n, (11, 9))
        first = {"a": over["a"][[flat[0]]], "b": over["b"][[flat[1]]]}
        with pytest.raises(KeyboardInterrupt):
            sweeps.sweep(stop, over, tmp_path / "parts", block_size=16)
        assert on_disk(tmp_path / "parts") == list(range(n))
    resumed = sweeps.sweep(lambda points: {"x": program(**points)}, over, tmp_path / "parts", block_size=16)
    same_bits(resumed, expected)


def test_ctrl_c_inside_a_run_that_would_end_early_leaves_no_block_of_it(tmp_path):
    # By itself, `iterate` takes the first Ctrl-C as a wish for what there is so far.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)

    def training(points):
        orbit = iterate(
            Simultaneous(0.1), lambda t, y, args: -y, jnp.asarray(points["y"]), 1000,
            progress=lambda n, total: signal.raise_signal(signal.SIGINT),
        )  # fmt: skip
        return {"y": orbit.final_state}

    try:
        with pytest.raises(KeyboardInterrupt):
            sweeps.sweep(training, {"y": [1.0]}, tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)
    assert not on_disk(tmp_path)


def test_what_a_kill_left_is_removed_and_what_is_foreign_is_left_alone(copy, tmp_path, whole):
    # The first two as earlier versions left them.
    for name in (
        ".block-000000.nc.part",
        ".sweep.json.part",
        ".block-000001.nc.0123456789abcdef.part",
        ".block-000001.failure.json.0123456789abcdef.part",
    ):
        (copy / name).write_bytes(b"half")
    foreign = ["notes.txt", ".block-of-mine.part", "block-000000.nc.bak", "block-7.nc", ".other"]
    for name in foreign:
        (copy / name).write_text("mine")
    same_bits(run(copy, tmp_path / "log"), whole)
    assert computed(tmp_path / "log") == [0, 4, NUM_SHARDS - 1]
    names = {path.name for path in copy.iterdir()}
    assert names == {*foreign, "sweep.json", *(f"block-{block:06d}.nc" for block in range(NUM_SHARDS))}
    assert all((copy / name).read_text() == "mine" for name in foreign)


def test_a_full_disk_keeps_the_blocks_before(tmp_path, monkeypatch, whole):
    sync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 8:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            run(tmp_path / "s", tmp_path / "log")
    assert on_disk(tmp_path / "s") and not list((tmp_path / "s").glob(".*"))
    same_bits(run(tmp_path / "s", tmp_path / "log"), whole)


def test_two_processes_in_one_folder_are_refused(tmp_path):
    pytest.importorskip("fcntl")
    process = start("run", tmp_path / "s", tmp_path / "log")
    assert process.stdout is not None and process.stdout.readline() == "10\n"
    with pytest.raises(ValueError, match=r"`folder` must not be in use, but another process sweeps into .*s: wait"):
        run(tmp_path / "s", tmp_path / "mine")
    assert not computed(tmp_path / "mine")
    process.kill()
    process.communicate(timeout=100)
    run(tmp_path / "s", tmp_path / "mine")


def test_a_block_that_fails_is_noted_and_tried_again(tmp_path, whole):
    def fails(points):
        if points["eta"][0] == 0.5:
            raise RuntimeError("no convergence")
        return compute(points)

    with pytest.raises(RuntimeError, match="no convergence"):
        sweeps.sweep(fails, OVER, tmp_path, block_size=SHARD_SIZE)
    assert on_disk(tmp_path) == [0, 1, 2]
    found = sweeps.sweep(fails, OVER, tmp_path, block_size=SHARD_SIZE, keep_going=True)
    # The blocks that begin at eta = 0.5, points 28 to 41: from 30 to 49.
    failed = np.isin(np.arange(70), np.arange(30, 50))
    assert (found["failure"].values.ravel() == np.where(failed, "RuntimeError: no convergence", "")).all()
    assert (found["done"].values.ravel() == ~failed).all()
    same_bits(sweeps.sweep(compute, OVER, tmp_path, block_size=SHARD_SIZE), whole)
    assert not list(tmp_path.glob("*failure*"))


# Other configurations, and damage.

OTHERS = {
    "another value": ({"over": OVER | {"eta": [0.0, 0.1, 0.5, 2.0, 9.0]}}, r"`over\['eta'\]` .*8\.0\] there.*9\.0\]"),
    "another axis": ({"over": OVER | {"more": [1, 2]}}, r"`over\['more'\]` \(nothing there, \[1, 2\] here\)"),
    "an axis less": ({"over": {"eta": OVER["eta"]}}, r"`over\['seed'\]` \(\[0, .*\] there, nothing here\)"),
    "another order": ({"over": dict(reversed(OVER.items()))}, r"`order of over` \(\['eta', .* here\)"),
    "another dtype": ({"over": OVER | {"seed": np.arange(7.0)}}, r".*`dtype\['seed'\]` \(<i8 there, <f8 here\)"),
    "another size": ({"block_size": 4}, r"`block_size` \(10 there, 4 here\)"),
    "another setting": ({"config": {"model": {"depth": 3}}}, r"`config\['model'\]` \(nothing there"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_sweep_is_refused_and_the_folder_stays(name, folder):
    options, difference = OTHERS[name]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    arguments = {"over": OVER, "block_size": SHARD_SIZE, "config": None} | options
    over = arguments.pop("over")
    with pytest.raises(
        ValueError, match=f"`folder` must be of the same sweep, .* differs in {difference}.* Give another"
    ):
        sweeps.sweep(pytest.fail, over, folder, **arguments)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nested_settings_are_compared_as_json_has_them(tmp_path):
    def again(depth, notes):
        config = {"model": {"widths": (2, 3), "depth": depth}}
        return sweeps.sweep(lambda points: {"x": points["a"]}, {"a": [1]}, tmp_path, config=config, notes=notes)

    again(3, "one")
    again(3, "other")
    assert json.loads((tmp_path / "sweep.json").read_bytes())["notes"] == "one"
    with pytest.raises(ValueError, match=r"differs in `config\['model'\]\['depth'\]` \(3 there, 4 here\)\. Give"):
        again(4, "one")


def test_another_precision_is_refused(folder):
    with (
        jax.enable_x64(False),
        pytest.raises(ValueError, match=r"differs in `x64` \(True there, False here\)\."),
    ):
        run(folder, folder.parent / "log")


def test_another_version_of_the_package_is_refused_and_that_of_another_is_not(copy, tmp_path, monkeypatch, whole):
    there = _folder.versions()
    monkeypatch.setattr(_folder, "versions", lambda: there | {"gan_ode": "9.9"})
    with pytest.raises(ValueError, match=r"differs in `gan_ode` \(.* there, 9\.9 here\)\."):
        run(copy, tmp_path / "log")
    monkeypatch.setattr(_folder, "versions", lambda: there | {"jax": "9.9"})
    same_bits(run(copy, tmp_path / "log"), whole)


@pytest.mark.parametrize("damage", ["bit", "half", "nothing", "words"])
def test_a_damaged_block_is_named_and_can_be_computed_anew(damage, copy, tmp_path, whole):
    path = copy / "block-000002.nc"
    content = path.read_bytes()
    value = np.float64(0.1 + 1e-3 * 3)  # of a point in this block, as it stands in the file
    at = content.index(value.tobytes())
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    path.write_bytes({"bit": flipped, "half": content[: len(content) // 2], "nothing": b"", "words": b"abc"}[damage])
    for use in (sweeps.open_sweep, lambda folder: run(folder, tmp_path / "log")):
        with pytest.raises(ValueError, match=r"but .*block-000002\.nc is damaged\. Remove it and sweep again"):
            use(copy)
    assert not computed(tmp_path / "log")
    path.unlink()
    same_bits(run(copy, tmp_path / "log"), whole)
    assert computed(tmp_path / "log") == [0, 2, 4, NUM_SHARDS - 1]


def test_every_checksum_stands_alone(folder, tmp_path):
    """A block whose numbers were changed by a program that sets HDF5's checksum anew is damaged all the same."""
    import h5py

    content = (folder / "block-000003.nc").read_bytes()
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with h5py.File(tmp_path / "block-000003.nc", "r+") as file:
        assert file["value"].fletcher32
        file["value"][0] = 5.0
    with pytest.raises(ValueError, match=r"block-000003\.nc is damaged"):
        sweeps.open_sweep(tmp_path)
    (tmp_path / "block-000003.nc").write_bytes(content)
    assert sweeps.open_sweep(tmp_path)["done"].all()


UNITS = {"units": "days", "scale": 2.5, "range": [0, 9], "names": ["one", "other"], "none": ""}


def with_units(folder):
    def compute(points):
        attributes = UNITS | {"shape": np.arange(3), "wide": np.float32(0.1)}
        return {"x": xarray.DataArray(points["a"] + 0.5, dims="point", attrs=attributes)}

    return sweeps.sweep(compute, {"a": [1, 2, 3]}, folder, block_size=2, notes="by hand")


def test_attributes_of_every_kind_are_read_as_written(tmp_path):
    with_units(tmp_path)
    found = sweeps.open_sweep(tmp_path)["x"].attrs
    assert {name: np.asarray(found[name]).tolist() for name in UNITS} == UNITS
    assert np.array_equal(found["shape"], [0, 1, 2]) and found["wide"] == np.float32(0.1)


@pytest.mark.parametrize("of", ["units", "block", "versions"])
def test_an_attribute_that_is_another_is_damage(of, tmp_path):
    with_units(tmp_path)
    path = tmp_path / "block-000001.nc"
    content = path.read_bytes()
    old, new = {"units": (b"days", b"dayr"), "block": (None, None), "versions": (b'"jax": "', b'"jbx": "')}[of]
    if of == "block":
        import h5py

        with h5py.File(path, "r+") as file:
            file.attrs["block"] = 0
        path.rename(tmp_path / "block-000000.nc")
    else:
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=r"block-00000\d\.nc is damaged"):
        sweeps.open_sweep(tmp_path)


def test_no_bit_of_what_a_sweep_is_of_can_be_another(tmp_path):
    with_units(tmp_path)
    path = tmp_path / "sweep.json"
    content = path.read_bytes()
    assert b'"by hand"' in content
    for bit in range(8 * len(content.rstrip())):
        path.write_bytes(content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :])
        with pytest.raises(ValueError, match=r"sweep\.json is damaged|comes from another one"):
            sweeps.open_sweep(tmp_path)


def test_a_sweep_from_before_whose_checksum_is_of_its_numbers_alone_is_read(tmp_path):
    with_units(tmp_path)
    import h5py

    for path in tmp_path.glob("*.nc"):
        dataset = xarray.load_dataset(path, engine="h5netcdf")
        with h5py.File(path, "r+") as file:
            del file.attrs["checksum"]
            file.attrs["sha256"] = _blocks._checksum(dataset, attributes=False)
    described = json.loads((tmp_path / "sweep.json").read_bytes())
    del described["checksum"]
    (tmp_path / "sweep.json").write_text(json.dumps(described))
    assert sweeps.open_sweep(tmp_path)["x"].values.tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("how", ["another place", "another sweep"])
def test_a_block_from_elsewhere_is_refused(how, copy, tmp_path):
    if how == "another place":
        stranger = copy / "block-000003.nc"
    else:
        sweeps.sweep(compute, OVER, tmp_path / "other", block_size=SHARD_SIZE, config="other")
        stranger = tmp_path / "other" / "block-000004.nc"
    (copy / "block-000004.nc").write_bytes(stranger.read_bytes())
    with pytest.raises(ValueError, match=r"block-000004\.nc comes from another one"):
        sweeps.open_sweep(copy)


def test_a_folder_that_does_not_say_what_it_is_of_is_refused(copy, tmp_path):
    with pytest.raises(ValueError, match=r"`folder` must hold a sweep, but there is no .*sweep\.json"):
        sweeps.open_sweep(tmp_path)
    for content in (b"", b"{", b"[]", b"{}", b'{"over": 3}'):
        (copy / "sweep.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"sweep\.json is damaged"):
            sweeps.open_sweep(copy)
    (copy / "sweep.json").unlink()
    with pytest.raises(ValueError, match=r"must say of what its blocks are, but .*sweep\.json is missing"):
        run(copy, tmp_path / "log")


# What is refused.


@pytest.mark.parametrize(
    ("over", "complaint"),
    [
        ({}, "must map at least one name"),
        ([1, 2], "must map at least one name"),
        ({"a": []}, r"`over\['a'\]` must be of at least one value, but is empty"),
        ({"a": 3}, r"must be one axis, but has shape \(\)"),
        ({"a": [[1, 2]]}, r"must be one axis, but has shape \(1, 2\)"),
        ({"a": [1.0, 2.0, 1.0]}, r"values that differ, but holds 1\.0 2 times"),
        ({"a": [0.0, -0.0]}, "values that differ"),
        ({"a": ["x", "x"]}, "values that differ, but holds x 2 times"),
        ({"a": [1.0, np.nan]}, "finite, but holds nan"),
        ({"a": [np.inf]}, "finite, but holds inf"),
        ({"a": [1, "x"]}, "all numbers or all strings, but holds 1 beside strings"),
        ({"a": ["x\0", "y"]}, "without null characters"),
        ({"a": [1j]}, "numbers or strings, but holds complex128"),
        ({"a": [None]}, "numbers or strings, but holds object"),
        ({"a": "xyz"}, r"must be a sequence, but is 'xyz'"),
        ({"done": [1]}, "names one 'done'"),
        ({"a/b": [1]}, "names one 'a/b'"),
        ({3: [1]}, "names one 3"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_before_anything_is_written(over, complaint, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=complaint):
        sweeps.sweep(pytest.fail, over, tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("size", [0, -1, True, 2.0])
def test_the_size_of_a_block_must_be_a_count(size, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`block_size` must be"):
        sweeps.sweep(pytest.fail, {"a": [1]}, tmp_path, block_size=size)


@pytest.mark.parametrize("config", [{"x": np.nan}, {"x": object()}])
def test_what_json_does_not_know_is_refused_as_configuration(config, tmp_path):
    with pytest.raises(ValueError, match="`config` must be made of"):
        sweeps.sweep(pytest.fail, {"a": [1]}, tmp_path, config=config)


@pytest.mark.parametrize(
    ("results", "complaint"),
    [
        (np.zeros(2), "must return a mapping .* returned a ndarray"),
        ({}, "at least one quantity"),
        ({"x": 1.0}, r"`x` with a leading axis of the 2 points of a block, but its shape is \(\)"),
        ({"x": np.zeros((3, 2))}, r"leading axis of the 2 points of a block, but its shape is \(3, 2\)"),
        ({"x": (("time", "space"), np.zeros((2, 2)))}, "leading axis of the 2 points"),
        ({"a": np.zeros(2)}, "must not name a quantity or a dimension `a`"),
        ({"done": np.zeros(2)}, "must not name a quantity or a dimension `done`"),
        ({"x": (("point", "a"), np.zeros((2, 2)))}, "must not name a quantity or a dimension `a`"),
        ({"x/y": np.zeros(2)}, "strings without a slash"),
        ({"x": np.zeros(2, complex)}, "`x` is of complex128: return its real and its imaginary part"),
        ({"x": np.array([None, 1])}, "`x` is of object"),
        ({"x": np.zeros(2, np.float16)}, "`x` is of float16: convert it"),
    ],
)
def test_results_that_cannot_be_kept_are_refused(results, complaint, tmp_path):
    with pytest.raises(ValueError, match=complaint):
        sweeps.sweep(lambda points: results, {"a": [1, 2]}, tmp_path)
    assert not on_disk(tmp_path)


@pytest.mark.parametrize(
    ("later", "complaint"),
    [
        ({"x": np.zeros(1, int)}, "`x` is int64 here and float64 in the points before"),
        ({"x": np.zeros(1), "y": np.zeros(1)}, "`y` is float64 here and missing in the points before"),
        ({"y": np.zeros(1)}, "`x` is missing here"),
        ({"x": np.zeros((1, 2))}, r"`x` is float64 over {'x_dim_0': 2} here and float64 in"),
    ],
)
def test_blocks_of_another_form_are_refused(later, complaint, tmp_path):
    def changing(points):
        return {"x": np.zeros(1)} if points["a"][0] == 1 else later

    with pytest.raises(ValueError, match=complaint):
        sweeps.sweep(changing, {"a": [1, 2]}, tmp_path, block_size=1)
    # And by a run that goes on.
    with pytest.raises(ValueError, match=complaint):
        sweeps.sweep(changing, {"a": [1, 2]}, tmp_path, block_size=1)


def test_blocks_on_other_times_are_refused(tmp_path):
    def changing(points):
        times = np.linspace(0, points["a"][0], 3)
        return {"x": xarray.DataArray(np.zeros((1, 3)), dims=("point", "time"), coords={"time": times})}

    with pytest.raises(ValueError, match="on the same `time`, but it has other values here"):
        sweeps.sweep(changing, {"a": [1, 2]}, tmp_path, block_size=1)


def test_without_xarray_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    for use in (lambda: sweeps.open_sweep(tmp_path), lambda: run(tmp_path, tmp_path / "log")):
        with pytest.raises(ImportError, match=r"xarray is not installed: `pip install xarray"):
            use()


def test_the_package_does_not_import_xarray():
    code = "import sys, gan_ode.simulate; sys.exit('xarray' in sys.modules or 'tqdm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_that_is_held_is_free_again_after_an_error(tmp_path):
    pytest.importorskip("fcntl")
    with pytest.raises(RuntimeError), _files.held(tmp_path, "busy"):
        raise RuntimeError
    with _files.held(tmp_path, "busy"), pytest.raises(ValueError, match="busy"), _files.held(tmp_path, "busy"):
        pass
