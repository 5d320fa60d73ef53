"""Which cycles many starts go to: one after the other is found from where they are, and takes those that are near."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from ..._lowering import jit
from ..._types import Args, Field, State
from ...solvers._requirements import is_implicit
from ..cycles._find import find_periodic_orbit
from ..cycles._periodic_orbit import SEARCHES
from ._follow_starts import Steps
from ._ring import POINTS, Ring
from ._ring_of_flow import ring_of_flow
from ._ring_of_update import recurrence

# So many searches in a row that take no start, and so many in all.
_PATIENCE, _MOST = 6, 64
# Relative tolerance of a closed orbit by an implicit solver, which is of low order.
_RTOL_IMPLICIT = {4: 1e-6, 8: 1e-9}
# A matrix of all derivatives is taken for so many numbers at most.
_MOST_NUMBERS = 100

Evidence: TypeAlias = Literal["attracts", "family", "unproven", "open", "changing"]


class Cycles(eqx.Module):
    """Attracting cycles, with a leading axis on every leaf.

    Attributes:
        ys: States of each: of a flow in order, evenly spread along it, of an update in any order. Shape
            `(cycles, points, ...)`.
        periods: Time of a turn: of a flow; of an orbit of `k` steps of an update, `k` times the step size; the mean one
            on a closed curve of an update, or NaN if that goes around nothing.
        period_errors: Their errors.
        rings: The sets in which everything goes to them: all within `rings.radius`.
    """

    ys: State
    periods: Float[Array, " cycles"]
    period_errors: Float[Array, " cycles"]
    rings: Ring

    def __len__(self) -> int:
        return self.periods.shape[0]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What was found from one start.

    Attributes:
        evidence: What is known of it.
        cycle: The one cycle, if it attracts.
    """

    evidence: Evidence
    cycle: Cycles | None = None


@dataclasses.dataclass(frozen=True)
class Sorted:
    """Where each start goes: the number of its cycle, or -1; and what was found from the one most like it."""

    cycles: Cycles | None
    members: Int[np.ndarray, " starts"]
    evidence: np.ndarray


def sort_out(
    attempt: Callable[[int], Attempt], points: Float[np.ndarray, "starts n"], boxes: Float[np.ndarray, "starts k"],
    priority: Float[np.ndarray, " starts"],
) -> Sorted:  # fmt: skip
    """Finds cycles until all starts from which to search have one, or several searches in a row take none.

    Args:
        attempt: Searches from one start.
        points: Where the starts have got to.
        boxes: Where they move, as numbers of which equal ones mean the same cycle.
        priority: From which to search: from the one with the largest first, and then always from that one which moves
            farthest away from those that were tried. Not from those with minus infinity, which may be taken, though.
    """
    scale = np.ptp(boxes, axis=0)
    boxes = boxes / np.where(scale > 0, scale, 1)
    left, members = np.isfinite(priority), np.full(len(points), -1)
    away, last = np.full(len(points), np.inf), np.full(len(points), -1)
    cycles, evidence, misses = [], [], 0
    while np.any(left) and misses < _PATIENCE and len(evidence) < _MOST:
        chosen = int(np.argmax(np.where(left, away if evidence else priority, -np.inf)))
        found = attempt(chosen)
        distance = np.linalg.norm(boxes - boxes[chosen], axis=1)
        last, away = np.where(distance < away, len(evidence), last), np.minimum(away, distance)
        evidence.append("changing" if found.evidence == "attracts" else found.evidence)
        taken = _held(found, points) & (members < 0)
        members[taken] = len(cycles)
        left[taken], left[chosen] = False, False
        misses = 0 if np.any(taken) else misses + 1
        if np.any(taken):
            cycles.append(found.cycle)
    whole = jax.tree.map(lambda *leaves: jnp.asarray(np.concatenate(leaves)), *cycles) if cycles else None
    return Sorted(whole, members, np.array([evidence[i] if evidence else "open" for i in last], object))


def _held(found: Attempt, points: Float[np.ndarray, "starts n"]) -> Bool[np.ndarray, " starts"]:
    if found.cycle is None:
        return np.zeros(len(points), bool)
    ring = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[0]), found.cycle.rings)
    return np.asarray(_holds(ring, jnp.asarray(points)))


@jit
def _holds(ring: Ring, points: Float[Array, "starts n"]) -> Bool[Array, " starts"]:
    return jax.lax.map(ring.holds, points, batch_size=1024)


def none(like: State, num_numbers: int) -> Cycles:
    """No cycles, in the shapes of some.

    Args:
        like: States with a leading axis.
        num_numbers: How many numbers a point of a ring has.
    """
    dtype = jax.tree.leaves(like)[0].dtype

    def nothing(*shape: int, dtype: Any = dtype) -> Array:
        return jnp.asarray(np.zeros((0, *shape), dtype))

    ys = jax.tree.map(lambda leaf: nothing(POINTS, *leaf.shape[1:], dtype=leaf.dtype), like)
    points = nothing(POINTS, num_numbers)
    return Cycles(ys, nothing(), nothing(), Ring(points, nothing(num_numbers), points, nothing(), nothing()))


def of_flow(field: Field, y: State, args: Args, solver: Any) -> Attempt:
    """The cycle of a flow near a state."""
    start, restore = ravel_pytree(y)
    if not 2 <= start.size <= _MOST_NUMBERS:
        return Attempt("open")
    orbit, how = find_periodic_orbit(field, y, args=args, throw=False), None
    if not orbit.found and is_implicit(solver):
        # A solver of low order, for what is too stiff for one of high order.
        rtol, how = _RTOL_IMPLICIT[max(start.dtype.itemsize, 4)], solver
        orbit = find_periodic_orbit(field, y, args=args, solver=solver, rtol=rtol, throw=False)
    if orbit.outcome == SEARCHES.jumps:
        orbit = find_periodic_orbit(field, y, args=args, derivative="differences", throw=False)
    if not orbit.found:
        spirals = (orbit.outcome == SEARCHES.collapsed) | (orbit.outcome == SEARCHES.spirals)
        return Attempt("changing" if spirals else "open")
    if orbit.kind != "attracting":
        return Attempt("family" if orbit.kind == "neutral" else "open")
    ring = ring_of_flow(field, orbit, args, how)
    if not (ring.radius > 0 and jnp.isfinite(orbit.period)):
        return Attempt("unproven")
    return _one(jax.vmap(restore)(ring.points), orbit.period, orbit.period_error, ring)


def of_update(resume: Any, steps: Steps) -> Attempt:
    """What an update settles on after a state and memory."""
    found = recurrence(resume, steps)
    if found is None:
        return Attempt("open")
    if found.evidence != "attracts":
        return Attempt(found.evidence)
    return _one(found.ys, found.period, found.period_error, found.ring)


def _one(ys: State, period: Any, error: Any, ring: Ring) -> Attempt:
    dtype = ring.points.dtype
    parts = ys, np.asarray(period, dtype), np.asarray(error, dtype), ring
    return Attempt("attracts", Cycles(*jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[None]), parts)))
