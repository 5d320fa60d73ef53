from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._diffusion import AbstractDiffusion, STEP_OF_UPDATE
from ._population import both_sizes, reweighted, weights_of


class LowRank(AbstractDiffusion):
    r"""The exact covariance of minibatches, at the cost of one derivative of the field along the weights.

    With $B$ examples drawn from a population of points with weights $w$, the weights fluctuate with the covariance
    $(\operatorname{diag} w - w w^T)/B$, whose root is $w^{1/2} (1 - w^{1/2} w^{T/2})/\sqrt B$. Applied to Brownian
    increments, one for each point of the population, it is a direction, along which the field is differentiated. Data
    and latent points are drawn independently, and their covariances add.

    For a game whose losses are means over examples that is $\tfrac{1}{\sqrt m} \sum_i \xi_i (v_i - \bar v)$ with the
    velocities $v_i$ of $m$ examples. Where the field is not linear in the weights (`GradientNorm` multiplies two
    means) it is the leading term in $1/B$; so is the mean of the minibatch field then not the field of the population
    but differs by $O(1/B)$. `WGANGP` and losses of pairs take rows of a minibatch together, which weights
    do not describe: hand them the population as a `Quadrature`.

    Source: the covariance is that of a multinomial draw, with replacement; without, multiply `batch_size` by
    $(m - 1)/(m - B)$. As the noise of gradients: Li, Tai and E (2017), arXiv:1511.06251, equation 4.

    Args:
        field: The field; its `args` are `(data, latent)`, the population: each an array or a `Quadrature`.
        step_size: $h > 0$ of the update.
        batch_size: $B > 0$; for data and latent points by themselves a pair.

    Raises:
        ValueError: If a number is not above 0, or `args` is no population.
    """

    field: Field
    step_size: Float[Array, ""]
    batch_size: tuple[Float[Array, ""], Float[Array, ""]]

    def __init__(self, field: Field, step_size: RealScalarLike, batch_size: Any):
        self.field = field
        self.step_size = _checks.positive("step_size", step_size, STEP_OF_UPDATE)
        self.batch_size = both_sizes(batch_size)

    @property
    def additive(self) -> bool:
        return False

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """One number for each point of the population, data and latent."""
        return jax.tree.map(lambda weights: jax.ShapeDtypeStruct(weights.shape, _tree.dtype(y)), weights_of(args))

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        weights = weights_of(args)

        def mv(increments: PyTree[Array]) -> State:
            along = jax.tree.map(_fluctuation, weights, increments, self._scales())
            return jax.jvp(lambda w: self.field(t, y, reweighted(args, w)), (weights,), (along,))[1]

        return lx.FunctionLinearOperator(mv, self.increments(y, args))

    def _scales(self) -> tuple[Array, Array]:
        data, latent = self.batch_size
        return jnp.sqrt(self.step_size / data), jnp.sqrt(self.step_size / latent)


def _fluctuation(weights: Float[Array, " m"], increments: Float[Array, " m"], scale: Array) -> Float[Array, " m"]:
    """What a minibatch adds to the weights: a root of the covariance of a multinomial draw, times the increments."""
    root, increments = jnp.sqrt(weights), increments.astype(weights.dtype)
    return scale.astype(weights.dtype) * (root * increments - weights * jnp.dot(root, increments))
