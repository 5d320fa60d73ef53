"""A method is added to the package by as many lines as the page on extending says."""

import importlib
import re
from pathlib import Path

import pytest

from experiments._machinery import _atlas as atlas

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
# One method of each row of the page's table, with its file and its catalogue's.
EXAMPLES = {
    "loss": ("KL", "gan_ode/losses/divergences/_kl.py", "tests/loss_facts.py"),
    "game": ("Kernel", "gan_ode/games/_kernel.py", "tests/game_facts.py"),
    "penalty, adjustment": ("R2", "gan_ode/regularizers/penalties/_r2.py", "tests/catalogue.py"),
    "update": ("Nesterov", "gan_ode/updates/_nesterov.py", "tests/catalogue.py"),
}
WORDS = {"four": 4, "five": 5, "six": 6}


def rows(page: str) -> dict[str, list[str]]:
    """What the table says of each kind: file, export, entry, docs line."""
    table = page.split("| New | file | export |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {first: re.findall(r"`([^`]+)`", " ".join(rest)) for first, *rest in cells}


def places(name: str, export: str, catalogue: str, entries: str, docs: str) -> dict[str, int]:
    """How many lines each place has for a method; of what may have several, whether there is one."""

    def lines(file: str, pattern: str) -> int:
        return len(re.findall(pattern, (ROOT / file).read_text(), flags=re.MULTILINE))

    assert hasattr(importlib.import_module(catalogue[:-3].replace("/", ".")), entries)
    group = export.split("/")[1]
    of_atlas = [*atlas.METHODS, *(system for system in atlas.SYSTEMS if name in str(system.bases))]
    return {
        "export": lines(export, rf"\b{name} as {name}\b"),
        "entry": min(1, lines(catalogue, rf"\b{group}\.{name}\b")),
        "docs": lines(docs, rf"^::: gan_ode\.{group}\.{name}$"),
        "changes": min(1, lines("CHANGELOG.md", rf"\b{name}\b")),
        "atlas": min(1, sum(name in each.name or name.lower() == each.name for each in of_atlas)),
        "formula": min(1, lines(f"docs/{group}.md", rf"^\| `{name}` \|")),
    }


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_method_stands_in_as_many_places_as_the_page_says(kind):
    name, file, catalogue = EXAMPLES[kind]
    *_, export, entries, docs = rows(PAGE)[kind]
    assert (ROOT / file).exists()
    found = places(name, export, catalogue, entries, docs)
    assert set(found.values()) == {1}, found
    # Those with the formula are one more than the page counts before it.
    said = re.search(r"by (\w+) lines besides its own file, and by a sixth with its formula", " ".join(PAGE.split()))
    assert said and WORDS[said[1]] == len(found) - 1


def test_every_row_of_the_table_has_an_example():
    assert rows(PAGE).keys() == EXAMPLES.keys()
