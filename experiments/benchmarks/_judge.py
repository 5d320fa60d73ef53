"""What `analysis.classify` says of a system of known fate, and whether it is true."""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import jax.numpy as jnp

from experiments.benchmarks._bank._case import Case, NAN, NUMBERS

Mark: TypeAlias = Literal["right", "undecided", "wrong"]
# In single precision start and parameters are rounded, and the numbers are known for the unrounded ones.
_SINGLE = 1e-5


@dataclasses.dataclass(frozen=True)
class Number:
    """A number of a verdict beside the known one.

    Attributes:
        name: What it is.
        found: The verdict's.
        error: The verdict's own; NaN if it states none.
        known: The true one.
        slack: How far the true one may be off.
    """

    name: str
    found: float
    error: float
    known: float
    slack: float

    @property
    def off(self) -> bool:
        """Whether it is off by more than its own error. Without a stated error, there is nothing to hold it to."""
        return abs(self.found - self.known) > self.error + self.slack

    @property
    def stated(self) -> bool:
        """Whether it comes with an error."""
        return not math.isnan(self.error)

    def __str__(self) -> str:
        error = f" +- {self.error:.1e}" if self.stated else " without an error"
        return f"{self.name} {self.found:.9g}{error} ({self.known:.9g}{', OFF' if self.off else ''})"


@dataclasses.dataclass(frozen=True)
class Judged:
    """A verdict beside the truth.

    Attributes:
        case: The system.
        kind: What the verdict says; "undecided" also where the question was refused.
        reason: Why.
        numbers: Those that the verdict gives and that are known.
        seconds: How long it took, compiling included.
    """

    case: Case
    kind: str
    reason: str
    numbers: tuple[Number, ...]
    seconds: float

    @property
    def mark(self) -> Mark:
        """Right, undecided or wrong. Where no verdict may be given, none is right."""
        if self.kind == (self.case.fate or "undecided"):
            return "right"
        return "undecided" if self.kind == "undecided" else "wrong"

    @property
    def off(self) -> tuple[Number, ...]:
        """Numbers that are off by more than their own error."""
        return tuple(number for number in self.numbers if number.off) if self.mark == "right" else ()

    def __str__(self) -> str:
        numbers = "; ".join(map(str, self.numbers))
        mark = self.mark.upper() if self.mark == "wrong" else self.mark
        words = [f"{self.case.name}: {mark}: {self.case.fate or 'no verdict'}, said {self.kind}", numbers, self.reason]
        return " | ".join([*filter(None, words), f"{self.seconds:.2f} s"])


def judge(case: Case, *, rtol: float | None = None, single: bool = False, limit: float | None = None) -> Judged:
    """Asks for a verdict.

    Args:
        case: The system.
        rtol: The tolerance that is asked for; the case's own if None.
        single: Whether in single precision.
        limit: Seconds after which a verdict that does not come is given up, and counted as undecided.

    Returns:
        The verdict beside the truth. A question that is refused is undecided; other errors are not caught.
    """
    from gan_ode import analysis

    problem = case.problem(jnp.float32 if single else jnp.float64)
    field, y0 = problem.pop("field"), problem.pop("y0")
    rtol = case.rtol if rtol is None else rtol
    verdict: Any = None
    start = time.perf_counter()
    try:
        with _at_most(limit):
            verdict = analysis.classify(field, y0, rtol=rtol, **problem)
        kind, reason = verdict.kind, verdict.reason
    except ValueError as refusal:
        kind, reason = "undecided", f"refused: {refusal}".splitlines()[0]
    except TimeoutError:
        kind, reason = "undecided", f"no verdict within {limit:g} s"
    seconds = time.perf_counter() - start
    return Judged(case, kind, reason, _numbers(case, verdict, single), seconds)


def _numbers(case: Case, verdict: Any, single: bool) -> tuple[Number, ...]:
    relative = max(case.known_to, _SINGLE) if single else case.known_to
    found = {name: float(getattr(verdict, name, NAN)) for name in NUMBERS}
    errors = {name: float(getattr(verdict, f"{name}_error", NAN)) for name in NUMBERS}
    return tuple(
        Number(name, found[name], errors[name], known, relative * abs(known))
        for name, known in case.numbers.items()
        if not math.isnan(found[name])
    )


@contextlib.contextmanager
def _at_most(seconds: float | None) -> Iterator[None]:
    """Raises TimeoutError when the time is over: between two compiled pieces, which are not interrupted."""
    if seconds is None:
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
