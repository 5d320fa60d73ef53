import dataclasses
from typing import Literal, TypeAlias

import numpy as np

from ._equilibrium import Equilibrium

Kind: TypeAlias = Literal["converges", "cycles", "diverges", "undecided"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What an orbit does in the long run, and why we think so.

    Attributes:
        kind: "converges", "cycles", "diverges" or "undecided".
        reason: The evidence in a sentence.
        duration: How long the orbit was followed.
        rate: Growth of the amplitude per unit time at the end; negative where it shrinks. NaN if it was not measured.
        period: Time from return to return, or NaN.
        closure: Distance between a state and its last return, relative to the orbit's size, or NaN.
        tolerances: Relative tolerances of the solves that agreed; empty for an update, whose orbit is exact.
        equilibrium: The equilibrium at the end of the orbit or inside it, if one was found.
        eigenvalues: Of the field there, or of the update's step.
        invariant_drift: Largest change of the invariant, if one was given, or NaN.
    """

    kind: Kind
    reason: str
    duration: float
    rate: float = float("nan")
    period: float = float("nan")
    closure: float = float("nan")
    tolerances: tuple[float, ...] = ()
    equilibrium: Equilibrium | None = None
    eigenvalues: np.ndarray | None = None
    invariant_drift: float = float("nan")

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"
