"""How good samples are: modes, quality, divergence, and distances to the data."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.stats

from gan_ode import distributions
from gan_ode.analysis import samples, theory

RING = distributions.Ring(modes=4, radius=2.0, std=0.1)
RANDOM = np.random.default_rng(0)
# Against SciPy in float64, over some hundred terms: measured 4e-16. In float32 measured 2e-7.
ROUNDING = 1e-13
SINGLE = 5e-6


def around(center, *distances):
    """Points that far to the right of a center, in standard deviations."""
    return [(center[0] + 0.1 * d, center[1]) for d in distances]


CENTERS = [(2, 0), (0, 2), (-2, 0), (0, -2)]
# Near: 3, 1, 0 and 2 samples; of the nine, six.
POINTS = np.array(
    [
        *around(CENTERS[0], 0, -2.9, 2.9, 3.1),
        *around(CENTERS[1], 1.5),
        *around(CENTERS[2], 3.2),
        *around(CENTERS[3], 0.1, -0.1),
        (0, 0),
    ]
)


def test_the_measures_of_modes_are_exact_counts():
    found = samples.mode_measures(jnp.asarray(POINTS), RING)
    assert found.counts.tolist() == [3, 1, 0, 2]
    assert found.covered == 3
    np.testing.assert_allclose(found.quality, 6 / 9, rtol=ROUNDING)
    shares = np.array([3, 1, 2]) / 6
    np.testing.assert_allclose(found.divergence, np.sum(shares * np.log(4 * shares)), rtol=ROUNDING)


@pytest.mark.parametrize(("within", "counts"), [(0.05, [1, 0, 0, 0]), (3.15, [4, 1, 0, 2]), (5.0, [4, 1, 1, 2])])
def test_how_near_is_near_can_be_said(within, counts):
    assert samples.mode_counts(jnp.asarray(POINTS), RING, within=within).tolist() == counts


@pytest.mark.parametrize(("least", "covered"), [(1, 3), (2, 2), (3, 1), (4, 0)])
def test_a_covered_mode_has_the_least_number_of_samples(least, covered):
    assert samples.mode_measures(jnp.asarray(POINTS), RING, least=least).covered == covered


def test_the_counts_are_those_of_a_search_over_all_pairs():
    grid = distributions.Grid(side=3, std=0.3)
    points = RANDOM.normal(size=(500, 2))
    distances = np.linalg.norm(points[:, None] - np.asarray(grid.centers), axis=-1)
    near = distances.min(axis=1) <= 1.2 * 0.3
    expected = np.bincount(distances.argmin(axis=1)[near], minlength=9)
    counts = jax.jit(lambda x: samples.mode_counts(x, grid, within=1.2))(jnp.asarray(points))
    assert counts.tolist() == expected.tolist() and 0 < expected.sum() < 500


@pytest.mark.parametrize("within", [1.0, 2.0])
def test_the_quality_of_data_is_the_closed_form(within):
    num = 20_000
    data = distributions.Ring().sample(jax.random.key(0), num)
    found = samples.mode_measures(data, distributions.Ring(), within=within)
    share = 1 - np.exp(-(within**2) / 2)
    # Four standard errors; measured below one.
    np.testing.assert_allclose(found.quality, share, rtol=0, atol=4 * np.sqrt(share * (1 - share) / num))
    # Twice the samples times the divergence is chi-square with 7 degrees of freedom: its 1e-4 quantile is 29.9.
    assert 2 * num * share * found.divergence < 29.9


def test_samples_that_are_not_finite_are_near_no_mode():
    points = jnp.array([[jnp.nan, 0.0], [jnp.inf, 0.0], [-jnp.inf, jnp.nan], [2.0, 0.0]])
    found = samples.mode_measures(points, RING)
    assert found.counts.tolist() == [1, 0, 0, 0]
    assert found.quality == 0.25


def test_labels_are_counted_and_unknown_ones_are_not():
    labels = RANDOM.integers(0, 10, 300)
    counts = samples.label_counts(jnp.asarray(labels), 12)
    assert counts.tolist() == np.bincount(labels, minlength=12).tolist()
    assert samples.label_counts(jnp.array([-1, 0, 2, 3, 2]), 3).tolist() == [1, 0, 2]


def test_the_divergence_is_that_of_scipy():
    counts, weights = np.array([3, 0, 5, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    measured = samples.kl_divergence(jnp.asarray(counts), jnp.asarray(3 * weights))
    np.testing.assert_allclose(measured, scipy.stats.entropy(counts, weights), rtol=ROUNDING)


@pytest.mark.parametrize(("present", "expected"), [(1, np.log(1000)), (500, np.log(2)), (1000, 0.0)])
def test_the_divergence_of_an_even_histogram_is_the_logarithm_of_the_share_of_modes(present, expected):
    counts = jnp.where(jnp.arange(1000) < present, 7, 0)
    np.testing.assert_allclose(samples.kl_divergence(counts), expected, rtol=0, atol=ROUNDING)
    assert samples.modes_covered(counts) == present


def test_without_samples_in_any_mode_the_divergence_is_infinite():
    assert samples.kl_divergence(jnp.zeros(3, int)) == jnp.inf
    assert samples.mode_measures(jnp.zeros((5, 2)), RING).divergence == jnp.inf


def test_samples_in_a_mode_of_weight_zero_make_the_divergence_infinite():
    assert samples.kl_divergence(jnp.array([1, 1]), jnp.array([1.0, 0.0])) == jnp.inf


LEFT, RIGHT = RANDOM.normal(size=(120, 1)), 0.5 + 2 * RANDOM.normal(size=(75, 1))


def test_the_energy_distance_in_one_dimension_is_that_of_scipy():
    measured = samples.energy_distance(jnp.asarray(LEFT), jnp.asarray(RIGHT))
    across = np.mean(np.abs(LEFT - RIGHT.T))
    expected = scipy.stats.energy_distance(LEFT[:, 0], RIGHT[:, 0]) / np.sqrt(2 * across)
    np.testing.assert_allclose(measured, expected, rtol=1e-12)
    weighted = [distributions.equal_weights(jnp.asarray(side)) for side in (LEFT, RIGHT)]
    np.testing.assert_allclose(measured, theory.energy_distance(*weighted), rtol=ROUNDING)


def test_the_sliced_distance_along_one_direction_is_that_of_scipy():
    measured = samples.sliced_wasserstein(jnp.asarray(LEFT), jnp.asarray(RIGHT), jnp.ones((1, 1)))
    np.testing.assert_allclose(measured, scipy.stats.wasserstein_distance(LEFT[:, 0], RIGHT[:, 0]), rtol=1e-12)


def test_the_sliced_distance_in_three_dimensions_is_the_mean_over_projections():
    left, right = RANDOM.normal(size=(40, 3)), 1 + RANDOM.normal(size=(30, 3))
    along = samples.directions(3, 5, jax.random.key(0))
    expected = [scipy.stats.wasserstein_distance(left @ u, right @ u) for u in np.asarray(along)]
    measured = samples.sliced_wasserstein(jnp.asarray(left), jnp.asarray(right), along)
    np.testing.assert_allclose(measured, np.mean(expected), rtol=1e-12)


def test_two_points_in_the_plane_are_as_far_apart_as_the_mean_of_a_cosine():
    left, right = jnp.zeros((3, 2)), jnp.tile(jnp.array([[3.0, 4.0]]), (2, 1))
    # The mean of |cos|, by the trapezoidal rule with a kink: of order 2. Measured 4e-6.
    measured = samples.sliced_wasserstein(left, right, samples.directions(2, 512))
    np.testing.assert_allclose(measured, 5 * 2 / np.pi, rtol=2e-5)


def test_a_distance_of_samples_to_themselves_is_zero():
    points = jnp.asarray(RANDOM.normal(size=(20, 2)))
    shuffled = points[::-1]
    assert samples.sliced_wasserstein(points, shuffled, samples.directions(2, 8)) < ROUNDING
    # A root: of rounding.
    assert samples.energy_distance(points, shuffled) < 1e-7


@pytest.mark.parametrize("key", [None, jax.random.key(1)])
def test_directions_are_unit_vectors(key):
    np.testing.assert_allclose(np.linalg.norm(samples.directions(2, 9, key), axis=1), 1, rtol=ROUNDING)


def test_float32_in_gives_float32_out_that_agrees():
    narrow = jnp.asarray(POINTS, jnp.float32)
    wide, along = jnp.asarray(POINTS), samples.directions(2, 4)

    def measure(points):
        found = samples.mode_measures(points, RING, within=2.0)
        sliced = samples.sliced_wasserstein(points, points[:4] + 1, along)
        return found.quality, sliced, samples.energy_distance(points, points[:4])

    for single, double in zip(jax.jit(measure)(narrow), jax.jit(measure)(wide), strict=True):
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, double, rtol=SINGLE)


def test_a_batch_of_samples_is_measured_at_once():
    both = jnp.stack([jnp.asarray(POINTS), jnp.zeros(POINTS.shape)])
    found = jax.vmap(lambda points: samples.mode_measures(points, RING))(both)
    assert found.counts.tolist() == [[3, 1, 0, 2], [0, 0, 0, 0]]
    assert found.covered.tolist() == [3, 0]
    apart = jax.vmap(lambda points: samples.sliced_wasserstein(points, both[0], samples.directions(2, 4)))(both)
    assert apart[0] == 0 < apart[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: samples.mode_counts(jnp.ones((3, 4)), RING), r"`points` must have one row of 2 numbers .* \(3, 4\)"),
        (lambda: samples.mode_counts(jnp.ones((3, 2)), RING, within=0.0), "`within` must be above 0"),
        (lambda: samples.modes_covered(jnp.ones(3, int), least=0), "`least` must be at least 1, but is 0"),
        (lambda: samples.label_counts(jnp.ones(3, int), 0), "`num_modes` must be at least 1, but is 0"),
        (lambda: samples.directions(3, 4), "`key` must be given in 3 dimensions"),
    ],
)
def test_what_cannot_work_is_refused(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        call()


def test_whole_numbers_are_measured_as_floats_are():
    whole = jnp.array([[2, 0], [0, 2], [250, 200], [-2, 0]], "int16")
    floats = whole.astype(float)
    ring = distributions.Ring(modes=3, std=0.7)
    found, expected = (samples.mode_measures(each, ring) for each in (whole, floats))
    assert found.counts.tolist() == expected.counts.tolist() == [1, 1, 1]
    assert found.quality == expected.quality == 0.75
    # Nearer to the center than its whole part is.
    assert samples.mode_counts(whole, ring, within=1.5).tolist() == [1, 1, 0]
    along = samples.directions(2, 8)
    assert samples.sliced_wasserstein(whole, whole + 50, along) == samples.sliced_wasserstein(
        floats, floats + 50, along
    )
    np.testing.assert_allclose(
        samples.energy_distance(whole, whole + 50), samples.energy_distance(floats, floats + 50), rtol=1e-6
    )
