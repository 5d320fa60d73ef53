import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from .. import _checks, _tree
from .._lowering import jit
from .._progress import told
from .._types import Args, Field, RealScalarLike, State
from ..solvers import _requirements
from . import _events, _inputs
from ._diffrax_controllers import Fixed, Guarded, Steady, Trial
from ._orbit import Orbit, OUTCOMES, SolveFailed
from ._outcome import outcome

_MAX_STEPS = 65_536
_TOLERANCE = {4: 1e-5, 8: 1e-8}
_LEAST_TOLERANCE = {4: 1e-7, 8: 1e-14}
_BLOW_UP = "_blow_up"
# Twice as many, with some to spare, still fit into a 32-bit counter.
_MOST_FIXED_STEPS = 2**29


@told
def flow(
    field: Field,
    y0: Any,
    ts: Float[Array, " times"],
    *,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    step_size: RealScalarLike | None = None,
    stepsize_controller: diffrax.AbstractAdaptiveStepSizeController | None = None,
    dt0: RealScalarLike | None = None,
    exact_times: bool = False,
    dense: bool = False,
    events: diffrax.Event | Callable | None = None,
    max_steps: int | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    progress_meter: bool | diffrax.AbstractProgressMeter = False,
    throw: bool = True,
) -> Orbit:
    r"""Follows a field in continuous time, by Diffrax.

    Works with any field `(t, y, args) -> dy/dt`, any Diffrax solver for ordinary equations, and under `jax.jit`,
    `jax.vmap` and `jax.grad`. The first call for a shape compiles; other times, states and parameters of the same
    shape do not. The state's dtype decides: times and tolerances follow it.

    A state that grows without bound is a result (`orbit.outcome == OUTCOMES.blow_up`, with its `final_time`), not an
    error. A cycle that a loose tolerance damps is not told from one that converges: tighten the tolerances before
    believing it, or ask `analysis.classify`.

    Args:
        field: The field.
        y0: State at `ts[0]`: any pytree of floating-point arrays of one dtype, for a game `Players`.
        ts: Times to save at, increasing, shape `(times,)`; the first is where `y0` is.
        args: Handed to the field: a minibatch, or None.
        solver: Any Diffrax solver; `diffrax.Tsit5()` by default. For stiff fields `diffrax.Kvaerno5()`.
        rtol: Relative tolerance; 1e-8 by default, 1e-5 in float32.
        atol: Absolute tolerance; as `rtol` by default. For a fixed implicit step both go to its root finder.
        step_size: A fixed step in the place of error control. It must divide the time between first and last time.
        stepsize_controller: An adaptive Diffrax controller in the place of `rtol` and `atol`.
        dt0: First step; chosen from the field by default.
        exact_times: Whether to step exactly on the save times, rather than interpolate between steps.
        dense: Whether to keep dense output for `orbit.evaluate`. It holds `max_steps` copies of the step.
        events: A `diffrax.Event`, or a condition `f(t, y, args, **kwargs)`, that stops the solve. Of several in one
            step the first in time does (under transformations and in `ensemble` the first that is listed), by the
            event's root finder. A start with a condition of exactly zero counts as lying on the side to which the orbit
            leaves: a section is met again by coming back to it.
        max_steps: Most steps to take, rejected ones included; 65,536 by default, as many as needed for a fixed step.
        adjoint: How to differentiate; Diffrax's default is for reverse mode, `diffrax.ForwardMode()` for forward mode.
        progress_meter: Whether to show progress on the terminal, or a Diffrax meter.
        throw: Whether a failed solve raises. If not, the orbit holds what was computed, and `outcome` says why.

    Returns:
        The orbit: `ts`, `ys` with a leading time axis, `stats`, `result`, `outcome`.

    Raises:
        ValueError: If an argument cannot work; the text names it, and the remedy.
        SolveFailed: If the solve fails and `throw` holds; its `orbit` has what was computed. Under a transformation a
            RuntimeError.
    """
    y0 = _inputs.state(y0)
    ts = _inputs.times(ts, _tree.dtype(y0))
    how = method(
        ts, solver, rtol=rtol, atol=atol, step_size=step_size, stepsize_controller=stepsize_controller, dt0=dt0,
        exact_times=exact_times, dense=dense, events=events, max_steps=max_steps,
        adjoint=diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint, progress_meter=progress_meter,
    )  # fmt: skip
    _check_memory(y0, ts, how)
    orbit, fine = _solve(field, y0, ts, args, how)
    if how.event is not None:
        orbit = _to_first_event(orbit, field, y0, ts, args, how)
    return _raise_if_failed(orbit, fine) if throw else orbit


