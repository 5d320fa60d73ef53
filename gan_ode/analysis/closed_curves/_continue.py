"""Closed curves of an update followed as a parameter turns: what `continue_cycle` does with `update=`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ... import _checks
from ..._problem import state_of
from ..._types import Args, State
from ..arclength._motion import AbstractMotion, motion_of, OfSteps, restored
from ..continuation import Event, locate_event
from ..cycles import PeriodicOrbit
from ._branch import ClosedCurveBranch, ClosedCurveEvent
from ._corrector import Change, Units
from ._inner_motion import Inner
from ._start import along_cycle, beside_event, corrected, from_state
from ._walk import AT_NEIMARK_SACKER, Seen, seen, Settings, SHORT_STEP, Walk, walk

# Multipliers up to here are within the unit circle, beyond rounding.
_WITHIN = 1 - 1e-9
_MOST_NUMBERS = 32
# Samples of a curve in a result, both ends included.
_SAMPLES = 321
# Of a curve that was lost with such a radius it is asked whether a Neimark-Sacker point is near; that is one of the
# curve if its rotation is the curve's up to this part.
_SMALL, _SAME_ROTATION = 1e-2, 0.1
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
    if isinstance(cycle, Event):
        units = _units(ends, size, max(float(np.linalg.norm(np.asarray(cycle.flat))), 1), dtype)
        found = _from_event(motion, units, cycle, settings)
    else:
        guess = _guess(motion, cycle, value)
        deviation = np.asarray(guess.rows) - np.mean(np.asarray(guess.rows), axis=0)
        units = _units(ends, size, float(np.sqrt(np.mean(np.sum(deviation**2, axis=1)))), dtype)
        found = _from_guess(motion, units, guess, settings)
    _end_at_point(motion, units, found, family, update, args)
    return _result(motion, units, found, family, update, args)


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


def _units(ends: np.ndarray, size: Any, usual: float, dtype: Any) -> Units:
    unit = usual if size is None else float(_checks.positive("size", size, "Leave it out to have it chosen."))
    return Units(*(jnp.asarray(each, dtype) for each in (unit, ends[0], ends[1] - ends[0])))


def _guess(motion: AbstractMotion, cycle: Any, value: Any) -> Change:
    if isinstance(cycle, PeriodicOrbit):
        shares = np.asarray(cycle.orbit.ts) / float(cycle.period)
        return along_cycle(motion, value, cycle.orbit.ys, shares)
    guess = from_state(motion, motion.flat(state_of(cycle), value), value)
    if guess is None:
        raise ValueError(
            "`cycle` must be a state that the update draws to a closed curve at the first of `values`, but its steps "
            "do not stay, or do not go around: ask `analysis.classify(field, y, update=update)` what they do."
        )
    return guess


def _from_guess(motion: AbstractMotion, units: Units, guess: Change, settings: Settings) -> Walk:
    place = corrected(motion, units, guess)
    if place is None or not seen(place).inner.forward:
        raise ValueError(
            "`cycle` must be near a closed curve of the update's steps at the first of `values`, "
            f"{float(units.start):.6g}, but Newton's method finds none: start where the curve is smooth and attracts, "
            "from a state on it; of a flow's cycle at a smaller step size; or from a Neimark-Sacker point. Of a family "
            "of curves at one value, as where a quantity is conserved, none is singled out."
        )
    first = seen(place)
    # It is followed to where the parameter goes from the first value to the second.
    return walk(motion, units, first, settings)


def _from_event(motion: AbstractMotion, units: Units, event: Event, settings: Settings) -> Walk:
    value, width = float(event.value), float(units.width)
    share = (value - float(units.start)) / width
    if not -_ROUNDING <= share <= 1 + _ROUNDING:
        raise ValueError(
            f"`values` must be a range that holds the Neimark-Sacker point, but it is at {value:.6g}: let the range "
            "begin there."
        )
    place = beside_event(motion, units, event, share)
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
    rotation = abs(float(np.angle(np.asarray(event.eigenvalue)))) / (2 * np.pi)
    found = walk(motion, units, seen(place, rotation), settings)
    found.points.insert(0, _point(found.points[0], event, share))
    return found


def _point(like: Seen, event: Event, share: float) -> Seen:
    """A Neimark-Sacker point as a curve without a radius."""
    rows = np.broadcast_to(np.asarray(event.flat), np.shape(like.place.curve.rows))
    dtype = like.place.curve.rows.dtype
    curve = Change(jnp.asarray(rows, dtype), jnp.asarray(share, dtype))
    rotation = abs(float(np.angle(np.asarray(event.eigenvalue)))) / (2 * np.pi)
    rotation += round(like.inner.rotation - rotation)
    return Seen(_still(like, curve), Inner(rotation, 1.0, True))


def _still(like: Seen, curve: Change) -> Any:
    zero = jnp.zeros_like(curve.share)
    return eqx.tree_at(lambda p: (p.curve, p.amplitude, p.residual), like.place, (curve, zero, zero))


def _end_at_point(motion: AbstractMotion, units: Units, found: Walk, family: Any, update: Any, args: Args) -> None:
    """Adds the Neimark-Sacker point to a branch that has come to one."""
    last = found.points[-1]
    small = float(last.place.amplitude) < _SMALL * float(units.size)
    if found.ended != AT_NEIMARK_SACKER and not (found.ended == SHORT_STEP and small and len(found.points) > 2):
        return
    mean = motion.state(jnp.mean(last.place.curve.rows, axis=0))
    value = float(units.value(last.place.curve.share))
    try:
        event = locate_event("neimark-sacker", family, value, mean, update=update, args=args)
    except ValueError:
        return
    share = (float(event.value) - float(units.start)) / float(units.width)
    point = _point(last, event, share)
    if abs(point.inner.rotation / last.inner.rotation - 1) > _SAME_ROTATION:
        return
    found.ended = AT_NEIMARK_SACKER
    found.points.append(point)


def _result(
    motion: AbstractMotion, units: Units, found: Walk, family: Any, update: Any, args: Args
) -> ClosedCurveBranch:
    """In NumPy: branches of other lengths would be compiled each by itself."""
    points, like = found.points, motion.like if isinstance(motion, OfSteps) else None
    size = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(like))
    samples = np.stack([_samples(point)[:, :size] for point in points])
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
        events=tuple(_event(units, kind, point, like, size) for kind, point in found.events),
        ended=found.ended,
        family=family,
        update=update,
        args=args,
    )


def _event(units: Units, kind: Any, point: Seen, like: State, size: int) -> ClosedCurveEvent:
    orbit = _samples(point)[:, :size]
    return ClosedCurveEvent(
        kind=kind,
        value=jnp.asarray(_value(units, point)),
        rotation=jnp.asarray(point.inner.rotation),
        multiplier=jnp.asarray(point.inner.multiplier),
        state=restored(like, orbit[0]),
        orbit=restored(like, orbit),
    )


def _value(units: Units, point: Seen) -> float:
    return float(units.start) + float(units.width) * float(point.place.curve.share)


def _samples(point: Seen) -> np.ndarray:
    """Flat states at evenly spaced phases, from the curve's harmonics."""
    rows = np.asarray(point.place.curve.rows)
    coefficients = np.fft.rfft(rows, axis=0)
    harmonics = _SAMPLES // 2
    padded = np.zeros((harmonics + 1, rows.shape[1]), complex)
    padded[: len(coefficients)] = coefficients[: harmonics + 1]
    samples = np.fft.irfft(padded, _SAMPLES - 1, axis=0) * ((_SAMPLES - 1) / len(rows))
    return np.concatenate([samples, samples[:1]]).astype(rows.dtype)
