r"""Layers for players, where Equinox has none that depends on the parameters alone.

A field is a function of the players' parameters and of the minibatch. Layers that carry something from call to call,
or that draw random numbers, do not make one.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._types import Scalar


class SpectralNorm(eqx.Module):
    r"""A layer whose weight is divided by its spectral norm: $x \mapsto (W / \sigma(W))\,x + b$.

    $\sigma(W)$ is the largest singular value of the weight as a matrix, its first axis against all others; for a
    convolution that is the matrix of the kernel, as in the paper. It is computed exactly at every evaluation, where
    the paper, and `equinox.nn.SpectralNorm`, follow it by one step of a power iteration whose vectors are carried from
    call to call. So it is a function of the parameters alone, and the field has derivatives of every order wherever
    the largest singular value is a simple one. A minibatch pays for one decomposition: in milliseconds for some
    hundred rows.

    The layer does not change under $W \mapsto cW$, so at an equilibrium the Jacobian has a zero eigenvalue for each.

    Source: Miyato et al. (2018), arXiv:1802.05957, equation 8.

    Args:
        layer: Any module with a `weight`: `equinox.nn.Linear`, a convolution, or a transposed one.

    Raises:
        ValueError: If the layer has no `weight` of two axes or more.
    """

    layer: Any

    def __init__(self, layer: Any):
        weight: Any = getattr(layer, "weight", None)
        if not eqx.is_inexact_array(weight) or weight.ndim < 2:
            raise ValueError(
                f"`layer` must have a `weight` of two axes or more, but is {type(layer).__name__}: wrap each linear or "
                "convolutional layer by itself."
            )
        self.layer = layer

    def __call__(self, x: Float[Array, "..."], *, key: PRNGKeyArray | None = None) -> Float[Array, "..."]:
        """What the layer makes of one sample; `key` is not used."""
        normed = self.layer.weight / spectral_norm(self.layer.weight)
        return eqx.tree_at(lambda layer: layer.weight, self.layer, normed)(x)


def spectral_norm(weight: Float[Array, "out *rest"]) -> Scalar:
    """The largest singular value of a weight as a matrix, its first axis against all others."""
    return jnp.linalg.svd(jnp.reshape(weight, (weight.shape[0], -1)), compute_uv=False)[0]
