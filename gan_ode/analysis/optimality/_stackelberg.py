"""Whether a state is best for a leader whose follower answers, by the total derivatives of its loss."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..._lowering import jit
from ..._types import Args
from ...games import Players
from ._curvatures import bytes_of, decided, other, root_of_rounding

# How far from the state the total derivative may vanish, in units of one and the state's size.
_NEAR = {4: 1e-3, 8: 1e-6}


def leads(game: Any, y: Players, args: Args, leader: str) -> bool | None:
    """Whether the total derivative vanishes and its own is positive definite; None where that does not show.

    The follower's own curvature must be above zero. Dense.
    """
    gradient, hessian = map(np.asarray, _total(game, y, args, leader))
    scale = float(np.linalg.norm(hessian, 2))
    reach = _NEAR[bytes_of(y)] * (1 + float(np.linalg.norm(ravel_pytree(getattr(y, leader))[0])))
    if not np.linalg.norm(gradient) <= reach * scale:
        return False
    smallest = float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[0])
    return decided(smallest, root_of_rounding(y) * scale)


@jit
def _total(game: Any, y: Players, args: Args, leader: str) -> tuple[jax.Array, jax.Array]:
    """The first and second derivative of the leader's loss along the follower's answers."""
    follower = other(leader)
    first, back_first = ravel_pytree(getattr(y, leader))
    second, back_second = ravel_pytree(getattr(y, follower))

    def loss(player: str, lead: jax.Array, answer: jax.Array) -> jax.Array:
        pair = Players(**{leader: back_first(lead), follower: back_second(answer)})
        return getattr(game.losses(pair, args), player)

    def answer_by(lead: jax.Array, answer: jax.Array) -> jax.Array:
        """How the follower's answer changes with the leader's parameters."""
        own = jax.grad(lambda a, b: loss(follower, b, a))
        return -jnp.linalg.solve(jax.jacfwd(own)(answer, lead), jax.jacfwd(own, 1)(answer, lead))

    by = answer_by(first, second)

    def total(lead: jax.Array) -> jax.Array:
        # To first order the answers are on a line, which is all that the second derivative sees.
        answer = second + by @ (lead - first)
        of_lead, of_answer = jax.grad(lambda a, b: loss(leader, a, b), (0, 1))(lead, answer)
        return of_lead + answer_by(lead, answer).T @ of_answer

    return total(first), jax.jacfwd(total)(first)
