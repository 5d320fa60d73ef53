"""What an update settles on where it does not come to rest, and the ring around it."""

import dataclasses
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from ..._lowering import jit
from ..._types import State
from . import _ring
from ._follow_starts import Steps, vector
from ._ring import Ring

Evidence: TypeAlias = Literal["attracts", "family", "unproven", "changing", "open"]

# Steps that are kept. A half of them stands for the set, and growth is measured over the other half.
_KEPT = 2048
# A rule goes on for at least so many steps before, and for at most so many.
_SETTLE, _MOST = 4096, 200_000
# Orbits of up to so many steps, and how closely one has to repeat, relative to its size.
_MOST_STEPS = 64
_REPEATS = {4: 1e-4, 8: 1e-8}
# Over the steps that growth is measured over, a disturbance along a closed curve grows or shrinks by this factor at
# most, and one across it shrinks by that at least, as logarithms; less than the last is nothing.
_ALONG, _ACROSS, _NONE = 2.0, -4.0, 0.02
# So many turns have to be seen.
_TURNS = 2
# Points that stand for a closed curve are no farther apart, relative to half of its extents.
_FILLED = 0.2
# Neighbors of so many states, in so many directions, until this should be left of them, in so many steps.
_PLACES, _DIRECTIONS, _LEFT, _LEAST_NEIGHBORS, _MOST_NEIGHBORS = 8, 16, 0.05, 64, 8192
# A frame of more vectors takes too long.
_MOST_NUMBERS = 100


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """What an update settles on.

    Attributes:
        evidence: Whether it "attracts", is one of a "family", or could not be shown to attract ("unproven"); if it is
            no cycle, it spirals ("changing"), or is "open".
        period: Time of an orbit of a few steps, or the mean time of a turn of a closed curve; NaN if that goes around
            nothing.
        period_error: Its error.
        ring: The ring around it.
        ys: States of it, one for each point of the ring.
    """

    evidence: Evidence
    period: float
    period_error: float
    ring: Ring
    ys: State


class _Record(eqx.Module):
    """States and memories along an orbit, with the growth of a frame of disturbances."""

    resumes: Any
    xs: Float[Array, "steps m"]
    tangents: Float[Array, "steps m"]
    growth: Float[Array, "steps m"]


