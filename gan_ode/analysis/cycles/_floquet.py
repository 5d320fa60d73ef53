"""One turn of the flow, its derivative across the flow, and what follows from both: Newton steps and multipliers."""

from typing import Any, Literal, TypeAlias

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Inexact

from ... import _tree
from ..._types import Args, RealScalarLike, Scalar
from ...simulate import flow, Orbit, OUTCOMES
from ._smallest_sizes import FlatField, step_control

CycleType: TypeAlias = Literal["attracting", "neutral", "repelling", "saddle"]

# How far from 1 a multiplier counts as 1, where nothing is known of its error.
_NEUTRAL = {4: 1e-2, 8: 1e-6}
# A tolerance that a spiral is told by takes a method of low order this far.
_MAX_STEPS = 1 << 18


class Section(eqx.Module):
    """A plane that a flow crosses, and in which sense it is meant: along the normal for `sign = 1`, against it for -1.

    With `sign = 0` it is crossed nowhere.
    """

    origin: Float[Array, " n"]
    normal: Float[Array, " n"]
    sign: Scalar

    def height(self, y: Float[Array, " n"]) -> Scalar:
        return self.normal @ (y - self.origin)

    def __call__(self, t: Any, y: Float[Array, "n *columns"], args: Args, **kwargs: Any) -> Scalar:
        """An event: below zero until the crossing; the state may have displacements beside it."""
        point = y if y.ndim == 1 else y[:, 0]
        return jnp.where(self.sign == 0, -1, self.sign * self.height(point)).astype(y.dtype)


class Stretch(eqx.Module):
    """How a flat field is followed from a point.

    Attributes:
        solver: Diffrax solver.
        rtol: Relative tolerance.
        atol: Absolute tolerance of each component.
        beside: Of each component of displacements; these are of size 1.
        ts: Times to stop at and to save at, shape `(times,)`.
        size: Of the orbit, about.
        section: Where to end.
        with_displacements: Whether displacements are followed too; if not, they stay what they are.
    """

    solver: diffrax.AbstractSolver
    rtol: Scalar
    atol: Float[Array, " n"]
    beside: Float[Array, " n"]
    ts: Float[Array, " times"]
    size: Scalar
    section: Section
    with_displacements: Bool[Array, ""]

    def follow(self, field: Any, state: Array, args: Args, atol: Array) -> Orbit:
        return flow(
            field, state, self.ts, args=args, solver=self.solver, adjoint=diffrax.ForwardMode(), throw=False,
            stepsize_controller=step_control(self.solver, self.rtol, atol), exact_times=True,
            events=diffrax.Event(self.section, direction=True), max_steps=_MAX_STEPS,
        )  # fmt: skip


class Turn(eqx.Module):
    """A flow over a trial period from a point, and how its end depends on the point.

    Attributes:
        period: The trial period.
        ts: Evenly spaced times from 0 to the period, shape `(times,)`.
        ys: States there, shape `(times, n)`.
        velocities: Velocities there.
        across: Orthonormal directions across the flow at the point, shape `(n, n - 1)`.
        pushed: What the flow makes of them by the end.
        pushed_along: The same at all times, shape `(times, n, n - 1)`; None if taken by differences.
        mismatch: How far the flow's derivative fails to take the velocity at the start to that at the end, relative to
            the latter: beyond rounding only if the field jumps on the way.
        num_steps: Number of steps taken.
        outcome: How the flow ended.
        end: Where.
        end_time: When.
    """

    period: Scalar
    ts: Float[Array, " times"]
    ys: Float[Array, "times n"]
    velocities: Float[Array, "times n"]
    across: Float[Array, "n m"]
    pushed: Float[Array, "n m"]
    pushed_along: Float[Array, "times n m"] | None
    mismatch: Scalar
    num_steps: Array
    outcome: OUTCOMES
    end: Float[Array, " n"]
    end_time: Scalar

    @property
    def ok(self) -> Bool[Array, ""]:
        """Whether the flow got to the end."""
        return self.outcome == OUTCOMES.ok

    @property
    def normal(self) -> Float[Array, " n"]:
        """The direction of the flow at the point."""
        return self.velocities[0] / jnp.linalg.norm(self.velocities[0])

    @property
    def gap(self) -> Float[Array, " n"]:
        """From the point to where the flow ends."""
        return self.ys[-1] - self.ys[0]

    @property
    def size(self) -> Scalar:
        """Largest distance from the point."""
        return jnp.max(jnp.linalg.norm(self.ys - self.ys[0], axis=1))

    @property
    def monodromy(self) -> Float[Array, "n n"]:
        """Derivative of the end with respect to the point; along the flow it is known without integrating."""
        speed = jnp.linalg.norm(self.velocities[0])
        return jnp.outer(self.velocities[-1] / speed, self.normal) + self.pushed @ self.across.T

    @property
    def return_map(self) -> Float[Array, "m m"]:
        """Derivative of the return map of the section across the flow at the point."""
        return self.on_section(self.pushed)

    def on_section(self, vectors: Float[Array, "n *columns"]) -> Float[Array, "m *columns"]:
        """Slides displacements of the end along the flow back to the section; their coordinates on it."""
        late = (self.normal @ vectors) / (self.normal @ self.velocities[-1])
        return self.across.T @ (vectors - jnp.tensordot(self.velocities[-1], late, 0))


