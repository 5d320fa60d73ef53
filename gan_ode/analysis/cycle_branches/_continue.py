"""Cycles followed as a parameter turns."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree, Real

from ... import _checks, _problem
from ..._entry import guarded
from ..._lowering import jit_quickly
from ..._types import Args, RealScalarLike
from ..arclength._motion import OfFields, restored
from ..closed_curves import ClosedCurveBranch, follow_closed_curve
from ..closed_curves._walk import Settings as SettingsOfCurves
from ..continuation import Event, locate_event
from ..cycles import PeriodicOrbit
from ._assembled import assembled, value_of, WITHIN
from ._branch import CycleBranch
from ._collocation import Chart
from ._program import program
from ._start import corrected, from_hopf, from_samples, still
from ._walk import AT_HOPF, FAMILY, Settings, SHORT_STEP, Walk, walk

_MOST_NUMBERS = 32
# Intervals of the mesh for states of few numbers, and of more, for which a step costs more.
_FEW, _FINE, _COARSE = 4, 80, 40
# Of a cycle that was lost at such an amplitude it is asked whether a Hopf point is near.
_SMALL = 1e-2
# A Hopf point is that of a cycle if its frequency is the cycle's up to this part.
_SAME_FREQUENCY = 0.1
# A Hopf point may be outside of the range by this part of it.
_ROUNDING = 1e-9


@guarded(rules=True)
def continue_cycle(
    family: Callable,
    values: Real[Array | np.ndarray, " ends"],
    cycle: PeriodicOrbit | Event | PyTree,
    *,
    update: Any = None,
    args: Args = None,
    size: RealScalarLike | None = None,
    longest_step: RealScalarLike = 0.1,
    intervals: int | None = None,
    max_points: int = 1000,
    max_folds: int = 20,
) -> Any:
    r"""Follows a cycle of a flow, or a closed curve of an update, as a parameter turns, through folds, until it ends.

    A cycle is a polynomial of degree 4 on each interval of a mesh, and obeys the field at the interval's four Gauss
    points: orthogonal collocation, of order 8 where intervals meet. No flow is integrated, so that a cycle that repels
    is found as well as one that attracts, and a relaxing one by a mesh that is dense where it is fast. A step is taken
    along the branch's tangent, the mesh is spread anew so that all intervals have the same error, and Newton's method
    comes back to the branch in the hyperplane across the tangent. Period, parameter and cycle are unknowns alike:
    nothing is singular where the parameter turns.

    Between two cycles the place is found where

    - the parameter turns: "fold of cycles", at which two cycles meet;
    - a multiplier passes -1: "flip", at which a cycle of twice the period begins;
    - a pair of multipliers passes the unit circle: "torus";
    - a multiplier passes 1 and the parameter goes on: "branch point", at which another branch crosses.

    The branch ends where the parameter leaves its range; in "a Hopf point", which is then its last row, without
    amplitude; or where the period grows without end while the parameter stands still, near a homoclinic or heteroclinic
    orbit. `ended` is the word.

    With `update` it is the closed curve that surrounds a fixed point of the update beyond a Neimark-Sacker point, or
    that a flow's cycle becomes for steps. It is a trigonometric polynomial that the steps map to itself at its nodes,
    found by Newton's method across the curve: the motion along it is not asked to be a rotation, so that the curve goes
    on where a whole number of turns takes a few steps. The turns that a step makes and the growth across come with it;
    on the way "fold of curves", "strong resonance" (a turn takes up to four steps, or some turns do) and "change of
    attraction" are found. It ends as a cycle does, in "a Neimark-Sacker point", or where it "breaks or locks": where it
    is not smooth enough to be mapped to itself between the nodes as well.

    Steps are made one by one. Under `jax.vmap` and `jax.jit`, over a second parameter in the family for example, all of
    it is one program: then `cycle` is a periodic orbit of one of the families, near those of the others, arrays have
    `max_points` rows, NaN past the end, and no events are looked for; `locate_cycle_event` does so. `cycle` is concrete
    there, too. Closed curves are followed with concrete values only.

    ```python
    import jax
    import jax.numpy as jnp
    from gan_ode import analysis

    jax.config.update("jax_enable_x64", True)

    def family(mu):
        def field(t, y, args):
            square = y[0] ** 2 + y[1] ** 2
            return jnp.stack([mu * y[0] - y[1], mu * y[1] + y[0]]) + square * (1 - square) * y

        return field

    rest = analysis.continue_equilibrium(family, jnp.array([-0.5, 0.5]), jnp.zeros(2))
    branch = analysis.continue_cycle(family, jnp.array([-0.5, 0.5]), rest.events[0])
    (fold,) = branch.events  # unstable cycles to the left of 0 turn back, and attract
    assert fold.kind == "fold of cycles" and jnp.isclose(fold.value, -0.25)
    assert branch.ended == "end of range" and bool(branch.stable[-1])
    ```

    Source: Doedel, Keller and Kernévez (1991), Int. J. Bifurcation Chaos 1, 745; the mesh: Russell and Christiansen
    (1978), SIAM J. Numer. Anal. 15, 59; multipliers: Fairgrieve and Jepson (1991), SIAM J. Numer. Anal. 28, 1446.
    Closed curves: by directions across them as Broer, Osinga and Vegter (1997), Z. Angew. Math. Phys. 48, 480, with
    trigonometric polynomials; the rotation number is our derivation.

    Args:
        family: From the parameter, a scalar array, to a field without explicit time. If the parameter is an update's
            step size it may be one field.
        values: The two ends of the parameter's range, shape `(2,)`.
        cycle: A cycle at the first of them, from `find_periodic_orbit`; it is followed towards the second. Or a Hopf
            point within the range, an event of `continue_equilibrium`: then the branch begins there without amplitude,
            and goes to the side where the cycles are. With `update` a Neimark-Sacker point likewise, the flow's cycle
            if the step size is small, or a state that the update draws to the curve at the first of the values.
        update: If given, closed curves of its steps are followed. If the parameter is its step size, a rule: a class, a
            function from step size to update, or an update, whose step size is replaced; the last only if `family` is a
            field.
        args: Handed to the field: a minibatch, or None.
        size: What is a large change of the state; by default the cycle's amplitude, or the norm of the Hopf point and
            at least 1.
        longest_step: The longest step, in units of the range, of the state's size, or of the logarithm of the period.
        intervals: Intervals of the mesh; by default 80, and 40 for states of more than four numbers. Not with `update`.
        max_points: Most cycles.
        max_folds: After so many folds and one more it ends.

    Returns:
        A `CycleBranch`; with `update` a `ClosedCurveBranch`.

    Raises:
        ValueError: If there is no cycle near at the first value, the event is no Hopf point (with `update` no
            Neimark-Sacker point) within the range, the state has more than 32 numbers, or `cycle` is traced, or no
            periodic orbit under a transformation, or `update` is given there.
    """
    ends = _ends(values)
    if update is not None:
        return _closed_curve(family, ends, cycle, update, args, size, longest_step, intervals, max_points, max_folds)
    like = _like(cycle)
    longest: Any = _checks.positive("longest_step", longest_step, "0.1 is usual.")
    settings = Settings(
        longest if _checks.is_traced(longest) else float(longest),
        _checks.count("max_points", max_points, least=2),
        _checks.count("max_folds", max_folds, least=0),
    )
    if intervals is None:
        intervals = _FINE if ravel_pytree(like)[0].size <= _FEW else _COARSE
    intervals = _checks.count("intervals", intervals, least=8)
    _problem.a_field(family(ends[0]), "family(...)")
    _problem.same_structure(family(ends[0]), 0.0, like, args, "cycle", dtypes=False)
    made = OfFields(family=family, like=like, args=args)
    chart = _chart(ends, cycle, size)
    if _checks.is_transformed():
        return _as_program(made, chart, cycle, settings, intervals)
    if isinstance(cycle, PeriodicOrbit):
        found = _from_orbit(made, chart, cycle, settings, intervals)
    else:
        found = _from_event(made, chart, cycle, settings, intervals)
    _end_at_hopf(made, chart, found)
    return assembled(made, chart, found)


def _closed_curve(
    family: Any,
    ends: np.ndarray,
    cycle: Any,
    update: Any,
    args: Args,
    size: Any,
    longest_step: Any,
    intervals: Any,
    max_points: int,
    max_folds: int,
) -> ClosedCurveBranch:
    if _checks.is_traced((ends, cycle)):
        raise ValueError(
            "`values` and `cycle` must be concrete where `update` is given: call `continue_cycle` outside of `jax.jit` "
            "and `jax.vmap`."
        )
    if intervals is not None:
        raise ValueError(
            f"`intervals` must be left out where `update` is given, but is {intervals}: as many harmonics are taken as "
            "the closed curve needs."
        )
    settings = SettingsOfCurves(
        float(_checks.positive("longest_step", longest_step, "0.1 is usual.")),
        _checks.count("max_points", max_points, least=2),
        _checks.count("max_folds", max_folds, least=0),
    )
    return follow_closed_curve(family, ends, cycle, update, args, size, settings)


def _ends(values: Any) -> Any:
    """The range, in NumPy where its numbers are known."""
    traced = _checks.is_traced(values)
    ends: Any = _checks.floats(values) if traced else np.asarray(_checks.floats(values))
    if traced and ends.shape == (2,):
        return ends
    if ends.shape != (2,) or not np.all(np.isfinite(ends)) or ends[0] == ends[1]:
        raise ValueError(
            f"`values` must be the two ends of a range, but is {ends}: for example `jnp.array([0.0, 2.0])`; steps "
            "between them are chosen."
        )
    return ends


def _like(cycle: Any) -> Any:
    """A state of the cycle."""
    if _checks.is_traced(cycle):
        raise ValueError("`cycle` must be concrete: call `continue_cycle` outside of `jax.jit` and `jax.vmap`.")
    if isinstance(cycle, PeriodicOrbit):
        if np.ndim(cycle.found) or not bool(cycle.found):
            raise ValueError(
                "`cycle` must be one cycle that was found, but is a batch, or its search found none: see its `outcome`."
            )
        like = cycle.y
    elif isinstance(cycle, Event):
        if np.ndim(cycle.code) or cycle.kind != "hopf":
            raise ValueError(
                f"`cycle` must be a periodic orbit or a Hopf point, but is an event of kind {cycle.kind!r}: take one "
                "of `branch.events` whose `kind` is 'hopf', of a branch of a field."
            )
        like = cycle.state
    else:
        raise ValueError(
            f"`cycle` must be a periodic orbit or a Hopf point, but is {type(cycle).__name__}: give what "
            "`find_periodic_orbit` returns, or an event of `continue_equilibrium`."
        )
    num = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(like))
    if num > _MOST_NUMBERS:
        raise ValueError(f"`cycle` must be of at most {_MOST_NUMBERS} numbers, but has {num}: matrices are dense.")
    return like


def _chart(ends: Any, cycle: PeriodicOrbit | Event, size: Any) -> Chart:
    if size is not None:
        unit = float(_checks.positive("size", size, "Leave it out to have it chosen."))
    elif isinstance(cycle, PeriodicOrbit):
        rows = _rows(cycle)
        unit = float(np.sqrt(np.mean(np.sum((rows - rows.mean(axis=0)) ** 2, axis=1))))
    else:
        unit = float(max(np.linalg.norm(np.asarray(cycle.flat)), 1))
    dtype = ravel_pytree(_like(cycle))[0].dtype
    return Chart(*(jnp.asarray(each, dtype) for each in (unit, ends[0], ends[1] - ends[0])))


def _rows(cycle: PeriodicOrbit) -> np.ndarray:
    """Its samples as flat states."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(cycle.orbit.ys)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def _from_orbit(family: OfFields, chart: Chart, cycle: PeriodicOrbit, settings: Settings, intervals: int) -> Walk:
    period = float(cycle.period)
    shares = np.asarray(cycle.orbit.ts) / period
    guess = from_samples(family, shares, _rows(cycle), period, intervals)
    others = cycle.multipliers[1:]
    if np.any(np.abs(np.asarray(others) - 1) <= float(cycle.resolution)):
        # There is another cycle beside it at the same value, and none at others.
        return Walk([eqx.tree_at(lambda c: c.multipliers, guess, others)], [], FAMILY)
    first = corrected(family, chart, guess)
    if first is None:
        raise ValueError(
            f"`cycle` must be a cycle of the family at the first of `values`, {float(chart.start):.6g}, but Newton's "
            "method finds none near it: take the cycle of `family(values[0])`, with more samples (`num_samples`), or "
            "more `intervals`."
        )
    return walk(family, chart, [first], settings)


