"""Updates as maps: their Jacobians, spectral radii, and stability over a parameter and the step size."""

import functools
import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players

# Eigenvalues of matrices of order one, of up to six rows; measured 4e-16, where they do not collide.
EIGENVALUES = 1e-12
# Central differences of a step of 1e-5 in float64; measured 4e-10.
DIFFERENCES = 1e-8


def scalars(d, g, dtype=float):
    return Players(jnp.asarray(d, dtype), jnp.asarray(g, dtype))


def lq(loss):
    def make(eta):
        game = games.LinearQuadratic(loss)
        return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))

    return make


EQUILIBRIUM, ORIGIN = scalars(0.0, 1.0), scalars(0.0, 0.0)
WASSERSTEIN, MINIMAX = lq(losses.Wasserstein()), lq(losses.Minimax())
ETA = 0.5
# By hand, of the facts.
J = np.array([[-1 / 10, -1 / 3], [1 / 3 - ETA / 15, -2 * ETA / 9]])


def wasserstein_jacobian(eta):
    return np.array([[0.0, -2 / 3], [2 / 3, -8 * eta / 9]])


def by_order(values):
    return np.sort_complex(np.asarray(values))


# Jacobians of a step


def test_the_spectrum_of_an_update_is_that_of_its_multipliers_by_falling_modulus():
    found = np.asarray(analysis.spectrum(WASSERSTEIN(ETA), EQUILIBRIUM, update=updates.Simultaneous(0.4)))
    expected = 1 + 0.4 * np.linalg.eigvals(wasserstein_jacobian(ETA))
    np.testing.assert_allclose(by_order(found), by_order(expected), rtol=0, atol=EIGENVALUES)
    assert np.all(np.diff(np.abs(found)) < EIGENVALUES)


@pytest.mark.parametrize("verb", [analysis.jacobian, analysis.spectrum, analysis.leading_eigenvalues])
def test_an_update_has_no_time(verb):
    with pytest.raises(ValueError, match="`t` must be left out where `update` is given, but is 2"):
        verb(WASSERSTEIN(ETA), EQUILIBRIUM, update=updates.Simultaneous(0.4), t=2.0)


def each(polynomial):
    """Roots of a rule's polynomial at both eigenvalues of J, times the step size."""

    def multipliers(h):
        return np.concatenate([np.roots(polynomial(h * value)) for value in np.linalg.eigvals(J)])

    return multipliers


def alternating(h):
    (p, q), (r, s) = J
    discriminator_first = np.array([[1 + h * p, h * q], [0, 1]])
    return np.linalg.eigvals(np.array([[1, 0], [h * r, 1 + h * s]]) @ discriminator_first)


def momentum(h):
    return updates.Optax(optax.sgd(h, momentum=0.7), optax.sgd(h, momentum=0.7), order="simultaneous")


def nesterov(h):
    optimizer = optax.sgd(h, momentum=0.7, nesterov=True)
    return updates.Optax(optimizer, optimizer, order="simultaneous")


RULES = {
    "simultaneous": (updates.Simultaneous, each(lambda z: [1, -1 - z])),
    "alternating": (updates.Alternating, alternating),
    "extragradient": (updates.Extragradient, each(lambda z: [1, -1 - z - z**2])),
    "optimistic": (updates.Optimistic, each(lambda z: [1, -1 - 2 * z, z])),
    "Heun": (lambda h: updates.SolverStep(diffrax.Heun(), h), each(lambda z: [1, -1 - z - z**2 / 2])),
    "implicit Euler": (
        lambda h: updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=1e-12, atol=1e-12),
        each(lambda z: [1 - z, -1]),
    ),
    # Polyak's: y+ = y + h F(y) + b (y - y-).
    "momentum": (momentum, each(lambda z: [1, -(1 + 0.7 + z), 0.7])),
    # With the trace v+ = b v - F and y+ = y - h (b v+ - F): trace 1 + b + (1 + b) z, determinant b + b z.
    "Nesterov's momentum": (nesterov, each(lambda z: [1, -(1 + 0.7) - 1.7 * z, 0.7 + 0.7 * z])),
}


def linear(t, y, args):
    """The GAN's field near its equilibrium: a few operations to compile instead of many."""
    d, g = jnp.asarray(J) @ jnp.stack([y.discriminator, y.generator])
    return Players(d, g)


def spectral(update):
    return analysis.multipliers(update, linear, ORIGIN), analysis.spectral_radius(update, linear, ORIGIN)


@pytest.mark.parametrize("name", RULES)
def test_the_multipliers_of_a_rule_are_the_roots_of_its_polynomial(name):
    rule, expected = RULES[name]
    found, radius = eqx.filter_jit(lambda h: spectral(rule(h)))(0.4)
    np.testing.assert_allclose(by_order(found), by_order(expected(0.4)), rtol=0, atol=EIGENVALUES)
    assert float(radius) == pytest.approx(np.abs(expected(0.4)).max(), abs=EIGENVALUES)


