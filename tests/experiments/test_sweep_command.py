"""Sweeps of experiments, from the command line."""

import concurrent.futures
import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray

import experiments
from experiments.sweep import __main__ as command, _arguments, _points
from gan_ode import sweeps
from tests.small_sweep import on_disk

ROOT = Path(__file__).parents[2]

EXPERIMENT = '''"""Does a pendulum keep time?"""

import dataclasses
import os
import time

from experiments._machinery._runner import Claim


@dataclasses.dataclass(frozen=True)
class Config:
    swing: float = 0.1
    """Angle of release."""
    num_times: int = 4
    """Number of times."""
    rule: str = "small"
    """Formula."""
    lengths: tuple[float, ...] = (1.0,)
    """Not one number."""
    trouble_at: float = -1.0
    """Swing at which it breaks."""
    log: str = ""
    """File for notes."""
    seconds: float = 0.0
    """How long it takes."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self):
        if self.swing < 0 or self.swing > self.num_times:
            raise ValueError(f"`swing` must be from 0 to `num_times`, but is {self.swing}.")


QUICK = Config(num_times=2)

import numpy as np
import xarray


def run(config):
    if config.log:
        with open(config.log, "a") as file:
            file.write(f"{config.swing} {config.seed}\\n")
    time.sleep(config.seconds)
    if config.swing == config.trouble_at:
        raise RuntimeError("the string broke")
    angle = config.swing * np.arange(config.num_times) + config.seed
    data = {"angle": ("time", angle, {"units": "rad"}), "verdict": config.rule + "!", "seed": -config.seed}
    return xarray.Dataset(data, {"time": np.arange(config.num_times)}, {"period": 2.0 * config.swing})


def claims(results):
    period, verdict = results.attrs["period"], str(results.verdict.values)
    return [Claim.below("Period / its limit", period, 1.0), Claim.equal("Verdict", verdict, "small!")]


def draw(results):
    raise NotImplementedError
'''


