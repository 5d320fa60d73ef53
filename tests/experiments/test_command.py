"""The command `gan-ode` runs the experiments that lie beside the package, or in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gan_ode._command import _run

ROOT = Path(__file__).parents[2]


class Replaced(Exception):
    """What the process would have become."""


@pytest.fixture
def becomes(monkeypatch):
    def become(arguments):
        def replace(program, command, environment):
            raise Replaced(command[1:], environment["PYTHONPATH"].split(os.pathsep)[0])

        monkeypatch.setattr(_run.os, "execve", replace)
        with pytest.raises(Replaced) as replaced:
            _run.main(arguments)
        return replaced.value.args

    return become


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], ["-m", "experiments"]),
        (["--help"], ["-m", "experiments", "--help"]),
        (["stiff", "--quick"], ["-m", "experiments.stiff", "--quick"]),
        (["benchmarks.maps"], ["-m", "experiments.benchmarks.maps"]),
        (["sweep", "stiff", "--over", "seed=1,2"], ["-m", "experiments.sweep", "stiff", "--over", "seed=1,2"]),
    ],
)
def test_the_command_becomes_the_module_of_the_experiment(becomes, arguments, command):
    assert becomes(arguments) == (command, str(ROOT))


def test_in_a_wheel_the_experiments_in_the_package_come_first(becomes, monkeypatch, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__main__.py").touch()
    monkeypatch.setattr(_run, "_PLACES", (tmp_path, ROOT))
    assert becomes([]) == (["-m", "experiments"], str(tmp_path))


@pytest.mark.parametrize("name", ["nothing", "../stiff", "stiff.py", ""])
def test_a_name_that_is_no_experiment_is_refused(name, capsys):
    with pytest.raises(SystemExit) as refused:
        _run.main([name])
    assert refused.value.code == 2 and "`gan-ode` lists them" in capsys.readouterr().err


def test_without_experiments_the_command_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(_run, "_PLACES", (tmp_path,))
    with pytest.raises(SystemExit, match="not installed"):
        _run.main([])


def test_the_list_of_the_command_is_that_of_the_module():
    program = "from gan_ode._command import main; main([])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    listed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "phase_portraits" in listed.stdout and "python -m experiments.NAME" in listed.stdout
