from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks
from ..._types import Args, RealScalarLike, Scalar
from .._game import AbstractGame, Players


class AlmostBilinear(AbstractGame):
    r"""A bilinear game with a small charge that makes its only equilibrium repel, and a cycle around it attract.

    $V = x y + \epsilon (y^2/2 - y^4/4)$, which the generator $x$ minimizes and the discriminator $y$ maximizes:
    $\dot y = x + \epsilon (y - y^3)$, $\dot x = -y$. The only equilibrium is the origin, with the Jacobian
    $[[\epsilon, 1], [-1, 0]]$, so that for $\epsilon > 0$ it repels; all other orbits end on one cycle, near the
    circle of radius $\sqrt{4/3}$ for small $\epsilon$, which holds no critical point: it is *spurious*. With $x$
    as the position this is van der Pol's oscillator in Rayleigh's form, $\ddot x = -x + \epsilon (\dot x - \dot x^3)$.

    ```python
    import jax.numpy as jnp
    from gan_ode import fields, games

    field = fields.GameField(games.AlmostBilinear())
    velocity = field(0.0, games.Players(jnp.array(2.0), jnp.array(1.0)), None)
    assert velocity.discriminator == -2.0 and velocity.generator == -2.0
    ```

    Source: Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065, section 5; radius rederived.

    Args:
        epsilon: $\epsilon$, of any sign; below 0 the origin attracts and the cycle repels.

    Raises:
        ValueError: If `epsilon` is not finite; under a transformation a RuntimeError, when it runs.
    """

    epsilon: Float[Array, ""]
    zero_sum: ClassVar[bool] = True

    def __init__(self, epsilon: RealScalarLike = 0.5):
        self.epsilon = _checks.number("epsilon", epsilon)

    def losses(self, y: Players[Scalar], args: Args) -> Players[Scalar]:
        """$-V$ and $V$."""
        ascends, descends = y.discriminator, y.generator
        charge = ascends**2 / 2 - ascends**4 / 4
        value = descends * ascends + self.epsilon.astype(charge.dtype) * charge
        return Players(discriminator=-value, generator=value)

    @property
    def equilibrium(self) -> Players[Scalar]:
        """The origin."""
        return Players(discriminator=jnp.zeros(()), generator=jnp.zeros(()))
