"""What a first figure waits for: imports and compilations."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from experiments import phase_portraits
from experiments._machinery._compilations import Compilations

HEAVY = ("matplotlib", "xarray", "pandas", "sklearn", "torch", "tqdm", "h5py")


def test_the_package_imports_nothing_heavy_beside_jax():
    program = f"import sys, gan_ode; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_panels_that_differ_in_numbers_share_their_programs():
    few = dataclasses.replace(phase_portraits.QUICK, etas=(0.0, 0.5))
    seen = Compilations().watch()
    phase_portraits.run(few)
    assert seen.programs > 0
    before = seen.programs
    phase_portraits.run(dataclasses.replace(few, etas=(0.0, 0.2, 0.6, 0.9)))
    assert seen.programs == before


def run_quick(folder, cache):
    command = [sys.executable, "-m", "experiments.phase_portraits", "--quick", "--out", str(folder)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    return json.loads((folder / "phase_portraits.json").read_text())["compilations"]


@pytest.mark.slow
def test_a_second_run_finds_programs_of_the_first(tmp_path):
    first = run_quick(tmp_path / "first", tmp_path / "cache")
    second = run_quick(tmp_path / "second", tmp_path / "cache")
    assert first["programs"] == second["programs"] and first["cached"] < second["cached"]
    # All but what JAX 0.10 does not keep: programs that can call back into Python to report an error.
    assert second["cached"] > 0.8 * second["programs"]
