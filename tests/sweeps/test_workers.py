"""Sweeps by the workers of an executor: the same bits, no block twice, and a death costs one block."""

import concurrent.futures
import contextlib
import pickle
import sys
import threading
from types import SimpleNamespace

import distributed
import jaxtyping
import numpy as np
import pytest

from gan_ode import sweeps
from gan_ode.sweeps import _blocks
from tests import sweeping
from tests.sweeping import compute, OVER

Threads = concurrent.futures.ThreadPoolExecutor
SIZE = 4  # for 6 blocks


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sweeps.sweep(compute, OVER, tmp_path_factory.mktemp("whole"), block_size=SIZE)


def same_bits(left, right):
    assert left.variables.keys() == right.variables.keys()
    for name in left.variables:
        assert left[name].dtype == right[name].dtype and left[name].values.tobytes() == right[name].values.tobytes(), (
            name
        )


def asked(folder):
    return sorted(map(int, (folder / "log").read_text().split()))


class Dying(concurrent.futures.Executor):
    """A pool, the n-th of its kind, whose worker dies at some blocks: with it all that is at work."""

    def __init__(self, dies, log):
        self.dies, self.log, self.broken, self.work = dies, log, False, []
        log.append(self)

    def submit(self, function, *arguments):
        if self.broken:
            raise concurrent.futures.BrokenExecutor("has died before")
        future = concurrent.futures.Future()
        self.work.append((future, function, arguments))
        if len(self.work) == 1:
            threading.Timer(0.02, self.run).start()
        return future

    def run(self):
        work, self.work = self.work, []
        for future, function, arguments in work:
            if self.broken or self.dies(arguments[2], len(self.log)):
                self.broken = True
                future.set_exception(concurrent.futures.BrokenExecutor("has died"))
                continue
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass


def test_threads_give_the_bits_of_a_plain_sweep_and_tell_how_far_they_are(tmp_path, whole):
    told = []
    with Threads(3) as pool:
        found = sweeps.sweep(
            compute, OVER, tmp_path, block_size=SIZE, executor=pool, progress=lambda done, total: told.append(done)
        )
        assert pool.submit(int).result() == 0, "it is the user's to shut down"
    same_bits(found, whole)
    assert told == [4, 8, 12, 16, 20, 24]


@pytest.mark.parametrize("executor", [None, lambda: Threads(1)])
def test_blocks_that_take_longest_come_first(executor, tmp_path, whole):
    found = sweeps.sweep(
        sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=executor,
        cost=lambda points: -abs(points["a"][0] - 7),
    )  # fmt: skip
    same_bits(found, whole)
    assert (tmp_path / "log").read_text().split() == ["6", "8", "4", "10", "2", "0"]
    with pytest.raises(ValueError, match="`cost` must return one finite number for the points of a block"):
        sweeps.sweep(compute, OVER, tmp_path / "t", block_size=SIZE, cost=lambda points: points["a"])
    for nothing in (None, "long", np.nan):
        with pytest.raises(ValueError, match="`cost` must return one finite number"):
            sweeps.sweep(compute, OVER, tmp_path / "t", block_size=SIZE, cost=lambda points, it=nothing: it)


def test_no_finished_block_is_computed_again(tmp_path, whole):
    sweeps.sweep(sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=lambda: Threads(2))
    for block in (1, 4):
        (tmp_path / "s" / f"block-{block:06d}.nc").unlink()
    found = sweeps.sweep(sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=lambda: Threads(2))
    same_bits(found, whole)
    assert asked(tmp_path) == [0, 2, 2, 4, 6, 8, 8, 10]


def test_a_worker_that_dies_costs_its_block_alone_which_another_one_computes(tmp_path, whole):
    pools = []

    def make():
        # The first pool dies at block 3, the second at block 1, and no other.
        return Dying(lambda block, number: (block, number) in {(3, 1), (1, 2)}, pools)

    found = sweeps.sweep(sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=make)
    same_bits(found, whole)
    assert asked(tmp_path) == [0, 2, 4, 6, 8, 10] and len(pools) >= 2


def test_a_block_at_which_workers_die_fails_and_spoils_no_other(tmp_path, whole):
    pools = []

    def make():
        return Dying(lambda block, number: block == 3, pools)

    found = sweeps.sweep(
        sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=make, keep_going=True
    )
    assert set(found["failure"].values.ravel()) == {"", "RuntimeError: 2 workers died while they computed it"}
    done = found["done"].values.ravel()
    assert done.sum() == 20 and not done[12:16].any() and asked(tmp_path) == [0, 2, 4, 8, 10]
    same_bits(sweeps.sweep(compute, OVER, tmp_path / "s", block_size=SIZE), whole)
    with pytest.raises(RuntimeError, match="2 workers died"):
        sweeps.sweep(compute, OVER, tmp_path / "t", block_size=SIZE, executor=make)


