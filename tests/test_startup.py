"""What a first figure waits for: imports and compilations."""

import dataclasses
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_ode
from experiments import phase_portraits
from experiments._machinery._compilations import Compilations
from gan_ode import analysis

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


def in_a_new_process(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_a_group_is_imported_when_it_is_first_asked_for():
    program = (
        "import sys, gan_ode; heavy = ['gan_ode.analysis', 'gan_ode.plot', 'gan_ode.sweeps']; "
        "print([name in sys.modules for name in heavy], gan_ode.analysis.classify.__name__, "
        "[name in sys.modules for name in heavy])"
    )
    assert in_a_new_process(program) == "[False, False, False] classify [True, False, False]"


def test_the_package_lists_every_group_and_its_verbs():
    groups = {
        path.stem for path in Path(gan_ode.__file__).parent.iterdir() if not path.name.startswith(("_", "py.typed"))
    }
    verbs = {"flow", "iterate", "Orbit", "OUTCOMES", "plain", "name_of", "__version__"}
    assert groups | verbs <= set(dir(gan_ode))
    assert all(getattr(gan_ode, name) is not None for name in groups | verbs)
    with pytest.raises(AttributeError, match="module 'gan_ode' has no attribute 'analyses'"):
        gan_ode.analyses


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert gan_ode.__version__ == project["version"]


@pytest.mark.parametrize(
    "enumeration", [gan_ode.OUTCOMES, gan_ode.RESULTS, analysis.FATES, analysis.REASONS, analysis.SEARCHES]
)
def test_every_item_of_an_enumeration_has_its_name(enumeration):
    names = list(enumeration._name_to_item)
    assert [gan_ode.name_of(getattr(enumeration, name)) for name in names] == names
    items = [getattr(enumeration, name) for name in names]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)
    np.testing.assert_array_equal(gan_ode.name_of(together), names)


def test_only_items_that_are_known_have_a_name():
    with pytest.raises(ValueError, match="`item` must be of an enumeration"):
        gan_ode.name_of(3)
    with pytest.raises(ValueError, match="`item` must be known, but is traced"):
        jax.jit(gan_ode.name_of)(gan_ode.OUTCOMES.ok)
