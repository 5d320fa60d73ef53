import equinox as eqx
from jaxtyping import Array, Float

from .. import _checks, _optimizers, _tree
from .._types import Args, Field, RealScalarLike
from ..games import Players
from ._update import AbstractUpdate, POSITIVE_STEP


class Alternating(AbstractUpdate):
    r"""The discriminator makes $n_d$ steps, then the generator $n_g$, each seeing what came before.

    Every single step has size $h$, and a round of $n_d + n_g$ of them counts as one step of time $h$. On a pure
    rotation $\pm i\omega$ the 1 : 1 rule is neutral while $h\omega < 2$.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, algorithm 1.

    Args:
        step_size: $h > 0$.
        discriminator_steps: $n_d \ge 1$.
        generator_steps: $n_g \ge 1$.
    """

    step_size: Float[Array, ""]
    discriminator_steps: int = eqx.field(static=True)
    generator_steps: int = eqx.field(static=True)

    def __init__(self, step_size: RealScalarLike, *, discriminator_steps: int = 1, generator_steps: int = 1):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)
        self.discriminator_steps = _checks.count("discriminator_steps", discriminator_steps)
        self.generator_steps = _checks.count("generator_steps", generator_steps)

    def init(self, field: Field, y: Players, args: Args) -> None:
        _optimizers.two_players(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: None) -> tuple[Players, None]:
        for _ in range(self.discriminator_steps):
            velocity = field(t, y, args).discriminator
            y = Players(_tree.step(y.discriminator, self.step_size, velocity), y.generator)
        for _ in range(self.generator_steps):
            velocity = field(t, y, args).generator
            y = Players(y.discriminator, _tree.step(y.generator, self.step_size, velocity))
        return y, None
