"""Events of cycles with their derivatives, against closed forms and central differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from jaxtyping import Array

from gan_ode import analysis

# Newton's method on 16 intervals of a circle; measured at most 2e-12.
EXACT = 1e-10
# Central differences of numbers that are found to 1e-12, with a step of 1e-4; measured at most 3e-8.
STEP, DIFFERENCES = 1e-4, 1e-6
INTERVALS = 16


class Rotating(eqx.Module):
    """r' = p r + a r^3 + b r^5, theta' = 1."""

    a: Array
    b: Array

    def __call__(self, p):
        def field(t, y, args):
            square = jnp.sum(y**2)
            return jnp.stack([p * y[0] - y[1], p * y[1] + y[0]]) + square * (self.a + self.b * square) * y

        return field


class Langford(eqx.Module):
    """Langford's system without its asymmetric term: r' = (z - c) r, z' = 0.6 + p z - z^3/3 - r^2 (1 + z/4)."""

    c: Array

    def __call__(self, p):
        def field(t, y, args):
            x, u, z = y
            square = x**2 + u**2
            rise = 0.6 + p * z - z**3 / 3 - square * (1 + z / 4)
            return jnp.stack([(z - self.c) * x - 3.5 * u, 3.5 * x + (z - self.c) * u, rise])

        return field


class Roessler(eqx.Module):
    c: Array

    def __call__(self, a):
        return lambda t, y, args: jnp.stack([-y[1] - y[2], y[0] + a * y[1], 2 + y[2] * (y[0] - self.c)])


def event(kind, value, period, orbit, multipliers):
    """An event by what is known of it."""
    times = jnp.linspace(0, period, len(orbit))
    orbit = jnp.asarray(orbit)
    return analysis.CycleEvent(
        kind, jnp.asarray(value), jnp.asarray(period), orbit[0], jnp.asarray(multipliers, complex), orbit, times
    )


def circle(radius, rate, height=None):
    turn = np.linspace(0, 2 * np.pi, 65)
    rows = [radius * np.cos(turn), radius * np.sin(turn)]
    return np.stack([*rows, np.full_like(turn, height)] if height is not None else rows, axis=1), 2 * np.pi / rate


def fold_value(near):
    return lambda ab: analysis.locate_cycle_event(Rotating(*ab), near, intervals=INTERVALS).value


@pytest.fixture(scope="module")
def fold():
    orbit, period = circle(0.7, 1.0)
    return event("fold of cycles", -0.24, period, orbit, [1, 1])


def test_a_fold_of_cycles_and_its_derivatives_are_those_by_hand(fold):
    found = analysis.locate_cycle_event(Rotating(jnp.array(1.1), jnp.array(-1.2)), fold, intervals=INTERVALS)
    assert found.kind == "fold of cycles"
    a, b = 1.1, -1.2
    np.testing.assert_allclose([found.value, found.period], [a**2 / (4 * b), 2 * np.pi], atol=EXACT)
    np.testing.assert_allclose(jnp.sum(found.orbit**2, axis=1), -a / (2 * b), atol=1e-7)
    np.testing.assert_allclose(found.multipliers, [1, 1], atol=1e-6)
    # Many at once.
    firsts, seconds = jnp.array([1.0, 1.1]), jnp.array([-1.0, -1.2])
    values, slopes = jax.vmap(jax.value_and_grad(fold_value(fold)))((firsts, seconds))
    np.testing.assert_allclose(values, firsts**2 / (4 * seconds), atol=EXACT)
    np.testing.assert_allclose(slopes, [firsts / (2 * seconds), -(firsts**2) / (4 * seconds**2)], atol=EXACT)


def torus_of_langford(c):
    """Where the trace in the half-plane is zero at the cycle with z = c."""

    def trace(p):
        square = (0.6 + p * c - c**3 / 3) / (1 + c / 4)
        return p - c**2 - square / 4

    return scipy.optimize.brentq(trace, 0, 1, xtol=1e-14)


def test_a_torus_and_its_derivative_are_those_of_the_half_plane():
    c = 0.7
    p = torus_of_langford(c)
    orbit, period = circle(np.sqrt((0.6 + p * c - c**3 / 3) / (1 + c / 4)), 3.5, c)
    near = event("torus", p + 0.01, period, orbit, [1, np.exp(2.0j), np.exp(-2.0j)])

    def value(c):
        return analysis.locate_cycle_event(Langford(c), near, intervals=INTERVALS).value

    found, slope = jax.jvp(value, (jnp.array(c),), (jnp.ones(()),))
    np.testing.assert_allclose(found, p, atol=EXACT)
    expected = (torus_of_langford(c + STEP) - torus_of_langford(c - STEP)) / (2 * STEP)
    np.testing.assert_allclose(slope, expected, atol=DIFFERENCES)


def test_a_flip_is_where_scipys_monodromy_matrix_has_minus_1_and_its_derivative_its_differences():
    a, period, start = 0.33485662257, 5.9, [1.0, -4.0, 0.5]

    def velocity(t, y):
        return [-y[1] - y[2], y[0] + a * y[1], 2 + y[2] * (y[0] - 4)]

    def crosses(t, y):
        return y[0]

    crosses.direction = 1
    options = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-12}
    settled = scipy.integrate.solve_ivp(velocity, (0, 300), start, events=crosses, **options)
    (times,), (places,) = settled.t_events, settled.y_events
    period = times[-1] - times[-3]
    samples = scipy.integrate.solve_ivp(
        velocity, (0, period / 2), places[-3], t_eval=np.linspace(0, period / 2, 129), **options
    ).y.T
    near = event("flip", a, period / 2, samples, [1, -1, 0])

    def located(c):
        return analysis.locate_cycle_event(Roessler(c), near, intervals=40)

    found = located(jnp.array(4.0))
    # Measured 2e-9, which is what the table of the documentation says.
    np.testing.assert_allclose(found.value, a, atol=1e-8)
    np.testing.assert_allclose(np.min(np.abs(found.multipliers + 1)), 0, atol=1e-7)
    slope = jax.grad(lambda c: located(c).value)(jnp.array(4.0))
    low, high = (located(jnp.array(4.0 + side)).value for side in (-STEP, STEP))
    np.testing.assert_allclose(slope, (high - low) / (2 * STEP), atol=DIFFERENCES)


def test_what_is_no_event_of_a_cycle_is_refused(fold):
    family = Rotating(jnp.array(1.0), jnp.array(-1.0))
    with pytest.raises(ValueError, match="`event` must be a fold of cycles, a flip or a torus"):
        analysis.locate_cycle_event(family, event("branch point", 0.0, 1.0, fold.orbit, [1, 1]), intervals=INTERVALS)
    with pytest.raises(ValueError, match="`event` must be near a fold of cycles"):
        analysis.locate_cycle_event(Rotating(jnp.array(-1.0), jnp.array(-1.0)), fold, intervals=INTERVALS)
