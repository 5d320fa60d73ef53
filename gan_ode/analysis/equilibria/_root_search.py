from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ..._lowering import jit
from ..._types import Args, Field, State
from ..linearization._jacobian import by_real_part
from ._find_one import search
from ._newton import flat_velocity, least_change, POLISH

# At a root the velocity is this small against that at the starts, or as small as rounding of the state makes it.
_SMALL = {4: 1e-5, 8: 1e-8}
_ROUNDINGS = 100
# And Newton's next step would be this short against the size of states. Down a velocity that fades at infinity the
# residual falls below any bound, but the step stays as long as the state.
_CONVERGED = 1e-3
# A search that ends so many times farther out than any start, and than 1, has run away.
_AWAY = 100
_PROBE_STEPS = 40


class Searches(eqx.Module):
    """The end of each search, and the field there.

    `slope` is that of the field between the start and the end, on the average.
    """

    y: State
    residual: Array
    jacobian: Array
    eigenvalues: Array
    velocity: Array
    slope: Array
    start_speed: Array


@jit
def search_all(field: Field, starts: State, args: Args, solver: Any, max_steps: int) -> Searches:
    """All searches at once."""

    def one(y0: State) -> Searches:
        flat, restore = ravel_pytree(search(field, y0, args, solver, max_steps)[0])
        velocity = flat_velocity(field, args, restore)
        # Damping slows Levenberg and Marquardt's method down where the Jacobian vanishes.
        end, residual = least_change(velocity, flat, POLISH, 0.0, 0.0)
        start = ravel_pytree(y0)[0]
        speed, length = jnp.linalg.norm(velocity(start)), jnp.linalg.norm(end - start)
        matrix = jax.jacfwd(velocity)(end)
        eigenvalues = by_real_part(jnp.linalg.eigvals(matrix))
        slope = speed / jnp.where(length > 0, length, jnp.inf)
        return Searches(restore(end), residual, matrix, eigenvalues, velocity(end), slope, speed)

    return jax.vmap(one)(starts)


def found(searches: Searches, flat: np.ndarray, size: float) -> np.ndarray:
    """Which searches ended where the field vanishes."""
    residuals, speeds, matrices = (
        np.asarray(part) for part in (searches.residual, searches.start_speed, searches.jacobian)
    )
    finite = np.isfinite(residuals) & np.all(np.isfinite(flat), axis=1) & np.all(np.isfinite(matrices), axis=(1, 2))
    usual = float(np.median(speeds[np.isfinite(speeds)])) if np.any(np.isfinite(speeds)) else 0.0
    vanishes, rounding = np.zeros(len(flat), bool), np.finfo(flat.dtype).eps
    for place in np.flatnonzero(finite):
        y, matrix = flat[place], matrices[place]
        noise = _ROUNDINGS * rounding * np.linalg.norm(np.abs(matrix) @ np.abs(y))
        step = np.linalg.pinv(matrix, rcond=np.sqrt(rounding)) @ np.asarray(searches.velocity[place])
        vanishes[place] = (
            residuals[place] <= _SMALL[max(flat.dtype.itemsize, 4)] * usual + noise
            and np.linalg.norm(step) <= _CONVERGED * size
            and np.linalg.norm(y) <= _AWAY * max(size, 1.0)
        )
    return vanishes


@jit
def walk(field: Field, args: Args, ends: State, steps: Array, tolerances: Array, zeros: Array) -> tuple[Array, Array]:
    """Steps away from the ends, and back to where the field vanishes: how far each got, and the residual there."""

    def one(end: State, step: Array, tolerance: Array, zero: Array) -> tuple[Array, Array]:
        origin, restore = ravel_pytree(end)
        x, residual = least_change(flat_velocity(field, args, restore), origin + step, _PROBE_STEPS, tolerance, zero)
        return x - origin, residual

    return jax.vmap(one)(ends, steps, tolerances, zeros)
