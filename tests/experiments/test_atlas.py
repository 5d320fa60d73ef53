"""The atlas has every public method, and its cells are those of the fields themselves."""

import csv
import inspect
import io
import re
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments._machinery import _atlas as atlas
from experiments._machinery._atlas import _bank, _cells, _tables
from gan_ode import analysis, fields, games, losses, regularizers, updates
from tests.test_house import concrete_classes, kinds_within

PAGE = Path(__file__).parents[2] / "docs" / "atlas" / "atlas.md"
GROUPS = [games, losses, regularizers, updates]


@pytest.fixture(scope="module")
def things():
    """Everything that the tables make."""
    found = [base for system in atlas.SYSTEMS for base in system.bases.values()]
    found += [system.of_loss(losses.Minimax()) for system in atlas.SYSTEMS if system.of_loss]
    for method in atlas.METHODS:
        if method.kind == "loss":
            found.append(method.make())
        elif method.kind == "transformation":
            system = atlas.SYSTEMS[0]
            base = next(iter(system.bases.values()))
            found.append(method.make(fields.GameField(base) if method.of_field else base, 0.5))
        else:
            found.append(method.make(0.5))
    return found


def missing(group, things):
    """Public classes that no table makes, nor are said to be no methods."""
    there = {kind for thing in things for kind in kinds_within(thing)}
    return {each.__name__ for each in concrete_classes(group) - there} - set(atlas.NOT_HERE)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_public_method_is_in_the_atlas(group, things):
    assert missing(group, things) == set(), "add an entry to a table of experiments/_machinery/_atlas"


def test_a_method_that_is_not_in_the_atlas_is_found(things):
    class Scratch(updates.Simultaneous):
        pass

    assert missing(SimpleNamespace(Scratch=Scratch), things) == {"Scratch"}
    without = [each for each in things if not isinstance(each, updates.HeavyBall)]
    assert missing(updates, without) == {"HeavyBall"}


def test_what_is_left_out_on_purpose_is_public():
    public = {name for group in GROUPS for name, each in vars(group).items() if inspect.isclass(each)}
    assert set(atlas.NOT_HERE) <= public


def test_names_are_unique_and_every_method_has_a_source():
    names = [method.name for method in atlas.METHODS]
    assert len(set(names)) == len(names)
    assert all(method.source for method in atlas.METHODS)


def test_what_papers_say_is_said_of_systems_that_exist():
    known = {system.name for system in atlas.SYSTEMS if system.of_loss}
    bases = {f"{system.name}/{base}" for system in atlas.SYSTEMS for base in system.bases}
    for method in atlas.METHODS:
        assert set(method.says) <= (known if method.kind == "loss" else bases), method.name


# The cells of one small system: a few fields in one bank.

NAMES = ("Minimax", "Wasserstein", "R1", "Consensus", "Optimistic", "Alternating")


@pytest.fixture(scope="module")
def dirac():
    return next(system for system in atlas.SYSTEMS if system.name == "dirac")


@pytest.fixture(scope="module")
def small(dirac):
    return atlas.compute([dirac], [method for method in atlas.METHODS if method.name in NAMES])


def test_a_cell_is_that_of_the_field_itself(small, dirac):
    cell = next(each for each in small.cells if each.label == "dirac/Minimax/R1")
    # psi' = -g psi + theta / 2, theta' = -psi / 2.
    np.testing.assert_allclose(cell.jacobian, [[-0.5, 0.5], [-0.5, 0.0]], atol=1e-15)
    y = dirac.start
    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.R1(0.5))
    expected = ravel_pytree(fields.GameField(game)(0.0, y))[0]
    np.testing.assert_allclose(ravel_pytree(cell.field(0.0, y, cell.args))[0], expected, rtol=1e-14)
    assert (cell.word, cell.agrees) == ("converges", True)
    # Both eigenvalues are -g/2 where g^2/4 = 1/4.
    assert (cell.best_weight, cell.best_rate) == (pytest.approx(1.0, abs=1e-9), pytest.approx(0.5, abs=1e-9))


