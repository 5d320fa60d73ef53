"""Folders of runs: one run at a time, whole files or none, no links followed, on a disk that is full or read-only."""

import contextlib
import os
import resource
import signal
import tempfile
import threading
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments._machinery import _folder
from gan_ode import _files, iterate, simulate, sweeps
from gan_ode.updates import Simultaneous

NOBODY = 65534


def decay(t, y, args):
    return -y


def train(folder, num_steps=40, **options):
    checkpoint = simulate.Checkpoint(folder, every=10)
    return iterate(Simultaneous(0.1), decay, jnp.ones(3), num_steps, checkpoint=checkpoint, **options)


def swept(folder, **options):
    return sweeps.sweep(lambda points: {"x": 2 * points["a"]}, {"a": range(6)}, folder, block_size=2, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# Two at once.


def test_a_second_run_into_the_folder_of_a_checkpoint_is_refused_and_harms_nothing(tmp_path):
    pytest.importorskip("fcntl")
    refused = []

    def second(n, num_steps):
        if not refused:
            with pytest.raises(ValueError, match=r"`checkpoint` must be of one run at a time, but another one writes"):
                train(tmp_path)
            refused.append(n)

    first = train(tmp_path, progress=second)
    assert refused and np.allclose(first.final_state, 0.9**40, rtol=1e-12)
    # It is free again, for who goes on.
    assert np.allclose(train(tmp_path, 60).final_state, 0.9**60, rtol=1e-12)


def test_a_checkpoint_can_be_looked_at_while_its_run_goes_on(tmp_path):
    seen = []

    def look(n, num_steps):
        if n > 10:
            trained = simulate.load_checkpoint(tmp_path, Simultaneous(0.1), decay, jnp.ones(3))
            seen.append((n, trained.num_steps))
            assert np.allclose(trained.y, 0.9**trained.num_steps, rtol=1e-12)

    train(tmp_path, progress=look)
    # The word on a step comes before its checkpoint.
    assert seen and all(written in (n - 10, n) for n, written in seen if n % 10 == 0)


def test_two_threads_that_start_at_once_into_one_folder_are_one_run_and_one_refusal(tmp_path):
    pytest.importorskip("fcntl")
    results, together = [], threading.Barrier(2)

    def slow(points):
        time.sleep(0.2)
        return {"x": points["a"]}

    def one():
        together.wait()
        try:
            results.append(sweeps.sweep(slow, {"a": range(3)}, tmp_path / "s", block_size=1))
        except ValueError as error:
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused, done = sorted(results, key=lambda result: not isinstance(result, ValueError))
    assert "`folder` must not be in use" in str(refused)
    assert done["x"].values.tolist() == [0, 1, 2]


def test_writers_of_one_file_that_know_nothing_of_each_other_leave_one_whole(tmp_path):
    sizes = [1, 100_000, 1_000_000]
    whole = {bytes([size % 251]) * size for size in sizes}

    def write(size):
        for _ in range(10):
            _files.replace(tmp_path / "page.html", bytes([size % 251]) * size)

    threads = [threading.Thread(target=write, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "page.html").exists():
            assert (tmp_path / "page.html").read_bytes() in whole
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


# Links that somebody put there.


@pytest.mark.parametrize("kind", ["checkpoint", "sweep"])
def test_no_planted_link_is_written_through(kind, tmp_path):
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("mine")
    folder.mkdir()
    names = {
        "checkpoint": ["checkpoint.eqx", "config.json"],
        "sweep": ["sweep.json", "block-000000.nc", "block-000001.failure.json"],
    }[kind]
    for name in names:
        (folder / f".{name}.part").symlink_to(victim)
    if kind == "checkpoint":
        # In the place of a file itself, too, where a link is replaced.
        (folder / "config.json").symlink_to(victim)
        train(folder)
    else:
        swept(folder)
    assert victim.read_text() == "mine"
    assert not [path for path in folder.iterdir() if path.is_symlink() or path.name.startswith(".")]


@pytest.mark.parametrize("suffix", ["part", "commit"])
@pytest.mark.parametrize("there", [True, False], ids=["a folder", "nothing"])
def test_no_planted_link_takes_the_results_of_an_experiment_elsewhere(suffix, there, tmp_path):
    victim = tmp_path / "victim"
    if there:
        victim.mkdir()
        (victim / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".a.{suffix}").symlink_to(victim)
    _folder.save(tmp_path / "out", "a", {".json": b'{"files": []}'})
    assert contents(tmp_path / "out") == {"a.json": b'{"files": []}'}
    assert not there or contents(victim) == {"mine": b"mine"}


# A disk that does not take it.


@contextlib.contextmanager
def no_file_above(size):
    """The disk is full for what is larger, as the system sees it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def test_a_full_disk_keeps_the_checkpoint_before_and_the_run_goes_on_from_it(tmp_path):
    train(tmp_path)
    before = contents(tmp_path)
    with no_file_above(len(before["checkpoint.eqx"]) // 2), pytest.raises(OSError):
        train(tmp_path, 80)
    assert contents(tmp_path) == before
    seen = []
    assert np.allclose(train(tmp_path, 80, progress=lambda n, _: seen.append(n)).final_state, 0.9**80, rtol=1e-12)
    assert seen[0] > 40


def test_a_full_disk_keeps_the_blocks_before(tmp_path):
    def growing(points):
        return {"x": (("point", "time"), np.ones((1, 40_000)) * points["a"][:, None])}

    def run():
        return sweeps.sweep(growing, {"a": range(3)}, tmp_path, block_size=1)

    def stop_at_second(points):
        if points["a"][0] == 1:
            raise KeyboardInterrupt
        return growing(points)

    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep(stop_at_second, {"a": range(3)}, tmp_path, block_size=1)
    before = contents(tmp_path)
    with no_file_above(len(before["block-000000.nc"]) // 2), pytest.raises(OSError):
        run()
    assert contents(tmp_path) == before
    assert run()["x"].values[:, 0].tolist() == [0, 1, 2]


@contextlib.contextmanager
def as_nobody():
    """Root may write anywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_is_said_by_name_and_can_be_read():
    # Not below `tmp_path`, which others may not enter.
    with as_nobody():
        folder = Path(tempfile.mkdtemp())
        train(folder / "run")
        swept(folder / "sweep")
        before = contents(folder / "run"), contents(folder / "sweep")
        for place in (folder / "run", folder / "sweep", folder):
            place.chmod(0o555)
        try:
            with pytest.raises(PermissionError, match=str(folder / "run")):
                train(folder / "run", 80)
            with pytest.raises(PermissionError, match=str(folder / "new")):
                train(folder / "new")
            with pytest.raises(PermissionError, match=str(folder / "new")):
                swept(folder / "new")
            assert simulate.load_checkpoint(folder / "run", Simultaneous(0.1), decay, jnp.ones(3)).num_steps == 40
            # What is finished needs nothing written.
            for read in (sweeps.open_sweep, swept):
                assert read(folder / "sweep")["x"].values.tolist() == [0, 2, 4, 6, 8, 10]
            assert (contents(folder / "run"), contents(folder / "sweep")) == before
        finally:
            for place in (folder, folder / "run", folder / "sweep"):
                place.chmod(0o755)
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()


# A clock that is moved back.


def test_nothing_depends_on_what_the_clock_says(tmp_path, monkeypatch):
    """Files from the future, and a clock that runs backwards, change neither a resumed run nor its bits."""
    expected = train(tmp_path / "expected", 60)
    train(tmp_path / "run", 30)
    swept(tmp_path / "sweep")
    (tmp_path / "sweep" / "block-000001.nc").unlink()
    for path in (*(tmp_path / "run").iterdir(), *(tmp_path / "sweep").iterdir()):
        os.utime(path, (4e9, 4e9))
    moments = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(moments)))
    seen = []
    resumed = train(tmp_path / "run", 60, progress=lambda n, _: seen.append(n))
    assert seen[0] > 30 and np.array_equal(resumed.ys, expected.ys)
    assert swept(tmp_path / "sweep")["x"].values.tolist() == [0, 2, 4, 6, 8, 10]
