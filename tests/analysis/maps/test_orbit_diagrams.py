"""What updates settle on beyond the critical step size: orbit diagrams, rotation numbers, bifurcations."""

import functools
import math

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, fields, games, iterate, losses, regularizers, simulate, updates
from gan_ode.games import Players

# Multipliers of order one; measured 4e-16.
EIGENVALUES = 1e-12


def scalars(d, g, dtype=float):
    return Players(jnp.asarray(d, dtype), jnp.asarray(g, dtype))


def lq(loss):
    def make(eta):
        game = games.LinearQuadratic(loss)
        return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))

    return make


EQUILIBRIUM, ORIGIN = scalars(0.0, 1.0), scalars(0.0, 0.0)
WASSERSTEIN, MINIMAX = lq(losses.Wasserstein()), lq(losses.Minimax())


# What orbits settle on


def cubic(t, y, args):
    """z' = (lambda + c |z|^2) z in the complex plane: Euler's step turns and stretches circles into circles."""
    rate, bend = args
    z = y.discriminator + 1j * y.generator
    # Not of the modulus, which has no slope at zero.
    velocity = (rate + bend * (y.discriminator**2 + y.generator**2)) * z
    return Players(velocity.real, velocity.imag)


RATE, BEND = -0.4 + 1j, -0.6 + 0.1j
# |1 + h lambda| = 1.
CRITICAL = 2 * 0.4 / abs(RATE) ** 2


def circle(h):
    """Radius and turns in a step: |1 + h lambda + h c r^2| = 1, the smaller root."""
    multiplier, bend = 1 + h * RATE, h * BEND
    quadratic = [abs(bend) ** 2, 2 * (multiplier * np.conj(bend)).real, abs(multiplier) ** 2 - 1]
    squared = min(root.real for root in np.roots(quadratic) if root.real > 0)
    return math.sqrt(squared), np.angle(multiplier + bend * squared) / (2 * np.pi)


@functools.cache
def circles():
    sizes = jnp.array([0.4, 0.72, 0.8, 40.0])
    return analysis.orbit_diagram(
        updates.Simultaneous, cubic, scalars(0.1, 0.0), sizes, args=(RATE, BEND), num_transient=1500, num_kept=400
    )


def test_beyond_the_critical_step_orbits_settle_on_the_circle_of_the_closed_form():
    radius = jnp.hypot(circles().values.discriminator, circles().values.generator)
    assert float(radius[0].max()) < 1e-10
    for member, h in ((1, 0.72), (2, 0.8)):
        # It attracts, so that only rounding is left; measured 6e-16.
        np.testing.assert_allclose(radius[member], circle(h)[0], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(circles().period[:3], [1, 0, 0])
    assert np.all(circles().settled[:3])


def test_an_orbit_that_blew_up_is_marked_and_holds_no_number():
    found = circles()
    np.testing.assert_array_equal(found.outcome == simulate.OUTCOMES.blow_up, [False, False, False, True])
    assert np.all(np.isinf(found.values.discriminator[3])) and np.all(np.isinf(found.values.generator[3]))
    assert not found.settled[3] and found.period[3] == 0
    steps = iterate(updates.Simultaneous(40.0), cubic, scalars(0.1, 0.0), 50, args=(RATE, BEND))
    assert int(found.num_finite[3]) == int(np.sum(np.asarray(steps.reached))) - 1
    assert np.all(found.num_finite[:3] == 1900)


def test_an_orbit_that_left_where_the_field_is_finite_did_not_blow_up():
    # y <- y - h sqrt(y) falls below 0 from the first step on where h > 1, and later where it is smaller; with a pole
    # in the place of the root, y <- y - h / y from 1 meets 0 for h = 1, and goes on otherwise.
    def ends(field, step_sizes, rule=updates.Simultaneous):
        return analysis.orbit_diagram(rule, field, jnp.asarray(1.0), step_sizes, num_transient=40, num_kept=64)

    root = ends(lambda t, y, args: -jnp.sqrt(y), jnp.array([1.5, 0.3]))
    assert np.all(root.outcome == simulate.OUTCOMES.nonfinite_field) and root.num_finite.tolist() == [1, 6]
    assert np.all(np.isinf(root.values)) and not np.any(root.settled) and root.period.tolist() == [0, 0]
    pole = ends(lambda t, y, args: -1 / y, jnp.array([1.0, 0.6]))
    np.testing.assert_array_equal(pole.outcome == simulate.OUTCOMES.nonfinite_field, [True, False])
    grown = ends(lambda t, y, args: y**3, jnp.array([1.0, 0.5]))
    assert np.all(grown.outcome == simulate.OUTCOMES.blow_up)


def test_an_implicit_step_without_a_solution_is_called_so_in_a_diagram():
    # y = 1 + h exp(y) has no real root for h = 1.
    found = analysis.orbit_diagram(
        lambda h: updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=1e-8, atol=1e-8),
        lambda t, y, args: jnp.exp(y), jnp.asarray(1.0), jnp.array([1.0]), num_transient=0, num_kept=64,
    )  # fmt: skip
    assert np.all(found.outcome == simulate.OUTCOMES.root_find_failed)


