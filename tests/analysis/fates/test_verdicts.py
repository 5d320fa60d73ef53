"""Verdicts that were wrong and looked right, each with siblings of its kind.

Expected periods are integrals, or come from logarithms followed by SciPy's DOP853 at 1e-12.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from gan_ode import analysis, fields, games, losses, updates
from gan_ode.games import Players

# A turn of the conservative examples, in units of the verdict's own error; references are good to 1e-8.
REFERENCE = 2e-8


def plane(function):
    return lambda t, y, args: jnp.stack(function(*y))


def players(d, g):
    return Players(jnp.asarray(d, float), jnp.asarray(g, float))


def wasserstein():
    return fields.GameField(games.LinearQuadratic(losses.Wasserstein()))


def turn_in_logarithms(w, a):
    """The period of the linear-quadratic Wasserstein GAN through (w, a), with a followed as its logarithm."""

    def velocity(t, y):
        return [(1 - np.exp(min(2 * y[1], 600))) / 3, 2 * y[0] / 3]

    # By symmetry a turn is twice the way from one crossing of w = 0 to the other.
    def crossing(t, y):
        return y[0]

    options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12, "events": crossing}
    times = solve_ivp(velocity, (0, 400), [w, np.log(a)], **options).t_events[0]
    return times[2] - times[0]


@pytest.mark.parametrize("start", [(7.0, 1.0), (-8.0, 1.0), (0.3, 6.0)])
def test_a_component_far_below_every_tolerance_does_not_turn_around_by_itself(start):
    verdict = analysis.classify(wasserstein(), players(*start))
    assert verdict.kind == "cycles", verdict
    assert abs(verdict.period - turn_in_logarithms(*start)) <= verdict.period_error + REFERENCE
    assert verdict.period_error < 1e-4


def test_a_predator_that_nearly_dies_out_comes_back_when_it_does():
    field = plane(lambda u, v: (u * (1 - u / 40) - u * v / (1 + u), v * (u / (1 + u) - 0.2)))
    verdict = analysis.classify(field, jnp.array([1.0, 1.0]))
    assert verdict.kind == "cycles" and "come nearer" in verdict.reason, verdict
    # Logarithms by SciPy's DOP853 at 1e-12.
    assert abs(verdict.period - 311.442181) <= verdict.period_error + 1e-6


def test_longer_and_longer_visits_to_corners_are_no_cycle():
    def may_leonard(t, y, args):
        return y * (1 - y - 0.8 * jnp.roll(y, -1) - 1.5 * jnp.roll(y, -2))

    verdict = analysis.classify(may_leonard, jnp.array([0.5, 0.3, 0.2]))
    assert verdict.kind in ("wanders", "undecided") and "period" not in verdict.reason, verdict


@pytest.mark.parametrize("rtol", [0.1, 1e-2, 1e-10])
def test_a_loose_tolerance_makes_no_cycle_of_decay(rtol):
    verdict = analysis.classify(lambda t, y, args: -y, jnp.array([1.0]), rtol=rtol)
    assert verdict.kind == "converges" and abs(verdict.rate + 1) <= verdict.rate_error


def test_a_tiny_orbit_is_told_by_its_turns_and_not_by_the_solver():
    center = plane(lambda x, y: (-y, x))
    verdict = analysis.classify(center, jnp.array([1e-8, 0.0]))
    assert verdict.kind == "cycles" and abs(verdict.period - 2 * np.pi) <= verdict.period_error
    # r' = -r^3 and r' = +r^3 at 1e-3: a turn moves it by 6e-6 of its size.
    for sign, kind in ((-1, "converges"), (1, "diverges")):
        focus = plane(lambda x, y, s=sign: (-y + s * x * (x * x + y * y), x + s * y * (x * x + y * y)))
        assert analysis.classify(focus, jnp.array([1e-3, 0.0])).kind == kind


def test_a_decay_below_the_resolution_of_windows_is_seen_turn_by_turn():
    field = fields.GameField(games.Dirac(losses.NonSaturating()))
    verdict = analysis.classify(field, players(0.001, 0.0))
    assert verdict.kind == "converges"
    # r^2 = 8 / t for late times.
    assert abs(verdict.power + 0.5) <= verdict.power_error < 0.02


@pytest.mark.parametrize("start", [(0.0, -3.0), (5.0, -4.6), (0.0, -1.6)])
@pytest.mark.parametrize("followed", [None, 1000.0])
def test_convergence_is_seen_where_the_field_rounds_and_the_state_does_not(start, followed):
    # 1 - exp(2 y) is 0 for |y| below 1e-16: an orbit that has come nearer no longer falls into its equilibrium.
    verdict = analysis.classify(
        plane(lambda x, y: ((1 - jnp.exp(2 * y)) / 3, 2 * x / 3 + 2 * (1 - jnp.exp(2 * y)) / 9)),
        jnp.array(start), duration=followed,
    )  # fmt: skip
    assert verdict.kind == "converges"
    assert verdict.rate == pytest.approx(-2 / 9, abs=verdict.rate_error)
    np.testing.assert_allclose(verdict.equilibrium.y, 0, atol=1e-12)


def test_growth_below_the_resolution_of_windows_is_no_cycle():
    field = plane(lambda x, y: (-y + 1e-4 * x**3, x + 1e-4 * y**3))
    assert analysis.classify(field, jnp.array([0.1, 0.0])).kind in ("diverges", "undecided")
    # Damped by x'^3: the amplitude falls as t^(-1/2).
    damped = plane(lambda x, y: (y, -x - 1e-3 * y**3))
    assert analysis.classify(damped, jnp.array([0.1, 0.0])).kind == "converges"


@pytest.mark.parametrize(("mu", "kind"), [(-0.2499, "cycles"), (-0.25, "undecided"), (-0.2501, "converges")])
def test_two_cycles_that_nearly_meet_are_not_stepped_over(mu, kind):
    """r' = mu r + r^3 - r^5: two cycles next to each other, one that attracts from outside alone, none."""

    def field(t, y, args):
        square = y[0] ** 2 + y[1] ** 2
        growth = args + square - square**2
        return jnp.stack([growth * y[0] - y[1], growth * y[1] + y[0]])

    verdict = analysis.classify(field, jnp.array([1.5, 0.0]), args=jnp.asarray(mu))
    assert verdict.kind == kind, verdict
    if kind == "cycles":
        outer = np.sqrt((1 + np.sqrt(1 + 4 * mu)) / 2)
        assert abs(verdict.amplitude - outer) <= verdict.amplitude_error


