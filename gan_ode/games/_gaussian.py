"""Normal data and latent points in several dimensions, as nodes and weights."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from .. import _checks
from ..distributions import Normal, Quadrature

# With the exponential convergence of smooth losses 1e-9 or better at scores of moderate size.
SMOOTH_NODES = 24


def mean_of(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """The mean of the data, one axis."""
    return _checks.axis("mean", values)


def covariance_of(values: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The covariance of the data, refused unless it is symmetric and positive definite."""
    values = _checks.floats(values)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(
            f"`covariance` must be a square matrix, but has shape {values.shape}: write `jnp.diag(variances)`."
        )
    if _checks.is_traced(values):
        return values
    seen = np.asarray(values)
    symmetric = np.allclose(seen, seen.T, rtol=1e-6, atol=0.0)
    smallest = float(np.min(np.linalg.eigvalsh(seen))) if symmetric else np.nan
    if not smallest > 0:
        raise ValueError(
            "`covariance` must be symmetric and positive definite, but "
            + (f"has the eigenvalue {smallest:.6g}" if symmetric else "is not symmetric")
            + ": for data in a subspace leave out its other dimensions."
        )
    return values


def root(covariance: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""The symmetric root $\Sigma^{1/2}$."""
    values, vectors = jnp.linalg.eigh(covariance)
    return (vectors * jnp.sqrt(values)) @ vectors.T


def nodes(
    mean: Float[Array, " n"], factor: Float[Array, "n n"], num: int, dtype: DTypeLike
) -> tuple[Quadrature, Quadrature]:
    """Gauss-Hermite nodes of the data, normal with a mean and a root of the covariance; and standard normal ones."""
    unit = Normal(len(mean)).quadrature(num)
    latent = Quadrature(unit.nodes.astype(dtype), unit.weights.astype(dtype))
    data = mean.astype(dtype) + latent.nodes @ factor.astype(dtype).T
    return Quadrature(data, latent.weights), latent


def draw(
    key: jax.Array, num: int, mean: Float[Array, " n"], factor: Float[Array, "n n"]
) -> tuple[Float[Array, "num n"], Float[Array, "num n"]]:
    """So many data, and as many standard normal latent points."""
    data_key, latent_key = jax.random.split(key)
    shape = (_checks.count("num", num), len(mean))
    data = mean + jax.random.normal(data_key, shape, mean.dtype) @ factor.T
    return data, jax.random.normal(latent_key, shape, mean.dtype)


def num_nodes(degree: int | None, degree_of_score: int) -> int:
    """So many nodes along each axis that means of polynomial losses of polynomial scores are exact."""
    return SMOOTH_NODES if degree is None else degree * degree_of_score // 2 + 1
