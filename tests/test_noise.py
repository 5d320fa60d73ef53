"""The noise of minibatches: its covariance, and the equation that it makes."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, backward_error, fields, noise, regularizers
from gan_ode.games import Players
from gan_ode.updates import Simultaneous
from tests.catalogue import players
from tests.minibatches import covariance, FEW, flat, JS, matrix_of, neural_game, SIGMAS, WGAN, within

# Sums of some tens of products in float64: measured 1e-16, relative to the largest entry.
ROUNDING = 1e-12
# Of a squared uniform number on [-1, 1]: 1/5 - 1/9.
VARIANCE = 4 / 45
HERE = players(0.3, 1.2)


# The covariance


def test_the_covariance_of_the_wgan_is_the_closed_one_with_a_batch_size_for_each_part():
    # w' = mean x^2 - a^2 mean z^2 and a' = 2 w a mean z^2.
    found = covariance(noise.LowRank(fields.GameField(WGAN), 0.1, (16, 50)), HERE, FEW)
    w, a = 0.3, 1.2
    latent = np.array([-(a**2), 2 * w * a])
    expected = 0.1 * VARIANCE * (np.diag([1.0, 0.0]) / 16 + np.outer(latent, latent) / 50)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.max(expected))


def test_rates_scale_the_noise_with_the_field():
    field = fields.GameField(WGAN, rates=Players(2.0, 0.5))
    found = covariance(noise.LowRank(field, 0.1, 16), HERE, FEW)
    plain = covariance(noise.LowRank(fields.GameField(WGAN), 0.1, 16), HERE, FEW)
    rates = np.array([2.0, 0.5])
    np.testing.assert_allclose(found, plain * np.outer(rates, rates), rtol=0, atol=ROUNDING * np.max(plain))


@pytest.mark.parametrize(
    "game",
    [JS, regularizers.Penalized(WGAN, regularizers.GradientNorm(0.5))],
    ids=["JS", "regularized WGAN"],
)
def test_the_covariance_is_that_of_many_minibatch_fields(game):
    field, size, num = fields.GameField(game), 256, 20_000
    draws = jax.jit(jax.vmap(lambda key: field(0.0, HERE, JS.sample(key, size))))(
        jax.random.split(jax.random.key(0), num)
    )
    apart = flat(draws) - np.mean(flat(draws), axis=0)
    found = np.mean(apart[:, :, None] * apart[:, None], axis=0)
    standard_error = np.std(apart[:, :, None] * apart[:, None], axis=0) / np.sqrt(num)
    expected = covariance(noise.LowRank(field, 1.0, size), HERE, JS.quadrature(8))
    # The penalty multiplies two means: its covariance has terms of second order in 1/size, measured 0.4 %.
    within(found, expected, standard_error + 0.01 * np.abs(expected) / SIGMAS)


def test_at_the_equilibrium_the_regularizer_carries_the_discriminators_noise_to_the_generator():
    eta = 0.4
    field = fields.GameField(regularizers.Penalized(WGAN, regularizers.GradientNorm(eta)))
    found = covariance(noise.LowRank(field, 0.1, 64), WGAN.equilibrium, FEW)
    # a' holds (4/3) eta times the noise of w'.
    along = np.array([1.0, 4 * eta / 3])
    expected = 0.1 * 2 * VARIANCE / 64 * np.outer(along, along)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.max(expected))


def by_examples(gan, y, population):
    """The covariances of the velocities of single data, and of single latent points, one example at a time."""
    field, (data, latent) = fields.GameField(gan), population

    def velocity(x, z):
        return ravel_pytree(field(0.0, y, (x[None], z[None])))[0]

    of_data = jax.jit(jax.vmap(velocity, (0, None)))(data, latent[0])
    of_latent = jax.jit(jax.vmap(velocity, (None, 0)))(data[0], latent)
    return np.cov(of_data.T, bias=True), np.cov(of_latent.T, bias=True)


def test_the_covariance_of_networks_is_that_of_single_examples():
    gan, y, population = neural_game()
    of_data, of_latent = by_examples(gan, y, population)
    expected = 0.1 * (of_data / 8 + of_latent / 5)
    found = covariance(noise.LowRank(fields.GameField(gan), 0.1, (8, 5)), y, population)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.max(np.abs(expected)))


def test_the_diagonal_is_that_of_the_covariance():
    gan, y, population = neural_game()
    of_data, of_latent = by_examples(gan, y, population)
    diffusion = noise.Diagonal(fields.GameField(gan), 0.1, (8, 5))
    expected = 0.1 * np.diag(of_data / 8 + of_latent / 5)
    np.testing.assert_allclose(
        ravel_pytree(eqx.filter_jit(diffusion.variances)(0.0, y, population))[0],
        expected,
        rtol=0,
        atol=ROUNDING * np.max(expected),
    )
    np.testing.assert_allclose(
        covariance(diffusion, y, population), np.diag(expected), rtol=0, atol=ROUNDING * np.max(expected)
    )


def test_the_noise_keeps_the_dtype_of_the_parameters():
    gan, y, population = neural_game(jnp.float32)
    diffusion = noise.LowRank(fields.GameField(gan), 0.1, 8)
    increments = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), diffusion.increments(y, population))
    assert {leaf.dtype for leaf in jax.tree.leaves(increments)} == {jnp.dtype("float32")}
    drawn = jax.eval_shape(lambda: diffusion(0.0, y, population).mv(increments))
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}


def test_frozen_noise_is_that_of_its_state_everywhere():
    diffusion = noise.LowRank(fields.GameField(WGAN), 0.1, 64)
    frozen = noise.Frozen(diffusion, HERE, FEW)
    np.testing.assert_array_equal(covariance(frozen, players(5.0, 5.0), None), covariance(diffusion, HERE, FEW))
    assert frozen.additive and not diffusion.additive


# The equation


def test_the_modified_noise_lacks_half_a_step_of_what_the_flow_does_to_it():
    field, h, eps = fields.GameField(WGAN), 0.2, 1e-6
    diffusion = noise.LowRank(field, h, 64)

    def matrix(y):
        return np.asarray(matrix_of(diffusion, y, FEW))

    velocity = field(0.0, HERE, FEW)
    ahead = jax.tree.map(lambda leaf, v: leaf + eps * v, HERE, velocity)
    behind = jax.tree.map(lambda leaf, v: leaf - eps * v, HERE, velocity)
    along_flow = (matrix(ahead) - matrix(behind)) / (2 * eps)
    w, a = 0.3, 1.2
    jacobian = np.array([[0, -2 * a / 3], [2 * a / 3, 2 * w / 3]])
    expected = matrix(HERE) - h / 2 * (jacobian @ matrix(HERE) + along_flow)
    found = matrix_of(noise.Modified(diffusion, field, h), HERE, FEW)
    # Central differences: measured 1e-12 of entries of 1e-2.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@functools.cache
def variance_errors():
    """Relative errors of stationary variances against the steps', at two step sizes, for three equations."""
    field, at, args = fields.GameField(JS), JS.equilibrium, JS.quadrature(8)
    errors = []
    for h in (0.02, 0.01):
        plain = noise.of_minibatches(field, jnp.array(h), 64)
        second = noise.of_minibatches(field, jnp.array(h), 64, order=2)
        q = jnp.asarray(h * covariance(plain.diffusion, at, args))
        exact = analysis.stationary_covariance_of_steps(
            analysis.jacobian(field, at, update=Simultaneous(jnp.array(h))), q
        )
        equations = plain, noise.SDE(second.drift, plain.diffusion), second
        found = [
            analysis.stationary_covariance(
                analysis.jacobian(each.drift, at, args=args), jnp.asarray(covariance(each.diffusion, at, args))
            )
            for each in equations
        ]
        errors.append([float(jnp.linalg.norm(each - exact) / jnp.linalg.norm(exact)) for each in found])
    return np.array(errors)


