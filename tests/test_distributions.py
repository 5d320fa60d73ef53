"""Samples and quadratures have the moments of their distributions."""

import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import distributions
from gan_ode.distributions import Empirical, equal_weights, Grid, Normal, PointMass, Quadrature, Ring, Uniform

# Sums of some hundred terms: measured 4e-15.
ROUNDING = 1e-13
NUM = 20_000
# Five standard errors; the keys are fixed, so a failure is a change and not bad luck.
ERRORS = 5

KEY = jax.random.key(0)
POINTS = jnp.array([[0.0, 1.0], [2.0, -1.0], [2.0, 3.0]])


def uniform_moment(low, high, k):
    return (high ** (k + 1) - low ** (k + 1)) / ((k + 1) * (high - low))


def normal_moment(mean, std, k):
    return sum(math.comb(k, j) * mean ** (k - j) * std**j * math.prod(range(j - 1, 0, -2)) for j in range(0, k + 1, 2))


# The mean of each coordinate, and its second moment.
MOMENTS = {
    "uniform": (Uniform(-1.0, 3.0), 1.0, uniform_moment(-1, 3, 2)),
    "uniform_2": (Uniform(0.5, 2.0, dim=2), 1.25, uniform_moment(0.5, 2, 2)),
    "normal": (Normal(mean=0.5, std=2.0), 0.5, 4.25),
    "normal_3": (Normal(3, mean=-1.0, std=0.3), -1.0, 1.09),
    "point_mass": (PointMass(jnp.array([3.0, 3.0])), 3.0, 9.0),
    "empirical": (Empirical(POINTS), np.array([4 / 3, 1.0]), np.array([8 / 3, 11 / 3])),
    # Half of the squared radius falls to each coordinate.
    "ring": (Ring(7, radius=1.5, std=0.1), 0.0, 1.5**2 / 2 + 0.01),
    # Ticks at -1, 0, 1 times the spacing.
    "grid": (Grid(3, spacing=2.0, std=0.1), 0.0, 8 / 3 + 0.01),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_quadrature_has_the_first_two_moments_and_weights_that_sum_to_one(name):
    distribution, mean, second = MOMENTS[name]
    points = distribution.quadrature(6)
    assert points.nodes.shape[0] == points.weights.shape[0]
    np.testing.assert_allclose(np.sum(points.weights), 1, rtol=ROUNDING)
    np.testing.assert_allclose(
        points.weights @ points.nodes, np.broadcast_to(mean, points.nodes.shape[1:]), rtol=0, atol=ROUNDING
    )
    expected = np.broadcast_to(second, points.nodes.shape[1:])
    np.testing.assert_allclose(points.weights @ points.nodes**2, expected, rtol=ROUNDING)


@pytest.mark.parametrize("name", MOMENTS)
def test_samples_have_the_first_two_moments(name):
    distribution, mean, second = MOMENTS[name]
    x = np.asarray(distribution.sample(KEY, NUM))
    assert x.shape == (NUM, *distribution.quadrature(2).nodes.shape[1:])
    for values, expected in ((x, mean), (x**2, second)):
        error = np.std(values, axis=0) / math.sqrt(NUM)
        assert np.all(np.abs(np.mean(values, axis=0) - expected) <= ERRORS * error + ROUNDING)


@pytest.mark.parametrize("name", MOMENTS)
def test_another_key_draws_other_samples_and_the_same_key_the_same(name):
    distribution = MOMENTS[name][0]
    first, again = distribution.sample(KEY, 50), distribution.sample(KEY, 50)
    np.testing.assert_array_equal(first, again)
    if name != "point_mass":
        assert np.any(first != distribution.sample(jax.random.key(1), 50))


@pytest.mark.parametrize("num", [1, 2, 5, 20])
def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1_and_not_beyond(num):
    low, high = -0.5, 1.5
    points = Uniform(low, high).quadrature(num)
    nodes = np.asarray(points.nodes)
    for degree in range(2 * num):
        value = points.mean(jnp.asarray(nodes**degree))
        np.testing.assert_allclose(value, uniform_moment(low, high, degree), rtol=1e-11, err_msg=str(degree))
    if num < 20:
        assert abs(points.mean(jnp.asarray(nodes ** (2 * num))) / uniform_moment(low, high, 2 * num) - 1) > 1e-9


@pytest.mark.parametrize("num", [1, 2, 5, 10])
def test_gauss_hermite_is_exact_up_to_degree_2n_minus_1(num):
    points = Normal(mean=0.5, std=1.5).quadrature(num)
    nodes = np.asarray(points.nodes)
    for degree in range(2 * num):
        value = points.mean(jnp.asarray(nodes**degree))
        np.testing.assert_allclose(value, normal_moment(0.5, 1.5, degree), rtol=1e-11, err_msg=str(degree))


def test_a_quadrature_in_two_dimensions_is_exact_for_products():
    points = Uniform(0.0, 2.0, dim=2).quadrature(4)
    value = points.mean(points.nodes[:, 0] ** 3 * points.nodes[:, 1] ** 6)
    np.testing.assert_allclose(value, uniform_moment(0, 2, 3) * uniform_moment(0, 2, 6), rtol=ROUNDING)


def test_a_ring_has_its_modes_where_it_says():
    angles = 2 * np.pi * np.arange(8) / 8
    expected = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(Ring().centers, expected, rtol=0, atol=ROUNDING)
    near = np.min(np.linalg.norm(np.asarray(Ring().sample(KEY, 500))[:, None] - expected, axis=2), axis=1)
    assert np.max(near) < 5 * 0.02


def test_a_grid_is_centered():
    expected = [[x, y] for x in (-0.75, -0.25, 0.25, 0.75) for y in (-0.75, -0.25, 0.25, 0.75)]
    np.testing.assert_allclose(Grid(4, spacing=0.5).centers, expected, rtol=0, atol=ROUNDING)


def test_every_mode_of_a_mixture_is_drawn_equally_often():
    x = np.asarray(Ring(8).sample(KEY, NUM))
    modes = np.round(np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi / 8)).astype(int) % 8
    counts = np.bincount(modes, minlength=8)
    assert np.all(np.abs(counts - NUM / 8) < ERRORS * math.sqrt(NUM / 8))


