"""Adaptive explicit Runge-Kutta steps of one member, in a loop that stays fast under `jax.vmap`."""

import dataclasses
import functools
import math
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Int

from ... import _tree
from ..._lowering import join_state, opaque, split_state
from ..._types import Args, Field, Scalar, State
from .. import _inputs
from .._diffrax_controllers import Guarded, Trial
from .._flow import Method
from .._orbit import Orbit
from .._outcome import outcome
from ._control import Control
from ._step import combine, Stages, TracedStages

# A window of save times that each step looks at, and how far it moves when all members are past its first ones: with
# more each step would cost more, with fewer more members would wait for others.
_GROUP, _WINDOW = 4, 8


def can_solve(how: Method) -> bool:
    """Whether this loop does what `diffeqsolve` would: explicit steps, PI control, nothing but save times."""
    return (
        isinstance(how.solver, TracedStages)
        and isinstance(how.controller, Guarded)
        and _is_plain(how.controller.controller)
        and isinstance(how.adjoint, diffrax.ForwardMode)
        and how.event is None
        and not how.dense
        and isinstance(how.meter, diffrax.NoProgressMeter)
    )


def _is_plain(controller: Any) -> bool:
    return (
        type(controller) is diffrax.PIDController
        and controller.norm is optx.rms_norm
        and controller.dtmin is None
        and controller.dtmax is None
    )


def solve(field: Field, y0: State, ts: Array, args: Args, how: Method, dense: np.ndarray | None, axis: str) -> Orbit:
    """What `flow(..., throw=False)` gives, of the methods that `can_solve`.

    The steps are Diffrax's, with the same tableau, control and dense output, in another arrangement: the state as
    scalars, so that a batch is a structure of arrays; powers as exponentials of logarithms; and some save times at a
    time, so that a batch need not ask at every step whether some member has something to save.

    Args:
        field: The field.
        y0: State at `ts[0]`.
        ts: Times to save at.
        args: Handed to the field.
        how: The method.
        dense: Coefficients of the solver's dense output, by `_dense.weights`; None where only the ends are wanted.
        axis: Of the members, for `jax.lax.pmax`.
    """
    _inputs.same_structure(field, ts[0], y0, args)
    between = ts.shape[0] - 2
    loop = _Loop(field, args, y0, how, ts[-1], axis, dense)
    now, inner = loop.start(ts[0], _WINDOW if between else 0), None
    if between:
        now, saved = jax.lax.scan(lambda now, times: loop.advance_past(now, times), now, _windows(ts))
        saved = jax.tree.map(lambda *leaves: jax.lax.collapse(jnp.stack(leaves, 1), 0, 2), *saved)
        inner = jax.tree.map(lambda leaf: leaf[:between], jax.vmap(lambda y: join_state(y, y0))(saved))
    now, _ = loop.advance_past(dataclasses.replace(now, saved=(), last=None), ts[-1:])
    return loop.close(now, ts, inner)


