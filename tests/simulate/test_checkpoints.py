"""Runs in segments: progress, Ctrl-C, and checkpoints from which a run goes on to the same bits."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from gan_ode import iterate, RESULTS
from gan_ode.simulate import _checkpoint, _resumable, Checkpoint, OUTCOMES
from gan_ode.updates import AbstractUpdate, Optax, Simultaneous
from tests import small_training
from tests.small_training import NUM_STEPS, SAVE_EVERY, train

ROOT = Path(__file__).parents[2]


@functools.cache
def uninterrupted(num_steps=NUM_STEPS):
    return train(num_steps, progress=ignore)


def ignore(n, num_steps):
    pass


def same_bits(left, right):
    assert left.outcome == right.outcome
    for part in ("ts", "ys", "final_state", "final_time"):
        pairs = zip(*(jax.tree.leaves(getattr(orbit, part)) for orbit in (left, right)), strict=True)
        assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs), part


@pytest.fixture
def ctrl_c(monkeypatch):
    """Python's own handler, whatever the one who runs the tests has set."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, previous)


def stop_at(step, stop):
    """A progress function that stops the run."""

    def progress(n, num_steps):
        if n >= step:
            stop()

    return progress


class Killed(BaseException):
    pass


def kill():
    raise Killed


# Pieces.


def test_a_run_in_segments_is_the_scan():
    segments, scan = uninterrupted(), train()
    jax.tree.map(
        # Another compilation of the same step: measured 0, but nothing promises it.
        functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-10),
        (segments.ts, segments.ys, segments.final_state, segments.final_time),
        (scan.ts, scan.ys, scan.final_state, scan.final_time),
    )
    assert segments.outcome == OUTCOMES.ok and segments.result == RESULTS.successful
    assert segments.stats["num_steps"] == NUM_STEPS


@pytest.mark.parametrize("save_every", [1, 5])
def test_a_buffer_of_few_saves_is_emptied_in_time(save_every, monkeypatch):
    # A save is a flag and a float64: three of them.
    monkeypatch.setattr(_resumable, "_BUFFER_BYTES", 3 * 9)
    ends = []
    orbit = iterate(
        Simultaneous(0.01), lambda t, y, args: -y, jnp.ones(()), 500, save_every=save_every,
        progress=lambda n, num_steps: ends.append(n),
    )  # fmt: skip
    np.testing.assert_allclose(orbit.ys, 0.99 ** np.arange(0, 501, save_every), rtol=1e-13)
    assert np.diff(ends).max() == 3 * save_every


def test_where_the_segments_are_cut_does_not_show_in_the_bits(monkeypatch):
    monkeypatch.setattr(_resumable, "_SECONDS", 0.0)
    seen = []
    single = train(progress=lambda n, num_steps: seen.append((n, num_steps)))
    assert seen == [(n, NUM_STEPS) for n in range(1, NUM_STEPS + 1)]
    same_bits(single, uninterrupted())


def test_segments_grow_to_half_a_second():
    ends, times = [0], [time.perf_counter()]

    def progress(n, num_steps):
        ends.append(n)
        times.append(time.perf_counter())

    iterate(Simultaneous(1e-6), lambda t, y, args: -y, jnp.ones(()), 2_000_000, save_every=1000, progress=progress)
    assert ends[-1] == 2_000_000
    # One step at first, ten times as many at most each time: so 2,000,000 steps take at least 7 segments, and few more.
    assert np.diff(ends)[0] == 1 and np.all(np.diff(ends)[1:] <= 10 * np.diff(ends)[:-1])
    assert len(ends) < 40
    # On a loaded machine a segment may take some times as long.
    assert np.diff(times)[2:].max() < 10 * _resumable._SECONDS


def test_a_blow_up_ends_the_segments_early_with_the_same_orbit():
    def square(t, y, args):
        return y**2

    scan = iterate(Simultaneous(1.0), square, jnp.asarray(2.0), 10_000, save_every=5)
    segments = iterate(Simultaneous(1.0), square, jnp.asarray(2.0), 10_000, save_every=5, progress=ignore)
    assert scan.outcome == OUTCOMES.blow_up
    same_bits(segments, scan)
    assert segments.stats["num_steps"] < 10_000


