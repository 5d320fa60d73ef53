"""The page of games lists each with its formula."""

import inspect
import re
from pathlib import Path

from gan_ode import games

PAGE = (Path(__file__).parents[2] / "docs" / "games.md").read_text()


def games_without_a_formula(page: str) -> set[str]:
    """The games that have no row with their field or value, and rows of what is no game."""
    table = page.split("## The games and their formulas")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S.*?) \| (.*?) \| (.*?) \|$", table, flags=re.MULTILINE)
    kinds = {
        name
        for name, each in vars(games).items()
        if inspect.isclass(each) and issubclass(each, games.AbstractGame) and not name.startswith("Abstract")
    }
    return kinds.symmetric_difference(name for name, *_ in rows)


def test_each_game_has_its_formula_on_the_page():
    assert games_without_a_formula(PAGE) == set()
    assert games_without_a_formula(PAGE.replace("| `Kernel` |", "| `Colonel` |")) == {"Kernel", "Colonel"}