def test_a_minibatch_has_equal_weights_in_its_own_dtype():
    points = equal_weights(jnp.ones((4, 2), jnp.float32))
    assert points.weights.dtype == jnp.float32
    np.testing.assert_array_equal(points.weights, np.full(4, 0.25))


def test_a_mean_is_taken_in_the_dtype_of_the_values():
    points = Quadrature(jnp.array([0.0, 1.0]), jnp.array([0.25, 0.75]))
    mean = points.mean(jnp.array([2.0, 4.0], jnp.float32))
    assert mean.dtype == jnp.float32
    assert mean == 3.5


def test_whole_numbers_mean_the_same_as_decimal_ones():
    for whole, decimal in ((Uniform(-1, 1), Uniform(-1.0, 1.0)), (Normal(1, 0, 2), Normal(1, 0.0, 2.0))):
        np.testing.assert_array_equal(whole.sample(KEY, 5), decimal.sample(KEY, 5))
        assert {leaf.dtype for leaf in jax.tree.leaves(whole)} == {jnp.dtype(float)}


def test_a_distribution_may_be_swept():
    means = jax.vmap(lambda high: Uniform(0.0, high).quadrature(3).weights @ Uniform(0.0, high).quadrature(3).nodes)(
        jnp.array([1.0, 4.0])
    )
    np.testing.assert_allclose(means, [0.5, 2.0], rtol=ROUNDING)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1.0, 1.0), "`high - low` must be above 0"),
        (lambda: Uniform(0.0, math.nan), "`high - low` must be above 0 and finite"),
        (lambda: Uniform(dim=0), "`dim` must be at least 1, but is 0"),
        (lambda: Normal(std=-1.0), "`std` must be above 0 .* is -1.*PointMass"),
        (lambda: Ring(0), "`modes` must be at least 1"),
        (lambda: Ring(radius=0.0), "`radius` must be above 0"),
        (lambda: Grid(spacing=-1.0), "`spacing` must be above 0"),
        (lambda: Empirical(jnp.zeros((0, 2))), "`points` must hold at least one sample"),
        (lambda: Empirical(jnp.asarray(1.0)), "`points` must hold at least one sample"),
        (lambda: Uniform(dim=8).quadrature(10), "`num` must leave at most 1,000,000 nodes .*`sample`"),
    ],
)
def test_what_cannot_work_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()


def test_a_user_writes_a_distribution_with_two_methods():
    class Coin(distributions.AbstractDistribution):
        def sample(self, key, num):
            return jax.random.rademacher(key, (num,), float)

        def quadrature(self, num):
            return equal_weights(jnp.array([-1.0, 1.0]))

    assert set(np.unique(Coin().sample(KEY, 100))) == {-1.0, 1.0}
    assert Coin().quadrature(2).mean(jnp.array([0.0, 1.0])) == 0.5


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_points_that_are_whole_numbers_are_those_of_floats(dtype):
    found, expected = (equal_weights(jnp.array([0, 100, 200, 250], each)) for each in (dtype, "float32"))
    np.testing.assert_array_equal(found.nodes, expected.nodes)
    np.testing.assert_array_equal(found.weights, [0.25] * 4)
    assert found.mean(found.nodes**2) == expected.mean(expected.nodes**2) == 28125