def test_explicit_time_that_dies_out_is_waited_for_and_that_goes_on_is_named():
    fading = analysis.classify(lambda t, y, args: -(y - jnp.tanh(t)), jnp.array([0.1]))
    assert fading.kind == "converges" and float(fading.equilibrium.y[0]) == pytest.approx(1.0, abs=1e-9)
    forced = analysis.classify(plane_forced, jnp.array([0.1, 0.0]))
    assert forced.kind == "undecided" and "depends on time" in forced.reason


def plane_forced(t, y, args):
    return jnp.stack([y[1], -y[0] - 0.1 * y[1] + jnp.cos(1.3 * t)])


def test_a_state_that_leaves_where_its_field_is_finite_has_no_verdict():
    root = analysis.classify(lambda t, y, args: -jnp.sqrt(y), jnp.asarray(1.0), update=updates.Simultaneous(0.3))
    assert root.kind == "undecided" and "not finite" in root.reason
    logarithm = analysis.classify(lambda t, y, args: jnp.log(y) - 1, jnp.asarray(0.5), update=updates.Simultaneous(0.4))
    assert logarithm.kind == "undecided" and "not finite" in logarithm.reason


def test_a_field_that_jumps_where_it_leads_gets_an_answer_and_no_endless_solve():
    relay = plane(lambda x, y: (-jnp.sign(x), -jnp.sign(y)))
    assert analysis.classify(relay, jnp.array([1.0, 0.3])).kind in ("undecided", "converges")
    no_rest = analysis.classify(lambda t, y, args: jnp.where(y > 0, -1.0, 1.0), jnp.array([1.0]))
    assert no_rest.kind == "undecided" and "jumps" in no_rest.reason


@pytest.mark.parametrize(
    ("function", "start", "kind"),
    [
        (lambda y: y**2 + 1e-10, -1.0, "diverges"),
        (lambda y: y**2, -1.0, "converges"),
        (lambda y: jnp.exp(-y), 1.0, "diverges"),
        (lambda y: -(y**3), 2.0, "converges"),
        (lambda y: y - y**3, 1e-9, "converges"),
    ],
)
def test_on_a_line_the_next_zero_decides(function, start, kind):
    assert analysis.classify(lambda t, y, args: function(y), jnp.array([start])).kind == kind


