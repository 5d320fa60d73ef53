from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float

from .. import _checks, _tree
from .._compiled import jit
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..simulate import Orbit
from ._floquet import (
    correction,
    cycle_type,
    CycleType,
    floquet_multipliers,
    NEUTRAL,
    NEUTRAL_BY_DIFFERENCES,
    response,
    Tolerances,
    Turn,
    turn,
    turn_by_differences,
    untried_turn,
)
from ._returns import first_return, Return

_TOLERANCE = {4: 1e-6, 8: 1e-12}
_MOST_PARAMETERS = 300
_MOST_NEWTON_STEPS = 16
# Relative to the solver's tolerance: a Newton step of this size is its noise; a gap of that size is a closed orbit.
_SETTLED, _CLOSED = 5.0, 1e4
# And a multiplier is that far off at most.
_NOISE = 1e3
# An orbit so much smaller than the return that led to it has shrunk to an equilibrium.
_COLLAPSED = 1e-3
# The derivative of the flow takes velocities to velocities, unless the field jumps.
_SMOOTH = {4: 3e-2, 8: 1e-3}
# How long to wait for a return, in turns at the rate at which the velocity turns at the start.
_TURNS = 100.0


class SEARCHES(eqx.Enumeration):
    """How a search for a periodic orbit ended."""

    closed = "The orbit closes."
    no_return = (
        "The flow does not come back to the section through `y0`: it converges, diverges, or takes longer than "
        "`max_duration`. Start nearer to the cycle, raise `max_duration`, or ask `analysis.classify` what it does."
    )
    at_rest = "`y0` must not be an equilibrium: start away from it, on or near the cycle."
    collapsed = "The search shrank to an equilibrium: the flow spirals, and no cycle is near. Start farther away."
    not_closed = (
        "The orbit could not be closed: start nearer to the cycle, or tighten `rtol`. It may also spiral so slowly "
        "that Newton's iteration does not tell it from one of a family."
    )
    jumps = (
        "The field jumps on the way around, which its derivative does not see: take `derivative='differences'`, and a "
        "start off the jump."
    )
    not_finite = "`y0` and the field there must be finite: check the start."


class PeriodicOrbit(eqx.Module):
    """A cycle of the flow. Where none was found, what was searched for holds infinity.

    Derivatives go through `y` and `period`; the rest is taken as constant.

    Attributes:
        y: A point of it: the start, moved across the flow.
        period: Time for one turn.
        closure: Distance of a point from where the flow is after one period, relative to the orbit's size.
        orbit: States at evenly spaced times of one period, both ends included.
        monodromy: Derivative of the flow over one period with respect to the point, shape `(n, n)`.
        resolution: How far from modulus 1 a multiplier can stray and still be 1, as `cycle_type` asks.
        multipliers: Floquet multipliers, shape `(n,)`: first the 1 of a shift along the orbit, then the others by
            falling modulus. `kind` puts them into a word.
        outcome: How the search ended, to be compared with `analysis.SEARCHES`.
        found: Whether it ended with a closed orbit.
    """

    y: State
    period: Scalar
    closure: Scalar
    orbit: Orbit
    monodromy: Float[Array, "n n"]
    multipliers: Complex[Array, " n"]
    resolution: Scalar
    outcome: SEARCHES
    found: Bool[Array, ""]

    @property
    def kind(self) -> CycleType:
        """What kind of cycle it is, as `cycle_type` has it at the cycle's own resolution. Of a concrete, single one."""
        return cycle_type(self.multipliers, self.resolution)


class PeriodCurve(eqx.Module):
    """Periods over amplitudes.

    Attributes:
        amplitudes: Shape `(num,)`.
        periods: The period at each; infinite where no cycle was found.
        slopes: Derivative of the period with respect to the amplitude: zero where the cycle is isolated.
        cycles: The cycles, with a leading axis over the amplitudes.
    """

    amplitudes: Float[Array, " num"]
    periods: Float[Array, " num"]
    slopes: Float[Array, " num"]
    cycles: PeriodicOrbit


