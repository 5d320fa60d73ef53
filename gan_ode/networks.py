r"""Networks as players: layers that Equinox has not, how weights start, and the players of the ring of Gaussians.

A network is any Equinox module; nothing here is needed to be a player. A field is a function of the players' parameters
and of the minibatch, so the layers here carry nothing from call to call, and draw no random numbers. Weights are drawn
in JAX's default floating dtype, or in the one that is given: under 64-bit numbers networks usually stay in float32.
"""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

from . import _checks
from ._types import RealScalarLike, Scalar

_Module = TypeVar("_Module")

# The ring's networks.
_WIDTH = 128
_LATENT = 256
_GAIN = 0.8
_SHRINK = 0.25


class Scale(eqx.Module):
    """A layer that multiplies its input by a fixed number, which is no parameter.

    Args:
        factor: The number.
    """

    factor: float = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*event"], *, key: PRNGKeyArray | None = None) -> Float[Array, "*event"]:
        """The scaled input; `key` is taken for `equinox.nn.Sequential`, and not used."""
        return self.factor * x


class SpectralNorm(eqx.Module):
    r"""A layer whose weight is divided by its spectral norm: $x \mapsto (W / \sigma(W))\,x + b$.

    $\sigma(W)$ is the largest singular value of the weight as a matrix, its first axis against all others; for a
    convolution that is the matrix of the kernel, as in the paper. It is computed exactly at every evaluation, where
    the paper, and `equinox.nn.SpectralNorm`, follow it by one step of a power iteration whose vectors are carried from
    call to call. So it is a function of the parameters alone, and the field has derivatives of every order wherever
    the largest singular value is a simple one. Where it is not, the velocity is one of several that would do, and a
    Jacobian is not a number: `orthogonal` weights, whose singular values are all equal, are no start for what needs
    one. A minibatch pays for one decomposition: in milliseconds for some hundred rows.

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
    """The largest singular value of a weight as a matrix, its first axis against all others.

    Differentiable to any order where it is a simple one, whatever the others are: the derivatives of
    `jax.numpy.linalg.svd` beyond the first divide by all differences of singular values.
    """
    return _largest(jnp.reshape(weight, (weight.shape[0], -1)))


@jax.custom_jvp
def _largest(matrix: Float[Array, "rows columns"]) -> Scalar:
    return jnp.linalg.svd(matrix, compute_uv=False)[0]


@_largest.defjvp
def _largest_moves(primals: tuple, tangents: tuple) -> tuple[Scalar, Scalar]:
    size, left, right = _leading(*primals)
    return size, left @ tangents[0] @ right


@jax.custom_jvp
def _leading(matrix: Float[Array, "rows columns"]) -> tuple[Scalar, Float[Array, " rows"], Float[Array, " columns"]]:
    """The largest singular value with its vectors."""
    left, sizes, right = jnp.linalg.svd(matrix, full_matrices=False)
    return sizes[0], left[:, 0], right[0]


@_leading.defjvp
def _leading_moves(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    r"""From $W v = \sigma u$ and $W^T u = \sigma v$, with vectors that move at right angles to themselves."""
    (matrix,), (moved,) = primals, tangents
    size, left, right = _leading(matrix)
    rate = left @ moved @ right
    of_left, of_right = moved @ right - rate * left, moved.T @ left - rate * right
    # Without the last term it is singular along `left` itself, where nothing is asked of it.
    gaps = size**2 * jnp.eye(len(left), dtype=matrix.dtype) - matrix @ matrix.T + size**2 * jnp.outer(left, left)
    turned = jnp.linalg.solve(gaps, size * of_left + matrix @ of_right)
    return (size, left, right), (rate, turned, (of_right + matrix.T @ turned) / size)


def orthogonal(module: _Module, key: PRNGKeyArray, gain: RealScalarLike = 1.0) -> _Module:
    r"""The module with orthogonal weights and zero biases in all its linear and convolutional layers.

    A weight, as a matrix $W$ of outputs by all inputs, has $W W^T = g^2 I$, or $W^T W = g^2 I$ where it has more rows
    than columns. So a layer neither shrinks nor stretches signals by other factors than the gain $g$.

    Source: Saxe, McClelland and Ganguli (2014), arXiv:1312.6120, section 4.

    Args:
        module: Any Equinox module. Layers of `equinox.nn.Linear` and of `equinox.nn.Conv` are drawn anew, all else is
            kept.
        key: For the weights.
        gain: $g > 0$.

    Returns:
        A module of the same structure, shapes and dtypes.
    """
    gain = _checks.positive("gain", gain, "Without weights there is no signal.")

    def is_layer(node: Any) -> bool:
        return isinstance(node, eqx.nn.Linear | eqx.nn.Conv)

    leaves, structure = jax.tree.flatten(module, is_leaf=is_layer)
    keys = jax.random.split(key, len(leaves))
    drawn = [_drawn(leaf, k, gain) if is_layer(leaf) else leaf for leaf, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def ring_players(key: PRNGKeyArray, dtype: DTypeLike | None = None) -> tuple[Any, Any]:
    """The discriminator and the generator of the ring of Gaussians, 513 and 49,666 parameters.

    Generator 256-128-128-2, discriminator 2-128-1 on samples divided by 4, rectified linear units, orthogonal weights
    of gain 0.8, biases zero.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, section 5, who took over the toy of Metz et al. (2017),
    arXiv:1611.02163, section 3.1 (without its recurrent generator).

    Args:
        key: For the weights.
        dtype: Of the parameters; JAX's default one if it is not given.
    """
    d_key, g_key, d_start, g_start = jax.random.split(key, 4)
    score = eqx.nn.MLP(2, "scalar", _WIDTH, 1, dtype=dtype, key=d_key)
    generator = eqx.nn.MLP(_LATENT, 2, _WIDTH, 2, dtype=dtype, key=g_key)
    discriminator = eqx.nn.Sequential([Scale(_SHRINK), orthogonal(score, d_start, _GAIN)])
    return discriminator, orthogonal(generator, g_start, _GAIN)


def _drawn(layer: Any, key: PRNGKeyArray, gain: Float[Array, ""]) -> Any:
    rows = layer.weight.shape[0]
    draw = jax.nn.initializers.orthogonal()
    matrix = draw(key, (rows, layer.weight.size // rows), layer.weight.dtype)
    weight = gain.astype(matrix.dtype) * matrix.reshape(layer.weight.shape)
    if layer.bias is None:
        return eqx.tree_at(lambda found: found.weight, layer, weight)
    return eqx.tree_at(lambda found: (found.weight, found.bias), layer, (weight, jnp.zeros_like(layer.bias)))