# No module of Equinox: one is made at every call, and that takes longer.
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Method:
    """How a field is followed: `flow`'s options, checked and completed."""

    solver: Any
    controller: Any
    dt0: Any
    event: diffrax.Event | None
    max_steps: int = dataclasses.field(metadata={"static": True})
    dense: bool = dataclasses.field(metadata={"static": True})
    adjoint: Any
    meter: Any


def method(
    ts: Float[Array, " times"],
    solver: Any,
    *,
    rtol: Any,
    atol: Any,
    step_size: Any,
    stepsize_controller: Any,
    dt0: Any,
    exact_times: bool,
    dense: bool,
    events: Any,
    max_steps: int | None,
    adjoint: Any,
    progress_meter: Any,
) -> Method:
    solver = diffrax.Tsit5() if solver is None else solver
    _requirements.check_for_ode(solver)
    if step_size is None:
        controller = _adaptive(stepsize_controller, rtol, atol, ts.dtype, solver, ts if exact_times else None)
        solver = _requirements.for_adaptive_steps(solver, ts.dtype)
        dt0 = None if dt0 is None else _checks.positive("dt0", dt0, "Leave it out to have it chosen.")
        max_steps = _MAX_STEPS if max_steps is None else _checks.count("max_steps", max_steps, most=_checks.MOST_STEPS)
    else:
        if stepsize_controller is not None or dt0 is not None or exact_times:
            raise ValueError("`step_size` fixes every step: leave out `stepsize_controller`, `dt0` and `exact_times`.")
        controller = Fixed()
        solver = _requirements.for_fixed_steps(solver, rtol, atol)
        dt0, max_steps = fixed_steps(step_size, ts, max_steps)
    return Method(solver, controller, dt0, _event(events), max_steps, dense, adjoint, _meter(progress_meter))


def _adaptive(
    controller: Any, rtol: Any, atol: Any, dtype: DTypeLike, solver: Any, step_ts: Any
) -> diffrax.AbstractAdaptiveStepSizeController:
    if controller is None:
        dtype = jnp.dtype(dtype)
        rtol = _tolerance("rtol", _TOLERANCE[max(dtype.itemsize, 4)] if rtol is None else rtol, dtype)
        atol = rtol if atol is None else _tolerance("atol", atol, dtype, absolute=True)
        # PI control; for explicit steps at the edge of stability it rejects far less than the plain I controller.
        p, i = (0.0, 1.0) if _requirements.is_implicit(solver) else (0.2, 0.6)
        controller = diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=p, icoeff=i)
    elif rtol is not None or atol is not None:
        raise ValueError("`rtol` and `atol` are the `stepsize_controller`'s: give either them or it.")
    if not isinstance(controller, diffrax.AbstractAdaptiveStepSizeController):
        raise ValueError(
            f"`stepsize_controller` must be adaptive, but is {controller!r}: for a fixed step give `step_size=`."
        )
    clipped = controller if step_ts is None else diffrax.ClipStepSizeController(controller, step_ts=step_ts)
    return Guarded(controller=clipped, rtol=controller.rtol, atol=controller.atol, norm=controller.norm)


def _tolerance(name: str, value: RealScalarLike, dtype: np.dtype, absolute: bool = False) -> Array | np.ndarray:
    least = _LEAST_TOLERANCE[max(dtype.itemsize, 4)]
    _checks.real(name, value)
    if np.ndim(value):
        raise ValueError(
            f"`{name}` must be one number, but has shape {np.shape(value)}: for one of each entry of a state that "
            "is one array give `stepsize_controller=diffrax.PIDController(rtol=..., atol=...)`."
        )
    if _checks.is_traced(value):
        return jnp.asarray(value, dtype)
    number = float(np.asarray(value))
    if not np.isfinite(number) or number < 0 or (number == 0 and not absolute):
        raise ValueError(f"`{name}` must be above 0 and finite, but is {number}: 1e-8 is usual, 1e-5 in float32.")
    if 0 < number < least:
        raise ValueError(
            f"`{name}` must be at least {least:g} in {dtype}, but is {number:g}: below that rounding is "
            "larger than the error. Loosen it, or take float64 (`jax.config.update('jax_enable_x64', True)`)."
        )
    if number >= 1 and not absolute:
        raise ValueError(
            f"`{name}` must be below 1, but is {number:g}: it is a step's error relative to the state; 1e-8 is usual, "
            "1e-5 in float32."
        )
    # In NumPy: an array of JAX takes longer to make.
    return np.asarray(number, dtype)


