"""The trajectories that a verdict is made of: one compiled program for every start, duration and tolerance."""

import copy
import dataclasses
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..._lowering import jit
from ..._types import Args, Field, State
from ...simulate import flow, OUTCOMES

SAMPLES = 1024
# A call that takes more steps has met a jump, or a field that is too stiff for the solver.
MAX_STEPS = 1 << 16
# Orders of magnitude below the tolerance at which a component of usual size is resolved absolutely.
_ATOL_OVER_RTOL = 1e-3
# Larger states have no matrix of all derivatives.
_DENSE = 1000
# Numbers of states that the field is compiled for: few, since each compiles anew.
_SHAPES = (64, 32_768)
# Stands for an absolute tolerance of zero, which would divide zero by zero where a component vanishes.
_TINY = {4: 1e-30, 8: 1e-290}


class FlatField(eqx.Module):
    """A field on flat states, from a time on.

    Attributes:
        field: The field.
        like: A state, for its structure.
        start: The time at which a trajectory's own time is 0.
    """

    field: Field
    like: State
    start: Array

    def __call__(self, t: Any, y: Array, args: Args) -> Array:
        velocity = self.field(self.start + t, ravel_pytree(self.like)[1](y), args)
        return ravel_pytree(velocity)[0].astype(y.dtype)


@dataclasses.dataclass(frozen=True)
class Path:
    """A trajectory in numbers, up to where it got.

    Attributes:
        ts: Evenly spaced times, shape `(times,)`.
        points: States there, shape `(times, n)`; interpolated between the solver's steps.
        velocities: The field there.
        end: The last state, to the solver's full order.
        end_time: When.
        outcome: How it ended, a name from `simulate.OUTCOMES`.
        num_steps: How many steps were taken.
    """

    ts: np.ndarray
    points: np.ndarray
    velocities: np.ndarray
    end: np.ndarray
    end_time: float
    outcome: str
    num_steps: int

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"

    @property
    def velocity_at_end(self) -> np.ndarray:
        return self.velocities[-1]


