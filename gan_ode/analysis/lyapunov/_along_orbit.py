from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._types import Scalar, State
from ...simulate import Orbit


@printed
class InvariantDrift(eqx.Module):
    """How a quantity changes along an orbit.

    Attributes:
        ts: The orbit's times, shape `(times,)`.
        values: The quantity there; infinite where the orbit was not reached.
        change: The values less the first one.
        largest: The largest absolute change over the times that were reached.
    """

    ts: Float[Array, " times"]
    values: Float[Array, " times"]
    change: Float[Array, " times"]
    largest: Scalar

    def _report(self) -> Report:
        lines = {"at the start": number(self.values[0], 8), "largest change": number(self.largest)}
        return Report(
            f"A quantity along an orbit of {len(self.ts):,} times: it changes by {number(self.largest)}", lines
        )


@guarded()
@jit
def invariant_drift(quantity: Callable[[State], Scalar], orbit: Orbit) -> InvariantDrift:
    """Follows a quantity along an orbit: the error of an invariant, or the fall of a Lyapunov function.

    Args:
        quantity: A scalar function of one state.
        orbit: A flow's or an update's.

    Returns:
        Values and changes at the orbit's times.
    """
    values = jnp.where(orbit.reached, jax.vmap(quantity)(orbit.ys), jnp.inf)
    change = values - values[0]
    return InvariantDrift(orbit.ts, values, change, jnp.max(jnp.where(orbit.reached, jnp.abs(change), 0.0)))
