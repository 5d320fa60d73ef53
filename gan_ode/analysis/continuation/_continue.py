"""Equilibria and fixed points followed as a parameter turns."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit_quickly
from ..._problem import state_of
from ..._types import Args, RealScalarLike, State
from ..arclength import _trace
from ..arclength._corrector import Chart, states_of
from ..arclength._located import locate, Located
from ..arclength._motion import AbstractMotion, eigenvalues_to_show, motion_of, OfFields, OfSteps
from ..arclength._signature import is_stable, num_flat
from ..arclength._trace import Settings, trace
from ..linearization._preconditions import demand, inspect, Inspection, require
from ._branch import EquilibriumBranch, in_order
from ._event import described, Event, event_at
from ._large import MOST_DENSE, stacked, walk
from ._large_events import large_events


@guarded("y", along="values", rules=True)
def continue_equilibrium(
    family: Callable,
    values: Real[Array | np.ndarray, " ends"],
    y: State,
    *,
    update: Any = None,
    args: Args = None,
    size: RealScalarLike | None = None,
    longest_step: RealScalarLike = 0.03,
    max_points: int = 1000,
    max_folds: int = 20,
    max_events: int = 32,
    matrix_free: bool | None = None,
    check: bool = True,
) -> EquilibriumBranch:
    r"""Follows an equilibrium of a field, or a fixed point of an update, as a parameter turns, through folds.

    Pseudo-arclength continuation: from a point of the branch a step is taken along its tangent, and Newton's method
    comes back to the branch in the hyperplane across it, so that nothing is singular where the parameter turns. Steps
    are as long as the branch's turning, the change of the Jacobian and Newton's convergence allow. Between points where
    the number of growing directions changes, or the parameter turns, the event is found by halving, and then by
    Newton's method on equations that are regular there, to rounding:

    - fold: the parameter turns, and a real eigenvalue passes zero;
    - branch point: a real eigenvalue passes zero (a multiplier passes 1), and the parameter goes on: another branch
      crosses, see `switch_branch`;
    - Hopf: a pair that is not real crosses the imaginary axis. A real pair with sum zero is none;
    - flip: a multiplier of an update passes -1;
    - Neimark-Sacker: a pair of multipliers that is not real crosses the unit circle.

    What happens twice between two neighboring points is missed, as is a pair that touches the axis and turns back: look
    again with a smaller `longest_step`.

    Works under `jax.vmap` and `jax.jit`, over a second parameter in the family for example. Then all arrays have
    `max_points` rows, NaN past the end, and `events` has `max_events` entries whose `kind` is "none" where there is
    none; they are found to about 1e-8, without normal forms. `locate_event` gives derivatives of an event.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis

    def family(mu):
        return lambda t, x, args: mu + x - x**3 / 3

    branch = analysis.continue_equilibrium(family, jnp.array([-1.0, 1.0]), jnp.array([-2.1]))
    assert [event.kind for event in branch.events] == ["fold", "fold"]
    assert jnp.allclose(jnp.array([event.value for event in branch.events]), jnp.array([2 / 3, -2 / 3]))
    ```

    Source: Keller (1977); Kuznetsov (2004), Elements of Applied Bifurcation Theory, third edition, chapter 10.

    Args:
        family: From the parameter, a scalar array, to a field. If the parameter is an update's step size it may be one
            field.
        values: Where the parameter starts, and the other end of its range, shape `(2,)`.
        y: The equilibrium at the first value, or near it.
        update: If given, its fixed points are followed. If the parameter is its step size, a rule: a class, a function
            from step size to update, or an update, whose step size is replaced; the last only if `family` is a field.
        args: Handed to the field: a minibatch, or None.
        size: What is a large change of the state: steps are at most `longest_step` of it. By default the norm of `y`,
            and at least 1: give it where the state's numbers are all far below 1.
        longest_step: The longest step, in units of the range of values, or of the state's size.
        max_points: Most points.
        max_folds: After so many folds and one more it ends.
        max_events: Most events.
        matrix_free: Whether to go without dense matrices: Newton's steps by GMRES, and the leading eigenvalues by a
            Krylov space. By default beyond 256 numbers. Steps are then made one by one, not under a transformation; of
            several events between two points one is found, to about 1e-9.
        check: Whether to look first if linear statements make sense at the start.

    Returns:
        The branch. A branch that ends before the range does is a result: see `ended`.

    Raises:
        ValueError: If there is no equilibrium near `y` at the first value, or the field is not smooth there, or the two
            values are equal; under a transformation the branch has no points.
    """
    values, y = _ends(values), state_of(y)
    settings = Settings(
        _checks.positive("longest_step", longest_step, "0.03 is usual.").astype(values.dtype),
        _checks.count("max_points", max_points, least=2),
        _checks.count("max_folds", max_folds, least=0),
    )
    motion = motion_of(family, update, y, args, values[0])
    chart = _chart(values, y, size)
    z = chart.coordinates(motion.flat(y, values[0]), values[0])
    border = jnp.zeros_like(z).at[-1].set(1)
    if matrix_free or (matrix_free is None and z.size - 1 > MOST_DENSE):
        return _without_matrices(motion, chart, z, border, settings, check)
    found = followed(motion, chart, z, border, settings, _checks.count("max_events", max_events))
    if not _checks.is_traced(found):
        if int(found.status) == _trace.NO_START:
            _refuse(motion, y, values[0], check)
        if check and isinstance(motion, OfFields):
            demand(_seen(motion, chart, found.first), ("finite", "smooth", "autonomous"))
    return branch_of(motion, chart, found, _period(motion))


def _ends(values: Any) -> Array:
    values = _checks.floats(values)
    if values.shape != (2,):
        raise ValueError(
            f"`values` must be the two ends of a range, but has shape {values.shape}: for example "
            "`jnp.array([0.0, 2.0])`; steps between them are chosen."
        )
    if not _checks.is_traced(values):
        _checks.finite("values", values)
        # In NumPy, which stays out of what `jax.jit` traces.
        start, end = np.asarray(values)
        if start == end:
            raise ValueError(f"`values` must be two different numbers, but both are {start}: give a range.")
    return values


def _chart(values: Array, y: State, size: Any) -> Chart:
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(y)])
    if size is None:
        size = jax.lax.stop_gradient(jnp.maximum(jnp.linalg.norm(flat), 1))
    else:
        size = _checks.positive("size", size, "Leave it out to have it chosen.").astype(flat.dtype)
    return Chart(size, values[0].astype(flat.dtype), (values[1] - values[0]).astype(flat.dtype))


class Followed(eqx.Module):
    """A branch as its program leaves it: arrays of a fixed length, NaN past the end.

    Attributes:
        values: The parameter.
        states: The states.
        eigenvalues: As they are shown.
        stable: Where all directions shrink.
        located: The events.
        num_points: How many points there are.
        status: Why it ended.
        first: The coordinates of the first point.
    """

    values: Array
    states: State
    eigenvalues: Array
    stable: Array
    located: Located
    num_points: Array
    status: Array
    first: Array


@jit_quickly
def followed(
    motion: AbstractMotion, chart: Chart, guess: Array, border: Array, settings: Settings, max_events: int
) -> Followed:
    """A branch from a guess, and its events, as one program."""
    along = trace(motion, chart, guess, border, settings)
    there = along.there
    zs = jnp.where(there[:, None], along.zs, jnp.nan)
    eigenvalues = in_order(eigenvalues_to_show(along.eigenvalues, motion.is_map), motion.is_map)
    return Followed(
        values=chart.value(zs),
        states=states_of(motion, chart, zs),
        eigenvalues=jnp.where(there[:, None], eigenvalues, jnp.nan),
        stable=is_stable(along.eigenvalues, num_flat(along.eigenvalues, there), motion.is_map) & there,
        located=locate(motion, along, max_events),
        num_points=along.num_points,
        status=along.status,
        first=along.zs[0],
    )


def _without_matrices(
    motion: AbstractMotion, chart: Chart, z: Array, border: Array, settings: Settings, check: bool
) -> EquilibriumBranch:
    """The branch of a large state."""
    if _checks.is_traced((motion, chart, z)):
        raise ValueError(
            "`y` must be concrete, since a branch of large states is followed step by step: call "
            "`continue_equilibrium` outside of `jax.jit` and `jax.vmap`, or take `matrix_free=False`."
        )
    along = walk(motion, chart, z, border, settings)
    if int(along.status) == _trace.NO_START:
        _refuse(motion, motion.state(chart.flat(z)), chart.value(z), check)
    if check and isinstance(motion, OfFields):
        demand(_seen(motion, chart, along.points[0].z), ("finite", "smooth", "autonomous"))
    zs, _, eigenvalues = stacked(along.points)
    return EquilibriumBranch(
        values=chart.value(zs),
        states=states_of(motion, chart, zs),
        eigenvalues=in_order(eigenvalues_to_show(eigenvalues, motion.is_map), motion.is_map),
        stable=is_stable(eigenvalues, jnp.asarray(0), motion.is_map),
        events=large_events(motion, chart, along.points),
        status=along.status,
        motion=motion,
        chart=chart,
        is_update=motion.is_map,
        period=_period(motion),
    )


@jit_quickly
def _seen(motion: OfFields, chart: Chart, z: Array) -> Inspection:
    """What is seen of the field around a point. Compiled by itself, once for all families of a kind."""
    return inspect(motion.family(chart.value(z)), motion.state(chart.flat(z)), args=motion.args)


def _refuse(motion: AbstractMotion, y: State, value: Array, check: bool) -> None:
    """Says why there is no first point."""
    if check and isinstance(motion, OfFields):
        require(motion.family(value), y, motion.args)
    what = "a fixed point of the update" if motion.is_map else "an equilibrium"
    raise ValueError(
        f"`y` must be near {what} at the first of `values`, {float(value):.6g}, but Newton's method finds none from "
        "it: take `analysis.find_equilibrium`, or start at a value where the Jacobian is regular."
    )


def branch_of(motion: AbstractMotion, chart: Chart, found: Followed, period: int = 1) -> EquilibriumBranch:
    """The result: of a concrete branch without what is past its end, and with events found to rounding."""
    if _checks.is_traced(found):
        return _result(motion, chart, found, _events(motion, chart, found.located), period)
    # In NumPy: slices of other lengths would be compiled each by itself.
    located = jax.tree.map(np.asarray, found.located)
    events = tuple(
        event_at(
            motion,
            chart,
            int(located.kinds[i]),
            jnp.asarray(located.zs[i]),
            jnp.asarray(located.tangents[i]),
            jnp.asarray(located.eigenvalues[i]),
        )
        for i in range(int(located.num))
    )
    num = int(found.num_points)
    parts = found.values, found.states, found.eigenvalues, found.stable
    trimmed = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[:num]), parts)
    found = eqx.tree_at(lambda f: (f.values, f.states, f.eigenvalues, f.stable), found, trimmed)
    return _result(motion, chart, found, events, period)


def _result(
    motion: AbstractMotion, chart: Chart, found: Followed, events: tuple[Event, ...], period: int
) -> EquilibriumBranch:
    return EquilibriumBranch(
        values=found.values,
        states=found.states,
        eigenvalues=found.eigenvalues,
        stable=found.stable,
        events=events,
        status=found.status,
        motion=None if _checks.is_traced(found) else motion,
        chart=chart,
        is_update=motion.is_map,
        period=period,
    )


def _events(motion: AbstractMotion, chart: Chart, located: Located) -> tuple[Event, ...]:
    """Events under a transformation: a fixed number, NaN where there is none."""
    found = jnp.arange(len(located.kinds)) < located.num
    codes, zs = jnp.where(found, located.kinds, 0), jnp.where(found[:, None], located.zs, jnp.nan)
    return tuple(
        described(motion, chart, codes[i], zs[i], located.tangents[i], located.eigenvalues[i])
        for i in range(len(located.kinds))
    )


def _period(motion: AbstractMotion) -> int:
    return motion.known.period * motion.times if isinstance(motion, OfSteps) else 1