def test_an_executor_that_has_died_is_said_with_the_remedy_and_the_same_call_goes_on(tmp_path, whole):
    with pytest.raises(ValueError, match=r"`executor` must have workers, but one has died .* `sweeps.Processes\(4\)`"):
        sweeps.sweep(
            sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE,
            executor=Dying(lambda block, number: block == 3, []),
        )  # fmt: skip
    found = sweeps.sweep(sweeping.noting(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=lambda: Threads(1))
    same_bits(found, whole)
    assert asked(tmp_path) == [0, 2, 4, 6, 8, 10]


def test_what_fails_is_noted_or_raised(tmp_path, whole):
    found = sweeps.sweep(
        sweeping.failing, OVER, tmp_path, block_size=SIZE, executor=lambda: Threads(2), keep_going=True
    )
    # By name or in the words of another error: Dask teaches `pickle` to send all of them.
    (told,) = set(found["failure"].values.ravel()) - {""}
    assert told.endswith("Odd: 1 and 2")
    with pytest.raises((RuntimeError, sweeping.Odd), match="1 and 2"):
        sweeps.sweep(sweeping.failing, OVER, tmp_path, block_size=SIZE, executor=lambda: Threads(2))
    same_bits(sweeps.sweep(compute, OVER, tmp_path, block_size=SIZE, executor=lambda: Threads(2)), whole)


def test_a_block_of_another_form_is_taken_away_again(tmp_path):
    def changing(points):
        return {"x": np.zeros(1)} if points["a"][0] < 2 else {"y": np.zeros(1)}

    with pytest.raises(ValueError, match=r"`x` is missing here|`y` is missing here"):
        sweeps.sweep(changing, {"a": range(4)}, tmp_path, block_size=1, executor=lambda: Threads(1))
    assert sweeps.open_sweep(tmp_path)["x"].dims == ("a",)


class Sends(Threads):
    """Pickles what it is given, as processes do."""

    def submit(self, function, *arguments):
        pickled = concurrent.futures.Future()
        try:
            return super().submit(*pickle.loads(pickle.dumps((function, *arguments))))
        except (pickle.PicklingError, AttributeError) as error:
            pickled.set_exception(error)
            return pickled


def test_a_function_that_cannot_be_sent_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="`compute` must be a function that the workers of `executor` can be sent"):
        sweeps.sweep(lambda points: {"x": points["a"]}, {"a": [1]}, tmp_path, executor=lambda: Sends(1))
    assert sweeps.sweep(compute, OVER, tmp_path / "s", executor=lambda: Sends(1))["done"].all()


def test_an_executor_is_one_or_makes_one(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    assert sweeps.sweep(compute, OVER, tmp_path / "s", executor=Threads)["done"].all()
    with pytest.raises(ValueError, match=r"`executor` must have a method `submit`, or be .* but is 4: for example"):
        sweeps.sweep(compute, OVER, tmp_path / "t", executor=4)


def test_xarray_is_kept_from_asking_dask_for_a_lock_by_the_name_of_a_file_without_one(monkeypatch):
    """With a Dask client at hand xarray raises "Semaphore or Lock not known" for what is read from memory."""
    seen = []

    @contextlib.contextmanager
    def set_(**options):
        seen.append(options)
        yield

    monkeypatch.setitem(sys.modules, "dask", SimpleNamespace(config=SimpleNamespace(set=set_)))
    with _blocks._alone():
        assert seen == [{"scheduler": "synchronous"}]


def test_the_number_of_processes_must_be_a_count():
    with pytest.raises(ValueError, match="`number` must be at least 1, but is 0"):
        sweeps.Processes(0)


@pytest.mark.slow
def test_processes_that_are_killed_leave_the_bits_of_a_plain_sweep(tmp_path, whole):
    found = sweeps.sweep(
        sweeping.dying_once(tmp_path), OVER, tmp_path / "s", block_size=SIZE, executor=sweeps.Processes(2)
    )
    same_bits(found, whole)
    # A pool of processes ends with one of them: at each death the other's block may have to be computed again.
    assert set(asked(tmp_path)) == {0, 2, 4, 6, 8, 10} and len(asked(tmp_path)) <= 6 + 2
    assert {path.name for path in tmp_path.glob("died-*")} == {"died-2", "died-6"}
    assert not list((tmp_path / "s").glob(".*"))


@pytest.mark.slow
def test_workers_of_dask_are_killed_ten_times_and_no_block_is_computed_twice(tmp_path):
    over = {"a": range(200), "b": [0.5, 2.0]}
    plain = sweeps.sweep(compute, over, tmp_path / "plain", block_size=2)
    dies = sweeping.dying_once(tmp_path, tuple(range(9, 200, 20)))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = sweeps.sweep(dies, over, tmp_path / "s", block_size=2, executor=client.get_executor(retries=20))
    assert len(list(tmp_path.glob("died-*"))) == 10
    same_bits(found, plain)
    assert asked(tmp_path) == list(range(200))