def test_the_critical_step_on_the_linear_part_is_that_on_the_field(small, dirac):
    found = {(each.cell.label, each.rule.name): each for row in small.rules for each in row}
    game = regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.R1(0.5))
    on_field = analysis.critical_step_size(updates.Optimistic, fields.GameField(game), dirac.equilibrium)
    assert found["dirac/Minimax/R1", "Optimistic"].critical == pytest.approx(float(on_field), rel=1e-9)
    assert found["dirac/Minimax", "Alternating"].critical == pytest.approx(4.0, rel=1e-9)


def test_agreement_is_computed(small):
    cell = next(each for each in small.cells if each.label == "dirac/Minimax")
    assert cell.agrees
    words = {"cycles": True, "no rate": True, "diverges": False, "converges": False, "converges at a rate": False}
    for word, agrees in words.items():
        assert _replace(cell, says=atlas.Says(word, "nowhere")).agrees is agrees


def _replace(cell, **changes):
    return type(cell)(**{**vars(cell), **changes})


def test_a_weight_that_moves_the_jacobian_by_no_polynomial_has_no_best():
    low, high = 0.0, 4.0
    kinked = [np.diag([-abs(w - 1.0), -1.0]) for w in (0.3, *_cells.nodes(low, high))]
    assert np.isnan(_cells._best_weight(np.array(kinked), 0.3, low, high)[0])
    straight = [np.diag([w - 3.0, -w]) for w in (0.3, *_cells.nodes(low, high))]
    assert _cells._best_weight(np.array(straight), 0.3, low, high)[0] == pytest.approx(1.5, abs=1e-9)


def test_eigenvalues_are_written_as_one_reads_them():
    assert _tables.spectrum(np.array([-0.25 + 0.5j, -0.25 - 0.5j])) == "-0.25 ± 0.5i"
    assert _tables.spectrum(np.array([1e-17 + 1j, -1j])) == "±1i"
    assert _tables.spectrum(np.array([-0.5, -2.0 + 0j])) == "-0.5, -2"
    assert _tables.spectrum(np.array([np.nan, np.nan])) == "not smooth"


def test_the_page_and_the_table_have_every_cell(small):
    text = atlas.page(small, [method for method in atlas.METHODS if method.name in NAMES])
    for cell in small.cells:
        assert f"`{cell.name}`" in text
    rows = list(csv.DictReader(io.StringIO(atlas.to_csv(small).decode())))
    assert len(rows) == len(small.cells) + sum(map(len, small.rules))
    dataset = atlas.to_dataset(small)
    assert dataset.critical_step.shape == (len(small.cells), 2)
    # Every line of a Markdown table has as many bars as its header.
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(bars) == 1


def test_the_linear_part_is_linear():
    field = _bank.LinearPart(jnp.array([[1.0, 2.0], [3.0, 4.0]]), 1)
    velocity = field(0.0, games.Players(jnp.array([1.0]), jnp.array([10.0])))
    assert (float(velocity.discriminator[0]), float(velocity.generator[0])) == (21.0, 43.0)


def test_where_there_is_no_plane_eigenvalues_are_drawn(small):
    figure = atlas.spectra(small.cells)
    titles = [ax.get_title().splitlines()[0] for ax in figure.axes if ax.get_visible()]
    assert titles == [atlas.title(cell) for cell in small.cells]


def test_where_no_rules_are_chosen_flows_are_told_alone(small, dirac):
    assert _cells.critical_steps(small.cells, []) == [[]] * len(small.cells)
    alone = atlas.Atlas(small.cells, [[] for _ in small.cells])
    assert (alone.num_cells, alone.plain) == (len(small.cells), [])
    text = atlas.page(alone, [method for method in atlas.METHODS if method.name in NAMES])
    assert "Critical" not in text.split(f"## {dirac.title}")[1] and "Training rules on" not in text
    rows = list(csv.DictReader(io.StringIO(atlas.to_csv(alone).decode())))
    assert [row["rule"] for row in rows] == ["flow"] * len(small.cells)
    dataset = atlas.to_dataset(alone)
    assert dataset.critical_step.shape == (len(small.cells), 0)
    np.testing.assert_array_equal(dataset.eigenvalue_real, atlas.to_dataset(small).eigenvalue_real)


