"""The pages of losses, games, regularizers and training rules list each with its formula and its source."""

import dataclasses
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from gan_ode import games, losses, regularizers, updates
from tests.loss_facts import LOSSES

DOCS = Path(__file__).parents[1] / "docs"


@dataclasses.dataclass(frozen=True)
class Listed:
    """A page with the classes of a group.

    Attributes:
        group: The group.
        row: A row of the table, as a pattern; the name is its first group.
        some: One of the names, which is taken off the page to see that it is missed.
        unlisted: Public classes that are none of the kind.
    """

    group: ModuleType
    row: str
    some: str
    unlisted: frozenset[str] = frozenset()

    @property
    def page(self) -> str:
        return (DOCS / f"{self.group.__name__.split('.')[-1]}.md").read_text()

    def differences(self, page: str) -> set[str]:
        """What has no row, and rows of what there is not."""
        kinds = {name for name, each in vars(self.group).items() if inspect.isclass(each) and name[0] != "_"}
        kinds -= self.unlisted | {name for name in kinds if name.startswith("Abstract")}
        return kinds.symmetric_difference(re.findall(self.row, page, flags=re.MULTILINE))


LISTS = (
    # The table of divergences has more columns.
    Listed(
        losses, r"^\| `(\w+)` \| \$[^|]*\$[^|]* \| \S[^|]* \|$", "KL", unlisted=frozenset({"AtEquilibrium", "Scores"})
    ),
    Listed(games, r"^\| `(\w+)` \| \S.*? \| .*? \| .*? \|$", "Kernel", unlisted=frozenset({"Players"})),
    Listed(
        regularizers,
        r"^\| `(\w+)` \| [^|]*\$[^|]*\$.* \| \S[^|]*\d{4}[^|]* \|$",
        "LOLA",
        # What puts the others to a game and to a field.
        unlisted=frozenset({"Penalized", "Adjusted"}),
    ),
    Listed(updates, r"^\| `(\w+)` \| \S.*? \| .*\|$", "Nesterov"),
)


@pytest.mark.parametrize("listed", LISTS, ids=lambda listed: listed.group.__name__)
def test_each_has_its_formula_on_the_page(listed):
    assert listed.differences(listed.page) == set()
    without = listed.page.replace(f"| `{listed.some}` |", "| `Unknown` |")
    assert listed.differences(without) == {listed.some, "Unknown"}


def test_a_row_without_a_formula_is_none():
    losses_listed = LISTS[0]
    rows = re.sub(r"(?m)^(\| `Wasserstein` \| )[^|]*", r"\1saturating ", losses_listed.page)
    assert losses_listed.differences(rows) == {"Wasserstein"}


def test_the_f_gans_stand_in_the_table_of_divergences():
    table = LISTS[0].page.split("## f-divergences")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    made = {type(facts.make()) for facts in LOSSES.values()}
    assert sorted(rows) == sorted(kind.__name__ for kind in made if issubclass(kind, losses.AbstractDivergence))
