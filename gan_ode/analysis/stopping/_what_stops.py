"""What would stop a cycle: verdicts on both sides, and the event between them."""

import math
from typing import Any

import numpy as np
from jaxtyping import PyTree

from ... import _checks, _problem
from ..._entry import guarded
from ..._types import Args, Field, State
from ...updates import AbstractUpdate
from ..continuation import EquilibriumBranch
from ..cycles import PeriodicOrbit
from ._by_branch import stop_by_branch
from ._events import branch_back, branch_inside, is_neutral, middle, places
from ._judge import ASIDES, Judge
from ._knob import knobs_of
from ._result import Stop, stop_at, Stops

# Verdicts are taken at so many values of a knob.
_VALUES = 13
# Between two verdicts without an event the bracket is halved down to this.
_NARROW = 1e-3


@guarded()
def what_stops(
    cycle: PeriodicOrbit | PyTree,
    knobs: Any,
    *,
    field: Field | None = None,
    update: AbstractUpdate | None = None,
    args: Args = None,
    num_values: int = _VALUES,
) -> Stops:
    r"""For each of some knobs, the value at which a cycle ends, how it ends, and what is there instead.

    A knob is a weight of a penalty or an adjustment, a ratio of rates, a step size, a momentum: whatever makes a field
    or an update of a number. A cycle of a flow, of up to 32 numbers, is followed by `continue_cycle` to its end, or to
    where it ceases to attract. Else trajectories from it are judged by `classify` along the range; where the verdict
    changes, an event of the equilibrium inside (see `continue_equilibrium`) says where, to rounding, and how. A value
    is reported only with verdicts of `classify` on both sides, as near as they can be had. Where no event lies between
    two verdicts, the bracket is halved and reported as an error.

    Between two of the values that are looked at a cycle may end and begin again unseen: give a narrower range, or a
    larger `num_values`.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games, losses, regularizers

    def family(eta):
        game = games.LinearQuadratic(losses.Wasserstein())
        return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))

    on_it = games.Players(discriminator=jnp.array(0.3), generator=jnp.array(1.0))
    cycle = analysis.find_periodic_orbit(family(0.0), on_it)
    print(analysis.what_stops(cycle, {"eta": (family, (0.0, 1.0))}))
    ```

    Args:
        cycle: The cycle, of `find_periodic_orbit`, or a state on it or drawn to it.
        knobs: For each name `(family, (start, end))`, `family` making a field of the value, the cycle being that of the
            start; or `(rule, (start, end))`, `rule` making an update of the value: a class, a function, or an update
            whose step size is replaced.
        field: The field whose cycle it is. Needed only where all knobs are of the update; by default that of the first
            family, at its start.
        update: If given, knobs of the field are turned for the steps of this update, not for the flow.
        args: Handed to the field: a minibatch, or None.
        num_values: How many values of a range are looked at, its ends included.

    Returns:
        A `Stop` for each knob, that with the least turn first.

    Raises:
        ValueError: If the cycle was not found, or repels, a knob is none, or a transformation is on.
    """
    if _checks.is_traced((cycle, args)):
        raise ValueError("`cycle` must be concrete for verdicts in words: call `what_stops` outside `jax.jit`.")
    _checks.count("num_values", num_values, least=3)
    y, inside = _on_and_in(cycle)
    made = knobs_of(knobs, field, update, y, args)
    stops = [_stop(name, Judge(knob, y, args), cycle, inside, num_values) for name, knob in made.items()]
    return Stops(tuple(sorted(stops, key=lambda stop: (stop.turn, stop.after.kind != "converges"))))


def _on_and_in(cycle: Any) -> tuple[State, State]:
    """A state on the cycle, and one in its middle, or on it where that is not known."""
    if not isinstance(cycle, PeriodicOrbit):
        y = _problem.state_of(cycle)
        return y, y
    if not bool(cycle.found):
        raise ValueError(
            "`cycle` must be a cycle that was found, but the search for it failed: look at its `outcome`, or give a "
            "state on the cycle."
        )
    if cycle.kind in ("repelling", "saddle"):
        raise ValueError(
            f"`cycle` must attract, or be one of a family, for trajectories to stay on it, but is {cycle.kind}: follow "
            "it by `analysis.continue_cycle`, which says where it ends."
        )
    return cycle.y, middle(cycle.orbit.ys)


