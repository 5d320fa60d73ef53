"""A curve of folds of cycles followed step by step, by its length in the cycle, the period and both parameters."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..cycle_branches._collocation import adapted, Path
from ..cycle_branches._event_system import EventOfCycles, first_borders, linearized, Unknowns
from ..cycle_branches._walk import NO_END
from ._codimension_two import share_of_zero

_FIRST, _SHORTEST = 1e-2, 1e-6
# Newton's method: the most steps, the shortest that is more than rounding, and how short one that counts has to be.
_MOST_STEPS, _FINEST, _CONVERGED = 10, 1e-13, 1e-8
_GROWS, _SHRINKS = 1.6, 0.4
# The angle between two tangents and the contraction of Newton's method: what a step aims at, and the most.
_ANGLE, _CONTRACTION = (0.15, 0.4), (0.1, 0.5)
# So far from the event that it starts at may the curve be.
_NEAR = 0.1
# A cycle that is so small beside the first one may be about to end in a Hopf point.
_SMALL = 0.1
# The period grows without end where it has grown so many times, and both parameters move by no more than this part of
# their ranges while it grows e-fold.
_LONGER, _STANDS = 4.0, 3e-2
CUSP, SMALL = "cusp of cycles", "the cycle is small"


class Point(eqx.Module):
    """A point of the curve.

    Attributes:
        z: Its unknowns.
        tangent: The curve's tangent, of length 1.
        borders: The null vectors from the left and from the right.
        bend: The second derivative along the right one twice, seen by the left one.
        amplitude: The cycle's mean distance from its mean state, in units of the first cycle's.
        overlap: The product with the deviation of the cycle before: negative where a Hopf point was passed.
        ok: Whether Newton's method converged.
        contraction: By how much its second step was shorter than the first.
    """

    z: Float[Array, " z"]
    tangent: Float[Array, " z"]
    borders: tuple[Array, Array]
    bend: Scalar
    amplitude: Scalar
    overlap: Scalar
    ok: Bool[Array, ""]
    contraction: Scalar


@dataclasses.dataclass(frozen=True)
class Station:
    """A point of the curve with the mesh that it was found on.

    Attributes:
        system: The equations.
        point: The point.
        name: What is degenerate there; empty where nothing is.
    """

    system: EventOfCycles
    point: Point
    name: str = ""

    @property
    def shares(self) -> np.ndarray:
        """Both parameters as shares of their ranges."""
        return np.asarray(self.point.z)[-2:]


def _weights(system: EventOfCycles) -> Float[Array, " z"]:
    """Of the unknowns in a length: the mean square of the states, the period's logarithm, the parameters."""
    x, k = system.near.x, system.near.k
    one = jnp.ones(3, x.dtype)
    return jnp.concatenate([jnp.full(x.size, 1 / len(x), x.dtype), jnp.zeros(k.size, x.dtype), one])


