"""Covariances of linear systems with noise, against SciPy, quadrature and closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from gan_ode import analysis

# Matrices of size 5 with rates of order 1: measured at most 2e-14, relative to the largest entry.
ROUNDING = 1e-12
RNG = np.random.default_rng(0)
STABLE = RNG.normal(size=(5, 5)) - 3 * np.eye(5)
ROOT = RNG.normal(size=(5, 5))
NOISE = ROOT @ ROOT.T
STEP = np.eye(5) + 0.1 * STABLE
ROTATION = np.array([[0.0, -2.0], [2.0, 0.0]])


def same(found, expected, rtol=ROUNDING):
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * np.max(np.abs(expected)))


def test_the_stationary_covariance_solves_lyapunovs_equation():
    found = analysis.stationary_covariance(jnp.asarray(STABLE), jnp.asarray(NOISE))
    same(found, scipy.linalg.solve_continuous_lyapunov(STABLE, -NOISE))


def test_the_stationary_covariance_of_steps_solves_the_discrete_equation():
    found = analysis.stationary_covariance_of_steps(jnp.asarray(STEP), jnp.asarray(NOISE))
    same(found, scipy.linalg.solve_discrete_lyapunov(STEP, NOISE))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_slow_rates_beside_fast_ones_are_solved_in_any_units_of_time(scale):
    # Rates from 1e-3 to 1e3 and a Jordan block, of which a sum of eigenvectors knows nothing.
    jacobian = scale * np.array([[-1e3, 1.0, 0.0], [0.0, -1e-3, 1e-3], [0.0, 0.0, -1e-3]])
    found = analysis.stationary_covariance(jnp.asarray(jacobian), jnp.asarray(NOISE[:3, :3]))
    # Measured 2e-12: the norm of the inverse times rounding.
    same(found, scipy.linalg.solve_continuous_lyapunov(jacobian, -NOISE[:3, :3]), rtol=1e-9)


def test_a_damped_player_and_an_undamped_one_end_with_equal_variances():
    # J = [[-d, -k], [k, 0]] and noise q on the first player alone: S = q / (2 d) times the identity.
    jacobian, q = jnp.array([[-0.1, -1 / 3], [1 / 3, 0.0]]), 0.7
    found = analysis.stationary_covariance(jacobian, jnp.diag(jnp.array([q, 0.0])))
    same(found, q / 0.2 * np.eye(2))


@pytest.mark.parametrize("t", [0.0, 0.3, 40.0])
def test_the_covariance_at_a_time_is_the_integral(t):
    def integrand(s):
        flow = scipy.linalg.expm(s * STABLE)
        return flow @ NOISE @ flow.T

    expected = scipy.integrate.quad_vec(integrand, 0, t, epsabs=1e-13)[0]
    found = analysis.covariance_at(jnp.asarray(STABLE), jnp.asarray(NOISE), t)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)  # measured 3e-15


def test_the_covariance_at_a_time_of_an_unstable_system_is_closed():
    # dx = r x dt + s dW: s^2 (e^(2 r t) - 1) / (2 r), over 1,000 and over 1/2 turns.
    for rate, t in ((0.5, 40.0), (0.01, 3.0)):
        found = analysis.covariance_at(jnp.array([[rate]]), jnp.array([[0.3]]), t)
        np.testing.assert_allclose(found, [[0.3 * np.expm1(2 * rate * t) / (2 * rate)]], rtol=ROUNDING)


def test_the_covariance_after_steps_is_the_recursion():
    covariance = np.zeros((5, 5))
    numbers = jnp.arange(14)
    found = jax.vmap(lambda n: analysis.covariance_after_steps(jnp.asarray(STEP), jnp.asarray(NOISE), n))(numbers)
    for n in range(14):
        np.testing.assert_allclose(found[n], covariance, rtol=0, atol=1e-12)
        covariance = STEP @ covariance @ STEP.T + NOISE


def test_at_a_center_the_covariance_grows_by_the_mean_of_the_noise_over_a_turn():
    noise = np.array([[3.0, 1.0], [1.0, 0.5]])
    rate = analysis.covariance_growth(jnp.asarray(ROTATION), jnp.asarray(noise))
    # Turned through all angles, the noise is half its trace times the identity.
    same(rate, np.trace(noise) / 2 * np.eye(2))
    # After whole turns that is all there is.
    turns = 50 * 2 * np.pi / 2
    same(analysis.covariance_at(jnp.asarray(ROTATION), jnp.asarray(noise), turns), turns * np.asarray(rate), 1e-10)


def test_a_stable_system_does_not_grow_and_an_unstable_one_has_no_rate():
    assert np.all(analysis.covariance_growth(jnp.asarray(STABLE), jnp.asarray(NOISE)) == 0)
    assert np.all(np.isinf(analysis.covariance_growth(jnp.asarray(ROTATION + np.eye(2)), jnp.eye(2))))


def test_beside_a_center_what_is_damped_does_not_grow():
    jacobian = scipy.linalg.block_diag(ROTATION, -np.eye(1))
    rate = analysis.covariance_growth(jnp.asarray(jacobian), jnp.asarray(np.diag([1.0, 3.0, 5.0])))
    np.testing.assert_allclose(rate, np.diag([2.0, 2.0, 0.0]), rtol=0, atol=ROUNDING)


def test_a_center_is_refused_with_what_to_ask_instead():
    with pytest.raises(ValueError, match=r"`jacobian` must be stable.*covariance_growth.*covariance_at"):
        analysis.stationary_covariance(jnp.asarray(ROTATION), jnp.eye(2))
    with pytest.raises(ValueError, match=r"`step_jacobian` must be stable.*1\.0198.*covariance_after_steps"):
        analysis.stationary_covariance_of_steps(jnp.asarray(np.eye(2) + 0.1 * ROTATION), jnp.eye(2))


def test_under_jit_a_center_is_refused_when_it_runs():
    with pytest.raises(Exception, match="must be stable"):
        eqx.filter_jit(analysis.stationary_covariance)(jnp.asarray(ROTATION), jnp.eye(2))


def test_the_stationary_covariance_has_a_derivative():
    # S = q / (2 d) of one damped number: dS/dd = -q / (2 d^2).
    slope = jax.grad(lambda d: analysis.stationary_covariance(-d[None, None], jnp.array([[0.7]]))[0, 0])(jnp.array(0.4))
    np.testing.assert_allclose(slope, -0.7 / (2 * 0.4**2), rtol=ROUNDING)


@pytest.mark.parametrize(
    ("rate", "noise", "t"), [(0.0, 1.0, 1e6), (-1e-7, 1.0, 1e7), (-1.0, 1e7, 1.0), (-1.0, 1e-9, 1.0)]
)
def test_slow_rates_and_large_noise_are_no_trouble(rate, noise, t):
    found = analysis.covariance_at(jnp.array([[rate]]), jnp.array([[noise]]), t)
    expected = noise * (t if rate == 0 else np.expm1(2 * rate * t) / (2 * rate))
    np.testing.assert_allclose(found, [[expected]], rtol=1e-12)


ONE = jnp.array([[-0.5]])


@pytest.mark.parametrize("t", [-1.0, np.nan])
def test_a_time_that_cannot_be_is_refused(t):
    with pytest.raises(ValueError, match="`t` must be at least 0 and finite, but is"):
        analysis.covariance_at(ONE, ONE, t)


@pytest.mark.parametrize("num_steps", [-1, 2**31])
def test_a_number_of_steps_that_cannot_be_is_refused(num_steps):
    with pytest.raises(ValueError, match=f"`num_steps` must be at least 0 and below 2.31, but is {num_steps}"):
        analysis.covariance_after_steps(ONE, ONE, num_steps)
    with pytest.raises(RuntimeError, match="`num_steps` must be at least 0"):
        jax.block_until_ready(jax.jit(lambda n: analysis.covariance_after_steps(ONE, ONE, n))(jnp.asarray(num_steps)))
