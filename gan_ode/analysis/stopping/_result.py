"""What a question for the end of a cycle returns."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

from ..._printing import measured, number, printed, Report
from ..cycle_branches import CycleBranch
from ..fates import Verdict
from ._judge import Judge

How: TypeAlias = Literal[
    "hopf",
    "neimark-sacker",
    "flip",
    "fold",
    "branch point",
    "fold of cycles",
    "torus",
    "period without end",
    "family of cycles",
    "no cycle at the start",
    "not named",
    "not in the range",
    "undecided",
]


@printed
@dataclasses.dataclass(frozen=True)
class Stop:
    """Where one knob ends the cycle.

    Attributes:
        knob: Its name.
        value: The value at which the cycle ceases to exist or to attract; NaN if it does not, or that is undecided.
        error: How far the value may be off: 0 where it was found to rounding, as an event; half of the bracket else; at
            a branch point of cycles a millionth of the range.
        how: What happens there. "hopf", "neimark-sacker", "flip", "fold" and "branch point" happen to the equilibrium
            that the cycle goes around; "fold of cycles", "torus" and "period without end" to the cycle. "family of
            cycles": at the start it is one of a continuum, which any turn breaks. "no cycle at the start": what is
            followed there does not cycle. "not named": between two verdicts lies no event that was found. "undecided":
            the verdict beyond is missing, and the value, if there is one, is that of an event.
        turn: How far the knob must turn, as a part of its range; infinite if it does not stop the cycle, or if that is
            undecided.
        before: The verdict short of the value.
        after: The verdict beyond the value, at `beyond`; where nothing stops the cycle at the end of the range.
        beyond: The value of that verdict.
        verdicts: All values that were looked at, from the start on, each with its verdict.
        branch: The branch of the cycle, where it was followed; None where verdicts alone were taken.
    """

    knob: str
    value: float
    error: float
    how: How
    turn: float
    before: Verdict
    after: Verdict
    beyond: float
    verdicts: tuple[tuple[float, Verdict], ...]
    branch: CycleBranch | None = None

    @property
    def rate(self) -> float:
        """The growth rate of a small disturbance just beyond, below zero where it converges; NaN if it does not."""
        return self.after.rate if self.after.kind == "converges" else float("nan")

    def _report(self) -> Report:
        title = f"{self.knob}: {self.how}"
        if not np.isnan(self.value):
            title += f" at {number(self.value, 8)}"
        lines = {
            "error": None if not self.error > 0 else number(self.error),
            "turn": None if not np.isfinite(self.turn) else f"{number(self.turn)} of the range",
            "before": self.before.kind,
            "beyond": f"{self.after.kind}, at {number(self.beyond, 6)}",
            "rate there": measured(self.rate, float("nan")),
        }
        return Report(title, lines)


@printed
@dataclasses.dataclass(frozen=True)
class Stops:
    """The ends of a cycle, by how far each knob must turn. Iterates over its stops; those of a name by `stops[name]`.

    Attributes:
        stops: One for each knob, the nearest first; what does not stop the cycle comes last.
    """

    stops: tuple[Stop, ...]

    def __iter__(self) -> Iterator[Stop]:
        return iter(self.stops)

    def __len__(self) -> int:
        return len(self.stops)

    def __getitem__(self, name: str) -> Stop:
        found = {stop.knob: stop for stop in self.stops}
        if name not in found:
            raise KeyError(f"{name!r} is none of the knobs, which are {', '.join(found)}.")
        return found[name]

    def to_xarray(self) -> Any:
        """The stops as a dataset along the dimension `knob`.

        Raises:
            ImportError: If xarray is not installed.
        """
        import xarray as xr

        def column(of: Any) -> tuple[str, list]:
            return "knob", [of(stop) for stop in self.stops]

        return xr.Dataset(
            {
                "value": column(lambda stop: stop.value),
                "error": column(lambda stop: stop.error),
                "how": column(lambda stop: stop.how),
                "turn": column(lambda stop: stop.turn),
                "before": column(lambda stop: stop.before.kind),
                "after": column(lambda stop: stop.after.kind),
                "beyond": column(lambda stop: stop.beyond),
                "rate": column(lambda stop: stop.rate),
            },
            coords={"knob": [stop.knob for stop in self.stops]},
        )

    def _report(self) -> Report:
        able = [stop for stop in self.stops if np.isfinite(stop.turn)]
        if able:
            title = f"Stops: {len(able)} of {len(self.stops)} knobs end the cycle, {able[0].knob} by the least turn"
        else:
            title = f"Stops: none of {len(self.stops)} knobs ends the cycle within its range"
        rows = [
            (
                stop.knob,
                "" if np.isnan(stop.value) else number(stop.value, 8),
                stop.how,
                number(stop.turn) if np.isfinite(stop.turn) else "",
                f"{stop.after.kind} at {number(stop.beyond, 5)}",
                "" if np.isnan(stop.rate) else number(stop.rate),
            )
            for stop in self.stops
        ]
        return Report(title, {}, ("knob", "value", "how", "turn", "then", "rate"), rows)


def stop_at(
    name: str,
    judge: Judge,
    turned: float,
    error: float,
    how: How,
    short: float,
    beyond: float,
    branch: CycleBranch | None = None,
) -> Stop:
    """A stop from what the knob has turned there, and on both sides."""
    knob, before, after = judge.knob, judge.at(short), judge.at(beyond)
    return Stop(
        knob=name,
        value=knob.value(turned),
        error=error * abs(knob.end - knob.start),
        how=how,
        turn=turned if how != "undecided" else math.inf,
        before=before,
        after=after,
        beyond=knob.value(beyond),
        verdicts=judge.verdicts,
        branch=branch,
    )
