"""A system whose fate is known, and what else is known of it."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

Fate: TypeAlias = Literal["converges", "cycles", "diverges", "wanders"]
# What may be known beside the fate. A verdict has the same names, each with its error, as in `period_error`.
NUMBERS = ("period", "amplitude", "rate", "power", "time", "exponent")
NAN = math.nan


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A field or an update, a start, and the fate of the orbit.

    "wanders" is bounded motion that neither settles nor repeats: a torus of a flow, chaos, a heteroclinic cycle. An
    update whose orbit fills a closed curve cycles.

    Attributes:
        name: Unique.
        make: Makes the field. Cases with the same field and other parameters share its compiled programs.
        start: Numbers, or `Players` of numbers, of lists, or of mappings to these.
        args: Parameters, handed to the field as a tuple of scalars; None if it takes none.
        update: Makes the update; None for the flow.
        fate: What the orbit does; None where no verdict may be given.
        source: Where fate and numbers come from.
        period: Of the cycle, in time units; of a closed curve the mean time of a turn.
        amplitude: Half of the cycle's largest extent over the coordinates.
        rate: Spectral abscissa of the equilibrium that it converges to (of an update: the logarithm of the spectral
            radius over the step size), or the rate of exponential growth.
        power: The distance goes as this power of time.
        time: Of a blow-up.
        exponent: The largest Lyapunov exponent.
        known_to: The numbers' own relative error.
        single: Whether the fate is the same where start and parameters are rounded to single precision, and the
            field's own rounding does not hide it.
        asked: Whether "undecided" counts as a gap: theory decides, and so should a verdict.
        reference: Computes the numbers anew, by a road of its own.
        rtol: The tolerance that belongs to the question; the default one if None.
        failing: The number of the failing input that it is, in the list that the bank was begun with.
    """

    name: str
    make: Callable[[], Callable]
    start: Any
    fate: Fate | None
    source: str
    args: tuple[float, ...] | None = None
    update: Callable[[], Any] | None = None
    period: float = NAN
    amplitude: float = NAN
    rate: float = NAN
    power: float = NAN
    time: float = NAN
    exponent: float = NAN
    known_to: float = 1e-9
    single: bool = True
    asked: bool = True
    reference: Callable[[], Mapping[str, float]] | None = None
    rtol: float | None = None
    failing: int | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """What is known beside the fate."""
        return {name: getattr(self, name) for name in NUMBERS if not math.isnan(getattr(self, name))}

    @property
    def size(self) -> int:
        """How many numbers the state has."""
        return sum(leaf.size for leaf in jax.tree.leaves(_arrays(self.start, float)))

    def problem(self, dtype: Any) -> dict[str, Any]:
        """Arguments of `analysis.classify`, in this precision."""
        y0 = _arrays(self.start, dtype)
        args = None if self.args is None else tuple(jnp.asarray(value, dtype) for value in self.args)
        update = None if self.update is None else self.update()
        return {"field": self.make(), "y0": y0, "args": args, "update": update}


def _arrays(start: Any, dtype: Any) -> Any:
    """Numbers and lists of numbers as arrays."""
    return jax.tree.map(
        lambda part: jnp.asarray(part, dtype), start, is_leaf=lambda part: isinstance(part, list | tuple)
    )


def of(velocity: Callable) -> Callable[[], Callable]:
    """Makes a field of a function of the coordinates, and of the parameters after them, that returns the velocities."""

    def field(t: Any, y: Any, args: Any) -> Any:
        return jnp.stack([jnp.asarray(part, y.dtype) for part in velocity(*y, *(args or ()))])

    return lambda: field


def of_time(velocity: Callable) -> Callable[[], Callable]:
    """The same for a function whose first argument is time."""

    def field(t: Any, y: Any, args: Any) -> Any:
        return jnp.stack([jnp.asarray(part, y.dtype) for part in velocity(t, *y, *(args or ()))])

    return lambda: field


def of_map(image: Callable) -> Callable[[], Callable]:
    """Makes a field that simultaneous steps of size 1 turn into a map."""

    def field(t: Any, y: Any, args: Any) -> Any:
        return jnp.stack([jnp.asarray(part, y.dtype) for part in image(*y, *(args or ()))]) - y

    return lambda: field
