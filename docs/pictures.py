"""Makes the pictures of `docs/pictures`, which pages show: `python docs/pictures.py [PAGE ...]`.

A picture is what a snippet of a page saves by `figure.savefig("NAME.png")`. They are not kept in the repository. Of the
snippets before it a picture needs a few lines only, those that make the names that it uses, and only these are run.
What is newer than its page and the package is left as it is. The tests of the snippets make all of them, too, and leave
them here if the environment variable `GAN_ODE_PICTURES` names this folder.
"""

import ast
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

DOCS = Path(__file__).parent
FOLDER = DOCS / "pictures"
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"pictures/([\w-]+\.png)")
# Before a snippet that no page runs.
SKIPPED = "<!-- skip: next -->"


def pages() -> list[Path]:
    """All pages, by their paths."""
    return sorted(DOCS.rglob("*.md"))


def snippets(page: str) -> list[str]:
    """The Python of a page, without what it says not to run."""
    return [found[1] for found in BLOCK.finditer(page) if not page[: found.start()].rstrip().endswith(SKIPPED)]


def made_by(snippet: str) -> list[str]:
    """The names of the pictures that a snippet saves."""
    return re.findall(r"\.savefig\(\"([\w-]+\.png)\"", snippet)


def needed(before: list[str], snippet: str) -> ast.Module:
    """A snippet, and those statements of the ones before it that make the names that it uses."""
    earlier, last = ast.parse("\n".join(before)).body, ast.parse(snippet).body
    kept: list[ast.stmt] = []
    while True:
        again = _making(earlier, [*kept, *last])
        if len(again) == len(kept):
            return ast.Module([*kept, *last], type_ignores=[])
        kept = again


def _making(earlier: list[ast.stmt], users: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that make what others use, and what is used for that."""
    # What a function uses is looked up when it is called, so that all that is made of such a name may count.
    wanted, later = _names(users, _used), _names(users, _used_later)
    functions = {each.name for each in earlier if isinstance(each, ast.FunctionDef)}
    kept: list[ast.stmt] = []
    for statement in reversed(earlier):
        made = _made(statement)
        if made & (wanted | later) or _acts(statement, functions):
            kept.append(statement)
            wanted = (wanted - made) | _used(statement)
            later |= _used_later(statement)
    return kept[::-1]


def _names(statements: list[ast.stmt], of: Callable[[ast.stmt], set[str]]) -> set[str]:
    return set().union(*map(of, statements))


def _used(statement: ast.stmt) -> set[str]:
    return {each.id for each in ast.walk(statement) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}


def _used_later(statement: ast.stmt) -> set[str]:
    inner = (each for each in ast.walk(statement) if isinstance(each, ast.FunctionDef | ast.Lambda | ast.ClassDef))
    found: set[str] = set()
    for each in inner:
        for part in each.body if isinstance(each.body, list) else [ast.Expr(each.body)]:
            found |= _used(part)
    return found


def _made(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
        case ast.Assert():
            return set()
    return {each.id for each in ast.walk(statement) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _acts(statement: ast.stmt, functions: set[str]) -> bool:
    """Whether it makes no name but does something: a setting of JAX, or a call of one of the page's own functions."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    called = ast.unparse(statement.value.func)
    return called == "jax.config.update" or called in functions


def shown_by(page: str) -> list[str]:
    """The names of the pictures that a page makes and shows."""
    made = [name for snippet in snippets(page) for name in made_by(snippet)]
    return [name for name in made if name in SHOWN.findall(page)]


def is_new(page: Path) -> bool:
    """Whether the pictures of a page are newer than what they are made of."""
    places = [FOLDER / name for name in shown_by(page.read_text())]
    sources = [page, *(DOCS.parent / "gan_ode").rglob("*.py")]
    newest = max(source.stat().st_mtime for source in sources)
    return all(place.is_file() and place.stat().st_mtime > newest for place in places)


def make(page: Path) -> Iterator[str]:
    """Makes the pictures of a page in the current folder; yields their names."""
    before: list[str] = []
    shown = shown_by(page.read_text())
    for snippet in snippets(page.read_text()):
        if names := [name for name in made_by(snippet) if name in shown]:
            code = compile(needed(before, snippet), f"{page}: {', '.join(names)}", "exec")
            exec(code, {"__name__": "picture"})
            yield from names
        before.append(snippet)


def main(argv: list[str]) -> None:
    """Makes the pictures of the pages, or of all."""
    FOLDER.mkdir(exist_ok=True)
    chosen = [Path(name).absolute() for name in argv] or [page for page in pages() if not is_new(page)]
    # What else a snippet writes is left there.
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for page in chosen:
            for name in make(page):
                shutil.copyfile(name, FOLDER / name)
                print(f"{page.relative_to(DOCS)}: {name}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    # Most of the time goes into compiling programs that run once.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    sys.path.insert(0, str(DOCS.parent))
    main(sys.argv[1:])
