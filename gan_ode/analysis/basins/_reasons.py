"""Why nothing is said of a start."""

import dataclasses

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ..._names import worded
from ..fates._trapping_region import TrappingRegion
from ._follow_starts import Look

# Extents of which one is so much larger than the other are not the same.
_STEADY = 0.01
# What shrinks by so much, though the linear part at the equilibrium next to it makes less than this share of it.
_SHRUNK, _SHARE = 0.02, 0.3
# So many times what the solver leaves undecided is no motion.
_NOISE = 10.0
# Turning back so often in a quarter of the time is going around, and so often that extents can be compared. What goes
# around less often counts as changing by so much.
_AROUND, _COMPARED, _UNKNOWN = 1.5, 4.0, 0.2


@worded
class REASONS(eqx.Enumeration):
    """Why a start is undecided."""

    decided = "It is not: its fate is certain."
    moving = "Still moved on, neither at rest nor around, when the time was up: raise `duration`."
    at_rest = (
        "Came to rest at none of the equilibria that are known to attract: at a saddle, on a continuum of equilibria, "
        "where the field is not smooth, or at one that was not among the given `equilibria`."
    )
    slowing = (
        "Approaches an equilibrium whose linear part does not draw it in, ever more slowly: ask `analysis.classify` "
        "whether it converges as a power of time."
    )
    changing = "Goes around, and how far still changed when the time was up: raise `duration`."
    family = "Goes around on one of a family of closed orbits, or on a torus: nothing draws it to a single one of them."
    unproven = (
        "Goes around near a cycle to which its neighbors were not seen to be drawn: it attracts very weakly, on one "
        "side only, or only from very near."
    )
    open = "Goes around without coming back to where it was: chaos, a torus, or a cycle that was not found."
    nonfinite = "Came to where the field is not finite."
    failed = "The solver could not go on: the field jumps there, or is too stiff for `solver`."
    tolerance = (
        "Has another fate at another tolerance: it starts at the border of two basins, or is chaotic for a while. "
        "Lower `rtol`."
    )


@dataclasses.dataclass(frozen=True)
class Motion:
    """How starts move in the end.

    Attributes:
        low: The smallest of each coordinate over the last quarter of the time.
        high: The largest.
        change: Logarithm of the extent in the last quarter over that in the one before, where that tells anything.
        names: Of the reasons that the motion alone gives.
    """

    low: Float[np.ndarray, "starts n"]
    high: Float[np.ndarray, "starts n"]
    change: Float[np.ndarray, " starts"]
    names: np.ndarray


def motion(look: Look, traps: TrappingRegion, noise: Float[np.ndarray, " starts"], duration: float) -> Motion:
    """Reads how starts move.

    Args:
        look: What was seen.
        traps: Of all equilibria that are known.
        noise: What is no motion, of each.
        duration: How long they were followed.
    """
    earlier, later = (
        np.stack([np.asarray(box.low, float), np.asarray(box.high, float)]) for box in (look.earlier, look.later)
    )
    with np.errstate(all="ignore"):
        extents = later[1] - later[0]
        before, after = np.max(earlier[1] - earlier[0], axis=1), np.max(extents, axis=1)
        change = np.log(after / before)
        widest = np.argmax(np.nan_to_num(extents), axis=1)
        turns = _taken(np.asarray(look.reversals), widest)
        around, compared = turns >= _AROUND, (turns >= _COMPARED) | (turns == 0)
        change = np.where(around & ~compared, _UNKNOWN, change)
        drawn = np.abs(_growth(traps, earlier, later)) * duration / 4
        slowing = compared & (change < -_SHRUNK) & (drawn < -_SHARE * change)
        names = np.where(around, np.where(np.abs(change) > _STEADY, "changing", "open"), "moving")
        names = np.where(slowing, "slowing", names)
        names = np.where(after <= _NOISE * noise, "at_rest", names)
    return Motion(later[0], later[1], np.nan_to_num(change, nan=np.inf), names)


def _taken(rows: np.ndarray, columns: Int[np.ndarray, " rows"]) -> np.ndarray:
    return np.take_along_axis(rows, columns[:, None], axis=1)[:, 0]


def _growth(
    traps: TrappingRegion, earlier: Float[np.ndarray, "2 starts n"], later: Float[np.ndarray, "2 starts n"]
) -> Float[np.ndarray, " starts"]:
    """Of small disturbances of the equilibrium next to each start; infinite where that gets no nearer."""
    found, nearest = np.full(later.shape[1], np.inf), np.full(later.shape[1], np.inf)
    for center, growth in zip(np.asarray(traps.center), np.asarray(traps.growth), strict=True):
        before, after = (_distance(center, box) for box in (earlier, later))
        better = after < nearest
        found = np.where(better, np.where(after <= before, growth, np.inf), found)
        nearest = np.where(better, after, nearest)
    return found


def _distance(center: Float[np.ndarray, " n"], box: Float[np.ndarray, "2 starts n"]) -> Float[np.ndarray, " starts"]:
    return np.linalg.norm(np.maximum(np.maximum(box[0] - center, center - box[1]), 0), axis=1)
