"""Cycles: their periods, orbits, Floquet multipliers and derivatives, against closed forms."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from gan_ode import analysis, fields, games, losses, regularizers
from gan_ode.analysis import cycle_type, find_periodic_orbit, SEARCHES
from gan_ode.games import Players
from tests.catalogue import players

# The reference periods have ten digits behind the point.
TEN_DIGITS = 5.1e-11
# Dopri8 at 1e-12 over one period: measured up to 2e-13 for closures and 4e-12 for multipliers.
PERIOD = 1e-11
# The last Newton step, up to 5e-12 of the size, is in `y` and `period`, but not in the samples: measured 4e-11.
ORBIT = 1e-10
MULTIPLIER = 1e-10
# The end of a derivative's integral by Gregory's rule on 128 intervals: measured 5e-10.
DERIVATIVE = 1e-7
# Across jumps the error of Dopri8 at 1e-12 is of order 1e-11, and of its differences 1e-9: measured 8e-12 and 7e-9.
JUMPING_PERIOD = 1e-9
JUMPING_MULTIPLIER = 1e-6


def same(measured, expected, atol):
    np.testing.assert_allclose(measured, expected, rtol=0, atol=atol)


def no_nan(tree):
    return not any(np.any(np.isnan(leaf)) for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf))


# Families of cycles: the orbit through the start.

W0 = np.array([0.01, 0.1, 0.5, 1.0])
PERIODS = np.array([9.4249350411, 9.4404924353, 9.8210374784, 11.0277823435])


@functools.cache
def wasserstein():
    """Cycles through (w0, 1), and the derivatives of the period in w0 and in the generator's rate."""
    game = games.LinearQuadratic(losses.Wasserstein())

    def period(numbers):
        w0, rate = numbers
        field = fields.GameField(game, Players(jnp.ones(()), rate))
        cycle = find_periodic_orbit(field, Players(w0, jnp.ones(())), throw=False)
        return cycle.period, cycle

    def both(w0):
        slopes, cycle = jax.grad(period, has_aux=True)(jnp.stack([w0, jnp.ones(())]))
        return cycle, slopes

    step = 1e-4
    w0 = np.concatenate([W0, W0 + step, W0 - step])
    cycles, slopes = jax.jit(jax.vmap(both))(jnp.asarray(w0))
    ahead, behind = np.asarray(cycles.period)[4:8], np.asarray(cycles.period)[8:]
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:4], (cycles, slopes)), (ahead - behind) / (2 * step)


def test_periods_of_the_linear_quadratic_wasserstein_gan_are_the_reference_ones():
    (cycles, _), _ = wasserstein()
    assert np.all(cycles.found)
    same(cycles.period, PERIODS, TEN_DIGITS)


def test_small_orbits_have_the_period_of_the_series():
    (cycles, _), _ = wasserstein()
    w = W0[:2]
    series = 3 * np.pi * (1 + w**2 / 6 + w**4 / 144 - 139 * w**6 / 38880)
    # The next term is of order w^8.
    same(cycles.period[:2], series, 1e-9)


def test_of_a_family_the_cycle_through_the_start_is_found():
    (cycles, _), _ = wasserstein()
    same(cycles.y.discriminator, W0, PERIOD)
    same(cycles.y.generator, 1.0, PERIOD)


def test_the_orbit_lies_on_its_level_set_and_closes():
    (cycles, _), _ = wasserstein()
    w, a = cycles.orbit.ys.discriminator, cycles.orbit.ys.generator
    energy = w**2 / 2 + a**2 / 4 - np.log(a) / 2
    same(energy, np.broadcast_to(energy[:, :1], energy.shape), PERIOD)
    same(w[:, -1] - w[:, 0], 0.0, PERIOD)
    same(cycles.orbit.ts[:, -1], cycles.period, 1e-9)
    assert np.all(cycles.closure < PERIOD)


def test_cycles_of_the_wasserstein_gan_are_neutral():
    (cycles, _), _ = wasserstein()
    same(cycles.multipliers, np.ones((4, 2)), MULTIPLIER)
    assert {cycle_type(values) for values in cycles.multipliers} == {"neutral"}


def test_multipliers_of_a_family_are_exact_where_eigenvalues_of_the_monodromy_matrix_are_not():
    (cycles, _), _ = wasserstein()
    # A Jordan block, whose eigenvalues are exact only to the square root of the error.
    by_eigenvalues = np.linalg.eigvals(cycles.monodromy[3])
    assert np.max(np.abs(by_eigenvalues - 1)) > 100 * np.max(np.abs(cycles.multipliers[3] - 1))
    assert cycle_type(by_eigenvalues, 1e-5) == "neutral"
    # Liouville: the divergence 2w/3 is the rate of ln a, which a turn does not change.
    same(np.linalg.det(cycles.monodromy), 1.0, 1e-9)


