from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from .. import _checks, _optimizers
from .._types import Args, Field, RealScalarLike, State
from .._unrolled_discriminator import unrolled_velocity
from ..games import Players
from ._update import AbstractUpdate, POSITIVE_STEP


class UnrolledOptax(AbstractUpdate):
    r"""`Optax`, discriminator first, with a generator that sees the discriminator some of its own steps ahead.

    The unrolled GAN: the discriminator steps as ever; the generator descends
    $V(\theta_D^k(\theta_D, \theta_G), \theta_G)$, differentiated through the $k$ more steps, on the same minibatch,
    that the discriminator's optimizer would make from what it remembers now. `fields.Unrolled` unrolls plain gradient
    steps, for any update, and says what is known of unrolling.

    Source: Metz et al. (2017), arXiv:1611.02163, equations 5 to 10 and the authors' code, which unrolls Adam with its
    memory.

    Args:
        discriminator: Any `optax.GradientTransformation` that can be differentiated twice. Adam takes the root of a
            number that is zero for a parameter that never had a gradient, and then gives NaN: write
            `optax.adam(rate, eps_root=1e-16)`.
        generator: Any `optax.GradientTransformation`.
        steps: $k \ge 1$.
        step_size: How much time one step stands for on the time axis of the orbit; it does not change the steps.
    """

    discriminator: Any
    generator: Any
    steps: int = eqx.field(static=True)
    step_size: Float[Array, ""]

    def __init__(self, discriminator: Any, generator: Any, *, steps: int, step_size: RealScalarLike = 1.0):
        self.discriminator = _optimizers.checked("discriminator", discriminator)
        self.generator = _optimizers.checked("generator", generator)
        self.steps = _checks.count("steps", steps)
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: Players, args: Args) -> Players:
        return _optimizers.start(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: Players) -> tuple[Players, Players]:
        def advance(velocity: State, here: State, remembered: Any) -> tuple[State, Any]:
            return _optimizers.descend(self, "discriminator", velocity, here, remembered)

        d, d_memory = advance(field(t, y, args).discriminator, y.discriminator, memory.discriminator)
        velocity = unrolled_velocity(field, advance, t, Players(d, y.generator), d_memory, args, self.steps)
        g, g_memory = _optimizers.descend(self, "generator", velocity, y.generator, memory.generator)
        return Players(d, g), Players(d_memory, g_memory)