@jit_quickly
def _corrected(
    system: EventOfCycles, guess: Array, border: Array, borders: tuple[Array, Array], fresh: Bool[Array, ""]
) -> Point:
    """The curve's point in the hyperplane through a guess, across a direction."""
    weights = _weights(system)
    row = weights * border
    zero, infinite = jnp.zeros((), guess.dtype), jnp.full((), jnp.inf, guess.dtype)

    def bordered(z: Array, borders: tuple[Array, Array], fresh: Array) -> tuple:
        found = linearized(system, z, borders, fresh)
        vectors = found.left / jnp.linalg.norm(found.left), found.right / jnp.linalg.norm(found.right)
        return found.height, jnp.concatenate([found.slope, row[None]]), vectors

    def advance(state: tuple) -> tuple:
        z, borders, last, ratio, count = state
        height, matrix, borders = bordered(z, borders, fresh & (count == 0))
        step = jnp.linalg.solve(matrix, jnp.append(height, row @ (z - guess)))
        shift = jnp.sqrt(jnp.sum(weights * step**2))
        ratio = jnp.where((count == 1) & (last > 1e-6), shift / last, ratio)
        return z - step, borders, shift, ratio, count + 1

    def goes_on(state: tuple) -> Array:
        _, _, shift, ratio, count = state
        return (count < 1) | ((shift > _FINEST) & (shift < 10) & (ratio < 1) & (count < _MOST_STEPS))

    z, borders, shift, ratio, _ = jax.lax.while_loop(goes_on, advance, (guess, borders, infinite, zero, jnp.asarray(0)))
    _, matrix, (left, right) = bordered(z, borders, jnp.asarray(False))
    tangent = jnp.linalg.solve(matrix, jnp.zeros_like(guess).at[-1].set(1))
    tangent = tangent / jnp.sqrt(jnp.sum(weights * tangent**2))
    along = jnp.concatenate([right, jnp.zeros(2, right.dtype)])
    square = jax.jvp(lambda z: jax.jvp(system.cycle, (z,), (along,))[1], (z,), (along,))[1]
    at = system.unknowns(z)
    swing, old = (states - jnp.mean(states, axis=0) for states in (at.x, system.near.x))
    ok = (shift <= _CONVERGED) & jnp.all(jnp.isfinite(tangent)) & (ratio < 1)
    amplitude = jnp.sqrt(jnp.mean(jnp.sum(swing**2, axis=1)))
    return Point(z, tangent, (left, right), left @ square, amplitude, jnp.sum(swing * old), ok, ratio)


@jit_quickly
def _on_a_new_mesh(system: EventOfCycles, z: Array, tangent: Array) -> tuple[EventOfCycles, Array, Array]:
    """The same point and tangent on a mesh that fits the cycle, which further ones are not shifted along."""
    mesh = system.mesh

    def path(z: Array) -> Path:
        at = system.unknowns(z)
        return Path(at.x, at.k, at.log_period, jnp.zeros((), z.dtype))

    new = adapted(path(z), mesh)

    def moved(z: Array) -> Unknowns:
        there, at = path(z).on(mesh, new), system.unknowns(z)
        return Unknowns(there.x, there.k, at.log_period, at.shares, at.angle)

    near = moved(z)
    fitted = eqx.tree_at(lambda s: (s.mesh, s.near), system, (new, near))
    return fitted, fitted.flat(near), fitted.flat(moved(tangent))


def start(system: EventOfCycles) -> Station | None:
    """The curve's point near a guess, and its tangent; None if there is no such curve."""
    z = system.flat(system.near)
    borders, fresh = first_borders(system), jnp.asarray(True)
    for _ in range(2):
        # At one value of the second parameter, on a mesh for the guess and then on one for the cycle.
        point = _corrected(system, z, jnp.zeros_like(z).at[-1].set(1), borders, fresh)
        if not bool(point.ok) or np.max(np.abs(np.asarray(point.z - z)[-2:])) > _NEAR:
            return None
        system, z, _ = _on_a_new_mesh(system, point.z, point.tangent)
        borders = point.borders
    point = _corrected(system, z, jnp.zeros_like(z).at[-1].set(1), borders, fresh)
    return Station(system, point) if bool(point.ok) else None


@dataclasses.dataclass(frozen=True)
class Walked:
    """One way along the curve from its start.

    Attributes:
        stations: All points, those that are degenerate among them.
        ended: Why it ended.
    """

    stations: list[Station]
    ended: str


