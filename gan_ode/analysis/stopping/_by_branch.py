"""The end of a cycle of a flow, by its branch."""

import math
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..cycle_branches import continue_cycle, CycleBranch
from ..cycles import find_periodic_orbit, PeriodicOrbit
from ._judge import Judge
from ._result import How, Stop, stop_at

# States of so many numbers have branches of cycles.
_MOST_NUMBERS = 32
# A part of the range.
_AT_CROSSINGS = 1e-6
_ENDS: dict[str, How] = {
    "a Hopf point": "hopf",
    "period without end: homoclinic or heteroclinic": "period without end",
    "a family of cycles at one value": "family of cycles",
}


def stop_by_branch(name: str, judge: Judge, cycle: Any) -> Stop | None:
    """Where the branch of the cycle says that it ends or ceases to attract, if verdicts on both sides agree.

    Args:
        name: That of the knob.
        judge: Asks for verdicts; trajectories start on the branch from here on.
        cycle: The cycle, of `find_periodic_orbit`.

    Returns:
        The stop; None if there is no branch, it does not say, or the verdicts are others.
    """
    knob = judge.knob
    if not (knob.is_flow and isinstance(cycle, PeriodicOrbit)) or ravel_pytree(cycle.y)[0].size > _MOST_NUMBERS:
        return None
    try:
        family: Any = knob.family
        branch = continue_cycle(family, knob.ends, cycle, args=judge.args)
    except ValueError:
        # Its equations have no regular solution there, and verdicts alone decide.
        return None
    if branch.ended == "end of range" and not branch.events:
        _start_on(judge, branch, 1.0)
        last = judge.at(1.0)
        if last.kind != "cycles":
            return None
        return Stop(
            name, math.nan, math.nan, "not in the range", math.inf, judge.first, last, knob.end, judge.verdicts, branch
        )
    how: Any = branch.events[0].kind if branch.events else _ENDS.get(branch.ended)
    if how is None:
        return None
    turned = knob.turned(float(branch.events[0].value if branch.events else branch.values[-1]))
    short = judge.decided(turned, -1)
    if judge.at(short).kind == "undecided":
        # Near an event a trajectory hardly comes nearer to the cycle: let it start there.
        judge.start_from(_on_cycle(judge, branch, short))
    else:
        _start_on(judge, branch, short)
    beyond = judge.decided(turned, 1)
    before, after = judge.at(short), judge.at(beyond)
    # Beyond a flip, a torus or a fold another cycle may attract.
    ends = how in ("hopf", "family of cycles", "period without end")
    if before.kind != "cycles" or (ends and after.kind == "cycles"):
        return None
    if after.kind == "undecided":
        how = "undecided"
    # Where it is crossed by another branch the equations are singular, and the place is good to about this.
    error = _AT_CROSSINGS if how == "branch point" else 0.0
    return stop_at(name, judge, turned, error, how, short, beyond, branch)


def _on_cycle(judge: Judge, branch: CycleBranch, turned: float) -> Any:
    """A state on the cycle at a value, by the nearest one of the branch."""
    value = judge.knob.value(turned)
    index = int(np.argmin(np.abs(np.asarray(branch.values) - value)))
    near = jax.tree.map(lambda leaf: leaf[index], branch.states)
    found = find_periodic_orbit(judge.knob.field_at(value), near, args=judge.args, throw=False)
    return found.y if bool(found.found) else near


def _start_on(judge: Judge, branch: CycleBranch, turned: float) -> None:
    """Lets trajectories start on the branch, at the last cycle short of a value."""
    values = np.asarray(branch.values)
    along = np.array([judge.knob.turned(float(value)) for value in values])
    index = int(np.flatnonzero(along <= turned + 1e-12)[-1]) if np.any(along <= turned) else 0
    # Before the first turning back.
    if branch.events:
        index = min(index, int(np.argmax(along)))
    judge.start_from(jax.tree.map(lambda leaf: leaf[index], branch.states))
