from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ... import _checks, _problem, _tree
from ..._entry import guarded
from ..._lowering import jit, jit_quickly
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...simulate import Orbit
from ...solvers._requirements import is_implicit
from ._derivatives import with_derivatives, without_derivative
from ._first_return import rounding, velocity_and_wait
from ._floquet import even_shares, floquet_multipliers, Stretch, turn, turn_by_differences, untried_turn
from ._periodic_orbit import PeriodCurve, PeriodicOrbit, SEARCHES
from ._shooting import Search, search, Trial
from ._smallest_sizes import absolute_tolerances, PART, positive_components, states_around, tolerances_of_displacements
from ._why_none import reason_of

_TOLERANCE = {4: 1e-6, 8: 1e-12}
_MOST_PARAMETERS = 300
# An orbit so much smaller than the return that led to it has shrunk to an equilibrium.
_COLLAPSED = 1e-3
# A search that leaves its start by this part of the size, along a family, did not find the cycle through the start.
_ELSEWHERE = 0.1
# Speeds up to so many roundings are none.
_AT_REST = 1e3
# What closes to that part of the size and no better spirals.
_NEARLY = 1e-2
# The derivative of the flow takes velocities to velocities, unless the field jumps.
_SMOOTH = {4: 3e-2, 8: 1e-3}
# Searches that ended so are asked what the flow does instead.
_UNEXPLAINED = SEARCHES.no_return, SEARCHES.not_closed, SEARCHES.tolerances, SEARCHES.spirals, SEARCHES.collapsed
# Times at which the field is asked whether it depends on time, in parts of what is waited for a return; at rest, of
# this.
_MOMENTS, _TIME = (1.7e-4, 0.0013, 0.0107, 0.0618, 0.271828, 0.57721), 600.0


@guarded("y0")
def find_periodic_orbit(
    field: Field,
    y0: State,
    *,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    derivative: str = "forward",
    max_duration: RealScalarLike | None = None,
    num_samples: int = 128,
    throw: bool = True,
) -> PeriodicOrbit:
    r"""Searches for a cycle near a start, and takes its period and Floquet multipliers.

    The flow is followed until it returns to the section through the start, across the velocity, in the same sense and
    near to it. From there Newton's iteration solves $\varphi_T(y) - y = 0$ for point and period, the point moving only
    across the flow. An isolated cycle is found whether it attracts or repels. In a family of cycles (those of a
    conserved quantity) the equations are singular along the family; the iteration leaves those directions alone, so
    that the cycle *through the start* is found: it closes by itself, to within the error. If the flow leaves its start
    for good, the search goes on from where it has gone: a cycle that attracts is also found from afar.

    Each turn is followed at two tolerances, the second ten times the first. What they differ by is the error of the
    numbers; where it is too large to go by, both are refined, and where they still close different orbits there is no
    cycle. What comes back to nearly where it was, but not to within the error, is a spiral and no cycle.

    The derivative of the flow is followed along with it, in forward mode. A field that jumps (WGAN-GP at slope zero)
    has another one, which includes what the jump does to displacements: take `derivative="differences"`.

    First derivatives with respect to the field's parameters, `args` and the start go through `period` and `y`, forward
    and reverse, by the implicit function theorem: those of the flow are integrals along the orbit, at its samples. They
    are NaN where the samples are too few for that (take more), or the cycle attracts or repels so strongly that a turn
    leaves nothing of a displacement.

    Args:
        field: The field, without explicit time.
        y0: Start: on a cycle of a family, or near an isolated one.
        args: Handed to the field.
        solver: Diffrax solver; Dopri8 by default.
        rtol: Relative tolerance to start from; 1e-12 by default, 1e-6 in float32.
        atol: Absolute tolerance of each component. By default it is set by the sizes that a component takes on the way;
            those that cannot change their sign are followed relatively.
        derivative: How the flow is differentiated: in `"forward"` mode, or by `"differences"`.
        max_duration: How long to wait for the flow to cross the section; by default 100 turns of the velocity at `y0`,
            and again so many where the flow has gone by then.
        num_samples: Number of intervals at whose ends the orbit is kept; at least 32.
        throw: Whether to raise if no cycle is found. If not, look at `found`.

    Returns:
        The cycle. Under `jax.vmap` each member has its own `found`.

    Raises:
        ValueError: If the state has fewer than two numbers, or too many for a dense monodromy matrix.
        RuntimeError: If no cycle is found and `throw` holds.
    """
    _checks.one_of("derivative", derivative, ("forward", "differences"))
    _checks.count("num_samples", num_samples, least=32)
    y0 = _problem.state_of(y0)
    size = max(jnp.dtype(_tree.dtype(y0)).itemsize, 4)
    usual = _TOLERANCE[size]
    rtol = _checks.relative("rtol", usual if rtol is None else rtol, f"{usual:g} is usual.")
    if atol is not None:
        atol = _checks.not_negative("atol", atol, "Leave it out to have it chosen for each component.")
    if max_duration is not None:
        max_duration = _checks.positive("max_duration", max_duration, "Leave it out to have it chosen.")
    how = _How(
        diffrax.Dopri8() if solver is None else solver,
        rtol,
        atol,
        max_duration,
        derivative == "differences",
        num_samples,
    )
    cycle = _with_reason(_find(field, y0, args, how), field, y0, args)
    return _raise_if_missing(cycle) if throw else cycle


