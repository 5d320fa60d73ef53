from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._diffusion import AbstractDiffusion, STEP_OF_UPDATE
from ._population import both_sizes, reweighted, weights_of


class Diagonal(AbstractDiffusion):
    r"""The variances of minibatches, parameter by parameter, without their correlations.

    $\sigma_k^2 = \tfrac hB \sum_i w_i (v_{ik} - \bar v_k)^2$, summed over data and latent points, with the derivatives
    $v_i$ of the field along the weight of each point. It needs as many Brownian motions as there are parameters, and
    as many derivatives of the field as there are points: against `LowRank` it pays where it is `Frozen`, or where the
    population is small.

    Args:
        field: As in `LowRank`.
        step_size: As in `LowRank`.
        batch_size: As in `LowRank`.
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
        """One number for each parameter."""
        return jax.eval_shape(lambda: y)

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        return lx.DiagonalLinearOperator(jax.tree.map(_root, self.variances(t, y, args)))

    def variances(self, t: RealScalarLike, y: State, args: Args) -> State:
        """$\\sigma_k^2$, of the shape of `y`."""
        data, latent = weights_of(args)
        along = jax.linearize(lambda *w: self.field(t, y, reweighted(args, w)), data, latent)[1]
        of_data = _variances(lambda direction: along(direction, jnp.zeros_like(latent)), data)
        of_latent = _variances(lambda direction: along(jnp.zeros_like(data), direction), latent)
        scaled = (
            _tree.scale(self.step_size / size, part)
            for size, part in zip(self.batch_size, (of_data, of_latent), strict=True)
        )
        return _tree.add(*scaled)


def _root(variance: Array) -> Array:
    """The square root, with the slope 0 at 0: there a variance, which is never negative, is at its least."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)


def _variances(along: Callable[[Array], State], weights: Float[Array, " m"]) -> State:
    """Weighted variances of the derivatives along each weight by itself, about their mean."""
    mean = along(weights)

    def add(total: State, point: tuple[Array, Array]) -> tuple[State, None]:
        i, weight = point
        apart = _tree.subtract(along(jnp.zeros_like(weights).at[i].set(1)), mean)
        return _tree.step(total, weight, jax.tree.map(jnp.square, apart)), None

    return jax.lax.scan(add, _tree.zeros_like(mean), (jnp.arange(weights.size), weights))[0]
