import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks, _tree
from .._compiled import strongly_typed
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..simulate import flow, iterate, Orbit, OUTCOMES
from ..updates import AbstractUpdate
from ._decision import decide, has_grown_on, keeps_growing, Linear, may_close, Place, stability, stays
from ._equilibrium import Equilibrium, find_equilibrium
from ._jacobian import spectrum
from ._multipliers import multipliers
from ._motion import Motion, motion, UNKNOWN, with_returns_of
from ._verdict import Verdict

_SAMPLES = 4096
_SAMPLES_A_TURN = 64
# Each stage is so much longer than the last; three stages reach slow modes 2,500 times slower than the fastest. The
# factors are such that no stage has a whole number of samples a turn, which would show a moving picture at rest.
_STAGES = (1, 7.7, 39.6)
_COARSE = {4: 1e-5, 8: 1e-7}
_FINE_OVER_COARSE = {4: 1e-1, 8: 1e-2}
_FINEST = {4: 1e-6, 8: 1e-12}
_MAX_STEPS = 2_000_000
_MOST_UPDATES = 500_000_000
_TURNS_AT_THE_END = 32
# The tolerances agree if their trends do, to a tenth.
_AGREE = 0.1


@dataclasses.dataclass(frozen=True)
class _Problem:
    """What is asked for."""

    field: Field
    y0: State
    args: Args
    update: AbstractUpdate | None
    solver: Any
    rtol: float | None
    invariant: Callable | None

    @property
    def itemsize(self) -> int:
        return max(jnp.dtype(_tree.dtype(self.y0)).itemsize, 4)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """What one orbit says, by itself."""

    verdict: Verdict
    motion: Motion
    linear: Linear = "none"

    @property
    def grows(self) -> bool:
        return self.verdict.kind == "undecided" and keeps_growing(self.motion, self.linear)


def classify(
    field: Field,
    y0: State,
    *,
    update: AbstractUpdate | None = None,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: float | None = None,
    duration: RealScalarLike | None = None,
    invariant: Callable[[State], Scalar] | None = None,
) -> Verdict:
    """Whether an orbit converges, cycles or diverges: a verdict with its evidence, or "undecided".

    A flow is solved at two tolerances, a hundredfold apart (tenfold in float32), and refined until what they say
    agrees: a loose solver damps cycles, or blows them up. An update's orbit needs no refinement. The orbit is then read
    over windows of doubling length: it converges if its motion dies out at a stable equilibrium (or on a continuum of
    them), or keeps shrinking at a steady exponential or algebraic rate; it cycles if it returns to itself after many
    turns; it diverges if it blows up, or keeps growing for as long as it is followed. The speed alone decides nothing.

    Args:
        field: The field.
        y0: Initial state.
        update: The update to judge; the flow if None.
        args: Handed to the field.
        solver: Diffrax solver for the flow; Tsit5 by default.
        rtol: Relative tolerance to start from; 1e-7 by default, 1e-5 in float32.
        duration: How long to follow the orbit; an update for at least 4,096 steps. By default up to 2,500 turns of the
            fastest mode at `y0`, or at the equilibrium next to it, and only as long as it takes to decide.
        invariant: A quantity that should not change on a cycle; its drift is reported.

    Returns:
        The verdict. Not under a transformation: it is made of Python values.
    """
    if _checks.is_traced((field, y0, args)):
        raise ValueError("`field` and `y0` must be concrete for a verdict in words: call `classify` outside `jax.jit`.")
    if rtol is not None:
        _checks.positive("rtol", rtol, "1e-7 is usual, 1e-5 in float32.")
    if duration is not None:
        duration = _checks.positive("duration", duration, "Leave it out to have it chosen.")
    field, y0, args, update = strongly_typed((field, y0, args, update))
    stages = _stages(field, y0, args) if duration is None else [float(np.asarray(duration))]
    problem = _Problem(field, y0, args, update, solver, rtol, invariant)
    judge = _judge_flow if update is None else _judge_update
    shorter = reading = judge(problem, stages[0], whole=len(stages) == 1)
    for length in stages[1:]:
        if reading.verdict.kind != "undecided":
            return reading.verdict
        shorter, reading = reading, judge(problem, length, whole=length == stages[-1])
    if reading.grows and has_grown_on(shorter.motion, reading.motion):
        times = f"{reading.motion.size / shorter.motion.size:.3g} times as large"
        reason = f"the orbit keeps growing: {times} when followed {stages[-1] / stages[-2]:.3g} times as long"
        return dataclasses.replace(reading.verdict, kind="diverges", reason=reason)
    return reading.verdict