def fixed_steps(step_size: RealScalarLike, ts: Float[Array, " times"], max_steps: int | None) -> tuple[Array, int]:
    step_size = _checks.positive("step_size", step_size, "Time runs forward.").astype(ts.dtype)
    if _checks.is_traced((step_size, ts)):
        return step_size, _MAX_STEPS if max_steps is None else max_steps
    duration = float(ts[-1] - ts[0])
    steps = duration / float(step_size)
    resolution = float(jnp.finfo(ts.dtype).eps * jnp.max(jnp.abs(ts)))
    if steps > _MOST_FIXED_STEPS or float(step_size) < resolution:
        raise ValueError(
            f"`step_size` must be at least {max(duration / _MOST_FIXED_STEPS, resolution):.2g} for times to "
            f"{float(ts[-1]):g} in {ts.dtype}, but is {float(step_size):g}: smaller ones are too many, or lost in the "
            "rounding of time. For a small error leave it out and give `rtol`."
        )
    whole = max(round(steps), 1)
    rounding = float(jnp.finfo(ts.dtype).eps) * steps
    if abs(steps - whole) > max(1e-4, 2 * rounding):
        raise ValueError(
            f"`step_size` must divide the time from first to last, {duration:g}, but {float(step_size):g} goes into it "
            f"{steps:.4g} times: take {duration / whole:.6g}. For the discrete rule itself use `iterate`."
        )
    if max_steps is not None and max_steps < whole:
        raise ValueError(f"`max_steps` must be at least the {whole} steps of `step_size`, but is {max_steps}.")
    # Some to spare, since time is a rounded sum of steps. Powers of two, since each number compiles anew.
    spare = int(rounding * whole)
    return jnp.asarray(duration / whole, ts.dtype), 1 << (whole + spare).bit_length()


def _to_first_event(orbit: Orbit, field: Field, y0: State, ts: Array, args: Args, how: Method) -> Orbit:
    event = how.event
    assert event is not None
    several = event.root_finder is not None and len(jax.tree.leaves(orbit.event_mask)) > 1
    if not several or _checks.is_traced(orbit.final_time) or orbit.outcome != OUTCOMES.event:
        return orbit
    terms = diffrax.ODETerm(field)  # pyright: ignore[reportArgumentType]
    known = {"terms": terms, "t0": ts[0], "t1": ts[-1], **_known_to_conditions(how, _saveat(ts, how))}

    def values(t: Array, y: State) -> list[Array]:
        return [condition(t, y, args, **known) for condition in jax.tree.leaves(event.cond_fn, is_leaf=callable)]

    return _events.earliest(
        event,
        orbit,
        values(ts[0], y0),
        values(orbit.final_time, orbit.final_state),
        lambda alone: _solve(field, y0, ts, args, dataclasses.replace(how, event=alone))[0],
    )


def _check_memory(y0: State, ts: Array, how: Method) -> None:
    _checks.fits_in_memory(
        "ts",
        _inputs.num_bytes(y0, ts.shape[0]),
        "save at fewer times, or a function of the state by an event or `iterate`.",
    )
    if how.dense:
        # Two ends and the stages of every step.
        stages = getattr(getattr(how.solver, "tableau", None), "num_stages", 2)
        size = _inputs.num_bytes(y0, how.max_steps * (stages + 2))
        _checks.fits_in_memory("dense", size, "lower `max_steps`, which sets how many steps are held, or save at `ts`.")


def _event(events: diffrax.Event | Callable | None) -> diffrax.Event | None:
    if events is None or isinstance(events, diffrax.Event):
        return events
    if callable(events):
        return diffrax.Event(events)
    raise ValueError(f"`events` must be a `diffrax.Event` or a condition `f(t, y, args, **kwargs)`, but is {events!r}.")


def _meter(progress_meter: bool | diffrax.AbstractProgressMeter) -> diffrax.AbstractProgressMeter:
    if isinstance(progress_meter, bool):
        # Fifty lines at the most: a meter that looks up at every few steps costs more than the solve.
        return diffrax.TextProgressMeter(minimum_increase=0.02) if progress_meter else diffrax.NoProgressMeter()
    return progress_meter


def _too_large(t: Any, y: State, args: Args, **kwargs: Any) -> Array:
    """Past the root of the largest number, squared norms overflow; NaN is too large as well."""
    return ~(_tree.largest(y) < jnp.sqrt(jnp.finfo(_tree.dtype(y)).max))


@jit
def _solve(field: Field, y0: State, ts: Array, args: Args, how: Method) -> tuple[Orbit, Array]:
    return solve(field, y0, ts, args, how)


def solve(field: Field, y0: State, ts: Array, args: Args, how: Method) -> tuple[Orbit, Array]:
    """The orbit, and whether it is what was asked for: a blow-up is."""
    _inputs.same_structure(field, ts[0], y0, args)
    return solve_terms(diffrax.ODETerm(field), y0, ts, args, how)  # pyright: ignore[reportArgumentType]


