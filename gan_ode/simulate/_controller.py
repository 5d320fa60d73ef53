from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, PyTree

from .. import _tree
from .._types import Args, RealScalarLike, Scalar, State


class Trial(eqx.Module):
    """What the last trial step was like; from it a failed solve gets its name.

    Attributes:
        size: Length of the step proposed after it.
        nonfinite: Whether its state was not finite.
        unsolved: Whether its implicit equations were not solved.
        stuck: Whether time no longer advanced.
    """

    size: Scalar
    nonfinite: Bool[Array, ""]
    unsolved: Bool[Array, ""]
    stuck: Bool[Array, ""]


class Guarded(diffrax.AbstractAdaptiveStepSizeController[Any, Any]):
    """A Diffrax step size controller, guarded against three traps.

    A trial step that overflows is rejected and retried smaller; by itself `PIDController` gets infinity over infinity,
    and then rejects every later step. The first step is chosen from the field by Hairer's rule; `dt0=None` means 0.01
    otherwise. Steps too small for time to advance end the solve.

    Source: first step: Hairer, Norsett and Wanner (1993), Solving Ordinary Differential Equations I, section II.4.

    Args:
        controller: The controller to guard, for example a `diffrax.PIDController`.
        rtol: Relative tolerance, which implicit solvers take for their root finder.
        atol: Absolute tolerance, likewise.
    """

    controller: diffrax.AbstractStepSizeController
    rtol: RealScalarLike
    atol: RealScalarLike
    norm: Callable[[PyTree], Any] = optx.rms_norm

    def wrap(self, direction: Any) -> "Guarded":
        return eqx.tree_at(lambda c: c.controller, self, self.controller.wrap(direction))

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: State, dt0: Any, args: Args, func: Callable, error_order: Any
    ) -> tuple[Any, Any]:
        if dt0 is None:
            dt0 = self._first_step(lambda t, y: func(terms, t, y, args), t0, t1, y0, error_order)
        t_next, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        no = jnp.asarray(False)
        return t_next, (state, Trial(jnp.asarray(t_next - t0), no, no, no))

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: State, y1_candidate: State, args: Args, y_error: Any, error_order: Any,
        controller_state: Any,
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:  # fmt: skip
        inner, _ = controller_state
        finite = _tree.all_finite(y1_candidate)
        unsolved = finite & jnp.isinf(_tree.largest(y_error))
        keep, t_from, t_to, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, _tree.where(finite, y1_candidate, y0), args, _tree.where(finite, y_error, jnp.inf), error_order,
            inner,
        )  # fmt: skip
        size = jnp.asarray(t_to - t_from)
        least = jnp.where(keep, 0, 4 * jnp.finfo(size.dtype).eps * jnp.abs(t_from))
        stuck = jnp.less_equal(size, least)
        result = diffrax.RESULTS.where(stuck, diffrax.RESULTS.dt_min_reached, result)
        return keep, t_from, t_to, jump, (inner, Trial(size, ~finite, unsolved, stuck)), result

    def _first_step(self, field: Callable, t0: Any, t1: Any, y0: State, error_order: Any) -> Scalar:
        scale = jax.tree.map(lambda y: self.atol + self.rtol * jnp.abs(y), y0)

        def size(tree: State) -> Scalar:
            return self.norm(jax.tree.map(lambda x, s: jnp.asarray(x / s, x.dtype), tree, scale))

        def probe(point: tuple[Any, State], _: None) -> tuple[Any, Any]:
            # A scan, so that the field is traced and compiled once for both evaluations.
            t, y = point
            velocity = field(t, y)
            ratio = size(y0) / size(velocity)
            h = jnp.where((size(y0) < 1e-5) | (size(velocity) < 1e-5) | ~jnp.isfinite(ratio), 1e-6, 0.01 * ratio)
            h = jnp.asarray(jnp.minimum(h, t1 - t0), jnp.result_type(t0))
            return (t0 + h, _tree.step(y0, h, velocity)), (velocity, h)

        _, (velocities, steps) = jax.lax.scan(probe, (t0, y0), length=2)
        first, second = (jax.tree.map(lambda v, i=i: v[i], velocities) for i in (0, 1))
        bend = size(_tree.subtract(second, first)) / steps[0]
        steepest = jnp.maximum(size(first), bend)
        h = jnp.where(steepest <= 1e-15, jnp.maximum(1e-6, 1e-3 * steps[0]), (0.01 / steepest) ** (1 / error_order))
        h = jnp.where(jnp.isfinite(h) & (h > 0), jnp.minimum(100 * steps[0], h), steps[0])
        return jax.lax.stop_gradient(jnp.asarray(jnp.minimum(h, t1 - t0), jnp.result_type(t0)))