def _stages(field: Field, y0: State, args: Args) -> list[float]:
    """Durations; the first one is 64 turns of the fastest mode at the start, or at the equilibrium next to it."""
    equilibrium = find_equilibrium(field, y0, args, throw=False)
    places = [y0, equilibrium.y] if equilibrium.found else [y0]
    rates = [float(jnp.max(jnp.abs(spectrum(field, y, args)))) for y in places]
    rate = max((rate for rate in rates if np.isfinite(rate)), default=0.0)
    if rate == 0:
        rate = float(_tree.norm(field(0.0, y0, args)) / (1 + _tree.norm(y0)))
    if rate == 0 or not np.isfinite(rate):
        rate = 1.0
    return [stage * 2 * np.pi * _SAMPLES / _SAMPLES_A_TURN / rate for stage in _STAGES]


def _judge_flow(problem: _Problem, length: float, *, whole: bool) -> _Reading:
    size = problem.itemsize
    tolerance = _COARSE[size] if problem.rtol is None else float(problem.rtol)
    tolerance = max(tolerance, _FINEST[size] / _FINE_OVER_COARSE[size])

    def follow(y0: State, length: float, tolerance: float) -> Orbit:
        return flow(
            problem.field, y0, jnp.linspace(0.0, length, _SAMPLES + 1), args=problem.args, solver=problem.solver,
            rtol=tolerance, max_steps=_MAX_STEPS, adjoint=diffrax.ForwardMode(), throw=False,
        )  # fmt: skip

    def look(tolerance: float) -> _Reading:
        orbit = follow(problem.y0, length, tolerance)
        if orbit.outcome != OUTCOMES.ok:
            return _read(problem, orbit, UNKNOWN, length, whole)
        moved = motion(problem.field, orbit, problem.args, returns=True)
        if may_close(moved, size):
            # It was saved too seldom to be seen to return: a stretch at its end is saved more often.
            end = follow(orbit.final_state, _TURNS_AT_THE_END * moved.swing, tolerance)
            moved = with_returns_of(moved, problem.field, end, problem.args)
        return _read(problem, orbit, moved, length, whole)

    coarse = look(tolerance)
    while True:
        finer = max(tolerance * _FINE_OVER_COARSE[size], _FINEST[size])
        fine = look(finer)
        both = dataclasses.replace(fine.verdict, tolerances=(tolerance, finer))
        # Two that are undecided may both be too coarse for a small orbit.
        agree = _agree(coarse, fine)
        at_the_end = finer <= _FINEST[size]
        if agree and (both.kind != "undecided" or at_the_end):
            return dataclasses.replace(fine, verdict=both)
        if at_the_end:
            kinds = f"{coarse.verdict.kind}, {both.kind}"
            reason = f"solves at relative tolerances {tolerance:g} and {finer:g} still differ ({kinds})"
            return _Reading(dataclasses.replace(both, kind="undecided", reason=reason), UNKNOWN)
        tolerance, coarse = finer, fine


