"""Lyapunov exponents, where they are known: linear systems, cycles, maps, and two chaotic classics."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import fields, games, losses, simulate, updates
from gan_ode.analysis import lyapunov_exponents
from gan_ode.games import Players

# What the frame's turning leaves of a linear system: a bounded sum over the time; measured 2e-4 times 1000 / T.
TURNING = 1e-3
# Sums telescope: only the solver's error is left; measured 3e-9.
SUM = 1e-7

USUAL = fields.GameField(games.LinearQuadratic(losses.Minimax(), num_nodes=8))


class Linear(eqx.Module):
    matrix: jax.Array

    def __call__(self, t, y, args):
        return self.matrix @ y


def henon(t, y, args):
    """Minus the identity: the simultaneous step of size 1 is Henon's map with a = 1.4, b = 0.3."""
    return jnp.array([1 - 1.4 * y[0] ** 2 + y[1] - y[0], 0.3 * y[0] - y[1]])


def lorenz(t, y, args):
    return jnp.array([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])


def circular(t, y, args):
    """r' = r (1 - r^2), one turn in 2 pi; across the circle the slope is -2."""
    return jnp.array([y[1], -y[0]]) + (1 - jnp.sum(y**2)) * y


EQUILIBRIUM = Players(jnp.asarray(0.0), jnp.asarray(1.0))


def at_the_equilibrium(update=None):
    return lyapunov_exponents(USUAL, EQUILIBRIUM, 1000.0, update=update, num_spans=200)


def test_at_an_equilibrium_they_are_the_real_parts_of_the_eigenvalues():
    found = at_the_equilibrium()
    np.testing.assert_allclose(found.exponents, [-1 / 20, -1 / 20], rtol=0, atol=TURNING)
    assert float(jnp.sum(found.exponents)) == pytest.approx(-1 / 10, abs=SUM)


def test_of_an_update_they_are_the_logarithms_of_the_multipliers():
    h = 0.3
    found = at_the_equilibrium(updates.Simultaneous(h))
    modulus = abs(1 + h * complex(-1 / 20, np.sqrt(391) / 60))
    np.testing.assert_allclose(found.exponents, np.log(modulus) / h, rtol=0, atol=TURNING)
    # The determinant of every step is the squared modulus.
    assert float(jnp.sum(found.exponents)) == pytest.approx(2 * np.log(modulus) / h, abs=1e-12)


def test_the_memory_of_an_update_is_part_of_the_state():
    h = 0.5
    found = at_the_equilibrium(updates.Optimistic(h))
    eigenvalue = complex(-1 / 20, np.sqrt(391) / 60)
    roots = np.roots([1, -(1 + 2 * h * eigenvalue), h * eigenvalue])
    expected = np.log(np.sort(np.abs(roots))[::-1]).repeat(2) / h
    np.testing.assert_allclose(found.exponents, expected, rtol=0, atol=TURNING)


@pytest.mark.parametrize("order", [[-1.0, -0.25, 0.5], [0.5, -1.0, -0.25]])
def test_they_fall_whatever_the_order_of_the_axes(order):
    found = lyapunov_exponents(Linear(jnp.diag(jnp.array(order))), jnp.zeros(3), 200.0, num_spans=80)
    np.testing.assert_allclose(found.exponents, [0.5, -0.25, -1.0], rtol=0, atol=TURNING)
    assert found.history.shape == (72, 3) and found.ts[-1] == pytest.approx(200.0)
    np.testing.assert_allclose(found.history[-1], found.exponents, rtol=1e-12)


def test_on_a_cycle_one_is_zero_and_the_sum_is_the_mean_divergence():
    found = lyapunov_exponents(circular, jnp.array([0.5, 0.0]), 200.0, num_spans=100)
    # The divergence is 2 - 4 r^2, which is -2 on the circle.
    np.testing.assert_allclose(found.exponents, [0.0, -2.0], rtol=0, atol=TURNING)


def test_the_henon_map_has_its_exponents_within_a_few_standard_errors():
    found = lyapunov_exponents(henon, jnp.zeros(2), 20_000.0, update=updates.Simultaneous(1.0), num_spans=2000)
    # Exponents as in Sprott (2003), Chaos and Time-Series Analysis, appendix A: 0.41922, -1.62319.
    assert np.all(np.abs(found.exponents - np.array([0.41922, -1.62319])) < 5 * found.standard_error)
    assert np.all(found.standard_error < 0.01)
    # Area shrinks by b at every step. Over a span of ten the frame closes to 1e-8, which is then the rounding.
    assert float(jnp.sum(found.exponents)) == pytest.approx(np.log(0.3), abs=SUM)


