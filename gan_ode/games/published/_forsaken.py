from typing import ClassVar

import jax.numpy as jnp

from ..._types import Args, Scalar
from .._game import AbstractGame, Players

# The only root of x = phi'(y), y = 0.45 - phi'(x), by Newton's method in exact arithmetic to 17 digits.
_DISCRIMINATOR, _GENERATOR = 0.411933851365819850, 0.0780266687384600726


class Forsaken(AbstractGame):
    r"""A value whose only critical point attracts from near by, and is shielded by a cycle that repels within another.

    $V = x (y - 0.45) + \varphi(x) - \varphi(y)$ with $\varphi(z) = z^2/4 - z^4/2 + z^6/6$, which the generator $x$
    minimizes and the discriminator $y$ maximizes: $\dot y = x - \varphi'(y)$, $\dot x = 0.45 - y - \varphi'(x)$. The
    critical point $(x, y) \approx (0.0780, 0.4119)$ attracts, weakly. Around it lie two cycles: the inner one repels,
    the outer one attracts, so that the flow from nearly everywhere ends on a cycle that holds no critical point, and
    from within the inner cycle alone it finds the point.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games

    game = games.Forsaken()
    eigenvalues = analysis.spectrum(fields.GameField(game), game.equilibrium)
    assert jnp.all((-0.1 < eigenvalues.real) & (eigenvalues.real < 0))
    ```

    Source: Hsieh, Mertikopoulos and Cevher (2021), arXiv:2006.09065, section 5.
    """

    zero_sum: ClassVar[bool] = True

    def losses(self, y: Players[Scalar], args: Args) -> Players[Scalar]:
        """$-V$ and $V$."""
        ascends, descends = y.discriminator, y.generator
        value = descends * (ascends - 0.45) + _hill(descends) - _hill(ascends)
        return Players(discriminator=-value, generator=value)

    @property
    def equilibrium(self) -> Players[Scalar]:
        """The critical point, to rounding."""
        return Players(discriminator=jnp.array(_DISCRIMINATOR), generator=jnp.array(_GENERATOR))


def _hill(z: Scalar) -> Scalar:
    return z**2 / 4 - z**4 / 2 + z**6 / 6
