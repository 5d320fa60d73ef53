"""The runner of the experiments: what users may type, what is written, and what survives an interruption."""

import dataclasses
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from experiments import __main__ as listing
from experiments._machinery import _commandline, _folder, _jax_setup, _record
from experiments._machinery._claims import Claim, table

ROOT = Path(__file__).parents[2]

EXPERIMENT = '''"""Does a pendulum keep time?

Only while its swings are small.
"""

import dataclasses
import time

from experiments._machinery._runner import Claim, main


@dataclasses.dataclass(frozen=True)
class Config:
    swings: tuple[float, ...] = (0.1, 0.2)
    """Angles of release, in radians."""
    num_times: int = 40
    """Number of times."""
    trouble: str = "none"
    """What goes wrong."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self):
        if min(self.swings) < 0:
            raise ValueError(f"`swings` must be at least 0, but is {min(self.swings)}: " + 20 * "measure it upward. ")


QUICK = Config(num_times=5, swings=(0.3,))

if __name__ == "__main__":
    main(Config, QUICK)

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure
import xarray


def run(config: Config) -> xarray.Dataset:
    assert isinstance(config, Config)
    if config.trouble == "hang":
        print("running", flush=True)
        time.sleep(60)
    ts = jnp.linspace(0, 1, config.num_times)
    noise = jax.random.normal(jax.random.key(config.seed), ts.shape)
    attributes = {"trouble": config.trouble}
    return xarray.Dataset({"angle": ("time", jnp.cos(ts) + noise)}, {"time": ts}, attributes)


def claims(results: xarray.Dataset) -> list[Claim]:
    measured = jnp.nan if results.attrs["trouble"] == "nan" else 1.0
    return [Claim.close("Period", measured, 1, rtol=1e-3, unit="s"), Claim.equal("Verdict", "cycles", "cycles")]


def draw(results: xarray.Dataset) -> Figure:
    if results.attrs["trouble"] == "draw":
        raise RuntimeError("no ink")
    figure = Figure()
    figure.subplots().plot(results["time"], results["angle"])
    return figure
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the experiment `pendulum`, and its result in `done`, beside a file of the user."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "pendulum.py").write_text(EXPERIMENT)
    (folder / "done").mkdir()
    (folder / "done" / "notes.txt").write_text("mine")
    result = execute(folder, "--out", "done", "--seed", "7")
    assert result.returncode == 0, result.stderr
    return folder


def start(folder: Path, *argv: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "80"}
    command = [sys.executable, "-m", "pendulum", *argv]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def execute(folder: Path, *argv: str) -> subprocess.CompletedProcess:
    process = start(folder, *argv)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def strict_json(path: Path):
    def refuse(token):
        raise ValueError(f"{token} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_complete(folder: Path, name: str) -> bool:
    """Whether exactly the files that the JSON lists are there, as it lists them."""
    listed = strict_json(folder / f"{name}.json")["files"]
    there = {path.name: path for path in folder.glob(f"{name}.*") if path.suffix != ".json"}
    sums = {file: hashlib.sha256(path.read_bytes()).hexdigest() for file, path in there.items()}
    return listed == sums


# A result.


def test_a_result_has_all_its_files_and_leaves_those_of_the_user(folder):
    names = {path.name for path in (folder / "done").iterdir()}
    assert names == {"notes.txt", "pendulum.png", "pendulum.svg", "pendulum.nc", "pendulum.json"}
    assert (folder / "done" / "notes.txt").read_text() == "mine"
    assert is_complete(folder / "done", "pendulum")


def test_the_record_tells_how_the_result_was_made(folder):
    record = strict_json(folder / "done" / "pendulum.json")
    assert record["question"] == "Does a pendulum keep time?"
    assert record["configuration"] == {"swings": [0.1, 0.2], "num_times": 40, "trouble": "none", "seed": 7}
    assert record["argv"] == ["--out", "done", "--seed", "7"]
    assert (record["seed"], record["x64"], record["holds"]) == (7, True, True)
    assert [(claim["name"], claim["holds"]) for claim in record["claims"]] == [("Period", True), ("Verdict", True)]
    assert record["versions"]["numpy"] == np.__version__


def test_the_data_are_netcdf_in_64_bits_and_know_their_configuration(folder):
    with xarray.open_dataset(folder / "done" / "pendulum.nc", engine="h5netcdf") as dataset:
        assert dataset["angle"].shape == (40,)
        assert dataset["angle"].dtype == np.float64
        assert json.loads(dataset.attrs["configuration"])["seed"] == 7


def test_the_same_configuration_gives_the_same_bytes_of_figure(folder):
    execute(folder, "--out", "again", "--seed", "7")
    for file in ("pendulum.png", "pendulum.svg"):
        assert (folder / "done" / file).read_bytes() == (folder / "again" / file).read_bytes()


def test_a_claim_that_fails_gives_status_1_and_is_saved(folder):
    result = execute(folder, "--out", "refuted", "--trouble", "nan", "--quick")
    assert result.returncode == 1, result.stderr
    assert "NO" in result.stdout
    assert result.stdout.splitlines()[-1] == "Results are in refuted"
    record = strict_json(folder / "refuted" / "pendulum.json")
    assert (record["claims"][0]["measured"], record["holds"]) == ("NaN", False)
    assert (record["quick"], record["configuration"]["num_times"]) == (True, 5)


def test_a_figure_that_fails_costs_neither_data_nor_claims_and_leaves_no_old_figure(folder):
    shutil.copytree(folder / "done", folder / "drawn")
    result = execute(folder, "--out", "drawn", "--trouble", "draw")
    assert result.returncode == 1
    assert "RuntimeError: no ink" in result.stderr
    assert {path.name for path in (folder / "drawn").iterdir()} == {"notes.txt", "pendulum.nc", "pendulum.json"}
    assert is_complete(folder / "drawn", "pendulum")
    assert strict_json(folder / "drawn" / "pendulum.json")["errors"] == {"draw": "RuntimeError: no ink"}


# The command line.


def test_help_asks_the_question_explains_each_field_and_loads_nothing_heavy(folder):
    code = (
        "import runpy, sys\nsys.argv[1:] = ['--help']\n"
        "try:\n    runpy.run_module('pendulum', run_name='__main__', alter_sys=True)\n"
        "finally:\n    assert not {'jax', 'xarray', 'matplotlib', 'numpy'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for text in ("python -m pendulum", "Does a pendulum keep time?", "Angles of release", "--quick", "--out", "--seed"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ("--num-tims 3", "--num-times"),
        ("--num-times three", "three"),
        ("--swings 1 nan", "`nan` must be a finite number"),
        ("--swings inf", "`inf` must be a finite number"),
        ("--swings 1e400", "`1e400` must be a finite number"),
        ("--num-times 1_000", "`1_000` must be a finite number"),
        ("--num-times １２", "`１２` must be a finite number"),
        ("--swings -1", "`swings` must be at least 0, but is -1.0: " + 20 * "measure it upward. "),
        ("--seed -1", "`seed` must be at least 0 and below 2**32, but is -1."),
        ("--seed 4294967296", "`seed` must be at least 0 and below 2**32"),
    ],
)
def test_bad_usage_gives_status_2_and_says_what_to_change(argv, complaint, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(argv)
    assert stop.value.code == 2
    assert complaint in "".join(capsys.readouterr())


@dataclasses.dataclass(frozen=True)
class Config:
    swings: tuple[float, ...] = (0.1, 0.2)
    num_times: int = 40
    length: float | None = None
    seed: int = 0

    def __post_init__(self):
        if min(self.swings) < 0:
            raise ValueError(f"`swings` must be at least 0, but is {min(self.swings)}: " + 20 * "measure it upward. ")


def parse(argv: str):
    return _commandline.parse("experiments.pendulum", "Why?", Config, Config(num_times=5, swings=(0.3,)), argv.split())


def test_what_is_typed_wins_over_quick_and_quick_over_the_defaults():
    assert parse("").config == Config()
    assert parse("--quick").config == Config(num_times=5, swings=(0.3,))
    assert parse("--num-times 9 --quick").config == Config(num_times=9, swings=(0.3,))
    assert parse("--quick --num-times 40").config == Config(num_times=40, swings=(0.3,))


def test_numbers_are_read_in_every_plain_spelling():
    assert parse("--swings 1 .5 2. 1e-3 +1E2 --length=-3").config == Config((1.0, 0.5, 2.0, 1e-3, 100.0), length=-3.0)


def test_results_go_to_a_folder_of_the_name_by_default():
    assert parse("").out == Path("results/pendulum")
    assert parse("--out 2026_01").out == Path("2026_01")


def test_a_config_objects_to_bad_values_as_before_once_the_arguments_are_read():
    parse("")
    with pytest.raises(ValueError, match="at least 0"):
        Config(swings=(-1.0,))


@pytest.mark.parametrize("options", [{"frozen": False}, {"frozen": True}])
def test_a_config_must_be_frozen_and_have_a_seed(options):
    config_type = dataclasses.make_dataclass("Bad", [] if options["frozen"] else [("seed", int, 0)], **options)
    with pytest.raises(TypeError, match="frozen dataclass with a field `seed"):
        _commandline.parse("experiments.bad", None, config_type, config_type(), [])


@pytest.mark.parametrize("out", ["pendulum.py", "pendulum.py/below", "dangling"])
def test_a_target_that_is_no_folder_is_refused_before_anything_is_computed(folder, out):
    if not os.path.lexists(folder / "dangling"):
        (folder / "dangling").symlink_to("nowhere")
    result = execute(folder, "--out", out)
    assert result.returncode == 2
    assert "is not a folder" in result.stderr
    assert "import" not in result.stderr


def test_a_target_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    def refuse(**kwargs):
        raise PermissionError(13, "Permission denied", str(kwargs["dir"]))

    monkeypatch.setattr(_folder.tempfile, "TemporaryFile", refuse)
    with pytest.raises(PermissionError):
        _folder.check(tmp_path / "a" / "b", "pendulum")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "pendulum.nc").mkdir()
    with pytest.raises(IsADirectoryError):
        _folder.check(tmp_path, "pendulum")


# Interruptions.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_the_old_result_and_no_temporary_files(folder, number):
    before = snapshot(folder / "done")
    process = start(folder, "--out", "done", "--trouble", "hang")
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=100)
    assert snapshot(folder / "done") == before
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert "the earlier result in done is unchanged" in stderr


def contents(tag: str, *suffixes: str) -> dict[str, bytes]:
    files = {suffix: f"{tag} {suffix}".encode() for suffix in suffixes}
    return files | {".json": json.dumps({"tag": tag, "files": _record.checksums("a.b", files)}).encode()}


OLD = contents("old", ".png", ".svg", ".nc")
NEW = contents("new", ".svg", ".nc")

SAVE_AND_BE_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from experiments._machinery import _folder
from tests_contents import NEW
steps = 0
def count(event, args):
    global steps
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        steps += 1
        if steps > int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
_folder.save(Path(sys.argv[2]), "a.b", NEW)
"""


def test_a_kill_before_any_step_of_the_saving_leaves_one_complete_result(tmp_path):
    (tmp_path / "tests_contents.py").write_text(f"NEW = {NEW!r}")
    (tmp_path / "save.py").write_text(SAVE_AND_BE_KILLED)
    tags, step, survived = [], 0, False
    while not survived:
        target = tmp_path / str(step)
        _folder.save(target, "a.b", OLD)
        (target / "a.b.txt").write_text("mine")
        (target / ".hidden").mkdir()
        killed = subprocess.run([sys.executable, tmp_path / "save.py", ROOT, target, str(step)])
        survived = killed.returncode == 0
        assert survived or killed.returncode == -signal.SIGKILL
        if not (target / ".a.b.commit").exists():
            assert json.loads((target / "a.b.json").read_bytes())["tag"] == ("new" if survived else "old")
            assert expected_files(target) <= set(snapshot(target))
        _folder.settle(target, "a.b")
        tags.append(json.loads((target / "a.b.json").read_bytes())["tag"])
        assert set(snapshot(target)) == expected_files(target) | {"a.b.txt"}
        assert {path.name for path in target.iterdir() if path.is_dir()} == {".hidden"}
        step += 1
    assert tags == sorted(tags, reverse=True)
    assert {"old", "new"} == set(tags)
    assert len(tags) > 10


def expected_files(target: Path) -> set[str]:
    """Names of the result's files, after a look at what is in them."""
    record = json.loads((target / "a.b.json").read_bytes())
    for suffix, content in {"old": OLD, "new": NEW}[record["tag"]].items():
        assert (target / f"a.b{suffix}").read_bytes() == content
    return {*record["files"], "a.b.json"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("calls", range(4))
def test_a_full_disk_or_a_signal_while_writing_keeps_the_old_result(tmp_path, monkeypatch, error, calls):
    _folder.save(tmp_path, "a.b", OLD)
    before, remaining = snapshot(tmp_path), iter(range(calls))

    def fail(descriptor):
        if next(remaining, None) is None:
            raise error

    monkeypatch.setattr(_folder.os, "fsync", fail)
    with pytest.raises(type(error)):
        _folder.save(tmp_path, "a.b", NEW)
    assert snapshot(tmp_path) == before
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_the_last_moment_to_call_a_save_off_comes_before_anything_is_replaced(tmp_path):
    _folder.save(tmp_path, "a.b", OLD)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _folder.save(tmp_path, "a.b", NEW, on_commit=stop)
    assert snapshot(tmp_path) == {f"a.b{suffix}": content for suffix, content in OLD.items()}


def test_two_runs_into_one_folder_wait_for_each_other(tmp_path):
    pytest.importorskip("fcntl")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
    code += "from experiments._machinery import _folder\n"
    save = f"print('ready', flush=True); _folder.save(Path({str(tmp_path)!r}), 'a.b', {NEW!r}); print('saved')"
    with _folder._locked(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", code + save], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        assert process.poll() is None
        assert not list(tmp_path.iterdir())
    assert process.communicate(timeout=100)[0] == "saved\n"


# Claims.


@pytest.mark.parametrize(
    "claim",
    [
        Claim.close("", 1.0009, 1, rtol=1e-3),
        Claim.close("", jnp.array(-2.05), -2, atol=0.1),
        Claim.close("", -2.001, -2, rtol=1e-3),
        Claim.close("", math.inf, math.inf, rtol=1e-3),
        Claim.below("", np.float32(0.5), 1),
        Claim.below("", 0.5, math.inf),
        Claim.above("", 1, 0.5),
        Claim.equal("", "cycles", "cycles"),
        Claim.equal("", jnp.array(3), 3),
        Claim.equal("", math.inf, math.inf),
    ],
)
def test_a_claim_holds(claim):
    assert claim.holds


@pytest.mark.parametrize(
    "claim",
    [
        Claim.close("", 1.0011, 1, rtol=1e-3),
        Claim.close("", 2.0, -2, rtol=1e-3),
        Claim.close("", 1e300, math.inf, rtol=1e-3),
        Claim.close("", math.inf, 1, rtol=1e-3),
        Claim.close("", -math.inf, math.inf, rtol=1e-3),
        Claim.close("", math.nan, 1, atol=1e9),
        Claim.close("", math.nan, math.inf, atol=1e9),
        Claim.close("", 1, math.nan, atol=1e9),
        Claim.below("", 1, 1),
        Claim.below("", math.nan, 1),
        Claim.below("", -math.inf, 1),
        Claim.above("", 1, 1),
        Claim.above("", jnp.nan, 1),
        Claim.above("", math.inf, 1),
        Claim.equal("", "cycles", "converges"),
        Claim.equal("", math.nan, math.nan),
    ],
)
def test_a_claim_does_not_hold(claim):
    assert not claim.holds


@pytest.mark.parametrize("tolerances", [{}, {"rtol": -1.0, "atol": 2.0}, {"atol": math.nan}])
def test_a_claim_of_closeness_needs_a_tolerance(tolerances):
    with pytest.raises(ValueError, match="at least 0 and one of them positive"):
        Claim.close("", 1, 1, **tolerances)


def test_the_table_is_aligned_and_shows_a_difference_as_small_as_the_tolerance():
    claims = [Claim.close("Period", 1.00000001, 1, atol=1e-9, unit="s"), Claim.below("A longer name", 0.5, 1)]
    lines = table(claims).splitlines()
    assert lines[2].split() == ["Period", "1.00000001", "s", "1", "±", "1e-09", "s", "NO"]
    assert lines[3].split() == ["A", "longer", "name", "0.5", "<", "1", "yes"]
    assert lines[0].index("holds") == lines[2].index("NO") == lines[3].index("yes")


def test_json_is_strict_whatever_is_in_it():
    value = {
        "a": [math.nan, math.inf, -math.inf],
        "b": np.arange(2),
        "c": Path("x"),
        "d": Config(),
        "e": jnp.array(True),
    }
    read = json.loads(_record.to_json(value), parse_constant=pytest.fail)
    assert read["a"] == ["NaN", "Infinity", "-Infinity"]
    assert (read["b"], read["c"], read["d"]["length"], read["e"]) == ([0, 1], "x", None, True)


# The surroundings.


def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert _jax_setup._cache_folder() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _jax_setup._cache_folder() == tmp_path / "cache" / "gan_ode" / "jax"


def test_batches_of_matrices_go_one_by_one_where_jax_needs_it_and_the_user_says_nothing():
    flag = "--xla_cpu_enable_concurrency_optimized_scheduler"
    assert _jax_setup._one_by_one("", "0.10.2") == f"{flag}=false"
    assert _jax_setup._one_by_one("--xla_a=1", "0.11.0") == f"--xla_a=1 {flag}=false"
    assert _jax_setup._one_by_one(f"{flag}=true", "0.10.2") == f"{flag}=true"
    assert _jax_setup._one_by_one("--xla_a=1", "0.12.0.1") == "--xla_a=1"


def test_the_list_shows_every_experiment_with_its_question_and_imports_none(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "pendulum.py").write_text(EXPERIMENT)
    (tmp_path / "benchmarks" / "speed.py").write_text('"""How fast?"""\nraise SystemExit\ndef run(config): ...\n')
    (tmp_path / "_private.py").write_text('"""No question."""\ndef run(config): ...\n')
    (tmp_path / "data.py").write_text('"""No experiment."""\n')
    assert listing.find(tmp_path) == {"benchmarks.speed": "How fast?", "pendulum": "Does a pendulum keep time?"}


def test_the_list_takes_no_arguments(capsys):
    assert listing.main([]) == 0
    assert "python -m experiments.NAME" in capsys.readouterr().out
    assert listing.main(["pendulum"]) == 2
