from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, POSITIVE_STEP


class Optimistic(AbstractUpdate):
    r"""Simultaneous steps that correct the last one: $y \leftarrow y + 2h F(y) - h F(y_{\text{last}})$.

    The first step is a plain one ($F(y_{\text{last}}) = F(y)$). At an eigenvalue $\lambda$ the multipliers solve
    $m^2 - (1 + 2h\lambda) m + h\lambda = 0$; a pure rotation $\pm i\omega$ is damped while $h\omega < 1/\sqrt3$.

    Source: Daskalakis et al. (2018), arXiv:1711.00141, equation 3.

    Args:
        step_size: $h > 0$.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> State:
        return field(0.0, y, args)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: State) -> tuple[State, State]:
        velocity = field(t, y, args)
        ahead = _tree.step(y, 2 * self.step_size, velocity)
        return _tree.step(ahead, -self.step_size, memory), velocity