@pytest.mark.parametrize(("equation", "order"), [(0, 1), (1, 1), (2, 2)], ids=["plain", "drift modified", "both"])
def test_variances_are_of_second_order_only_with_drift_and_noise_modified(equation, order):
    errors = variance_errors()[:, equation]
    # Measured 1.02, 1.00 and 2.02.
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, rtol=0, atol=0.05)


def test_stratonovichs_drift_of_minibatches_is_that_by_finite_differences():
    sde, eps = noise.of_minibatches(fields.GameField(WGAN), 0.1, 2), 1e-6
    point = np.array([0.3, 1.2])

    def matrix(point):
        return np.asarray(matrix_of(sde.diffusion, players(*point), FEW))

    correction = sum(
        (matrix(point + eps * column)[:, j] - matrix(point - eps * column)[:, j]) / (2 * eps)
        for j, column in enumerate(matrix(point).T)
    )
    found = noise.stratonovich_drift(sde)(0.0, HERE, FEW)
    plain = sde.drift(0.0, HERE, FEW)
    moved = np.array([found.discriminator - plain.discriminator, found.generator - plain.generator])
    # Of entries of 5e-3, so that a forgotten half shows; central differences measured 1e-12.
    np.testing.assert_allclose(moved, -correction / 2, rtol=0, atol=1e-9)
    assert np.max(np.abs(moved)) > 1e-3


# What is refused


def test_impossible_numbers_are_refused():
    field = fields.GameField(WGAN)
    with pytest.raises(ValueError, match="`batch_size` must be above 0"):
        noise.LowRank(field, 0.1, (8, 0))
    with pytest.raises(ValueError, match="`step_size` must be above 0"):
        noise.Diagonal(field, -0.1, 8)
    with pytest.raises(ValueError, match="`order` must be 1 or 2, but is 3"):
        noise.of_minibatches(field, 0.1, 8, order=3)
    with pytest.raises(ValueError, match=r"`args` must be a minibatch `\(data, latent\)`, but is NoneType"):
        noise.LowRank(field, 0.1, 8)(0.0, HERE, None)


def test_the_second_order_drift_is_the_modified_field():
    field = fields.GameField(WGAN)
    found = noise.of_minibatches(field, 0.2, 8, order=2).drift(0.0, HERE, FEW)
    expected = backward_error.modified_field(Simultaneous, field, 0.2)(0.0, HERE, FEW)
    assert (found.discriminator, found.generator) == (expected.discriminator, expected.generator)


def test_where_a_variance_vanishes_the_diagonal_has_derivatives():
    # At the equilibrium w = 0 the generator's velocity is 0 for every example.
    field = fields.GameField(JS)
    diffusion = noise.Diagonal(field, 0.1, 64)
    assert diffusion.variances(0.0, JS.equilibrium, FEW).generator == 0
    corrected = noise.stratonovich_drift(noise.SDE(field, diffusion))(0.0, JS.equilibrium, FEW)

    def correction(w, a):
        # Half of sigma times its derivative is a quarter of that of the variance.
        variances = jax.jacfwd(lambda y: diffusion.variances(0.0, y, FEW))(players(w, a))
        return variances.discriminator.discriminator / 4, variances.generator.generator / 4

    drift = field(0.0, JS.equilibrium, FEW)
    expected = [part - change for part, change in zip(jax.tree.leaves(drift), correction(0.0, 1.0), strict=True)]
    np.testing.assert_allclose(jax.tree.leaves(corrected), expected, rtol=0, atol=1e-15)
