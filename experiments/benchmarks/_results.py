"""What a part has found so far, in a file from the first row on: an interruption loses nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments._machinery import _record
from experiments.benchmarks._rows import Row, Verdict
from gan_ode import _files


class Results:
    """Rows and verdicts, written anew after every addition.

    Args:
        path: Where to, as strict JSON; None for nowhere.
        rounds: Interleaved rounds to time.
        quick: Whether a smoke run is wanted.
        facts: What else is written: machine, versions.
        show: Is handed what is added, as it comes.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        rounds: int = 5,
        quick: bool = False,
        facts: Any = None,
        show: Callable[[list[Row], list[Verdict]], None] | None = None,
    ):
        self.path, self.rounds, self.quick, self.show = path, rounds, quick, show
        self.facts = dict(facts or {})
        self.rows: list[Row] = []
        self.verdicts: list[Verdict] = []

    def add(self, rows: list[Row], verdicts: list[Verdict] | None = None) -> None:
        self.rows += rows
        self.verdicts += verdicts or []
        self.write()
        if self.show is not None:
            self.show(rows, verdicts or [])

    def write(self, **facts: Any) -> None:
        self.facts |= facts
        if self.path is not None:
            verdicts = [_record.plain(verdict) | {"missed": verdict.missed} for verdict in self.verdicts]
            replace(self.path, _record.to_json({**self.facts, "rows": self.rows, "verdicts": verdicts}))


def replace(path: Path, text: str) -> None:
    """Writes a file so that a reader finds the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _files.replace(path, text.encode())
