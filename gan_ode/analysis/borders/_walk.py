"""A curve of events followed step by step, with the degenerate points on it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._lowering import jit_quickly
from ..arclength._bordered import FLAT
from ..arclength._corrector import Chart, FINEST, linearized
from ._codimension_two import is_of_its_kind, numbers, share_of_zero
from ._seen import look, Seen, signed
from ._system import EventSystem

_FIRST, _SHORTEST = 3e-3, 1e-8
# Newton's method: how many steps, and how long the first is where its convergence is judged.
_MOST_STEPS, _ROUGH = 10, 1e-7
_GROWS, _SHRINKS = 1.6, 0.3
# The angle between two tangents and the contraction of Newton's method: what a step aims at, and the most.
_ANGLE, _CONTRACTION = (0.1, 0.35), (0.05, 0.5)
# The part of the way up to where a pair becomes real.
_JUST_BEFORE = 0.999
# So far from the event that it starts at may the curve be.
_NEAR = 0.02
# Where the equations are singular, by the least of their singular values beside the largest, more curves meet.
_SINGULAR = 1e-10
# A state larger than this many sizes has left.
_LARGEST = 1e4


@dataclasses.dataclass(frozen=True)
class Station:
    """A point of the curve.

    Attributes:
        z: Its coordinates.
        tangent: The curve's unit tangent.
        seen: What was looked at.
        share: Between the neighbors, for a point that was found between them.
        name: What is degenerate there; empty where nothing is.
    """

    z: np.ndarray
    tangent: np.ndarray
    seen: Seen
    share: float = 0.0
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Walked:
    """One way along the curve from its start.

    Attributes:
        stations: All points, those that are degenerate among them.
        ended: Why it ended.
    """

    stations: list[Station]
    ended: str


@dataclasses.dataclass(frozen=True)
class _Found:
    """What Newton's method ended at.

    Attributes:
        z: The point.
        tangent: The unit tangent on the side of the border.
        slope: The derivative of the equations.
        ok: Whether it converged.
        contraction: By how much its second step was shorter than the first.
    """

    z: np.ndarray
    tangent: np.ndarray
    slope: np.ndarray
    ok: bool
    contraction: float


@jit_quickly
def _linearized(system: EventSystem, chart: Chart, z: Array) -> tuple[Array, Array]:
    return linearized(system, chart, z)


def _point(system: EventSystem, chart: Chart, guess: np.ndarray, border: np.ndarray) -> _Found:
    """The curve's point in the hyperplane through a guess, across a unit vector."""
    z, slope, shift, contraction, ok = guess, np.full((guess.size - 1, guess.size), np.nan), np.inf, 0.0, False
    enough, rounding = FINEST[max(guess.dtype.itemsize, 4)], 4 * np.finfo(guess.dtype).eps
    for count in range(_MOST_STEPS):
        residual, slope = map(np.asarray, _linearized(system, chart, jnp.asarray(z)))
        right = np.append(residual, border @ (z - guess))
        if not (np.all(np.isfinite(right)) and np.all(np.isfinite(slope))):
            break
        change = _solved(np.vstack([slope, border]), right)
        last, shift = shift, float(np.linalg.norm(change))
        # Of steps that are rounding nothing is learned.
        contraction = shift / last if count == 1 and last > _ROUGH * (1 + np.linalg.norm(z)) else contraction
        z, ok = z - change, shift <= enough * (1 + np.linalg.norm(z))
        # What does not shrink any more near the goal has come to rounding.
        stuck = count > 0 and shift > 0.7 * last
        if ok or stuck:
            ok = ok or shift <= np.sqrt(rounding) * (1 + float(np.linalg.norm(z)))
            break
    if not np.all(np.isfinite(slope)):
        return _Found(z, border, slope, False, np.inf)
    return _Found(z, _tangent(slope, border), slope, bool(ok), contraction)


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The shortest solution, which leaves a continuum of equilibria alone."""
    return np.linalg.lstsq(matrix, right, rcond=FLAT[max(matrix.dtype.itemsize, 4)])[0]


def _tangent(slope: np.ndarray, border: np.ndarray) -> np.ndarray:
    aim = np.zeros(border.size, border.dtype)
    aim[-1] = 1
    tangent = border + _solved(np.vstack([slope, border]), aim - np.vstack([slope, border]) @ border)
    return tangent / (np.linalg.norm(tangent) or 1)


def start(system: EventSystem, chart: Chart, z: np.ndarray) -> Station | None:
    """The curve's point near a guess, and its tangent there to one side; None if there is no such curve."""
    near = _NEAR * (1 + float(np.linalg.norm(z)))
    # At one value of the second parameter, or, where the curve turns there, of the first.
    for place in reversed(_places(system)):
        point = _point(system, chart, z, _along(z, place))
        if point.ok and float(np.linalg.norm(point.z - z)) <= near:
            # Not the point's own tangent: all of the curve may lie at that value.
            _, sizes, rights = np.linalg.svd(point.slope)
            if sizes[-1] <= _SINGULAR * sizes[0]:
                return None
            return _station(system, chart, point.z, _to_larger_first(system, rights[-1]), None)
    return None


def _to_larger_first(system: EventSystem, tangent: np.ndarray) -> np.ndarray:
    """The direction along which the first parameter rises, or where it rests the second."""
    first, second = (tangent[place] for place in _places(system))
    rises = first * float(system.width) if abs(first) > 1e-9 else second
    return -tangent if rises < 0 else tangent


