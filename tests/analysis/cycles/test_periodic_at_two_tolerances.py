"""What counts as a cycle: numbers on which two tolerances agree, with their errors, and refusals by name."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
from jax.extend.core import jaxprs_in_params
from jax.flatten_util import ravel_pytree

from gan_ode import fields, flow, games, losses
from gan_ode.analysis import find_periodic_orbit, SEARCHES
from gan_ode.games import Players

# Integrations of logarithms at 1e-12, and quadratures: the references are that good, relative to the period.
REFERENCE = 1e-10
# At the default tolerance, errors of periods are stated to be below this: measured up to 2e-12 of the period.
STATED = 1e-10


def in_players(game):
    field = fields.GameField(game)

    def velocity(t, y, number):
        return ravel_pytree(field(t, Players(y[0], y[1]), None))[0]

    return velocity


def prey(t, y, capacity):
    u, v = y
    return jnp.stack([u * (1 - u / capacity) - u * v / (1 + u), v * (u / (1 + u) - 0.2)])


def lotka_volterra(t, y, number):
    return jnp.stack([y[0] * (1 - y[1]), y[1] * (y[0] - 1)])


def damped(t, y, damping):
    """A center but for a damping by the square of the first coordinate."""
    return jnp.stack([y[1], -y[0] - damping * y[0] ** 2 * y[1]])


def damped_beside_zero(t, y, damping):
    return damped(t, y - jnp.array([1.0, 2.0], y.dtype), damping)


def ring(t, y, power):
    """All but one of the circles shrink or grow, the slower the nearer to that of radius 1."""
    r = jnp.linalg.norm(y)
    return jnp.stack([-y[1], y[0]]) - (jnp.abs(r - 1) ** power * jnp.sign(r - 1)) * y


def van_der_pol(t, y, strength):
    return jnp.stack([y[1], strength * (1 - y[0] ** 2) * y[1] - y[0]])


def forced(t, y, frequency):
    return jnp.stack([y[1], jnp.cos(frequency * t) - 0.1 * y[1] - y[0]])


def forced_from_zero(t, y, frequency):
    return jnp.stack([y[1], jnp.sin(frequency * t) - 0.1 * y[1] - y[0]])


def mathieu(t, y, depth):
    return jnp.stack([y[1], -(1 + depth * jnp.cos(2 * t)) * y[0]])


def slowed(t, y, rate):
    """A learning rate that decays slowly."""
    return jnp.stack([y[1], -y[0]]) / (1 + rate * t)


def forced_later(t, y, since):
    return jnp.stack([y[1], -y[0] + jnp.where(t > since, jnp.cos(t), 0.0)])


SYSTEMS = {
    "linear-quadratic": in_players(games.LinearQuadratic(losses.Wasserstein())),
    "Dirac, non-saturating": in_players(games.Dirac(losses.NonSaturating())),
    "Dirac": in_players(games.Dirac(losses.Minimax())),
    "prey": prey,
    "Lotka-Volterra": lotka_volterra,
    "damped": damped,
    "damped beside zero": damped_beside_zero,
    "ring": ring,
    "van der Pol": van_der_pol,
    "forced": forced,
    "forced from zero": forced_from_zero,
    "Mathieu": mathieu,
    "slowed": slowed,
    "forced later": forced_later,
}


def field(t, y, args):
    """All of them: so they share a compiled program."""
    which, number = args
    return jax.lax.switch(which, list(SYSTEMS.values()), t, y, number)


def find(system, start, number=0.0, *, dtype=float, **options):
    args = jnp.asarray(list(SYSTEMS).index(system)), jnp.asarray(number, dtype)
    return find_periodic_orbit(field, jnp.asarray(start, dtype), args=args, throw=False, **options)


# Orbits that come far below any absolute tolerance. Expected: their logarithms, from crossing to crossing, by SciPy.


def returns_of_logarithms(velocity, start, height, turns=1):
    """Time of the last turn."""
    crossing = lambda t, x: height(x)  # noqa: E731
    crossing.direction = 1.0  # pyright: ignore[reportFunctionMemberAccess]
    options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12, "events": crossing}
    found = scipy.integrate.solve_ivp(velocity, (0.0, 400.0 * (turns + 1)), start, **options)
    times = found.t_events[0][found.t_events[0] > 1e-6]
    return times[turns - 1] - (times[turns - 2] if turns > 1 else 0.0)


def expected_linear_quadratic(w0):
    def velocity(t, x):
        # Beyond reach, but a trial step of SciPy gets there.
        return [(1 - np.exp(min(2 * x[1], 300.0))) / 3, 2 * x[0] / 3]

    return returns_of_logarithms(velocity, [w0, 0.0], lambda x: np.sign(w0) * x[1])


def expected_prey(capacity):
    def velocity(t, x):
        u, v = np.exp(np.minimum(x, 300.0))
        return [1 - u / capacity - v / (1 + u), u / (1 + u) - 0.2]

    return returns_of_logarithms(velocity, [0.0, 0.0], lambda x: x[0] - np.log(0.25), turns=6)


def expected_lotka_volterra(u0):
    """By quadrature: on u - ln u + v - ln v = h, du/dt = u (1 - v) and v by Lambert's function."""
    h = u0 - np.log(u0) + 1
    low, high = (np.log(-scipy.special.lambertw(-np.exp(1 - h), k).real) for k in (0, -1))
    middle, half = (low + high) / 2, (high - low) / 2

    def of_angle(angle):
        x = middle + half * np.sin(angle)
        rest = -np.exp(-(h - np.exp(x) + x))
        v = np.array([-scipy.special.lambertw(rest, k).real for k in (0, -1)])
        return half * np.cos(angle) * np.sum(1 / np.abs(1 - v))

    return scipy.integrate.quad(of_angle, -np.pi / 2, np.pi / 2, epsabs=1e-11, epsrel=1e-12, limit=400)[0]


