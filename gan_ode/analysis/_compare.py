from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..simulate import flow, iterate, Orbit
from ..updates import AbstractUpdate


class Comparison(eqx.Module):
    """How far two orbits are apart, at matched times.

    Attributes:
        ts: Times, shape `(times,)`.
        distance: Euclidean distance of the states; infinite where either orbit was not reached.
        largest: The largest distance: infinite if one of them blew up.
    """

    ts: Float[Array, " times"]
    distance: Float[Array, " times"]
    largest: Scalar


class Convergence(eqx.Module):
    """Errors over a ladder of step sizes.

    Attributes:
        step_sizes: Shape `(sizes,)`, falling.
        errors: Largest distance from the flow at matched times, shape `(sizes,)`.
        slopes: Slopes between neighbors on the logarithmic plot, shape `(sizes - 1,)`.
        order: The observed order: the slope between the two smallest step sizes.
    """

    step_sizes: Float[Array, " sizes"]
    errors: Float[Array, " sizes"]
    slopes: Float[Array, " slopes"]
    order: Scalar


def compare(orbit: Orbit, steps: Orbit) -> Comparison:
    """The distance of two orbits at matched times, $t = n h$ for an update.

    Args:
        orbit: The flow's; it must have been saved at the update's times, or have dense output.
        steps: The update's.

    Returns:
        The distance at the update's times.

    Raises:
        ValueError: If the flow has no state at a time of the update.
    """
    there = orbit.ys if _same_times(orbit.ts, steps.ts) else _at(orbit, steps.ts)
    reached = jnp.isfinite(steps.ts) & jnp.isfinite(jax.tree.leaves(there)[0].reshape(steps.ts.shape[0], -1)[:, 0])
    distance = jax.vmap(lambda a, b: _tree.norm(_tree.subtract(a, b)))(there, steps.ys)
    distance = jnp.where(reached, distance, jnp.inf)
    return Comparison(steps.ts, distance, jnp.max(distance))


def convergence(
    update: Callable[[RealScalarLike], AbstractUpdate],
    field: Field,
    y0: State,
    duration: RealScalarLike,
    step_sizes: Float[Array | np.ndarray, " sizes"],
    args: Args = None,
    *,
    rtol: RealScalarLike = 1e-11,
    reference: Field | None = None,
) -> Convergence:
    """The observed order of an update as an integrator of the flow, over a ladder of step sizes.

    The whole ladder is one compiled program, and so is the flow.

    Args:
        update: A class of update that takes the step size, or a function from step size to update.
        field: The field.
        y0: Initial state, in float64: the errors of a flow in float32 hide the order.
        duration: How long to follow, a multiple of every step size.
        step_sizes: The ladder; at least two.
        args: Handed to the field.
        rtol: Tolerance of the flow, to be well below the smallest error.
        reference: Another field whose flow to compare with, for example a modified one.

    Returns:
        Errors, slopes and the order.

    Raises:
        ValueError: If a step size does not divide the duration, or the ladder is too short.
    """
    length = float(np.asarray(duration))
    ladder, counts = _ladder(np.asarray(step_sizes, float), length)
    orbits = _orbits(update, field, y0, jnp.asarray(ladder, _tree.dtype(y0)), int(counts.max()), args)
    times = [h * np.arange(count + 1) for h, count in zip(ladder, counts, strict=True)]
    # Times of different rungs that are the same but for rounding are one.
    union, rows = np.unique(np.round(np.concatenate(times) / length, 12), return_inverse=True)
    exact = flow(reference or field, y0, jnp.asarray(union * length), args=args, rtol=rtol)
    splits = np.split(rows, np.cumsum([len(t) for t in times])[:-1])
    errors = jnp.stack([_largest(exact, orbits, i, row) for i, row in enumerate(splits)])
    slopes = jnp.diff(jnp.log(errors)) / jnp.diff(jnp.log(jnp.asarray(ladder)))
    return Convergence(jnp.asarray(ladder, errors.dtype), errors, slopes, slopes[-1])


def _ladder(sizes: np.ndarray, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Step sizes from large to small, and how many steps each makes."""
    if sizes.ndim != 1 or len(sizes) < 2:
        raise ValueError(f"`step_sizes` must hold at least two sizes to see a slope, but has shape {sizes.shape}.")
    if not (np.all(np.isfinite(sizes)) and np.all(sizes > 0)):
        raise ValueError(f"`step_sizes` must be above 0 and finite, but are {sizes}.")
    sizes = np.sort(sizes)[::-1]
    counts = np.maximum(np.round(duration / sizes), 1).astype(int)
    for h, count in zip(sizes, counts, strict=True):
        if abs(count * h - duration) > 1e-6 * duration:
            raise ValueError(
                f"`step_sizes` must divide `duration`, {duration:g}, but {h:g} does not: take {duration / count:g}."
            )
    return sizes, counts


@eqx.filter_jit
def _orbits(update: Callable, field: Field, y0: State, ladder: Array, num_steps: int, args: Args) -> Orbit:
    return jax.vmap(lambda h: iterate(update(h), field, y0, num_steps, args=args))(ladder)


def _largest(exact: Orbit, orbits: Orbit, rung: int, rows: np.ndarray) -> Scalar:
    """The largest distance of one orbit of the ladder from the flow; `rows` are its times in the flow."""
    there = jax.tree.map(lambda leaf: leaf[rows], exact.ys)
    here = jax.tree.map(lambda leaf: leaf[rung, : len(rows)], orbits.ys)
    distance = jax.vmap(lambda a, b: _tree.norm(_tree.subtract(a, b)))(there, here)
    return jnp.max(jnp.where(jnp.isfinite(distance), distance, jnp.inf))


def _same_times(left: Array, right: Array) -> bool:
    if left.shape != right.shape:
        return False
    if _checks.is_traced((left, right)):
        return True
    both = np.isfinite(left) & np.isfinite(right)
    return bool(np.allclose(np.asarray(left)[both], np.asarray(right)[both], rtol=1e-6, atol=0))


def _at(orbit: Orbit, ts: Array) -> State:
    if orbit.interpolation is not None:
        return jax.vmap(orbit.evaluate)(jnp.minimum(ts, orbit.final_time))
    rows = jnp.argmin(jnp.abs(orbit.ts[None, :] - ts[:, None]), axis=1)
    gap = jnp.where(jnp.isfinite(ts), jnp.abs(orbit.ts[rows] - ts), 0.0)
    if _checks.is_traced(gap) or jnp.any(gap > 1e-6 * jnp.max(jnp.where(jnp.isfinite(ts), ts, 0.0))):
        raise ValueError(
            "`orbit` must have a state at every time of `steps`, but has not: follow the flow by "
            "`flow(field, y0, steps.ts)`, or with `dense=True`."
        )
    return jax.tree.map(lambda leaf: leaf[rows], orbit.ys)
