from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float

from .. import _checks, _optimizers
from .._types import Args, Field, RealScalarLike
from ..games import Players
from ._update import AbstractUpdate, POSITIVE_STEP


class Optax(AbstractUpdate):
    """Each player steps by an Optax optimizer, on minus its velocity.

    Args:
        discriminator: Any `optax.GradientTransformation`; its learning rate is its own.
        generator: Likewise.
        order: Who steps first; the second player sees what the first one did. `"simultaneous"` is neither.
        step_size: How much time one step stands for on the time axis of the orbit, for example the learning rate; 1 by
            default, so that time counts steps. It does not change the steps.
    """

    # Not named by their type: Optax takes long to import, and who has an optimizer has imported it.
    discriminator: Any
    generator: Any
    order: Literal["discriminator_first", "generator_first", "simultaneous"] = eqx.field(static=True)
    step_size: Float[Array, ""]

    def __init__(
        self,
        discriminator: Any,
        generator: Any,
        *,
        order: Literal["discriminator_first", "generator_first", "simultaneous"] = "discriminator_first",
        step_size: RealScalarLike = 1.0,
    ):
        _checks.one_of("order", order, ("discriminator_first", "generator_first", "simultaneous"))
        self.discriminator = _optimizers.checked("discriminator", discriminator)
        self.generator = _optimizers.checked("generator", generator)
        self.order = order
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: Players, args: Args) -> Players:
        return _optimizers.start(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: Players) -> tuple[Players, Players]:
        if self.order == "simultaneous":
            velocity = field(t, y, args)
            parts = (
                _optimizers.descend(self, p, getattr(velocity, p), getattr(y, p), getattr(memory, p))
                for p in _optimizers.PLAYERS
            )
            (d, d_memory), (g, g_memory) = parts
            return Players(d, g), Players(d_memory, g_memory)
        for player in _optimizers.PLAYERS if self.order == "discriminator_first" else reversed(_optimizers.PLAYERS):
            here, remembered = getattr(y, player), getattr(memory, player)
            moved = _optimizers.descend(self, player, getattr(field(t, y, args), player), here, remembered)
            y, memory = (
                _optimizers.with_player(whole, player, part) for whole, part in zip((y, memory), moved, strict=True)
            )
        return y, memory