def test_at_the_equilibrium_of_the_gan_a_step_is_the_identity_and_h_times_the_jacobian():
    found = analysis.jacobian(MINIMAX(ETA), EQUILIBRIUM, update=updates.Simultaneous(0.4))
    np.testing.assert_allclose(found, np.eye(2) + 0.4 * J, rtol=0, atol=EIGENVALUES)


def test_the_jacobian_of_momentum_has_the_stated_blocks():
    h, b, eye = 0.4, 0.7, np.eye(2)
    expected = np.block([[eye + h * J, -h * b * eye], [-J, b * eye]])
    found = analysis.jacobian(linear, ORIGIN, update=momentum(h))
    np.testing.assert_allclose(found, expected, rtol=0, atol=EIGENVALUES)


ADAM = {"b1": 0.6, "b2": 0.9, "eps": 0.05, "eps_root": 0.01}


def adam(h):
    return updates.Optax(optax.adam(h, **ADAM), optax.adam(h, **ADAM), order="simultaneous")


def test_adam_at_its_fixed_point_is_momentum_at_the_rate_over_the_root_of_epsilon():
    h = 0.02
    rate = h * (1 - ADAM["b1"]) / (math.sqrt(ADAM["eps_root"]) + ADAM["eps"])
    roots = [np.roots([1, -(1 + ADAM["b1"] + rate * value), ADAM["b1"]]) for value in np.linalg.eigvals(J)]
    expected = np.concatenate([*roots, [ADAM["b2"]] * 2])
    found = analysis.multipliers(adam(h), linear, ORIGIN)
    np.testing.assert_allclose(by_order(found), by_order(expected), rtol=0, atol=EIGENVALUES)


def test_the_jacobian_of_adam_is_that_of_finite_differences_of_its_own_late_step():
    h, optimizer = 0.02, optax.adam(0.02, **ADAM)
    late = optimizer.init(jnp.zeros(2))[0]._replace(count=jnp.asarray(10_000))

    def step(x):
        y, mu, nu = (jnp.asarray(part) for part in np.split(x, 3))
        change, (memory, _) = optimizer.update(-J @ y, (late._replace(mu=mu, nu=nu), optax.EmptyState()), y)
        return np.concatenate([y + change, memory.mu, memory.nu])

    steps = 1e-5 * np.eye(6)
    differences = np.stack([(step(e) - step(-e)) / 2e-5 for e in steps], axis=1)
    found = np.asarray(analysis.jacobian(linear, ORIGIN, update=adam(h)))
    # Ours has the memory of one player after the other: mu, nu, mu, nu.
    order = [0, 1, 2, 4, 3, 5]
    np.testing.assert_allclose(found, differences[np.ix_(order, order)], rtol=0, atol=DIFFERENCES)


def test_the_radius_of_an_update_without_a_derivative_is_nan():
    rule = updates.Optax(optax.adam(0.1), optax.adam(0.1))
    assert jnp.isnan(analysis.spectral_radius(rule, linear, ORIGIN))


@pytest.mark.parametrize(
    ("matrix", "radius"),
    [
        ([[0.2, -0.5], [0.5, 0.2]], math.sqrt(0.29)),  # a pair
        ([[-0.9, 0.0], [3.0, 0.4]], 0.9),  # real, the lower one is larger
        ([[0.3, 1.0], [0.0, 0.3]], 0.3),  # a Jordan block
        ([[0.0, 0.0], [0.0, 0.0]], 0.0),
    ],
)
def test_the_radius_in_the_plane_is_that_of_the_matrix(matrix, radius):
    step = np.asarray(matrix) - np.eye(2)
    field = lambda t, y, args: jnp.asarray(step) @ y  # noqa: E731
    slope = jax.grad(lambda h: analysis.spectral_radius(updates.Simultaneous(h), field, jnp.zeros(2)))(1.0)
    found = analysis.spectral_radius(updates.Simultaneous(1.0), field, jnp.zeros(2))
    assert float(found) == pytest.approx(radius, abs=EIGENVALUES)
    assert np.isfinite(slope)


def test_the_slope_of_the_radius_is_that_of_its_closed_form():
    h, value = 0.4, np.linalg.eigvals(J)[0]
    slope = jax.grad(lambda h: analysis.spectral_radius(updates.Simultaneous(h), linear, ORIGIN))(h)
    expected = (value.real + h * abs(value) ** 2) / abs(1 + h * value)
    assert float(slope) == pytest.approx(expected, abs=EIGENVALUES)


# Stability over a grid

