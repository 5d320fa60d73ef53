"""The walk along a branch of closed curves: steps, what happens on the way, and what ends it."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..arclength._between import zero_between
from ..arclength._motion import AbstractMotion
from ._branch import ClosedCurveEventKind
from ._corrector import Change, follow, Place, Units
from ._fourier import nodes, weights_at
from ._inner_motion import Inner, inner_motion

END_OF_RANGE = "end of range"
AT_NEIMARK_SACKER = "a Neimark-Sacker point"
BROKEN = "breaks or locks"
FAMILY = "a family of curves at one value"
SHORT_STEP, OUTSIDE = "step too small", "left the domain"
MANY_POINTS, MANY_FOLDS = "number of points", "fold count"

# Harmonics of a curve; the next number is taken where it is not mapped to itself between its nodes to this part of its
# radius. Of the last number more is borne before the curve counts as broken. Matrices of more numbers are too large.
HARMONICS = 32, 64, 128, 256
_LARGEST = 1000
_EXACT, _BORNE = {4: 3e-5, 8: 1e-9}, {4: 1e-3, 8: 1e-6}
# The first step, and the shortest; that of curves that become rough.
_FIRST, _SHORTEST, _SHORTEST_OF_ROUGH = 1e-2, 1e-6, 1e-3
# What a step aims at and what it must not pass: the angle between two tangents, in radians; Newton's contraction.
_ANGLE, _CONTRACTION = (0.2, 0.5), (0.1, 0.5)
_GROWS, _SHRINKS = 1.6, 0.4
# A curve that is so many times smaller than the one before is too far away from it.
_SHRUNK = 0.2
# A curve that is so many times smaller than another one of its branch, and still shrinks, may come to a point.
_TINY = 0.15
# The parameter of a family of curves at one value moves by less than this part of its range.
_SAME = 1e-9
# Turns in a step whose resonance is strong.
_STRONG = (0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1.0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a branch is followed.

    Attributes:
        longest: The longest step, in units of the range or of the state's size.
        max_points: Most points.
        max_folds: Most folds.
    """

    longest: float
    max_points: int
    max_folds: int


@dataclasses.dataclass(frozen=True)
class Seen:
    """A point of a branch, and the motion on it.

    Attributes:
        place: The point.
        inner: The motion; its rotation is the one of those that are alike up to whole turns that is nearest to that of
            the point before.
    """

    place: Place
    inner: Inner

    @property
    def ok(self) -> bool:
        return bool(self.place.ok)


@dataclasses.dataclass
class Walk:
    """What was found.

    Attributes:
        points: The points.
        events: What happened on the way, and the curve there.
        ended: Why it ended.
    """

    points: list[Seen]
    events: list[tuple[ClosedCurveEventKind, Seen]]
    ended: str


def seen(place: Place, rotation: float | None = None) -> Seen:
    """A point with its motion.

    Args:
        place: The point.
        rotation: The rotation of a curve near by.
    """
    finite = bool(place.ok) and all(np.all(np.isfinite(each)) for each in (place.images, place.jacobians))
    inner = inner_motion(place) if finite else Inner(np.nan, np.nan, False, np.ones(0))
    turns = 0 if rotation is None or not np.isfinite(inner.rotation) else round(rotation - inner.rotation)
    return Seen(place, dataclasses.replace(inner, rotation=inner.rotation + turns))


def resolved(motion: AbstractMotion, units: Units, place: Place) -> Place:
    """The same with as many harmonics as it needs, or with the most."""
    exact = _EXACT[max(place.curve.rows.dtype.itemsize, 4)]
    others = place.curve.rows.shape[1] - 1
    while float(place.residual) > exact:
        more = next((each for each in HARMONICS if 2 * each + 1 > len(place.curve.rows)), None)
        if more is None or (2 * more + 1) * others > _LARGEST:
            break
        curve, tangent = (with_nodes(each, 2 * more + 1) for each in (place.curve, place.tangent))
        still = jnp.ones(len(curve.rows), curve.rows.dtype)
        finer = follow(motion, units, curve, tangent, still, jnp.zeros_like(curve.share), tangent)
        if not bool(finer.ok):
            break
        # The curve before is the same one.
        place = eqx.tree_at(lambda p: (p.overlap, p.turned, p.contraction), finer, _told(place))
    return place


def _told(place: Place) -> tuple[Array, Array, Array]:
    return place.overlap, place.turned, place.contraction


def with_nodes(change: Change, num: int) -> Change:
    """A curve, or a change of one, at another number of nodes."""
    weights = weights_at(jnp.asarray(nodes(num), change.rows.dtype), len(change.rows))
    return Change(weights @ change.rows, change.share)


def walk(
    motion: AbstractMotion, units: Units, first: Seen, settings: Settings, point_near: Callable[[Seen], Seen | None]
) -> Walk:
    """Follows a branch from its first curve along the tangent there.

    Args:
        motion: The steps.
        units: The units.
        first: The first curve.
        settings: How the branch is followed.
        point_near: The Neimark-Sacker point that a small curve shrinks to, if there is one.
    """
    found = Walk([first], [], "")
    step = min(_FIRST, settings.longest)
    while not found.ended:
        here = found.points[-1]
        point = point_near(here) if _shrinks_away(found) else None
        if point is not None:
            found.points.append(point)
            found.ended = AT_NEIMARK_SACKER
            break
        reach = step * max(1.0, float(here.place.amplitude) / float(units.size))
        look = _looking(motion, units, here, reach)
        there = look(reach)
        small = float(here.place.amplitude) < 2 * reach * float(units.size)
        if there.ok and float(there.place.overlap) < 0 and small:
            found.ended = AT_NEIMARK_SACKER
            break
        factor = _judged(here, there)
        if factor is None:
            step *= _SHRINKS
            found.ended = _gave_up(here, there, step)
            continue
        _take(motion, units, found, there, reach, look)
        found.ended = found.ended or _ended(found, settings)
        step = min(step * factor, settings.longest)
    return found


