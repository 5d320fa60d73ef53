r"""What becomes of an orbit in the plane, from its return map around an equilibrium.

On a ray from the equilibrium a turn takes the radius $r$ to $P(r)$; the displacement is $\delta(r) = (P(r) - r)/r$. In
the plane returns move one way only, so an orbit goes to the first zero of $\delta$ that it meets, to the equilibrium if
there is none inward, or beyond all bounds if there is none outward. That is seen from single turns at many radii,
however slow the motion is, as long as the displacement is above the solver's own error, which a second tolerance tells.
"""

from typing import Any

import numpy as np

from ._rest import is_trapped
from ._return_map import Displaced, ReturnMap, SURE
from ._turns import extent
from ._verdict import Fate

_INWARD, _OUTWARD = 0.8, 1.5
_LEAST_RADIUS, _LARGEST_RADIUS = 1e-6, 1e5
# Between two radii the displacement is at least so much of its geometric mean, unless it dips; and where it changes by
# more than this factor it is looked at once more.
_DIP, _STEEP = 0.75, 3.0
# A law is settled where the exponents of the last steps agree to this, over so many of them.
_SAME_LAW, _LAW_STEPS = 0.03, 6
# An orbit closes only if the solver's own error of a turn is below this.
_CLOSED = {4: 1e-4, 8: 1e-7}
_TIMES_AGREE = {4: 1e-3, 8: 1e-6}
# Where neighbors are looked at, in units of the radius; the far ones show a law that is below the error here.
_BESIDE, _AWAY, _FAR = (0.03, 1e-3, 3e-5, 1e-6), (0.5, 0.8, 1.25, 2.0), (10.0, 100.0)
# And so small, against the root's coordinates and 1, is an orbit whose far neighbors are looked at.
_SMALL = 0.01


def judge(returns: ReturnMap) -> Fate | None:
    """What becomes of the orbit through radius 1; None if the return map does not say."""
    here = returns.at_start = returns.at(1.0)
    if here is None:
        return None
    if here.sure:
        return _inward(returns, here) if here.delta < 0 else _outward(returns, here)
    itemsize = returns.follower.itemsize
    if here.error > _CLOSED[itemsize] or here.time_error > _TIMES_AGREE[itemsize] * here.time:
        return None
    return _closed(returns, here)


def _closed(returns: ReturnMap, here: Displaced) -> Fate | None:
    """What the neighbors say of an orbit that closes to the solver's error."""
    inner, outer = _neighbors(returns, 1.0)
    if inner is None or outer is None:
        return None
    after = f"after a turn of {here.time:.8g} the orbit closes to {abs(here.delta):.1e} of its size"
    if inner.sure and outer.sure:
        if inner.delta > 0 > outer.delta:
            return _cycle(returns, here, inner, outer, f"{after}, and its neighbors come nearer")
        if inner.delta < 0 < outer.delta:
            return Fate("undecided", f"{after}, but its neighbors leave it: rounding decides where it goes", final=True)
        return Fate(
            "undecided",
            f"{after}, but its neighbors pass it on one side: it is not isolated, nor of a family",
            final=True,
        )
    if inner.sure or outer.sure:
        return Fate("undecided", f"{after}, but not its neighbors on one side")
    small = np.max(np.abs(returns.along)) < _SMALL * (1 + np.max(np.abs(returns.rest.y)))
    far = [displaced for factor in (*_AWAY, *(_FAR if small else ())) if (displaced := returns.at(factor)) is not None]
    moving = [displaced for displaced in far if displaced.sure]
    if moving:
        return _below_resolution(returns, here, moving, after)
    return Fate(
        "cycles", f"{after}, and so do its neighbors: a family of cycles", _of_family(returns, here, inner, outer)
    )


