from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, checked_rule, stretched


class Average(NamedTuple):
    """What `Averaged` remembers.

    Attributes:
        ahead: By how much the iterate is ahead of the average.
        num_steps: Steps made so far, a whole number; None at a constant rate.
        inner: What the inner rule remembers.
    """

    ahead: State
    num_steps: Any
    inner: Any


class Averaged(AbstractUpdate):
    r"""The orbit of the averages of another rule, whose own steps do not see them.

    The state of the orbit is the average $\bar y$, beside the iterates $y$ of the inner rule:

    $$\bar y_{n+1} = \bar y_n + r_n\,(y_{n+1} - \bar y_n), \qquad \bar y_0 = y_0,$$

    with a constant rate $r$ an exponential moving average, and with $r_n = 1/(n + 2)$ the mean of all iterates so far,
    the start among them. `iterate(averaged, ...)` and `iterate(averaged.update, ...)` are the two orbits at the same
    times. What is remembered is $y - \bar y$: within a loop of one's own `averaged.iterate_of(y, memory)` is the
    iterate.

    The multipliers are those of the inner rule, and $1 - r$ once for each parameter. So averages settle where the
    iterates do, and the critical step size is the same. Where iterates circle the averages come closer: on a bilinear
    game the mean is within $O(1/n)$ of the equilibrium while the iterates stay within bounds. The mean of all iterates
    has steps that die out, and no multipliers.

    ```python
    from gan_ode import updates

    averaged = updates.Averaged(updates.Alternating(0.1), rate=0.01)
    uniform = updates.Averaged(updates.Alternating(0.1))
    ```

    Source: Polyak and Juditsky (1992); of the generator's weights Karras et al. (2018), arXiv:1710.10196; for games
    Yazici et al. (2019), arXiv:1806.04498, and Gidel et al. (2019), arXiv:1802.10551, section 3.

    Args:
        update: The inner rule.
        rate: $0 < r \le 1$, without unit; None for the mean of all iterates.

    Attributes:
        step_size: That of the inner rule; another one here is handed on to it.

    Raises:
        ValueError: If `rate` is not above 0 and at most 1; under a transformation a RuntimeError when it runs.
    """

    update: AbstractUpdate
    rate: Float[Array, ""] | None
    step_size: Float[Array, ""]

    def __init__(self, update: AbstractUpdate, rate: RealScalarLike | None = None):
        self.update = checked_rule("update", update)
        self.rate = None if rate is None else _checks.portion("rate", rate, "Leave it out for the mean of all.")
        self.step_size = _checks.as_float(update.step_size)

    @property
    def may_fail(self) -> bool:
        """As of the inner rule."""
        return getattr(self.update, "may_fail", False)

    def iterate_of(self, y: State, memory: Average) -> State:
        """The iterate of the inner rule, of a state and the memory beside it."""
        return _tree.add(y, memory.ahead)

    def init(self, field: Field, y: State, args: Args) -> Average:
        """The average starts at the iterate."""
        num_steps = jnp.zeros((), jnp.int32) if self.rate is None else None
        return Average(_tree.zeros_like(y), num_steps, self.update.init(field, y, args))

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: Average) -> tuple[State, Average]:
        own = _checks.as_float(self.update.step_size)
        inner = stretched(self.update, self.step_size.astype(own.dtype) / own)
        iterate, remembered = inner.step(field, t, self.iterate_of(y, memory), args, memory.inner)
        rate, num_steps = self.rate, memory.num_steps
        if rate is None:
            num_steps = num_steps + 1
            rate = 1 / (num_steps + 1).astype(_tree.dtype(y))
        average = _tree.step(y, rate, _tree.subtract(iterate, y))
        return average, Average(_tree.subtract(iterate, average), num_steps, remembered)
