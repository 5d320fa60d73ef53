"""A branch of equilibria, or of fixed points, as a result."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from ..._printing import number, printed, Report
from ..._types import State
from ..arclength import _trace
from ..arclength._corrector import Chart
from ..arclength._motion import AbstractMotion
from ..arclength._ranks import arranged, ranks
from ._event import Event

ENDED: dict[int, str] = {
    _trace.AT_END: "end of range",
    _trace.MANY_FOLDS: "fold count",
    _trace.SHORT_STEP: "step too small",
    _trace.OUTSIDE: "left the domain",
    _trace.CLOSED: "closed loop",
    _trace.MANY_POINTS: "number of points",
    _trace.NO_START: "no equilibrium at the start",
}


@printed
class EquilibriumBranch(eqx.Module):
    r"""Equilibria of a field, or fixed points of an update, along a parameter and through folds.

    Attributes:
        values: The parameter along the branch, shape `(points,)`: it may turn back.
        states: The states, with a leading axis of points.
        eigenvalues: Those of the field's Jacobian by falling real part, or the multipliers of the update by falling
            modulus, shape `(points, n)`. Of a large state the leading ones alone.
        stable: Where all directions shrink, but for those along a continuum of equilibria, shape `(points,)`.
        events: What happens on the way, in its order.
        status: Why the branch ended, as a number; `ended` is the word.
        motion: The equations of the branch, which `switch_branch` goes on from; None under a transformation.
        chart: The coordinates that its length is measured in.
        is_update: Whether the branch is of fixed points of an update.
        period: Steps after which the state comes back: 1 for a fixed point of most updates.
    """

    values: Float[Array, "*batch points"]
    states: State
    eigenvalues: Complex[Array, "*batch points n"]
    stable: Bool[Array, "*batch points"]
    events: tuple[Event, ...]
    status: Int[Array, "*batch"]
    motion: AbstractMotion | None
    chart: Chart
    is_update: bool = eqx.field(static=True)
    period: int = eqx.field(static=True, default=1)

    @property
    def ended(self) -> Any:
        """Why the branch ended: "end of range", "fold count", "step too small", "left the domain", "closed loop",
        "number of points"; of a batch an array of words, where "no equilibrium at the start" is one too. Concrete."""
        codes = np.asarray(self.status)
        words = np.vectorize(ENDED.__getitem__, otypes=[object])(codes)
        return words if codes.ndim else str(words)

    def to_xarray(self) -> Any:
        """The branch as a dataset with the dimensions `point` and `eigenvalue`; events as coordinates of their own.

        Returns:
            An `xarray.Dataset`: `value`, each leaf of the state by its name, `eigenvalue_real`, `eigenvalue_imag`,
            `stable`, and `event_kind`, `event_value` along the dimension `event`.

        Raises:
            ImportError: If xarray is not installed.
        """
        from ._dataset import to_dataset

        return to_dataset(self)

    def _report(self) -> Report:
        values = np.asarray(self.values)
        if values.ndim != 1:
            raise ValueError("A batch.")
        what = "fixed points of an update" if self.is_update else "equilibria"
        stable = int(np.sum(np.asarray(self.stable)))
        lines = {
            "parameter": f"from {number(values[0], 6)} to {number(values[-1], 6)}" if len(values) else None,
            "stable": f"{stable:,} of {len(values):,} points",
            "ended": self.ended,
        }
        many = "1 event" if len(self.events) == 1 else f"{len(self.events)} events"
        rows = [
            (event.kind, number(event.value, 10), event.normal_form.criticality if event.normal_form else "")
            for event in self.events
        ]
        return Report(
            f"EquilibriumBranch: {len(values):,} {what}, {many}",
            lines,
            ("event", "value", "normal form"),
            rows,
        )


def in_order(eigenvalues: Complex[Array, "*rows m"], is_map: bool) -> Complex[Array, "*rows m"]:
    """Eigenvalues by falling real part, multipliers by falling modulus, of a pair the one above the axis first."""
    size = jnp.max(jnp.abs(eigenvalues), axis=-1, keepdims=True)
    height = jnp.abs(eigenvalues) if is_map else eigenvalues.real
    digits = 10 if eigenvalues.dtype.itemsize > 8 else 5
    rounded = jnp.round(height / jnp.where(size > 0, size, 1), digits)
    return jnp.where(jnp.isnan(size), size, arranged(eigenvalues, ranks(-rounded, -eigenvalues.imag)))
