from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, checked_rule, later, stretched


class Lookahead(AbstractUpdate):
    r"""Makes $k$ steps of another rule, and keeps a part of the way: $y \leftarrow y + \alpha\,(\tilde y - y)$.

    $\tilde y$ is where $k$ steps of the inner rule lead from $y$. One step of `Lookahead` is all $k$ of them; all see
    the same minibatch, and what the inner rule remembers goes on from one round to the next.

    Where the inner rule has no memory and a multiplier $m$, that of a round is $1 - \alpha + \alpha m^k$: a rotation
    that grows slowly is damped, since the way back cuts across the circle. Simultaneous steps, for example,
    $m = 1 + ih\omega$, converge for small $h$ once $k (1 - \alpha) > 1$: $|1 - \alpha + \alpha m^k|^2 \approx
    1 + \alpha k\,(h\omega)^2\,(1 - k(1 - \alpha))$.

    The time of a round is $k$ times the inner step size, so that the orbit lies beside that of the inner rule at as
    many velocities; to first order it moves as far as the flow does in $\alpha$ times that.

    ```python
    from gan_ode import updates

    update = updates.Lookahead(updates.Simultaneous(0.1), steps=5, alpha=0.5)
    ```

    Source: Zhang et al. (2019), arXiv:1907.08610, algorithm 1; for games Chavdarova et al. (2021), arXiv:2006.14567.
    The multipliers and their expansion are rederived.

    Args:
        update: The inner rule.
        steps: $k \ge 1$.
        alpha: $\alpha > 0$, the part that is kept, without unit; 1 is the inner rule.

    Attributes:
        step_size: $k$ times that of the inner rule; another one here stretches the inner steps.

    Raises:
        ValueError: If `steps` is no whole number of at least 1, or `alpha` not above 0 and finite; the latter under a
            transformation a RuntimeError when it runs.
    """

    update: AbstractUpdate
    steps: int = eqx.field(static=True)
    alpha: Float[Array, ""]
    step_size: Float[Array, ""]

    def __init__(self, update: AbstractUpdate, steps: int, alpha: RealScalarLike):
        self.update = checked_rule("update", update)
        self.steps = _checks.count("steps", steps)
        self.alpha = _checks.positive("alpha", alpha, "It is the part of the way that is kept, often 0.5.")
        self.step_size = self.steps * _checks.as_float(update.step_size)

    @property
    def may_fail(self) -> bool:
        """As of the inner rule."""
        return getattr(self.update, "may_fail", False)

    def init(self, field: Field, y: State, args: Args) -> Any:
        """What the inner rule remembers."""
        return self.update.init(field, y, args)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: Any) -> tuple[State, Any]:
        whole = self.steps * _checks.as_float(self.update.step_size)
        inner = stretched(self.update, self.step_size.astype(whole.dtype) / whole)
        arrays, rest = eqx.partition((y, memory), eqx.is_array_like)

        def one(carry: Any, n: Array) -> tuple[Any, None]:
            here, remembered = eqx.combine(carry, rest)
            now = later(t, n.astype(whole.dtype) * inner.step_size, y)
            return eqx.filter(inner.step(field, now, here, args, remembered), eqx.is_array_like), None

        carry, _ = jax.lax.scan(one, arrays, jnp.arange(self.steps))
        ahead, memory = eqx.combine(carry, rest)
        return _tree.step(y, self.alpha, _tree.subtract(ahead, y)), memory