def test_an_orbit_that_still_spirals_has_not_settled():
    # At the critical step size itself the distance falls as the root of the number of steps.
    found = analysis.orbit_diagram(
        updates.Simultaneous,
        cubic,
        scalars(0.1, 0.0),
        [CRITICAL, 0.999 * CRITICAL],
        args=(RATE, BEND),
        num_transient=1500,
        num_kept=400,
    )
    assert np.all(found.outcome == simulate.OUTCOMES.ok) and not np.any(found.settled)


def test_period_doubling_shows_as_two_values():
    # y' = -y + k y^3: at h = 2 + d the orbit of two steps is +-sqrt((h - 2) / (h k)).
    found = analysis.orbit_diagram(
        updates.Simultaneous, lambda t, y, args: y**3 - y, jnp.asarray(0.1), [1.5, 2.1], num_transient=500, num_kept=64
    )
    np.testing.assert_array_equal(found.period, [1, 2])
    np.testing.assert_allclose(jnp.abs(found.values[1]), math.sqrt(0.1 / 2.1), rtol=0, atol=1e-12)


@functools.cache
def of_the_gan():
    return analysis.orbit_diagram(
        updates.Simultaneous,
        MINIMAX(0.0),
        scalars(0.1, 1.0),
        [0.8, 0.902, 0.95],
        num_transient=40_000,
        num_kept=4000,
    )


def test_the_gan_that_converges_as_a_flow_is_kept_on_a_closed_orbit_by_large_steps():
    assert of_the_gan().period[0] == 1 and of_the_gan().period[2] == 0
    assert np.all(of_the_gan().settled)
    # Four digits are given.
    assert float(jnp.abs(of_the_gan().values.discriminator[2]).max()) == pytest.approx(0.4603, abs=5e-5)


def test_of_a_state_a_quantity_can_be_kept():
    keep = {"num_transient": 10, "num_kept": 64}
    arguments = (updates.Simultaneous, WASSERSTEIN(0.5), scalars(0.1, 0.8), [0.5, 0.6])
    states = analysis.orbit_diagram(*arguments, **keep).values
    found = analysis.orbit_diagram(*arguments, **keep, quantity=lambda y: y.discriminator * y.generator)
    np.testing.assert_allclose(found.values, states.discriminator * states.generator, rtol=1e-14, atol=0)


def test_a_diagram_can_be_made_in_float32_and_under_vmap():
    start, sizes = scalars(0.1, 1.0, jnp.float32), jnp.float32([0.5])
    found = jax.vmap(
        lambda eta: analysis.orbit_diagram(
            updates.Simultaneous, WASSERSTEIN(eta), start, sizes, num_transient=300, num_kept=64
        )
    )(jnp.float32([0.0, 0.5]))
    assert found.values.generator.dtype == jnp.float32 and found.values.generator.shape == (2, 1, 64)
    np.testing.assert_array_equal(found.period[:, 0], [0, 1])


@pytest.mark.parametrize(("name", "number"), [("num_kept", 10), ("num_transient", -1)])
def test_too_few_steps_are_refused(name, number):
    steps = {"num_transient": 10, "num_kept": 64, name: number}
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        analysis.orbit_diagram(updates.Simultaneous, WASSERSTEIN(0.5), EQUILIBRIUM, [0.5], **steps)


# Rotation


