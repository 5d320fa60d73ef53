"""What a search for a periodic orbit returns."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from ..._printing import measured, number, numbers, printed, Report, state, yes
from ..._types import Scalar, State
from ...simulate import Orbit
from ._floquet import cycle_type, CycleType


class SEARCHES(eqx.Enumeration):
    """How a search for a periodic orbit ended."""

    closed = "The orbit closes."
    no_return = (
        "The flow does not come back to the section through `y0`: it converges, diverges, or takes longer than "
        "`max_duration`. Start nearer to the cycle, raise `max_duration`, or ask `analysis.classify` what it does."
    )
    at_rest = "`y0` must not be an equilibrium: start away from it, on or near the cycle."
    collapsed = (
        "The search shrank to an equilibrium, which says nothing of cycles farther out: start on or near one, for "
        "example at the last state of a `flow` that has settled on it."
    )
    spirals = (
        "The flow comes back to nearly where it was, but a turn changes it by more than the solver's error: it spirals "
        "slowly, and no cycle was found near. Ask `analysis.classify` where it goes."
    )
    not_closed = "The orbit could not be closed: start nearer to the cycle, or take a solver of higher order."
    tolerances = (
        "Two tolerances, one ten times the other, do not close the same orbit: part of it is below the error. Lower "
        "`atol`, or leave it out to have it chosen by the sizes of the components; follow logarithms of what gets "
        "very small; or lower `rtol`."
    )
    explicit_time = (
        "The field has explicit time: its velocity at `y0` changes with t, so that orbits do not close. Add the phase "
        "to the state, as an oscillator of its own (c' = -omega s, s' = omega c for a forcing by cos(omega t) and sin "
        "(omega t)), or sample the flow at the forcing's period."
    )
    jumps = (
        "The field jumps on the way around, which its derivative does not see: take `derivative='differences'`, and a "
        "start off the jump."
    )
    connection = (
        "The flow comes back after ever longer times: it nears a heteroclinic or homoclinic connection, and passes one "
        "or more saddles ever more slowly, so that there is no cycle. Change a parameter: beside it there may be one."
    )
    diverges = "The flow leaves every bound, and does not come back: start elsewhere, or ask `analysis.classify`."
    settles = "The flow comes to rest at an equilibrium: there is no cycle that it leads to from `y0`."
    not_finite = "`y0` and the field there must be finite: check the start."


@printed
class PeriodicOrbit(eqx.Module):
    """A cycle of the flow. Where none was found, what was searched for holds infinity.

    Errors are what a ten times larger tolerance makes of the numbers, and so many times more than what is left of them.
    Derivatives go through `y` and `period`; the rest is taken as constant.

    Attributes:
        y: A point of it: the start, moved across the flow.
        y_error: Its distance from the point that the larger tolerance closes. In a family of cycles the start is one.
        period: Time for one turn.
        period_error: Its error, in units of time.
        closure: Distance of a point from where the flow is after one period, relative to the orbit's size.
        orbit: States at evenly spaced times of one period, both ends included.
        monodromy: Derivative of the flow over one period with respect to the point, shape `(n, n)`.
        resolution: How far from modulus 1 a multiplier can stray and still be 1, as `cycle_type` asks: by ten times the
            difference that the larger tolerance makes.
        multipliers: Floquet multipliers, shape `(n,)`: first the 1 of a shift along the orbit, then the others by
            falling modulus. `kind` puts them into a word.
        outcome: How the search ended, to be compared with `analysis.SEARCHES`. Outside of transformations it says of a
            search without success what the flow does instead, as far as that is seen: "connection", "diverges",
            "settles".
        found: Whether it ended with a closed orbit.
    """

    y: State
    y_error: Scalar
    period: Scalar
    period_error: Scalar
    closure: Scalar
    orbit: Orbit
    monodromy: Float[Array, "n n"]
    multipliers: Complex[Array, " n"]
    resolution: Scalar
    outcome: SEARCHES
    found: Bool[Array, ""]

    @property
    def kind(self) -> CycleType:
        """What kind of cycle it is, as `cycle_type` has it at the cycle's own resolution. Of a concrete, single one."""
        return cycle_type(self.multipliers, self.resolution)

    def _report(self) -> Report:
        if not yes(self.found):
            return Report(f"PeriodicOrbit: none was found. {SEARCHES[self.outcome]}")
        lines = {
            "period": measured(self.period.item(), self.period_error.item()),
            "y": state(self.y),
            "closure": f"{number(self.closure)} of the orbit's size",
            "multipliers": numbers(self.multipliers),
        }
        return Report(f"PeriodicOrbit: {self.kind}", lines)


@printed
class PeriodCurve(eqx.Module):
    """Periods over amplitudes.

    Attributes:
        amplitudes: Shape `(num,)`.
        periods: The period at each; infinite where no cycle was found.
        slopes: Derivative of the period with respect to the amplitude: zero where the cycle is isolated.
        cycles: The cycles, with a leading axis over the amplitudes.
    """

    amplitudes: Float[Array, " num"]
    periods: Float[Array, " num"]
    slopes: Float[Array, " num"]
    cycles: PeriodicOrbit

    def _report(self) -> Report:
        columns = zip(self.amplitudes, self.periods, self.slopes, strict=True)
        rows = [tuple(number(value, 6) for value in row) for row in columns]
        isolated = int(np.sum(~np.isfinite(np.asarray(self.periods))))
        missing = f"none was found at {isolated:,} amplitudes" if isolated else None
        return Report("Periods of cycles", {"cycles": missing}, ("amplitude", "period", "slope"), rows)
