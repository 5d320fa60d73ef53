"""The generator in the face of a discriminator that is some steps ahead."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from . import _tree
from ._types import Args, Field, RealScalarLike, State
from .games import Players

Advance = Callable[[State, State, Any], tuple[State, Any]]


def unrolled_velocity(
    field: Field, advance: Advance, t: RealScalarLike, y: Players, memory: Any, args: Args, steps: int
) -> State:
    """The generator's velocity, of its own part and of its say in the discriminator's steps.

    Args:
        field: The field of a game.
        advance: One step of the discriminator: of its velocity, its parameters and a memory, it gives the next
            parameters and memory.
        t: Time.
        y: The players' parameters.
        memory: What the discriminator's rule remembers.
        args: Handed to the field.
        steps: How many steps.
    """

    def slope(discriminator: State, generator: State) -> State:
        return field(t, Players(discriminator, generator), args).discriminator

    def ahead(nudges: list[State]) -> tuple[State, list[State]]:
        there, remembered, visited = y.discriminator, memory, []
        for nudge in nudges:
            visited.append(there)
            there, remembered = advance(_tree.add(slope(there, y.generator), nudge), there, remembered)
        return there, visited

    # The generator has its say through the velocities alone. What a nudge of each does to the end is found with the
    # generator held; then all of them are pulled back to it at once, so that its samples are made, and gone back
    # through, once. By plain differentiation it would be once for every step, and the generator is the dear part.
    there, pull, visited = jax.vjp(ahead, [_tree.zeros_like(y.discriminator)] * steps, has_aux=True)
    velocity = field(t, Players(there, y.generator), args)
    (on_velocities,) = pull(velocity.discriminator)
    places = _stack(visited)
    _, pull_to_generator = jax.vjp(lambda g: jax.vmap(lambda d: slope(d, g))(places), y.generator)
    (say,) = pull_to_generator(_stack(on_velocities))
    return _tree.subtract(velocity.generator, say)


def _stack(trees: list[State]) -> State:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
