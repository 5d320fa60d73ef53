"""Normal forms against closed forms, and against what simulated orbits do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players
from tests.analysis.continuation.test_branches import brusselator, cubic, cusp, POWERS

# Coefficients at events that are known to rounding; measured at most 2e-13.
COEFFICIENT = 1e-10
RANGE = jnp.array([-1.0, 1.0])


def only_event(*args, **options):
    (event,) = analysis.continue_equilibrium(*args, **options).events
    return event


def spiral(a, omega):
    """r' = p r + a r^3, theta' = omega."""
    still = {(0, 0, 1): -omega, (1, 1, 0): omega}
    still |= {(0, 3, 0): a, (0, 1, 2): a, (1, 2, 1): a, (1, 0, 3): a}
    return cubic(still, {(0, 1, 0): 1, (1, 0, 1): 1})


@pytest.mark.parametrize("a", [-0.7, 0.4])
def test_the_first_lyapunov_coefficient_of_a_spiral_is_twice_its_cube_over_its_frequency(a):
    event = only_event(spiral(a, 1.3), RANGE, jnp.zeros(2))
    assert event.kind == "hopf"
    np.testing.assert_allclose(event.eigenvalue, 1.3j, atol=COEFFICIENT)
    np.testing.assert_allclose(event.normal_form.coefficient, 2 * a / 1.3, atol=COEFFICIENT)
    assert event.normal_form.criticality == ("supercritical" if a < 0 else "subcritical")


@pytest.mark.parametrize("a", [0.7, 1.3])
def test_the_first_lyapunov_coefficient_of_the_brusselator(a):
    event = only_event(brusselator(a), jnp.array([0.5, 4.0]), jnp.array([a, 0.5 / a]))
    np.testing.assert_allclose(event.normal_form.coefficient, -(2 + a**2) / (2 * a * (1 + 2 * a**2)), atol=COEFFICIENT)


def test_the_first_lyapunov_coefficient_of_the_almost_bilinear_game_with_a_damped_discriminator():
    epsilon = 0.5
    game = games.AlmostBilinear(epsilon)

    def family(mu):
        # The value minus mu y^2 / 2: the other player's gradient is damped.
        field = fields.GameField(game)

        def damped(t, y, args):
            velocity = field(t, y, args)
            return Players(velocity.discriminator - mu * y.discriminator, velocity.generator)

        return damped

    start = Players(jnp.asarray(0.0), jnp.asarray(0.0))
    event = only_event(family, jnp.array([0.1, 1.0]), start)
    np.testing.assert_allclose(event.value, epsilon, atol=COEFFICIENT)
    np.testing.assert_allclose(event.normal_form.coefficient, -3 * epsilon / 4, atol=COEFFICIENT)


def test_the_quadratic_coefficient_of_a_fold_is_half_the_second_derivative():
    # x' = p + 3 x - x^3, y' = -y: a = -3 x at x = -1 and x = 1.
    branch = analysis.continue_equilibrium(cusp(), jnp.array([-4.0, 4.0]), jnp.array([-2.5, 0.0]))
    # The branch comes from below and turns back at p = 2, at x = -1, of which there are two equilibria for smaller p.
    np.testing.assert_allclose([e.normal_form.coefficient for e in branch.events], [3, -3], atol=COEFFICIENT)
    assert [e.normal_form.criticality for e in branch.events] == ["subcritical", "supercritical"]


@pytest.mark.parametrize("cube", [-0.8, 0.5])
def test_the_cubic_coefficient_of_a_pitchfork_counts_what_the_other_direction_bends(cube):
    # x' = p x + cube x^3 + x y, y' = -y + x^2: on y = x^2 the cube is cube + 1.
    family = cubic({(0, 3, 0): cube - 1, (0, 1, 1): 1, (1, 0, 1): -1, (1, 2, 0): 1}, {(0, 1, 0): 1})
    event = only_event(family, RANGE, jnp.zeros(2))
    np.testing.assert_allclose(event.normal_form.coefficient, cube, atol=COEFFICIENT)
    assert event.normal_form.criticality == ("supercritical" if cube < 0 else "subcritical")


def random_hopf(rng):
    """A planar system of random squares and cubes with a Hopf point at p = 0, frequency 1."""
    still = {(0, 0, 1): -1.0, (1, 1, 0): 1.0}
    for component in range(2):
        for power in POWERS[3:]:
            still[(component, *power)] = rng.uniform(-1, 1)
    return cubic(still, {(0, 1, 0): 1.0, (1, 0, 1): 1.0})


def growth_of_orbits(tables, radius, turns, steps_a_turn=120):
    """What 1/r^2 loses in time along the orbits of planar systems, by Runge and Kutta's method, in NumPy."""
    powers = np.array(POWERS)

    def velocity(y):
        monomials = y[:, :1] ** powers[:, 0] * y[:, 1:] ** powers[:, 1]
        return np.einsum("sij,sj->si", tables, monomials)

    y, h = np.tile([radius, 0.0], (len(tables), 1)), 2 * np.pi / steps_a_turn
    radii = []
    for step in range(turns * steps_a_turn):
        # Mean over the first and the last turn, since an orbit is no circle.
        if step < steps_a_turn or step >= (turns - 1) * steps_a_turn:
            radii.append(np.sum(y**2, axis=1))
        k1 = velocity(y)
        k2 = velocity(y + h / 2 * k1)
        k3 = velocity(y + h / 2 * k2)
        k4 = velocity(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    radii = np.reshape(radii, (2, steps_a_turn, -1)).mean(axis=1)
    return (1 / radii[0] - 1 / radii[1]) / (2 * np.pi * (turns - 1))


def test_ten_random_hopf_points_are_super_and_subcritical_as_simulated_orbits_grow():
    rng = np.random.default_rng(3)
    families = [random_hopf(rng) for _ in range(10)]
    found = [only_event(family, RANGE * 0.2, jnp.zeros(2)) for family in families]
    coefficients = np.array([float(event.normal_form.coefficient) for event in found])
    # r' = l1 r^3 / 2 on the plane at p = 0, so that 1/r^2 falls as l1 t.
    grown = growth_of_orbits(np.stack([np.asarray(family.still) for family in families]), 0.02, 60)
    # The next order of r^2, 4e-4, times coefficients of the fifth order; measured 1.5e-2.
    np.testing.assert_allclose(coefficients, grown, atol=0.05)
    words = [event.normal_form.criticality for event in found]
    assert words == ["supercritical" if rate < 0 else "subcritical" for rate in grown]
    assert {"supercritical", "subcritical"} == set(words)


def test_a_linear_hopf_point_and_that_of_a_conserved_quantity_are_degenerate():
    linear = cubic({(0, 0, 1): -1, (1, 1, 0): 1}, {(0, 1, 0): 1, (1, 0, 1): 1})
    # Lotka and Volterra's field, x' = x (1 - y), y' = y (x - 1), around (1, 1), damped by p.
    conserved = cubic({(0, 0, 1): -1, (0, 1, 1): -1, (1, 1, 0): 1, (1, 1, 1): 1}, {(0, 1, 0): 1, (1, 0, 1): 1})
    for family in (linear, conserved):
        assert only_event(family, RANGE * 0.5, jnp.zeros(2)).normal_form.criticality == "degenerate"


# Updates.

LQ = fields.GameField(games.LinearQuadratic(losses.Minimax()))
EQUILIBRIUM = Players(jnp.asarray(0.0), jnp.asarray(1.0))
ORIGIN = Players(jnp.asarray(0.0), jnp.asarray(0.0))
R1 = fields.GameField(regularizers.Penalized(games.Dirac(losses.Minimax()), regularizers.R1(0.3)))


@pytest.mark.parametrize(
    ("rule", "kind", "value"),
    [(updates.Simultaneous, "neimark-sacker", 1.2), (updates.Alternating(0.1), "flip", 2.976123)],
    ids=["simultaneous", "alternating"],
)
def test_a_branch_in_the_step_size_has_its_event_at_the_critical_step_size(rule, kind, value):
    event = only_event(R1, jnp.array([0.1, 3.3]), ORIGIN, update=rule)
    assert event.kind == kind
    assert float(event.value) == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(event.value, analysis.critical_step_size(rule, R1, ORIGIN), atol=1e-10)
    # The same coefficient, zero for alternating steps: there a share of the multiplier, the flip's sign turned.
    other = analysis.bifurcation(rule, R1, ORIGIN)
    turned = -1 if kind == "flip" else 1
    np.testing.assert_allclose(event.normal_form.coefficient, turned * other.coefficient.real, rtol=1e-6, atol=1e-12)
    assert (event.normal_form.criticality == "supercritical") == bool(other.supercritical)


def test_an_update_loses_its_stability_along_a_homotopy_from_the_usual_loss_to_the_wasserstein_one():
    def family(share):
        one, other = (
            fields.GameField(regularizers.Penalized(games.Dirac(loss), regularizers.R1(0.3)))
            for loss in (losses.Minimax(), losses.Wasserstein())
        )
        return lambda t, y, args: jax.tree.map(
            lambda a, b: (1 - share) * a + share * b, one(t, y, args), other(t, y, args)
        )

    # The Jacobian is [[-0.3, k], [-k, 0]] with k = (1 + share)/2, and steps of 0.6 are stable for k^2 < 0.3/0.6.
    event = only_event(family, jnp.array([0.0, 0.9]), ORIGIN, update=updates.Simultaneous(0.6))
    assert event.kind == "neimark-sacker"
    np.testing.assert_allclose(event.value, np.sqrt(2) - 1, atol=COEFFICIENT)


def test_the_logistic_map_doubles_its_period_where_it_is_known_to():
    def family(r):
        return lambda t, y, args: r * y * (1 - y) - y

    ones = analysis.continue_equilibrium(
        family, jnp.array([2.0, 3.5]), jnp.array([0.5]), update=updates.Simultaneous(1.0)
    )
    (first,) = ones.events
    (twos,) = analysis.switch_branch(ones, first)
    (second,) = twos.events
    assert first.kind == second.kind == "flip" and twos.period == 2
    np.testing.assert_allclose([first.value, second.value], [3, 1 + np.sqrt(6)], atol=1e-11)
    x = np.asarray(twos.states)[-1, 0]
    np.testing.assert_allclose(3.5 * (y := 3.5 * x * (1 - x)) * (1 - y), x, atol=1e-12)
    assert abs(y - x) > 0.1
    assert first.normal_form.criticality == "supercritical"


def test_orbits_on_both_sides_of_an_updates_event_do_what_its_normal_form_says():
    # Supercritical: inside of 0.9 orbits come back, beyond they stay near by on a closed curve.
    event = only_event(LQ, jnp.array([0.1, 3.0]), EQUILIBRIUM, update=updates.Simultaneous)
    assert float(event.value) == pytest.approx(0.9, abs=1e-10)
    multiplier = 1 - 0.05 * event.value + 1j * np.sqrt(391) / 60 * event.value
    np.testing.assert_allclose(event.eigenvalue, multiplier, atol=1e-9)
    sizes = {}
    for share in (0.8, 1.03):
        step = share * float(event.value)
        w, a = 0.05, 1.0

        def velocity(w, a):
            y = LQ(0.0, Players(jnp.asarray(w), jnp.asarray(a)), None)
            return y.discriminator, y.generator

        compiled = jax.jit(
            lambda w, a, step=step: jax.lax.fori_loop(
                0, 4000, lambda _, s: tuple(x + step * v for x, v in zip(s, velocity(*s), strict=True)), (w, a)
            )
        )
        w, a = compiled(jnp.asarray(w), jnp.asarray(a))
        sizes[share] = float(np.hypot(w, a - 1))
    assert sizes[0.8] < 1e-6 and 0.05 < sizes[1.03] < 1.0
