"""The verdict on a flow: followed at two tolerances for doubling durations, until evidence of one kind is complete."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..._types import Args, Field, State
from ._affine import judge_affine
from ._centers import judge_plane
from ._first_look import explicit_time, first_length, LARGE
from ._follower import Follower, Path
from ._in_space import judge_space
from ._invariant_set import in_the_whole, within_invariant_set
from ._on_a_line import judge_line
from ._rest import as_equilibrium, is_trapped, Rest, root_near
from ._saddles import passes_unresolved
from ._tails import algebraic_approach, grows_for_ever, numbers_of_blow_up, Place, rests_on_a_continuum
from ._tolerances import is_of_low_order, OF_STIFF, tolerances_of
from ._verdict import Fate, Verdict
from ._wandering import judge_wandering, visits_corners

_MOST_SEGMENTS = 26
# Steps of the finer solve, in all segments.
_BUDGET = 150_000
_BUDGET_OF_IMPLICIT = 30_000
# Steps of a segment; the next one is twice as long.
_MOST_STEPS = 28_000
# The fastest decay in a step, above which it is at the edge of stability.
_STABILITY = 1.0
# A component below this is next to vanish by rounding.
_VANISHES = {4: 1e-28, 8: 1e-270}
# States at which an invariant is taken.
_OF_INVARIANT = 2048


@dataclasses.dataclass(frozen=True)
class _Run:
    """What is asked for, and how it is followed."""

    follower: Follower
    y0: np.ndarray
    tolerances: tuple[float, float]
    invariant: Callable | None
    budget: int = _BUDGET


def judge_flow(
    field: Field, y0: State, args: Args, *, solver: Any, rtol: float | None, atol: float | None,
    duration: float | None, invariant: Callable | None,
) -> Verdict:  # fmt: skip
    flat = np.asarray(ravel_pytree(y0)[0], float)
    chosen = diffrax.Dopri8() if solver is None else solver
    follower = Follower(field, y0, args, chosen, atol=atol)
    reduced = within_invariant_set(follower, flat)
    if reduced is not None:
        kept, field, y0 = reduced
        verdict = judge_flow(
            field, y0, args, solver=solver, rtol=rtol, atol=atol, duration=duration,
            invariant=None if invariant is None else lambda ys: invariant(jax.vmap(field.whole)(ys)),
        )  # fmt: skip
        still = len(flat) - len(kept)
        at_zero = np.all(np.delete(flat, kept) == 0)
        note = f"within the invariant set on which {still} numbers are 0" if at_zero else f"{still} numbers never move"
        on_continuum = "" if at_zero or verdict.kind != "converges" else ": a continuum of equilibria"
        return in_the_whole(verdict, field, f" ({note}{on_continuum})")
    velocity = follower.velocity(flat)
    if not np.all(np.isfinite(velocity)):
        return Verdict("undecided", "the field is not finite at the start: look at it there", 0.0)
    run = _Run(follower, flat, tolerances_of(follower, chosen, rtol), invariant)
    length = first_length(follower, flat)
    late = explicit_time(follower, flat, length)
    if late is not None:
        return late if isinstance(late, Verdict) else _after(run, length, late, duration)
    verdict = _judge(run, length, duration)
    second = _by_another_solver(run) if verdict.kind == "undecided" else None
    if second is None:
        return verdict
    again = _judge(second, 16 * length if _is_implicit(second) else length, duration)
    if solver is None:
        return again
    names = [type(each.follower.solver).__name__ for each in (second, run)]
    note = f" (by {names[0]}; by {names[1]} it stays undecided)"
    return verdict if again.kind == "undecided" else dataclasses.replace(again, reason=again.reason + note)


def _by_another_solver(run: _Run) -> _Run | None:
    """The same by a solver for stiff fields, or by one of high order, where that may settle more."""
    follower, solver = run.follower, run.follower.solver
    if _is_stiff(follower):
        if _is_implicit(run):
            return None
        stiff, tolerances = follower.with_solver(diffrax.Kvaerno5()), OF_STIFF[follower.itemsize]
        return dataclasses.replace(run, follower=stiff, tolerances=tolerances, budget=_BUDGET_OF_IMPLICIT)
    if not is_of_low_order(solver):
        return None
    better = follower.with_solver(diffrax.Dopri8())
    return dataclasses.replace(run, follower=better, tolerances=tolerances_of(better, better.solver, None))


def _is_implicit(run: _Run) -> bool:
    return isinstance(run.follower.solver, diffrax.AbstractImplicitSolver)


def _is_stiff(follower: Follower) -> bool:
    """Whether the steps are as short as stability, and not accuracy, asks for."""
    path = follower.longest
    if path is None or follower.size > LARGE:
        return False
    matrix = follower.linearized(path.end)[1]
    if not np.all(np.isfinite(matrix)):
        return False
    fastest = float(np.max(-np.linalg.eigvals(matrix).real))
    return path.num_steps > 2000 and fastest * path.end_time / path.num_steps > _STABILITY


def _after(run: _Run, length: float, late: float, duration: float | None) -> Verdict:
    """The verdict on a field whose explicit time dies out, from then on."""
    ends = []
    run.follower.look_at(np.stack([run.y0, run.y0 + run.follower.velocity(run.y0) * length / 100 + 1e-9]))
    for tolerance in run.tolerances:
        path = run.follower.follow(run.y0, late, tolerance)
        if not path.ok:
            return _failed(run, [path], 0.0) or Verdict("undecided", f"the solve ended early: {path.outcome}", late)
        ends.append(path.end)
    if np.max(np.abs(ends[0] - ends[1])) > 1e-6 * (1 + np.max(np.abs(ends[1]))):
        return Verdict("undecided", "two tolerances differ by the time when the field's own time has died out", late)
    later = dataclasses.replace(run, y0=ends[1], follower=run.follower.at(late))
    verdict = _judge(later, length, duration)
    note = f"{verdict.reason} (from t = {late:.4g} on the field no longer depends on time)"
    time = verdict.time + late
    return dataclasses.replace(verdict, reason=note, duration=verdict.duration + late, time=time)


def _judge(run: _Run, length: float, duration: float | None) -> Verdict:
    line, verdict = _at_once(run, length)
    if verdict is not None:
        return verdict
    found = _followed(run, length if duration is None else min(length, duration), duration, line)
    return found if isinstance(found, Verdict) else _of_the_whole(run, line, found)


def _at_once(run: _Run, length: float) -> tuple[Fate | None, Verdict | None]:
    """What is known before anything is followed: the fate on a line, and the verdict if there is one."""
    follower, line = run.follower, None
    if follower.size == 1:
        line, root = judge_line(follower, run.y0)
        if line is not None and line.kind != "diverges":
            return line, _of_line(run, line, root, length)
    at_rest = _at_rest(run)
    if at_rest is not None:
        return line, at_rest
    if follower.size > 2:
        # What eigenvalues say at once takes long to see in many dimensions.
        root = _root_of(follower, run.y0)
        affine = judge_affine(follower, run.y0, root)
        if affine is not None:
            rest = root if affine.kind == "converges" else None
            return line, _report(run, affine, [run.y0[None]], 0.0, rest=rest)
    return line, None


class _Trajectory(NamedTuple):
    """A trajectory that was followed to the end of what may be spent, and what its segments said together."""

    segments: list[Path]
    drifts: list[np.ndarray]
    elapsed: float
    fate: Fate | None


def _followed(run: _Run, length: float, duration: float | None, line: Fate | None) -> Verdict | _Trajectory:
    """Segment by segment, each as long as all before it, until these decide."""
    follower, (coarse, fine) = run.follower, run.tolerances
    coarse_y = fine_y = run.y0
    elapsed, segments = 0.0, []
    fate: Fate | None = None
    drifts: list[np.ndarray] = []
    places: list[Place] = []
    for number in range(_MOST_SEGMENTS):
        if duration is not None:
            length = min(length, duration - elapsed)
        path = follower.follow(fine_y, length, fine)
        if number == 0 and len(path.points) > 1:
            # Once more, now that the sizes of the components are known.
            follower.look_at(path.points)
            path = follower.follow(fine_y, length, fine)
        other = follower.follow(coarse_y, length, coarse)
        follower.grow(path.points)
        segments.append(path)
        drifts.append(path.points)
        if not (path.ok and other.ok):
            return _failed(run, [other, path], elapsed, line) or _report(
                run, None, drifts, elapsed, "the solve ended early"
            )
        fine_y, coarse_y = path.end, other.end
        elapsed += length
        fate, rest = _evidence(run, segments, [fine_y, coarse_y], elapsed, places)
        if fate is not None and (fate.kind != "undecided" or fate.final or follower.num_steps > run.budget):
            return _report(run, fate, drifts, elapsed, rest=rest)
        if duration is not None and elapsed >= duration * (1 - 1e-9):
            break
        if follower.num_steps > 2 * run.budget or path.num_steps > _MOST_STEPS:
            break
        length = elapsed
    return _Trajectory(segments, drifts, elapsed, fate)


def _of_the_whole(run: _Run, line: Fate | None, found: _Trajectory) -> Verdict:
    """What is asked last, where no segment decided."""
    follower, (segments, drifts, elapsed, fate) = run.follower, found
    if line is not None:
        return _report(run, line, drifts, elapsed)
    if np.any(np.abs(segments[-1].points[:, follower.relative]) < _VANISHES[follower.itemsize]):
        reason = "a number that cannot cross 0 falls below the smallest ones of the dtype: follow its logarithm"
        return _report(run, fate, drifts, elapsed, reason)
    affine = judge_affine(follower, run.y0, _root_of(follower, run.y0))
    if affine is not None:
        return _report(run, affine, drifts, elapsed)
    late = fate or judge_wandering(follower, segments, run.tolerances, run.y0)
    return _report(run, late, drifts, elapsed, "it neither settles, nor closes, nor keeps a law in the time followed")


def _root_of(follower: Follower, y: np.ndarray) -> Rest | None:
    return None if follower.size > LARGE else root_near(follower, y)


def _at_rest(run: _Run) -> Verdict | None:
    follower = run.follower
    if follower.size > LARGE:
        return None
    rest = root_near(follower, run.y0)
    if rest is None:
        return None
    distance = np.max(np.abs(rest.y - run.y0) / (np.abs(rest.y) + follower.scale_of_state(run.y0)))
    still = float(np.linalg.norm(follower.velocity(run.y0)))
    if distance > 1e3 * follower.rounding or still > 1e3 * follower.rounding * np.linalg.norm(
        np.abs(rest.matrix) @ (np.abs(run.y0) + follower.rounding)
    ):
        return None
    word = "no linear part" if rest.linear == "none" else f"the linear part of a {rest.linear}"
    fate = Fate("converges", f"the state rests at an equilibrium, with {word}")
    return _report(run, fate, [run.y0[None]], 0.0, rest=rest)


def _evidence(
    run: _Run, segments: list[Path], ends: list[np.ndarray], elapsed: float, places: list[Place]
) -> tuple[Fate | None, Rest | None]:
    """What the segments so far say."""
    follower, path = run.follower, segments[-1]
    if follower.size > LARGE:
        return judge_space(follower, path, run.tolerances, elapsed), None
    # What has fallen below the smallest numbers does not come up again, as it might in truth.
    vanishing = _last_before_vanishing(follower, segments)
    rest = root_near(follower, ends[0])
    lost = passes_unresolved(follower, segments)
    if lost is not None:
        return lost, None
    if (
        rest is not None
        and rest.smooth
        and is_trapped(follower, rest, ends if vanishing is None else [*ends, vanishing])
    ):
        return Fate("converges", "the trajectory has come so near to a stable equilibrium that it cannot leave"), rest
    places.append(Place.of(rest, ends[0], elapsed, path))
    if follower.size == 1:
        # The next zero of the field has been looked for.
        return None, None
    settled = rests_on_a_continuum(follower, rest, places)
    if settled is not None:
        return settled, rest
    if vanishing is not None:
        return visits_corners(follower, segments), None
    tail = algebraic_approach(follower, rest, places)
    if tail is not None:
        return tail, rest
    growth = grows_for_ever(follower, places)
    if growth is not None:
        return growth, None
    if follower.size == 2:
        return judge_plane(follower, run.tolerances, run.budget, segments, rest, elapsed)
    if follower.size > 2:
        fate = judge_space(follower, path, run.tolerances, elapsed)
        return fate or visits_corners(follower, segments), None
    return None, None


def _last_before_vanishing(follower: Follower, segments: list[Path]) -> np.ndarray | None:
    """The state when a number that cannot cross 0 was still above the smallest ones; None if all are."""
    for path in segments:
        vanished = np.any(np.abs(path.points[:, follower.relative]) < _VANISHES[follower.itemsize], axis=1)
        if np.any(vanished):
            return path.points[max(int(np.argmax(vanished)) - 1, 0)]
    return None


def _of_line(run: _Run, fate: Fate, root: float | None, length: float) -> Verdict:
    rest = None if root is None else root_near(run.follower, np.array([root]))
    if rest is not None and abs(float(rest.y[0]) - float(root or 0.0)) > 1e-6 * (1 + abs(float(root or 0.0))):
        rest = None
    return _report(run, fate, [run.y0[None]], 0.0, rest=rest)


def _failed(run: _Run, paths: list[Path], elapsed: float, line: Fate | None = None) -> Verdict | None:
    """The verdict where a solve did not reach the end of a segment."""
    outcomes = [path.outcome for path in paths]
    finest = paths[-1]
    time = elapsed + finest.end_time
    if all(outcome == "blow_up" for outcome in outcomes):
        times = [elapsed + path.end_time for path in paths]
        # Once more up to shortly before, so that samples show how it grows.
        before = run.follower.follow(finest.points[0], 0.9999 * finest.end_time, run.tolerances[1])
        numbers = numbers_of_blow_up(before if before.ok else finest, times)
        what = f"at t = {time:.8g}" if "time" in numbers else f"past all bounds by t = {time:.6g}"
        verdict = Verdict("diverges", f"the state grows without bound, {what}", time, tolerances=run.tolerances)
        return dataclasses.replace(verdict, **numbers)
    if line is not None:
        return _report(run, line, [finest.points], time)
    reasons = {
        "nonfinite_field": "the field is not finite where the trajectory is",
        "step_collapse": "the steps became too small: the field jumps where the trajectory is",
        "max_steps": "the solve ran out of steps: the field is stiff, or it jumps",
        "root_find_failed": "an implicit step could not be solved",
        "blow_up": "the state grows without bound at one tolerance and not at the other",
    }
    for outcome in reversed(outcomes):
        if outcome in reasons:
            return Verdict("undecided", f"{reasons[outcome]}, at t = {time:.6g}", time, tolerances=run.tolerances)
    return None


def _report(
    run: _Run,
    fate: Fate | None,
    drifts: list[np.ndarray],
    elapsed: float,
    otherwise: str = "",
    rest: Rest | None = None,
) -> Verdict:
    kind, reason = ("undecided", otherwise) if fate is None else (fate.kind, fate.reason)
    numbers = {} if fate is None else dict(fate.numbers)
    if rest is not None and kind == "converges" and rest.linear in ("stable", "continuum") and "rate" not in numbers:
        numbers["rate"] = rest.growth
        largest = float(np.max(np.abs(rest.eigenvalues)))
        numbers["rate_error"] = 4 * np.sqrt(run.follower.rounding) * largest
    drift = float("nan")
    if run.invariant is not None:
        restore = run.follower.restore
        # As many states whatever was followed, so that the quantity is compiled once.
        along = np.concatenate(drifts)
        chosen = along[np.linspace(0, len(along) - 1, _OF_INVARIANT).astype(int)]
        points = jnp.asarray(chosen, run.follower.dtype)
        values = run.invariant(jax.vmap(restore)(points))
        drift = float(np.max(np.abs(values - values[0])))
    return Verdict(
        kind,  # pyright: ignore[reportArgumentType]
        reason,
        elapsed,
        tolerances=run.tolerances,
        equilibrium=None if rest is None else as_equilibrium(run.follower, rest),
        eigenvalues=None if rest is None else rest.eigenvalues,
        invariant_drift=drift,
        **numbers,
    )
