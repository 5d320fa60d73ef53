from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .. import _checks
from .._names import name_of
from .._printing import counted, number, printed, Report, state as printed_state
from .._types import RealScalarLike, Scalar, State
from ._orbit_dataset import dataset


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


@printed
class Orbit(eqx.Module):
    """States along time, whether followed by a flow or by an update.

    Save times that were not reached hold infinity, in `ts` and in `ys`; `reached` tells them, `trim` drops them. It
    prints how it ended, where, and what it took.

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

    def to_xarray(self) -> Any:
        """The orbit as an `xarray.Dataset`: one variable for each leaf of the states, over a time axis.

        A variable is named by the path of its leaf, `discriminator.layers.0.weight` say, or `y` where the state is one
        array; its first dimension is `time`, others are `NAME.axis0` and so on. Of an ensemble `member` comes first,
        and the coordinate `ts` has the times of every member. Times that were not reached are left out of a single
        orbit, and infinite in an ensemble. How it ended and the counts of steps are attributes, of an ensemble
        coordinates over its members.

        ```python
        import jax.numpy as jnp
        import gan_ode

        orbit = gan_ode.flow(lambda t, y, args: {"a": -y["a"]}, {"a": jnp.array(1.0)}, jnp.linspace(0.0, 1.0, 3))
        dataset = orbit.to_xarray()
        assert dataset["a"].dims == ("time",) and dataset.attrs["outcome"] == "ok"
        ```

        Raises:
            ImportError: If xarray is not installed.
            ValueError: If the orbit is traced.
        """
        if _checks.is_traced(self.ts):
            raise ValueError("`orbit` must be concrete to be a dataset: call `to_xarray` outside of `jax.jit`.")
        return dataset(self.trim() if self.ts.ndim == 1 else self)

    def _report(self) -> Report:
        if self.ts.ndim > 1:
            steps = f"{number(np.mean(self.stats['num_steps']))} on average"
            title = f"Orbit of {np.size(self.final_time):,} members: {counted(name_of(self.outcome))}"
            return Report(title, {"steps": steps, "times": f"{self.ts.shape[-1]:,} saved"})
        name, reached = str(name_of(self.outcome)), np.asarray(self.reached)
        times = f"{number(self.ts[0])} to {number(self.final_time)}, {int(reached.sum()):,} saved"
        missed = f", {int((~reached).sum()):,} not reached" if not reached.all() else ""
        start = jax.tree.map(lambda leaf: leaf[0], self.ys)
        recorded = jax.tree.structure(start) != jax.tree.structure(self.final_state)
        lines = {
            "times": times + missed,
            "first saved" if recorded else "start": printed_state(start),
            "end": printed_state(self.final_state),
            "steps": self._steps(),
        }
        return Report(f"Orbit: {name}. {OUTCOMES[self.outcome]}", lines)

    def _steps(self) -> str:
        """How many steps there were, and of which kind."""
        known = {name.removeprefix("num_").removesuffix("_steps"): value for name, value in self.stats.items()}
        of_kinds = (f"{number(known[kind])} {kind}" for kind in ("accepted", "rejected") if kind in known)
        return ", ".join([number(known["steps"]), *of_kinds])


class SolveFailed(RuntimeError):
    """A solve that failed; what it had computed is in `orbit`.

    Attributes:
        orbit: The orbit up to the failure.
    """

    def __init__(self, message: str, orbit: Orbit):
        super().__init__(message)
        self.orbit = orbit