ETAS, SIZES = np.linspace(0.0, 2.0, 9), np.linspace(0.13, 4.03, 14)  # none of them critical
MAPPED = {
    "simultaneous": lambda z: [1, -1 - z],
    "extragradient": lambda z: [1, -1 - z - z**2],
    "optimistic": lambda z: [1, -1 - 2 * z, z],
}
CLASSES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
}


@functools.cache
def predicted(name):
    return analysis.stability_map(CLASSES[name], WASSERSTEIN, ETAS, SIZES, EQUILIBRIUM)


@functools.cache
def simulated(name):
    return analysis.stability_map(CLASSES[name], WASSERSTEIN, ETAS, SIZES, EQUILIBRIUM, by="steps", num_steps=400)


@pytest.mark.parametrize("name", MAPPED)
def test_a_stability_map_holds_the_largest_root_at_every_point(name):
    expected = np.array(
        [
            [
                max(np.abs(np.roots(MAPPED[name](h * value))).max() for value in values)
                for h in SIZES
            ]
            for values in (np.linalg.eigvals(wasserstein_jacobian(eta)) for eta in ETAS)
        ]
    )  # fmt: skip
    # The eigenvalues collide at eta = 3/2, a point of the grid: the root of rounding, measured 2e-7 at a radius of 4.
    np.testing.assert_allclose(predicted(name).radius, expected, rtol=0, atol=1e-6)


def test_alternating_steps_are_neutral_without_the_regularizer_and_up_to_a_step_of_3():
    found = predicted("alternating")
    np.testing.assert_array_equal(found.neutral[0], SIZES < 3)
    np.testing.assert_array_equal(found.unstable[0], SIZES > 3)
    assert not np.any(found.neutral[1:])


def test_every_point_of_a_map_has_one_verdict():
    found = predicted("simultaneous")
    np.testing.assert_array_equal(found.stable.astype(int) + found.neutral + found.unstable, 1)
    # Simultaneous steps of size h are stable for h < 2 eta, up to eta = 3/2.
    below = ETAS < 1.5
    np.testing.assert_array_equal(found.stable[below], 2 * ETAS[below, None] > SIZES)


@pytest.mark.parametrize("name", CLASSES)
def test_simulated_steps_grow_as_the_spectrum_says(name):
    by_spectrum, by_steps = predicted(name), simulated(name)
    decided = ~np.asarray(by_steps.neutral)
    np.testing.assert_array_equal(by_steps.stable[decided], by_spectrum.stable[decided])
    np.testing.assert_array_equal(by_steps.unstable[decided], by_spectrum.unstable[decided])
    assert decided.mean() > 0.8
    # The amplitude of a turning disturbance is seen at its steps alone. Measured 0.018.
    np.testing.assert_allclose(np.log(by_steps.radius), np.log(by_spectrum.radius), rtol=0, atol=0.03)


def test_where_there_is_no_growth_to_take_there_is_no_verdict():
    broken = lambda eta: lambda t, y, args: jnp.sqrt(-eta - jnp.abs(y))  # noqa: E731
    for by in ("spectrum", "steps"):
        found = analysis.stability_map(updates.Simultaneous, broken, [1.0], [0.1], jnp.asarray(0.0), by=by)
        assert jnp.isnan(found.radius) and not (found.stable | found.neutral | found.unstable)


def test_what_dies_out_in_one_step_is_stable():
    # At h = 1 one step of y' = -y ends at zero.
    found = analysis.stability_map(
        updates.Simultaneous, lambda rate: lambda t, y, args: -rate * y, [1.0], [1.0], jnp.asarray(0.0), by="steps"
    )
    assert found.radius == 0 and found.stable


def test_the_fixed_point_may_move_with_the_parameter():
    widths, sizes = np.array([0.8, 1.5]), np.array([0.05, 0.3])
    found = analysis.stability_map(
        updates.Simultaneous,
        lambda c: fields.GameField(games.LinearQuadratic(losses.Minimax(), c)),
        widths,
        sizes,
        lambda c: Players(jnp.zeros_like(c), c),
    )
    jacobians = [np.array([[-(c**4) / 10, -c / 3], [c / 3, 0]]) for c in widths]
    expected = [[np.abs(np.linalg.eigvals(np.eye(2) + h * jac)).max() for h in sizes] for jac in jacobians]
    np.testing.assert_allclose(found.radius, expected, rtol=0, atol=EIGENVALUES)


@pytest.mark.parametrize("by", ["spectrum", "steps"])
def test_a_map_in_float32_is_of_that_dtype(by):
    narrow = scalars(0.0, 1.0, jnp.float32)
    found = analysis.stability_map(
        updates.Simultaneous, WASSERSTEIN, jnp.float32([0.5]), jnp.float32([0.5, 2.0]), narrow, by=by
    )
    assert found.radius.dtype == jnp.float32
    assert found.stable[0, 0] and found.unstable[0, 1]