LARGE = {
    "linear-quadratic 7": ("linear-quadratic", [7.0, 1.0], 0.0, expected_linear_quadratic),
    "linear-quadratic -8": ("linear-quadratic", [-8.0, 1.0], 0.0, expected_linear_quadratic),
    "prey 40": ("prey", [1.0, 1.0], 40.0, expected_prey),
    "prey 20": ("prey", [1.0, 1.0], 20.0, expected_prey),
    "Lotka-Volterra 30": ("Lotka-Volterra", [30.0, 1.0], 0.0, expected_lotka_volterra),
    "Lotka-Volterra 60": ("Lotka-Volterra", [60.0, 1.0], 0.0, expected_lotka_volterra),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_cycle_far_below_any_absolute_tolerance_has_the_period_of_its_logarithms(name):
    system, start, number, expected = LARGE[name]
    cycle = find(system, start, number)
    period = expected(number if number else start[0])
    assert cycle.found, SEARCHES[cycle.outcome]
    assert np.min(np.abs(cycle.orbit.ys)) < 1e-11
    assert cycle.period_error < STATED * period
    assert abs(cycle.period - period) < cycle.period_error + REFERENCE * period


def test_the_period_of_the_issue_is_found():
    # Two periods that are known beforehand, so that the integrations above are held against something as well.
    assert abs(expected_linear_quadratic(7.0) - 43.48426409) < 1e-8
    assert abs(expected_prey(40.0) - 311.442) < 1e-3


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-6, 1e-8, 1e-11])
def test_the_error_that_is_stated_holds_at_every_tolerance(rtol):
    cycle = find("linear-quadratic", [7.0, 1.0], rtol=rtol)
    assert cycle.found
    assert abs(cycle.period - 43.48426408901653) < cycle.period_error < 1e-6 * 43


def test_the_error_that_is_stated_holds_in_float32():
    cycle = find("linear-quadratic", [7.0, 1.0], dtype=jnp.float32)
    assert cycle.found and cycle.period.dtype == jnp.float32
    # Measured 2.3e-5, and 6e-5 stated.
    assert abs(float(cycle.period) - 43.48426408901653) < cycle.period_error < 1e-3


@pytest.mark.parametrize("atol", [1e-6, 1e-12, 1e-20])
@pytest.mark.parametrize("name", ["linear-quadratic 7", "prey 20", "Lotka-Volterra 60"])
def test_an_orbit_below_the_absolute_tolerance_that_is_given_is_refused(name, atol):
    system, start, number, _ = LARGE[name]
    # How the search ends is a matter of chance: such an orbit may not even come back.
    assert not find(system, start, number, atol=atol).found


def test_the_refusal_names_the_absolute_tolerance():
    args = jnp.asarray(0), jnp.asarray(0.0)
    with pytest.raises(RuntimeError, match=r"Two tolerances, .* Lower `atol`, or leave it out"):
        find_periodic_orbit(field, jnp.array([7.0, 1.0]), args=args, atol=1e-9)