class _Variational(eqx.Module):
    """The field and what it does to displacements, followed together so that the tolerances hold for both."""

    field: FlatField
    moves: Bool[Array, ""]

    def __call__(self, t: Any, state: Array, args: Args) -> Array:
        velocity, push = jax.linearize(lambda y: self.field(t, y, args), state[:, 0])
        push_each = jax.vmap(push, in_axes=1, out_axes=1)
        pushed = jax.lax.cond(self.moves, push_each, jnp.zeros_like, state[:, 1:])
        return jnp.concatenate([velocity[:, None], pushed], axis=1)


def turn(field: FlatField, y: Float[Array, " n"], args: Args, how: Stretch) -> Turn:
    """Follows the flow for a trial period, with its derivative by forward mode."""
    velocity = field(0.0, y, args)
    across = directions_across(velocity)
    displacements = jnp.concatenate([(velocity / jnp.linalg.norm(velocity))[:, None], across], axis=1)
    atol = jnp.concatenate([how.atol[:, None], jnp.tile(how.beside[:, None], len(y))], axis=1)
    state = jnp.concatenate([y[:, None], jnp.where(how.with_displacements, displacements, 0)], axis=1)
    orbit = how.follow(_Variational(field, how.with_displacements), state, args, atol)
    ys, pushed = orbit.ys[:, :, 0], orbit.ys[:, :, 1:]
    velocities = jax.vmap(lambda y: field(0.0, y, args))(ys)
    apart = jnp.linalg.norm(jnp.linalg.norm(velocity) * pushed[-1, :, 0] - velocities[-1])
    along = pushed[:, :, 1:]
    return Turn(
        period=how.ts[-1],
        ts=how.ts,
        ys=ys,
        velocities=velocities,
        across=across,
        pushed=along[-1],
        pushed_along=along,
        mismatch=apart / jnp.linalg.norm(velocities[-1]),
        num_steps=orbit.stats["num_steps"],
        outcome=orbit.outcome,
        end=orbit.final_state[:, 0],
        end_time=orbit.final_time,
    )


def turn_by_differences(field: FlatField, y: Float[Array, " n"], args: Args, how: Stretch) -> Turn:
    """Follows the flow for a trial period, with its derivative by differences: for fields that jump."""
    across = directions_across(field(0.0, y, args))
    # Where truncation, of the order of the step squared, meets the error of the flow over the step.
    step = jnp.where(how.with_displacements, jnp.cbrt(how.rtol) * how.size, 0)
    starts = jnp.concatenate([y[None], y + step * across.T, y - step * across.T])
    orbits = jax.vmap(lambda start: how.follow(field, start, args, how.atol))(starts)
    ahead, behind = jnp.split(orbits.ys[1:, -1], 2)
    orbit = _tree.first(orbits)
    return Turn(
        period=how.ts[-1],
        ts=how.ts,
        ys=orbit.ys,
        velocities=jax.vmap(lambda y: field(0.0, y, args))(orbit.ys),
        across=across,
        pushed=((ahead - behind) / (2 * step)).T,
        pushed_along=None,
        mismatch=jnp.zeros_like(step),
        num_steps=orbit.stats["num_steps"],
        outcome=orbit.outcome,
        end=orbit.final_state,
        end_time=orbit.final_time,
    )


def untried_turn(y: Float[Array, " n"], period: Scalar, num_samples: int, differences: bool) -> Turn:
    """What stands for a turn that was not followed: finite, and of the right shape."""
    ts = period * even_shares(num_samples, period.dtype)
    velocities = jnp.zeros((ts.size, y.size), y.dtype).at[:, 0].set(1)
    across = directions_across(velocities[0])
    return Turn(
        period=period,
        ts=ts,
        ys=jnp.tile(y, (ts.size, 1)),
        velocities=velocities,
        across=across,
        pushed=2 * across,
        pushed_along=None if differences else jnp.tile(2 * across, (ts.size, 1, 1)),
        mismatch=jnp.zeros_like(period),
        num_steps=jnp.asarray(0),
        outcome=jax.tree.map(jnp.asarray, OUTCOMES.ok),
        end=y,
        end_time=period,
    )


def even_shares(num_samples: int, dtype: Any) -> Float[Array, " times"]:
    return jnp.linspace(0, 1, num_samples + 1, dtype=dtype)


