from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, POSITIVE_STEP


class ExtragradientFromThePast(AbstractUpdate):
    r"""Extragradient that looks ahead by the velocity of the last look-ahead point, so that a step costs one velocity.

    $$z_n = y_n + h F(z_{n-1}), \qquad y_{n+1} = y_n + h F(z_n),$$

    from $F(z_{-1}) = F(y_0)$, so that the first step is one of `Extragradient`. The state of the orbit is $y$, and what
    is remembered is $F(z_{n-1})$. Without constraints the points $z$ follow the recursion of `Optimistic`,
    $z_{n+1} = z_n + 2h F(z_n) - h F(z_{n-1})$, and so it has the same multipliers: at an eigenvalue $\lambda$ of the
    field they solve $m^2 - (1 + 2h\lambda) m + h\lambda = 0$, and a pure rotation $\pm i\omega$ is damped while
    $h\omega < 1/\sqrt3$.

    ```python
    from gan_ode import updates

    update = updates.ExtragradientFromThePast(0.1)
    ```

    Source: Popov (1980), Mathematical Notes 28, 845; for GANs Gidel et al. (2019), arXiv:1802.10551, section 3.3. The
    multipliers are rederived.

    Args:
        step_size: $h > 0$.

    Raises:
        ValueError: If `step_size` is not above 0 and finite; under a transformation a RuntimeError when it runs.
    """

    step_size: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)

    def init(self, field: Field, y: State, args: Args) -> State:
        """The velocity at the start."""
        return field(0.0, y, args)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: State) -> tuple[State, State]:
        velocity = field(t, _tree.step(y, self.step_size, memory), args)
        return _tree.step(y, self.step_size, velocity), velocity