def test_an_absolute_tolerance_that_is_small_enough_is_taken_as_it_is():
    cycle = find("linear-quadratic", [7.0, 1.0], atol=1e-40)
    assert cycle.found
    assert abs(cycle.period - 43.48426408901653) < cycle.period_error


# Slow spirals are no cycles.

SPIRALS = {
    "r^2 ~ 8 / t": ("Dirac, non-saturating", [0.0, 1e-3], 0.0),
    "the same, larger": ("Dirac, non-saturating", [0.0, 1e-1], 0.0),
    "the same, below any drift that a turn shows": ("Dirac, non-saturating", [0.0, 1e-6], 0.0),
    "slow damping": ("damped", [1.0, 0.0], 1e-6),
    "slower damping": ("damped", [1.0, 0.0], 1e-9),
    "slow damping of a small orbit": ("damped", [1e-4, 0.0], 1e-6),
    "slow growth": ("damped", [1.0, 0.0], -1e-6),
    "slow damping beside zero": ("damped beside zero", [1.5, 2.0], 1e-6),
    "inside of a circle that attracts slowly": ("ring", [0.9, 0.0], 3.0),
}


@pytest.mark.parametrize("name", SPIRALS)
def test_a_slow_spiral_is_no_cycle(name):
    cycle = find(*SPIRALS[name])
    assert not cycle.found and cycle.outcome == SEARCHES.spirals


@pytest.mark.parametrize("rtol", [1e-1, 1e-2, 1e-4, 1e-6])
def test_a_slow_spiral_is_no_cycle_at_loose_tolerances_either(rtol):
    assert find("damped", [1.0, 0.0], 1e-6, rtol=rtol).outcome == SEARCHES.spirals
    assert not find("Dirac, non-saturating", [0.0, 1e-3], rtol=rtol).found


CENTERS = {"of size 1": [1.0, 0.0], "small": [1e-4, 0.0], "tiny": [1e-8, 0.0]}


@pytest.mark.parametrize("name", CENTERS)
def test_a_center_is_a_family_of_cycles_down_to_tiny_ones(name):
    cycle = find("damped", CENTERS[name])
    assert cycle.found and cycle.kind == "neutral"
    assert abs(cycle.period - 2 * np.pi) < cycle.period_error < 1e-10


def test_an_orbit_too_small_for_its_distance_from_zero_is_left_undecided():
    # Around (1, 2): rounding is 1e-16 of that, and of the orbit 1e-8.
    for radius in (1e-8, 1e-10, 1e-12):
        assert not find("damped beside zero", [1.0 + radius, 2.0]).found
    assert find("damped beside zero", [1.0 + 1e-4, 2.0]).found


def test_what_jitters_at_an_equilibrium_is_no_cycle():
    for atol in (1e-4, 1e-6):
        for radius in (0.5, 1e-3, 1e-9):
            cycle = find("damped beside zero", [1.0 + radius, 2.0], 50.0, atol=atol)
            assert not cycle.found, (atol, radius)


def test_a_weakly_attracting_cycle_is_told_from_a_family():
    cycle = find("ring", [1.01, 0.0], 1.0)
    assert cycle.found and cycle.kind == "attracting"
    assert abs(cycle.period - 2 * np.pi) < cycle.period_error
    assert abs(np.linalg.norm(cycle.y) - 1) < cycle.y_error < 1e-8


def test_a_loose_solver_of_low_order_states_what_it_is_good_for():
    args = jnp.asarray(0), jnp.asarray(0.0)
    cycle = find_periodic_orbit(field, jnp.array([0.5, 1.0]), args=args, solver=diffrax.Bosh3(), rtol=1e-5, throw=False)
    assert cycle.found and cycle.kind == "neutral"
    assert abs(cycle.period - 9.8210374784) < cycle.period_error < 1e-5


