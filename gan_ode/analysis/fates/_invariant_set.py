"""The part of a state that moves: numbers that are 0, or constant, for ever are left out."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ..._types import Args, Field, State
from ._follower import Follower
from ._verdict import Verdict

# Larger states are taken as they are.
_LARGE = 1000


class Within(eqx.Module):
    """A field on the numbers that do not stay as they are for ever."""

    field: Field
    like: State
    kept: tuple[int, ...] = eqx.field(static=True)

    def whole(self, part: Array) -> State:
        flat, restore = ravel_pytree(self.like)
        return restore(flat.at[jnp.asarray(self.kept)].set(part))

    def __call__(self, t: Any, part: Array, args: Args) -> Array:
        return ravel_pytree(self.field(t, self.whole(part), args))[0][jnp.asarray(self.kept)]


def within_invariant_set(follower: Follower, y0: np.ndarray) -> tuple[np.ndarray, Within, Array] | None:
    """The field without numbers that never move: with velocity 0 everywhere, or while they are 0 themselves."""
    if follower.size > _LARGE:
        return None
    draw = np.random.default_rng(3)
    others = draw.standard_normal((24, len(y0))) * (1 + np.abs(y0)) * 10.0 ** draw.uniform(-1, 2, (24, 1))
    constant = _vanishes(follower, np.concatenate([y0[None], y0 + others, others]))
    still = constant | (y0 == 0)
    for _ in range(len(y0)):
        moved = np.where(still & ~constant, 0, others)
        stays = still & _vanishes(
            follower, np.concatenate([y0[None], y0 + moved, np.where(y0 == 0, moved, y0 + moved)])
        )
        if np.array_equal(stays, still):
            break
        still = stays
    if not np.any(still) or np.all(still):
        return None
    kept = np.flatnonzero(~still)
    like = follower.restore(jnp.asarray(y0, follower.dtype))
    return kept, Within(follower.field.field, like, tuple(map(int, kept))), jnp.asarray(y0[kept], follower.dtype)


def _vanishes(follower: Follower, points: np.ndarray) -> np.ndarray:
    """Of which numbers the velocity is exactly 0 at all points and at several times."""
    return np.all([np.all(follower.at(time).velocities(points) == 0, axis=0) for time in (0.0, 1.7, 113.7)], axis=0)


def in_the_whole(verdict: Verdict, field: Within, note: str) -> Verdict:
    """The verdict on the part that moves as one on the whole state."""
    found = verdict.equilibrium
    if found is not None:
        found = eqx.tree_at(lambda each: each.y, found, field.whole(found.y))
    return dataclasses.replace(verdict, equilibrium=found, reason=verdict.reason + note)
