"""Closed curves of an update followed as a parameter turns: what `continue_cycle` does with `update=`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks
from ..._problem import state_of
from ..._types import Args, State
from ..arclength._corrector import Chart
from ..arclength._extended import pin
from ..arclength._motion import AbstractMotion, motion_of, restored
from ..continuation import Event
from ..cycles import PeriodicOrbit
from ._branch import ClosedCurveBranch, ClosedCurveEvent
from ._coordinates import around_curve, around_point, InCoordinates
from ._corrector import Change, Units
from ._inner_motion import Inner
from ._start import along_cycle, beside_point, corrected, from_state, jacobian_of_steps
from ._walk import Seen, seen, Settings, Walk, walk

# Multipliers up to here are within the unit circle, beyond rounding.
_WITHIN = 1 - 1e-9
_MOST_NUMBERS = 32
# Samples of a curve in a result, both ends included.
_SAMPLES = 577
# A Neimark-Sacker point is that of a curve if it is within this part of the range, and turns as fast up to this part.
_NEAR, _SAME_ROTATION = 0.1, 0.1
# The point may be outside of the range by this part of it.
_ROUNDING = 1e-9


def follow_closed_curve(
    family: Any, ends: np.ndarray, cycle: Any, update: Any, args: Args, size: Any, settings: Settings
) -> ClosedCurveBranch:
    """A closed curve of an update's steps along a parameter: see `continue_cycle`.

    Args:
        family: From the parameter to a field, or one field, if the parameter is the step size.
        ends: The two ends of the range.
        cycle: A Neimark-Sacker point, a flow's cycle, or a state that is drawn to the curve.
        update: The update, or the rule.
        args: Handed to the field.
        size: What is a large change of the state, or None.
        settings: How the branch is followed.

    Raises:
        ValueError: If no curve is found, or it is not one of the update.
    """
    like = _like(cycle)
    dtype = jnp.result_type(*jax.tree.leaves(like))
    value = jnp.asarray(ends[0], dtype)
    motion = motion_of(family, update, like, args, value)
    num = motion.flat(like, value).size
    if num < 2 or num > _MOST_NUMBERS:
        raise ValueError(
            f"`cycle` must be of 2 to {_MOST_NUMBERS} numbers, with the memory of the update, but has {num}: matrices "
            "are dense, and a curve goes around something."
        )
    units = Units(*(jnp.asarray(each, dtype) for each in (1.0, ends[0], ends[1] - ends[0])))
    if isinstance(cycle, Event):
        motion = _around(motion, cycle, size)
        found = _from_event(motion, units, cycle, settings)
    else:
        rows = _guess(motion, cycle, value)
        deviation = rows - np.mean(rows, axis=0)
        motion = around_curve(motion, rows, _unit(size, np.sqrt(np.mean(np.sum(deviation**2, axis=1)))))
        found = _from_guess(motion, units, rows, settings)
    return _result(motion, units, found, like, family, update, args)


def _like(cycle: Any) -> State:
    """A state of the curve."""
    if isinstance(cycle, PeriodicOrbit):
        if np.ndim(cycle.found) or not bool(cycle.found):
            raise ValueError(
                "`cycle` must be one cycle that was found, but is a batch, or its search found none: see its `outcome`."
            )
        return cycle.y
    if isinstance(cycle, Event):
        if np.ndim(cycle.code) or cycle.kind != "neimark-sacker":
            raise ValueError(
                f"`cycle` must be a Neimark-Sacker point where `update` is given, but is an event of kind "
                f"{cycle.kind!r}: take one of a branch of the update, `continue_equilibrium(..., update=)`."
            )
        return cycle.state
    return state_of(cycle)


def _unit(size: Any, usual: Any) -> float:
    return float(usual if size is None else _checks.positive("size", size, "Leave it out to have it chosen."))


def _around(motion: AbstractMotion, event: Event, size: Any) -> InCoordinates:
    """Coordinates around a Neimark-Sacker point."""
    x = jnp.asarray(event.flat)
    matrix = np.asarray(jacobian_of_steps(motion, x, event.value))
    unit = _unit(size, max(float(np.linalg.norm(np.asarray(x))), 1))
    return around_point(motion, np.asarray(x), matrix, _above(event), unit)


def _above(event: Event) -> complex:
    """The critical multiplier above the axis."""
    value = complex(np.asarray(event.eigenvalue))
    return value if value.imag > 0 else value.conjugate()


def _guess(motion: AbstractMotion, cycle: Any, value: Any) -> np.ndarray:
    """Flat states along the curve."""
    if isinstance(cycle, PeriodicOrbit):
        shares = np.asarray(cycle.orbit.ts) / float(cycle.period)
        return along_cycle(motion, value, cycle.orbit.ys, shares)
    rows = from_state(motion, motion.flat(state_of(cycle), value), value)
    if rows is None:
        raise ValueError(
            "`cycle` must be a state that the update draws to a closed curve at the first of `values`, but its steps "
            "do not stay, or do not go around: ask `analysis.classify(field, y, update=update)` what they do."
        )
    return rows


def _from_guess(motion: InCoordinates, units: Units, rows: np.ndarray, settings: Settings) -> Walk:
    dtype = motion.origin.dtype
    place = corrected(motion, units, Change(jnp.asarray(motion.coordinates(rows), dtype), jnp.asarray(0.0, dtype)))
    if place is None or not seen(place).inner.forward:
        raise ValueError(
            "`cycle` must be near a closed curve of the update's steps at the first of `values`, "
            f"{float(units.start):.6g}, but Newton's method finds none: start where the curve is smooth and attracts, "
            "from a state on it; of a flow's cycle at a smaller step size; or from a Neimark-Sacker point. Of a family "
            "of curves at one value, as where a quantity is conserved, none is singled out."
        )
    return walk(motion, units, seen(place), settings, lambda last: _point_near(motion, units, last))


def _from_event(motion: InCoordinates, units: Units, event: Event, settings: Settings) -> Walk:
    value, width = float(event.value), float(units.width)
    share = (value - float(units.start)) / width
    if not -_ROUNDING <= share <= 1 + _ROUNDING:
        raise ValueError(
            f"`values` must be a range that holds the Neimark-Sacker point, but it is at {value:.6g}: let the range "
            "begin there."
        )
    place = beside_point(motion, units, share)
    if place is None:
        raise ValueError(
            "`cycle` must be a Neimark-Sacker point from which closed curves begin, but none is found beside it: it "
            "may be degenerate, or strongly resonant."
        )
    beside = float(place.curve.share)
    if not 0 <= beside <= 1:
        side = "above" if (beside > share) == (width > 0) else "below"
        raise ValueError(
            f"`values` must reach to the side where the closed curves are, {side} the Neimark-Sacker point at "
            f"{value:.6g}: give a range that goes there."
        )
    angle = float(np.angle(_above(event)))
    first = seen(place, angle / (2 * np.pi))
    found = walk(motion, units, first, settings, lambda last: _point_near(motion, units, last))
    found.points.insert(0, _point(motion, first, np.asarray(event.flat), angle, share))
    return found


def _point(motion: InCoordinates, like: Seen, x: np.ndarray, angle: float, share: float) -> Seen:
    """A Neimark-Sacker point as a curve without a radius.

    Args:
        motion: The steps.
        like: The curve beside it.
        x: The point, a flat state.
        angle: Of the critical multiplier.
        share: The parameter, as a share of its range.
    """
    shape, dtype = np.shape(like.place.curve.rows), like.place.curve.rows.dtype
    curve = Change(jnp.asarray(np.broadcast_to(motion.coordinates(x), shape), dtype), jnp.asarray(share, dtype))
    rotation = angle / (2 * np.pi)
    rotation += round(like.inner.rotation - rotation)
    return Seen(_still(like, curve), Inner(rotation, 1.0, True, like.inner.density))


def _still(like: Seen, curve: Change) -> Any:
    zero = jnp.zeros_like(curve.share)
    return eqx.tree_at(lambda p: (p.curve, p.amplitude, p.residual), like.place, (curve, zero, zero))


def _point_near(motion: InCoordinates, units: Units, last: Seen) -> Seen | None:
    """The Neimark-Sacker point that a curve shrinks to, if there is one.

    It lies within the curve, and its multiplier turns as the curve's steps do.
    """
    amplitude, middle = float(last.place.amplitude), jnp.mean(last.place.curve.rows, axis=0)
    x = motion.origin + motion.axes @ middle
    chart = Chart(jnp.maximum(jnp.linalg.norm(x), 1), units.start, units.width)
    z = chart.coordinates(x, units.within(units.value(last.place.curve.share)))
    angle = float(np.angle(np.exp(2j * np.pi * last.inner.rotation)))
    pinned = pin(motion.motion, chart, "neimark-sacker", z, jnp.asarray(abs(angle), z.dtype))
    if not bool(pinned.ok):
        return None
    x, share = np.asarray(chart.flat(pinned.z)), float(pinned.z[-1])
    point = _point(motion, last, x, float(pinned.angle) * np.sign(angle), share)
    within = np.linalg.norm(motion.coordinates(x) - np.asarray(middle)) < amplitude
    near = abs(share - float(last.place.curve.share)) < _NEAR
    same = abs(point.inner.rotation / last.inner.rotation - 1) < _SAME_ROTATION
    return point if within and near and same else None


def _result(
    motion: InCoordinates, units: Units, found: Walk, like: State, family: Any, update: Any, args: Args
) -> ClosedCurveBranch:
    """In NumPy: branches of other lengths would be compiled each by itself."""
    points = found.points
    size = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(like))
    samples = np.stack([_samples(motion, point)[:, :size] for point in points])
    multipliers = np.array([point.inner.multiplier for point in points])
    stable = multipliers < _WITHIN
    # A Neimark-Sacker point is as stable as the curves beside it.
    if len(stable) > 1:
        for edge, beside in ((0, 1), (-1, -2)):
            stable[edge] = stable[beside] if not float(points[edge].place.amplitude) else stable[edge]
    dtype = points[0].place.curve.rows.dtype

    def column(of: Any) -> Any:
        return jnp.asarray(np.array([of(point) for point in points]), dtype)

    return ClosedCurveBranch(
        values=column(lambda point: _value(units, point)),
        rotations=column(lambda point: point.inner.rotation),
        states=restored(like, samples[:, 0]),
        orbits=restored(like, samples),
        multipliers=jnp.asarray(multipliers, dtype),
        stable=jnp.asarray(stable),
        harmonics=jnp.asarray(np.array([len(point.place.curve.rows) // 2 for point in points])),
        residuals=column(lambda point: float(point.place.residual)),
        events=tuple(_event(motion, units, kind, point, like, size) for kind, point in found.events),
        ended=found.ended,
        family=family,
        update=update,
        args=args,
    )


def _event(motion: InCoordinates, units: Units, kind: Any, point: Seen, like: State, size: int) -> ClosedCurveEvent:
    orbit = _samples(motion, point)[:, :size]
    return ClosedCurveEvent(
        kind=kind,
        value=jnp.asarray(_value(units, point)),
        rotation=jnp.asarray(point.inner.rotation),
        multiplier=jnp.asarray(point.inner.multiplier),
        state=restored(like, orbit[0]),
        orbit=restored(like, orbit),
    )


def _value(units: Units, point: Seen) -> float:
    # Within the range, as it was mapped.
    return float(units.within(units.value(point.place.curve.share)))


def _samples(motion: InCoordinates, point: Seen) -> np.ndarray:
    """Flat states at evenly spaced phases, from the curve's harmonics."""
    rows = np.asarray(point.place.curve.rows)
    coefficients = np.fft.rfft(rows, axis=0)
    harmonics = _SAMPLES // 2
    padded = np.zeros((harmonics + 1, rows.shape[1]), complex)
    padded[: len(coefficients)] = coefficients[: harmonics + 1]
    samples = np.fft.irfft(padded, _SAMPLES - 1, axis=0) * ((_SAMPLES - 1) / len(rows))
    return motion.states(np.concatenate([samples, samples[:1]])).astype(rows.dtype)