def solve_terms(terms: Any, y0: State, ts: Array, args: Args, how: Method) -> tuple[Orbit, Array]:
    """As `solve`, of any Diffrax terms."""
    event, fixed = how.event, isinstance(how.controller, Fixed)
    guard, direction = ({_BLOW_UP: _too_large}, {_BLOW_UP: None}) if fixed else ({}, {})
    saveat = _saveat(ts, how)
    if event is not None:
        known = _known_to_conditions(how, saveat)
        conditions = _events.leaving(event, terms, ts[0], ts[-1], y0, args, **known)
        guard, direction = guard | {"user": conditions}, direction | {"user": event.direction}
    root_finder = None if event is None else event.root_finder
    solution = diffrax.diffeqsolve(
        terms,
        how.solver,
        ts[0],
        ts[-1],
        how.dt0,
        y0,
        args,
        saveat=saveat,
        stepsize_controller=how.controller,
        adjoint=how.adjoint,
        event=diffrax.Event(guard, root_finder, direction) if guard else None,
        max_steps=how.max_steps,
        progress_meter=how.meter,
        throw=False,
    )
    assert solution.ts is not None and solution.ys is not None
    final_time, final_state = solution.ts["end"][0], _tree.first(solution.ys["end"])
    mask = {} if solution.event_mask is None else solution.event_mask
    trial: Trial | Steady = solution.controller_state[1]  # pyright: ignore[reportOptionalSubscript]
    result = solution.result
    if isinstance(trial, Trial):
        result = diffrax.RESULTS.where(trial.stuck, diffrax.RESULTS.dt_min_reached, result)
        final_time = jnp.where(trial.stuck, trial.time, final_time)
    orbit = Orbit(
        # Diffrax saves the start with the first accepted step, so not if there is none.
        ts=solution.ts["orbit"].at[0].set(ts[0]),
        ys=jax.tree.map(lambda saved, start: saved.at[0].set(start), solution.ys["orbit"], y0),
        stats=solution.stats,
        result=result,
        outcome=outcome(result, trial, mask.get(_BLOW_UP, False), y0, final_state, ts, final_time, how.max_steps),
        final_time=final_time,
        final_state=final_state,
        interpolation=solution.interpolation,
        event_mask=mask.get("user"),
    )
    fine = (orbit.outcome == OUTCOMES.ok) | (orbit.outcome == OUTCOMES.event) | (orbit.outcome == OUTCOMES.blow_up)
    return _without_failed_step(orbit, how.dt0) if fixed else orbit, fine


def _saveat(ts: Array, how: Method) -> diffrax.SaveAt:
    subs = {"orbit": diffrax.SubSaveAt(ts=ts), "end": diffrax.SubSaveAt(t1=True)}
    return diffrax.SaveAt(subs=subs, dense=how.dense, controller_state=True)


def _known_to_conditions(how: Method, saveat: diffrax.SaveAt) -> dict[str, Any]:
    """What Diffrax hands to the conditions of events, beside terms and times."""
    return {
        "solver": how.solver,
        "dt0": how.dt0,
        "saveat": saveat,
        "stepsize_controller": how.controller,
        "max_steps": how.max_steps,
    }


def _without_failed_step(orbit: Orbit, dt0: Array) -> Orbit:
    """At a fixed step Diffrax keeps the last step even where it was not solved, or the field not finite."""
    unsolved = (orbit.outcome == OUTCOMES.root_find_failed) | (orbit.outcome == OUTCOMES.nonfinite_field)
    solved = ~unsolved | (orbit.ts < orbit.final_time - 0.999 * dt0)
    last = jnp.maximum(jnp.sum(solved & jnp.isfinite(orbit.ts)) - 1, 0)
    return eqx.tree_at(
        lambda o: (o.ts, o.ys, o.final_time, o.final_state),
        orbit,
        (
            jnp.where(solved, orbit.ts, jnp.inf),
            _tree.where(solved, orbit.ys, jnp.inf),
            jnp.where(unsolved, orbit.ts[last], orbit.final_time),
            _tree.where(unsolved, jax.tree.map(lambda leaf: leaf[last], orbit.ys), orbit.final_state),
        ),
    )


def _raise_if_failed(orbit: Orbit, fine: Array) -> Orbit:
    if _checks.is_traced(fine):
        return eqx.tree_at(lambda o: o.ys, orbit, orbit.outcome.error_if(orbit.ys, ~fine))
    if not fine:
        message = OUTCOMES[orbit.outcome]
        raise SolveFailed(
            f"{message} Reached t = {float(orbit.final_time):.6g}; the orbit so far is in `error.orbit`.", orbit
        )
    return orbit