def _neighbors(
    returns: ReturnMap, radius: float, most: float = _BESIDE[0]
) -> tuple[Displaced | None, Displaced | None]:  # fmt: skip
    """Turns on both sides, as far away as both return: beside a separatrix that is not far."""
    for apart in (most, *(each for each in _BESIDE if each < most)):
        pair = returns.at(radius * (1 - apart)), returns.at(radius * (1 + apart))
        if pair[0] is not None and pair[1] is not None:
            return pair
    return None, None


def _below_resolution(returns: ReturnMap, here: Displaced, moving: list[Displaced], after: str) -> Fate | None:
    """Neighbors drift, and the orbit may too, by less than the solver's error: what their law says of it."""
    nearest = min(moving, key=lambda each: abs(np.log(each.radius)))
    further = returns.at(nearest.radius * (2.0 if nearest.radius > 1 else 0.5))
    again = returns.at(nearest.radius * (4.0 if nearest.radius > 1 else 0.25))
    if further is None or again is None or not (further.sure and again.sure) or nearest.radius < 1:
        return Fate("undecided", f"{after}, but orbits beside it drift")
    exponents = np.diff(np.log(np.abs([each.delta for each in (nearest, further, again)]))) / np.log(2)
    here_by_law = abs(nearest.delta) * nearest.radius ** -float(np.mean(exponents))
    one_sign = len({np.sign(each.delta) for each in (*moving, further, again)}) == 1
    if here_by_law > SURE * here.error and np.ptp(exponents) < 0.2:
        # By the law it would have been seen to drift: it does not, as in a region that is conservative by itself.
        return Fate(
            "cycles", f"{after}, and so do those next to it", _of_family(returns, here, *_neighbors(returns, 1.0))
        )
    falls = nearest.delta < 0
    if one_sign and np.ptp(exponents) < 0.1 and np.mean(exponents) > 0.5 and (falls or returns.rest.linear == "center"):
        p, spread = float(np.mean(exponents)), float(np.ptp(exponents))
        kind, word = ("converges", "shrink") if falls else ("diverges", "grow")
        if not falls:
            return Fate("undecided", f"{after}, and orbits beside it {word} by a law that is below the error here")
        reason = f"orbits around it {word} by {abs(nearest.delta):.1e} a turn at {nearest.radius:g} times its size"
        numbers = {"power": -1 / p, "power_error": (spread + 0.1) / p**2}
        return Fate(kind, f"{reason}, by a power law of exponent {p:.3g} down to the equilibrium", numbers)
    return Fate("undecided", f"{after}, but orbits beside it drift")


def _inward(returns: ReturnMap, here: Displaced) -> Fate | None:
    seen = [here]
    while True:
        radius = seen[-1].radius * _INWARD
        rest = returns.rest
        if rest.smooth and is_trapped(returns.follower, rest, [returns.start(seen[-1].radius)]):
            reason = (
                f"each turn shrinks, by {abs(here.delta):.1e} at the start, into a region where convergence is certain"
            )
            return Fate("converges", reason)
        settled = _settled(seen)
        if settled is not None and rest.linear != "unstable":
            return _to_the_root(returns, seen, settled)
        if radius < _LEAST_RADIUS:
            return None
        found = returns.at(radius)
        if found is None or not found.sure:
            return None if found is None else _slow_passage(returns, seen, found)
        if found.delta > 0:
            return _between(returns, found, seen[-1])
        narrow = _narrowing(returns, seen[-1], found)
        if narrow is not None:
            return narrow
        seen.append(found)


def _to_the_root(returns: ReturnMap, seen: list[Displaced], settled: tuple[float, float]) -> Fate:
    p, spread = settled
    reached = seen[-1]
    turn = f"each turn shrinks by {abs(reached.delta):.1e} at {reached.radius:.1e} of the first size"
    if abs(p) < 0.02:
        rate = np.log1p(reached.delta) / reached.time
        error = reached.error / reached.time + 2 * abs(rate) * (abs(p) + spread)
        return Fate("converges", f"{turn}, at a steady rate", {"rate": float(rate), "rate_error": float(error)})
    if p < 0:
        return Fate("undecided", f"{turn}, ever faster relative to the size: no law was found")
    numbers = {"power": -1 / p, "power_error": (spread + 0.02) / p**2}
    return Fate("converges", f"{turn}, by a power law: the distance falls as t^{-1 / p:.3g}", numbers)


