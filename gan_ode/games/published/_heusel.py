from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks
from ..._types import Args, RealScalarLike, Scalar
from .._game import AbstractGame, Players


class Heusel(AbstractGame):
    r"""The toy on which two time scales were tried: $V = (1 + x^2)(c - y^2)$, with $c = 100$.

    The generator $x$ minimizes and the discriminator $y$ maximizes: $\dot y = -2 y (1 + x^2)$, $\dot x = -2 x (c -
    y^2)$. The saddle point $(0, 0)$ is the only equilibrium with the Jacobian $\mathrm{diag}(-2, -2 c)$, a stiffness
    ratio of $c$; the players do not rotate. While $y^2 > c$ the generator is pushed away. The flow keeps
    $\ln|x| + x^2/2 - c \ln|y| + y^2/2$ (it is the Lotka-Volterra system in $x^2$ and $y^2$), and converges from
    everywhere. Simultaneous steps near the saddle point are stable for $h c < 1$.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games

    game = games.Heusel()
    eigenvalues = analysis.spectrum(fields.GameField(game), game.equilibrium)
    assert jnp.allclose(eigenvalues, jnp.array([-2.0, -200.0]))
    ```

    Source: Heusel et al. (2017), arXiv:1706.08500; invariant derived here.

    Args:
        height: $c > 0$.

    Raises:
        ValueError: If `height` is not above 0; under a transformation a RuntimeError, when it runs.
    """

    height: Float[Array, ""]
    zero_sum: ClassVar[bool] = True

    def __init__(self, height: RealScalarLike = 100.0):
        self.height = _checks.positive("height", height, "At 0 the generator has nothing to descend.")

    def losses(self, y: Players[Scalar], args: Args) -> Players[Scalar]:
        """$-V$ and $V$."""
        ascends, descends = y.discriminator, y.generator
        value = (1 + descends**2) * (self.height.astype(ascends.dtype) - ascends**2)
        return Players(discriminator=-value, generator=value)

    @property
    def equilibrium(self) -> Players[Scalar]:
        """The saddle point, the origin."""
        return Players(discriminator=jnp.zeros(()), generator=jnp.zeros(()))
