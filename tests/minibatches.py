"""Games on minibatches, and what their noise and many runs of them are held against."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gan_ode import distributions, games, losses

WGAN = games.LinearQuadratic(losses.Wasserstein())
JS = games.LinearQuadratic(losses.Minimax())
# Products of the polynomial velocities are exact with three nodes.
FEW = WGAN.quadrature(3)
# Statistical tests are at five standard errors, with fixed seeds: one in two million by chance.
SIGMAS = 5


@eqx.filter_jit
def matrix_of(diffusion, y, args):
    return diffusion(0.0, y, args).as_matrix()


def covariance(diffusion, y, args):
    matrix = np.asarray(matrix_of(diffusion, y, args))
    return matrix @ matrix.T


def within(found, expected, standard_error):
    """Whether an estimate agrees with a number to its standard error."""
    assert np.all(np.abs(np.asarray(found) - expected) < SIGMAS * np.asarray(standard_error)), (
        found,
        expected,
        standard_error,
    )


def flat(y):
    """Paths by parameters."""
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(y)], axis=1)


def standard_errors(values):
    """Of mean and variance, over the first axis."""
    apart = values - values.mean(axis=0)
    return apart.std(axis=0) / np.sqrt(len(values)), (apart**2).std(axis=0) / np.sqrt(len(values))


@functools.cache
def neural_game(dtype=jnp.float64):
    """Twenty-six parameters, thirty-two data and as many latent points."""
    d_key, g_key, data_key, latent_key = jax.random.split(jax.random.key(3), 4)
    gan = games.GAN(
        eqx.nn.MLP("scalar", "scalar", 4, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP("scalar", "scalar", 4, 1, activation=jnp.tanh, key=g_key),
        losses.Minimax(),
        data=distributions.Empirical(1.0 + 0.5 * jax.random.normal(data_key, (32,))),
        latent=distributions.Empirical(jax.random.normal(latent_key, (32,))),
    )
    population = gan.data.points.astype(dtype), gan.latent.points.astype(dtype)
    return gan, jax.tree.map(lambda leaf: leaf.astype(dtype), gan.players), population