def _judge_update(problem: _Problem, length: float, *, whole: bool) -> _Reading:
    update = problem.update
    assert update is not None
    stride = max(round(length / (_SAMPLES * float(update.step_size))), 1)
    if _SAMPLES * stride > _MOST_UPDATES:
        reason = f"a duration of {length:.3g} takes {_SAMPLES * stride:,} steps: give `duration`, or a larger step size"
        return _Reading(Verdict("undecided", reason, 0.0), UNKNOWN)
    orbit = iterate(update, problem.field, problem.y0, _SAMPLES * stride, args=problem.args, save_every=stride)
    moved = motion(problem.field, orbit, problem.args, returns=False)
    return _read(problem, orbit, moved, _SAMPLES * stride * float(update.step_size), whole)


def _agree(coarse: _Reading, fine: _Reading) -> bool:
    if coarse.verdict.kind != fine.verdict.kind:
        return False
    if coarse.verdict.kind != "converges" or fine.motion.remaining < 1e-3:
        return True
    return abs(coarse.motion.trend - fine.motion.trend) <= _AGREE * abs(fine.motion.trend)


def _read(problem: _Problem, orbit: Orbit, moved: Motion, length: float, whole: bool) -> _Reading:
    """What one orbit and its motion say."""
    time = float(orbit.final_time)
    if orbit.outcome == OUTCOMES.blow_up:
        reason = f"the state grows without bound by t = {time:.6g}"
        return _Reading(Verdict("diverges", reason, time, float("inf")), UNKNOWN)
    if orbit.outcome != OUTCOMES.ok:
        reason = f"the solve stopped at t = {time:.6g}: {OUTCOMES[orbit.outcome]}"
        return _Reading(Verdict("undecided", reason, time), UNKNOWN)
    equilibrium = find_equilibrium(problem.field, orbit.final_state, problem.args, throw=False)
    distance, norm = _distance_and_norm(equilibrium, orbit)
    found = bool(equilibrium.found) and stays(float(equilibrium.residual), length, moved, norm, problem.itemsize)
    eigenvalues, linear, growth = (
        _linear(problem.field, equilibrium, problem.args, problem.update) if found else (None, "none", 0.0)
    )
    place = Place(linear, found, distance, norm, growth)
    kind, reason = decide(moved, place, problem.itemsize, is_flow=problem.update is None, whole=whole)
    verdict = Verdict(
        kind,
        reason,
        duration=length,
        rate=moved.rate,
        period=moved.period,
        closure=moved.closure,
        equilibrium=equilibrium if found else None,
        eigenvalues=eigenvalues,
        invariant_drift=_drift(problem.invariant, orbit),
    )
    return _Reading(verdict, moved, linear)


def _drift(invariant: Callable | None, orbit: Orbit) -> float:
    if invariant is None:
        return float("nan")
    values = np.asarray(jax.vmap(invariant)(orbit.ys))[np.asarray(orbit.reached)]
    return float(np.max(np.abs(values - values[0])))


def _linear(
    field: Field, equilibrium: Equilibrium, args: Args, update: AbstractUpdate | None
) -> tuple[np.ndarray | None, Linear, float]:
    """Eigenvalues at the equilibrium, what they make of it, and the largest growth."""
    if update is None:
        values = np.asarray(spectrum(field, equilibrium.y, args))
        growth = values
    else:
        values = np.asarray(multipliers(update, field, equilibrium.y, args))
        with np.errstate(divide="ignore"):
            growth = np.log(values.astype(complex)) / float(update.step_size)
        growth = growth[np.isfinite(growth)]
    if not np.all(np.isfinite(values)):
        return None, "none", 0.0
    return values, *stability(growth, max(jnp.dtype(_tree.dtype(equilibrium.y)).itemsize, 4))


def _distance_and_norm(equilibrium: Equilibrium, orbit: Orbit) -> tuple[float, float]:
    """Of the orbit's last state from the equilibrium, and of that state; largest entries, which do not overflow."""
    here, there = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(y)]) for y in (equilibrium.y, orbit.final_state)
    )
    return float(np.max(np.abs(here - there))), float(np.max(np.abs(there)))
