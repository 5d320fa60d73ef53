from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, ArrayLike, Bool, PyTree

from .. import _tree
from .._growth import Sizes
from .._types import Args, RealScalarLike, Scalar, State


class Trial(eqx.Module):
    """What the last trial step was like; from it a failed solve gets its name.

    Attributes:
        size: Length of the step proposed after it.
        longest: Length of the longest step that was accepted so far.
        nonfinite: Whether its state was not finite.
        unsolved: Whether its implicit equations were not solved.
        stuck: Whether time no longer advanced.
        time: Where it stood.
    """

    time: Scalar
    size: Scalar
    longest: Scalar
    nonfinite: Bool[Array, ""]
    unsolved: Bool[Array, ""]
    stuck: Bool[Array, ""]


class Guarded(diffrax.AbstractAdaptiveStepSizeController[Any, Any]):
    """A Diffrax step size controller, guarded against three traps.

    A trial step that overflows is rejected and retried smaller; by itself `PIDController` gets infinity over infinity,
    and then rejects every later step. The first step is chosen from the field, by the first half of Hairer's rule;
    `dt0=None` means 0.01 otherwise. Steps too small for time to advance end the solve.

    Not for use outside `flow`: at that end Diffrax is told that all is done, and only `Trial.stuck` says that it is
    not. To return a failure would be plainer, but then Diffrax traces every step once more, which is a tenth of the
    time to a first result.

    Source: first step: Hairer, Norsett and Wanner (1993), Solving Ordinary Differential Equations I, section II.4.

    Args:
        controller: The controller to guard, for example a `diffrax.PIDController`.
        rtol: Relative tolerance, which implicit solvers take for their root finder.
        atol: Absolute tolerance, likewise; one number, or one for each component of a state that is one array.
    """

    controller: diffrax.AbstractStepSizeController
    rtol: RealScalarLike
    atol: ArrayLike
    norm: Callable[[PyTree], Any] = optx.rms_norm

    def wrap(self, direction: Any) -> "Guarded":
        return eqx.tree_at(lambda c: c.controller, self, self.controller.wrap(direction))

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: State, dt0: Any, args: Args, func: Callable, error_order: Any
    ) -> tuple[Any, Any]:
        if dt0 is None:
            # Solvers whose first stage is the last one's evaluate this too, and the compiler makes one of both.
            dt0 = self._first_step(func(terms, t0, y0, args), t0, t1, y0)
        t_next, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        no = jnp.asarray(False)
        size = jnp.asarray(t_next - t0)
        return t_next, (state, Trial(jnp.asarray(t0), size, jnp.zeros_like(size), no, no, no))

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: State, y1_candidate: State, args: Args, y_error: Any, error_order: Any,
        controller_state: Any,
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:  # fmt: skip
        inner, last = controller_state
        finite = _tree.all_finite(y1_candidate)
        unsolved = finite & jnp.isinf(_tree.largest(y_error))
        keep, t_from, t_to, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, _tree.where(finite, y1_candidate, y0), args, _tree.where(finite, y_error, jnp.inf), error_order,
            inner,
        )  # fmt: skip
        size = jnp.asarray(t_to - t_from)
        least = jnp.where(keep, 0, 4 * jnp.finfo(size.dtype).eps * jnp.abs(t_from))
        stuck = jnp.less_equal(size, least)
        longest = jnp.where(keep, jnp.maximum(last.longest, t1 - t0), last.longest)
        trial = Trial(jnp.asarray(t_from), size, longest, ~finite, unsolved, stuck)
        t_from, t_to = (jnp.where(stuck, jnp.inf, t) for t in (t_from, t_to))
        return keep, t_from, t_to, jump, (inner, trial), result

    def _first_step(self, velocity: State, t0: Any, t1: Any, y0: State) -> Scalar:
        """A hundredth of the time in which the velocity would change the state by its own size."""

        def size(tree: State) -> Scalar:
            return self.norm(
                jax.tree.map(lambda x, y: x / (self.atol + self.rtol * jnp.abs(y)).astype(x.dtype), tree, y0)
            )

        position, speed = size(y0), size(velocity)
        h = 0.01 * position / speed
        # Zero where the velocity is infinite: no step would be tried, and nothing seen of it.
        h = jnp.where((position > 1e-5) & (speed > 1e-5) & (h > 0) & jnp.isfinite(h), h, 1e-6)
        return jax.lax.stop_gradient(jnp.asarray(jnp.minimum(h, t1 - t0), jnp.result_type(t0)))


class Steady(eqx.Module):
    """What a solve at a fixed step was like.

    Attributes:
        sizes: Of the states up to the last finite one.
    """

    sizes: Sizes


class Fixed(diffrax.AbstractStepSizeController[Any, Any]):
    """Diffrax's fixed steps, which remember how large the last finite states were: a failed solve gets its name so."""

    controller: diffrax.ConstantStepSize = eqx.field(default_factory=diffrax.ConstantStepSize)

    def wrap(self, direction: Any) -> "Fixed":
        return self

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: State, dt0: Any, args: Args, func: Callable, error_order: Any
    ) -> tuple[Any, Any]:
        t_next, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return t_next, (state, Steady(Sizes.of(y0)))

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: State, y1_candidate: State, args: Args, y_error: Any, error_order: Any,
        controller_state: Any,
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:  # fmt: skip
        inner, steady = controller_state
        keep, t_from, t_to, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, inner
        )
        sizes, _ = steady.sizes.then(y1_candidate)
        return keep, t_from, t_to, jump, (inner, Steady(sizes)), result
