from typing import Any

import equinox as eqx
import numpy as np
import optimistix as optx
from jaxtyping import Array, Complex, Float

from ..._printing import number, numbers, printed, Report, state, yes
from ..._problem import AbstractAtState
from ..._types import Scalar, State
from ..linearization._preconditions import Inspection
from ._equilibrium_types import EquilibriumKind


@printed
class Equilibrium(AbstractAtState):
    """Where the field vanishes: what `find_equilibrium` returns, and each of what `find_equilibria` does.

    It stands for its state wherever the analysis takes one:

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, updates

    def decay(t, y, args):
        return 1 - y

    equilibrium = analysis.find_equilibrium(decay, jnp.zeros(2))
    assert jnp.allclose(analysis.spectrum(decay, equilibrium), -1)
    assert jnp.isclose(analysis.critical_step_size(updates.Simultaneous, decay, equilibrium), 2)
    ```

    Attributes:
        y: The state.
        residual: Norm of the velocity there, a scalar, in units of the state over time.
        result: Optimistix's result, to be compared with `optimistix.RESULTS`.
        found: Whether the field vanishes there, at all times; always so of what `find_equilibria` returns.
        inspection: What was seen around the state: whether the field is smooth there, and so on.
        jacobian: The field's, shape `(n, n)`; NaN where the field is not smooth. From `find_equilibria` alone, and else
            None, as are the next two: `analysis.jacobian(field, equilibrium)` gives it.
        eigenvalues: Of the Jacobian, by falling real part, shape `(n,)`; NaN likewise.
        kind: Its type, and whether it lies on a continuum.
        count: How many searches ended there.
    """

    y: State
    residual: Scalar
    result: optx.RESULTS
    found: Any
    inspection: Inspection
    jacobian: Float[Array, "n n"] | None = None
    eigenvalues: Complex[Array, " n"] | None = None
    kind: EquilibriumKind | None = eqx.field(static=True, default=None)
    count: int = eqx.field(static=True, default=1)

    def _report(self) -> Report:
        smooth, found = yes(self.inspection.smooth), yes(self.found)
        verdict = "none was found" if not found else "the velocity vanishes" if self.kind is None else str(self.kind)
        values = self.eigenvalues if smooth else None
        nearby = number(self.inspection.speed_nearby)
        lines = {
            "y": state(self.y),
            "residual": f"{number(self.residual)}, where near by the speed is up to {nearby}",
            "abscissa": None if values is None else number(np.max(np.real(np.asarray(values)))),
            "eigenvalues": None if values is None else numbers(values),
            "searches": f"{self.count:,} ended here" if self.count > 1 else None,
            "note": None if smooth else "the field is not smooth there: nothing is linear",
        }
        return Report(f"Equilibrium: {verdict}", lines)