def test_the_monodromy_matrix_shears_along_the_orbit_as_the_period_changes_with_the_amplitude():
    (cycles, _), slopes = wasserstein()
    # At (w0, 1) the flow goes along a; one more w0 is late by dT/dw0, at the speed 2 w0 / 3.
    same(cycles.monodromy[:, 1, 0], -slopes * 2 * W0 / 3, DERIVATIVE)


def test_the_period_grows_with_the_amplitude_as_its_finite_difference_says():
    (_, slopes), differences = wasserstein()
    # Central differences of step 1e-4: truncation 1e-8, cancellation 1e-9.
    same(slopes[:, 0], differences, DERIVATIVE)


def test_the_gradient_of_the_period_in_a_rate_is_that_of_the_scaling():
    (cycles, slopes), differences = wasserstein()
    # With the generator's rate r the orbit through (w0, 1) has the period T(sqrt(r) w0) / sqrt(r).
    same(slopes[:, 1], -cycles.period / 2 + W0 * differences / 2, DERIVATIVE)


def test_the_dirac_gan_has_the_period_of_the_bessel_function_and_its_slope():
    field = fields.GameField(games.Dirac(losses.Minimax()))
    radii = np.array([0.1, 0.5, 1.0, 2.0])
    curve = analysis.period_against_amplitude(field, lambda r: Players(0 * r, r), jnp.asarray(radii))
    same(curve.periods, 2 * np.pi * (1 + scipy.special.i0(radii**2 / 2)), PERIOD)
    same(curve.periods[2], 12.965248396651, 1e-11)
    same(curve.slopes, 2 * np.pi * radii * scipy.special.i1(radii**2 / 2), DERIVATIVE)
    same(curve.cycles.multipliers, np.ones((4, 2)), MULTIPLIER)


# Isolated cycles: a circle of radius R that attracts at the rate 2 k R^2, beside a direction of rate `along`. Without
# one if R^2 is negative.

CIRCLE = {"attraction": 0.1, "square": 0.64, "along": -0.3, "frequency": 1.5}


def spiral(t, y, numbers):
    x, z = y[:2], y[2]
    k, square, along, frequency = (numbers[name] for name in CIRCLE)
    swing = jnp.stack([-x[1], x[0]])
    return jnp.concatenate([k * (square - x @ x) * x + frequency * swing, (along * z)[None]])


SPIRALS = {
    "attracting": ({}, [1.0, 0.1, 0.2]),
    "repelling": ({"attraction": -0.1, "along": 0.3}, [0.85, 0.0, 0.05]),
    "saddle": ({"along": 0.3}, [0.85, 0.0, 0.05]),
    "from afar": ({}, [5.0, 0.0, 1.0]),
    "no cycle": ({"square": -1.0, "attraction": 0.02}, [1.0, 0.0, 0.0]),
    "converges": ({"square": -1.0, "attraction": 9.0, "along": -9.0}, [1.0, 0.0, 0.0]),
    "diverges": ({"square": -1.0, "attraction": -9.0}, [1.0, 0.0, 0.0]),
    "at rest": ({}, [0.0, 0.0, 0.0]),
    "not finite": ({}, [np.nan, 0.0, 0.0]),
}


@functools.cache
def spirals():
    """All of them, from one compiled program, with derivatives of the period and of the point."""
    settings = [CIRCLE | changes for changes, _ in SPIRALS.values()]
    numbers = {name: jnp.array([setting[name] for setting in settings], float) for name in CIRCLE}
    starts = jnp.array([start for _, start in SPIRALS.values()])

    def numbers_of(numbers, start):
        cycle = find_periodic_orbit(spiral, start, args=numbers, throw=False)
        return (cycle.period, jnp.linalg.norm(cycle.y[:2])), cycle

    derivatives, cycles = jax.jit(jax.vmap(jax.jacrev(numbers_of, has_aux=True)))(numbers, starts)
    return cycles, derivatives


def spiral_of(name):
    return jax.tree.map(lambda leaf: leaf[list(SPIRALS).index(name)], spirals())


@pytest.mark.parametrize("name", ["attracting", "repelling", "saddle", "from afar"])
def test_an_isolated_cycle_is_found_and_named_by_its_multipliers(name):
    cycle, _ = spiral_of(name)
    setting = CIRCLE | SPIRALS[name][0]
    period = 2 * np.pi / setting["frequency"]
    rates = [-2 * setting["attraction"] * setting["square"], setting["along"]]
    assert cycle.found and cycle_type(cycle.multipliers) == ("attracting" if name == "from afar" else name)
    same(cycle.period, period, PERIOD)
    same(np.linalg.norm(cycle.orbit.ys, axis=1), np.full(129, np.sqrt(setting["square"])), ORBIT)
    expected = np.exp(np.array(rates) * period)
    same(cycle.multipliers, [1.0, *sorted(expected, reverse=True)], MULTIPLIER)


