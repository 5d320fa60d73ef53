from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, RealScalarLike
from ...games import Players
from ...networks import spectral_norm
from ._penalty import AbstractPenalty


class SpectralPenalty(AbstractPenalty):
    r"""Charges the largest singular value of each of the discriminator's weight matrices.

    Adds $\tfrac{\lambda}{2} \sum_l \sigma(W_l)^2$ to the discriminator's loss, over all its parameters with two axes or
    more, as matrices of the first axis against all others; biases and scales are free. With $u$ and $v$ the singular
    vectors, the velocity of $W$ loses $\lambda\sigma u v^T$: the softer relative of spectral normalization
    (`networks.SpectralNorm`), which bounds the same product of $\sigma(W_l)$ that bounds the slope of $D$.

    $\sigma$ is computed exactly at every evaluation, where the paper follows it by a power iteration. It is smooth
    where the largest singular value is a simple one; at `orthogonal` weights and at zero it is not.

    ```python
    from gan_ode import regularizers

    penalty = regularizers.SpectralPenalty(0.01)
    ```

    Source: Yoshida and Miyato (2017), arXiv:1705.10941.

    Args:
        weight: $\lambda \ge 0$, in units of loss over squared parameters.

    Raises:
        ValueError: If `weight` is negative or not finite; under a transformation a RuntimeError, when it runs. Also
            when the discriminator has no weight matrix.
    """

    weight: Float[Array, ""]

    def __init__(self, weight: RealScalarLike):
        self.weight = _checks.not_negative("weight", weight, "A negative weight makes the matrices grow.")

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        matrices = [leaf for leaf in jax.tree.leaves(y.discriminator) if jnp.ndim(leaf) >= 2]
        if not matrices:
            raise ValueError(
                "`y.discriminator` must hold a parameter of two axes or more, a weight matrix, for `SpectralPenalty`, "
                "but holds none: `WeightDecay` charges numbers and vectors."
            )
        squares = sum(jnp.square(spectral_norm(leaf)) for leaf in matrices)
        penalty = _tree.scale(0.5 * self.weight, jnp.asarray(squares))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))
