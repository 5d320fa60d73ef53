"""The equilibria of a field, and around those that attract a set where convergence is certain."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ... import _tree
from ..._lowering import jit
from ..._types import Args, Field, State
from ...simulate.ensembles import _chunks
from ...updates import AbstractUpdate
from ..equilibria._find_all import Equilibria, find_equilibria
from ..fates._trapping_region import flow_trap, step_trap, TrappingRegion
from ..maps._rhythm import Rhythm, rhythm

# Starts from which equilibria are searched at a time.
_SEARCHES = 64
# Searches from ends go on until so many in a row bring nothing new, and at most so often.
_PATIENCE, _MOST_ROUNDS = 2, 32
# Ends that are closer than this, relative to how far all of them are apart, lead to one equilibrium.
_SAME_END = 1e-3
# Equilibria that are closer than this, relative to the size of states, are one.
_SAME = {4: 1e-3, 8: 1e-6}


@dataclasses.dataclass(frozen=True)
class Sinks:
    """Equilibria, and their traps, in NumPy's arrays.

    Attributes:
        ys: The equilibria, with a leading axis.
        traps: Their traps, likewise.
        rows: How many traps a program takes at a time: all that were found at first, so that it need not be compiled
            again for others.
    """

    ys: State
    traps: TrappingRegion
    rows: int

    def __len__(self) -> int:
        return self.traps.level.shape[0]

    def group(self, number: int) -> TrappingRegion:
        """So many traps, the last ones empty where there are no more."""
        num, rows = len(self), self.rows
        chosen = np.arange(number * rows, min((number + 1) * rows, num))

        def filled_up(leaf: np.ndarray) -> Array:
            # A trap of zeros holds nothing.
            rest = np.zeros((rows - len(chosen), *leaf.shape[1:]), leaf.dtype)
            return jnp.asarray(np.concatenate([leaf[chosen], rest]))

        return jax.tree.map(filled_up, self.traps)

    def holding(self, points: Float[np.ndarray, "points n"]) -> Int[np.ndarray, " points"]:
        """Which trap holds each point, or -1."""
        found = np.full(len(points), -1)
        for i, (center, matrix, level) in enumerate(
            zip(self.traps.center, self.traps.matrix, self.traps.level, strict=True)
        ):
            if level > 0:
                away = points - center
                found[np.sum(away @ matrix * away, axis=1) < level] = i
        return found

    def and_others(self, ys: State, traps: TrappingRegion) -> "Sinks":
        ys, traps = jax.tree.map(lambda *parts: np.concatenate(parts), (self.ys, self.traps), (ys, traps))
        return Sinks(ys, traps, self.rows)


@dataclasses.dataclass(frozen=True)
class Search:
    """Where equilibria and traps are looked for.

    Attributes:
        field: The field.
        starts: The starts, in NumPy's arrays.
        args: Handed to the field.
        update: The update; None for the flow.
    """

    field: Field
    starts: State
    args: Args
    update: AbstractUpdate | None

    @property
    def num(self) -> int:
        return jax.tree.leaves(self.starts)[0].shape[0]

    def first(self, given: Sequence[State] | None) -> Sinks:
        """From the equilibria that are given, or from some of the starts."""
        if given is None:
            # At random, since a grid's rows and columns could hide an equilibrium from an even choice.
            chosen = np.random.default_rng(0).permutation(self.num)[:_SEARCHES]
            found = self._equilibria(_chunks.rows(self.starts, chosen))
        else:
            found = self._refined(given)
        return Sinks(_chunks.on_host(found.ys), self._traps(found.ys, _smooth(found)), max(1, len(found)))

    def _equilibria(self, starts: State) -> Equilibria:
        return find_equilibria(self.field, jax.tree.map(jnp.asarray, starts), args=self.args, check=False)

    def _refined(self, given: Sequence[State]) -> Equilibria:
        found = self._equilibria(jax.tree.map(lambda *leaves: jnp.stack(leaves), *given))
        if found.failed:
            raise ValueError(
                f"`equilibria` must lie near equilibria of the field, but number {found.failed[0]} does not: the "
                "search from it ends where the field does not vanish."
            )
        return found

    def more(self, sinks: Sinks, ends: State, moved: Float[np.ndarray, " ends"]) -> Sinks:
        """With the traps of equilibria that are found from ends at which nothing is known.

        Args:
            sinks: What is known.
            ends: Where trajectories ended, in NumPy's arrays.
            moved: How far each has moved lately: those at rest come first.
        """
        size = min(_SEARCHES, self.num)
        # Half of them start where others did: what is small is told by the speed at the starts.
        own = max(size // 2, 1)
        order, blank = _apart(flat(ends), moved), 0
        for i in range(0, min(len(order), _MOST_ROUNDS * own), own):
            block = _together(
                _chunks.rows(ends, np.resize(order[i : i + own], own)),
                _chunks.rows(self.starts, np.random.default_rng(i).permutation(self.num)[: size - own]),
            )
            found = self._attracting(self._equilibria(block), sinks)
            if found is not None:
                sinks = sinks.and_others(*found)
            blank = 0 if found is not None else blank + 1
            if blank == _PATIENCE:
                break
        return sinks

    def _attracting(self, found: Equilibria, known: Sinks) -> tuple[State, TrappingRegion] | None:
        """The new ones that have a trap, and that."""
        ys = _chunks.on_host(found.ys)
        points, old = flat(ys), flat(known.ys)
        scale = max(float(np.max(np.abs(part), initial=0.0)) for part in (points, old, flat(self.starts)))
        near = _SAME[max(jnp.dtype(_tree.dtype(self.starts)).itemsize, 4)] * scale
        new = [i for i, point in enumerate(points) if not np.any(np.linalg.norm(old - point, axis=1) <= near)]
        if not new:
            return None
        parts = [new[i : i + known.rows] for i in range(0, len(new), known.rows)]
        traps = _together(*(self._traps_of_some(ys, part, _smooth(found), known.rows) for part in parts))
        kept = np.flatnonzero(traps.level > 0)
        return (_chunks.rows(ys, np.asarray(new)[kept]), _chunks.rows(traps, kept)) if len(kept) else None

    def _traps_of_some(
        self, ys: State, chosen: list[int], smooth: Bool[np.ndarray, " ys"], rows: int
    ) -> TrappingRegion:
        places = np.resize(chosen, rows)
        traps = self._traps(_chunks.rows(ys, places), smooth[places])
        return jax.tree.map(lambda leaf: leaf[: len(chosen)], traps)

    def _traps(self, ys: State, smooth: Bool[np.ndarray, " ys"]) -> TrappingRegion:
        starts, ys = jax.tree.map(jnp.asarray, (self.starts, ys))
        found = _traps(self.field, starts, ys, jnp.asarray(smooth), self.args, self.update, self._rhythm)
        return _chunks.on_host(found)

    @functools.cached_property
    def _rhythm(self) -> Rhythm | None:
        if self.update is None:
            return None
        start = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), self.starts)
        return rhythm(self.update, self.field, start, self.args, strict=False)


def _smooth(found: Equilibria) -> Bool[np.ndarray, " ys"]:
    """Where the linear part tells anything."""
    return np.all(np.isfinite(np.asarray(found.jacobians)), axis=(1, 2))


@jit
def _traps(
    field: Field, starts: State, equilibria: State, smooth: Bool[Array, " ys"], args: Args,
    update: AbstractUpdate | None, known: Rhythm | None,
) -> TrappingRegion:  # fmt: skip
    def distance(y: State) -> Array:
        return jnp.max(jax.vmap(lambda start: _tree.norm(_tree.subtract(start, y)))(starts))

    def trap(y: State, smooth: Bool[Array, ""]) -> TrappingRegion:
        if update is None:
            found = flow_trap(field, y, args, distance(y))
        else:
            found = step_trap(update, field, y, args, distance(y), known)
        level, repels = jnp.where(smooth, found.level, 0), found.repels & smooth
        return eqx.tree_at(lambda t: (t.level, t.repels), found, (level, repels))

    return eqx.filter_vmap(trap)(equilibria, smooth)


def _apart(points: Float[np.ndarray, "ends n"], moved: Float[np.ndarray, " ends"]) -> Int[np.ndarray, " places"]:
    """One end of each place, those that have moved least first."""
    order = np.argsort(moved, kind="stable")
    cell = _SAME_END * float(np.max(np.ptp(points, axis=0), initial=0.0)) or 1.0
    _, first = np.unique(np.round(points[order] / cell), axis=0, return_index=True)
    return order[np.sort(first)]


def _together(*parts: State) -> State:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def flat(states: State) -> Float[np.ndarray, "states n"]:
    """States with a leading axis, as rows."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(states)]
    return np.concatenate([leaf.reshape(len(leaf), math.prod(leaf.shape[1:])) for leaf in leaves], axis=1)
