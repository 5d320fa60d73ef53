import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..simulate import flow, iterate, Orbit, OUTCOMES
from ..updates import AbstractUpdate
from ._equilibrium import Equilibrium, find_equilibrium
from ._jacobian import multipliers, spectrum
from ._motion import Motion, motion, UNKNOWN
from ._types_of_equilibria import equilibrium_type
from ._verdict import Kind, Verdict

_SAMPLES = 4096
_SAMPLES_A_TURN = 64
# Each stage is so much longer than the last; three stages reach slow modes 4,000 times slower than the fastest.
_STAGES = (1, 8, 64)
_COARSE = {4: 1e-5, 8: 1e-7}
_FINE_OVER_COARSE = {4: 1e-1, 8: 1e-2}
_FINEST = {4: 1e-6, 8: 1e-12}
_MAX_STEPS = 2_000_000

# Where an orbit has arrived: what is left of its motion, relative to all of it.
_ARRIVED = {4: 1e-3, 8: 1e-5}
# A return this close (relative to the orbit's size) after many turns is a closed orbit. In float64 that is above the
# solver's own drift at the finest tolerance, and far below the decay that 64 turns make visible.
_CLOSED = {4: 5e-3, 8: 1e-5}
# Change of the logarithm of the amplitude, from window to window, that counts as none.
_STEADY = {4: 5e-3, 8: 1e-3}
# And the least one that counts as a trend.
_TREND = 0.02
# A trend goes on if it is nearly what it was one doubling earlier: as steep for a power law, twice for an exponential.
_NOT_SLOWING = 0.8
_ENOUGH_TURNS = 3
_MUCH = 3.0
# The tolerances agree if their trends do, to a tenth.
_AGREE = 0.1


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
    turns; it diverges if it blows up or keeps growing. The speed alone decides nothing.

    Args:
        field: The field.
        y0: Initial state.
        update: The update to judge; the flow if None.
        args: Handed to the field.
        solver: Diffrax solver for the flow; Tsit5 by default.
        rtol: Relative tolerance to start from; 1e-7 by default, 1e-5 in float32.
        duration: How long to follow the orbit. By default up to 4,000 turns of the fastest mode at `y0`, and only as
            long as it takes to decide.
        invariant: A quantity that should not change on a cycle; its drift is reported.

    Returns:
        The verdict. Not under a transformation: it is made of Python values.
    """
    if _checks.is_traced((field, y0, args)):
        raise ValueError("`field` and `y0` must be concrete for a verdict in words: call `classify` outside `jax.jit`.")
    stages = _durations(field, y0, args) if duration is None else (float(np.asarray(duration)),)
    verdict = Verdict("undecided", "not followed", 0.0)
    for length in stages:
        if update is None:
            verdict = _judge_flow(field, y0, args, solver, rtol, length, invariant)
        else:
            verdict = _judge_update(field, y0, args, update, length, invariant)
        if verdict.kind != "undecided":
            break
    return verdict


def _durations(field: Field, y0: State, args: Args) -> tuple[float, ...]:
    """Lengths of the stages, from the fastest mode at the start."""
    rate = float(jnp.max(jnp.abs(spectrum(field, y0, args))))
    if rate == 0 or not np.isfinite(rate):
        rate = float(_tree.norm(field(0.0, y0, args)) / (1 + _tree.norm(y0))) or 1.0
    return tuple(stage * 2 * np.pi * _SAMPLES / _SAMPLES_A_TURN / rate for stage in _STAGES)


def _judge_flow(
    field: Field, y0: State, args: Args, solver: Any, rtol: float | None, length: float, invariant: Callable | None
) -> Verdict:
    size = _itemsize(y0)
    ts = jnp.linspace(0.0, length, _SAMPLES + 1)
    tolerance = max(_COARSE[size] if rtol is None else float(rtol), _FINEST[size] / _FINE_OVER_COARSE[size])

    def follow(tolerance: float) -> tuple[Verdict, Motion]:
        orbit = flow(
            field, y0, ts, args=args, solver=solver, rtol=tolerance, max_steps=_MAX_STEPS,
            adjoint=diffrax.ForwardMode(), throw=False,
        )  # fmt: skip
        return _read(field, orbit, args, None, invariant, length)

    coarse, coarse_motion = follow(tolerance)
    while True:
        finer = max(tolerance * _FINE_OVER_COARSE[size], _FINEST[size])
        fine, fine_motion = follow(finer)
        # Two that are undecided may both be too coarse for a small orbit.
        agree = _agree(coarse, coarse_motion, fine, fine_motion)
        at_the_end = finer <= _FINEST[size]
        if agree and (fine.kind != "undecided" or at_the_end):
            return dataclasses.replace(fine, tolerances=(tolerance, finer))
        if at_the_end:
            reason = (
                f"solves at relative tolerances {tolerance:g} and {finer:g} still differ ({coarse.kind}, {fine.kind})"
            )
            return dataclasses.replace(fine, kind="undecided", reason=reason, tolerances=(tolerance, finer))
        tolerance, coarse, coarse_motion = finer, fine, fine_motion


def _judge_update(
    field: Field, y0: State, args: Args, update: AbstractUpdate, length: float, invariant: Callable | None
) -> Verdict:
    stride = max(round(length / (_SAMPLES * float(update.step_size))), 1)
    orbit = iterate(update, field, y0, _SAMPLES * stride, args=args, save_every=stride)
    return _read(field, orbit, args, update, invariant, _SAMPLES * stride * float(update.step_size))[0]


def _agree(coarse: Verdict, coarse_motion: Motion, fine: Verdict, fine_motion: Motion) -> bool:
    if coarse.kind != fine.kind:
        return False
    if coarse.kind != "converges" or fine_motion.remaining < 1e-3:
        return True
    return abs(coarse_motion.trend - fine_motion.trend) <= _AGREE * abs(fine_motion.trend)


def _read(
    field: Field, orbit: Orbit, args: Args, update: AbstractUpdate | None, invariant: Callable | None, length: float
) -> tuple[Verdict, Motion]:
    """What one orbit says, by itself."""
    time = float(orbit.final_time)
    if orbit.outcome == OUTCOMES.blow_up:
        return Verdict("diverges", f"the state grows without bound by t = {time:.6g}", time, float("inf")), UNKNOWN
    if orbit.outcome != OUTCOMES.ok:
        return Verdict("undecided", f"the solve stopped at t = {time:.6g}: {OUTCOMES[orbit.outcome]}", time), UNKNOWN
    moved = motion(field, orbit, args, returns=update is None)
    equilibrium = find_equilibrium(field, orbit.final_state, args, throw=False)
    eigenvalues, linear = _linear(field, equilibrium, args, update)
    size = _itemsize(orbit.final_state)
    at_equilibrium = _near(equilibrium, orbit, moved, size)
    kind, reason = _decide(moved, linear, at_equilibrium, size, is_flow=update is None)
    return (
        Verdict(
            kind,
            reason,
            duration=length,
            rate=moved.rate,
            period=moved.period,
            closure=moved.closure,
            equilibrium=equilibrium if equilibrium.found else None,
            eigenvalues=eigenvalues,
            invariant_drift=_drift(invariant, orbit),
        ),
        moved,
    )


def _decide(moved: Motion, linear: str, at_equilibrium: bool, size: int, *, is_flow: bool) -> tuple[Kind, str]:
    """The verdict that the motion and the linear part support together."""
    if moved.remaining < _ARRIVED[size]:
        if at_equilibrium and linear == "stable":
            return "converges", "the motion dies out at an equilibrium whose linear part is stable"
        if at_equilibrium and linear == "continuum":
            return "converges", "the motion dies out on a continuum of equilibria, stable across it"
        return "undecided", "the motion dies out, but not at an equilibrium whose linear part is stable"
    if moved.turns >= _ENOUGH_TURNS and moved.closure < _CLOSED[size]:
        after = f"after {moved.turns} turns of {moved.period:.6g}"
        return "cycles", f"the orbit closes to {moved.closure:.1e} of its size {after}"
    steady = max(abs(moved.trend), abs(moved.earlier_trend)) < _STEADY[size]
    # A flow that does not close needs a reason to go around for ever; an update's orbit never closes, but is exact.
    if moved.wanders and steady and (linear == "center" or not is_flow):
        change = f"changes by less than {_STEADY[size]:.1%} in a doubling of time"
        return "cycles", f"the orbit goes around, without closing, at an amplitude that {change}"
    factor = f"by a factor of {np.exp(moved.trend):.3g} in the last doubling of time"
    if moved.wanders and moved.trend < -_TREND and moved.trend <= _NOT_SLOWING * moved.earlier_trend < 0:
        if linear == "unstable":
            return "undecided", "the motion shrinks, but around an unstable equilibrium"
        return "converges", f"the amplitude keeps falling, {factor}"
    growing = moved.trend > _TREND and moved.trend >= _NOT_SLOWING * moved.earlier_trend > 0
    if moved.wanders and growing and moved.grown > _MUCH:
        return "diverges", f"the amplitude keeps growing, {factor}"
    return "undecided", "the motion neither dies out, nor returns, nor keeps a trend"


def _drift(invariant: Callable | None, orbit: Orbit) -> float:
    if invariant is None:
        return float("nan")
    values = np.asarray(jax.vmap(invariant)(orbit.ys))[np.asarray(orbit.reached)]
    return float(np.max(np.abs(values - values[0])))


def _linear(
    field: Field, equilibrium: Equilibrium, args: Args, update: AbstractUpdate | None
) -> tuple[np.ndarray | None, str]:
    """Eigenvalues at the equilibrium, and whether they make it stable, a continuum, a center or unstable."""
    if not equilibrium.found:
        return None, "none"
    if update is None:
        values = np.asarray(spectrum(field, equilibrium.y, args))
        growth = values
    else:
        values = np.asarray(multipliers(update, field, equilibrium.y, args))
        with np.errstate(divide="ignore"):
            growth = np.log(values.astype(complex)) / float(update.step_size)
        growth = growth[np.isfinite(growth)]
    if not np.all(np.isfinite(values)):
        return None, "none"
    return values, _stability(growth, _itemsize(equilibrium.y))


def _stability(growth: np.ndarray, itemsize: int) -> str:
    zero = np.sqrt(np.finfo(np.float32 if itemsize == 4 else np.float64).eps) * np.max(np.abs(growth), initial=0.0)
    moving = growth[np.abs(growth) > zero]
    if len(moving) == 0 or np.any(np.real(moving) > zero):
        return "unstable" if len(moving) else "none"
    if not np.all(np.real(moving) < -zero):
        return "center"
    return "stable" if len(moving) == len(growth) and equilibrium_type(moving).startswith("stable") else "continuum"


def _near(equilibrium: Equilibrium, orbit: Orbit, moved: Motion, itemsize: int) -> bool:
    pairs = zip(jax.tree.leaves(equilibrium.y), jax.tree.leaves(orbit.final_state), strict=True)
    distance = np.sqrt(sum(np.sum(np.square(np.asarray(here) - np.asarray(there))) for here, there in pairs))
    return bool(equilibrium.found) and bool(distance < 10 * _ARRIVED[itemsize] * moved.size + 1e-6)


def _itemsize(y: State) -> int:
    return max(jnp.dtype(_tree.dtype(y)).itemsize, 4)