def _as_program(
    family: OfFields, chart: Chart, cycle: PeriodicOrbit | Event, settings: Settings, intervals: int
) -> CycleBranch:
    """The branch under a transformation, from a cycle that is near the one of each family."""
    if not isinstance(cycle, PeriodicOrbit):
        raise ValueError(
            "`cycle` must be a periodic orbit under `jax.vmap` and `jax.jit`, but is an event: give what "
            "`find_periodic_orbit` returns for one of the families."
        )
    period = float(cycle.period)
    # Known before anything is traced.
    with jax.ensure_compile_time_eval():
        guess = from_samples(family, np.asarray(cycle.orbit.ts) / period, _rows(cycle), period, intervals)
    longest = jnp.asarray(settings.longest, guess.path.x.dtype)
    rows, status = program(family, chart, guess, longest, settings.max_points, settings.max_folds)
    ones = jnp.where(jnp.isnan(rows.values), jnp.nan, 1)[:, None].astype(rows.multipliers.dtype)
    return CycleBranch(
        values=rows.values,
        periods=rows.periods,
        states=jax.vmap(family.state)(rows.samples[:, 0]),
        orbits=jax.vmap(jax.vmap(family.state))(rows.samples),
        times=rows.shares * rows.periods[:, None],
        multipliers=jnp.concatenate([ones, rows.multipliers], axis=1),
        stable=jnp.all(jnp.abs(rows.multipliers) < WITHIN, axis=1),
        events=(),
        status=status,
        family=family.family,
        args=family.args,
    )


