"""The population that minibatches are drawn from, and their sizes."""

from typing import Any

from jaxtyping import Array

from .. import _checks
from .._types import Args
from ..distributions import Quadrature
from ..games import weighted

_SIZE = "It is the number of examples in a minibatch."


def both_sizes(batch_size: Any) -> tuple[Array, Array]:
    """The number of data and of latent points in a minibatch, from one number for both or a pair; floats above 0."""
    data, latent = batch_size if isinstance(batch_size, tuple) else (batch_size, batch_size)
    return _checks.positive("batch_size", data, _SIZE), _checks.positive("batch_size", latent, _SIZE)


def weights_of(population: Args) -> tuple[Array, Array]:
    """The weights of the data and of the latent points, each of shape `(points,)`."""
    data, latent = weighted(population)
    return data.weights, latent.weights


def reweighted(population: Args, weights: Any) -> tuple[Quadrature, Quadrature]:
    """The same points with other weights: `weights` is a pair of arrays of shape `(points,)`."""
    data, latent = weighted(population)
    return Quadrature(data.nodes, weights[0]), Quadrature(latent.nodes, weights[1])