# The page that is committed.

FEWEST_CELLS = 250


def stale(page, methods):
    """Methods without a row among the sources, or rows without there being any."""
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \|", page.split("## Sources")[1], flags=re.MULTILINE)
    return {(method.name, method.kind) for method in methods}.symmetric_difference(rows)


def tables(text):
    """Each table of a text: a dictionary for each of its lines."""
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        # Of "| one |  |", between the outer bars.
        header, _, *lines = (line.strip()[2:-2].split(" | ") for line in block.splitlines())
        yield [dict(zip(header, line, strict=True)) for line in lines]


@pytest.fixture(scope="module")
def committed():
    """The lines of the table that lies beside the page."""
    with (PAGE.parent / "atlas.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == _tables.HEADER
    return rows


def test_the_page_is_that_of_the_tables():
    page = PAGE.read_text()
    assert stale(page, atlas.METHODS) == set(), "run `python -m experiments.atlas --out docs/atlas`"
    assert stale(page, [*atlas.METHODS[1:]]) == {(atlas.METHODS[0].name, atlas.METHODS[0].kind)}
    for system in atlas.SYSTEMS:
        assert f"## {system.title}" in page
    for name in ("atlas.csv", "atlas.nc", "atlas.png"):
        assert (PAGE.parent / name).exists() and f"({name})" in page


def test_the_table_beside_the_page_has_every_system_and_method(committed):
    flows = [row for row in committed if row["rule"] == "flow"]
    assert {row["system"] for row in flows} == {system.name for system in atlas.SYSTEMS}
    assert {row["method"] for row in flows} >= {method.name for method in atlas.METHODS if method.kind != "update"}
    assert {row["rule"] for row in committed} >= {method.name for method in atlas.METHODS if method.kind == "update"}
    assert all(row["reason"] for row in committed if row["agrees"] == "no")


def differences(page, committed):
    """Cells whose text on the page is not that of the table beside it, and how many were looked at."""
    found, num = [], 0
    for system in atlas.SYSTEMS:
        section = re.split(rf"^## {re.escape(system.title)}$", page, flags=re.MULTILINE)[1].split("\n## ")[0]
        of_flows, *of_rules = tables(section)
        rows = [row for row in committed if row["system"] == system.name]
        flows = [row for row in rows if row["rule"] == "flow"]
        steps = {(row["base"], row["method"], row["rule"]): row["critical_step"] for row in rows}
        for line, row in zip(of_flows, flows, strict=True):
            pairs = [(line["Eigenvalues"], row["eigenvalues_or_multipliers"]), (line["Flow"], row["verdict"])]
            pairs += [(line["Best weight"].split(" ")[0], row["best"])]
            asked = [name.removeprefix("Critical: ") for name in line if name.startswith("Critical: ")]
            critical = [steps.get((row["base"], row["method"], name), "") for name in asked]
            pairs += zip([line[f"Critical: {name}"].replace("∞", "inf") for name in asked], critical, strict=True)
            found += [(system.name, row["base"], row["method"]) for said, held in pairs if not said.startswith(held)]
            num += 1
        num += sum(map(len, of_rules))
    return found, num


def test_the_cells_of_the_page_are_those_of_the_table_beside_it(committed):
    page = PAGE.read_text()
    found, num = differences(page, committed)
    assert found == []
    assert num >= FEWEST_CELLS
    assert f"{num} cells stand here" in page
    assert differences(page, [row | {"verdict": "wanders"} for row in committed])[0]
    assert differences(page, [row | {"critical_step": "7"} for row in committed])[0]