@guarded("start", along="amplitudes")
def period_against_amplitude(
    field: Field,
    start: Callable[[Scalar], State],
    amplitudes: Float[Array, " num"],
    *,
    args: Args = None,
    **options: Any,
) -> PeriodCurve:
    """Periods of the cycles through a curve of starts, and their slopes, in one compiled program.

    Args:
        field: The field.
        start: The state at an amplitude.
        amplitudes: Where to take the period, shape `(num,)`.
        args: Handed to the field.
        **options: Handed to `find_periodic_orbit`, except `throw`: a member without a cycle is in `cycles.found`.

    Returns:
        Periods, slopes and cycles.
    """
    return _curve(field, start, jnp.asarray(amplitudes, float), args, options)


@jit
def _curve(field: Field, start: Callable, amplitudes: Array, args: Args, options: dict[str, Any]) -> PeriodCurve:
    def at(amplitude: Scalar) -> tuple[Scalar, PeriodicOrbit]:
        cycle = find_periodic_orbit(field, start(amplitude), args=args, throw=False, **options)
        return cycle.period, cycle

    def both(amplitude: Scalar) -> tuple[Scalar, Scalar, PeriodicOrbit]:
        period, slope, cycle = jax.jvp(at, (amplitude,), (jnp.ones_like(amplitude),), has_aux=True)
        return period, slope, cycle

    periods, slopes, cycles = jax.vmap(both)(amplitudes)
    return PeriodCurve(amplitudes, periods, slopes, cycles)


class _Flat(eqx.Module):
    """The field on flat states."""

    field: Field
    like: State

    def __call__(self, t: Any, y: Array, args: Args) -> Array:
        return ravel_pytree(self.field(t, ravel_pytree(self.like)[1](y), args))[0]


class _How(eqx.Module):
    """The options of the search; what is None is chosen."""

    solver: Any
    rtol: Scalar
    atol: Scalar | None
    max_duration: Scalar | None
    differences: bool = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)

    def stretch(self, trial: Trial, positive: Bool[Array, " n"]) -> Stretch:
        """How to follow what is tried, with components of the sizes that they had."""
        if self.atol is None:
            implicit, part = is_implicit(self.solver), 1.0 if self.differences else PART
            beside = tolerances_of_displacements(trial.ys, positive, trial.rtol, part=part)
            # Increments pass through zero as displacements do.
            atol = beside if implicit else absolute_tolerances(trial.ys, positive, trial.rtol, part=part)
            beside = beside / trial.size
        else:
            atol = jnp.full_like(trial.y, jnp.maximum(self.atol, jnp.finfo(trial.y.dtype).tiny))
            beside = jnp.maximum(atol, trial.rtol)
        even = even_shares(self.num_samples, trial.y.dtype)
        # On the way to a section there is nothing to stop for.
        shares = jnp.where(trial.with_displacements, even + trial.bend * (even**2 - even), even > 0)
        return Stretch(
            solver=self.solver,
            rtol=trial.looser * trial.rtol,
            atol=trial.looser * atol,
            beside=trial.looser * beside,
            ts=trial.duration * shares,
            size=trial.size,
            section=trial.section,
            with_displacements=trial.with_displacements,
        )


