from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _optimizers
from .._types import Args, Field, RealScalarLike
from ..games import Players
from ._update import AbstractUpdate, checked_rule, stretched


class Clipped(AbstractUpdate):
    r"""Clips the discriminator's parameters to $[-c, c]$ after each step of another rule, as the first WGAN does.

    Every single parameter, biases too, is brought back into the box; the generator is free. Inside of the box the
    multipliers are those of the inner rule. At its border a step has a kink, and the rule slides along: an equilibrium
    there is none of the field. A start outside is brought back by the first step.

    The paper clips after each of the discriminator's steps. For five of them to one of the generator, write the round
    as a `Cycle`, whose factors of zero let one player wait:

    ```python
    from gan_ode import games, updates

    critic, generator = games.Players(1.0, 0.0), games.Players(0.0, 1.0)
    clipped = updates.Clipped(updates.Simultaneous(0.05), bound=0.01)
    update = updates.Cycle([clipped] * 6, factors=[critic] * 5 + [generator])
    ```

    Source: Arjovsky et al. (2017), arXiv:1701.07875, algorithm 1.

    Args:
        update: The inner rule.
        bound: $c > 0$, in the units of the parameters.

    Attributes:
        step_size: That of the inner rule; another one here is handed on to it.

    Raises:
        ValueError: If `bound` is not above 0 and finite (under a transformation a RuntimeError when it runs), or if
            the state is not of two players.
    """

    update: AbstractUpdate
    bound: Float[Array, ""]
    step_size: Float[Array, ""]

    def __init__(self, update: AbstractUpdate, bound: RealScalarLike):
        self.update = checked_rule("update", update)
        self.bound = _checks.positive("bound", bound, "It is the largest size of a parameter, 0.01 in the paper.")
        self.step_size = _checks.as_float(update.step_size)

    @property
    def may_fail(self) -> bool:
        """As of the inner rule."""
        return getattr(self.update, "may_fail", False)

    def init(self, field: Field, y: Players, args: Args) -> Any:
        """What the inner rule remembers."""
        return self.update.init(field, _optimizers.two_players(self, y), args)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: Any) -> tuple[Players, Any]:
        own = _checks.as_float(self.update.step_size)
        inner = stretched(self.update, self.step_size.astype(own.dtype) / own)
        y, memory = inner.step(field, t, y, args, memory)

        def clip(leaf: Array) -> Array:
            bound = self.bound.astype(leaf.dtype)
            return jnp.clip(leaf, -bound, bound)

        return Players(jax.tree.map(clip, y.discriminator), y.generator), memory
