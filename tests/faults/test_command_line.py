"""Commands whose output nobody takes end without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The list of experiments, one experiment's options, and a command of its own.
COMMANDS = [["experiments"], ["experiments.dirac_gan", "--help"], ["experiments.diagnose", "--help"]]


def run(command, stdout):
    line = [sys.executable, "-m", *command]
    return subprocess.run(line, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=100)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_leaves_ends_a_command_quietly(command):
    """As in `python -m experiments | head -1`, where the reader has left before the first word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = run(command, writer)
    finally:
        os.close(writer)
    # That of a program that SIGPIPE ends.
    assert (ended.returncode, ended.stderr) == (128 + 13, "")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_under_the_output_is_one_line(command):
    with open("/dev/full", "w") as full:
        ended = run(command, full)
    said = f"python -m {command[0]}: error: cannot write: [Errno 28] No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_an_output_that_is_closed_is_no_error():
    line = f"exec '{sys.executable}' -m experiments >&-"
    ended = subprocess.run(["sh", "-c", line], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, "")
