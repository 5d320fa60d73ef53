from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...updates import AbstractUpdate
from ..linearization._preconditions import require
from ._box_search import Box, BoxExtremes, points_per_axis, search
from ._changes import change_along, Measured, stepped, velocity

# Rounding may take at most this part of a change at nearly all states, by bytes of a number.
_MOST_ROUNDING = {4: 2e-2, 8: 1e-4}
_NEARLY_ALL = 0.95

Kind = Literal["falls strictly", "falls", "keeps", "rises", "rises strictly", "neither", "undecided"]


@guarded()
def lie_derivative(
    quantity: Callable[[State], Scalar], field: Field, *, update: AbstractUpdate | None = None, args: Args = None
) -> Callable[[State], Scalar]:
    r"""The rate at which a quantity changes along a field, or how much one step of an update changes it.

    Along a field $\dot Q(y) = \nabla Q(y) \cdot F(y)$: zero everywhere for an invariant, nowhere positive for a
    Lyapunov function. One Jacobian-vector product, no gradient. The result is again a quantity, so that its own
    derivative is $\ddot Q$. With an update $Q(\Phi_h(y)) - Q(y)$, of its first step: its memory is as the rule
    starts it.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, updates

    def turn(t, y, args):
        return jnp.array([[0.0, 1.0], [-1.0, 0.0]]) @ y

    y = jnp.array([1.0, 2.0])
    along = analysis.lie_derivative(lambda y: y @ y, turn)
    step = analysis.lie_derivative(lambda y: y @ y, turn, update=updates.Simultaneous(0.1))
    assert along(y) == 0 and jnp.isclose(step(y), 0.1**2 * 5)
    ```

    Args:
        quantity: A scalar function of one state.
        field: The field; taken at time 0, since a Lyapunov function is one of an autonomous field.
        update: If given, the change is that over one step of it.
        args: Handed to the field.

    Returns:
        A function of the state: a rate, in units of the quantity over time; with an update a change, in units of the
        quantity (divide by the step size for a rate).
    """
    if update is not None:
        return lambda y: quantity(stepped(update, field, y, args)) - quantity(y)
    return lambda y: jax.jvp(quantity, (y,), (velocity(field, y, args),))[1]


@printed
class LyapunovCheck(eqx.Module):
    r"""What a box says of a candidate $Q$ for a Lyapunov function.

    All of it comes from a search (see `BoxExtremes`): it can refute, and supports, but does not prove. Equilibria are
    left out, with a neighborhood of a hundredth of a cell of the grid: the states from which a Newton step that small
    leads to one. Where the change is not finite somewhere in the box, or lost in rounding, nothing is said.

    Attributes:
        change: Extremes over the box of $\dot Q$, or of the change over a step or a duration.
        relative: Extremes of the change over $\lVert\nabla Q\rVert$ times how far the state moves (for a derivative
            the cosine between velocity and gradient), less what may be rounding or the solver's error in it: zero where
            that may be all of it.
        rounding: What may be rounding or the solver's error in `relative`, at 19 of 20 states or more.
        where_not_finite: A state of the grid where the change is not finite, if there is one.
    """

    change: BoxExtremes
    relative: BoxExtremes
    rounding: Scalar
    where_not_finite: State

    @property
    def finite(self) -> Any:
        """Whether the change is finite at all points of the grid. If not, all properties below are False."""
        return self.change.finite

    @property
    def falls_strictly(self) -> Any:
        """Whether the quantity falls everywhere in the box except at equilibria."""
        return self.finite & jnp.isfinite(self.relative.largest) & (self.relative.largest < 0)

    @property
    def falls(self) -> Any:
        """Whether it falls somewhere and rises nowhere. It may stand still where the state moves."""
        return self.never_rises & (self.relative.smallest < 0)

    @property
    def keeps(self) -> Any:
        """Whether it changes nowhere, to rounding: an invariant."""
        return self.never_rises & self.never_falls

    @property
    def rises(self) -> Any:
        """Whether it rises somewhere and falls nowhere."""
        return self.never_falls & (self.relative.largest > 0)

    @property
    def rises_strictly(self) -> Any:
        """Whether it rises everywhere in the box except at equilibria."""
        return self.finite & jnp.isfinite(self.relative.smallest) & (self.relative.smallest > 0)

    @property
    def neither(self) -> Any:
        """Whether it rises somewhere and falls elsewhere."""
        return self.finite & (self.relative.largest > 0) & (self.relative.smallest < 0)

    @property
    def never_rises(self) -> Any:
        """Whether it falls, or stands still to rounding, everywhere."""
        return self.finite & (self.relative.largest <= 0) & (self._resolved | self.falls_strictly)

    @property
    def never_falls(self) -> Any:
        """Whether it rises, or stands still to rounding, everywhere."""
        return self.finite & (self.relative.smallest >= 0) & (self._resolved | self.rises_strictly)

    @property
    def margin(self) -> Scalar:
        """The smallest relative fall away from equilibria: above 0 if the quantity falls strictly."""
        return -self.relative.largest

    @property
    def kind(self) -> Kind:
        """The strongest of these statements, in words; not under a transformation.

        "undecided" where the change is not finite, or too much of it is rounding: `reason` says which.
        """
        words: tuple[tuple[Kind, Any], ...] = (
            ("keeps", self.keeps),
            ("falls strictly", self.falls_strictly),
            ("rises strictly", self.rises_strictly),
            ("falls", self.falls),
            ("rises", self.rises),
            ("neither", self.neither),
        )
        for word, holds in words:
            if holds:
                return word
        return "undecided"

    @property
    def reason(self) -> str:
        """Why `kind` is what it is, in a sentence; not under a transformation."""
        if not self.finite:
            # In NumPy, whose numbers are printed alone.
            where = jax.tree.map(np.asarray, self.where_not_finite)
            return (
                f"the change is not finite at {where}, or the flow from there does not get to the end: search a box "
                "where field and quantity are finite"
            )
        if self.kind == "undecided":
            return (
                f"up to {float(self.rounding):.1g} of the change may be rounding or the solver's error: use float64, "
                "a longer step or duration, or the derivative"
            )
        low, high = float(self.relative.smallest), float(self.relative.largest)
        if not (np.isfinite(low) and np.isfinite(high)):
            return "no state of the box moves"
        return f"the change, over gradient times motion, is from {low:.3g} to {high:.3g} away from equilibria"

    def _report(self) -> Report:
        lines = {
            "change": f"{number(self.change.smallest)} to {number(self.change.largest)}",
            "margin": number(self.margin),
            "rounding": number(self.rounding),
        }
        return Report(f"LyapunovCheck: {self.kind}, since {self.reason}", lines)

    @property
    def _resolved(self) -> Any:
        size = max(self.rounding.dtype.itemsize, 4)
        # NaN where no state moves: then nothing is hidden.
        return ~(self.rounding > _MOST_ROUNDING[size])


