"""The verdict that an orbit's motion and the linear part of its equilibrium support together."""

import dataclasses
import math
from typing import Literal, TypeAlias

import numpy as np

from ._motion import Motion
from ._types_of_equilibria import equilibrium_type
from ._verdict import Kind

Linear: TypeAlias = Literal["none", "stable", "continuum", "center", "unstable"]

# Where an orbit has arrived: what is left of its motion, relative to all of it.
ARRIVED = {4: 1e-3, 8: 1e-5}
# A return this close (relative to the orbit's size) after many turns is a closed orbit. In float64 that is above the
# solver's own drift at the finest tolerance, and far below the decay that 64 turns make visible.
_CLOSED = {4: 5e-3, 8: 1e-5}
# Change of the logarithm of the amplitude, from window to window, that counts as none.
_STEADY = {4: 5e-3, 8: 1e-3}
# And the least one that counts as a trend.
_TREND = 0.02
# A trend goes on if it is nearly what it was one doubling earlier: as steep for a power law, twice for an exponential.
_NOT_SLOWING = 0.8
# An orbit that spirals slowly looks closed for a while: the change that was seen of it has to be that much less than
# what the linear part would make.
_FAR_BELOW = 0.1
_ENOUGH_TURNS = 3
_MUCH = 3.0
# A diameter this many roundings wide is that of a state at rest.
_AT_REST = 1e3


@dataclasses.dataclass(frozen=True)
class Place:
    """The equilibrium at the end of an orbit or inside it.

    Attributes:
        linear: What its eigenvalues make of it; "none" if there is no equilibrium, or nothing but zero eigenvalues.
        found: Whether there is one.
        distance: Of the orbit's last state from it.
        norm: Of the orbit's last state.
        growth: The linear part's largest, per unit time; 0 for a center, or if there is no linear part.
    """

    linear: Linear
    found: bool
    distance: float
    norm: float
    growth: float


def decide(moved: Motion, place: Place, size: int, *, is_flow: bool, whole: bool) -> tuple[Kind, str]:
    """The verdict, and why.

    Args:
        moved: The motion.
        place: The equilibrium.
        size: Bytes of a number.
        is_flow: Whether the orbit is a flow's, which closes if it is periodic.
        whole: Whether nothing longer will be followed; until then growth is only noted, by `keeps_growing`.
    """
    linear = place.linear
    if place.found and moved.size <= _AT_REST * _rounding(size) * (1 + place.norm):
        of_linear = "no linear part" if linear == "none" else f"the linear part of a {linear}"
        return "converges", f"the orbit rests at an equilibrium, with {of_linear}"
    if moved.remaining < ARRIVED[size]:
        at_equilibrium = place.found and place.distance < 10 * ARRIVED[size] * moved.size + 1e-6
        if at_equilibrium and linear == "stable":
            return "converges", "the motion dies out at an equilibrium whose linear part is stable"
        if at_equilibrium and linear == "continuum":
            return "converges", "the motion dies out on a continuum of equilibria, stable across it"
        if not _falls(moved):
            return "undecided", "the motion dies out, but not at an equilibrium whose linear part is stable"
    steady = _is_steady(moved, size)
    closes = moved.turns >= _ENOUGH_TURNS and moved.closure < _CLOSED[size] and (steady or not moved.returns_are_later)
    if closes and _outlasts_spirals(moved.closure, moved.turns * moved.period, place):
        after = f"after {moved.turns} turns of {moved.period:.6g}"
        return "cycles", f"the orbit closes to {moved.closure:.1e} of its size {after}"
    # What does not close needs a reason to go around for ever; an update's orbit never closes, but is exact.
    holds = whole and not is_flow and _outlasts_spirals(moved.steadiness, moved.spacing, place)
    if moved.wanders and steady and (linear == "center" or holds):
        change = f"changes by less than {_STEADY[size]:.1%} in a doubling of time"
        return "cycles", f"the orbit goes around, without closing, at an amplitude that {change}"
    factor = f"by a factor of {np.exp(moved.trend):.3g} in the last doubling of time"
    if _falls(moved):
        if linear == "unstable":
            return "undecided", "the motion shrinks, but around an unstable equilibrium"
        if moved.wanders:
            return "converges", f"the amplitude keeps falling, {factor}"
        if place.found and place.distance <= 2 * _still_to_go(moved):
            return "converges", f"what is left of the way to an equilibrium keeps falling, {factor}"
    if whole and moved.wanders and keeps_growing(moved, linear) and moved.grown > _MUCH:
        return "diverges", f"the amplitude keeps growing, {factor}"
    return "undecided", "the motion neither dies out, nor returns, nor keeps a trend"