def _from_event(family: OfFields, chart: Chart, event: Event, settings: Settings, intervals: int) -> Walk:
    value, width = float(event.value), float(chart.width)
    share = (value - float(chart.start)) / width
    if not -_ROUNDING <= share <= 1 + _ROUNDING:
        raise ValueError(
            f"`values` must be a range that holds the Hopf point, but it is at {value:.6g}: let the range begin there."
        )
    matrix = np.asarray(_jacobian(family, event.flat, event.value))
    found, vectors = np.linalg.eig(matrix)
    frequency = abs(float(np.imag(event.eigenvalue)))
    vector = vectors[:, np.argmin(np.abs(found - 1j * frequency))]
    begun = from_hopf(family, chart, np.asarray(event.flat), vector, frequency, share, intervals)
    if begun is None:
        raise ValueError(
            "`cycle` must be a Hopf point from which cycles begin, but none is found beside it: it may be degenerate."
        )
    beside = float(begun[1].path.share)
    side = "above" if (beside > share) == (width > 0) else "below"
    if not 0 <= beside <= 1:
        raise ValueError(
            f"`values` must reach to the side where the cycles are, {side} the Hopf point at {value:.6g}: give a range "
            "that goes there."
        )
    hopf = eqx.tree_at(lambda c: c.multipliers, begun[0], jnp.asarray(_of_linear(matrix, 2 * np.pi / frequency)))
    return walk(family, chart, [hopf, begun[1]], settings)


