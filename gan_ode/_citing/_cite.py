import importlib.metadata
import importlib.resources
import inspect
import re
from collections.abc import Iterator
from typing import Any

import equinox as eqx

_ENTRY = re.compile(r"^@\w+\{.*?^\}$", flags=re.MULTILINE | re.DOTALL)
_SOURCE = re.compile(r"^Sources?: (.*?)(?:\n\n|\Z)", flags=re.MULTILINE | re.DOTALL)
_ARXIV = re.compile(r"arXiv:([\w./]*\w)")
_PACKAGE = """@software{{gan_ode,
  title = {{gan_ode: {{GAN}} training as a dynamical system}},
  version = {{{version}}},
}}"""
# Libraries that are cited by a work of their own.
_LIBRARIES = ("diffrax",)


def cite(*objects: Any) -> str:
    r"""BibTeX of the package and of the methods that some objects are made of.

    ```python
    import gan_ode
    from gan_ode import backward_error, fields, games, losses, regularizers, updates

    game = regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.R1(0.5))
    entries = gan_ode.cite(fields.GameField(game), updates.Optimistic(0.1), backward_error.modified_field)
    assert "mescheder2018" in entries and "daskalakis2018" in entries
    ```

    Args:
        *objects: Fields, games, losses, penalties, updates, solvers, with all that they hold; classes and functions of
            the package. What has no source of its own adds nothing.

    Returns:
        The entries, the package's first, the others by their keys.
    """
    texts = [
        text for kind in dict.fromkeys(kind for thing in objects for kind in _kinds(thing)) for text in _texts(kind)
    ]
    found = sorted({entry for entry in _entries() if any(_is_named(entry, text) for text in texts)}, key=_key)
    package = _PACKAGE.format(version=importlib.metadata.version("gan_ode"))
    return "\n\n".join([package, *(re.sub(r"  cited_as = .*\n", "", entry) for entry in found)]) + "\n"


def _kinds(thing: Any) -> Iterator[Any]:
    """The classes of a thing and of all that it holds; a class or a function is its own."""
    if inspect.isclass(thing) or inspect.isroutine(thing):
        yield thing
        return
    yield type(thing)
    if isinstance(thing, eqx.Module):
        parts = vars(thing).values()
    elif isinstance(thing, dict):
        parts = thing.values()
    else:
        parts = thing if isinstance(thing, list | tuple) else ()
    for part in parts:
        yield from _kinds(part)


def _texts(kind: Any) -> Iterator[str]:
    """What a class or function says of its sources; of another library's, its name."""
    library = str(getattr(kind, "__module__", "")).partition(".")[0]
    if library in _LIBRARIES:
        yield library
    if library == "gan_ode":
        yield from (" ".join(text.split()) for text in _SOURCE.findall(inspect.getdoc(kind) or ""))


def _entries() -> list[str]:
    table = importlib.resources.files("gan_ode._citing") / "references.bib"
    return _ENTRY.findall(table.read_text(encoding="utf-8"))


def _field(entry: str, name: str) -> str | None:
    found = re.search(rf"^  {name} = \{{(.*)\}},$", entry, flags=re.MULTILINE)
    return found and found[1]


def _key(entry: str) -> str:
    return entry[entry.index("{") + 1 : entry.index(",")]


def _is_named(entry: str, text: str) -> bool:
    words = _field(entry, "cited_as")
    return _field(entry, "eprint") in _ARXIV.findall(text) or (words is not None and words in text)
