from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Args
from ._game import AbstractGame, Players


class Bilinear(AbstractGame):
    r"""The zero-sum game $V = u^T A v$ of a discriminator $u$ and a generator $v$.

    The field $\dot u = A v$, $\dot v = -A^T u$ is linear; it rotates with the singular values of $A$ as
    frequencies, and keeps $\lVert u\rVert^2 + \lVert v\rVert^2$.

    Args:
        matrix: $A$, of shape `(m, n)` for states of shape `(m,)` and `(n,)`.

    Raises:
        ValueError: If `matrix` is not a matrix.
    """

    matrix: Float[Array, "m n"]
    zero_sum: ClassVar[bool] = True

    def __init__(self, matrix: Float[Array, "m n"]):
        self.matrix = jnp.asarray(matrix, float)
        if self.matrix.ndim != 2:
            raise ValueError(f"`matrix` must have two axes, but has shape {self.matrix.shape}: use `jnp.atleast_2d`.")

    def losses(self, y: Players, args: Args) -> Players:
        """$-V$ and $V$."""
        value = y.discriminator @ self.matrix.astype(y.generator.dtype) @ y.generator
        return Players(discriminator=-value, generator=value)

    @property
    def equilibrium(self) -> Players:
        """The origin."""
        rows, columns = self.matrix.shape
        return Players(discriminator=jnp.zeros(rows), generator=jnp.zeros(columns))