def _stop(name: str, judge: Judge, cycle: Any, inside: State, num_values: int) -> Stop:
    knob, first = judge.knob, judge.at(0.0)
    if first.kind in ("converges", "undecided"):
        how: Any = "no cycle at the start" if first.kind == "converges" else "undecided"
        value, turn = (knob.start, 0.0) if first.kind == "converges" else (math.nan, math.inf)
        return Stop(name, value, 0.0, how, turn, first, first, knob.start, judge.verdicts)
    by_branch = stop_by_branch(name, judge, cycle) if first.kind == "cycles" else None
    if by_branch is not None:
        return by_branch
    branch = branch_inside(knob, first, inside, judge.args)
    bracket = _bracket(judge, first.kind, [float(each) for each in np.linspace(0, 1, num_values)])
    if bracket is None:
        last = judge.at(1.0)
        how = "undecided" if last.kind == "undecided" else "not in the range"
        return Stop(name, math.nan, math.nan, how, math.inf, first, last, knob.end, judge.verdicts)
    return _named(name, judge, first.kind, bracket, branch)


def _bracket(judge: Judge, kind: str, grid: list[float]) -> tuple[float, float] | None:
    """Two values between which the verdict changes, the last of this kind and the first of another."""
    short = grid[0]
    for turned in grid[1:]:
        now = judge.at(turned).kind
        if now == "undecided":
            continue
        if now == kind or (kind == "cycles" and judge.still_cycles(short, turned)):
            short = turned
            continue
        return short, turned
    return None


def _named(name: str, judge: Judge, kind: str, bracket: tuple[float, float], branch: EquilibriumBranch | None) -> Stop:
    """The stop within a bracket: an event with the right verdicts on both sides, or what halving leaves."""
    short, beyond = bracket
    tried: set[float] = set()
    for branch_of in (lambda: branch, lambda: branch_back(judge.knob, judge.at(beyond), beyond, judge.args)):
        for event in places(judge.knob, branch_of()):
            known = any(abs(event.turned - other) < ASIDES[0] for other in tried)
            if known or not short <= event.turned <= beyond:
                continue
            tried.add(event.turned)
            sides = judge.decided(event.turned, -1), judge.decided(event.turned, 1)
            if _differ(judge, kind, *sides):
                return stop_at(name, judge, event.turned, 0.0, event.kind, *sides)
    if is_neutral(branch) and short == 0.0:
        aside = judge.decided(0.0, 1)
        if _differ(judge, kind, 0.0, aside):
            return stop_at(name, judge, 0.0, 0.0, "family of cycles", 0.0, aside)
    short, beyond = _halved(judge, kind, short, beyond)
    narrow = beyond - short <= _NARROW and judge.at(beyond).kind != "undecided"
    how = "not named" if narrow else "undecided"
    return stop_at(name, judge, (short + beyond) / 2, (beyond - short) / 2, how, short, beyond)


def _differ(judge: Judge, kind: str, short: float, beyond: float) -> bool:
    """Whether it is this kind at one value and surely another at the other."""
    return judge.at(short).kind == kind and judge.at(beyond).kind not in (kind, "undecided")


def _halved(judge: Judge, kind: str, short: float, beyond: float) -> tuple[float, float]:
    """The bracket as narrow as verdicts make it."""
    while beyond - short > _NARROW:
        for part in (0.5, 0.25, 0.75):
            middle = short + part * (beyond - short)
            now = judge.at(middle).kind
            if now != "undecided":
                break
        else:
            return short, beyond
        short, beyond = (middle, beyond) if now == kind else (short, middle)
    return short, beyond