def test_progress_may_be_a_bar(capsys):
    same_bits(train(progress=True), uninterrupted())
    # Nothing is drawn where there is no terminal.
    assert capsys.readouterr() == ("", "")


def test_without_tqdm_progress_must_be_a_function(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ValueError, match=r"`progress` must be a function .* where tqdm is not installed"):
        train(progress=True)


@pytest.mark.parametrize("transformation", [jax.jit, jax.vmap, lambda f: jax.vmap(lambda y: f(0.0 * y, seed=y))])
def test_segments_are_refused_under_transformations(transformation, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)

    def run(y, seed=0.0):
        return iterate(Simultaneous(0.1), lambda t, y, args: seed - y, y, 2, progress=ignore).ys

    with pytest.raises(ValueError, match=r"`progress` and `checkpoint` must not be given under `jax.jit`"):
        transformation(run)(jnp.ones(3))


# Ctrl-C.


def test_ctrl_c_gives_what_was_computed(ctrl_c, monkeypatch):
    monkeypatch.setattr(_resumable, "_SECONDS", 0.0)
    orbit, whole = train(progress=stop_at(20, ctrl_c)), uninterrupted()
    assert orbit.outcome == OUTCOMES.interrupted
    assert orbit.result != RESULTS.successful
    assert orbit.stats["num_steps"] == 20 and orbit.final_time == 20
    # Saves at 0, 6, 12, 18.
    assert orbit.reached.tolist() == [True] * 4 + [False] * 7
    for some, all_of_it in zip(jax.tree.leaves(orbit.trim().ys), jax.tree.leaves(whole.ys), strict=True):
        np.testing.assert_array_equal(some, all_of_it[:4])
    assert np.all(np.isposinf(orbit.ys[0][4:]))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_raises_at_once(ctrl_c):
    def twice(n, num_steps):
        ctrl_c()
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        train(progress=twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_handles_ctrl_c_keeps_it(ctrl_c):
    signal.signal(signal.SIGINT, lambda number, frame: kill())
    with pytest.raises(Killed):
        train(progress=stop_at(1, ctrl_c))


# Checkpoints.


@pytest.mark.parametrize("step", [1, 20, 24])
def test_an_interrupted_run_goes_on_to_the_same_bits(step, tmp_path, ctrl_c, monkeypatch):
    monkeypatch.setattr(_resumable, "_SECONDS", 0.0)
    checkpoint = Checkpoint(tmp_path / "run", every=10)
    stopped = train(checkpoint=checkpoint, progress=stop_at(step, ctrl_c))
    assert stopped.stats["num_steps"] == step
    seen = []
    resumed = train(checkpoint=checkpoint, progress=lambda n, num_steps: seen.append(n))
    assert seen[0] == step + 1
    same_bits(resumed, uninterrupted())


def test_a_finished_run_is_read_and_can_be_made_longer(tmp_path):
    checkpoint = Checkpoint(str(tmp_path), every=7)
    same_bits(train(checkpoint=checkpoint), uninterrupted())
    called = []
    same_bits(train(checkpoint=checkpoint, progress=lambda n, num_steps: called.append(n)), uninterrupted())
    assert not called
    same_bits(train(2 * NUM_STEPS, checkpoint=checkpoint), uninterrupted(2 * NUM_STEPS))
    with pytest.raises(ValueError, match=rf"`num_steps` must be at least the {2 * NUM_STEPS} .* but is {NUM_STEPS}"):
        train(checkpoint=checkpoint)


@pytest.mark.parametrize("save_every", [1, 5])
def test_a_field_that_is_not_finite_ends_the_segments_and_is_resumed_as_such(save_every, tmp_path):
    def run(**options):
        # Falls below 0 at the sixth step.
        return iterate(
            Simultaneous(0.3), lambda t, y, args: -jnp.sqrt(y), jnp.asarray(1.0), 100, save_every=save_every, **options
        )

    checkpoint = Checkpoint(tmp_path, every=2)
    scan, first, second = run(), run(checkpoint=checkpoint), run(checkpoint=checkpoint)
    assert first.outcome == OUTCOMES.nonfinite_field and first.stats["num_steps"] < 100
    same_bits(first, scan)
    same_bits(first, second)


def test_a_blow_up_is_resumed_as_one(tmp_path):
    def run():
        return iterate(Simultaneous(1.0), lambda t, y, args: y**2, jnp.asarray(2.0), 100, checkpoint=checkpoint)

    checkpoint = Checkpoint(tmp_path, every=4)
    first, second = run(), run()
    assert first.outcome == OUTCOMES.blow_up
    same_bits(first, second)


class Jitter(AbstractUpdate):
    """Remembers a key, and walks at random."""

    step_size: float = 1.0

    def init(self, field, y, args):
        return jax.random.key(5)

    def step(self, field, t, y, args, memory):
        memory, now = jax.random.split(memory)
        return y + jax.random.normal(now, y.shape), memory


def test_a_key_in_the_memory_is_resumed(tmp_path):
    def run(num_steps, **options):
        return iterate(Jitter(), lambda t, y, args: y, jnp.zeros(3), num_steps, **options)

    run(4, checkpoint=Checkpoint(tmp_path, every=4))
    same_bits(run(8, checkpoint=Checkpoint(tmp_path, every=4)), run(8, progress=ignore))


def test_a_killed_process_is_resumed_to_the_same_bits(tmp_path):
    # A checkpoint at every step: most of the time the process is writing one.
    command = [sys.executable, "-m", "tests.small_training", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = 0
        while told < 25:
            told = int(process.stdout.readline())
        process.kill()
        told = max([told, *map(int, process.stdout.read().split("\n")[:-1])])
    assert process.returncode == -signal.SIGKILL
    on_disk = json.loads((tmp_path / "checkpoint.eqx").read_bytes().split(b"\n")[0])["step"]
    # What it told of was computed; its checkpoint came after the word, so the kill cost one interval at most.
    assert told - 1 <= on_disk <= told + 1
    seen = []
    more = on_disk // SAVE_EVERY * SAVE_EVERY + 2 * SAVE_EVERY
    resumed = train(more, checkpoint=Checkpoint(tmp_path, 1), progress=lambda n, num_steps: seen.append(n))
    assert seen[0] == on_disk + 1
    same_bits(resumed, train(more, progress=ignore))


@pytest.mark.parametrize("moment", ["half", "before fsync", "before rename", "after rename"])
def test_a_kill_while_writing_costs_one_interval_at_most(moment, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, every=10)
    with monkeypatch.context() as patch:
        _die_at(moment, writing=20, patch=patch)
        with pytest.raises(Killed):
            train(checkpoint=checkpoint)
    seen = []
    resumed = train(checkpoint=checkpoint, progress=lambda n, num_steps: seen.append(n))
    assert seen[0] == (21 if moment == "after rename" else 11)
    same_bits(resumed, uninterrupted())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.eqx", "config.json"]


def _die_at(moment, writing, patch):
    """Raises in the middle of writing the checkpoint of a step, as if killed there."""
    save, rename, open_ = _checkpoint.Files.save, os.replace, open
    dying = []

    def noted(self, n, *rest):
        dying.extend([n] if n == writing else [])
        save(self, n, *rest)

    def half(path, mode):
        file = open_(path, mode)
        if dying:
            file.write = lambda content: (type(file).write(file, content[: len(content) // 2]), file.flush(), kill())
        return file

    def dies(call, first):
        def replaced(*arguments):
            if dying and first:
                kill()
            call(*arguments)
            if dying:
                kill()

        return replaced

    patch.setattr(_checkpoint.Files, "save", noted)
    if moment == "half":
        patch.setattr("builtins.open", half)
    elif moment == "before fsync":
        patch.setattr(os, "fsync", dies(os.fsync, first=True))
    else:
        patch.setattr(os, "replace", dies(rename, first=moment == "before rename"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the checkpoint of a run."""
    folder = tmp_path_factory.mktemp("run")
    train(checkpoint=Checkpoint(folder, every=30))
    return folder


def adam_pair(rate, **options):
    return Optax(optax.adam(rate, b1=0.5), optax.adam(1e-2, b1=0.5), order="simultaneous", **options)


OTHER_RUNS = {
    "a learning rate hidden in a closure": ({"update": small_training.adam(2e-2)}, "`program`"),
    "a schedule that only later differs": (
        {"update": adam_pair(optax.piecewise_constant_schedule(1e-2, {50: 0.1}))},
        "`program`",
    ),
    "another rule": ({"update": Simultaneous(0.1)}, r"`update` \(Optax there, Simultaneous here\)"),
    "another time for a step": ({"update": adam_pair(1e-2, step_size=0.5)}, r"`step_size` \(1.0 there, 0.5 here\)"),
    "another weight": ({"field": small_training.field(0.25)}, "`numbers`"),
    "an array hidden in a closure": ({"batches": small_training.batches(1)}, "`program`"),
    "another recording": ({"record": lambda t, y, args: (t, small_training.gan().losses(y, args), t)}, "`program`"),
    "other saves": ({"save_every": 2 * SAVE_EVERY}, r"`save_every` \(6 there, 12 here\)"),
    "another start": ({"y0": jax.tree.map(lambda leaf: leaf + 1, small_training.gan().players)}, "`start`"),
    "another dtype": (
        {"y0": jax.tree.map(lambda leaf: leaf.astype(jnp.float32), small_training.gan().players)},
        "`state`",
    ),
}


@pytest.mark.parametrize("name", OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused_and_stays(name, folder):
    options, difference = OTHER_RUNS[name]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=f"`checkpoint` must be of the same run, but the one in .* {difference}"):
        train(checkpoint=Checkpoint(folder, every=30), **options)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_interval_and_functions_made_anew_are_no_other_run(folder):
    anew = {
        "update": adam_pair(1e-2),
        "batches": small_training.batches.__wrapped__(0),
        "field": small_training.field.__wrapped__(0.5),
    }
    same_bits(train(checkpoint=Checkpoint(folder, every=5), **anew), uninterrupted())


@pytest.mark.parametrize("damage", ["bit", "half", "nothing", "words"])
def test_a_damaged_checkpoint_is_refused(damage, folder, tmp_path):
    content = (folder / "checkpoint.eqx").read_bytes()
    flipped = content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]
    broken = {"bit": flipped, "half": content[: len(content) // 2], "nothing": b"", "words": b"[1]\nabc"}[damage]
    (tmp_path / "checkpoint.eqx").write_bytes(broken)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"`checkpoint` must be whole, but .*checkpoint\.eqx is damaged"):
        train(checkpoint=Checkpoint(tmp_path, every=30))


@pytest.fixture(scope="module")
def taken_up(folder):
    """What `iterate` asks of the files of that run, without the run: it takes a second to trace."""
    asked = {}
    load = _checkpoint.Files.load

    def noted(self, *arguments):
        asked["config"], asked["arguments"] = self.config, arguments
        return load(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoint.Files, "load", noted)
        train(checkpoint=Checkpoint(folder, every=30))

    def take_up(folder):
        return _checkpoint.Files(folder, 30, asked["config"]).load(*asked["arguments"])

    return take_up


def copied(folder, to):
    for name in ("checkpoint.eqx", "config.json"):
        (to / name).write_bytes((folder / name).read_bytes())
    return (to / "checkpoint.eqx").read_bytes()


def flipped(content, bit):
    return content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :]


def test_no_bit_of_a_checkpoint_can_be_another(folder, taken_up, tmp_path):
    content = copied(folder, tmp_path)
    n, _ = taken_up(tmp_path)
    assert n == NUM_STEPS
    header = 8 * (content.index(b"\n") + 1)
    assert b'"step": 60' in content[: header // 8]
    some = np.random.default_rng(0).choice(np.arange(header, 8 * len(content)), 300, replace=False)
    for bit in [*range(header), *map(int, some), 8 * len(content) - 1]:
        (tmp_path / "checkpoint.eqx").write_bytes(flipped(content, bit))
        with pytest.raises(ValueError, match=r"`checkpoint` must be whole, but .*checkpoint\.eqx is damaged"):
            taken_up(tmp_path)


@pytest.mark.parametrize("by", ["less", "more", "moved"])
def test_no_byte_of_a_checkpoint_may_be_missing_or_too_many(by, folder, taken_up, tmp_path):
    content = copied(folder, tmp_path)
    header = content.index(b"\n") + 1
    changed = {
        "less": [content[:cut] for cut in [*range(0, header + 64, 3), *range(header, len(content), 997), -1]],
        "more": [content + b"\0", content + b"\n", b" " + content, content[:header] + b"\n" + content[header:]],
        "moved": [content[header:] + content[:header], content[:header] + content, content + content],
    }[by]
    for damaged in changed:
        (tmp_path / "checkpoint.eqx").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint\.eqx is damaged"):
            taken_up(tmp_path)


def test_a_header_of_another_number_of_steps_in_other_words_is_damaged(folder, taken_up, tmp_path):
    content = copied(folder, tmp_path)
    for other in (b'"step": 61', b'"step": 6.0e1', b'"step": 60.0', b'"step":  60', b'"step": -60', b'"step": "60"'):
        (tmp_path / "checkpoint.eqx").write_bytes(content.replace(b'"step": 60', other, 1))
        with pytest.raises(ValueError, match=r"checkpoint\.eqx is damaged"):
            taken_up(tmp_path)


def test_a_configuration_with_a_bit_that_is_another_is_refused_where_it_is_believed(folder, taken_up, tmp_path):
    copied(folder, tmp_path)
    path = tmp_path / "config.json"
    content = path.read_bytes()
    # The version of JAX is there to be read by people.
    version = content.index(b'"jax"')
    for bit in range(8 * version):
        path.write_bytes(flipped(content, bit))
        with pytest.raises(ValueError, match=r"`checkpoint` must be whole, but .*config\.json is damaged"):
            taken_up(tmp_path)
    path.write_bytes(content)
    assert taken_up(tmp_path)[0] == NUM_STEPS
    path.unlink()
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        taken_up(tmp_path)


def test_files_of_two_runs_are_not_mixed(folder, taken_up, tmp_path):
    copied(folder, tmp_path)
    other = tmp_path / "other"
    train(12, update=small_training.adam(2e-2), checkpoint=Checkpoint(other, every=6))
    ours, theirs = ((place / "checkpoint.eqx").read_bytes() for place in (tmp_path, other))
    (tmp_path / "checkpoint.eqx").write_bytes(theirs)
    with pytest.raises(ValueError, match=r"checkpoint\.eqx is of another one than config\.json beside it"):
        taken_up(tmp_path)
    (other / "checkpoint.eqx").write_bytes(ours)
    with pytest.raises(ValueError, match=r"config\.json is damaged: checkpoint\.eqx beside it is of this run"):
        taken_up(other)
    (other / "checkpoint.eqx").write_bytes(theirs)
    with pytest.raises(ValueError, match=r"must be of the same run, but the one in .* differs in `program`"):
        taken_up(other)
    # The body of one under the header of the other.
    (tmp_path / "checkpoint.eqx").write_bytes(ours.split(b"\n", 1)[0] + b"\n" + theirs.split(b"\n", 1)[1])
    with pytest.raises(ValueError, match=r"checkpoint\.eqx is damaged"):
        taken_up(tmp_path)


def test_a_checkpoint_of_the_format_before_is_refused_in_words(folder, taken_up, tmp_path):
    _, body = copied(folder, tmp_path).split(b"\n", 1)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 1}))
    header = {"config": "", "step": 60, "sha256": hashlib.sha256(body).hexdigest()}
    (tmp_path / "checkpoint.eqx").write_bytes(json.dumps(header).encode() + b"\n" + body)
    with pytest.raises(ValueError, match=r"must be of format 2, but the one in .* is of format 1"):
        taken_up(tmp_path)


def test_a_configuration_without_a_checkpoint_holds_nobody_up(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    same_bits(train(checkpoint=Checkpoint(tmp_path, every=30)), uninterrupted())


def test_the_files_hold_numbers_and_words_alone(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["update"] == "Optax" and config["save_every"] == SAVE_EVERY
    assert config["state"][".discriminator.layers[0].weight"] == "float64[8, 2]"
    assert b"pickle" not in (folder / "checkpoint.eqx").read_bytes()


def test_the_interval_must_be_a_count(tmp_path):
    with pytest.raises(ValueError, match="`every` must be at least 1, but is 0"):
        Checkpoint(tmp_path, every=0)


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(checkpoint=Checkpoint(tmp_path / "file", every=1), progress=lambda n, num_steps: kill())