def test_derivatives_of_an_isolated_cycle_are_those_of_the_circle():
    _, (of_period, of_radius) = spiral_of("attracting")
    expected = dict.fromkeys(CIRCLE, (0.0, 0.0))
    expected |= {"frequency": (-2 * np.pi / CIRCLE["frequency"] ** 2, 0.0), "square": (0.0, 0.5 / np.sqrt(0.64))}
    for name, (slope_of_period, slope_of_radius) in expected.items():
        same(of_period[name], slope_of_period, 1e-9)
        same(of_radius[name], slope_of_radius, 1e-9)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("no cycle", SEARCHES.collapsed),
        ("converges", SEARCHES.collapsed),
        ("diverges", SEARCHES.no_return),
        ("at rest", SEARCHES.at_rest),
        ("not finite", SEARCHES.not_finite),
    ],
)
def test_a_member_without_a_cycle_says_why_and_holds_infinity(name, outcome):
    cycle, derivatives = spiral_of(name)
    assert cycle.outcome == outcome and not cycle.found
    assert np.isinf(cycle.period) and np.all(np.isinf(cycle.orbit.ys)) and np.all(np.isinf(cycle.multipliers))
    assert no_nan((cycle, derivatives))


class SquaredSlope(regularizers.AbstractPenalty):
    """WGAN-GP with the square of the slope: on the Dirac-GAN, the oscillator of van der Pol."""

    weight: jax.Array

    def losses(self, game, y, args):
        penalty = self.weight / 4 * (y.discriminator**2 - 1) ** 2
        return Players(penalty, jnp.zeros_like(penalty))


@functools.cache
def van_der_pol():
    """Limit cycles over weight and eta, with the gradient of the period in both."""

    def period(numbers):
        game = regularizers.Penalized(games.Dirac(losses.Wasserstein()), SquaredSlope(numbers[0]))
        field = fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(numbers[1])))
        cycle = find_periodic_orbit(field, players(1.0, 0.8), throw=False)
        return cycle.period, cycle

    h = 1e-4
    numbers = jnp.array([[1.0, 0.0], [0.8, 0.1], [0.8 + h, 0.1], [0.8 - h, 0.1], [0.8, 0.1 + h], [0.8, 0.1 - h]])
    (periods, cycles), slopes = jax.jit(jax.vmap(jax.value_and_grad(period, has_aux=True)))(numbers)
    differences = [(periods[2] - periods[3]) / (2 * h), (periods[4] - periods[5]) / (2 * h)]
    return np.asarray(periods), cycles, np.asarray(slopes), np.array(differences)


def test_the_wasserstein_gan_with_squared_slopes_has_the_cycle_of_van_der_pol():
    periods, cycles, _, _ = van_der_pol()
    # At mu = 1, from the literature on that oscillator; with w = psi' it is psi'' - (1 - 3 psi^2) psi' + psi = 0.
    same(periods[0], 6.6632868593, 1e-10)
    assert cycle_type(cycles.multipliers[0]) == "attracting"


def test_the_product_of_the_multipliers_is_that_of_liouville():
    _, cycles, _, _ = van_der_pol()
    psi, period = np.asarray(cycles.orbit.ys.discriminator[0]), float(cycles.period[0])
    # The divergence is 1 - 3 psi^2; evenly spaced sums of a periodic function converge exponentially.
    expected = math.exp(period * np.mean(1 - 3 * psi[:-1] ** 2))
    same(np.prod(np.asarray(cycles.multipliers[0])), expected, MULTIPLIER)
    same(np.linalg.det(cycles.monodromy[0]), expected, 1e-9)


def test_the_gradient_of_the_period_in_eta_and_in_a_weight_is_its_finite_difference():
    _, _, slopes, differences = van_der_pol()
    assert np.all(np.abs(differences) > 1e-2)
    # Central differences of step 1e-4: truncation 1e-8, cancellation 1e-9.
    same(slopes[1], differences, DERIVATIVE)


# A field that jumps.


def jumping_field(gamma, target):
    game = regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.WGANGP(gamma, target))
    return fields.GameField(game)