def test_the_rotation_number_is_that_of_the_closed_form_from_any_center_inside():
    radius, expected = circle(0.8)
    center = scalars(0.4 * radius, -0.3 * radius)
    ys = jax.tree.map(lambda leaf: leaf[2], circles().values)
    found = analysis.rotation_number(ys, center)
    # Measured 3e-11, where the plain mean misses by 8e-5.
    assert float(found.value) == pytest.approx(expected, abs=1e-9)
    assert abs(float(found.value) - expected) <= float(found.error) < 1e-6
    away = ys.discriminator - center.discriminator + 1j * (ys.generator - center.generator)
    plain = np.mean(np.angle(away[1:] / away[:-1])) / (2 * np.pi)
    assert abs(plain - expected) > 1e-5


def test_around_a_center_outside_there_is_no_turn():
    ys = jax.tree.map(lambda leaf: leaf[2], circles().values)
    assert abs(float(analysis.rotation_number(ys, scalars(5.0, 0.0)).value)) < 1e-9


def test_the_error_of_a_rotation_number_shows_that_the_orbit_has_not_settled():
    n = jnp.arange(400)
    angle = 0.3 * n + 1e-4 * n**2
    found = analysis.rotation_number(Players(jnp.cos(angle), jnp.sin(angle)), ORIGIN)
    assert float(found.error) > 1e-3


def test_near_the_critical_step_an_orbit_turns_by_the_angle_of_the_multiplier():
    # The pair is 1 + 0.9 (-1/20 +- i sqrt(391)/60); the curve of size sqrt(h - 0.9) shifts the turn by about h - 0.9.
    expected = math.atan2(0.9 * math.sqrt(391) / 60, 1 - 0.9 / 20) / (2 * math.pi)
    turns = analysis.rotation_number(jax.tree.map(lambda leaf: leaf[1], of_the_gan().values), EQUILIBRIUM)
    # Measured 2e-5.
    assert float(turns.value) == pytest.approx(expected, abs=1e-4)


def test_an_orbit_that_is_not_finite_has_no_rotation_number():
    ys = Players(jnp.full(20, jnp.inf), jnp.ones(20))
    found = analysis.rotation_number(ys, ORIGIN)
    assert jnp.isnan(found.value) and jnp.isnan(found.error)


def test_states_that_are_not_in_the_plane_have_no_rotation_number():
    with pytest.raises(ValueError, match="`ys` must be at least 8 states of two numbers, but is 20 of 3"):
        analysis.rotation_number(jnp.zeros((20, 3)), jnp.zeros(3))


# Bifurcations


def test_the_coefficient_of_a_closed_curve_is_that_of_the_closed_form():
    found = analysis.bifurcation(updates.Simultaneous, cubic, ORIGIN, args=(RATE, BEND))
    assert found.kind == "closed curve" and found.supercritical and not found.subcritical
    assert float(found.step_size) == pytest.approx(CRITICAL, abs=1e-12)
    # w with |z|^2 = 2 |w|^2 is multiplied by mu + 2 h c |w|^2.
    multiplier = 1 + CRITICAL * RATE
    expected = 2 * CRITICAL * BEND / multiplier
    np.testing.assert_allclose(complex(found.multiplier), multiplier, rtol=0, atol=EIGENVALUES)
    np.testing.assert_allclose(complex(found.coefficient), expected, rtol=0, atol=1e-10)


def test_near_the_critical_step_the_curve_has_the_size_and_the_turn_that_the_coefficient_says():
    found = analysis.bifurcation(updates.Simultaneous, cubic, ORIGIN, args=(RATE, BEND))
    h = CRITICAL + 1e-6
    radius, turns = circle(h)
    # To first order in h - h*, which is 1e-6.
    assert float(found.amplitude(h).discriminator) == pytest.approx(radius, rel=1e-4)
    assert float(found.amplitude(h).generator) == pytest.approx(radius, rel=1e-4)
    assert float(found.rotation(h)) == pytest.approx(turns, abs=1e-10)
    assert jnp.isnan(found.amplitude(CRITICAL - 1e-6).generator)


def test_a_curve_that_repels_exists_before_the_critical_step():
    found = analysis.bifurcation(updates.Simultaneous, cubic, ORIGIN, args=(RATE, -BEND))
    assert found.subcritical and not found.supercritical
    assert jnp.isnan(found.amplitude(CRITICAL + 1e-6).generator)
    assert float(found.amplitude(CRITICAL - 1e-6).generator) > 0