def directions_across(velocity: Float[Array, " n"]) -> Float[Array, "n m"]:
    """Orthonormal directions orthogonal to the velocity, by Householder's reflection."""
    one = jnp.zeros_like(velocity).at[0].set(jnp.where(velocity[0] < 0, -1.0, 1.0))
    mirror = velocity / jnp.linalg.norm(velocity) + one
    reflection = jnp.eye(velocity.size, dtype=velocity.dtype) - 2 * jnp.outer(mirror, mirror) / (mirror @ mirror)
    return reflection[:, 1:]


class Correction(eqx.Module):
    """How a gap is closed: Newton's method for the point across the flow, and for the period.

    Directions in which the return map does not contract or expand, those along a family of cycles, are left alone.

    Attributes:
        inverse: From a gap on the section to the step that closes it.
        family: The projection onto what is left alone; coordinates are those across the flow.
        left_open: The projection onto the part of a gap that no step closes.
        most_neutral: The direction in which the return map is nearest to the identity.
        amplification: How much larger than a gap the step is at most.
        num_neutral: How many directions are left alone.
    """

    inverse: Float[Array, "m m"]
    family: Float[Array, "m m"]
    left_open: Float[Array, "m m"]
    most_neutral: Float[Array, " m"]
    amplification: Scalar
    num_neutral: Array

    @classmethod
    def of(cls, turn: Turn, neutral: Scalar, num_family: Array | int = 0) -> "Correction":
        """How to close a turn.

        Args:
            turn: The turn.
            neutral: Directions in which the return map is the identity up to this are left alone.
            num_family: And at least so many.
        """
        identity = jnp.eye(turn.across.shape[1], dtype=turn.across.dtype)
        u, singular, vt = jnp.linalg.svd(turn.return_map - identity)
        # While the end is still off the section, so is the return map, by about as much.
        unsure = 10 * jnp.abs(turn.normal @ turn.gap) / turn.size
        moves = singular > (neutral + unsure) * (1 + singular[0])
        moves = moves & (jnp.arange(len(singular)) < len(singular) - num_family)
        factors = jnp.where(moves, 1 / jnp.where(moves, singular, 1), 0)
        left = jnp.where(moves, 0, 1).astype(identity.dtype)[:, None]
        return cls(
            inverse=vt.T @ (factors[:, None] * u.T),
            family=vt.T @ (left * vt),
            left_open=u @ (left * u.T),
            most_neutral=vt[-1],
            amplification=jnp.max(factors),
            num_neutral=jnp.sum(~moves),
        )

    def closing(self, turn: Turn, gap: Float[Array, " n"]) -> tuple[Float[Array, " m"], Scalar]:
        """Coordinates of the step across the flow that closes a gap, and the change of the period."""
        step = -self.inverse @ turn.on_section(gap)
        late = turn.normal @ (gap + turn.pushed @ step) / (turn.normal @ turn.velocities[-1])
        return step, -late


def floquet_multipliers(turn: Turn) -> Complex[Array, " n"]:
    """The 1 of the flow's own direction first, then those of the return map by falling modulus.

    Taken from the return map, multipliers of a neutral family are as exact as the flow. As eigenvalues of the monodromy
    matrix they would form a Jordan block with the trivial one, and be exact only to the square root of that.
    """
    values = jnp.linalg.eigvals(turn.return_map)
    trivial = jnp.ones((1,), values.dtype)
    return jnp.concatenate([trivial, values[jnp.argsort(-jnp.abs(values))]])


def cycle_type(multipliers: Inexact[Array | np.ndarray, " n"], tolerance: RealScalarLike | None = None) -> CycleType:
    r"""What kind of cycle has these Floquet multipliers.

    The multiplier nearest to 1 is that of a shift along the orbit, which every cycle has, and is left out.

    Args:
        multipliers: Of one period, shape `(n,)`; concrete.
        tolerance: How far from modulus 1 counts as 1; by default 1e-6, in single precision 1e-2. A cycle's own is
            `cycle.resolution`, which comes from what two tolerances make of its multipliers.

    Returns:
        "attracting" if all others are below 1 in modulus; "neutral" if the largest is 1: then the linear part does not
        decide, or the cycle is one of a family; "saddle" if some are above and some below, else "repelling".

    Raises:
        ValueError: If a multiplier is not finite.
    """
    values = np.asarray(multipliers, complex)
    if not np.all(np.isfinite(values)):
        raise ValueError("`multipliers` must be finite, but some are not: was the cycle found?")
    single = np.finfo(np.asarray(multipliers).dtype).bits == 32
    near = _NEUTRAL[4 if single else 8] if tolerance is None else float(np.asarray(tolerance))
    others = np.abs(np.delete(values, np.argmin(np.abs(values - 1))))
    if np.any(others > 1 + near):
        return "saddle" if np.any(others < 1 - near) else "repelling"
    return "attracting" if np.all(others < 1 - near) else "neutral"
