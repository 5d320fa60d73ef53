"""The house rules that no tool holds: nothing is left out of the catalogue, no file or function grows too large, and a
private folder has one door.

Each rule is a function that says what breaks it, tried here on a made-up case, too. What may break a rule stands with
its reason in `EXCEPTIONS`, and an exception that is no longer needed fails as well.
"""

import ast
import inspect
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import pytest

from gan_ode import games, losses, regularizers, updates
from tests import catalogue

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gan_ode"

MOST_LINES, MOST_FILES, MOST_STATEMENTS = 400, 20, 40

# What breaks a rule, and why it may.
EXCEPTIONS = {
    "experiments._machinery": "a file a tool, opened by itself: `--help` has to answer before JAX is imported",
    "experiments.benchmarks._bank": "a file a kind of system, each a list that `_fates` puts together",
    "experiments.benchmarks._rivals": "a file a rival: what one of them imports need not be installed for the others",
}


# The catalogue.


def concrete_classes(group: ModuleType | SimpleNamespace) -> set[type]:
    """The public classes of a group that can be made."""
    found = {each for name, each in vars(group).items() if inspect.isclass(each) and not name.startswith("_")}
    return {each for each in found if not (inspect.isabstract(each) or each.__name__.startswith("Abstract"))}


def kinds_within(thing: Any) -> Iterator[type]:
    """The classes of a thing and of everything that it holds."""
    yield type(thing)
    if isinstance(thing, eqx.Module):
        parts: Iterable[Any] = vars(thing).values()
    elif isinstance(thing, dict):
        parts = thing.values()
    else:
        parts = thing if isinstance(thing, list | tuple) else ()
    for part in parts:
        yield from kinds_within(part)


def missing(group: ModuleType | SimpleNamespace, things: Iterable[Any]) -> set[str]:
    """The names of a group's public concrete classes of which there is none among the things."""
    there = {kind for thing in things for kind in kinds_within(thing)}
    return {each.__name__ for each in concrete_classes(group) - there}


@pytest.fixture(scope="module")
def entries() -> list[Any]:
    """Everything that the catalogue makes."""
    return [
        *(facts.make() for facts in (catalogue.LOSSES | catalogue.PAIRS).values()),
        # What losses take, and what they say.
        losses.Scores(*[jnp.zeros(1)] * 4),
        losses.Minimax().at_equilibrium(),
        *(case.field(jnp.asarray(case.parameter)) for case in catalogue.GAMES),
        *(case.make(0.1) for case in catalogue.UPDATES),
    ]


@pytest.mark.parametrize("group", [games, losses, regularizers, updates], ids=lambda group: group.__name__)
def test_every_public_class_is_in_the_catalogue(group, entries):
    assert missing(group, entries) == set(), "add an entry to tests/catalogue.py: the conformance suite runs over it"


def test_a_class_that_is_not_in_the_catalogue_is_found(entries):
    class Scratch(updates.Simultaneous):
        pass

    scratch = SimpleNamespace(Scratch=Scratch, Simultaneous=updates.Simultaneous, _Private=int)
    assert missing(scratch, entries) == {"Scratch"}
    assert missing(scratch, [*entries, {"deep": [(Scratch(0.1),)]}]) == set()
    assert missing(updates, [each for each in entries if not isinstance(each, updates.HeavyBall)]) == {"HeavyBall"}


# Sizes.


def num_statements(function: ast.AST) -> int:
    """Statements in a function, those of inner functions too, docstrings not."""
    inside = [each for each in ast.walk(function) if isinstance(each, ast.stmt) and each is not function]
    return sum(not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)) for each in inside)


def too_large(package: Path) -> dict[str, int]:
    """Files of too many lines, folders of too many files, functions of too many statements; and how many."""
    found, files = {}, sorted(package.rglob("*.py"))
    for file in files:
        name, text = file.relative_to(package.parent).as_posix(), file.read_text()
        if (lines := len(text.splitlines())) > MOST_LINES:
            found[name] = lines
        for each in ast.walk(ast.parse(text)):
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and num_statements(each) > MOST_STATEMENTS:
                found[f"{name}:{each.name}"] = num_statements(each)
    for folder in {file.parent for file in files}:
        if (num := len(list(folder.glob("*.py")))) > MOST_FILES:
            found[folder.relative_to(package.parent).as_posix()] = num
    return found


def test_no_file_folder_or_function_is_too_large():
    excused = {name for name in EXCEPTIONS if "/" in name}
    found = too_large(PACKAGE)
    assert set(found) - excused == set(), f"split it: {found}"
    assert excused - set(found) == set(), "an exception that is no longer needed"


def test_what_is_too_large_is_found(tmp_path):
    package = tmp_path / "made_up"
    package.mkdir()
    fits = 'def fits():\n    """Says."""\n' + "    x = 1\n" * MOST_STATEMENTS
    bulky = "def bulky():\n    def inner():\n" + "        x = 1\n" * MOST_STATEMENTS
    (package / "_functions.py").write_text(f"{fits}\n\n{bulky}")
    (package / "_fits.py").write_text("x = 1\n" * MOST_LINES)
    (package / "_long.py").write_text("x = 1\n" * (MOST_LINES + 1))
    assert too_large(package) == {
        "made_up/_functions.py:bulky": MOST_STATEMENTS + 1,
        "made_up/_long.py": MOST_LINES + 1,
    }
    for i in range(MOST_FILES - 2):
        (package / f"_{i}.py").touch()
    assert too_large(package)["made_up"] == MOST_FILES + 1


# Private folders.


def open_folders(root: Path, packages: Iterable[str], contracts: list[dict[str, Any]]) -> set[str]:
    """Private folders, dotted, whose files no contract of import-linter keeps for their `__init__` alone."""
    found = set()
    for package in packages:
        for door in (root / package).rglob("_*/__init__.py"):
            folder = ".".join(door.parent.relative_to(root).parts)
            held = {"type": "protected", "protected_modules": [f"{folder}.*"], "allowed_importers": [folder]}
            if not any(held.items() <= contract.items() for contract in contracts):
                found.add(folder)
    return found


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports by their full names."""
    for each in ast.walk(ast.parse(file.read_text())):
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom) and each.module and not each.level:
            yield from (f"{each.module}.{alias.name}" for alias in each.names)


def test_a_private_folder_has_one_door():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    excused = {name for name in EXCEPTIONS if "/" not in name}
    found = open_folders(ROOT, tool["root_packages"], tool["contracts"])
    assert found - excused == set(), "add a contract of the type `protected` to pyproject.toml"
    assert excused - found == set(), "an exception that is no longer needed"


def test_a_private_folder_without_a_door_is_found(tmp_path):
    for folder in ("made_up/_held", "made_up/rooms/_open", "made_up/rooms"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "__init__.py").touch()
    held = {
        "name": "made_up._held has one door",
        "type": "protected",
        "protected_modules": ["made_up._held.*"],
        "allowed_importers": ["made_up._held"],
    }
    assert open_folders(tmp_path, ["made_up"], [held]) == {"made_up.rooms._open"}
    assert open_folders(tmp_path, ["made_up"], [held | {"allowed_importers": ["made_up"]}]) == {
        "made_up._held",
        "made_up.rooms._open",
    }


def test_the_machinery_knows_no_experiment():
    files = sorted((ROOT / "experiments" / "_machinery").glob("*.py"))
    named = {name for file in files for name in imports(file) if name.startswith("experiments")}
    assert {name for name in named if not name.startswith("experiments._machinery")} == set()
    assert named, "nothing was read"
