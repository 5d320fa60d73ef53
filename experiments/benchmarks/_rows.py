"""What a benchmark finds: rows with times, and verdicts on their ratios."""

import dataclasses
import math
import statistics
from typing import Any

PACKAGE = "gan_ode"


@dataclasses.dataclass(frozen=True)
class Row:
    """One who was timed, or not.

    Args:
        case: What was solved.
        name: By whom.
        seconds: Of every round, scaled to the whole ensemble where only a part was timed; empty if nothing was.
        why_not: Why it was not timed, or empty.
        size: Members of the ensemble, or parameters.
        timed: Members that were timed, where the seconds are scaled up from a part.
        asked: The tolerance of the case.
        tolerance: The one that was used.
        error: Largest error against the reference, relative to one plus the state.
        allowed: The largest error at which a time counts.
    """

    case: str
    name: str
    seconds: tuple[float, ...] = ()
    why_not: str = ""
    size: int | None = None
    timed: int | None = None
    asked: float | None = None
    tolerance: float | None = None
    error: float | None = None
    allowed: float | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A measured number and the largest that is wanted.

    Args:
        case: What was solved.
        name: What the number is.
        value: The number, or None if it could not be measured.
        target: The largest that is wanted; None where the number is only reported.
        strict: Whether it must stay below the target, not only reach it.
        unit: Of both; a ratio has none.
        note: Why there is no number.
        fault: Whether the missing number is the package's own fault, and so a missed target.
    """

    case: str
    name: str
    value: float | None
    target: float | None = None
    strict: bool = False
    unit: str = ""
    note: str = ""
    fault: bool = False

    @property
    def missed(self) -> bool:
        if self.target is None:
            return False
        if self.value is None:
            return self.fault
        return not (self.value < self.target if self.strict else self.value <= self.target)


def ratio(
    rows: list[Row], measured: str, baseline: str, target: float | None = None, *, strict: bool = False
) -> Verdict:
    """The median over the rounds of the ratio in each: what slows the machine down slows both.

    Without a time of the baseline there is nothing to judge; without one of the package the target is missed.
    """
    above, below = (next((row for row in rows if row.name == name), None) for name in (measured, baseline))
    case = rows[0].case
    name = f"{measured} / {baseline}"
    for row, absent in ((above, measured), (below, baseline)):
        if row is None or not row.seconds:
            reason = "not there" if row is None else row.why_not
            fault = absent.startswith(PACKAGE)
            return Verdict(case, name, None, target, strict, note=f"{absent}: {reason}", fault=fault)
    assert above is not None and below is not None
    pairs = zip(above.seconds, below.seconds, strict=False)
    return Verdict(case, name, statistics.median(a / b for a, b in pairs), target, strict)


def fastest(rows: list[Row], names: tuple[str, ...]) -> str:
    """Of several, the one with the least median; the first where none was timed."""
    medians = {row.name: row.median for row in rows if row.name in names}
    return min(names, key=lambda name: _or_infinite(medians.get(name)))


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def row_from(data: dict[str, Any]) -> Row:
    return Row(**{**data, "seconds": tuple(data["seconds"])})


def verdict_from(data: dict[str, Any]) -> Verdict:
    known = {field.name for field in dataclasses.fields(Verdict)}
    return Verdict(**{name: value for name, value in data.items() if name in known})