def stays(residual: float, length: float, moved: Motion, norm: float, size: int) -> bool:
    """Whether a state with this speed counts as an equilibrium: over the duration it would not get anywhere.

    A root finder asks for less far from the origin, where it may take slow motion for none.
    """
    return bool(residual * length <= 0.01 * moved.size + _AT_REST * _rounding(size) * (1 + norm))


def may_close(moved: Motion, size: int) -> bool:
    """Whether an orbit goes around at the same amplitude, but was not seen to return to where it was."""
    return moved.wanders and _is_steady(moved, size) and not moved.closure < _CLOSED[size]


def keeps_growing(moved: Motion, linear: Linear) -> bool:
    """Whether the orbit grows, and not ever more slowly.

    By itself that is no divergence, since an orbit that leaves an unstable equilibrium grows as steadily until it is
    near the limit cycle: see whether it still does over a much longer time.
    """
    if not (moved.trend > _TREND and moved.trend >= _NOT_SLOWING * moved.earlier_trend > 0):
        return False
    # The way to a far equilibrium grows as well, at first in proportion to time.
    away = linear in ("none", "unstable") and moved.trend >= _NOT_SLOWING * math.log(2)
    return moved.wanders or away


def has_grown_on(shorter: Motion, longer: Motion) -> bool:
    """Whether growth over a short time went on over a much longer one."""
    return bool(shorter.trend > _TREND and longer.size > _MUCH * shorter.size)


def stability(growth: np.ndarray, itemsize: int) -> tuple[Linear, float]:
    """What eigenvalues make of an equilibrium: stable, a continuum (stable across it), a center or unstable.

    And the largest growth among those that do not vanish; 0 for a center.
    """
    zero = np.sqrt(_rounding(itemsize)) * np.max(np.abs(growth), initial=0.0)
    moving = growth[np.abs(growth) > zero]
    if len(moving) == 0:
        return "none", 0.0
    largest = float(np.max(np.real(moving)))
    if largest > zero:
        return "unstable", largest
    if largest >= -zero:
        return "center", 0.0
    stable = len(moving) == len(growth) and equilibrium_type(moving).startswith("stable")
    return "stable" if stable else "continuum", largest


def _is_steady(moved: Motion, size: int) -> bool:
    return moved.steadiness < _STEADY[size]


def _outlasts_spirals(change: float, time: float, place: Place) -> bool:
    """Whether a relative change of the amplitude over this time is too small to be that of a slow spiral.

    Where there is no linear part, or it is a center, there is nothing to compare with.
    """
    return place.growth == 0 or change < _FAR_BELOW * math.expm1(min(abs(place.growth) * time, 1.0))


def _falls(moved: Motion) -> bool:
    return moved.trend < -_TREND and moved.trend <= _NOT_SLOWING * moved.earlier_trend < 0


def _still_to_go(moved: Motion) -> float:
    """How far an orbit gets whose windows go on to shrink by the same factor: a geometric series."""
    factor = math.exp(moved.trend)
    return moved.remaining * moved.size * factor / (1 - factor)


def _rounding(itemsize: int) -> float:
    return float(np.finfo(np.float32 if itemsize == 4 else np.float64).eps)
