from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .. import _checks
from .._types import RealScalarLike, Scalar, State


class OUTCOMES(eqx.Enumeration):
    """How a solve ended. Finer than `RESULTS`, which calls most of these "max steps"."""

    ok = "Reached the last time."
    event = "Stopped at an event."
    blow_up = "The state grew without bound: `orbit.final_time` is when."
    max_steps = (
        "Ran out of steps. Raise `max_steps`, loosen the tolerances, or for a stiff field take an implicit solver such "
        "as `diffrax.Kvaerno5()`."
    )
    step_collapse = (
        "The steps became too small to get on: the field is discontinuous where the orbit is, or the tolerances ask "
        "for more than the dtype has. Loosen them, or smooth the field."
    )
    nonfinite_field = (
        "The field is not finite where the orbit is, or where a step looks: `orbit.final_time` is when. Look at the "
        "field, and for an optimizer at its memory, there and in the direction of the velocity."
    )
    root_find_failed = (
        "The implicit step's equations could not be solved (it may be that the field is not finite where the step "
        "looks), or a stabilized step would need more stages than allowed. Take smaller steps, looser root-finder "
        "tolerances, or `root_finder=optimistix.Newton(...)`."
    )
    interrupted = (
        "Ctrl-C: the orbit has what was computed until then; with a checkpoint the same call goes on from there."
    )
    time_resolution = "The time is too large for the dtype to add a step to it. Start from a smaller time."


class Orbit(eqx.Module):
    """States along time, whether followed by a flow or by an update.

    Save times that were not reached hold infinity, in `ts` and in `ys`; `reached` tells them, `trim` drops them.

    Attributes:
        ts: Times, shape `(times,)`; for an update, step size times number of steps.
        ys: States, with a leading time axis on every leaf.
        stats: Counts: of steps taken, accepted, rejected; of updates.
        result: Diffrax's result, to be compared with `gan_ode.RESULTS`.
        outcome: How it ended, to be compared with `gan_ode.OUTCOMES`; `gan_ode.name_of` gives its name.
        final_time: The last time that was reached, saved or not; if a fixed step could not be solved, or the field was
            not finite in it, the last one that was saved.
        final_state: The state there.
        interpolation: Dense output, if it was asked for.
        event_mask: Which events stopped the solve, if there were events.
    """

    ts: Float[Array, " times"]
    ys: State
    stats: dict[str, Any]
    result: diffrax.RESULTS
    outcome: OUTCOMES
    final_time: Scalar
    final_state: State
    interpolation: diffrax.DenseInterpolation | None = None
    event_mask: PyTree[Bool[Array, ""]] | None = None

    @property
    def reached(self) -> Bool[Array, "*batch times"]:
        """Which save times were reached."""
        return jnp.isfinite(self.ts)

    def evaluate(self, t: RealScalarLike) -> State:
        """The state at any time, by the solver's dense output.

        Its order is below that of the steps for some solvers (4 for Kvaerno5, 6 for Dopri8): where the last digits
        matter, save at the time instead.

        Raises:
            ValueError: If there is no dense output.
        """
        if self.interpolation is None:
            raise ValueError("`orbit` has no dense output: ask for it by `flow(..., dense=True)`.")
        return self.interpolation.evaluate(jnp.asarray(t, self.ts.dtype))

    def trim(self) -> "Orbit":
        """The orbit without the save times that were not reached. Not under a transformation: the shape changes."""
        if _checks.is_traced(self.ts) or self.ts.ndim != 1:
            raise ValueError(
                "`orbit` must be a single one and concrete to be trimmed: under `jax.jit` or `jax.vmap` use `reached`."
            )
        reached = np.asarray(self.reached)
        ts, ys = jax.tree.map(lambda leaf: leaf[reached], (self.ts, self.ys))
        return eqx.tree_at(lambda orbit: (orbit.ts, orbit.ys), self, (ts, ys))


class SolveFailed(RuntimeError):
    """A solve that failed; what it had computed is in `orbit`.

    Attributes:
        orbit: The orbit up to the failure.
    """

    def __init__(self, message: str, orbit: Orbit):
        super().__init__(message)
        self.orbit = orbit