def test_quadratic_terms_count():
    # A smooth change of coordinates, z -> z + b z^2 + c z conj(z), changes no coefficient relative to |q|. The field
    # here is the cubic one's step seen in the changed coordinates, so that a simultaneous step of size h makes it.
    def change(z):
        return z + 0.3 * z**2 + (0.2 - 0.1j) * z * jnp.conj(z)

    def back(u):
        z = u
        for _ in range(6):  # each pass is exact to one order more
            z = u - 0.3 * z**2 - (0.2 - 0.1j) * z * jnp.conj(z)
        return z

    def rule(h):
        def seen(t, y, args):
            z = back(y.discriminator + 1j * y.generator)
            z = z + h * (RATE + BEND * z * jnp.conj(z)) * z
            velocity = (change(z) - (y.discriminator + 1j * y.generator)) / h
            return Players(velocity.real, velocity.imag)

        return seen

    class Changed(updates.AbstractUpdate):
        step_size: jax.Array

        def init(self, field, y, args):
            return None

        def step(self, field, t, y, args, memory):
            return updates.Simultaneous(self.step_size).step(rule(self.step_size), t, y, args, None)

    found = analysis.bifurcation(Changed, cubic, ORIGIN, args=(RATE, BEND))
    expected = 2 * CRITICAL * BEND / (1 + CRITICAL * RATE)
    np.testing.assert_allclose(complex(found.coefficient), expected, rtol=0, atol=1e-10)


def test_period_doubling_has_the_size_that_the_coefficient_says():
    # y' = -y + y^2 + y^3. With y+ = -y + 2 y^2 + 2 y^3 at h = 2, Kuznetsov's c is 1/4 a^2 + b/6 with a = 4 and b = 12.
    found = analysis.bifurcation(updates.Simultaneous, lambda t, y, args: -y + y**2 + y**3, jnp.asarray(0.0))
    assert found.kind == "period doubling" and found.supercritical
    assert complex(found.coefficient) == pytest.approx(-(16 / 4 + 12 / 6), abs=1e-8)
    # Of the two states in turn let s be the sum and p the product: then p = s^2 + s + k with k = 2/h - 1, and
    # 2 s^3 + 4 s^2 + 3 (1 + k) s + 2 k = 0.
    h = 2.0 + 1e-5
    k = 2 / h - 1
    total = min(np.roots([2, 4, 3 * (1 + k), 2 * k]), key=abs).real
    half_width = math.sqrt(total**2 - 4 * (total**2 + total + k)) / 2
    # To first order in h - h*, which is 1e-5.
    assert float(found.amplitude(h)) == pytest.approx(half_width, rel=1e-4)


def test_of_the_gan_the_closed_orbit_beyond_the_critical_step_has_the_predicted_size_and_turn():
    found = analysis.bifurcation(updates.Simultaneous, MINIMAX(0.0), EQUILIBRIUM)
    ys = jax.tree.map(lambda leaf: leaf[1], of_the_gan().values)
    assert float(found.step_size) == pytest.approx(0.9, abs=1e-10)
    # What is left is of relative order h - h*, 2e-3. Measured 1e-2.
    width = float(jnp.ptp(ys.discriminator)) / 2
    assert width == pytest.approx(float(found.amplitude(0.902).discriminator), rel=2e-2)
    turns = analysis.rotation_number(ys, EQUILIBRIUM).value
    # The curve shifts the turn by 1.6e-5. Measured 1.1e-6, of second order.
    assert abs(float(turns)) == pytest.approx(float(found.rotation(0.902)), abs=3e-6)


def test_simultaneous_steps_of_the_regularized_wasserstein_gan_are_undecided_at_third_order():
    # Re c = 0: measured 1e-16, beside |c| = 0.2.
    found = analysis.bifurcation(updates.Simultaneous, WASSERSTEIN(0.5), EQUILIBRIUM)
    assert found.kind == "closed curve" and not (found.supercritical | found.subcritical)
    assert jnp.isnan(found.amplitude(1.01).generator)


def test_where_no_step_is_critical_there_is_no_bifurcation():
    with pytest.raises(ValueError, match="`rule` must lose stability at a step size above 0, but is stable for none"):
        analysis.bifurcation(updates.Simultaneous, WASSERSTEIN(0.0), EQUILIBRIUM)
