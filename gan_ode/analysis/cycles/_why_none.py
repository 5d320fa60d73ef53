"""Why there is no cycle where a search found none: what the flow does from the start."""

from typing import Any

import jax
import numpy as np
import scipy.integrate
from jax.flatten_util import ravel_pytree

from ..._types import Args, Field, State
from ._periodic_orbit import SEARCHES

# Steps of the solver, and its relative tolerance: small components count as much as large ones.
_STEPS, _RTOL, _SMALLEST = 2000, 1e-11, 1e-140
# A state so many times as large as the start's has left.
_LARGE = 1e6
# A speed that is this part of the greatest is that of rest.
_RESTS = 1e-9
# A passage begins where the speed comes above this part of the greatest. So many are needed; the last must take so many
# times as long as the first, and durations grow in their last half by so much of what they grew by before.
_MOVES, _PASSAGES, _LONGER, _ON = 0.1, 5, 1.5, 0.5


def reason_of(field: Field, y0: State, args: Args) -> Any:
    """What the flow from a start does instead of going around; None if that is not told.

    Passages of a saddle that take ever longer, by a steady factor or by a steady time, are those of a connection: the
    distance from the saddle's stable manifold falls by a power each time, or by a factor. Those of a slow cycle, or on
    the way to one, come to a limit.
    """
    times, states, speeds = _followed(field, y0, args)
    start = 1 + np.linalg.norm(states[0])
    if not np.all(np.isfinite(states[-1])) or np.linalg.norm(states[-1]) > _LARGE * start:
        return SEARCHES.diverges
    if _ever_longer(times, speeds):
        return SEARCHES.connection
    return SEARCHES.settles if speeds[-1] < _RESTS * np.max(speeds) else None


def _followed(field: Field, y0: State, args: Args) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, states and speeds at the solver's own steps, which are dense where the flow is fast."""
    flat, restore = ravel_pytree(y0)

    # By itself, since it is called thousands of times: what looks at arguments takes longer than the field.
    compiled = jax.jit(lambda y: ravel_pytree(field(0.0, restore(y), args))[0])

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        return np.asarray(compiled(np.asarray(y, flat.dtype)), float)

    start = np.asarray(flat, float)
    solver = scipy.integrate.DOP853(velocity, 0.0, start, np.inf, rtol=_RTOL, atol=_SMALLEST)
    times, states, speeds = [0.0], [start], [float(np.linalg.norm(velocity(0.0, start)))]
    far = _LARGE * (1 + np.linalg.norm(start))
    for _ in range(_STEPS):
        if solver.status != "running" or not np.linalg.norm(states[-1]) <= far:
            break
        solver.step()
        times.append(solver.t)
        states.append(solver.y.copy())
        speeds.append(float(np.linalg.norm(solver.f)))
    return np.array(times), np.array(states), np.array(speeds)


def _ever_longer(times: np.ndarray, speeds: np.ndarray) -> bool:
    """Whether the flow stands still again and again, longer and longer without a limit in sight."""
    fast = speeds > _MOVES * np.max(speeds)
    begins = times[1:][fast[1:] & ~fast[:-1]]
    waits = np.diff(begins)
    if len(waits) < _PASSAGES:
        return False
    first, middle, last = waits[0], waits[len(waits) // 2], waits[-1]
    rises = np.mean(np.diff(waits) > 0) > 0.9
    return bool(rises and last > _LONGER * first and last - middle > _ON * (middle - first))
