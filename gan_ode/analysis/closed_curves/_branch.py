"""A branch of closed curves as a result."""

from typing import Any, Literal

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._printing import number, printed, Report, state
from ..._types import Args, Scalar, State

ClosedCurveEventKind = Literal["fold of curves", "strong resonance", "change of attraction"]


@printed
class ClosedCurveEvent(eqx.Module):
    """A place on a branch of closed curves where it turns, attraction may change, or few steps make a turn.

    Attributes:
        kind: "fold of curves"; "strong resonance", where a whole number of turns is made by at most four steps; or
            "change of attraction", where what is beside the curve neither comes nearer nor leaves.
        value: The parameter there.
        rotation: Turns a step makes there on the average.
        multiplier: By how much the slowest disturbance across the curve grows in a step there.
        state: A state on the curve.
        orbit: States along the curve, with a leading axis of samples, both ends included.
    """

    kind: ClosedCurveEventKind = eqx.field(static=True)
    value: Scalar
    rotation: Scalar
    multiplier: Scalar
    state: State
    orbit: State

    def _report(self) -> Report:
        lines = {
            "turns in a step": number(self.rotation, 8),
            "multiplier across": number(self.multiplier, 6),
            "state": state(self.state),
        }
        return Report(f"ClosedCurveEvent: {self.kind} at {number(self.value, 10)}", lines)


@printed
class ClosedCurveBranch(eqx.Module):
    r"""Closed curves that the steps of an update map to themselves, along a parameter, attracting or not.

    Attributes:
        values: The parameter along the branch, shape `(points,)`: it may turn back.
        rotations: Turns that a step makes on the average, shape `(points,)`: a turn takes one over it.
        states: A state on each curve, with a leading axis of points.
        orbits: States along each curve, with two leading axes: points, and samples that divide its length evenly, both
            ends included.
        multipliers: By how much the slowest disturbance across the curve grows in a step, on the average, shape
            `(points,)`.
        stable: Where that is below 1, shape `(points,)`.
        harmonics: How many multiples of the turn each curve is made of, shape `(points,)`.
        residuals: How far each curve is mapped away from itself at most, by its mean radius, shape `(points,)`: taken
            in the middle between the places at which it is mapped to itself.
        events: What happens on the way, in its order.
        ended: Why the branch ended: "end of range", "a Neimark-Sacker point", "breaks or locks", "a family of curves at
            one value", "fold count", "number of points", "step too small", "left the domain".
        family: From the parameter to a field, or one field, if the parameter is the step size.
        update: The update, or the rule.
        args: Handed to the field.
    """

    values: Float[Array, " points"]
    rotations: Float[Array, " points"]
    states: State
    orbits: State
    multipliers: Float[Array, " points"]
    stable: Bool[Array, " points"]
    harmonics: Int[Array, " points"]
    residuals: Float[Array, " points"]
    events: tuple[ClosedCurveEvent, ...]
    ended: str = eqx.field(static=True)
    family: Any
    update: Any
    args: Args

    def to_xarray(self) -> Any:
        """The branch as a dataset with the dimensions `point` and `sample`; events along `event`.

        Returns:
            An `xarray.Dataset`: `value`, `rotation`, `multiplier`, `harmonics`, `residual`, `stable`, each leaf of the
            curves by its name, and `event_kind`, `event_value`, `event_rotation`.

        Raises:
            ImportError: If xarray is not installed.
        """
        from ._dataset import to_dataset

        return to_dataset(self)

    def _report(self) -> Report:
        values, rotations = np.asarray(self.values), np.asarray(self.rotations)
        lines = {
            "parameter": f"from {number(values[0], 6)} to {number(values[-1], 6)}",
            "turns in a step": f"from {number(rotations[0], 6)} to {number(rotations[-1], 6)}",
            "stable": f"{int(np.sum(np.asarray(self.stable))):,} of {len(values):,} points",
            "ended": self.ended,
            "last curve": f"{int(self.harmonics[-1])} harmonics, mapped to itself within "
            f"{number(self.residuals[-1], 2)} of its mean radius",
        }
        many = "1 event" if len(self.events) == 1 else f"{len(self.events)} events"
        rows = [(event.kind, number(event.value, 10), number(event.rotation, 8)) for event in self.events]
        title = f"ClosedCurveBranch: {len(values):,} closed curves, {many}"
        return Report(title, lines, ("event", "value", "turns in a step"), rows)
