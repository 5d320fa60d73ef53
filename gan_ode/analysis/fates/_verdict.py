import dataclasses
from typing import Literal, TypeAlias

import equinox as eqx
import numpy as np

from ..._names import worded
from ..._printing import measured, number, numbers, printed, Report, state
from ..equilibria._find_one import Equilibrium

Kind: TypeAlias = Literal["converges", "cycles", "diverges", "wanders", "undecided"]


@worded
class FATES(eqx.Enumeration):
    """What becomes of a trajectory, or of one of many starts; items compare with their names and print as them."""

    converges = "Converges: of many starts, comes so near to a stable equilibrium that it cannot leave again."
    cycles = "Cycles: of many starts, comes so near to an attracting cycle that it cannot leave again."
    diverges = "Grows without bound."
    wanders = "Stays bounded, and neither settles nor repeats. Of many starts that is not told from undecided."
    undecided = "None of the others could be shown: `reason` says why."


_NAN = float("nan")


@printed
@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a trajectory does in the long run, and why we think so.

    Every number comes with an error: the true value lies within it, as far as two tolerances and a fitted law can tell.
    A number that was not measured is NaN, and so is its error.

    Attributes:
        kind: "converges"; "cycles" (it closes, or an update's orbit fills a closed curve); "diverges"; "wanders" (it
            stays bounded, and neither settles nor repeats: a torus of a flow, chaos, a heteroclinic cycle);
            "undecided".
        reason: The evidence in a sentence; for "undecided" what is missing.
        duration: How long the trajectory was followed; up to a blow-up if there is one.
        rate: Growth rate of a small disturbance of the equilibrium that it converges to (the spectral abscissa; of an
            update the logarithm of the spectral radius over the step size), or of the amplitude where it grows
            exponentially. Per unit time, also of an update: times the step size it is per step.
        rate_error: Its error.
        power: On an algebraic tail the distance falls, or grows, as time to this power.
        power_error: Its error.
        period: Time of a turn; of an orbit of `k` steps of an update, `k` times the step size; on a closed curve of an
            update the mean time of a turn.
        period_error: Its error.
        amplitude: Half of the largest extent, over the coordinates, of the cycle.
        amplitude_error: Its error.
        exponent: Largest Lyapunov exponent where it wanders, per unit time.
        exponent_error: Its error.
        time: When it blows up.
        time_error: Its error.
        closure: Distance between a state and its return after one turn, relative to the size of the cycle.
        tolerances: Relative tolerances of the solves that agreed; empty for an update, whose orbit is exact.
        equilibrium: The equilibrium that it converges to, or goes around, if one was found.
        eigenvalues: Of the field there, or of the update's step.
        invariant_drift: Largest change of the invariant along the trajectory, if one was given, or NaN.
    """

    kind: Kind
    reason: str
    duration: float
    rate: float = _NAN
    rate_error: float = _NAN
    power: float = _NAN
    power_error: float = _NAN
    period: float = _NAN
    period_error: float = _NAN
    amplitude: float = _NAN
    amplitude_error: float = _NAN
    exponent: float = _NAN
    exponent_error: float = _NAN
    time: float = _NAN
    time_error: float = _NAN
    closure: float = _NAN
    tolerances: tuple[float, ...] = ()
    equilibrium: Equilibrium | None = None
    eigenvalues: np.ndarray | None = None
    invariant_drift: float = _NAN

    def _report(self) -> Report:
        names = ("rate", "power", "period", "amplitude", "exponent", "time")
        lines = {name: measured(getattr(self, name), getattr(self, f"{name}_error")) for name in names}
        for name in ("rate", "exponent"):
            # Of an update, too: time is step size times number of steps.
            lines[name] = None if lines[name] is None else f"{lines[name]} per unit time"
        lines["closure"] = measured(self.closure, _NAN)
        lines["invariant"] = None if np.isnan(self.invariant_drift) else f"changes by {number(self.invariant_drift)}"
        lines["equilibrium"] = None if self.equilibrium is None else state(self.equilibrium.y)
        lines["eigenvalues"] = None if self.eigenvalues is None else numbers(self.eigenvalues)
        lines["followed for"] = number(self.duration)
        return Report(f"{self.kind}: {self.reason}", lines)


@dataclasses.dataclass(frozen=True)
class Fate:
    """What a piece of evidence says.

    Attributes:
        kind: The verdict's.
        reason: The verdict's.
        numbers: Fields of the verdict, by name.
        final: Whether following the trajectory for longer would not help: for "undecided" alone.
    """

    kind: str
    reason: str
    numbers: dict[str, float] = dataclasses.field(default_factory=dict)
    final: bool = False