@pytest.mark.parametrize(
    ("parameters", "sizes", "message"),
    [
        (0.5, [0.1], "`parameters` must be one axis"),
        ([0.5, np.nan], [0.1], "`parameters` must be finite, but holds nan"),
        ([0.5], [0.1, 0.0], r"`step_sizes` must be finite and above 0, but holds 0.0"),
    ],
)
def test_a_grid_that_is_none_is_refused(parameters, sizes, message):
    with pytest.raises(ValueError, match=message):
        analysis.stability_map(updates.Simultaneous, WASSERSTEIN, parameters, sizes, EQUILIBRIUM)


def test_steps_that_have_no_quarters_are_refused():
    with pytest.raises(ValueError, match="`num_steps` must be a multiple of 4, but is 6"):
        analysis.stability_map(updates.Simultaneous, WASSERSTEIN, [0.5], [0.1], EQUILIBRIUM, by="steps", num_steps=6)


@pytest.mark.parametrize(
    ("make", "expected"), [(WASSERSTEIN, lambda eta: 2 * eta), (MINIMAX, lambda eta: 0.9 + 2 * eta)], ids=["W", "JS"]
)
def test_the_critical_curve_of_simultaneous_steps_is_a_line(make, expected):
    etas = jnp.array([0.0, 0.2, 0.7, 1.2])
    found = analysis.critical_curve(updates.Simultaneous, make, etas, EQUILIBRIUM)
    # Bisection to rounding; measured 9e-15.
    np.testing.assert_allclose(found, expected(etas), rtol=0, atol=1e-12)


def near_the_equilibrium(eta):
    """The GAN's field to first order: a few operations to compile, thousands of times, instead of many."""
    jacobian = jnp.array([[-1 / 10, -1 / 3], [1 / 3, 0]]) + eta * jnp.array([[0, 0], [-1 / 15, -2 / 9]])
    return lambda t, y, args: Players(*(jacobian @ jnp.stack([y.discriminator, y.generator])))


@pytest.mark.parametrize("name", CLASSES)
def test_the_slope_of_a_critical_curve_is_that_of_finite_differences(name):
    at, step = 0.5, 1e-5
    curve = eqx.filter_jit(lambda etas: analysis.critical_curve(CLASSES[name], near_the_equilibrium, etas, ORIGIN))
    # All three with their slopes, so that one compiled program serves.
    etas = jnp.array([at - step, at, at + step])
    values, slopes = jax.jvp(curve, (etas,), (jnp.ones_like(etas),))
    difference = (values[2] - values[0]) / (2 * step)
    # The slope in h is a difference too. Measured 1e-7.
    assert float(slopes[1]) == pytest.approx(float(difference), abs=1e-5)
    if name == "simultaneous":
        assert float(slopes[1]) == pytest.approx(2.0, abs=1e-6)


# Rules

RULED = {
    "critical_step_size": lambda rule: analysis.critical_step_size(rule, MINIMAX(ETA), EQUILIBRIUM),
    "critical_curve": lambda rule: analysis.critical_curve(rule, MINIMAX, [0.0, ETA], EQUILIBRIUM),
    "stability_map": lambda rule: analysis.stability_map(rule, MINIMAX, [0.0, ETA], [0.1, 2.5], EQUILIBRIUM).radius,
    "optimal_step_size": lambda rule: analysis.optimal_step_size(rule, MINIMAX(ETA), EQUILIBRIUM).value,
    "bifurcation": lambda rule: analysis.bifurcation(rule, MINIMAX(ETA), EQUILIBRIUM).coefficient,
    "orbit_diagram": lambda rule: (
        analysis.orbit_diagram(rule, MINIMAX(ETA), scalars(0.1, 1.0), [0.1, 0.5], num_transient=0, num_kept=64).values
    ),
}


@pytest.mark.parametrize("question", RULED)
def test_an_update_is_a_rule_whose_step_size_is_replaced(question):
    ask = RULED[question]
    of_class, of_update = ask(updates.Alternating), ask(updates.Alternating(jnp.asarray(123.0)))
    jax.tree.map(np.testing.assert_array_equal, of_class, of_update)


def test_an_update_keeps_all_but_its_step_size():
    found = analysis.critical_step_size(updates.Alternating(0.1, generator_steps=3), MINIMAX(ETA), EQUILIBRIUM)
    wanted = analysis.critical_step_size(lambda h: updates.Alternating(h, generator_steps=3), MINIMAX(ETA), EQUILIBRIUM)
    assert float(found) == float(wanted) != float(RULED["critical_step_size"](updates.Alternating))


@pytest.mark.parametrize("question", RULED)
def test_an_update_whose_steps_have_another_size_is_no_rule(question):
    with pytest.raises(ValueError, match="`rule` must step by its `step_size`, but the step of Optax does not"):
        RULED[question](updates.Optax(optax.sgd(0.1), optax.sgd(0.1)))