def _outward(returns: ReturnMap, here: Displaced) -> Fate | None:
    seen = [here]
    while True:
        radius = seen[-1].radius * _OUTWARD
        settled = _settled(seen)
        reached = seen[-1]
        if settled is not None and reached.radius > 1e3:
            return _for_ever(reached, settled)
        if radius > _LARGEST_RADIUS:
            return None
        found = returns.at(radius)
        if found is None:
            if returns.lost == "blow_up":
                reason = f"each turn grows, and from {radius:.3g} times the size the orbit grows without bound"
                return Fate("diverges", reason)
            return None
        if not found.sure:
            return _slow_passage(returns, seen, found)
        if found.delta < 0:
            return _between(returns, reached, found)
        narrow = _narrowing(returns, seen[-1], found)
        if narrow is not None:
            return narrow
        seen.append(found)


def _for_ever(reached: Displaced, settled: tuple[float, float]) -> Fate:
    p, spread = settled
    turn = f"each turn grows, by {reached.delta:.1e} at {reached.radius:.3g} times the first size"
    if abs(p) < 0.02:
        rate = float(np.log1p(reached.delta) / reached.time)
        error = reached.error / reached.time + 2 * abs(rate) * (abs(p) + spread)
        return Fate("diverges", f"{turn}, at a steady rate", {"rate": rate, "rate_error": float(error)})
    return Fate("diverges", f"{turn}, by a power law of exponent {p:.3g}")


def _settled(seen: list[Displaced]) -> tuple[float, float] | None:
    """The exponent of the law of the last displacements, if it no longer changes, and how much it does."""
    if len(seen) <= _LAW_STEPS:
        return None
    last = seen[-_LAW_STEPS - 1 :]
    exponents = np.diff(np.log(np.abs([each.delta for each in last]))) / np.diff(np.log([each.radius for each in last]))
    spread = float(np.ptp(exponents))
    return (float(exponents[-1]), spread) if spread < _SAME_LAW else None


def _between(returns: ReturnMap, inner: Displaced, outer: Displaced) -> Fate | None:
    """The cycle between two radii of which the inner one grows and the outer one shrinks."""
    # SciPy's optimizers take most of a second to import, and few fields need them.
    from scipy.optimize import brentq

    found: dict[float, Displaced] = {inner.radius: inner, outer.radius: outer}

    def delta(radius: float) -> float:
        if radius not in found:
            displaced = returns.at(radius)
            if displaced is None:
                raise ArithmeticError
            found[radius] = displaced
        return found[radius].delta

    try:
        radius: Any = brentq(delta, inner.radius, outer.radius, xtol=1e-14, rtol=np.float64(1e-13), maxiter=60)
        delta(radius)
        room = 0.3 * min(radius - inner.radius, outer.radius - radius) / radius
        beside = _neighbors(returns, radius, min(room, _BESIDE[0]))
    except ArithmeticError:
        return None
    here, (inside, outside) = found[radius], beside
    itemsize = returns.follower.itemsize
    close = abs(here.delta) <= SURE * here.error and here.error <= _CLOSED[itemsize]
    if inside is None or outside is None or not close or here.time_error > _TIMES_AGREE[itemsize] * here.time:
        return None
    if not (inside.delta > 0 > outside.delta):
        return None
    return _cycle(
        returns, here, inside, outside, f"turns lead to a closed orbit of period {here.time:.8g}, which attracts"
    )


def _cycle(returns: ReturnMap, here: Displaced, inner: Displaced, outer: Displaced, reason: str) -> Fate:
    """An isolated cycle, with the errors that the closing error makes of its numbers."""
    apart = outer.radius - inner.radius
    slope = (outer.delta - inner.delta) / apart
    shift = (abs(here.delta) + here.error) / abs(slope)
    numbers = _numbers_of_cycle(returns, here, shift)
    numbers["period_error"] += 2 * abs(outer.time - inner.time) / apart * shift
    return Fate("cycles", reason, numbers)


