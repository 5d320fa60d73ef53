"""Processes on one folder without a coordinator: the same bits, no block twice, and what a dead one had goes on."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gan_ode import sweeps
from gan_ode.sweeps._claims import Claims
from tests import sweeping
from tests.sweeping import compute, OVER

from .test_workers import asked, same_bits

SIZE = 4  # for 6 blocks
ROOT = Path(__file__).parents[2]
# Two of four such processes kill themselves, each at a block.
PROGRAM = f"""
import sys
from pathlib import Path
import jax
jax.config.update("jax_enable_x64", True)
from gan_ode import sweeps
from tests import sweeping

log = Path(sys.argv[1])
done = sweeps.take_part(sweeping.dying_once(log), sweeping.OVER, log / "s", block_size={SIZE}, expire=1.0)
print(done)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sweeps.sweep(compute, OVER, tmp_path_factory.mktemp("whole"), block_size=SIZE)


def take_part(folder, **options):
    return sweeps.take_part(sweeping.noting(folder), OVER, folder / "s", block_size=SIZE, **options)


def test_four_processes_of_which_two_are_killed_compute_each_block_once(tmp_path, whole):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    told = [part.communicate()[0] for part in parts]
    assert sorted(part.returncode for part in parts) == [-9, -9, 0, 0]
    same_bits(sweeps.open_sweep(tmp_path / "s"), whole)
    # What the killed ones had finished before counts, too; the two blocks that they died of are asked for once, later.
    assert asked(tmp_path) == [0, 2, 4, 6, 8, 10] and 2 <= sum(map(int, filter(None, told))) <= 6
    assert not list((tmp_path / "s").glob("*.claim"))


def test_threads_share_the_work_and_say_how_much_each_has_done(tmp_path, whole):
    done, threads = [], []
    for _ in range(3):
        threads.append(threading.Thread(target=lambda: done.append(take_part(tmp_path))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert sum(done) == 6 and asked(tmp_path) == [0, 2, 4, 6, 8, 10]
    same_bits(sweeps.open_sweep(tmp_path / "s"), whole)
    assert take_part(tmp_path) == 0


def test_what_a_living_process_has_is_left_to_it(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    with Claims(folder, 600.0).of("block-000003") as mine:
        assert mine
        assert take_part(tmp_path, wait=False) == 5
    assert 6 not in asked(tmp_path)
    assert take_part(tmp_path) == 1


def test_the_claims_of_several_others_are_watched_at_once(tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    for block in range(6):
        (tmp_path / "s" / f"block-{block:06d}.claim").write_text("of another process")
    watched = []
    monkeypatch.setattr(Claims, "_has_expired", lambda claims, path: watched.append(path.name))
    assert take_part(tmp_path, wait=False) == 0
    assert len(set(watched)) == 6


def test_a_claim_belongs_to_one_and_expires_when_it_is_not_renewed(tmp_path):
    one, other = Claims(tmp_path, 0.2), Claims(tmp_path, 0.2)
    with one.of("a") as mine:
        assert mine
        for _ in range(4):
            with other.of("a") as its:
                assert not its, "it is renewed"
            time.sleep(0.1)
    with other.of("a") as its:
        assert its, "it was given back"
    (tmp_path / "a.claim").write_text("of a process that was killed")
    with other.of("a") as its:
        assert not its, "it may live"
    time.sleep(0.3)
    with other.of("a") as its, one.of("a") as mine:
        assert its and not mine
    assert not list(tmp_path.iterdir())


def test_a_claim_that_is_new_since_it_was_seen_is_put_back(tmp_path):
    path, claims = tmp_path / "a.claim", Claims(tmp_path, 0.0)
    path.write_text("dead")
    assert not claims._has_expired(path)
    time.sleep(0.02)
    assert claims._has_expired(path)
    # Between the look and the move somebody else takes it over.
    path.unlink()
    time.sleep(0.02)
    path.write_text("alive")
    assert not claims._take_away(path)
    assert path.read_text() == "alive" and [entry.name for entry in tmp_path.iterdir()] == ["a.claim"]


def test_who_has_lost_a_claim_leaves_the_new_one(tmp_path):
    claims, path = Claims(tmp_path, 600.0), tmp_path / "a.claim"
    with claims.of("a") as mine:
        assert mine
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


def test_a_sweep_has_its_folder_alone_and_removes_what_the_dead_left(tmp_path, whole):
    refused = []

    def meddling(points):
        try:
            take_part(tmp_path)
        except ValueError as error:
            refused.append(str(error))
        return compute(points)

    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "block-000000.claim").write_text("of a process that was killed")
    same_bits(sweeps.sweep(meddling, OVER, tmp_path / "s", block_size=SIZE), whole)
    assert len(refused) == 6 and all("`sweep` has" in text for text in refused)
    assert not list((tmp_path / "s").glob("*.claim"))

    def sweeping_too(points):
        with pytest.raises(ValueError, match="another process sweeps into"):
            sweeps.sweep(compute, OVER, tmp_path / "t", block_size=SIZE)
        return compute(points)

    assert sweeps.take_part(sweeping_too, OVER, tmp_path / "t", block_size=SIZE) == 6


def test_what_fails_is_noted_once_and_tried_again_by_the_next_call(tmp_path, whole):
    with pytest.raises(sweeping.Odd):
        sweeps.take_part(sweeping.failing, OVER, tmp_path, block_size=SIZE)
    done = sweeps.take_part(sweeping.failing, OVER, tmp_path, block_size=SIZE, keep_going=True)
    found = sweeps.open_sweep(tmp_path)
    assert found["done"].sum() == 20 and done <= 5 and "Odd: 1 and 2" in found["failure"].values
    assert sweeps.take_part(compute, OVER, tmp_path, block_size=SIZE) == 1
    same_bits(sweeps.open_sweep(tmp_path), whole)


@pytest.mark.parametrize("expire", [0.0, -1.0, float("inf")])
def test_a_time_that_is_none_is_refused(tmp_path, expire):
    with pytest.raises(ValueError, match=r"`expire` must be above 0 and finite.*ten minutes"):
        take_part(tmp_path, expire=expire)
