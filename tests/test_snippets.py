"""The Python that the documentation shows does what the documentation says."""

import ast
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parents[1]
CANDIDATES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "gan_ode").rglob("*.py"))]
DOCSTRING_OWNERS = ast.Module | ast.ClassDef | ast.FunctionDef


def _texts(path: Path) -> Iterator[str]:
    """A page as a whole, since its snippets build on each other; of a module each docstring on its own."""
    if path.suffix == ".md":
        yield path.read_text()
    else:
        owners = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, DOCSTRING_OWNERS))
        yield from (ast.get_docstring(owner) or "" for owner in owners)


@pytest.mark.parametrize(
    "path",
    [path for path in CANDIDATES if "```python" in path.read_text()],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_snippets_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in _texts(path):
        document = Document(text, str(path))
        for parser in (SkipParser(), PythonCodeBlockParser()):
            for region in parser(document):
                document.add(region)
        for example in document.examples():
            example.evaluate()
    keep_pictures(tmp_path)


def keep_pictures(folder: Path) -> None:
    """Leaves what snippets drew where `make docs` looks for it, if the environment says where."""
    if target := os.environ.get("GAN_ODE_PICTURES"):
        Path(target).mkdir(exist_ok=True)
        for picture in folder.glob("*.png"):
            shutil.copyfile(picture, Path(target) / picture.name)
