"""Damaged files: each is refused in one line that names the file and the remedy, whatever the bytes say."""

import json

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from gan_ode import iterate, simulate, sweeps
from gan_ode.simulate import _checkpoint
from gan_ode.sweeps import _blocks
from gan_ode.updates import Simultaneous

# What a byte may become: nothing, all ones, a digit, and what JSON is made of.
BYTES = b'\0\xff0"}'
DEEP = 100_000
NO_OBJECTS = [b"", b"{", b"[]", b"3", b"null", b'"words"', b"\xff\xfe", b"[" * DEEP, b'{"a":' * DEEP, b"\0" * 64]


def decay(t, y, args):
    return -y


RUN = (Simultaneous(0.1), decay, jnp.ones(3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    iterate(*RUN, 20, checkpoint=simulate.Checkpoint(folder, every=20))
    return folder


@pytest.fixture
def copy(run, tmp_path):
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def stored(run):
    """Reads a checkpoint as `iterate` does, without the run."""
    config = json.loads((run / "config.json").read_bytes())
    assert _checkpoint.Files(run, 20, config).stored() is not None
    return lambda folder: _checkpoint.Files(folder, 20, config).stored()


def test_no_byte_of_a_checkpoint_can_be_another(run, copy, stored):
    content = (run / "checkpoint.eqx").read_bytes()
    header = content.index(b"\n") + 1
    sampled = np.random.default_rng(1).integers(header, len(content), 50)
    for place in [*range(header), *map(int, sampled)]:
        for other in {*BYTES} - {content[place]}:
            (copy / "checkpoint.eqx").write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
            with pytest.raises(ValueError, match=r"`checkpoint` must be whole, but .*checkpoint\.eqx is damaged"):
                stored(copy)


@pytest.mark.parametrize("content", NO_OBJECTS, ids=lambda content: repr(content[:8]))
def test_a_file_that_holds_anything_else_is_damaged(content, copy, stored):
    for name in ("checkpoint.eqx", "config.json"):
        before = (copy / name).read_bytes()
        (copy / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"`checkpoint` must be whole, but .*{name} is damaged"):
            stored(copy)
        (copy / name).write_bytes(before)
    # And by the doors.
    (copy / "checkpoint.eqx").write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.eqx is damaged"):
        simulate.load_checkpoint(copy, *RUN)
    with pytest.raises(ValueError, match=r"checkpoint\.eqx is damaged"):
        iterate(*RUN, 20, checkpoint=simulate.Checkpoint(copy, every=20))


@pytest.mark.parametrize("value", [None, 3, -1, 1e400, [], {}, "", True], ids=repr)
@pytest.mark.parametrize("name", ["format", "config", "step", "sha256"])
def test_a_header_of_other_kinds_is_damaged(name, value, copy, stored):
    head, body = (copy / "checkpoint.eqx").read_bytes().split(b"\n", 1)
    (copy / "checkpoint.eqx").write_bytes(json.dumps(json.loads(head) | {name: value}).encode() + b"\n" + body)
    with pytest.raises(ValueError, match=r"checkpoint\.eqx is damaged"):
        stored(copy)


# Sweeps.


def failing(points):
    if points["a"][0] == 2:
        raise RuntimeError("no such number")
    return {"x": 2.0 * points["a"]}


def swept(folder, compute=failing):
    return sweeps.sweep(compute, {"a": range(6)}, folder, block_size=2, keep_going=True)


@pytest.fixture
def folder(tmp_path):
    assert swept(tmp_path)["failure"].values.tolist()[2:4] == 2 * ["RuntimeError: no such number"]
    return tmp_path


@pytest.mark.parametrize(
    "content", [*NO_OBJECTS, b"{}", b'{"failure": 3}', b'{"failure": null}'], ids=lambda content: repr(content[:14])
)
def test_a_damaged_note_of_a_failure_costs_only_the_note(content, folder):
    (folder / "block-000001.failure.json").write_bytes(content)
    found = sweeps.open_sweep(folder)
    lost = "block-000001.failure.json is damaged; what it said is lost"
    assert found["failure"].values.tolist() == ["", "", lost, lost, "", ""]
    assert found["done"].values.tolist() == [True, True, False, False, True, True]
    again = swept(folder, lambda points: {"x": 2.0 * points["a"]})
    assert again["x"].values.tolist() == [0, 2, 4, 6, 8, 10] and "failure" not in again


@pytest.mark.parametrize("content", [*NO_OBJECTS, b"{}"], ids=lambda content: repr(content[:8]))
def test_a_description_that_is_something_else_is_damaged(content, folder):
    (folder / "sweep.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"sweep\.json is damaged"):
        sweeps.open_sweep(folder)
    with pytest.raises(ValueError, match=r"sweep\.json is damaged|differs in"):
        swept(folder)


AXIS = {"name": "a", "dtype": "<i8", "values": [0, 1, 2, 3, 4, 5]}


@pytest.mark.parametrize(
    "changed",
    [
        *({"block_size": size} for size in (-1, 0, "2", 2.0, None, [], True, 10**30)),
        *({"over": over} for over in ([], {}, None, 3, "a", [3], [{}], [AXIS, AXIS])),
        *({"over": [AXIS | {"values": values}]} for values in ([], None, [[1]], [1.5], [1, 1], ["a"], [10**30])),
        *({"over": [AXIS | {"dtype": dtype}]} for dtype in ("<i9", "O", "<c16", "<M8[s]", "x,", None, 3, "<U1")),
        *({"over": [AXIS | {"name": name}]} for name in ("", "a/b", 3, None, ["a"], "done")),
    ],
    ids=lambda changed: json.dumps(changed)[:60],
)
def test_a_description_without_a_checksum_is_read_with_care(changed, folder):
    """As in folders of earlier versions; nothing is then "not done yet" that only cannot be read."""
    described = json.loads((folder / "sweep.json").read_bytes())
    del described["checksum"]
    (folder / "sweep.json").write_text(json.dumps(described | changed))
    with pytest.raises(ValueError, match=r"sweep\.json is damaged"):
        sweeps.open_sweep(folder)


def test_no_byte_of_a_block_can_be_another(folder):
    """HDF5 by itself reads some of these for ever, and xarray then takes a file that it has still open for them."""
    path = folder / "block-000002.nc"
    content, expected = path.read_bytes(), sweeps.open_sweep(folder)
    seal = content.rindex(_blocks._SEAL)
    sampled = np.random.default_rng(2).choice(np.arange(seal), 300, replace=False)
    for place in [*map(int, sampled), *range(len(content) - 64, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"block-000002\.nc is damaged. Remove it and sweep again"):
            sweeps.open_sweep(folder)
    # The words of the seal say nothing of the numbers before it.
    path.write_bytes(content.replace(b"sha256 of the bytes", b"sha257 of the bytes"))
    assert sweeps.open_sweep(folder).identical(expected)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_block_that_is_cut_short_is_damaged(part, folder):
    path = folder / "block-000002.nc"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"block-000002\.nc is damaged"):
        sweeps.open_sweep(folder)


def test_a_block_is_netcdf_for_everybody_else(folder):
    assert xarray.load_dataset(folder / "block-000002.nc", engine="h5netcdf")["x"].values.tolist() == [8.0, 10.0]
    with h5py.File(folder / "block-000002.nc", "r") as file:
        assert file["x"][:].tolist() == [8.0, 10.0]
