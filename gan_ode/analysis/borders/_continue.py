"""Events followed in the plane of two parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from ... import _checks
from ..._entry import guarded
from ..._types import Args, RealScalarLike
from ..arclength._corrector import Chart
from ..continuation import Event
from ..cycle_branches import CycleEvent
from ._curve import CurvePoint, EventCurve
from ._cycle_folds import AlongBoth, Border, folds_of_cycles
from ._plane import made, Plane, plane_of
from ._seen import angle_of, Seen
from ._system import EventSystem, jacobian
from ._walk import stacked, start, Station, walk, Walked

_KINDS = ("fold", "hopf", "flip", "neimark-sacker")


@guarded(rules=True)
def continue_event(
    family: Callable,
    event: Event | CycleEvent,
    first: Real[Array | np.ndarray, " ends"],
    second: Real[Array | np.ndarray, " other_ends"],
    *,
    at: RealScalarLike,
    update: Any = None,
    args: Args = None,
    size: RealScalarLike | None = None,
    longest_step: RealScalarLike = 0.03,
    max_points: int = 500,
    intervals: int = 40,
) -> EventCurve:
    r"""Follows a fold, a Hopf, flip or Neimark-Sacker point, or a fold of cycles, as two parameters move: a border in
    their plane.

    On one side of it an equilibrium or a cycle attracts and on the other it does not, or there is none. The curve is
    followed by its length from an event that `continue_equilibrium`, `locate_event` or `continue_cycle` found in the
    first parameter, to both sides, through turns in either parameter, until it leaves the ranges. Each point is found
    by Newton's method on equations that are regular at the event. Between points where a test number changes its sign
    the degenerate event is found to rounding: what meets there, and which further curves start.

    | along | degenerate points |
    |---|---|
    | fold | cusp; Bogdanov-Takens; fold-Hopf |
    | Hopf | Bogdanov-Takens (the curve ends: the frequency is zero); generalized Hopf; fold-Hopf; Hopf-Hopf |
    | fold of an update | cusp; resonance 1:1; fold-flip; fold-Neimark-Sacker |
    | flip | generalized flip; resonance 1:2; fold-flip; flip-Neimark-Sacker |
    | fold of cycles | cusp of cycles; generalized Hopf (the curve ends: the cycle shrinks to a Hopf point) |
    | Neimark-Sacker | resonances 1:1 and 1:2 (it ends), 1:3, 1:4; Chenciner; with a fold, a flip or a second pair |

    Not for use inside a transformation. What happens twice between two neighboring points is missed: look again with a
    smaller `longest_step`. A branch point has no curve of its own in a plane, unless a symmetry keeps it.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis

    def family(p, q):  # the cusp
        return lambda t, x, args: p + q * x - x**3

    fold = analysis.locate_event("fold", lambda p: family(p, 1.0), -0.4, jnp.array([0.6]))
    curve = analysis.continue_event(family, fold, jnp.array([-1.0, 1.0]), jnp.array([-1.0, 1.5]), at=1.0)
    assert [point.kind for point in curve.points] == ["cusp"]
    assert jnp.allclose(4 * curve.second**3, 27 * curve.first**2, atol=1e-9)
    ```

    Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, third edition, chapters 8 to 10; Govaerts (2000).

    Args:
        family: From both parameters, scalar arrays, to a field. Where `update` is a rule it is from the first alone.
        event: The event, on a branch in the first parameter: of equilibria or fixed points, or a fold of cycles.
        first: Both ends of the first parameter's range, shape `(2,)`.
        second: Both ends of the second's.
        at: The second parameter's value at which the event was found.
        update: If given, its fixed points are followed: an update, or a rule (a class, or a function from step size to
            update), of which the second parameter is the step size.
        args: Handed to the field: a minibatch, or None.
        size: What is a large change of the state; by default the state's norm at the event, and at least 1. A fold of
            cycles is measured by the cycle's amplitude.
        longest_step: The longest step, in units of the ranges, or of the state's size.
        max_points: Most points to either side.
        intervals: Intervals of the mesh of a cycle, each with a polynomial of degree 4.

    Returns:
        The curve. One that ends before the ranges do is a result: see `ended`.

    Raises:
        ValueError: If the event has no curve, is none at `at`, or lies outside of the ranges; under a transformation.
    """
    kind: Any = _kind(event, update)
    ranges = _range("first", first), _range("second", second)
    longest = float(_checks.positive("longest_step", longest_step, "0.03 is usual."))
    most = _checks.count("max_points", max_points, least=2)
    if isinstance(event, CycleEvent):
        intervals = _checks.count("intervals", intervals, least=8)
        return _of_cycles(family, event, ranges, _checks.as_float(at), args, longest, most, intervals)
    here, there = jnp.asarray(event.value), _checks.as_float(at).astype(event.flat.dtype)
    if _checks.is_traced((ranges, here, there, event.flat, args)):
        raise ValueError(
            "`event` must be concrete, since a curve of events is followed step by step: call `continue_event` outside "
            "of `jax.jit` and `jax.vmap`."
        )
    _within(ranges, here, there)
    plane = plane_of(family, update, event.state, args, here, there)
    x = event.flat
    width, large = (ranges[0][1] - ranges[0][0]).astype(x.dtype), _size(size, x)
    pace = _pace(kind, event, plane, there, width, large)
    system = EventSystem(plane=plane, kind=kind, start=ranges[0][0].astype(x.dtype), width=width, size=large, pace=pace)
    chart = Chart(jnp.ones((), x.dtype), ranges[1][0].astype(x.dtype), (ranges[1][1] - ranges[1][0]).astype(x.dtype))
    z = np.asarray(chart.coordinates(system.joined(x, here.astype(x.dtype), _pair(kind, event, x)), there))
    begin = start(system, chart, z)
    if begin is None:
        raise ValueError(
            f"`event` must be a {kind} of the family at `at` with a curve through it, but there is none at "
            f"({float(here):.6g}, {float(there):.6g}): give the second parameter's value at which it was found."
        )
    ways = [walk(system, chart, begin, True, longest, most)]
    if ways[0].ended != "closed loop":
        ways.append(walk(system, chart, begin, False, longest, most))
    return _result(system, ways)


def _range(name: str, ends: Any) -> Array:
    ends = _checks.floats(ends)
    if ends.shape != (2,):
        raise ValueError(
            f"`{name}` must be the two ends of a range, but has shape {ends.shape}: for example "
            "`jnp.array([0.0, 2.0])`."
        )
    if not _checks.is_traced(ends):
        _checks.finite(name, ends)
        if ends[0] == ends[1]:
            raise ValueError(f"`{name}` must be two different numbers, but both are {ends[0]}: give a range.")
    return ends


def _within(ranges: tuple[Array, Array], first: Array, second: Array) -> None:
    for name, value, ends in (("event", first, ranges[0]), ("at", second, ranges[1])):
        if not np.min(ends) <= float(value) <= np.max(ends):
            raise ValueError(f"`{name}` must lie within the ranges, but is at {float(value):.6g}: widen them.")


def _of_cycles(
    family: Callable,
    event: CycleEvent,
    ranges: tuple[Array, Array],
    at: Array,
    args: Args,
    longest: float,
    most: int,
    intervals: int,
) -> EventCurve:
    if _checks.is_traced((ranges, at, event, args)):
        raise ValueError(
            "`event` must be concrete, since a curve of events is followed step by step: call `continue_event` outside "
            "of `jax.jit` and `jax.vmap`."
        )
    _within(ranges, event.value, at)
    made(family, event.value, at)
    border = Border(AlongBoth(family, event.state, args), ranges, at, intervals)
    curve = folds_of_cycles(border, event, longest, most, continue_event)
    if curve is None:
        raise ValueError(
            f"`event` must be a fold of cycles of the family at `at`, but at ({float(event.value):.6g}, "
            f"{float(at):.6g}) is none: give the second parameter's value at which it was found, or more `intervals`."
        )
    return curve


def _kind(event: Any, update: Any) -> str:
    if isinstance(event, CycleEvent):
        if event.kind != "fold of cycles" or update is not None:
            what = f"a {event.kind}" if update is None else "one of an update"
            raise ValueError(
                f"`event` must be a fold of cycles of a flow to be followed in a plane, but is {what}: other events of "
                "cycles are not followed."
            )
        return event.kind
    if not isinstance(event, Event):
        raise ValueError(
            f"`event` must be an event of a branch, but is {type(event).__name__}: take one of `branch.events` of "
            "`continue_equilibrium`, or what `locate_event` returns."
        )
    kind = event.kind
    if kind not in _KINDS:
        raise ValueError(
            f"`event` must be a fold, a Hopf, flip or Neimark-Sacker point, but is {kind!r}: a branch point has no "
            "curve of its own in a plane of two parameters."
        )
    if (kind in ("flip", "neimark-sacker")) != (update is not None) and kind != "fold":
        needs = "needs" if update is None else "takes no"
        raise ValueError(f"`update` must fit the event, but a {kind} point {needs} update.")
    return kind


def _size(size: Any, x: Array) -> Array:
    if size is None:
        return jnp.maximum(jnp.linalg.norm(x), 1)
    return _checks.positive("size", size, "Leave it out to have it chosen.").astype(x.dtype)


def _pace(kind: str, event: Event, plane: Plane, second: Array, width: Array, size: Array) -> Array:
    """The unit of eigenvalues: the frequency of a pair, or, at a fold, how fast the field is around it."""
    x = event.flat
    if plane.is_map:
        return jnp.ones((), x.dtype)
    if kind == "hopf":
        return jnp.abs(jnp.imag(event.eigenvalue)).astype(x.dtype)
    first = jnp.asarray(event.value, x.dtype)
    _, matrix = jacobian(plane, x, first, second)
    pull = jax.jvp(lambda value: plane.residual(x, value, second), (first,), (jnp.ones_like(first),))[1]
    pace = jnp.sqrt(jnp.sum(matrix**2) + jnp.sum((pull * width / size) ** 2))
    return jnp.where(pace > 0, pace, 1)


def _pair(kind: str, event: Event, x: Array) -> Array:
    if kind == "hopf":
        return (jnp.imag(event.eigenvalue) ** 2).astype(x.dtype)
    if kind == "neimark-sacker":
        return (jnp.real(event.eigenvalue) / jnp.abs(event.eigenvalue)).astype(x.dtype)
    return jnp.zeros((), x.dtype)


def _result(system: EventSystem, ways: list[Walked]) -> EventCurve:
    stations, ended = ways[0].stations, (ways[0].ended, ways[0].ended)
    if len(ways) == 2:
        stations = [*reversed(ways[1].stations[1:]), *stations]
        ended = ways[1].ended, ways[0].ended
    seen = stacked(stations)
    states = jax.vmap(system.plane.at(seen.second[0]).state)(seen.x)
    angles = jax.vmap(lambda pair: angle_of(system, pair))(seen.pair)
    points = tuple(
        CurvePoint(
            each.name, seen.first[i], seen.second[i], jax.tree.map(lambda leaf, i=i: leaf[i], states), angles[i], i
        )
        for i, each in enumerate(stations)
        if each.name
    )
    return EventCurve(
        kind=system.kind,
        first=seen.first,
        second=seen.second,
        states=states,
        angles=angles,
        coefficients=_coefficients(system, seen, angles, stations),
        points=points,
        ended=ended,
        is_update=system.plane.is_map,
    )


def _coefficients(system: EventSystem, seen: Seen, angles: Array, stations: list[Station]) -> Array:
    """Normal forms along the curve; where the eigenvalue is double there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if system.kind == "fold":
            values = np.asarray(seen.bend) / (2 * np.asarray(seen.overlap))
        elif system.kind == "hopf":
            values = np.asarray(seen.cube) / np.asarray(angles)
        else:
            values = np.asarray(seen.cube)
    double = [each.name in ("bogdanov-takens", "1:1", "1:2") for each in stations]
    return jnp.asarray(np.where(double, np.nan, values))
