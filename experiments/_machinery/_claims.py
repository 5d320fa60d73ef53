"""Claims: named statements of what was measured beside what was expected."""

import dataclasses
import math
from typing import Any, Literal

Scalar = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement that a measurement confirms or refutes.

    Make one by `Claim.close`, `Claim.below`, `Claim.above` or `Claim.equal`. They take numbers, words and NumPy's and
    JAX's arrays of no dimension. A measured NaN confirms nothing, nor does an infinite value where a finite one is
    expected.

    Args:
        name: The statement in words, without its numbers: "Period of the cycle".
        measured: What was measured.
        relation: How it has to stand to what is expected.
        expected: The value, or the bound.
        tolerance: Largest distance from `expected` at which `close` holds.
        unit: Unit of all three numbers.
        source: Where the expected value comes from.
    """

    name: str
    measured: Scalar
    relation: Literal["close", "below", "above", "equal"]
    expected: Scalar
    tolerance: float = 0.0
    unit: str = ""
    source: str = ""

    @classmethod
    def close(
        cls,
        name: str,
        measured: Any,
        expected: Any,
        *,
        rtol: float = 0.0,
        atol: float = 0.0,
        unit: str = "",
        source: str = "",
    ) -> "Claim":
        """Claims $|measured - expected| \\le atol + rtol\\,|expected|$.

        Raises:
            ValueError: If neither tolerance is positive, or one is negative or NaN.
        """
        if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
            raise ValueError(
                f"`rtol` and `atol` must be at least 0 and one of them positive, but are {rtol} and {atol}. "
                "Use `Claim.equal` for what is exact."
            )
        tolerance = atol + rtol * abs(float(expected)) if rtol else atol
        return cls(name, float(measured), "close", float(expected), float(tolerance), unit, source)

    @classmethod
    def below(cls, name: str, measured: Any, bound: Any, *, unit: str = "", source: str = "") -> "Claim":
        """Claims $measured < bound$."""
        return cls(name, float(measured), "below", float(bound), unit=unit, source=source)

    @classmethod
    def above(cls, name: str, measured: Any, bound: Any, *, unit: str = "", source: str = "") -> "Claim":
        """Claims $measured > bound$."""
        return cls(name, float(measured), "above", float(bound), unit=unit, source=source)

    @classmethod
    def equal(cls, name: str, measured: Any, expected: Any, *, unit: str = "", source: str = "") -> "Claim":
        """Claims that both are the same word, count or truth value."""
        return cls(name, _scalar(measured), "equal", _scalar(expected), unit=unit, source=source)

    @property
    def holds(self) -> bool:
        """Whether the measurement confirms the statement."""
        if self.relation == "equal":
            return self.measured == self.expected
        measured, expected = float(self.measured), float(self.expected)
        if self.relation == "close":
            return measured == expected or abs(measured - expected) <= self.tolerance < math.inf
        if self.relation == "below":
            return -math.inf < measured < expected
        return expected < measured < math.inf


def table(claims: list[Claim]) -> str:
    """The claims as aligned text: name, measured, expected, holds."""
    rows = [("claim", "measured", "expected", "holds"), *map(_row, claims)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _row(claim: Claim) -> tuple[str, str, str, str]:
    digits, unit = _digits(claim), f" {claim.unit}" if claim.unit else ""
    sign = {"below": "< ", "above": "> "}.get(claim.relation, "")
    margin = f" ± {claim.tolerance:.2g}" if claim.relation == "close" else ""
    expected = f"{sign}{_text(claim.expected, digits)}{margin}{unit}"
    return claim.name, _text(claim.measured, digits) + unit, expected, "yes" if claim.holds else "NO"


def _text(value: Scalar, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _digits(claim: Claim) -> int:
    """Enough digits to see a difference as small as the tolerance."""
    if claim.relation != "close" or not 0 < claim.tolerance < abs(float(claim.expected)) < math.inf:
        return 6
    return min(17, max(6, 2 + math.ceil(math.log10(abs(float(claim.expected)) / claim.tolerance))))


def _scalar(value: Any) -> Scalar:
    return value.item() if hasattr(value, "item") else value
