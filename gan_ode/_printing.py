"""How results print: a verdict, the numbers behind it, and where it helps a table; shapes where there are no numbers.

A class says what it prints by a method `_report`, which returns a `Report`, and takes `@printed`. Under a
transformation, and of a batch where a report speaks of one, `repr` is Equinox's.
"""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

_Class = TypeVar("_Class", bound=type)

# Numbers of a state, eigenvalues and rows of a table that are shown.
_MOST_NUMBERS, _MOST_VALUES, _MOST_ROWS = 6, 6, 12
# What a report runs into whose numbers are traced, are placeholders, or have an axis more than it speaks of.
_NO_NUMBERS = (TypeError, ValueError, AttributeError, IndexError, KeyError, AssertionError)


@dataclasses.dataclass(frozen=True)
class Report:
    """What is printed of a result.

    Attributes:
        title: The verdict, in a line.
        lines: Names and what stands behind them; what is None is left out.
        header: The columns of a table.
        rows: Its rows, each of strings.
        plain: The plain text, where it is not made of these.
    """

    title: str
    lines: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plain: str | None = None

    def text(self) -> str:
        """A few lines of plain text."""
        if self.plain is not None:
            return self.plain
        said = {name: text for name, text in self.lines.items() if text is not None}
        width = max(map(len, said), default=0)
        parts = [self.title, *(f"  {name:<{width}}  {text}" for name, text in said.items())]
        if self.rows:
            shown = [tuple(self.header), *map(tuple, self.rows[:_MOST_ROWS])]
            widths = [max(len(row[i]) for row in shown) for i in range(len(self.header))]
            parts += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]
            parts += [f"  and {self._hidden} more"] if self._hidden > 0 else []
        return "\n".join(parts)

    def html(self) -> str:
        """The same as two tables of HTML."""
        if self.plain is not None and not self.rows:
            return f"<pre>{html.escape(self.plain)}</pre>"
        said = [(name, text) for name, text in self.lines.items() if text is not None]
        parts = [f"<b>{html.escape(self.title)}</b>"]
        if said:
            parts.append(_table([], said))
        if self.rows:
            parts.append(_table(self.header, self.rows[:_MOST_ROWS]))
            parts += [f"and {self._hidden} more"] if self._hidden > 0 else []
        return "<div>" + "".join(parts) + "</div>"

    @property
    def _hidden(self) -> int:
        return len(self.rows) - _MOST_ROWS


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def printed(cls: _Class) -> _Class:
    """Lets results print what their `_report` says; a class decorator."""
    plain = eqx.Module.__repr__ if issubclass(cls, eqx.Module) else cls.__repr__

    def report(self: Any) -> Report | None:
        try:
            return self._report()
        except _NO_NUMBERS:
            return None

    def as_text(self: Any) -> str:
        found = report(self)
        return plain(self) if found is None else found.text()

    def as_html(self: Any) -> str | None:
        found = report(self)
        return None if found is None else found.html()

    changed: Any = cls
    changed.__repr__, changed.__str__, changed._repr_html_ = as_text, as_text, as_html
    return cls


def number(value: Any, digits: int = 4) -> str:
    """A number, complex or not, to so many digits."""
    value = np.asarray(value).item()
    if isinstance(value, complex):
        if value.imag == 0:
            return f"{value.real:.{digits}g}"
        return f"{value.real:.{digits}g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.{digits}g}i"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value:.{digits}g}"


def measured(value: Any, error: Any) -> str | None:
    """A number with its error; None if it was not measured."""
    if np.isnan(value):
        return None
    return f"{number(value, 6)} ± {number(error, 2)}" if not np.isnan(error) else number(value, 6)


def numbers(values: Any, most: int = _MOST_VALUES) -> str:
    """Some numbers of an axis, and how many are left out."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError("`values` must have one axis.")
    text = ", ".join(number(value) for value in values[:most])
    return f"{text}, and {len(values) - most:,} more" if len(values) > most else text


def state(y: Any) -> str:
    """A state: its numbers by name if they are few, else how many there are and their norm."""
    leaves = [(leaf_name(path), np.asarray(leaf)) for path, leaf in jax.tree_util.tree_flatten_with_path(y)[0]]
    size = sum(leaf.size for _, leaf in leaves)
    if size > _MOST_NUMBERS:
        norm = np.sqrt(sum(np.sum(np.square(leaf, dtype=float)) for _, leaf in leaves))
        return f"{size:,} numbers in {len(leaves):,} {'arrays' if len(leaves) > 1 else 'array'}, norm {number(norm)}"
    return ", ".join(f"{name} {_few(leaf)}".strip() for name, leaf in leaves)


def _few(leaf: np.ndarray) -> str:
    return number(leaf) if leaf.ndim == 0 else "(" + ", ".join(number(value) for value in leaf.ravel()) + ")"


def leaf_name(path: Any, otherwise: str = "") -> str:
    """The name of a leaf by its path, as `discriminator.layers.0.weight`."""
    return jax.tree_util.keystr(path, simple=True, separator=".") or otherwise


def counted(words: Any) -> str:
    """How often each word comes, the most frequent first: "970 ok, 30 blow_up"."""
    found, times = np.unique(np.asarray(words).ravel(), return_counts=True)
    order = np.argsort(-times, kind="stable")
    return ", ".join(f"{times[i]:,} {found[i]}" for i in order)


def yes(value: Any) -> bool:
    """A single truth value as Python's own."""
    return bool(np.asarray(value).item())