def test_the_lorenz_system_has_its_exponents():
    starts = jnp.array([[1.0, 1.0, 20.0], [-3.0, 2.0, 15.0], [5.0, 5.0, 30.0], [-8.0, -7.0, 25.0]])
    found = jax.vmap(lambda y: lyapunov_exponents(lorenz, y, 200.0, num_spans=600))(starts)
    error = float(jnp.linalg.norm(found.standard_error[:, 0])) / 4
    # Sprott (2003): 0.9056, 0, -14.5723; the sum is the divergence, -(10 + 1 + 8/3).
    assert float(jnp.mean(found.exponents[:, 0])) == pytest.approx(0.9056, abs=5 * error)
    np.testing.assert_allclose(found.exponents[:, 1], 0.0, rtol=0, atol=0.03)
    np.testing.assert_allclose(jnp.sum(found.exponents, axis=1), -(11 + 8 / 3), rtol=0, atol=1e-3)
    # By how the compiler rounds, 0.017 to 0.029: the orbits are chaotic.
    assert error < 0.04


def test_the_largest_alone_may_be_asked_for():
    found = lyapunov_exponents(henon, jnp.zeros(2), 5000.0, update=updates.Simultaneous(1.0), num=1, num_spans=500)
    assert found.exponents.shape == (1,)
    assert float(found.exponents[0]) == pytest.approx(0.41922, abs=0.03)


def test_an_orbit_that_blows_up_keeps_the_exponent_of_the_time_before():
    # y = 1 / (1 - t) blows up at 1, in the 23rd of these spans, and neighbors part as y^2; the first four do not count.
    found = lyapunov_exponents(lambda t, y, args: y**2, jnp.array([1.0]), 2.0, num_spans=45)
    first, last = 4 * 2 / 45, 22 * 2 / 45
    assert found.outcome == simulate.OUTCOMES.blow_up
    reached = np.isfinite(found.ts)
    assert float(found.ts[reached][-1]) == pytest.approx(last, abs=1e-12)
    expected = 2 * np.log((1 - first) / (1 - last)) / (last - first)
    np.testing.assert_allclose(found.exponents, expected, rtol=1e-6, atol=0)
    np.testing.assert_allclose(found.history[reached][-1], expected, rtol=1e-6, atol=0)
    assert np.all(np.isinf(found.history[~reached])) and np.all(np.isinf(found.standard_error))
    assert np.all(np.isfinite(found.final_state))


def test_an_update_that_blows_up_before_anything_counts_has_infinite_exponents():
    squaring = updates.Simultaneous(1.0)
    found = lyapunov_exponents(lambda t, y, args: y**2, jnp.array([10.0]), 400.0, update=squaring, num_spans=100)
    assert found.outcome == simulate.OUTCOMES.blow_up
    assert np.all(np.isposinf(found.exponents)) and np.all(np.isfinite(found.final_state))
    alive = lyapunov_exponents(henon, jnp.zeros(2), 400.0, update=squaring, num_spans=100)
    assert alive.outcome == simulate.OUTCOMES.ok and np.all(np.isfinite(alive.standard_error))


def test_an_update_that_leaves_where_the_field_is_finite_did_not_blow_up():
    # y <- y - 0.3 sqrt(y) from 1 is negative after six steps.
    drain = updates.Simultaneous(0.3)
    found = lyapunov_exponents(lambda t, y, args: -jnp.sqrt(y), jnp.array([1.0]), 30.0, update=drain, num_spans=100)
    assert found.outcome == simulate.OUTCOMES.nonfinite_field
    assert int(np.sum(np.isfinite(found.ts))) == 0 and np.all(np.isfinite(found.final_state))


def test_spans_that_are_too_long_are_refused():
    steep = Linear(jnp.diag(jnp.array([0.0, -5.0, -10.0])))
    with pytest.raises(ValueError, match=r"`num_spans` must be larger"):
        lyapunov_exponents(steep, jnp.zeros(3), 200.0, num_spans=80)
    with pytest.raises(ValueError, match=r"`num_spans` must be larger"):
        lyapunov_exponents(henon, jnp.zeros(2), 20_000.0, update=updates.Simultaneous(1.0), num_spans=500)
    with pytest.raises(ValueError, match=r"`num` must be at most the 3 dimensions"):
        lyapunov_exponents(steep, jnp.zeros(3), 1.0, num=4)