def _windows(ts: Array) -> Array:
    """The times between first and last, `_GROUP` new ones to a row, and beside them those of the next rows."""
    between = ts.shape[0] - 2
    rows = -(-between // _GROUP)
    padded = jnp.concatenate([ts[1:-1], jnp.repeat(ts[-1:], rows * _GROUP + _WINDOW - _GROUP - between)])
    groups = padded.reshape(-1, _GROUP)
    return jnp.concatenate([groups[i : i + rows] for i in range(_WINDOW // _GROUP)], axis=1)


def _combined(rows: np.ndarray, parts: list[State]) -> list[State]:
    return [combine(row, parts) for row in rows]


def _rms_norm(tree: State) -> Scalar:
    return _tree.norm(tree) / math.sqrt(sum(leaf.size for leaf in jax.tree.leaves(tree)))


class _LoopState(eqx.Module):
    """Where a member stands between two steps.

    Attributes:
        t: The time.
        t_next: End of the step to try next; as `t` where time can no longer advance.
        y: The state there, in scalars.
        velocity: The field there, where a step's last stage is the next one's first; else None.
        errors: What the control of step sizes remembers of those of the steps that were accepted.
        num_steps: Steps tried.
        num_accepted: Steps accepted.
        longest: Length of the longest step that was accepted.
        nonfinite: Whether the state at the end of the last step tried was not finite.
        saved: The states at the save times of a window; infinite where they were not reached.
        last: The last step that was accepted, to save from; None where nothing is saved on the way.
    """

    t: Scalar
    t_next: Scalar
    y: State
    velocity: State | None
    errors: tuple[Scalar, ...]
    num_steps: Int[Array, ""]
    num_accepted: Int[Array, ""]
    longest: Scalar
    nonfinite: Bool[Array, ""]
    saved: tuple[State, ...]
    last: "_Polynomial | None"


class _Polynomial(eqx.Module):
    """A step's dense output.

    Attributes:
        start: When the step starts.
        end: When it ends.
        coefficients: States, by the powers of what goes from -1 to 1 along the step.
    """

    start: Scalar
    end: Scalar
    coefficients: list[State]

    def fill(self, times: Array, saved: tuple[State, ...], where: Any = True) -> tuple[State, ...]:
        """The saved states, with those at times within the step."""
        middle, scale = (self.start + self.end) / 2, 2 / (self.end - self.start)

        def at(t: Array, before: State) -> State:
            s, y = (t - middle) * scale, self.coefficients[-1]
            for coefficient in reversed(self.coefficients[:-1]):
                y = _tree.step(coefficient, s, y)
            return _tree.where(where & (self.start < t) & (t <= self.end), y, before)

        return tuple(at(t, before) for t, before in zip(times, saved, strict=True))


class _Loop(eqx.Module):
    """The steps of one member: the problem, and how it is solved.

    Attributes:
        field: The field.
        args: Handed to it.
        y0: The start.
        how: The method.
        end: The last time.
        dense: Coefficients of the dense output in the stages; None where nothing is saved on the way.
    """

    field: Field
    args: Args
    y0: State
    how: Method
    end: Scalar
    axis: str = eqx.field(static=True)
    dense: np.ndarray | None

    @property
    def terms(self) -> Any:
        def velocity(t: Scalar, y: State, args: Args) -> State:
            return split_state(self.field(t, join_state(y, self.y0), args))

        return diffrax.ODETerm(velocity)  # pyright: ignore[reportArgumentType]

    @property
    def control(self) -> Control:
        return Control(self.how.controller.controller, self.how.solver.error_order(self.terms))

    def start(self, t0: Scalar, num_saved: int) -> _LoopState:
        y, terms, solver = split_state(self.y0), self.terms, self.how.solver
        # The same norm without a product of vectors, which would need another kernel.
        controller = eqx.tree_at(lambda c: c.norm, self.how.controller, _rms_norm)
        t_next, _ = controller.init(
            terms, t0, self.end, y, self.how.dt0, self.args, solver.func, solver.error_order(terms)
        )
        t_next = jnp.minimum(t_next, self.end)
        velocity = solver.init(terms, t0, t_next, y, self.args)
        nothing = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.inf), y)
        zero, none, no = jnp.zeros_like(t0), jnp.zeros((), jnp.int32), jnp.asarray(False)
        last = None if self.dense is None else _Polynomial(t0, t0, [_tree.zeros_like(y)] * len(self.dense))
        errors, saved = self.control.memory(t0), (nothing,) * num_saved
        return _LoopState(t0, t_next, y, velocity, errors, none, none, zero, no, saved, last)

    def advance_past(self, now: _LoopState, times: Array) -> tuple[_LoopState, tuple[State, ...]]:
        """Past the first times of a window, with the states there. Members that are, go on to the last ones."""
        goal = times[_GROUP - 1] if now.saved else times[-1]
        if now.last is not None:
            # Those that have just come into the window may lie in a step that was made.
            now = eqx.tree_at(lambda now: now.saved, now, now.last.fill(times, now.saved))

        def unfinished(now: _LoopState) -> Array:
            return (now.t < goal) & self.can_step(now)

        now = jax.lax.while_loop(
            lambda now: jax.lax.pmax(unfinished(now).astype(jnp.int32), self.axis) > 0,
            lambda now: self.step(now, times),
            now,
        )
        done, kept = now.saved[:_GROUP], now.saved[_GROUP:]
        nothing = tuple(jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.inf), y) for y in done)
        return eqx.tree_at(lambda now: now.saved, now, kept + nothing), done

    def can_step(self, now: _LoopState) -> Array:
        return (now.t_next > now.t) & (now.num_steps < self.how.max_steps)

    def step(self, now: _LoopState, times: Array) -> _LoopState:
        """One step, accepted or not. Source: Diffrax's `diffeqsolve` and `PIDController`."""
        solver, size = self.how.solver, now.t_next - now.t
        stages = solver.stages(self.terms, now.t, now.t_next, now.y, self.args, now.velocity)
        square, finite = opaque(self._squared_error)(stages)
        going = (now.t < times[-1]) & self.can_step(now)
        keep = going & (square < 1)
        factor, errors = self.control.factor(square, keep, now.errors)
        t = jnp.where(keep, now.t_next, now.t)
        t_next = t + size * factor.astype(size.dtype)
        stuck = t_next - t <= jnp.where(keep, 0, 4 * jnp.finfo(t.dtype).eps * jnp.abs(t))
        velocity = solver.memory(stages)
        last = self._polynomial(now, stages)
        return _LoopState(
            t=t,
            t_next=jnp.where(going, jnp.where(stuck, t, self._clipped(t, t_next, keep)), now.t_next),
            y=_tree.where(keep, stages.y1, now.y),
            velocity=None if velocity is None else _tree.where(keep, velocity, now.velocity),
            errors=errors,
            num_steps=now.num_steps + going,
            num_accepted=now.num_accepted + keep,
            longest=jnp.where(keep, jnp.maximum(now.longest, size), now.longest),
            nonfinite=jnp.where(going, ~finite, now.nonfinite),
            saved=now.saved if last is None else last.fill(times, now.saved, keep),
            last=None if last is None else _tree.where(keep, last, now.last),
        )

    def _polynomial(self, now: _LoopState, stages: Stages) -> _Polynomial | None:
        if now.last is None or self.dense is None:
            return None
        parts = [stages.y0, stages.y1, *self.how.solver.increments(self.terms, stages)]
        coefficients = opaque(functools.partial(_combined, self.dense))(parts)
        return _Polynomial(now.t, now.t_next, coefficients)

    def _squared_error(self, stages: Stages) -> tuple[Array, Array]:
        """The mean square of the errors in units of the tolerance, and whether the state is finite.

        Step sizes do not depend on it for derivatives.
        """
        pid, error = self.how.controller.controller, self.how.solver.error(self.terms, stages)

        def sum_of_squares(y0: Array, y1: Array, error: Array) -> Array:
            scale = pid.atol + pid.rtol * jnp.maximum(jnp.abs(y0), jnp.abs(y1))
            return jnp.sum(jnp.square(error / scale.astype(error.dtype)))

        sums = jax.tree.leaves(jax.tree.map(sum_of_squares, stages.y0, stages.y1, error))
        square = jax.lax.stop_gradient(jnp.asarray(sum(sums)) / sum(leaf.size for leaf in jax.tree.leaves(error)))
        finite = _tree.all_finite(stages.y1)
        return jnp.where(finite & ~jnp.isnan(square), square, jnp.inf), finite

    def _clipped(self, t: Scalar, t_next: Scalar, keep: Array) -> Scalar:
        """No step past the end, and none that leaves less than 100 roundings to it."""
        near = self.end - 100 * jnp.finfo(t.dtype).eps * jnp.abs(self.end)
        return jnp.where(t_next > near, jnp.where(keep, self.end, t + 0.5 * (self.end - t)), t_next)

    def close(self, now: _LoopState, ts: Array, inner: State | None) -> Orbit:
        """The orbit; `inner` are the states at all times but the first and the last."""
        y, reached = join_state(now.y, self.y0), now.t >= self.end
        stuck = ~reached & (now.t_next <= now.t)
        result = diffrax.RESULTS.where(stuck, diffrax.RESULTS.dt_min_reached, diffrax.RESULTS.max_steps_reached)
        result = diffrax.RESULTS.where(reached, diffrax.RESULTS.successful, result)
        trial = Trial(now.t, now.t_next - now.t, now.longest, now.nonfinite, jnp.asarray(False), stuck)

        def rows(first: Array, last: Array, *inner: Array) -> Array:
            return jnp.concatenate([first[None], *inner, jnp.where(reached, last, jnp.inf)[None]])

        return Orbit(
            ts=jnp.where(ts <= now.t, ts, jnp.inf),
            ys=jax.tree.map(rows, self.y0, y, *() if inner is None else (inner,)),
            stats={
                "max_steps": self.how.max_steps,
                "num_accepted_steps": now.num_accepted,
                "num_rejected_steps": now.num_steps - now.num_accepted,
                "num_steps": now.num_steps,
            },
            result=result,
            outcome=outcome(result, trial, False, self.y0, y, ts, now.t, self.how.max_steps),
            final_time=now.t,
            final_state=y,
        )
