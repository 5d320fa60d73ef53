from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .. import _checks, _tree
from .._types import Args, RealScalarLike, Scalar
from ..distributions import Quadrature
from ..games import AbstractSampledGame, Players
from ..games._sampled import is_minibatch
from ._input_gradients import sampled_game, slopes
from ._penalty import AbstractPenalty

# Nodes between a data point and a sample, where all pairs are taken.
_MIXING_NODES = 8


class WGANGP(AbstractPenalty):
    r"""Holds the slope of the discriminator's score at a target, between data and samples.

    Adds $\tfrac{\gamma}{2} E_{\hat x} (\lVert\nabla_x D(\hat x)\rVert - g_0)^2$ to the discriminator's loss, at
    $\hat x = \epsilon x + (1 - \epsilon) G(z)$ with $\epsilon$ uniform on $[0, 1]$. The usual weight
    $\lambda = 10$ of $\lambda E(\cdot)^2$ is $\gamma = 20$.

    The field jumps where the slope is zero. So on the Dirac-GAN with the Wasserstein loss the flow never settles: for
    $\gamma < 2$ it ends on a cycle of period $4\pi/\sqrt{4 - \gamma^2}$ around the equilibrium, which attracts with the
    Floquet multiplier $e^{-2\pi\gamma/\sqrt{4 - \gamma^2}}$ at any target $g_0 > 0$. At a slope of exactly zero the
    derivative of the norm is taken as zero.

    On a minibatch, row by row: each datum is paired with one sample, and $\epsilon$ runs evenly through $[0, 1]$ over
    the rows, which needs no random number. Where the expectations are by quadrature, all pairs are taken, and
    $\epsilon$ by Gauss-Legendre nodes.

    Source: Gulrajani et al. (2017), arXiv:1704.00028, equation 3; weight and target as in Mescheder, Geiger and Nowozin
    (2018), arXiv:1801.04406, section 4.1, which shows that it does not converge; cycle and multiplier rederived.

    Args:
        gamma: Weight $\gamma \ge 0$.
        target: Slope $g_0 \ge 0$.
        mixing: $\epsilon$ for each row of the minibatch, for example random ones.

    Raises:
        ValueError: If `gamma` or `target` is negative or not finite; under a transformation a RuntimeError, when it
            runs. Also when the game has no samples, or data and samples cannot be paired.
    """

    gamma: Float[Array, ""]
    target: Float[Array, ""]
    mixing: Float[Array, " num"] | None

    def __init__(
        self, gamma: RealScalarLike, target: RealScalarLike = 1.0, *, mixing: Float[Array, " num"] | None = None
    ):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight drives the slope away from its target.")
        self.target = _checks.not_negative("target", target, "It is the length of a gradient.")
        self.mixing = mixing

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = sampled_game(game)
        between = _between(base, y, args, self.mixing)
        lengths = jax.vmap(_length)(slopes(base, y.discriminator, between.nodes))
        excess = jnp.square(lengths - self.target.astype(lengths.dtype))
        penalty = _tree.scale(0.5 * self.gamma, between.mean(excess))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))


def _length(vector: PyTree[Array]) -> Scalar:
    """The norm, with a derivative of zero where it is zero: that of a square root would be NaN."""
    square = _tree.squared_norm(vector)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _between(game: AbstractSampledGame, y: Players, args: Args, mixing: Array | None) -> Quadrature:
    """Points between data and samples."""
    data, latent = game.measures(y, args)
    made = jax.vmap(lambda z: game.generate(y.generator, z))(latent.nodes)
    if mixing is None and not is_minibatch(args):
        return _all_pairs(Quadrature(made, latent.weights), data)
    num = data.nodes.shape[0]
    if mixing is None:
        mixing = (jnp.arange(num, dtype=made.dtype) + 0.5) / num
    if not num == made.shape[0] == mixing.shape[0]:
        raise ValueError(
            f"`args` must hold as many data as latent points, and `mixing` as many numbers, but there are {num}, "
            f"{made.shape[0]} and {mixing.shape[0]}: draw both by `game.sample(key, num)`."
        )
    nodes = jax.vmap(_mix)(made, data.nodes, mixing.astype(made.dtype))
    return Quadrature(nodes, data.weights)


def _all_pairs(made: Quadrature, data: Quadrature) -> Quadrature:
    nodes, weights = np.polynomial.legendre.leggauss(_MIXING_NODES)
    mixing = jnp.asarray((nodes + 1) / 2, made.nodes.dtype)
    pair = jax.vmap(jax.vmap(jax.vmap(_mix, (None, None, 0)), (None, 0, None)), (0, None, None))
    points = pair(made.nodes, data.nodes, mixing)
    products = jnp.einsum("i,j,k->ijk", made.weights, data.weights, jnp.asarray(weights / 2, made.weights.dtype))
    return Quadrature(points.reshape(-1, *points.shape[3:]), products.reshape(-1))


def _mix(made: Array, datum: Array, mixing: Array) -> Array:
    return made + mixing * (datum - made)