class _Start(eqx.Module):
    """The start, and what the field is like there.

    Attributes:
        y: The start; infinite if nothing can be searched for from there, which ends every loop at once.
        finite: Whether start and velocity are.
        moves: Whether the velocity is above rounding.
        autonomous: Whether it is the same at other times.
        positive: Which components cannot change their sign.
    """

    y: Float[Array, " n"]
    finite: Bool[Array, ""]
    moves: Bool[Array, ""]
    autonomous: Bool[Array, ""]
    positive: Bool[Array, " n"]

    @classmethod
    def of(cls, field: _Flat, y: Array, args: Args) -> "_Start":
        velocity, wait = velocity_and_wait(field, y, args)
        speed = jnp.linalg.norm(velocity)
        finite, moves = jnp.isfinite(speed) & jnp.all(jnp.isfinite(y)), speed > rounding(y)
        autonomous = _is_autonomous(field, y, args, jnp.where(finite & moves, wait, _TIME))
        fit = jnp.where(finite & moves & autonomous, y, jnp.inf)
        return cls(fit, finite, moves, autonomous, positive_components(field, y[None], args))


def _is_autonomous(field: _Flat, y: Array, args: Args, time: Scalar) -> Bool[Array, ""]:
    """Whether the velocity is the same at all times, at the start and around it: forcing may be zero there, or then."""
    states = states_around(y[None])
    times = time * jnp.asarray((0.0, *_MOMENTS), y.dtype)
    velocities = jax.vmap(lambda t: jax.vmap(lambda y: field(t, y, args))(states))(times)
    usable = jnp.isfinite(velocities)
    change = jnp.where(usable & usable[:1], jnp.abs(velocities - velocities[:1]), 0)
    size = jnp.max(jnp.where(usable, jnp.abs(velocities), 0))
    return jnp.all(change <= 64 * jnp.finfo(y.dtype).eps * size)


@jit_quickly
def _find(field: Field, y0: State, args: Args, how: _How) -> PeriodicOrbit:
    y, restore = ravel_pytree(y0)
    _check_size(y)
    how = jax.tree.map(lambda leaf: leaf.astype(y.dtype) if eqx.is_array(leaf) else leaf, how)
    flat = _Flat(field, y0)
    still, still_args, still_y = _held_constant((flat, args, y))
    start = _Start.of(still, still_y, still_args)
    follow = turn_by_differences if how.differences else turn
    untried = untried_turn(start.y, jnp.ones((), y.dtype), how.num_samples, how.differences)
    found = search(
        lambda trial: follow(still, trial.y, still_args, how.stretch(trial, start.positive)),
        still, start.y, still_args, how.rtol, how.max_duration, untried,
    )  # fmt: skip
    closing, last = found.closing, found.closing.turn
    outcome = _outcome(start, how.atol, found)
    is_found = outcome == SEARCHES.closed
    # Finite where nothing was found, or the derivatives there would be NaN, and spoil those of other members.
    one = jnp.ones_like(last.period)
    last = _tree.where(is_found, last, untried_turn(jnp.zeros_like(y), one, how.num_samples, how.differences))
    resolution = jnp.where(is_found, closing.resolution, 1)
    if how.differences:
        point, period = without_derivative((last.ys[0], last.period), eqx.filter((flat, args, y), eqx.is_inexact_array))
    else:
        point, period = with_derivatives(flat, y, args, last, resolution)
    closure = jnp.linalg.norm(last.gap) / jnp.where(is_found, last.size, 1)
    errors = (closing.y_error, closing.period_error, resolution)
    numbers = (point, period, closure, last.ts, last.ys, last.monodromy, floquet_multipliers(last), errors)
    point, period, closure, ts, ys, monodromy, multipliers, errors = _tree.where(is_found, numbers, jnp.inf)
    orbit = Orbit(
        ts=ts,
        ys=jax.vmap(restore)(ys),
        stats={"num_steps": last.num_steps},
        result=diffrax.RESULTS.successful,
        outcome=last.outcome,
        final_time=ts[-1],
        final_state=restore(ys[-1]),
    )
    return PeriodicOrbit(
        y=restore(point),
        y_error=errors[0],
        period=period,
        period_error=errors[1],
        closure=closure,
        orbit=orbit,
        monodromy=monodromy,
        multipliers=multipliers,
        resolution=errors[2],
        outcome=outcome,
        found=is_found,
    )