def find_periodic_orbit(
    field: Field,
    y0: State,
    args: Args = None,
    *,
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
    that the cycle *through the start* is found. If the flow leaves its start for good, the search goes on from where it
    has gone: a cycle that attracts is also found from afar.

    The derivative of the flow is followed along with it, in forward mode. A field that jumps (WGAN-GP at slope zero)
    has another one, which includes what the jump does to displacements: take `derivative="differences"`.

    First derivatives with respect to the field's parameters, `args` and the start go through `period` and `y`, forward
    and reverse, by the implicit function theorem: those of the flow are integrals along the orbit, at its samples.

    Args:
        field: The field, without explicit time.
        y0: Start: on a cycle of a family, or near an isolated one.
        args: Handed to the field.
        solver: Diffrax solver; Dopri8 by default.
        rtol: Relative tolerance; 1e-12 by default, 1e-6 in float32.
        atol: Absolute tolerance; as `rtol` by default.
        derivative: How the flow is differentiated: in `"forward"` mode, or by `"differences"`.
        max_duration: How long to wait for the flow to cross the section; by default 100 turns of the velocity at `y0`.
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
    size = max(jnp.dtype(_tree.dtype(y0)).itemsize, 4)
    usual = _TOLERANCE[size]
    rtol = _checks.positive("rtol", usual if rtol is None else rtol, f"{usual:g} is usual.")
    atol = rtol if atol is None else _checks.not_negative("atol", atol, "Leave it out to have it as `rtol`.")
    if max_duration is not None:
        max_duration = _checks.positive("max_duration", max_duration, "Leave it out to have it chosen.")
    tolerances = Tolerances(diffrax.Dopri8() if solver is None else solver, rtol, atol)
    cycle = _find(field, y0, args, tolerances, derivative == "differences", max_duration, num_samples)
    return _raise_if_missing(cycle) if throw else cycle


def period_against_amplitude(
    field: Field, start: Callable[[Scalar], State], amplitudes: Float[Array, " num"], args: Args = None, **options: Any
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
        cycle = find_periodic_orbit(field, start(amplitude), args, throw=False, **options)
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


@jit
def _find(
    field: Field, y0: State, args: Args, tolerances: Tolerances, differences: bool, max_duration: Any, num_samples: int
) -> PeriodicOrbit:
    start, restore = ravel_pytree(y0)
    _check_size(start)
    flat = _Flat(field, y0)
    still, still_args, still_start = _held_constant((flat, args, start))
    tolerances = jax.tree.map(lambda leaf: leaf.astype(start.dtype) if eqx.is_array(leaf) else leaf, tolerances)
    usual = (NEUTRAL_BY_DIFFERENCES if differences else NEUTRAL)[max(start.dtype.itemsize, 4)]
    neutral = jnp.maximum(usual, _NOISE * tolerances.rtol)
    finite, moves = _fitness(still, still_start, still_args)
    wait = _usual_duration(still, still_start, still_args) if max_duration is None else max_duration
    # What cannot be searched from is made infinite, and ends every loop at once.
    fit_start = jnp.where(finite & moves, still_start, jnp.inf)
    guess = first_return(still, fit_start, still_args, tolerances, wait.astype(start.dtype))

    def follow(y: Array, period: Scalar) -> Turn:
        if differences:
            return turn_by_differences(still, y, period, still_args, tolerances, num_samples, guess.size)
        return turn(still, y, period, still_args, tolerances, num_samples)

    last = _newton(
        follow, guess, tolerances.rtol, neutral, untried_turn(guess.y, guess.period, num_samples, differences)
    )
    tiny = guess.size <= _rounding(still_start) + 10 * tolerances.atol
    closed = last.ok & (jnp.linalg.norm(last.gap) <= _CLOSED * tolerances.rtol * last.size)
    outcome = _first_true(
        (~finite, SEARCHES.not_finite),
        (~moves, SEARCHES.at_rest),
        (~guess.found, SEARCHES.no_return),
        (last.mismatch > _SMOOTH[max(start.dtype.itemsize, 4)], SEARCHES.jumps),
        (tiny | (last.size < _COLLAPSED * guess.size), SEARCHES.collapsed),
        (~closed, SEARCHES.not_closed),
        otherwise=SEARCHES.closed,
    )
    found = outcome == SEARCHES.closed
    # Finite where nothing was found, or the derivatives there would be NaN, and spoil those of other members.
    one = jnp.ones_like(last.period)
    last = _tree.where(found, last, untried_turn(jnp.zeros_like(start), one, num_samples, differences))
    if differences:
        y, period = _without_derivative(
            (last.ys[0], last.period), eqx.filter((flat, args, start), eqx.is_inexact_array)
        )
    else:
        y, period = _implicit(flat, start, args, last, neutral)
    closure = jnp.linalg.norm(last.gap) / jnp.where(found, last.size, 1)
    numbers = (y, period, closure, last.ts, last.ys, last.monodromy, floquet_multipliers(last))
    y, period, closure, ts, ys, monodromy, multipliers = _tree.where(found, numbers, jnp.inf)
    orbit = Orbit(
        ts=ts,
        ys=jax.vmap(restore)(ys),
        stats={"num_steps": last.num_steps},
        result=diffrax.RESULTS.successful,
        outcome=last.outcome,
        final_time=ts[-1],
        final_state=restore(ys[-1]),
    )
    return PeriodicOrbit(restore(y), period, closure, orbit, monodromy, multipliers, neutral, outcome, found)


def _fitness(field: _Flat, start: Array, args: Args) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether start and velocity are finite, and whether the velocity is above rounding."""
    speed = jnp.linalg.norm(field(0.0, start, args))
    finite = jnp.isfinite(speed) & jnp.all(jnp.isfinite(start))
    return finite, speed > _rounding(start)


def _rounding(start: Array) -> Scalar:
    return 16 * jnp.finfo(start.dtype).eps * (1 + jnp.linalg.norm(start))


def _usual_duration(field: _Flat, start: Array, args: Args) -> Scalar:
    """So many turns at the rate at which the velocity turns, or in which it would change the state a thousandfold."""
    velocity, acceleration = jax.jvp(lambda y: field(0.0, y, args), (start,), (field(0.0, start, args),))
    speed = jnp.linalg.norm(velocity)
    slowest = 1e-3 * speed / (1 + jnp.linalg.norm(start))
    return _TURNS * 2 * jnp.pi / jnp.maximum(jnp.linalg.norm(acceleration) / speed, slowest)


class _Search(eqx.Module):
    """Where Newton's iteration stands: the last turn that was followed, and the step that it calls for."""

    turn: Turn
    move: Float[Array, " n"]
    delay: Scalar
    count: Array
    going: Bool[Array, ""]


def _newton(
    follow: Callable[[Array, Scalar], Turn], guess: Return, rtol: Scalar, neutral: Scalar, untried: Turn
) -> Turn:
    """The turn from a point and over a period that Newton's iteration no longer changes."""

    def iterate(search: _Search) -> _Search:
        here = follow(search.turn.ys[0] + search.move, search.turn.period + search.delay)
        step, delay, _ = correction(here, here.gap, neutral)
        move = here.across @ step
        change = jnp.maximum(jnp.linalg.norm(move) / here.size, jnp.abs(delay) / here.period)
        damping = jnp.minimum(1.0, 0.5 / change).astype(change.dtype)
        going = here.ok & jnp.isfinite(change) & (change > _SETTLED * rtol)
        return _Search(here, damping * move, damping * delay, search.count + 1, going)

    start = _Search(untried, jnp.zeros_like(guess.y), jnp.zeros_like(guess.period), jnp.asarray(0), guess.found)
    return jax.lax.while_loop(lambda s: s.going & (s.count < _MOST_NEWTON_STEPS), iterate, start).turn


def _implicit(field: _Flat, start: Array, args: Args, last: Turn, neutral: Scalar) -> tuple[Array, Scalar]:
    """Point and period after one more Newton step, which changes hardly anything but carries the derivatives."""
    forces = jax.vmap(lambda y: field(0.0, y, args))(last.ys) - last.velocities
    _, _, family = correction(last, last.gap, neutral)
    # Zero, with the derivative of the start: within a family the cycle goes with it.
    shift = family @ (last.across.T @ (start - jax.lax.stop_gradient(start)))
    gap = last.gap + response(last, forces) + (last.pushed - last.across) @ shift
    step, delay, _ = correction(last, gap, neutral)
    return last.ys[0] + last.across @ (shift + step), last.period + delay


@jax.custom_jvp
def _without_derivative(values: Any, inputs: Any) -> Any:
    return values


@_without_derivative.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise ValueError(
        "`derivative` must be 'forward' for a gradient of the period or the point, but is 'differences': what the "
        "field's jumps do to them is not in it. Take finite differences."
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


def _raise_if_missing(cycle: PeriodicOrbit) -> PeriodicOrbit:
    if _checks.is_traced(cycle.found):
        return eqx.tree_at(lambda c: c.y, cycle, cycle.outcome.error_if(cycle.y, ~cycle.found))
    if not cycle.found:
        raise RuntimeError(SEARCHES[cycle.outcome])
    return cycle
