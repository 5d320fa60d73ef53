from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, POSITIVE_STEP


class Anchor(NamedTuple):
    """What `AnchoredExtragradient` remembers.

    Attributes:
        start: The state before the first step, $y_0$.
        num_steps: Steps made so far, $n$.
    """

    start: State
    num_steps: Int[Array, ""]


class AnchoredExtragradient(AbstractUpdate):
    r"""Extragradient steps that are pulled back to where they started, ever less.

    $$z_n = y_n + \frac{y_0 - y_n}{n + 2} + h F(y_n), \qquad y_{n+1} = y_n + \frac{y_0 - y_n}{n + 2} + h F(z_n).$$

    The *last* iterate converges at the best rate that there is for convex-concave games: with a field of Lipschitz
    constant $R$, a saddle $y^*$ and $hR \le 1/8$,

    $$\lVert F(y_n) \rVert^2 \le \frac{4\,(1 + hR + h^2 R^2)}{h^2\,(1 + hR)}\,
    \frac{\lVert y_0 - y^* \rVert^2}{(n + 1)^2},$$

    at most $260 R^2 \lVert y_0 - y^* \rVert^2/(n + 1)^2$ for $hR = 1/8$. That is slower than any power of a number
    below 1, so that the rule has no multipliers that tell its rate: `analysis.multipliers` and what is made of them
    refuse it, since it remembers its start.

    ```python
    from gan_ode import updates

    update = updates.AnchoredExtragradient(0.1)
    ```

    Source: Yoon and Ryu (2021), arXiv:2102.07922, the method EAG-C and its theorem, with $F$ for minus their operator.

    Args:
        step_size: $h > 0$.

    Raises:
        ValueError: If `step_size` is not above 0 and finite; under a transformation a RuntimeError when it runs.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> Anchor:
        """The start as the anchor, and no step made."""
        return Anchor(y, jnp.zeros((), jnp.int32))

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: Anchor) -> tuple[State, Anchor]:
        pull = 1 / (memory.num_steps + 2).astype(_tree.dtype(y))
        pulled = _tree.step(y, pull, _tree.subtract(memory.start, y))
        ahead = _tree.step(pulled, self.step_size, field(t, y, args))
        there = _tree.step(pulled, self.step_size, field(t, ahead, args))
        return there, Anchor(memory.start, memory.num_steps + 1)