@pytest.fixture
def pendulum(tmp_path, monkeypatch):
    """Makes the experiment `pendulum` known, and gives a function that sweeps it."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "pendulum.py").write_text(EXPERIMENT)
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path / "more")])
    monkeypatch.setattr(command, "folders", [str(tmp_path / "more")])
    monkeypatch.setattr(command, "prepare_jax", lambda: None)

    def execute(line):
        with pytest.raises(SystemExit) as stop:
            command.main([word.replace("DIR", str(tmp_path / "out")) for word in line.split()])
        return stop.value.code

    yield execute
    sys.modules.pop("experiments.pendulum", None)


def test_an_experiment_is_swept_with_its_data_and_claims(pendulum, tmp_path, capsys):
    assert pendulum("pendulum --over swing=0.1,0.75 --over rule=small,large --seed 3 --out DIR --quick") == 0
    for found in (sweeps.open_sweep(tmp_path / "out"), xarray.load_dataset(tmp_path / "out" / "pendulum.nc")):
        assert found["angle"].dims == ("swing", "rule", "time") and found["angle"].attrs == {"units": "rad"}
        np.testing.assert_array_equal(found["angle"].sel(rule="large"), [[3, 3.1], [3, 3.75]])
        assert found["verdict"].sel(swing=0.1).values.tolist() == ["small!", "large!"]
        assert found["period"].sel(rule="small").values.tolist() == [0.2, 1.5]
        claim = found.sel(claim="Period / its limit")
        assert claim["claim_holds"].values.tolist() == [[True, True], [False, False]]
        assert claim["claim_measured"].values.tolist() == [[0.2, 0.2], [1.5, 1.5]]
        claim = found.sel(claim="Verdict")
        assert claim["claim_holds"].values.tolist() == 2 * [[True, False]]
        assert np.isnan(claim["claim_measured"].values).all()
    stdout, stderr = capsys.readouterr()
    assert re.search(r"Period / its limit +holds at 2 of 4 points", stdout)
    assert stdout.endswith(f"Results are in {tmp_path / 'out'}\n")
    assert "3 of 4 points, " in stderr and stderr.count(" s left") == 4


@pytest.mark.parametrize("option", ["--workers 2", "--workers=2", "--dask tcp://here:1"])
def test_an_experiment_is_swept_by_workers(option, pendulum, tmp_path, monkeypatch):
    asked_for = []

    @contextlib.contextmanager
    def connected(address):
        asked_for.append(address)
        yield SimpleNamespace(get_executor=lambda: concurrent.futures.ThreadPoolExecutor(2))

    def threads(number):
        asked_for.append(number)
        return lambda: concurrent.futures.ThreadPoolExecutor(number)

    monkeypatch.setattr(sweeps, "Processes", threads)
    monkeypatch.setattr("distributed.Client", connected)
    monkeypatch.setenv("JAX_ENABLE_X64", "")
    assert pendulum(f"pendulum --over swing=0.1,0.2 --over seed=3,4 --out DIR {option}") == 0
    assert asked_for == [2 if "workers" in option else "tcp://here:1"]
    angle = sweeps.open_sweep(tmp_path / "out")["angle"]
    np.testing.assert_array_equal(angle.isel(time=1), [[3.1, 4.1], [3.2, 4.2]])


def test_what_runs_at_a_point_can_be_sent_to_processes():
    runs = _points.Runs("pendulum", _arguments.Asked(None, {"swing": [1.0]}, Path("out"), False))
    assert pickle.loads(pickle.dumps(runs)) == runs


def test_what_is_called_as_a_swept_field_is_told_apart(pendulum, tmp_path):
    assert pendulum("pendulum --over seed=2,5 --out DIR") == 0
    found = sweeps.open_sweep(tmp_path / "out")
    assert found["seed"].values.tolist() == [2, 5] and found["seed_of_run"].values.tolist() == [-2, -5]


def test_a_point_that_fails_is_noted_and_tried_again(pendulum, tmp_path, capsys):
    line = f"pendulum --over swing=0.1,0.2,0.3 --log {tmp_path}/log --out DIR --trouble-at 0.2"
    assert pendulum(line) == 1
    assert "Failed at swing=0.2: RuntimeError: the string broke" in capsys.readouterr().err
    found = sweeps.open_sweep(tmp_path / "out")
    assert found["done"].values.tolist() == [True, False, True]
    assert found["failure"].values.tolist() == ["", "RuntimeError: the string broke", ""]
    assert found["angle"].sel(swing=0.3).values.tolist() == [0.0, 0.3, 0.6, 0.3 * 3]
    assert pendulum(line) == 1
    assert (tmp_path / "log").read_text().split("\n") == ["0.1 0", "0.2 0", "0.3 0", "0.2 0", ""]


def test_datasets_of_other_shapes_are_told_of(pendulum, capsys):
    assert pendulum("pendulum --over num_times=3,4 --out DIR") == 1
    text = capsys.readouterr().err
    assert (
        "Failed at num_times=4: ValueError: all points must give results of one form, but `angle` is float64 over"
        in text
    )


def test_fields_that_are_good_only_together_are_swept_together(pendulum, tmp_path):
    assert pendulum("pendulum --over swing=5,6 --over num-times=8 --out DIR") == 0
    assert sweeps.open_sweep(tmp_path / "out")["angle"].sel(swing=6, num_times=8).values.tolist()[-1] == 42


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "an experiment must be named first"),
        ("--over swing=1", "an experiment must be named first"),
        ("pendulums --over swing=1", "there is no experiment `pendulums`: did you mean `pendulum`?"),
        ("pendulum", "`--over FIELD=VALUE,VALUE,...` must be given"),
        ("pendulum --quick --over", "must be of the form FIELD=VALUE,VALUE,..."),
        ("pendulum --over swing", "`--over swing` must be of the form"),
        ("pendulum --over swing=", "must be of the form"),
        ("pendulum --over swing=1,,2", "must be of the form"),
        ("pendulum --over swin=1", "there is no field `swin`: did you mean `swing`?"),
        ("pendulum --over swing=1,1.0", "`--over swing=1,1.0` must have values that differ"),
        ("pendulum --over swing=1 --over swing=2", "`--over swing` must be given once"),
        (
            "pendulum --over swing=1 --swing 2",
            "`swing` must be swept by `--over` or set by its own option, but is both",
        ),
        ("pendulum --over num_times=1 --num-times=2", "`num_times` must be swept by"),
        ("pendulum --over swing=nan", "`nan` must be a finite number"),
        ("pendulum --over swing=1e400", "`1e400` must be a finite number"),
        ("pendulum --over num_times=1.5", "1.5"),
        ("pendulum --over lengths=1,2", "only a field of one number or word can be swept"),
        ("pendulum --over swing=1,7 --over num_times=5,9", "at swing=7.0, num_times=5: `swing` must be from 0 to"),
        ("pendulum --over seed=-1", "`seed` must be at least 0 and below 2**32, but is -1."),
        ("pendulum --over swing=1 --sed 3", "--seed"),
        ("pendulum --over swing=1 --workers 0", "`--workers 0` must be a whole number from 1 to 9999"),
        ("pendulum --over swing=1 --workers=two", "`--workers two` must be a whole number"),
        ("pendulum --over swing=1 --workers 2 --workers 3", "`--workers` must be given once"),
        ("pendulum --over swing=1 --workers 2 --dask tcp://a:1", "must not both be given"),
        ("pendulum --over swing=1 --dask=", "`--dask` must be given the address of a scheduler"),
        ("pendulum --over swing=1 --out DIR/file", "is not a folder"),
    ],
)
def test_bad_usage_gives_status_2_and_says_what_to_change(pendulum, line, complaint, capsys, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    assert pendulum(f"{line} --out DIR" if line.startswith("pendulum ") and "--out" not in line else line) == 2
    assert complaint in "".join(capsys.readouterr())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def test_a_sweep_of_another_configuration_is_refused(pendulum, capsys):
    assert pendulum("pendulum --over swing=0.1 --out DIR") == 0
    assert pendulum("pendulum --over swing=0.1 --seed 5 --out DIR") == 2
    assert "differs in `config['configuration']['seed']` (0 there, 5 here)" in capsys.readouterr().err
    assert pendulum("pendulum --over swing=0.1,0.2 --out DIR") == 2
    assert "differs in `over['swing']` ([0.1] there, [0.1, 0.2] here)" in capsys.readouterr().err


def test_help_explains(pendulum, capsys):
    assert pendulum("--help") == 0
    assert "--over FIELD=VALUE" in capsys.readouterr().out
    assert pendulum("pendulum --help") == 0
    text = capsys.readouterr().out
    assert "Angle of release" in text and "--over FIELD=VALUE" in text


SWEEP = """
import sys, experiments
experiments.__path__.append(sys.argv.pop(1))
from experiments.sweep.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_of_an_experiment_is_stopped_and_goes_on(number, pendulum, tmp_path):
    line = f"pendulum --over swing=0.1,0.2,0.3 --over seed=0,1 --log {tmp_path}/log --seconds 0.2 --out {tmp_path}/out"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP, tmp_path / "more", *line.split()],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None and any(line.startswith("2 of 6 points") for line in process.stderr)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 128 + number
    before, done = (tmp_path / "log").read_text().splitlines(), len(on_disk(tmp_path / "out"))
    assert f"Interrupted: {done} of 6 points are done, and the same command goes on." in stderr
    assert 2 <= done < 6 and not (tmp_path / "out" / "pendulum.nc").exists()
    assert pendulum(line) == 0
    order = [f"{swing} {seed}" for swing in (0.1, 0.2, 0.3) for seed in (0, 1)]
    assert (tmp_path / "log").read_text().splitlines()[len(before) :] == order[done:]
    angle = sweeps.open_sweep(tmp_path / "out")["angle"]
    assert angle.sel(time=2, seed=1).values.tolist() == [2 * swing + 1 for swing in (0.1, 0.2, 0.3)]
