"""The page of losses lists each with its formula."""

import inspect
import re
from pathlib import Path

from gan_ode import losses
from tests.loss_facts import LOSSES

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()


def losses_without_a_formula(page: str) -> set[str]:
    """The losses that have no row with what is paid, and rows of what is no loss."""
    table = page.split("## The losses and their formulas")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\$.*\$.*?) \| (\S.*?) \|$", table, flags=re.MULTILINE)
    kinds = {
        name
        for name, each in vars(losses).items()
        if inspect.isclass(each) and issubclass(each, losses.AbstractObjective) and not name.startswith("Abstract")
    }
    return kinds.symmetric_difference(name for name, _, _ in rows)


def test_each_loss_has_its_formula_and_source_on_the_page():
    assert losses_without_a_formula(PAGE) == set()
    assert losses_without_a_formula(PAGE.replace("| `KL` |", "| `LK` |")) == {"KL", "LK"}


def test_the_f_gans_stand_in_the_table_of_divergences():
    table = PAGE.split("## f-divergences")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    made = {type(facts.make()) for facts in LOSSES.values()}
    assert sorted(rows) == sorted(kind.__name__ for kind in made if issubclass(kind, losses.AbstractDivergence))
