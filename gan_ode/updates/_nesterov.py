from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._update import AbstractUpdate, POSITIVE_STEP


class Nesterov(AbstractUpdate):
    r"""Nesterov's momentum on both players' gradients: the velocity is that of a point ahead along the last step.

    $$z_n = y_n + \beta\,(y_n - y_{n-1}), \qquad y_{n+1} = z_n + h F(z_n),$$

    from $y_{-1} = y_0$. The state of the orbit is $z$, where the velocities are taken, as in `optax.sgd(h, momentum,
    nesterov=True)`, which makes the same orbit; what is remembered is the last step $y_n - y_{n-1}$. While
    $|\beta| < 1$ a step stands for a time of about $h/(1 - \beta)$ on the flow; the time axis of the orbit counts $h$.

    At an eigenvalue $\lambda$ of the field the multipliers solve
    $m^2 - (1 + \beta)(1 + h\lambda)\,m + \beta\,(1 + h\lambda) = 0$. A pure rotation $\pm i\omega$ grows for every
    $|\beta| < 1$, by $|m|^2 \approx 1 + (h\omega)^2 (1 - \beta + 2\beta^2)/(1 - \beta)^3$ in a small step.

    ```python
    from gan_ode import updates

    update = updates.Nesterov(0.1, 0.9)
    ```

    Source: Nesterov (1983); Sutskever et al. (2013) in the form with $z$. Multipliers are rederived.

    Args:
        step_size: $h > 0$.
        momentum: $\beta$, without unit, of any sign.

    Raises:
        ValueError: If `step_size` is not above 0 or a number is not finite; under a transformation a RuntimeError when
            it runs.
    """

    step_size: Float[Array, ""]
    momentum: Float[Array, ""]

    def __init__(self, step_size: RealScalarLike, momentum: RealScalarLike):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)
        self.momentum = _checks.number("momentum", momentum)

    def init(self, field: Field, y: State, args: Args) -> State:
        """A last step of zero."""
        return _tree.zeros_like(y)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: State) -> tuple[State, State]:
        pushed = _tree.scale(self.step_size, field(t, y, args))
        change = _tree.step(pushed, self.momentum, memory)
        return _tree.step(_tree.add(y, pushed), self.momentum, change), change
