"""The ring around a closed orbit of a flow."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..._lowering import jit
from ..._types import Args, Field
from ...simulate import ensemble, flow
from ..cycles._find import PeriodicOrbit
from ..cycles._floquet import directions_across
from . import _ring
from ._ring import Ring

# Neighbors stand beside so many points of the cycle, in so many directions where there are more than two.
_PLACES, _DIRECTIONS = 8, 24
# Far below what the neighbors come nearer by.
_RTOL = {4: 1e-6, 8: 1e-9}
# How often points are spread along the cycle, each time with the extents of those before.
_ROUNDS = 3
# Neighbors are followed for so many turns at most, and until what is left of them should be this.
_MOST_TURNS, _LEFT = 64.0, 0.5


class _WithLength(eqx.Module):
    """The flow, and how long its way is."""

    velocity: Callable
    scale: Float[Array, " n"]

    def __call__(self, t: Any, state: tuple[Array, Array], args: Args) -> tuple[Array, Array]:
        velocity = self.velocity(t, state[0], args)
        return velocity, jnp.linalg.norm(velocity / self.scale)


class _ByLength(eqx.Module):
    """The flow at speed 1: its time is the length of the way."""

    velocity: Callable
    scale: Float[Array, " n"]

    def __call__(self, t: Any, y: Array, args: Args) -> Array:
        velocity = self.velocity(t, y, args)
        return velocity / jnp.linalg.norm(velocity / self.scale)


@jit
def ring_of_flow(field: Field, cycle: PeriodicOrbit, args: Args, solver: diffrax.AbstractSolver | None) -> Ring:
    """The ring around a cycle that attracts; of radius 0 if its neighbors were not seen to come nearer.

    Neighbors at growing distances on all sides are followed for some turns. At each distance up to the radius all of
    them have to come nearer, by half of what the largest multiplier makes of a small one at least.
    """
    start, restore = ravel_pytree(cycle.y)
    rtol, zero = _RTOL[max(start.dtype.itemsize, 4)], jnp.zeros_like(cycle.period)

    def velocity(t: Any, y: Array, args: Args) -> Array:
        return ravel_pytree(field(0.0, restore(y), args))[0]

    def along(scale: Array) -> tuple[Array, Array]:
        """Points that are evenly spread along the cycle, and its length."""
        how = {**options(scale), "adjoint": diffrax.ForwardMode(), "throw": False}
        _, length = flow(
            _WithLength(velocity, scale), (start, zero), jnp.stack([zero, cycle.period]), **how
        ).final_state
        at = length * jnp.arange(2 * _ring.POINTS, dtype=start.dtype) / (2 * _ring.POINTS)
        return flow(_ByLength(velocity, scale), start, at, exact_times=True, **how).ys, length

    def options(scale: Array) -> dict[str, Any]:
        return {"args": args, "solver": solver, "rtol": rtol, "atol": rtol * jnp.max(scale)}

    def again(_: Any, found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        scale = _ring.extents(found[1])
        return scale, *along(scale)

    # States at even times may miss how far it gets where it is fast, and those at even lengths depend on the scale.
    times = jax.vmap(lambda y: ravel_pytree(y)[0])(cycle.orbit.ys)
    first = times[jnp.arange(2 * _ring.POINTS) * len(times) // (2 * _ring.POINTS)]
    found = (jnp.zeros_like(start), first, zero)
    # Every other point is left out of the ring, and tells how well that stands for the cycle.
    scale, points, length = jax.lax.fori_loop(0, _ROUNDS, again, found)
    tangents = jax.vmap(lambda y: velocity(0.0, y, args) / scale)(points)
    tangents = tangents / jnp.linalg.norm(tangents, axis=1, keepdims=True)
    ring = Ring(points[::2], scale, tangents[::2], length / _ring.POINTS, zero)
    distances = _ring.levels(jnp.max(jax.vmap(ring.distance)(points[1::2])))
    largest = jnp.max(jnp.abs(cycle.multipliers[1:])).astype(start.dtype)
    turns = jnp.clip(jnp.ceil(jnp.log(_LEFT) / jnp.log(largest)), 1, _MOST_TURNS)
    places = slice(None, None, _ring.POINTS // _PLACES)
    neighbors = jax.vmap(lambda x, tangent: x + distances[:, None, None] * scale * _beside(tangent))(
        ring.points[places], ring.tangents[places]
    )
    ts = jnp.stack([zero, turns * cycle.period])
    ends = ensemble(velocity, neighbors.reshape(-1, start.size), ts, **options(scale)).final_state
    left = jax.vmap(ring.distance)(ends).reshape(_PLACES, _ring.LEVELS, -1)
    nearer = jnp.all(left <= distances[:, None] * (1 + largest**turns) / 2, axis=(0, 2))
    return eqx.tree_at(lambda r: r.radius, ring, _ring.radius(distances, nearer))


def _beside(tangent: Float[Array, " n"]) -> Float[Array, "directions n"]:
    """Unit vectors across the flow."""
    num = 2 if tangent.size == 2 else _DIRECTIONS
    around = jnp.asarray(_ring.directions(num, tangent.size - 1), tangent.dtype)
    return around @ directions_across(tangent).T