def walk(system: EventSystem, chart: Chart, first: Station, forward: bool, longest: float, max_points: int) -> Walked:
    """From the start to one side, until a range ends or something else ends the curve.

    Args:
        system: The equations.
        chart: The coordinates: the second parameter by its range.
        first: The start.
        forward: To which side.
        longest: The longest step, in units of the ranges or of the state's size.
        max_points: Most points.
    """
    here = first if forward else dataclasses.replace(first, tangent=-first.tangent)
    stations, step = [here], min(_FIRST, longest)
    while len(stations) < max_points:
        # States and frequencies that grow large are followed in steps that grow with them.
        reach = step * max(1.0, float(np.linalg.norm(here.z)))
        guess = here.z + reach * here.tangent
        found = _point(system, chart, guess, here.tangent)
        good, factor = _judged(here, found, reach)
        if not good:
            step *= _SHRINKS
            if step < _SHORTEST:
                return Walked(stations, "step too small")
            continue
        there = _station(system, chart, found.z, found.tangent, here.seen)
        last = _at_border(system, chart, here, there)
        between = _degenerate(system, chart, here, there if last is None else last)
        end = next((i for i, each in enumerate(between) if _ends(system, each.name)), None)
        if end is not None:
            return Walked([*stations, *between[: end + 1]], between[end].name)
        stations += between
        if last is not None:
            return Walked([*stations, last], "end of range")
        stations.append(there)
        if np.linalg.norm(there.z) > _LARGEST:
            return Walked(stations, "left the domain")
        back = np.linalg.norm(there.z - first.z)
        if len(stations) > 5 and back <= 0.75 * reach and there.tangent @ stations[0].tangent > 0.5:
            # Back to where it began, with its vectors to the side that they have come to.
            begin = dataclasses.replace(stations[0], seen=signed(stations[0].seen, there.seen))
            return Walked([*stations, *_degenerate(system, chart, there, begin), begin], "closed loop")
        here, step = there, min(step * factor, longest)
    return Walked(stations, "number of points")


def _station(system: EventSystem, chart: Chart, z: np.ndarray, tangent: np.ndarray, before: Seen | None) -> Station:
    return Station(z, tangent, signed(look(system, chart, jnp.asarray(z)), before))


def _judged(here: Station, there: _Found, reach: float) -> tuple[bool, float]:
    """Whether a step is good enough to keep, and by what to multiply the next."""
    angle = float(np.arccos(np.clip(here.tangent @ there.tangent, -1, 1)))
    off = float(np.linalg.norm(there.z - here.z - reach * here.tangent))
    good = there.ok and angle <= _ANGLE[1] and there.contraction <= _CONTRACTION[1] and off <= 0.5 * reach
    factor = min(_GROWS, _ANGLE[0] / max(angle, 1e-9), (_CONTRACTION[0] / max(there.contraction, 1e-9)) ** 0.5)
    return good, max(factor, _SHRINKS)


def _places(system: EventSystem) -> tuple[int, int]:
    """Where the first and the second parameter stand among the coordinates, from the end."""
    return (-3 if system.has_pair else -2), -1


def _along(z: np.ndarray, place: int) -> np.ndarray:
    """The unit vector of one coordinate."""
    axis = np.zeros_like(z)
    axis[place] = 1
    return axis


def _at_border(system: EventSystem, chart: Chart, here: Station, there: Station) -> Station | None:
    """Where the curve leaves the ranges between two points, if it does."""
    crossings = []
    for place in _places(system):
        low, high = here.z[place], there.z[place]
        for border in (0.0, 1.0):
            outside = high < border if border == 0 else high > border
            if outside and low != high:
                crossings.append(((border - low) / (high - low), place, border))
    if not crossings:
        return None
    share, place, border = min(crossings)
    guess = here.z + max(share, 0.0) * (there.z - here.z)
    guess[place] = border
    found = _point(system, chart, guess, _along(guess, place) * np.sign(there.z[place] - here.z[place]))
    if not found.ok:
        return there
    return _station(system, chart, found.z, found.tangent, here.seen)


def _degenerate(system: EventSystem, chart: Chart, here: Station, there: Station) -> list[Station]:
    """The degenerate points between two neighbors, in their order."""
    before, after = numbers(system, here.seen), numbers(system, there.seen)
    chord = there.z - here.z
    length = np.linalg.norm(chord)
    if length == 0:
        return []

    def at(share: float) -> Station:
        found = _point(system, chart, here.z + share * chord, chord / length)
        z = found.z if found.ok else np.full_like(found.z, np.nan)
        return _station(system, chart, z, found.tangent, here.seen)

    def zero(name: str, end: float, at_end: float) -> Station | None:
        if not before[name] * at_end < 0:
            return None
        share = share_of_zero(lambda part: numbers(system, at(part * end).seen)[name], before[name], at_end)
        if share is None:
            return None
        station = at(share * end)
        if not is_of_its_kind(system, name, station.seen):
            return None
        return dataclasses.replace(station, share=share * end, name=name)

    names = [name for name in before if name in after]
    last = [zero(name, 1.0, after[name]) for name in names if _ends(system, name)]
    found, end = [each for each in last if each is not None], 1.0
    if found:
        # Beyond that there is no pair, and its coefficients are no numbers to compare with.
        end = _JUST_BEFORE * found[0].share
        after = numbers(system, at(end).seen)
    found += [zero(name, end, after[name]) for name in names if not _ends(system, name)]
    return sorted((each for each in found if each is not None), key=lambda each: each.share)


def _ends(system: EventSystem, name: str) -> bool:
    """Whether a pair becomes real there, so that beyond it nothing happens any more."""
    return (system.kind, name) in {
        ("hopf", "bogdanov-takens"),
        ("neimark-sacker", "1:1"),
        ("neimark-sacker", "1:2"),
    }


def stacked(stations: list[Station]) -> Seen:
    """What was seen at all points, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *(each.seen for each in stations))