def test_an_invariant_line_is_a_system_of_its_own():
    verdict = analysis.classify(wasserstein(), players(0.5, 0.0))
    assert verdict.kind == "diverges" and "invariant" in verdict.reason
    saddle = analysis.classify(plane(lambda x, y: (x, -y)), jnp.array([0.0, 1.0]))
    assert saddle.kind == "converges" and saddle.equilibrium.y.shape == (2,)


def test_chaos_wanders_with_its_exponent():
    def lorenz(t, y, args):
        return jnp.stack([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])

    verdict = analysis.classify(lorenz, jnp.array([1.0, 1.0, 1.0]))
    assert verdict.kind == "wanders" and "chaos" in verdict.reason, verdict
    # Sprott (2003), Chaos and Time-Series Analysis: 0.9056.
    assert abs(verdict.exponent - 0.9056) <= verdict.exponent_error < 0.2


def test_a_cycle_in_space_that_attracts_is_found_from_afar():
    def field(t, y, args):
        growth = 1 - y[0] ** 2 - y[1] ** 2
        return jnp.stack([growth * y[0] - y[1], growth * y[1] + y[0], -y[2]])

    verdict = analysis.classify(field, jnp.array([0.1, 0.0, 1.0]))
    assert verdict.kind == "cycles" and abs(verdict.period - 2 * np.pi) <= verdict.period_error
    assert abs(verdict.amplitude - 1) <= verdict.amplitude_error


def logistic(t, y, args):
    return args * y * (1 - y) - y


@pytest.mark.parametrize(("growth", "kind", "steps"), [(3.2, "cycles", 2), (3.5, "cycles", 4), (3.9, "wanders", None)])
def test_orbits_of_few_steps_are_cycles_and_chaotic_ones_wander(growth, kind, steps):
    verdict = analysis.classify(logistic, jnp.asarray(0.3), args=jnp.asarray(growth), update=updates.Simultaneous(1.0))
    assert verdict.kind == kind, verdict
    if steps:
        assert abs(verdict.period - steps) <= verdict.period_error


def test_an_update_that_is_too_slow_to_go_around_is_undecided():
    verdict = analysis.classify(wasserstein(), players(0.5, 1.0), update=updates.Simultaneous(1e-7))
    assert verdict.kind == "undecided"


def test_a_field_of_the_wrong_kind_is_named():
    with pytest.raises(ValueError, match="must"):
        analysis.classify(lambda t, y, args: 1.0, jnp.array([1.0]))
    with pytest.raises(ValueError, match="`atol` must be at least 0"):
        analysis.classify(lambda t, y, args: -y, jnp.array([1.0]), atol=-1.0)
    with pytest.raises(ValueError, match=r"outside `jax.jit`"):
        jax.jit(lambda y: analysis.classify(lambda t, y, args: -y, y).rate)(jnp.array([1.0]))


@pytest.mark.parametrize("cubic", [1.0, 3.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_an_orbit_that_rounding_keeps_from_its_fixed_point_is_no_cycle(cubic, dtype):
    # y -> -y + c y^3 comes to 0 as a power of the number of steps, until its third-order term is lost in rounding 1.
    verdict = analysis.classify(
        lambda t, y, args: 2 - 2 * y + cubic * (y - 1) ** 3, jnp.asarray(1.3, dtype), update=updates.Simultaneous(1.0)
    )
    assert verdict.kind in ("converges", "undecided")


def test_an_orbit_around_a_fixed_point_that_repels_is_a_cycle_in_single_precision_too():
    verdict = analysis.classify(
        lambda t, y, args: -2.2 * y + y**3, jnp.asarray(0.3, jnp.float32), update=updates.Simultaneous(1.0)
    )
    assert verdict.kind == "cycles" and verdict.period == 2
    # y -> -1.2 y + y^3 has the orbit of two steps +- sqrt(0.2).
    assert verdict.amplitude == pytest.approx(np.sqrt(0.2), rel=1e-5)


@pytest.mark.parametrize("stiffness", [300.0, 1000.0])
def test_creeping_along_a_slow_manifold_in_single_precision_is_no_continuum(stiffness):
    verdict = analysis.classify(
        plane(lambda x, y: (y, stiffness * (1 - x**2) * y - x)), jnp.array([0.1, 0.0], jnp.float32)
    )
    assert verdict.kind in ("cycles", "undecided")