def recurrence(resume: Any, steps: Steps) -> Recurrence | None:
    """What an update settles on after a state and memory; None if there are too many numbers to tell."""
    if vector(*resume).size > _MOST_NUMBERS:
        return None
    record = _record(resume, steps)
    xs, tangents, growth = (np.asarray(each) for each in (record.xs, record.tangents, record.growth))
    scale = np.asarray(_ring.extents(record.xs))
    if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(growth)) and np.all(scale > 0)):
        return None
    late = xs[_KEPT // 2 :] / scale
    length = _length(late)
    # Where motion is quasi-periodic, so weighted means have no error that counts.
    total = np.sort([_KEPT // 2 * _smooth_mean(each) for each in growth[_KEPT // 2 :].T])[::-1]
    turns, error = (1 / length, 0.0) if length else _turns(xs[:, : ravel_pytree(resume[0])[0].size])
    evidence = _evidence(total, length) if turns * len(late) >= _TURNS or np.isnan(turns) else "open"
    chosen = np.arange(_ring.POINTS) % length if length else _spread_out(late, _ring.POINTS)
    gap = 0.0 if length else _gap(late, chosen)
    if evidence == "attracts" and gap > _FILLED:
        evidence = "open"
    chosen = chosen + _KEPT // 2
    along = np.zeros_like(xs[chosen]) if length else tangents[chosen] / scale
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), np.finfo(xs.dtype).tiny)
    ring = Ring(*(jnp.asarray(each, xs.dtype) for each in (xs[chosen], scale, along, gap, 0.0)))
    if evidence == "attracts":
        slowest = float(total[0] if length else total[1]) / (_KEPT // 2)
        # Along a fast orbit of a few steps, neighbors part for most of the way.
        num = int(np.clip(np.ceil(np.log(_LEFT) / slowest), _LEAST_NEIGHBORS, _MOST_NEIGHBORS))
        places = jax.tree.map(lambda leaf: leaf[_KEPT // 2 :: _KEPT // 2 // _PLACES], record.resumes)
        ring = _with_radius(ring, record.xs[_KEPT // 2 :], places, jnp.asarray(num), steps)
        if not ring.radius > 0:
            evidence = "unproven"
    step_size = float(steps.size)
    ys = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], record.resumes[0])
    return Recurrence(evidence, step_size / turns, step_size * error / turns**2, ring, ys)


def _length(xs: Float[np.ndarray, "steps m"]) -> int:
    """Steps after which an orbit repeats; 0 if it does not."""
    near = _REPEATS[max(xs.dtype.itemsize, 4)]
    for k in range(1, _MOST_STEPS + 1):
        if np.max(np.abs(xs[k:] - xs[:-k])) <= near:
            return k
    return 0


def _evidence(total: Float[np.ndarray, " m"], length: int) -> Evidence:
    """By the logarithms of the growth of a frame, the largest first."""
    both = total[0] + total[1] if len(total) > 1 else 0.0
    # Neighbors on curves that are gone around at other speeds part as time, though nothing grows.
    if abs(both) < _NONE and abs(total[0]) < _ALONG and len(total) > 1:
        return "family"
    if length:
        return "attracts" if total[0] < _ACROSS else "unproven"
    if len(total) < 2 or total[0] > _ALONG:
        return "open"
    if abs(total[0]) > _ALONG or both > 0:
        return "changing"
    return "attracts" if total[1] < _ACROSS else "unproven"


@jit
def _record(resume: Any, steps: Steps) -> _Record:
    burn = jnp.clip(steps.number, _SETTLE, _MOST)
    y, memory = resume

    def settle(n: Array, carry: Any) -> Any:
        return steps.step(steps.number + n, *carry)

    y, memory = jax.lax.fori_loop(0, burn, settle, (y, memory))

    def one(carry: Any, n: Array) -> tuple[Any, Any]:
        y, memory, frame = carry
        floats, rest = eqx.partition(memory, eqx.is_inexact_array)
        x, restore = ravel_pytree((y, floats))

        def step(x: Array) -> tuple[Array, Any]:
            y, floats = restore(x)
            y, memory = steps.step(steps.number + burn + n, y, eqx.combine(floats, rest))
            return vector(y, memory), (y, memory)

        _, push, (then, after) = jax.linearize(step, x, has_aux=True)
        pushed = jax.vmap(push, in_axes=1, out_axes=1)(frame)
        new, triangle = jnp.linalg.qr(pushed)
        growth = jnp.log(jnp.abs(jnp.diagonal(triangle)))
        return (then, after, new), ((y, memory), x, frame[:, 0], growth)

    # In general position, so that the first vector turns along the curve, which takes some steps.
    x = vector(y, memory)
    frame = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (x.size, x.size), x.dtype))[0]
    _, (resumes, xs, tangents, growth) = jax.lax.scan(one, (y, memory, frame), jnp.arange(_KEPT))
    return _Record(resumes, xs, tangents, growth)


def _spread_out(xs: Float[np.ndarray, "steps m"], number: int) -> Int[np.ndarray, " points"]:
    """So many points that are as far apart as may be."""
    chosen, near = [0], np.sum((xs - xs[0]) ** 2, axis=1)
    for _ in range(number - 1):
        chosen.append(int(np.argmax(near)))
        near = np.minimum(near, np.sum((xs - xs[chosen[-1]]) ** 2, axis=1))
    return np.array(chosen)


def _gap(xs: Float[np.ndarray, "steps m"], chosen: Int[np.ndarray, " points"]) -> float:
    """Twice the largest distance of a point from the chosen ones."""
    return 2 * max(float(np.min(np.linalg.norm(xs[chosen] - x, axis=1))) for x in xs)


@jit
def _with_radius(ring: Ring, xs: Float[Array, "steps m"], places: Any, num: Array, steps: Steps) -> Ring:
    """Neighbors at growing distances on all sides are followed for some steps, and have to come nearer by half."""
    distances = _ring.levels(jnp.max(jax.vmap(ring.distance)(xs)))
    around = jnp.asarray(_ring.directions(_DIRECTIONS, xs.shape[1]), xs.dtype)

    def left(resume: Any, move: Array) -> Array:
        y, memory = resume
        floats, rest = eqx.partition(memory, eqx.is_inexact_array)
        x, restore = ravel_pytree((y, floats))
        y, floats = restore(x + move)

        def step(n: Array, carry: Any) -> Any:
            return steps.step(steps.number + n, *carry)

        return ring.distance(vector(*jax.lax.fori_loop(0, num, step, (y, eqx.combine(floats, rest)))))

    moves = (distances[:, None, None] * ring.scale * around).reshape(-1, xs.shape[1])
    ends = jax.vmap(lambda resume: jax.vmap(lambda move: left(resume, move))(moves))(places)
    nearer = jnp.all(ends.reshape(-1, _ring.LEVELS, len(around)) <= distances[:, None] / 2, axis=(0, 2))
    return eqx.tree_at(lambda r: r.radius, ring, _ring.radius(distances, nearer))


def _turns(ys: Float[np.ndarray, "steps n"]) -> tuple[float, float]:
    """Turns in a step around the middle of a closed curve, in the plane in which it is widest, and their error."""
    away = ys - np.mean(ys, axis=0)
    if away.shape[1] < 2:
        return float("nan"), float("nan")
    _, _, axes = np.linalg.svd(away, full_matrices=False)
    z = away @ axes[0] + 1j * (away @ axes[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.angle(z[1:] / z[:-1]) / (2 * np.pi)
    half = len(turns) // 2
    whole, one, two = (_smooth_mean(part) for part in (turns, turns[:half], turns[half:]))
    return (abs(whole), max(abs(whole - one), abs(whole - two))) if whole else (float("nan"), float("nan"))


def _smooth_mean(values: np.ndarray) -> float:
    """With weights that vanish at both ends, as in `rotation_number`."""
    s = (np.arange(len(values)) + 1) / (len(values) + 1)
    return float(np.average(values, weights=np.exp(-1 / (s * (1 - s)))))