def _outcome(start: _Start, atol: Scalar | None, found: Search) -> SEARCHES:
    closing, guess = found.closing, found.legs.guess
    itemsize, last = max(start.y.dtype.itemsize, 4), closing.turn
    # As small as the error of a state at rest, or as slow.
    tiny = guess.size <= rounding(guess.y) + (0 if atol is None else 10 * atol)
    speed = jnp.where(guess.found, jnp.linalg.norm(last.velocities[0]), found.legs.speed)
    rests = speed <= _AT_REST * rounding(jnp.where(guess.found, last.ys[0], found.legs.y))
    gap = jnp.linalg.norm(last.gap) / last.size
    stretch = 1 + jnp.linalg.norm(last.return_map)
    # A derivative on which the tolerances agree, and which is wrong.
    jumps = (last.mismatch > _SMOOTH[itemsize]) & (closing.map_error <= _SMOOTH[itemsize] * stretch)
    # One of a family, but of another part of it than where the search began.
    along = closing.correction.family @ (last.across.T @ (last.ys[0] - guess.y))
    elsewhere = (closing.correction.num_neutral > 0) & (jnp.linalg.norm(along) > _ELSEWHERE * last.size)
    nearly = closing.ok & (gap < _NEARLY) & (gap > 3 * closing.end_error)
    return _first_true(
        (~start.finite, SEARCHES.not_finite),
        (~start.autonomous, SEARCHES.explicit_time),
        (~start.moves, SEARCHES.at_rest),
        (rests | (guess.found & tiny), SEARCHES.collapsed),
        (~guess.found, SEARCHES.no_return),
        (jumps, SEARCHES.jumps),
        (found.apart & ~(closing.settled & closing.agrees), SEARCHES.tolerances),
        (last.size < _COLLAPSED * guess.size, SEARCHES.collapsed),
        (~closing.settled & nearly, SEARCHES.spirals),
        (~closing.ok | ~closing.settled, SEARCHES.not_closed),
        (~closing.agrees, SEARCHES.tolerances),
        (~closing.closes | found.spirals | (elsewhere & (atol is None)), SEARCHES.spirals),
        (elsewhere, SEARCHES.tolerances),
        otherwise=SEARCHES.closed,
    )


def _first_true(*cases: tuple[Any, Any], otherwise: Any) -> Any:
    for condition, outcome in reversed(cases):
        otherwise = SEARCHES.where(condition, outcome, otherwise)
    return otherwise


def _held_constant(tree: Any) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def _check_size(start: Array) -> None:
    if start.size < 2:
        raise ValueError(f"`y0` must hold at least 2 numbers for a flow to go around, but holds {start.size}.")
    if start.size > _MOST_PARAMETERS:
        raise ValueError(
            f"`y0` must hold at most {_MOST_PARAMETERS} numbers for a dense monodromy matrix, but holds "
            f"{start.size:,}: ask `analysis.classify`, whose verdict has the period."
        )


def _with_reason(cycle: PeriodicOrbit, field: Field, y0: State, args: Args) -> PeriodicOrbit:
    """With the reason why there is none, where the flow tells it and nothing is traced."""
    if _checks.is_transformed() or _checks.is_traced((cycle.found, y0, args)) or bool(cycle.found):
        return cycle
    if not any(bool(cycle.outcome == each) for each in _UNEXPLAINED):
        return cycle
    reason = reason_of(field, y0, args)
    # A search that shrank to an equilibrium says so.
    known = reason is None or bool((cycle.outcome == SEARCHES.collapsed) & (reason == SEARCHES.settles))
    return cycle if known else eqx.tree_at(lambda c: c.outcome, cycle, reason)


def _raise_if_missing(cycle: PeriodicOrbit) -> PeriodicOrbit:
    if _checks.is_traced(cycle.found):
        return eqx.tree_at(lambda c: c.y, cycle, cycle.outcome.error_if(cycle.y, ~cycle.found))
    if not cycle.found:
        raise RuntimeError(SEARCHES[cycle.outcome])
    return cycle