def _shrinks_away(found: Walk) -> bool:
    """Whether the last curve is far smaller than one before, and becomes smaller still."""
    place = found.points[-1].place
    largest = max(float(point.place.amplitude) for point in found.points)
    rows = np.asarray(place.curve.rows)
    grows = np.sum((rows - rows.mean(axis=0)) * np.asarray(place.tangent.rows))
    return bool(grows < 0) and float(place.amplitude) < _TINY * largest


def _looking(motion: AbstractMotion, units: Units, here: Seen, reach: float) -> Callable[[float], Seen]:
    """From a part of a step to the point there; each is looked at once."""
    known: dict[float, Seen] = {}
    curve, tangent = here.place.curve, here.place.tangent
    density = jnp.asarray(here.inner.density, curve.rows.dtype)

    def look(way: float) -> Seen:
        if way not in known:
            place = follow(motion, units, curve, tangent, density, jnp.asarray(way, curve.rows.dtype), tangent)
            place = resolved(motion, units, place) if way == reach and bool(place.ok) else place
            known[way] = seen(place, here.inner.rotation)
        return known[way]

    return look


def _gave_up(here: Seen, there: Seen, step: float) -> str:
    """Why a branch ends whose steps become short; nothing if it goes on."""
    itemsize = max(here.place.curve.rows.dtype.itemsize, 4)
    rough = float(here.place.residual) > _EXACT[itemsize] or _is_rough(there)
    if step < (_SHORTEST_OF_ROUGH if rough else _SHORTEST):
        return BROKEN if rough else OUTSIDE if not bool(there.place.finite) else SHORT_STEP
    return ""


def _is_rough(point: Seen) -> bool:
    """Whether a curve is not mapped to itself between its nodes, though it has the most harmonics."""
    return point.ok and float(point.place.residual) > _BORNE[max(point.place.curve.rows.dtype.itemsize, 4)]


def _judged(here: Seen, there: Seen) -> float | None:
    """By what the step grows; None if it was too long."""
    place = there.place
    shrunk = float(place.amplitude) < _SHRUNK * float(here.place.amplitude)
    if not there.ok or shrunk or not there.inner.forward or _is_rough(there):
        return None
    angle, contraction = float(np.arccos(np.clip(float(place.turned), -1, 1))), float(place.contraction)
    if angle > _ANGLE[1] or contraction > _CONTRACTION[1]:
        return None
    aims = (_ANGLE[0] / max(angle, 1e-6), np.sqrt(_CONTRACTION[0] / max(contraction, 1e-6)))
    return float(np.clip(min(aims), _SHRINKS, _GROWS))


def _turning(point: Seen) -> float:
    return float(point.place.tangent.share)


def _attraction(point: Seen) -> float:
    return float(np.log(point.inner.multiplier))


def _crossings(before: Seen, after: Seen) -> list[tuple[ClosedCurveEventKind, Callable[[Seen], float]]]:
    """What lies between two curves, and what passes zero there."""
    found: list[tuple[ClosedCurveEventKind, Callable[[Seen], float]]] = []
    if _turning(before) * _turning(after) < 0:
        found.append(("fold of curves", _turning))
    elif _attraction(before) * _attraction(after) < 0:
        found.append(("change of attraction", _attraction))
    for ratio in _STRONG:
        # A curve that is locked stays at a ratio: it is reached once, and left on the other side or not at all.
        sides = before.inner.rotation - ratio, after.inner.rotation - ratio
        if sides[0] * sides[1] < 0:
            found.append(("strong resonance", lambda point, ratio=ratio: point.inner.rotation - ratio))
    return found


def _take(
    motion: AbstractMotion, units: Units, found: Walk, there: Seen, reach: float, look: Callable[[float], Seen]
) -> None:
    """Adds a curve with what happened on the way to it, up to where the parameter leaves its range."""
    here, last = found.points[-1], reach
    share = float(there.place.curve.share)
    if share <= 0 if share < 0.5 else share >= 1:
        border = 0.0 if share < 0.5 else 1.0
        end = zero_between(look, reach, lambda point: float(point.place.curve.share) - border)
        if end is not None:
            # It lies there to rounding.
            last, there = end
            place = resolved(motion, units, there.place)
            place = eqx.tree_at(lambda p: p.curve.share, place, jnp.asarray(border, place.curve.rows.dtype))
            there = seen(place, here.inner.rotation)
        found.ended = END_OF_RANGE
    places = []
    for kind, number in _crossings(here, there):
        place = zero_between(look, last, number)
        if place is not None:
            places.append((*place, kind))
    found.events += [(kind, point) for _, point, kind in sorted(places, key=lambda place: place[0])]
    found.points.append(there)


def _ended(found: Walk, settings: Settings) -> str:
    shares = [float(point.place.curve.share) for point in found.points[1:]]
    if len(shares) > 3 and np.ptp(shares) < _SAME:
        return FAMILY
    if sum(kind == "fold of curves" for kind, _ in found.events) > settings.max_folds:
        return MANY_FOLDS
    return MANY_POINTS if len(found.points) >= settings.max_points else ""
