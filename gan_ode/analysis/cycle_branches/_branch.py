"""A branch of cycles as a result."""

from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._printing import number, numbers, printed, Report, state
from ..._types import Args, Scalar, State
from ..cycles import find_periodic_orbit, PeriodicOrbit

CycleEventKind = Literal["fold of cycles", "flip", "torus", "branch point"]

ENDED: dict[int, str] = dict(
    enumerate(
        (
            "",
            "end of range",
            "a Hopf point",
            "period without end: homoclinic or heteroclinic",
            "a family of cycles at one value",
            "fold count",
            "number of points",
            "step too small",
            "left the domain",
            "no cycle at the start",
        )
    )
)
CODES = {word: code for code, word in ENDED.items()}


@printed
class CycleEvent(eqx.Module):
    """A place on a branch of cycles where stability may change, or the branch turns or is crossed.

    Attributes:
        kind: "fold of cycles", "flip", "torus" or "branch point".
        value: The parameter there.
        period: The period there.
        state: A state on the cycle.
        multipliers: Floquet multipliers, shape `(n,)`: first the 1 of a shift along the cycle, then the others by
            falling modulus.
        orbit: States over one period, with a leading axis of samples, both ends included.
        times: When these are, shape `(samples,)`.
    """

    kind: CycleEventKind = eqx.field(static=True)
    value: Scalar
    period: Scalar
    state: State
    multipliers: Complex[Array, " n"]
    orbit: State
    times: Float[Array, " samples"]

    def _report(self) -> Report:
        lines = {
            "period": number(self.period, 8),
            "state": state(self.state),
            "multipliers": numbers(self.multipliers),
        }
        return Report(f"CycleEvent: {self.kind} at {number(self.value, 10)}", lines)


@printed
class CycleBranch(eqx.Module):
    r"""Cycles of a flow along a parameter, attracting or not, through folds.

    Attributes:
        values: The parameter along the branch, shape `(points,)`: it may turn back.
        periods: The periods, shape `(points,)`.
        states: A state on each cycle, with a leading axis of points.
        orbits: States at `times`, with two leading axes: points, and samples of one period, both ends included.
        times: When these are, shape `(points, samples)`: densest where the cycle moves fastest.
        multipliers: Floquet multipliers, shape `(points, n)`: first the 1 of a shift along the cycle, which is exact,
            then the others by falling modulus.
        stable: Where all the others are within the unit circle, shape `(points,)`.
        events: What happens on the way, in its order; under a transformation none is looked for.
        status: Why the branch ended, as a number; `ended` is the word.
        family: From the parameter to a field.
        args: Handed to the field.
    """

    values: Float[Array, "*batch points"]
    periods: Float[Array, "*batch points"]
    states: State
    orbits: State
    times: Float[Array, "*batch points samples"]
    multipliers: Complex[Array, "*batch points n"]
    stable: Bool[Array, "*batch points"]
    events: tuple[CycleEvent, ...]
    status: Int[Array, "*batch"]
    family: Any
    args: Args

    @property
    def ended(self) -> Any:
        """Why the branch ended: "end of range", "a Hopf point", "period without end: homoclinic or heteroclinic", "a
        family of cycles at one value", "fold count", "number of points", "step too small", "left the domain"; under a
        transformation "no cycle at the start", too; of a batch an array of words. Concrete."""
        codes = np.asarray(self.status)
        words = np.vectorize(ENDED.__getitem__, otypes=[object])(codes)
        return words if codes.ndim else str(words)

    def orbit_at(self, index: int, **options: Any) -> PeriodicOrbit:
        """The cycle of a point as `find_periodic_orbit` finds it from there, with its errors.

        Args:
            index: The point.
            **options: Handed to `find_periodic_orbit`.
        """
        start = jax.tree.map(lambda leaf: leaf[index], self.states)
        return find_periodic_orbit(self.family(self.values[index]), start, args=self.args, **options)

    def to_xarray(self) -> Any:
        """The branch as a dataset with the dimensions `point`, `sample` and `multiplier`; events along `event`.

        Returns:
            An `xarray.Dataset`: `value`, `period`, `time`, each leaf of the orbits by its name, `multiplier_real`,
            `multiplier_imag`, `stable`, and `event_kind`, `event_value`, `event_period`.

        Raises:
            ImportError: If xarray is not installed.
        """
        from ._dataset import to_dataset

        return to_dataset(self)

    def _report(self) -> Report:
        values, periods = np.asarray(self.values), np.asarray(self.periods)
        lines = {
            "parameter": f"from {number(values[0], 6)} to {number(values[-1], 6)}",
            "period": f"from {number(periods[0], 6)} to {number(periods[-1], 6)}",
            "stable": f"{int(np.sum(np.asarray(self.stable))):,} of {len(values):,} points",
            "ended": self.ended,
        }
        many = "1 event" if len(self.events) == 1 else f"{len(self.events)} events"
        rows = [(event.kind, number(event.value, 10), number(event.period, 8)) for event in self.events]
        return Report(f"CycleBranch: {len(values):,} cycles, {many}", lines, ("event", "value", "period"), rows)
