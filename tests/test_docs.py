"""The documentation is whole: every public name is on its page, every page has a picture, and every image exists."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from experiments.explore._games import GAMES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gan_ode"
API = ROOT / "docs" / "api"
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
# Functions of `plot` that draw no picture of their own.
NOT_PICTURES = {"colorbar", "explorer", "label_panel", "legend", "style"}


def _script(name):
    specification = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


pictures = _script("pictures")


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


def _images(text: str) -> list[str]:
    """The places of a page's images."""
    return re.findall(r"!\[[^\]]*\]\(([^)\s#]+)", text) + re.findall(
        r"<(?:img|source)\b[^>]*?\bsrc(?:set)?=\"([^\"#]+)", text
    )


def _made() -> list[str]:
    """The pictures that snippets make for a page that shows them."""
    return [name for page in pictures.pages() for name in pictures.shown_by(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_image_of_a_page_exists_or_is_made_by_a_snippet(page):
    made = {pictures.FOLDER / name for name in _made()}
    places = [(page.parent / image).resolve() for image in _images(page.read_text())]
    assert not [place for place in places if place not in made and not place.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_has_a_picture_or_an_explorer(page):
    assert _images(page.read_text()) or '<iframe class="explorer"' in page.read_text()


def test_every_picture_has_a_name_of_its_own():
    assert len(_made()) > 30 and len(set(_made())) == len(_made())


def test_a_picture_runs_what_makes_its_names_and_nothing_else():
    before = [
        "import a\nimport b\njax.config.update('x', 1)",
        "def used(x):\n    return inner(x)\n\ndef inner(x):\n    return a.f(x)\n\nn = 1\nother = b.g()",
        "used(n)\nother.run()\nassert used(1)\nn = n + 1\nk, m = used(n), 2",
    ]
    kept = ast.unparse(pictures.needed(before, "print(k)")).splitlines()
    assert kept == [
        "import a", "jax.config.update('x', 1)",
        "", "def used(x):", "    return inner(x)", "", "def inner(x):", "    return a.f(x)",
        "n = 1", "used(n)", "n = n + 1", "k, m = (used(n), 2)", "print(k)",
    ]  # fmt: skip


def _in_navigation() -> set[str]:
    return set(re.findall(r"^ .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))


def test_every_page_is_in_the_navigation_and_on_the_first_page():
    found = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert _in_navigation() == found
    named = set(re.findall(r"\]\(([\w/]+\.md)", (DOCS / "index.md").read_text()))
    assert found - named == {"index.md"}


def test_every_notebook_has_a_page_and_can_be_downloaded():
    notebooks = ast.parse((DOCS / "notebooks.py").read_text()).body
    (of_pages,) = [each.value for each in notebooks if isinstance(each, ast.Assign) and each.targets[0].id == "PAGES"]
    rows = re.findall(
        r"\[\w+\.ipynb\]\(notebooks/(\w+)\.ipynb\) \| \[.*\]\((.*\.md)\)", (DOCS / "notebooks.md").read_text()
    )
    assert dict(rows) == ast.literal_eval(of_pages)
    assert all((DOCS / page).is_file() for _, page in rows)


def test_the_gallery_has_every_figure_and_every_function_that_draws_one():
    page = (DOCS / "gallery.md").read_text()
    figures = {f"figures/{path.name}" for path in (DOCS / "figures").iterdir()}
    assert figures - set(_images(page)) == set()
    drawing = {name for name in _public_names("plot") if name.islower()} - NOT_PICTURES
    assert drawing - set(re.findall(r"\[`plot\.(\w+)`\]", page)) == set()


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