class Follower:
    """A field, and the programs that follow and linearize it, all on flat states of NumPy.

    Args:
        field: The field.
        y0: A state, for its structure and dtype.
        args: Handed to the field.
        solver: Diffrax solver.
        start: The time at which every trajectory starts.
        atol: Absolute tolerance; by the components' sizes if None.
    """

    def __init__(self, field: Field, y0: State, args: Args, solver: Any, start: float = 0.0, atol: float | None = None):
        flat, self.restore = ravel_pytree(y0)
        self.atol = atol
        self.dtype = np.dtype(flat.dtype)
        self.itemsize = max(self.dtype.itemsize, 4)
        self.size = int(flat.size)
        self.rounding = float(np.finfo(self.dtype).eps)
        self.field = FlatField(field, y0, jnp.asarray(start, flat.dtype))
        self.args, self.solver = args, solver
        self.num_steps = 0
        self.longest: Path | None = None
        self.scale = np.zeros(self.size)
        self.relative = np.zeros(self.size, bool)
        self.grain = np.zeros(self.size)

    def at(self, start: float) -> "Follower":
        """The same with the field's own time from there on."""
        later = copy.copy(self)
        later.field = eqx.tree_at(lambda field: field.start, self.field, jnp.asarray(start, self.dtype))
        return later

    def with_solver(self, solver: Any) -> "Follower":
        """The same by another solver, with its steps counted anew."""
        other = copy.copy(self)
        other.solver, other.num_steps, other.longest = solver, 0, None
        return other

    def grow(self, points: np.ndarray) -> None:
        """Lets sizes grow to those of states that were met."""
        self.scale = np.maximum(self.scale, np.ptp(points, axis=0))

    def scale_of_state(self, y: np.ndarray) -> np.ndarray:
        """What a state's components are large or small against where nothing has moved yet."""
        return np.maximum(np.abs(y), 1e-3 * np.max(np.abs(y), initial=0.0)) + 1e-12

    def look_at(self, points: np.ndarray) -> None:
        """Takes sizes of components, and which of them are invariant at 0, from states that were met."""
        self.scale = np.maximum(np.ptp(points, axis=0), 1e-3 * np.max(np.abs(points - points[0]), initial=0.0))
        self.scale = np.where(self.scale > 0, self.scale, np.maximum(np.max(np.abs(points), axis=0), 1e-300))
        # What rounding of the state makes of a component over its own time: no step can be better.
        matrix = np.abs(self.linearized(points[-1])[1]) if self.size <= _DENSE else np.zeros((0, 0))
        size = float(np.max(np.sum(matrix, axis=1), initial=0.0))
        if matrix.size and 0 < size < np.inf:
            self.grain = self.rounding * (matrix @ np.abs(points[-1])) / size
        chosen = points[:: max(len(points) // 8, 1)]
        spread = np.concatenate([chosen, 1.5 * chosen, 0.5 * chosen, 1.5 * chosen + 0.1 * self.scale])
        self.relative = np.all(points != 0, axis=0)
        for component in np.flatnonzero(self.relative):
            at_zero = spread.copy()
            at_zero[:, component] = 0
            self.relative[component] = np.all(self.velocities(at_zero)[:, component] == 0)

    def follow(self, y: np.ndarray, duration: float, rtol: float) -> Path:
        """The trajectory from a state over a duration."""
        floor = _TINY[self.itemsize]
        atol = np.where(
            self.relative, floor, np.maximum(np.maximum(_ATOL_OVER_RTOL * rtol * self.scale, self.grain), floor)
        )
        if self.atol is not None:
            atol = np.full(self.size, max(self.atol, floor))
        start, time, relative, absolute = (jnp.asarray(x, self.dtype) for x in (y, duration, rtol, atol))
        ts, points, velocities, end, end_time, outcome, steps = _follow(
            self.field, start, time, self.args, self.solver, relative, absolute
        )
        self.num_steps += int(steps)
        ts = np.asarray(ts)
        reached = np.isfinite(ts)
        self.last = Path(
            ts[reached].astype(float), np.asarray(points, float)[reached], np.asarray(velocities, float)[reached],
            np.asarray(end, float), float(end_time), _NAMES[int(outcome)], int(steps),
        )  # fmt: skip
        if self.longest is None or self.last.num_steps > self.longest.num_steps:
            self.longest = self.last
        return self.last

    def densely(self, y: np.ndarray, duration: float, rtol: float, pieces: int) -> np.ndarray:
        """States along a trajectory, more densely."""
        parts = []
        for _ in range(pieces):
            path = self.follow(y, duration / pieces, rtol)
            parts.append(path.points)
            y = path.end
        return np.concatenate(parts)

    def velocities(self, points: np.ndarray) -> np.ndarray:
        """The field at many states, in one of few shapes so that little is compiled."""
        num = len(points)
        padded = next((size for size in _SHAPES if size >= num), 1 << (num - 1).bit_length())
        rows = np.concatenate([points, np.repeat(points[-1:], padded - num, axis=0)])
        return np.asarray(_velocities(self.field, jnp.asarray(rows, self.dtype), self.args), float)[:num]

    def velocity(self, y: np.ndarray) -> np.ndarray:
        return self.velocities(y[None])[0]

    def linearized(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Velocity and Jacobian at a state."""
        velocity, matrix = _linearized(self.field, jnp.asarray(y, self.dtype), self.args)
        return np.asarray(velocity, float), np.asarray(matrix, float)


# By the number that an Enumeration's items are.
_NAMES: dict[int, str] = {
    int(np.asarray(getattr(OUTCOMES, name)._value)): name
    for name in (
        "ok", "event", "blow_up", "max_steps", "step_collapse", "nonfinite_field", "root_find_failed", "interrupted",
        "time_resolution",
    )
}  # fmt: skip


@jit
def _follow(
    field: FlatField, y: Float[Array, " n"], duration: Array, args: Args, solver: Any, rtol: Array, atol: Array
) -> tuple[Any, ...]:
    implicit = isinstance(solver, diffrax.AbstractImplicitSolver)
    p, i = (0.0, 1.0) if implicit else (0.2, 0.6)
    orbit = flow(
        field, y, duration * jnp.linspace(0, 1, SAMPLES + 1, dtype=y.dtype), args=args, solver=solver,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=p, icoeff=i), max_steps=MAX_STEPS,
        adjoint=diffrax.ForwardMode(), throw=False,
    )  # fmt: skip
    velocities = jax.vmap(lambda t, y: field(t, y, args))(orbit.ts, orbit.ys)
    steps = orbit.stats["num_steps"]
    return orbit.ts, orbit.ys, velocities, orbit.final_state, orbit.final_time, orbit.outcome._value, steps


@jit
def _velocities(field: FlatField, points: Float[Array, "points n"], args: Args) -> Float[Array, "points n"]:
    return jax.vmap(lambda y: field(0.0, y, args))(points)


@jit
def _linearized(field: FlatField, y: Float[Array, " n"], args: Args) -> tuple[Array, Array]:
    along = jax.vmap(lambda direction: jax.jvp(lambda y: field(0.0, y, args), (y,), (direction,)), out_axes=(None, -1))
    return along(jnp.eye(y.size, dtype=y.dtype))
