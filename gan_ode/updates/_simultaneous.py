from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, POSITIVE_STEP


class Simultaneous(AbstractUpdate):
    r"""Both players step at once: $y \leftarrow y + h F(y)$, Euler's rule on the field.

    At an eigenvalue $\lambda$ of the field the multiplier is $1 + h\lambda$: a pure rotation always grows.

    Args:
        step_size: $h > 0$.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> None:
        return None

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: None) -> tuple[State, None]:
        return _tree.step(y, self.step_size, field(t, y, args)), None