def walk(first: Station, sign: float, longest: float, max_points: int) -> Walked:
    """From the start to one side, until a range ends, the cycle shrinks to a point or the period grows without end.

    Args:
        first: The start.
        sign: To which side of its tangent.
        longest: The longest step, in units of the ranges, of the first cycle's size, or of the period's logarithm.
        max_points: Most points.
    """
    here = dataclasses.replace(first, point=eqx.tree_at(lambda p: p.tangent, first.point, sign * first.point.tangent))
    stations, step = [here], min(_FIRST, longest)
    while len(stations) < max_points:
        system, z, tangent = _on_a_new_mesh(here.system, here.point.z, here.point.tangent)
        base = Station(system, eqx.tree_at(lambda p: (p.z, p.tangent), here.point, (z, tangent)))
        there = _corrected(system, z + step * tangent, tangent, here.point.borders, jnp.asarray(True))
        shrunk = bool(there.overlap < 0) or float(there.amplitude) < 0.3 * float(here.point.amplitude)
        if float(here.point.amplitude) < _SMALL and (shrunk or not bool(there.ok)):
            return Walked(stations, SMALL)
        good, factor = _judged(system, tangent, there, step)
        if not good or shrunk:
            step *= _SHRINKS
            if step < _SHORTEST:
                return Walked(stations, "step too small")
            continue
        last = _at_border(base, Station(system, there))
        stations += _cusps(base, Station(system, there) if last is None else last)
        if last is not None:
            return Walked([*stations, last], "end of range")
        here, step = Station(system, there), min(step * factor, longest)
        stations.append(here)
        if _without_end(stations):
            return Walked(stations, NO_END)
    return Walked(stations, "number of points")


def _judged(system: EventOfCycles, tangent: Array, there: Point, step: float) -> tuple[bool, float]:
    """Whether a step is good enough to keep, and by what to multiply the next."""
    weights = np.asarray(_weights(system))
    cosine = float(np.sum(weights * np.asarray(tangent) * np.asarray(there.tangent)))
    angle, contraction = float(np.arccos(np.clip(cosine, -1, 1))), float(there.contraction)
    good = bool(there.ok) and angle <= _ANGLE[1] and contraction <= _CONTRACTION[1]
    factor = min(_GROWS, _ANGLE[0] / max(angle, 1e-9), (_CONTRACTION[0] / max(contraction, 1e-9)) ** 0.5)
    return good, max(factor, _SHRINKS)


def _without_end(stations: list[Station]) -> bool:
    """Whether the period has come to grow while the parameters stand still."""
    periods = [float(each.point.z[-3]) for each in (min(stations, key=lambda s: float(s.point.z[-3])), stations[-1])]
    grows, *moves = np.asarray(stations[-1].point.tangent)[-3:]
    return bool(periods[1] - periods[0] > np.log(_LONGER) and grows > 0 and np.hypot(*moves) < _STANDS * grows)


def _at_border(here: Station, there: Station) -> Station | None:
    """Where the curve leaves the ranges between two points, if it does."""
    crossings = []
    for place, (low, high) in zip((-2, -1), zip(here.shares, there.shares, strict=True), strict=True):
        border = 0.0 if high < 0 else 1.0
        if not 0 <= high <= 1:
            crossings.append(((border - low) / (high - low), place, border, np.sign(high - low)))
    if not crossings:
        return None
    share, place, border, side = min(crossings)
    guess = (here.point.z + share * (there.point.z - here.point.z)).at[place].set(border)
    axis = jnp.zeros_like(guess).at[place].set(side)
    point = _corrected(there.system, guess, axis, there.point.borders, jnp.asarray(False))
    return Station(there.system, point if bool(point.ok) else there.point)


def _cusps(here: Station, there: Station) -> list[Station]:
    """The cusp between two neighbors, if the second derivative changes its sign."""
    system, bends = there.system, (float(here.point.bend), float(there.point.bend))
    if not bends[0] * bends[1] < 0:
        return []
    chord = there.point.z - here.point.z
    found: dict[float, Point] = {}

    def bend(share: float) -> float:
        guess = here.point.z + share * chord
        found[share] = _corrected(system, guess, chord, there.point.borders, jnp.asarray(False))
        return float(found[share].bend) if bool(found[share].ok) else np.nan

    share = share_of_zero(bend, *bends)
    return [] if share is None else [Station(system, found[share], CUSP)]
