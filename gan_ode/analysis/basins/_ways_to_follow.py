"""How the starts of a basin are followed and looked at: by the flow, or by an update."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ... import _checks, _tree
from ..._types import Args, Field, State
from ...simulate.ensembles import _chunks
from . import _follow_starts
from ._attracting_cycles import Attempt, of_flow, of_update
from ._follow_starts import Lane, Look, Steps
from ._sinks import flat

_RTOL = {4: 1e-4, 8: 1e-6}
# An invariant line, such as a = 0 of the linear-quadratic GAN, is approached closely and must not be crossed.
_ATOL_OVER_RTOL = 1e-2
# Further opinions are so much tighter each time, down to what the dtype has, and absolutely by the square of that: what
# gets small on the way has to be told, too.
_TIGHTER, _TIGHTEST, LEVELS = {4: 0.1, 8: 1e-2}, {4: 1e-6, 8: 1e-12}, 3
# Rounding of an update's steps is no motion.
_ROUNDINGS = 1e3


@dataclasses.dataclass(frozen=True)
class Chunks:
    """Many starts by chunks.

    Attributes:
        starts: The starts.
        size: Members to a chunk at most.
    """

    starts: State
    size: int

    @classmethod
    def of(cls, starts: State, size: int) -> "Chunks":
        """The starts in NumPy's arrays."""
        return cls(_chunks.on_host(starts), size)

    @property
    def num(self) -> int:
        return jax.tree.leaves(self.starts)[0].shape[0]

    def all(self, follow: Callable[..., Any], shared: tuple[Any, ...]) -> Any:
        """Of all starts."""
        return self._over(follow, self.starts, self.size, shared)

    def some(
        self, follow: Callable[..., Any], members: Any, chosen: Int[np.ndarray, " chosen"], shared: tuple[Any, ...]
    ) -> Any:
        """Of some members, one for each start. Chunks are as large as those of all: nothing is compiled again."""
        threads, _, rows = _chunks.layout(self.num, self.size)
        if len(chosen) > 8 * threads * rows:
            return self._over(follow, _chunks.rows(members, chosen), rows, shared)
        places = np.resize(chosen, (-(-len(chosen) // rows), rows))
        chunks = [jax.tree.map(jnp.asarray, _chunks.rows(members, part)) for part in places]
        parts = [_chunks.on_host(follow(chunk, *shared)) for chunk in chunks]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(chosen)], *parts)

    def _over(self, follow: Callable[..., Any], members: Any, size: int, shared: tuple[Any, ...]) -> Any:
        first = jax.tree.leaves(members)[0]
        found = _chunks.map_chunks(lambda chunk, rest: follow(chunk, *rest), members, size, starts=first, shared=shared)
        return _chunks.on_host(found)


class FlowWay:
    """The flow of a field."""

    def __init__(self, field: Field, chunks: Chunks, duration: Array, args: Args, solver: Any, rtol: Any, atol: Any):
        self.field, self.chunks, self.duration, self.args, self.solver = field, chunks, duration, args, solver
        dtype = _tree.dtype(chunks.starts)
        itemsize = max(jnp.dtype(dtype).itemsize, 4)
        if rtol is not None:
            _checks.relative("rtol", rtol, f"{_RTOL[itemsize]:g} is usual.")
        if atol is not None:
            _checks.not_negative("atol", atol, "Leave it out to have it chosen.")
        given = _RTOL[itemsize] if rtol is None else float(np.asarray(rtol))
        ratio = _ATOL_OVER_RTOL if atol is None else float(np.asarray(atol)) / given
        usual = min(given, _RTOL[itemsize])
        self.is_loose = given > usual
        self._given = {"solver": solver, "rtol": jnp.asarray(given, dtype), "atol": jnp.asarray(ratio * given, dtype)}
        shares = [
            max(_TIGHTER[itemsize] ** level, min(1.0, _TIGHTEST[itemsize] / usual)) for level in range(LEVELS + 1)
        ]
        self._levels = [
            {"solver": solver, "rtol": jnp.asarray(usual * x, dtype), "atol": jnp.asarray(usual * ratio * x**2, dtype)}
            for x in shares
        ]

    def follow_all(self, catches: Any) -> Lane:
        return self.chunks.all(_follow_starts.follow_flow, self._shared(catches, self._levels[0]))

    def follow_loosely(self, catches: Any) -> Lane:
        """At the tolerance that was asked for, where the usual one is tighter."""
        return self.chunks.all(_follow_starts.follow_flow, self._shared(catches, self._given))

    def follow_some(self, chosen: Int[np.ndarray, " chosen"], catches: Any, level: int = 0) -> Lane:
        """At a tolerance that is tighter the higher the level is."""
        shared = self._shared(catches, self._levels[level])
        return self.chunks.some(_follow_starts.follow_flow, self.chunks.starts, chosen, shared)

    def state_at(self, chosen: Int[np.ndarray, " chosen"], times: Float[np.ndarray, " starts"], level: int) -> State:
        """States of some starts, each at its own time."""
        members, shared = (self.chunks.starts, times), (self.field, self.args, self._levels[level])
        return self.chunks.some(_follow_starts.follow_until, members, chosen, shared)

    def _shared(self, catches: Any, options: dict[str, Any]) -> tuple[Any, ...]:
        return self.field, self.duration, catches, self.args, options

    def look(self, lanes: Lane, chosen: Int[np.ndarray, " chosen"]) -> Look:
        shared = (self.field, self.duration, self.args, self._levels[0])
        return self.chunks.some(_follow_starts.look_again, lanes.resume, chosen, shared)

    def moved(self, lanes: Lane) -> Float[np.ndarray, " starts"]:
        """How far each start has moved of late."""
        return np.linalg.norm(flat(lanes.y) - flat(lanes.resume), axis=1)

    def points(self, lanes: Lane) -> Float[np.ndarray, "starts n"]:
        return flat(lanes.y)

    def noise(self, lanes: Lane) -> Float[np.ndarray, " starts"]:
        """What is no motion."""
        rtol, atol = (float(self._levels[0][name]) for name in ("rtol", "atol"))
        return atol + rtol * np.max(np.abs(flat(lanes.y)), axis=1)

    def cycle(self, lanes: Lane, start: int) -> Attempt:
        """The cycle near the end of one start."""
        return of_flow(self.field, jax.tree.map(lambda leaf: leaf[start], lanes.y), self.args, self.solver)


class UpdateWay:
    """An update on a field."""

    is_loose = False

    def __init__(self, steps: Steps, chunks: Chunks):
        self.steps, self.chunks, self.duration = steps, chunks, steps.duration

    def follow_all(self, catches: Any) -> Lane:
        lanes, self._boxes = self.chunks.all(_follow_starts.follow_update, (self.steps, catches))
        return lanes

    def follow_some(self, chosen: Int[np.ndarray, " chosen"], catches: Any, level: int = 0) -> Lane:
        return self.chunks.some(_follow_starts.follow_update, self.chunks.starts, chosen, (self.steps, catches))[0]

    def look(self, lanes: Lane, chosen: Int[np.ndarray, " chosen"]) -> Look:
        reversals = self.chunks.some(_follow_starts.look_further, lanes.resume, chosen, (self.steps,))
        earlier, later = _chunks.rows(self._boxes, chosen)
        return Look(earlier, later, reversals)

    def moved(self, lanes: Lane) -> Float[np.ndarray, " starts"]:
        later = self._boxes[1]
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.linalg.norm(later.high - later.low, axis=1), nan=np.inf)

    def points(self, lanes: Lane) -> Float[np.ndarray, "starts m"]:
        y, memory = lanes.resume
        return flat((y, eqx.filter(memory, eqx.is_inexact_array)))

    def noise(self, lanes: Lane) -> Float[np.ndarray, " starts"]:
        points = self.points(lanes)
        return _ROUNDINGS * float(np.finfo(points.dtype).eps) * (1 + np.max(np.abs(points), axis=1))

    def cycle(self, lanes: Lane, start: int) -> Attempt:
        return of_update(jax.tree.map(lambda leaf: leaf[start], lanes.resume), self.steps)
