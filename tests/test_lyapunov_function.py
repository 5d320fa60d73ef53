"""Lie derivatives, extremes over boxes, and what they say of a candidate for a Lyapunov function."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players
from tests.catalogue import players, wasserstein_energy

# A few products and sums of order one to ten; measured 4e-15.
ROUNDING = 1e-12
# A search that ends on a mesh of rounding: a value is off by the square of that, a place by the root of rounding.
VALUE, PLACE = 1e-12, 1e-6

ETA = 0.5
# A box of a > 0 that no orbit of interest needs to leave, away from a = 0 where the energy is infinite.
LOW, HIGH = players(-2.0, 0.1), players(2.0, 3.0)


def wasserstein(eta):
    game = games.LinearQuadratic(losses.Wasserstein())
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def energy(y):
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


def random_states(num=200):
    numbers = np.random.default_rng(0)
    return players(numbers.uniform(-5, 5, num), np.exp(numbers.uniform(-3, 1.5, num)))


# The derivative.


@pytest.mark.parametrize("eta", [0.0, 0.5, 3.0])
def test_the_energy_of_the_wasserstein_gan_falls_at_the_stated_rate(eta):
    ys = random_states()
    found = jax.jit(jax.vmap(analysis.lie_derivative(energy, wasserstein(eta))))(ys)
    a = np.asarray(ys.generator)
    expected = -2 * eta / 9 * (1 - a**2) ** 2
    # The terms that cancel at eta = 0 are of this size.
    terms = np.abs(np.asarray(ys.discriminator)) * (1 + a**2) + np.abs(expected)
    assert np.all(np.abs(found - expected) <= ROUNDING * (1 + terms))


def test_the_derivative_of_a_derivative_is_the_second_one():
    # Along y' = -y the square falls at -2 y^2, and that rises at 4 y^2.
    decay = lambda t, y, args: -args * y  # noqa: E731
    once = analysis.lie_derivative(lambda y: y**2, decay, jnp.asarray(1.0))
    assert float(once(jnp.asarray(3.0))) == -18.0
    assert float(analysis.lie_derivative(once, decay, jnp.asarray(1.0))(jnp.asarray(3.0))) == 36.0


def test_a_step_of_an_update_changes_the_squared_radius_by_its_multiplier():
    h, rotation = 0.3, lambda t, y, args: jnp.stack([y[1], -y[0]])
    change = analysis.step_change(lambda y: y @ y, updates.Simultaneous(h), rotation)
    assert float(change(jnp.array([3.0, 4.0]))) == pytest.approx(25 * h**2, rel=1e-13)


# Extremes.


def test_extremes_inside_and_on_the_edge_of_a_box_are_found():
    # A saddle, turned a little off the axes of the grid: smallest inside the left edge, largest in a corner.
    def height(y):
        return (y[1] - 0.3 * y[0] - 0.1) ** 2 + y[0]

    found = analysis.extremes(height, jnp.array([-1.0, -1.0]), jnp.array([2.0, 1.0]))
    # On the left edge the square vanishes at y = -0.2; a corner has the largest value: (2 - ...) by hand.
    np.testing.assert_allclose(found.smallest, -1.0, rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.where_smallest, [-1.0, -0.2], rtol=0, atol=PLACE)
    np.testing.assert_allclose(found.largest, (-1 - 0.6 - 0.1) ** 2 + 2, rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.where_largest, [2.0, -1.0], rtol=0, atol=PLACE)
    assert bool(found.finite)


def test_the_energy_has_its_minimum_of_a_quarter_at_the_equilibrium():
    found = analysis.extremes(energy, LOW, HIGH)
    np.testing.assert_allclose(found.smallest, 0.25, rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.where_smallest.discriminator, 0.0, rtol=0, atol=PLACE)
    np.testing.assert_allclose(found.where_smallest.generator, 1.0, rtol=0, atol=PLACE)


def test_the_deepest_of_many_minima_is_found_between_the_points_of_the_grid():
    # Wells at multiples of 2 pi / 40, deeper toward 0.7: twenty-one points along the axis see few of them.
    def height(y):
        return jnp.cos(40 * y) + (y - 0.7) ** 2

    fine = np.linspace(0.0, 1.0, 2_000_001)
    expected = np.min(np.cos(40 * fine) + (fine - 0.7) ** 2)
    found = analysis.extremes(height, jnp.asarray(0.0), jnp.asarray(1.0), resolution=101)
    np.testing.assert_allclose(found.smallest, expected, rtol=0, atol=1e-9)
    # A steep function on a coarse grid has much room between the points.
    assert float(found.slack) > 0.05


def test_the_slack_is_half_a_cell_of_the_steepest_slope():
    found = analysis.extremes(lambda y: 3 * y[0] - y[1], jnp.zeros(2), jnp.ones(2), resolution=11)
    np.testing.assert_allclose(found.slack, 0.5 * (0.3 + 0.1), rtol=1e-12)


def test_places_where_the_function_is_not_finite_are_left_out_and_reported():
    found = analysis.extremes(lambda y: jnp.log(y), jnp.asarray(-1.0), jnp.asarray(1.0), resolution=101)
    assert not found.finite
    np.testing.assert_allclose(found.largest, 0.0, rtol=0, atol=VALUE)


def test_extremes_are_swept_by_vmap_and_follow_a_parameter():
    low, high = jnp.asarray(-1.0), jnp.asarray(1.0)
    found = jax.vmap(lambda c: analysis.extremes(lambda y: (y - c) ** 2, low, high, resolution=21))(
        jnp.array([0.3, 2.0])
    )
    np.testing.assert_allclose(found.smallest, [0.0, 1.0], rtol=0, atol=VALUE)
    np.testing.assert_allclose(found.largest, [1.3**2, 9.0], rtol=0, atol=VALUE)


# Candidates.


def check(eta, **options):
    return analysis.lyapunov(energy, wasserstein(eta), LOW, HIGH, **options)


def test_the_energy_is_an_invariant_of_the_plain_wasserstein_gan():
    found = check(0.0)
    assert found.kind == "invariant"
    # Measured 4e-16.
    assert max(-found.relative.smallest, found.relative.largest) < ROUNDING


def test_the_energy_is_a_lyapunov_function_of_the_regularized_one_but_stands_still_on_a_line():
    found = check(ETA)
    assert found.kind == "Lyapunov function"
    # -(2 eta / 9)(1 - a^2)^2: largest, zero, at a = 1, smallest at a = 3.
    np.testing.assert_allclose(found.change.largest, 0.0, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(found.change.smallest, -2 * ETA / 9 * 64, rtol=1e-12)
    np.testing.assert_allclose(found.change.where_smallest.generator, 3.0, rtol=0, atol=PLACE)
    np.testing.assert_allclose(found.relative.where_largest.generator, 1.0, rtol=0, atol=1e-3)


def test_no_orbit_stays_on_that_line_so_that_over_a_time_the_energy_falls_everywhere():
    # LaSalle's principle in numbers: only equilibria keep the energy for a time, so all orbits with a > 0 converge.
    # By hand, since it compiles in a third of the time.
    def field(t, y, args):
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3, 2 * w * a / 3 + 4 * args * a * (1 - a**2) / 9)

    found = analysis.lyapunov(energy, field, LOW, HIGH, duration=1.0, args=jnp.asarray(ETA), resolution=21)
    assert found.kind == "strict Lyapunov function"
    assert float(found.margin) > 1e-3
    # At the equilibrium, to the solver's tolerance.
    assert float(found.change.largest) < 1e-9


def test_the_energy_rises_without_bound_for_simultaneous_steps_and_is_no_lyapunov_function():
    found = check(0.0, update=updates.Simultaneous(0.1))
    assert found.kind == "neither"
    assert float(found.change.largest) > 0.01


def test_a_quantity_that_rises_somewhere_is_found_out():
    # The squared distance from the equilibrium falls in the mean, but not everywhere.
    def distance(y):
        return y.discriminator**2 + (y.generator - 1) ** 2

    found = analysis.lyapunov(distance, wasserstein(ETA), LOW, HIGH)
    assert found.kind == "neither" and float(found.relative.largest) > 0.1


def test_a_sweep_over_eta_is_one_program():
    margins = eqx.filter_jit(jax.vmap(lambda eta: check(eta).change.smallest))(jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(margins, -2 * np.array([0.5, 1.0]) / 9 * 64, rtol=1e-12)


def test_single_precision_is_judged_by_its_own_rounding():
    narrow = [jax.tree.map(lambda leaf: leaf.astype(jnp.float32), corner) for corner in (LOW, HIGH)]
    assert analysis.lyapunov(energy, wasserstein(0.0), *narrow).kind == "invariant"
    assert analysis.lyapunov(energy, wasserstein(ETA), *narrow).kind == "Lyapunov function"


def test_the_energy_here_is_the_one_of_the_catalogue():
    assert float(energy(players(0.7, 1.3))) == pytest.approx(wasserstein_energy(np.array([0.7, 1.3])), abs=1e-15)


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.extremes(energy, LOW, jnp.zeros(2)), "`low` and `high` must be two states of the same shape"),
        (lambda: analysis.extremes(energy, HIGH, LOW), "`low` must be below `high` along every axis"),
        (lambda: analysis.extremes(energy, LOW, players(jnp.inf, 3.0)), "both finite"),
        (lambda: analysis.extremes(energy, LOW, HIGH, resolution=2), "`resolution` must be at least 3, but is 2"),
        (lambda: analysis.extremes(jnp.sum, jnp.zeros(9), jnp.ones(9), resolution=11), "at most 4,000,000 points"),
        (
            lambda: analysis.lyapunov(
                energy, wasserstein(0.0), LOW, HIGH, update=updates.Simultaneous(0.1), duration=1.0
            ),
            "`update` and `duration` must not both be given",
        ),
        (lambda: check(0.0, duration=0.0), "`duration` must be above 0"),
    ],
)
def test_what_cannot_be_searched_is_refused(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        call()


def test_a_quantity_that_stands_still_where_the_field_moves_is_no_strict_lyapunov_function():
    def beyond_one(y):
        return jnp.maximum(y.discriminator**2 + y.generator**2 - 1, 0.0)

    def inward(t, y, args):
        return jax.tree.map(jnp.negative, y)

    square = players(-2.0, -2.0), players(2.0, 2.0)
    found = analysis.lyapunov(beyond_one, inward, *square, resolution=41)
    assert found.never_rises and not found.falls
    assert found.kind == "Lyapunov function"


def test_corners_of_whole_numbers_are_a_box():
    found = analysis.extremes(lambda y: (y[0] - 0.3) ** 2, jnp.array([0]), jnp.array([1]))
    assert found.largest == pytest.approx(0.49, abs=VALUE)
