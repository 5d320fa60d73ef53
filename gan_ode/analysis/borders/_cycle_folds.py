"""Folds of cycles in the plane of two parameters, up to where the cycle shrinks to a Hopf point."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ..._types import Args, State
from ..arclength._motion import OfFields
from ..continuation import locate_event
from ..cycle_branches import CycleEvent
from ..cycle_branches._locate import samples_of, system_of
from ..cycle_branches._start import from_samples
from ._curve import CurvePoint, EventCurve
from ._cycle_walk import SMALL, start, Station, walk, Walked
from ._plane import With

# The generalized Hopf point where the curve ends is as near as this to its last point in shares of the ranges, and has
# the cycle's frequency up to this part.
_BESIDE, _SAME_FREQUENCY = 0.1, 0.1
_GENERALIZED_HOPF = "generalized hopf"


class AlongBoth(eqx.Module):
    """The velocity by a flat state and a vector of two parameters.

    Attributes:
        family: From both parameters to a field.
        like: A state of the shapes.
        args: Handed to the field.
    """

    family: Callable[[Any, Any], Any]
    like: State
    args: Args

    def __call__(self, x: Array, parameters: Array) -> Array:
        first, second = parameters
        return OfFields(family=With(self.family, second), like=self.like, args=self.args).residual(x, first)


class _ByShare(eqx.Module):
    """A family by the share of its parameter's range: what is far from an event is told by that.

    Attributes:
        family: From the parameter to a field.
        start: Where the parameter is at 0.
        width: How long its range is.
    """

    family: Callable[[Any], Any]
    start: Array
    width: Array

    def __call__(self, share: Any) -> Any:
        return self.family(self.start + self.width * share)


class Border(eqx.Module):
    """What a curve of folds of cycles is followed in.

    Attributes:
        velocity: The fields.
        ranges: Both ends of the range of either parameter.
        at: The second parameter's value at which the event was found.
        intervals: Intervals of a cycle's mesh.
    """

    velocity: AlongBoth
    ranges: tuple[Array, Array]
    at: Array
    intervals: int = eqx.field(static=True)

    def values(self, station: Station) -> np.ndarray:
        """Both parameters at a point."""
        return np.asarray(station.system.parameters(station.system.unknowns(station.point.z)))


def folds_of_cycles(
    border: Border, event: CycleEvent, longest: float, max_points: int, hopf_curve: Callable[..., EventCurve]
) -> EventCurve | None:
    """The curve of folds of cycles through an event; None if there is none.

    Args:
        border: What it is followed in.
        event: A fold of cycles in the first parameter.
        longest: The longest step.
        max_points: Most points to either side.
        hopf_curve: `continue_event`, for the curve of Hopf points that it may end on.
    """
    shares, rows = samples_of(event)
    along_first = OfFields(
        family=With(border.velocity.family, border.at), like=border.velocity.like, args=border.velocity.args
    )
    guess = from_samples(along_first, shares, rows, float(event.period), border.intervals)
    ranges = [(float(ends[0]), float(ends[1] - ends[0])) for ends in border.ranges]
    system = system_of(border.velocity, event, guess.mesh, guess.path, ranges)
    here = [(value - low) / width for value, (low, width) in zip((event.value, border.at), ranges, strict=True)]
    system = eqx.tree_at(lambda s: s.near.shares, system, jnp.stack(here).astype(system.near.x.dtype))
    begin = start(system)
    if begin is None:
        return None
    # So that the first parameter rises.
    side = 1.0 if float(begin.point.tangent[-2]) * ranges[0][1] >= 0 else -1.0
    ways, ends = [], []
    for sign in (side, -side):
        way = walk(begin, sign, longest, max_points)
        end = _end(border, way, hopf_curve) if way.ended == SMALL else None
        ended = _GENERALIZED_HOPF if end is not None else "step too small" if way.ended == SMALL else way.ended
        ways.append(Walked(way.stations, ended))
        ends.append(end)
    return _result(border, ways, ends)


def _end(border: Border, way: Walked, hopf_curve: Callable[..., EventCurve]) -> CurvePoint | None:
    """The generalized Hopf point to which the cycle shrinks, on the curve of Hopf points beside it; None without it."""
    last, of = way.stations[-1], border.velocity
    at = last.system.unknowns(last.point.z)
    first, second = border.values(last)
    mean = ravel_pytree(of.like)[1](last.system.size * jnp.mean(at.x, axis=0))
    windows = [
        value + _BESIDE * np.abs(np.subtract(*ends)) * np.array([-1, 1])
        for value, ends in zip((first, second), border.ranges, strict=True)
    ]
    width = border.ranges[0][1] - border.ranges[0][0]
    beside = _ByShare(With(of.family, jnp.asarray(second)), jnp.asarray(first), width)
    try:
        hopf = locate_event("hopf", beside, 0.0, mean, args=of.args)
        hopf = eqx.tree_at(lambda event: event.value, hopf, first + width * hopf.value)
        curve = hopf_curve(of.family, hopf, *map(jnp.asarray, windows), at=second, args=of.args)
    except ValueError:
        return None
    frequency = 2 * np.pi / float(jnp.exp(at.log_period))
    degenerate = [
        point
        for point in curve.points
        if point.kind == _GENERALIZED_HOPF and abs(float(point.angle) / frequency - 1) <= _SAME_FREQUENCY
    ]

    def far(point: CurvePoint) -> float:
        return float(np.hypot(point.first - first, point.second - second))

    return min(degenerate, key=far, default=None)


class _Row(NamedTuple):
    """A point of the curve: both parameters, a flat state, the frequency, the coefficient, and what is degenerate."""

    first: float
    second: float
    flat: np.ndarray
    angle: float
    coefficient: float
    name: str


def _row(border: Border, station: Station) -> _Row:
    at = station.system.unknowns(station.point.z)
    flat, angle = np.asarray(station.system.size * at.x[0]), 2 * np.pi / float(jnp.exp(at.log_period))
    first, second = map(float, border.values(station))
    return _Row(first, second, flat, angle, float(station.point.bend) / 2, station.name)


def _row_of_end(end: CurvePoint) -> _Row:
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(end.state)])
    return _Row(float(end.first), float(end.second), flat, float(end.angle), np.nan, end.kind)


def _result(border: Border, ways: list[Walked], ends: list[CurvePoint | None]) -> EventCurve:
    there, back = (
        [*map(functools.partial(_row, border), way.stations), *([] if end is None else [_row_of_end(end)])]
        for way, end in zip(ways, ends, strict=True)
    )
    rows = [*reversed(back[1:]), *there]
    first, second, flats, angles, coefficients = (
        jnp.asarray(np.stack(column), ways[0].stations[0].point.z.dtype)
        for column in list(zip(*rows, strict=True))[:-1]
    )
    states = jax.vmap(ravel_pytree(border.velocity.like)[1])(flats)
    points = tuple(
        CurvePoint(row.name, first[i], second[i], jax.tree.map(lambda leaf, i=i: leaf[i], states), angles[i], i)
        for i, row in enumerate(rows)
        if row.name
    )
    return EventCurve(
        kind="fold of cycles",
        first=first,
        second=second,
        states=states,
        angles=angles,
        coefficients=coefficients,
        points=points,
        ended=(ways[1].ended, ways[0].ended),
        is_update=False,
    )