def test_the_wgan_gp_cycle_attracts_with_the_period_and_multiplier_of_the_closed_form():
    gamma = np.array([0.3, 0.5, 1.0, 1.5, 0.5, 0.5])
    target = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    starts = players([1.0, 0.3, 1.0, 0.3, 1.0, 4.0], [1.0, 0.2, 1.0, 0.2, 2.0, -6.0])

    @jax.jit
    @jax.vmap
    def search(gamma, target, start):
        return find_periodic_orbit(jumping_field(gamma, target), start, derivative="differences", throw=False)

    cycles = search(jnp.asarray(gamma), jnp.asarray(target), starts)
    root = np.sqrt(4 - gamma**2)
    assert np.all(cycles.found)
    same(cycles.period, 4 * np.pi / root, JUMPING_PERIOD)
    same(cycles.multipliers[:, 1], np.exp(-2 * np.pi * gamma / root), JUMPING_MULTIPLIER)
    assert {cycle_type(values) for values in np.asarray(cycles.multipliers)} == {"attracting"}
    # Where psi changes sign |theta| is gamma g0 (1 + q) / (1 - q) with q the contraction of half a turn; between, psi
    # is a damped sine of amplitude (|theta| + gamma g0) / omega.
    q = np.exp(-np.pi * gamma / root)
    height = gamma * target * 2 / (1 - q)
    angle = np.arctan2(root, gamma)
    expected = height * np.exp(-gamma / root * angle)
    measured = np.abs(cycles.orbit.ys.discriminator).max(axis=1)
    # The samples miss the top by up to a 256th of the slowest turn, 9.5: by half of its square.
    np.testing.assert_allclose(measured, expected, rtol=7e-4)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ((1.0, 1.0), "The field jumps .* `derivative='differences'`"),
        ((0.0, 0.0), "`y0` must not be an equilibrium"),
        ((np.nan, 1.0), "`y0` .* must be finite"),
    ],
)
def test_a_search_in_vain_is_an_error(start, text):
    with pytest.raises(RuntimeError, match=text):
        find_periodic_orbit(jumping_field(0.5, 1.0), players(*start))


def test_a_gradient_by_differences_is_refused_with_the_remedy():
    def period(gamma):
        return find_periodic_orbit(
            jumping_field(gamma, 1.0), players(1.0, 1.0), derivative="differences", throw=False
        ).period

    with pytest.raises(ValueError, match="`derivative` must be 'forward' for a gradient"):
        jax.grad(period)(0.5)


# Words and refusals.


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 0.5], "attracting"),
        ([0.5, 1], "attracting"),
        ([1, 1 + 1e-9], "neutral"),
        ([1 + 1e-7j, 1 - 1e-7j], "neutral"),
        ([1, -1.5], "repelling"),
        ([1, 0.5, 2], "saddle"),
        ([1, 1, 0.5], "neutral"),
        ([1, 1j, -1j], "neutral"),
    ],
)
def test_cycles_are_named_by_their_multipliers(values, kind):
    assert cycle_type(np.array(values, complex)) == kind


def test_multipliers_that_are_not_finite_have_no_name():
    with pytest.raises(ValueError, match="`multipliers` must be finite"):
        cycle_type(np.array([1, np.inf], complex))


def test_a_single_number_cannot_go_around():
    with pytest.raises(ValueError, match="`y0` must hold at least 2 numbers"):
        find_periodic_orbit(lambda t, y, args: -y, jnp.ones(1))


def test_too_many_numbers_are_refused():
    with pytest.raises(ValueError, match="`y0` must hold at most 300 numbers"):
        find_periodic_orbit(lambda t, y, args: -y, jnp.ones(301))


def test_an_unknown_derivative_is_refused():
    with pytest.raises(ValueError, match="`derivative` must be one of 'forward', 'differences'"):
        find_periodic_orbit(lambda t, y, args: -y, jnp.ones(3), derivative="backward")  # pyright: ignore


def test_cycles_of_arrays_are_found_in_float32():
    # Frequencies 1 and 2: all orbits close after 2 pi, and this one not before.
    field = fields.GameField(games.Bilinear(jnp.diag(jnp.array([1.0, 2.0]))))
    start = players([0.3, 0.1], [0.5, 0.2], jnp.float32)
    cycle = find_periodic_orbit(field, start)
    assert {leaf.dtype for leaf in jax.tree.leaves((cycle.y, cycle.period, cycle.orbit.ys))} == {jnp.dtype("float32")}
    # Measured 5e-7.
    same(cycle.period, 2 * np.pi, 1e-4)
    same(cycle.monodromy, np.eye(4), 1e-3)
    same(cycle.y.generator, start.generator, 1e-5)
    assert cycle_type(cycle.multipliers) == "neutral"


def test_a_family_found_by_a_loose_solver_is_still_neutral_at_its_own_resolution():
    def duffing(t, y, args):
        return Players(y.generator, -y.discriminator - y.discriminator**3)

    cycle = analysis.find_periodic_orbit(duffing, Players(jnp.array(1.0), jnp.array(0.2)), rtol=1e-5)
    assert cycle.kind == "neutral"