def test_a_derivative_that_cannot_be_told_is_nan_and_no_number():
    strengths = jnp.array([0.5, 2.0, 3.0, 10.0])
    which = jnp.asarray(list(SYSTEMS).index("van der Pol"))

    @jax.jit
    @jax.vmap
    def period_and_slope(strength):
        def period(strength):
            return find_periodic_orbit(field, jnp.array([2.0, 0.0]), args=(which, strength), throw=False).period

        return jax.value_and_grad(period)(strength)

    step = 1e-3
    periods, slopes = period_and_slope(jnp.concatenate([strengths, strengths + step, strengths - step]))
    at, ahead, behind = np.split(np.asarray(periods), 3)
    differences = (ahead - behind) / (2 * step)
    # From the literature on this oscillator.
    np.testing.assert_allclose(at[[1, 3]], [7.6298744797, 19.0783695669], rtol=0, atol=1e-9)
    # 128 samples are few at 2: measured 4e-6. Beyond, a turn leaves less than rounding of a displacement.
    np.testing.assert_allclose(slopes[:2], differences[:2], rtol=2e-5)
    assert np.all(np.isnan(slopes[2:4]))


# Explicit time.

TIMED = {
    "forced": ("forced", [0.3, 0.1], 1.3),
    "forced, where the velocity is zero at first": ("forced", [1.0, 0.0], 1.3),
    "forced, by zero at first": ("forced from zero", [0.3, 0.1], 1.3),
    "a parameter is forced": ("Mathieu", [1.0, 0.0], 0.3),
    "a parameter is forced that does not matter at the start": ("Mathieu", [0.0, 1.0], 0.3),
    "a learning rate decays": ("slowed", [1.0, 0.0], 1e-6),
    "forced later": ("forced later", [1.0, 0.0], 40.0),
}


@pytest.mark.parametrize("name", TIMED)
def test_a_field_with_explicit_time_is_refused_as_such(name):
    cycle = find(*TIMED[name])
    assert not cycle.found and cycle.outcome == SEARCHES.explicit_time


def test_the_refusal_of_explicit_time_has_the_remedy():
    with pytest.raises(RuntimeError, match=r"has explicit time: .* Add the phase to the state, as an oscillator"):
        find_periodic_orbit(forced, jnp.array([0.3, 0.1]), args=jnp.asarray(1.3))


def test_with_its_phase_in_the_state_a_forced_oscillator_has_the_period_and_amplitude_of_the_forcing():
    frequency = 1.3

    def with_phase(t, y, args):
        x, v, c, s = y
        return jnp.stack([v, c - 0.1 * v - x, -frequency * s, frequency * c])

    cycle = find_periodic_orbit(with_phase, jnp.array([-1.0, 0.3, 1.0, 0.0]))
    assert abs(cycle.period - 2 * np.pi / frequency) < cycle.period_error
    # x = Re[(c + i s) / (1 - w^2 + 0.1 i w)], and its derivative.
    response = 1 / (1 - frequency**2 + 0.1j * frequency)
    phase = response * (cycle.y[2] + 1j * cycle.y[3])
    np.testing.assert_allclose(cycle.y[:2], [phase.real, (1j * frequency * phase).real], rtol=0, atol=1e-10)


# All of a search is one loop.


def test_members_that_are_followed_together_come_out_as_by_themselves():
    starts = jnp.array([[7.0, 1.0], [0.5, 1.0], [2.0, 1.0]])
    args = jnp.zeros(3, int), jnp.zeros(3)
    together = jax.vmap(lambda y, a: find_periodic_orbit(field, y, args=a, throw=False))(starts, args)
    alone = [find("linear-quadratic", start) for start in starts]
    assert np.all(together.found)
    # Steps are the same up to rounding.
    np.testing.assert_allclose(together.period, [cycle.period for cycle in alone], rtol=1e-11)


def loops_over_steps(jaxpr):
    """Loops that hold a loop over stages, and no other that does."""
    count, holds = 0, False
    for equation in jaxpr.eqns:
        inside = [loops_over_steps(inner) for inner in jaxprs_in_params(equation.params)]
        inner_count, inner_holds = sum(c for c, _ in inside), any(h for _, h in inside)
        loop = equation.primitive.name == "while"
        count += 1 if loop and inner_holds and not inner_count else inner_count
        holds = holds or loop or inner_holds
    return count, holds


def test_the_first_return_and_both_tolerances_share_a_compiled_solve():
    def circle(t, y, args):
        return jnp.stack([-y[1], y[0]])

    def follow(y):
        return flow(circle, y, jnp.linspace(0.0, 1.0, 3), throw=False).ys

    programs = [jax.make_jaxpr(f)(jnp.ones(2)).jaxpr for f in (follow, lambda y: find_periodic_orbit(circle, y).period)]
    assert [loops_over_steps(program)[0] for program in programs] == [1, 1]
