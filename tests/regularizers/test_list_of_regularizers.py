"""The page of penalties and adjustments lists each with its formula."""

import inspect
import re
from pathlib import Path

from gan_ode import regularizers

PAGE = (Path(__file__).parents[2] / "docs" / "regularizers.md").read_text()
# What puts them to a game and to a field.
_CARRIERS = {"Penalized", "Adjusted"}


def regularizers_without_a_formula(page: str) -> set[str]:
    """The public classes that have no row with a formula and a source, and rows of what there is not."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]*\$[^|]*\$.* \| (\S[^|]*\d{4}[^|]*) \|$", page, flags=re.MULTILINE)
    kinds = {name for name, each in vars(regularizers).items() if inspect.isclass(each) and name[0] != "_"}
    kinds -= _CARRIERS | {name for name in kinds if name.startswith("Abstract")}
    return kinds.symmetric_difference(name for name, _ in rows)


def test_each_penalty_and_adjustment_has_its_formula_and_source_on_the_page():
    assert regularizers_without_a_formula(PAGE) == set()
    assert regularizers_without_a_formula(PAGE.replace("| `LOLA` |", "| `LOAL` |")) == {"LOLA", "LOAL"}
    assert (
        regularizers_without_a_formula(PAGE.replace("| `R2` | $", "| `R2` | ").replace("$ | disc", " | disc")) != set()
    )
