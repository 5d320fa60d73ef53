from collections.abc import Callable
from typing import Any

import diffrax
import jax
import numpy as np

from ... import _checks, _problem, _tree
from ..._entry import guarded
from ..._lowering import strongly_typed
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...updates import AbstractUpdate
from ._of_flow import judge_flow
from ._of_update import judge_update
from ._verdict import Verdict


@guarded("y0")
def classify(
    field: Field,
    y0: State,
    *,
    update: AbstractUpdate | None = None,
    args: Args = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    duration: RealScalarLike | None = None,
    invariant: Callable[[State], Scalar] | None = None,
) -> Verdict:
    """Whether a trajectory converges, cycles, diverges or wanders: a verdict with its evidence, or "undecided".

    The trajectory is followed at two tolerances, for doubling durations, until one of these holds:

    - it *converges*: it has entered a region around a stable equilibrium in which a quadratic function falls; or it
      rests; or its turns, or its distances, shrink by a law that is seen down to the equilibrium, and holds on a
      further doubling;
    - it *cycles*: a turn closes to within the solver's error, as measured by the second tolerance, and so do its
      neighbors, or they come nearer; or the turns lead to such an orbit;
    - it *diverges*: it blows up at both tolerances, or grows by a law that holds on;
    - it *wanders*: it is bounded, and a torus by its averages, chaotic by its largest exponent, or visits the corners
      of a heteroclinic cycle for ever longer.

    Numbers must agree between tolerances, not words; what does not is "undecided", and `reason` says what is missing.

    Args:
        field: The field.
        y0: Initial state.
        update: The update to judge; the flow if None.
        args: Handed to the field.
        solver: Diffrax solver for the flow; Dopri8 by default. What it leaves undecided is followed by another: by
            Kvaerno5 where the field is stiff, and by Dopri8 where the order is low.
        rtol: The coarser of the two relative tolerances, where it is below the default, 1e-10 (1e-9 for solvers of
            order 5 or 6, 1e-6 below, 1e-5 in float32): nothing is concluded from looser solves. The finer one is a
            hundredth of it.
        atol: Absolute tolerance, one number. By default it follows each component's size, and a component that starts
            off zero and cannot cross it is followed relatively.
        duration: How long to follow the trajectory, at most; an update for at least 4,096 steps. By default as long as
            it takes to decide, within a budget of some hundred thousand steps.
        invariant: A quantity that should not change on a cycle; its largest change is reported.

    Returns:
        The verdict. Not under a transformation: it is made of Python values.

    Raises:
        ValueError: If an argument cannot work, or a transformation is on.

    Source: for orbits in the plane, Poincare and Bendixson, as in Hirsch, Smale and Devaney (2013), chapter 10.
    """
    if _checks.is_traced((field, y0, args)):
        raise ValueError("`field` and `y0` must be concrete for a verdict in words: call `classify` outside `jax.jit`.")
    if rtol is not None:
        rtol = float(np.asarray(_checks.relative("rtol", rtol, "1e-10 is usual, 1e-5 in float32.")))
    if atol is not None:
        atol = float(np.asarray(_checks.not_negative("atol", atol, "Leave it out to have it chosen.")))
    if duration is not None:
        duration = float(np.asarray(_checks.positive("duration", duration, "Leave it out to have it chosen.")))
    _problem.a_field(field)
    y0 = _problem.state(y0)
    _problem.wide_enough(_tree.dtype(y0))
    _problem.same_structure(field, 0.0, y0, args)
    field, y0, args, update = strongly_typed((field, y0, args, update))
    of: Any = _quantity(invariant)
    # What overflows, or is no number, is looked at where it matters.
    with np.errstate(all="ignore"):
        return _judge(update, field, y0, args, solver, rtol, atol, duration, of)


def _judge(
    update: Any, field: Field, y0: State, args: Args, solver: Any, rtol: Any, atol: Any, duration: Any, of: Any
) -> Verdict:
    if update is None:
        return judge_flow(field, y0, args, solver=solver, rtol=rtol, atol=atol, duration=duration, invariant=of)
    return judge_update(update, field, y0, args, duration=duration, invariant=of)


def _quantity(invariant: Callable | None) -> Callable[[State], np.ndarray] | None:
    """The invariant over a leading axis of states."""
    return None if invariant is None else lambda ys: np.asarray(jax.vmap(invariant)(ys))