@guarded("low", like="high", whole=True)
def check_lyapunov_function(
    quantity: Callable[[State], Scalar],
    field: Field,
    low: State,
    high: State,
    *,
    update: AbstractUpdate | None = None,
    duration: RealScalarLike | None = None,
    args: Args = None,
    resolution: int | None = None,
    check: bool = True,
) -> LyapunovCheck:
    r"""Searches a box for where a quantity falls and rises: is it a Lyapunov function, an invariant, or neither?

    By default its derivative along the field is searched. A derivative may vanish where orbits only pass, as
    $\dot H = -\tfrac{2\eta}{9}(1 - a^2)^2$ of the regularized Wasserstein GAN does on the line $a = 1$. LaSalle's
    principle asks whether an orbit can stay there; `duration` answers it with a number: if the change
    $Q(\phi_T(y)) - Q(y)$ over some time $T$ is below zero everywhere but at equilibria, none can. The flow is followed
    at two tolerances, whose difference counts as error.

    To conclude global convergence, the box must also hold whole sublevel sets of the quantity.

    Source: LaSalle (1960), "Some extensions of Liapunov's second method", IRE Transactions CT-7.

    Args:
        quantity: A scalar function of one state, differentiable in the box.
        field: The field; it must not depend on time.
        low: The box's lower corner.
        high: Its upper corner.
        update: If given, the change over one step of it is searched instead of the derivative.
        duration: If given, the change over this time of the flow.
        args: Handed to the field.
        resolution: Points of the grid along each axis.
        check: Whether to refuse a field that depends on time; if not, it is taken at time 0.

    Returns:
        The extremes of the change, and what they say; traceable, so that numbers in the field can be swept.

    Raises:
        ValueError: If both `update` and `duration` are given, the field depends on time, or the box cannot be searched.
    """
    if update is not None and duration is not None:
        raise ValueError("`update` and `duration` must not both be given: an update's change is that over one step.")
    if duration is not None:
        duration = _checks.positive("duration", duration, "It is how long the flow is followed from each point.")
    per_axis = points_per_axis(low, high, resolution)
    low, high = (jax.tree.map(_checks.floats, corner) for corner in (low, high))
    middle = jax.tree.map(lambda a, b: (a + b) / 2, low, high)
    holds = require(field, middle, args, needs=("autonomous",), name="(low + high) / 2", check=check)
    return _check(quantity, field, Box(low, high, per_axis), update, duration, args, holds)


@jit
def _check(
    quantity: Callable, field: Field, box: Box, update: Any, duration: Any, args: Args, holds: Any
) -> LyapunovCheck:
    measure = change_along(quantity, field, box, update, duration, args)
    measured: Measured = box.sweep(measure)

    def both(y: State) -> tuple[Scalar, Scalar]:
        at = measure(y)
        return at.change, at.relative

    # Where there is no verdict nothing is refined: flows that grow without bound take long.
    finite = jnp.all(jnp.isfinite(measured.change))
    of_change, of_relative = search(both, box, (measured.change, measured.relative), finite)
    # Under a transformation a field that depends on time cannot be refused: nothing is said of it.
    of_change = eqx.tree_at(lambda found: found.finite, of_change, of_change.finite & holds)
    first = box.points[jnp.argmin(jnp.isfinite(measured.change))]
    moves = jnp.isfinite(measured.relative)
    rounding = jnp.nanquantile(jnp.where(moves, measured.rounding, jnp.nan), _NEARLY_ALL)
    # Steps that are lost in rounding everywhere are no sign of an invariant.
    lost = ~jnp.any(moves) & jnp.any(jnp.isinf(measured.rounding))
    rounding = jnp.where(lost, 1, rounding)
    return LyapunovCheck(of_change, of_relative, rounding, box.state(first))
