from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, POSITIVE_STEP


class Extragradient(AbstractUpdate):
    r"""Steps by the velocity at a look-ahead point: $y \leftarrow y + h F(y + h F(y))$.

    At an eigenvalue $\lambda$ of the field the multiplier is $1 + h\lambda + (h\lambda)^2$; a pure rotation
    $\pm i\omega$ is damped while $h\omega < 1$.

    Source: Korpelevich (1976); for GANs Gidel et al. (2019), arXiv:1802.10551, equation 9.

    Args:
        step_size: $h > 0$.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> None:
        return None

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: None) -> tuple[State, None]:
        ahead = _tree.step(y, self.step_size, field(t, y, args))
        return _tree.step(y, self.step_size, field(t, ahead, args)), None
