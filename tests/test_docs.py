"""The documentation is whole: every public name is on its page, and every image exists."""

import ast
import re
from pathlib import Path

import pytest

from experiments.explore._games import GAMES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gan_ode"
API = ROOT / "docs" / "api"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _source(group: str) -> Path:
    folder = PACKAGE / group
    return folder / "__init__.py" if folder.is_dir() else PACKAGE / f"{group}.py"


def _groups() -> list[str]:
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    return sorted(name for name in names if not name.startswith("_"))


def _names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.ImportFrom(names=aliases):  # `from ._dirac import DiracGAN as DiracGAN`
            return [alias.name for alias in aliases if alias.name == alias.asname]
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _public_names(group: str) -> set[str]:
    statements = ast.parse(_source(group).read_text()).body
    return {name for statement in statements for name in _names(statement) if not name.startswith("_")}


def _wrong(page: str, group: str, names: set[str]) -> set[str]:
    """The names that a page leaves out, lists twice, or lists without there being any."""
    listed = re.findall(rf"^::: gan_ode\.{group}\.(\w+)$", page, flags=re.MULTILINE)
    return {name for name in names.union(listed) if listed.count(name) != 1 or name not in names}


@pytest.mark.parametrize("group", _groups())
def test_the_page_of_a_group_lists_its_public_names_and_no_others(group):
    assert _wrong((API / f"{group}.md").read_text(), group, _public_names(group)) == set()


def test_what_a_page_leaves_out_is_found():
    page = (
        "::: gan_ode.updates.Left\n\n::: gan_ode.updates.Twice\n\n::: gan_ode.updates.Twice\n\n::: gan_ode.losses.Out\n"
    )
    assert _wrong(page, "updates", {"Out", "Twice"}) == {"Left", "Out", "Twice"}
    assert _wrong((API / "updates.md").read_text(), "updates", {*_public_names("updates"), "Scratch"}) == {"Scratch"}


def test_every_api_page_is_in_the_navigation_and_has_a_group():
    navigation = re.findall(r"api/(\w+)\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(navigation) == sorted(page.stem for page in API.glob("*.md")) == _groups()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_image_of_a_page_exists(page):
    text = page.read_text()
    images = re.findall(r"!\[[^\]]*\]\(([^)\s#]+)", text) + re.findall(
        r"<(?:img|source)\b[^>]*?\bsrc(?:set)?=\"([^\"#]+)", text
    )
    missing = [image for image in images if not (page.parent / image).is_file()]
    assert not missing


def test_every_game_that_can_be_explored_is_shown_and_no_other():
    shown = {name for page in PAGES for name in re.findall(r'src="[./]*explorers/(\S+).html"', page.read_text())}
    assert shown == set(GAMES)


def test_the_tests_and_files_that_the_page_on_lowering_names_exist():
    page = (ROOT / "docs" / "lowering.md").read_text()
    tests = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", page)
    assert len(tests) > 10
    for path, name in tests:
        found = [base / path for base in (ROOT, PACKAGE, ROOT / "tests") if (base / path).is_file()]
        found = found or [*PACKAGE.rglob(path), *(ROOT / "tests").rglob(path)]
        assert found, path
        assert not name or f"def {name}(" in found[0].read_text(), f"{path}::{name}"
