from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._rules import maker, Rule
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...simulate import flow, iterate, Orbit

_MATCH = "Follow the flow by `flow(field, y0, steps.ts)`, or with `dense=True`."


@printed
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

    def _report(self) -> Report:
        distance, ts = np.asarray(self.distance), np.asarray(self.ts)
        lines = {"largest": f"{number(self.largest)} at time {number(ts[np.argmax(distance)])}"}
        lines["at the end"] = f"{number(distance[-1])} at time {number(ts[-1])}"
        return Report(f"Two orbits at {len(ts):,} times: at most {number(self.largest)} apart", lines)


@printed
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

    def _report(self) -> Report:
        slopes = ["", *(number(slope) for slope in np.asarray(self.slopes))]
        columns = zip(np.asarray(self.step_sizes), np.asarray(self.errors), slopes, strict=True)
        rows = [(number(h), number(error), slope) for h, error, slope in columns]
        return Report(f"Observed order {number(self.order)}", {}, ("step size", "error", "slope"), rows)


@guarded()
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
    return _compare(steps.ts, there, steps.ys)


@jit
def _compare(ts: Array, there: State, here: State) -> Comparison:
    distance = _distance(there, here)
    return Comparison(ts, distance, jnp.max(distance))


def _distance(there: State, here: State) -> Float[Array, " times"]:
    """Row by row; infinite where either is not finite."""
    distance = jax.vmap(lambda a, b: _tree.norm(_tree.subtract(a, b)))(there, here)
    return jnp.where(jnp.isfinite(distance), distance, jnp.inf)


@guarded("y0")
def convergence(
    rule: Rule,
    field: Field,
    y0: State,
    duration: RealScalarLike,
    step_sizes: Float[Array | np.ndarray, " sizes"],
    *,
    args: Args = None,
    rtol: RealScalarLike = 1e-11,
    reference: Field | None = None,
    reference_at: Callable[[RealScalarLike], Field] | None = None,
) -> Convergence:
    """The observed order of an update as an integrator of the flow, over a ladder of step sizes.

    The whole ladder is one compiled program, and so is the flow.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field.
        y0: Initial state, in float64: the errors of a flow in float32 hide the order.
        duration: How long to follow, a multiple of every step size.
        step_sizes: The ladder; at least two.
        args: Handed to the field.
        rtol: Tolerance of the flow, to be well below the smallest error.
        reference: Another field whose flow to compare with.
        reference_at: Another field for each step size, for example the modified one:
            `lambda h: backward_error.modified_field(rule, field, h, order=3)`.

    Returns:
        Errors, slopes and the order.

    Raises:
        ValueError: If a step size does not divide the duration, or the ladder is too short.
    """
    if reference is not None and reference_at is not None:
        raise ValueError("`reference` and `reference_at` must not both be given: one field, or one for each step size.")
    length = float(np.asarray(duration))
    ladder, counts = _ladder(np.asarray(step_sizes, float), length)
    orbits = _orbits(
        maker(rule, field, y0, args), field, y0, jnp.asarray(ladder, _tree.dtype(y0)), int(counts.max()), args
    )
    times = [h * np.arange(count + 1) for h, count in zip(ladder, counts, strict=True)]
    # Times of different rungs that are the same but for rounding are one.
    union, rows = np.unique(np.round(np.concatenate(times) / length, 12), return_inverse=True)
    others = [reference or field] if reference_at is None else [reference_at(h) for h in jnp.asarray(ladder)]
    exact = [flow(other, y0, jnp.asarray(union * length), args=args, rtol=rtol).ys for other in others]
    splits = np.split(rows, np.cumsum([len(t) for t in times])[:-1])
    # Each rung's rows in the flow, repeated at the end up to the length of the longest.
    padded = np.stack([np.pad(row, (0, int(counts.max()) + 1 - len(row)), mode="edge") for row in splits])
    # One flow for each rung, though it be the same.
    flows = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(exact if len(exact) > 1 else exact * len(ladder)))
    return _measure(flows, orbits.ys, jnp.asarray(padded), jnp.asarray(counts), jnp.asarray(ladder))


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


@jit
def _orbits(rule: Callable, field: Field, y0: State, ladder: Array, num_steps: int, args: Args) -> Orbit:
    return jax.vmap(lambda h: iterate(rule(h), field, y0, num_steps, args=args))(ladder)


@jit
def _measure(flows: State, orbits: State, rows: Array, counts: Array, ladder: Array) -> Convergence:
    """Largest distances of the ladder's orbits from their flows; `rows` are their times in the flow."""

    def largest(rows: Array, count: Array, exact: State, here: State) -> Scalar:
        distance = _distance(jax.tree.map(lambda leaf: leaf[rows], exact), here)
        return jnp.max(jnp.where(jnp.arange(rows.shape[0]) <= count, distance, 0.0))

    errors = jax.vmap(largest)(rows, counts, flows, orbits)
    slopes = jnp.diff(jnp.log(errors)) / jnp.diff(jnp.log(ladder))
    return Convergence(ladder.astype(errors.dtype), errors, slopes, slopes[-1])


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
    if _checks.is_traced((orbit.ts, ts)):
        raise ValueError(f"`orbit` must have as many times as `steps` under a transformation. {_MATCH}")
    wanted, saved = np.asarray(ts), np.asarray(orbit.ts)
    rows = np.argmin(np.abs(saved[None, :] - np.where(np.isfinite(wanted), wanted, 0.0)[:, None]), axis=1)
    gaps = np.where(np.isfinite(wanted), np.abs(saved[rows] - wanted), 0.0)
    if np.any(gaps > 1e-6 * np.max(wanted, initial=0.0, where=np.isfinite(wanted))):
        raise ValueError(f"`orbit` must have a state at every time of `steps`, but has not. {_MATCH}")
    return jax.tree.map(lambda leaf: leaf[rows], orbit.ys)
