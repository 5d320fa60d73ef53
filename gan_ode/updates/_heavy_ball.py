from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .. import _checks, _optimizers, _tree
from .._types import Args, Field, RealScalarLike, State
from ..games import Players
from ._update import AbstractUpdate, POSITIVE_STEP


class HeavyBall(AbstractUpdate):
    r"""Polyak's heavy ball on both players' gradients: $y_{n+1} = y_n + h F(y_n) + \beta\,(y_n - y_{n-1})$.

    Momentum keeps a part $\beta$ of the last step, and a negative one takes a part of it back. The first step is a
    plain one ($y_{-1} = y_0$). While $|\beta| < 1$ one step of size $h$ stands for a time of about $h/(1 - \beta)$ on
    the flow; the time axis of the orbit counts $h$.

    At an eigenvalue $\lambda$ of the field, with one momentum for both players, the multipliers solve
    $\mu^2 - (1 + \beta + h\lambda)\,\mu + \beta = 0$. A pure rotation $\pm i\omega$ grows for every $|\beta| < 1$, by
    $|\mu|^2 \approx 1 + (h\omega)^2 (1 + \beta)/(1 - \beta)^3$ in a step, the less the more negative $\beta$ is.
    *Alternating* players, of whom the generator sees the discriminator's step, are damped by negative momentum: the
    multipliers solve $(\mu - 1)^2 (\mu - \beta_D)(\mu - \beta_G) + (h\omega)^2 \mu^3 = 0$, so that
    $\beta_D = -1/2$, $\beta_G = 0$ gives $|\mu|^2 \approx 1 - \tfrac29 (h\omega)^2$.

    ```python
    from gan_ode import games, updates

    update = updates.HeavyBall(0.1, -0.5)
    update = updates.HeavyBall(0.1, games.Players(discriminator=-0.5, generator=0.0), alternating=True)
    ```

    Source: Polyak (1964); for games Gidel et al. (2019), arXiv:1807.04740. Polynomials and expansions are rederived.

    Args:
        step_size: $h > 0$.
        momentum: $\beta$, without unit; one number, or `Players` of two. Negative numbers are allowed.
        alternating: Whether the discriminator steps first and the generator sees its step.

    Raises:
        ValueError: If `step_size` is not above 0 or a number is not finite, under a transformation a RuntimeError when
            it runs; or if the state is not of two players, where each has a momentum of its own or they alternate.
    """

    step_size: Float[Array, ""]
    momentum: Float[Array, ""] | Players
    alternating: bool = eqx.field(static=True)

    def __init__(self, step_size: RealScalarLike, momentum: RealScalarLike | Players, *, alternating: bool = False):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)
        self.momentum = jax.tree.map(lambda each: _checks.number("momentum", each), momentum)
        self.alternating = alternating

    def init(self, field: Field, y: State, args: Args) -> State:
        """A last step of zero."""
        if self.alternating or isinstance(self.momentum, Players):
            _optimizers.two_players(self, y)
        return _tree.zeros_like(y)

    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: State) -> tuple[State, State]:
        if not (self.alternating or isinstance(self.momentum, Players)):
            return self._moved(y, field(t, y, args), memory, self.momentum)
        betas = self.momentum if isinstance(self.momentum, Players) else Players(self.momentum, self.momentum)
        velocity = field(t, y, args)
        d, d_step = self._moved(y.discriminator, velocity.discriminator, memory.discriminator, betas.discriminator)
        if self.alternating:
            velocity = field(t, Players(d, y.generator), args)
        g, g_step = self._moved(y.generator, velocity.generator, memory.generator, betas.generator)
        return Players(d, g), Players(d_step, g_step)

    def _moved(self, part: State, velocity: State, last: State, beta: Any) -> tuple[State, State]:
        """The next parameters, and the step that led there."""
        change = _tree.add(_tree.scale(self.step_size, velocity), _tree.scale(beta, last))
        return _tree.add(part, change), change