@jit_quickly
def _jacobian(family: OfFields, x: Array, value: Array) -> Array:
    return jax.jacfwd(family.residual)(x, value)


def _of_linear(matrix: np.ndarray, period: float) -> np.ndarray:
    """The multipliers at a Hopf point, but one that is 1."""
    values = np.exp(np.linalg.eigvals(matrix) * period)
    values = values[np.argsort(np.abs(values - 1))]
    rest = values[2:]
    return np.concatenate([[1.0 + 0j], rest[np.argsort(-np.abs(rest))]])


def _end_at_hopf(family: OfFields, chart: Chart, found: Walk) -> None:
    """Adds the Hopf point to a branch that has come to one."""
    last = found.cycles[-1]
    lost = found.ended == SHORT_STEP and float(last.seen.amplitude) < _SMALL and len(found.cycles) > 2
    if found.ended != AT_HOPF and not lost:
        return
    mean = restored(family.like, np.asarray(last.seen.mean))
    try:
        event = locate_event("hopf", family.family, value_of(chart, last), mean, args=family.args)
    except ValueError:
        return
    frequency = abs(float(np.imag(event.eigenvalue)))
    period = float(np.exp(last.path.log_period))
    if abs(frequency * period / (2 * np.pi) - 1) > _SAME_FREQUENCY:
        return
    found.ended = AT_HOPF
    matrix = np.asarray(_jacobian(family, event.flat, event.value))
    share = (float(event.value) - float(chart.start)) / float(chart.width)
    end = still(last, np.asarray(event.flat), 2 * np.pi / frequency, share)
    multipliers = jnp.asarray(_of_linear(matrix, 2 * np.pi / frequency), last.multipliers.dtype)
    found.cycles.append(eqx.tree_at(lambda c: c.multipliers, end, multipliers))