def _of_family(
    returns: ReturnMap, here: Displaced, inner: Displaced | None, outer: Displaced | None
) -> dict[str, float]:  # fmt: skip
    """Numbers of one cycle of a family, which is off by the errors on the way from the start to here."""
    shift = 2 * (returns.turns_before + 1) * here.error
    numbers = _numbers_of_cycle(returns, here, shift)
    if inner is not None and outer is not None:
        numbers["period_error"] += 2 * abs(outer.time - inner.time) / (outer.radius - inner.radius) * shift
    return numbers


def _numbers_of_cycle(returns: ReturnMap, here: Displaced, shift: float) -> dict[str, float]:
    size, error = extent(returns.follower, here.turn, returns.tolerances[1])
    return {
        "period": here.time, "period_error": 2 * here.time_error, "amplitude": size,
        "amplitude_error": error + 4 * shift / here.radius * size, "closure": abs(here.delta),
    }  # fmt: skip


def _narrowing(returns: ReturnMap, before: Displaced, after: Displaced, depth: int = 6) -> Fate | None:
    """Looks between two radii for a dip of the displacement: two cycles, or one that attracts from one side only."""
    middle = returns.at(float(np.sqrt(before.radius * after.radius)))
    if middle is None:
        return None
    sign = np.sign(before.delta)
    if sign * middle.delta < _DIP * np.sqrt(before.delta * after.delta) or not middle.sure:
        return _at_the_least(returns, before, middle, after)
    # Where it falls steeply to one side it may touch zero there.
    for one, other in ((before, middle), (middle, after)):
        if depth and not _STEEP > one.delta / other.delta > 1 / _STEEP:
            narrow = _narrowing(returns, one, other, depth - 1)
            if narrow is not None:
                return narrow
    return None


def _at_the_least(returns: ReturnMap, before: Displaced, middle: Displaced, after: Displaced) -> Fate | None:
    from scipy.optimize import minimize_scalar

    sign, met = np.sign(before.delta), [middle]

    def height(radius: float) -> float:
        found = returns.at(radius)
        if found is None:
            raise ArithmeticError
        met.append(found)
        return sign * found.delta

    try:
        bounds = sorted((before.radius, after.radius))
        minimize_scalar(height, bounds=bounds, method="bounded", options={"xatol": 1e-9 * bounds[1], "maxiter": 40})
    except ArithmeticError:
        return None
    least = min(met, key=lambda each: sign * each.delta)
    if not least.sure:
        return Fate(
            "undecided",
            f"turns hardly move at {least.radius:.4g} times the size: a cycle may be there or not",
            final=True,
        )
    if np.sign(least.delta) != sign:
        # The orbit comes from the side of `before`, and meets the first of the two cycles.
        pair = (before, least) if before.radius < least.radius else (least, before)
        there = f"a cycle near {least.radius:.4g} times the size could not be resolved"
        return _between(returns, *pair) or Fate("undecided", there, final=True)
    return None


def _slow_passage(returns: ReturnMap, seen: list[Displaced], found: Displaced) -> Fate | None:
    """A displacement below the error on the way: on a cycle by chance, or the end of what can be resolved."""
    step = found.radius / seen[-1].radius
    beyond = returns.at(found.radius * step**0.1)
    before = returns.at(found.radius * step**-0.1)
    if beyond is None or before is None or not (beyond.sure and before.sure):
        return Fate(
            "undecided", f"turns move by less than the solver's error at {found.radius:.3g} times the size", final=True
        )
    if np.sign(beyond.delta) == np.sign(before.delta):
        return Fate("undecided", f"turns hardly move at {found.radius:.4g} times the size: a cycle may be there or not")
    inner, outer = sorted((before, beyond), key=lambda each: each.radius)
    return _between(returns, inner, outer)
