"""Closed forms that belong to no single group: of linear games, of the linear-quadratic GAN, of the Dirac-GAN.

What a group's own tests already check is not repeated here.
"""

import functools
import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from experiments._machinery import _linear_quadratic as lq
from gan_ode import analysis, distributions, fields, flow, games, iterate, losses, regularizers, simulate, updates
from gan_ode.games import Players
from tests.catalogue import flat, players

# Eigenvalues of matrices of order one, simple ones; measured 3e-16.
EIGENVALUES = 1e-12
# Bisection to rounding, but where two multipliers meet on the unit circle to the root of it; measured 5e-10.
CRITICAL = 1e-7
MINIMAX, WASSERSTEIN = losses.Minimax(), losses.Wasserstein()


def two_by_two(t, y, args):
    """A linear field; `args` is its matrix."""
    velocity = args @ jnp.stack([y.discriminator, y.generator])
    return Players(velocity[0], velocity[1])


ORIGIN = players(0.0, 0.0)


@jax.jit
def eigenvalues(matrix):
    return analysis.spectrum(two_by_two, ORIGIN, args=matrix)


@functools.cache
def critical_steps(rule):
    """Critical step sizes of a rule for a batch of matrices."""
    return jax.jit(jax.vmap(lambda matrix: analysis.critical_step_size(rule, two_by_two, ORIGIN, args=matrix)))


def damped_rotation(d, k, e=0.0):
    return np.array([[-d, -k], [k, -e]])


def assert_same_set(found, expected, tolerance=EIGENVALUES):
    found, expected = np.asarray(found, complex), np.asarray(expected, complex)
    assert found.shape == expected.shape
    for value in expected:
        assert np.min(np.abs(found - value)) < tolerance


# Linear games.


@pytest.mark.parametrize(("d", "k", "e"), [(0.3, 1.0, 0.0), (0.3, 1.0, 0.7), (5.0, 0.5, 0.1), (1.0, 2.0, 1.0)])
def test_two_dampings_and_a_rotation_have_the_stated_eigenvalues(d, k, e):
    half = np.sqrt(complex((d - e) ** 2 / 4 - k**2))
    assert_same_set(eigenvalues(damped_rotation(d, k, e)), [-(d + e) / 2 + half, -(d + e) / 2 - half])


def test_simultaneous_steps_at_a_stable_focus_are_stable_up_to_the_stated_step():
    # The last one's critical step is past a rung of the search's ladder by less than what counts as noise there.
    values = np.array([-0.3 + 1.1j, -1.0 + 0.2j, -0.01 + 2.0j])
    matrices = np.array([[[v.real, -v.imag], [v.imag, v.real]] for v in values])
    found = critical_steps(updates.Simultaneous)(jnp.asarray(matrices))
    np.testing.assert_allclose(found, -2 * values.real / np.abs(values) ** 2, rtol=CRITICAL)


@pytest.mark.parametrize(
    ("rule", "product"),
    [(updates.Alternating, 2.0), (updates.Extragradient, 1.0), (updates.Optimistic, 1 / math.sqrt(3))],
)
def test_on_a_pure_rotation_each_rule_is_stable_up_to_its_product_of_step_and_frequency(rule, product):
    frequencies = np.array([0.5, 1.0, 3.0])
    matrices = np.array([damped_rotation(0.0, om) for om in frequencies])
    np.testing.assert_allclose(critical_steps(rule)(jnp.asarray(matrices)), product / frequencies, rtol=CRITICAL)


def test_alternating_steps_with_one_player_damped_are_stable_up_to_the_stated_step():
    dampings, k = np.array([0.1, 0.5, 1.0, 2.0]), 1.0
    matrices = jnp.asarray(np.array([damped_rotation(d, k) for d in dampings]))
    alternating = np.asarray(critical_steps(updates.Alternating)(matrices))
    np.testing.assert_allclose(alternating, (np.sqrt(dampings**2 + 4 * k**2) - dampings) / k**2, rtol=CRITICAL)
    # They lose to simultaneous ones when d > 2 k / sqrt 3 = 1.155.
    simultaneous = np.asarray(critical_steps(updates.Simultaneous)(matrices))
    np.testing.assert_array_equal(alternating < simultaneous, dampings > 2 * k / math.sqrt(3))


def test_at_a_damping_of_two_k_over_root_three_both_orders_have_the_same_critical_step():
    k = 0.7
    matrix = jnp.asarray(damped_rotation(2 * k / math.sqrt(3), k))[None]
    both = [float(critical_steps(rule)(matrix)[0]) for rule in (updates.Alternating, updates.Simultaneous)]
    assert both[0] == pytest.approx(both[1], rel=1e-7)


class CompetitiveGradientDescent(updates.AbstractUpdate):
    """Both players answer each other's answer in the bilinear approximation of the game; for states of two vectors.

    Source: Schaefer and Anandkumar (2019), arXiv:1905.12103, algorithm 1, for minus the discriminator's loss as value.
    """

    step_size: float

    def init(self, field, y, args):
        return None

    def step(self, field, t, y, args, memory):
        def velocity(u, v):
            return field(t, Players(u, v), args)

        u, v, h = y.discriminator, y.generator, self.step_size
        here = velocity(u, v)
        # The discriminator climbs V along V_u + h V_uv V_v's answer, and so on; the field has the signs.
        d_by_g = jax.jacfwd(lambda v: velocity(u, v).discriminator)(v)
        g_by_d = jax.jacfwd(lambda u: velocity(u, v).generator)(u)
        left = jnp.eye(u.size) - h**2 * d_by_g @ g_by_d
        right = jnp.eye(v.size) - h**2 * g_by_d @ d_by_g
        up = jnp.linalg.solve(left, here.discriminator + h * d_by_g @ here.generator)
        down = jnp.linalg.solve(right, here.generator + h * g_by_d @ here.discriminator)
        return Players(u + h * up, v + h * down), None


def test_competitive_gradient_descent_on_a_bilinear_game_is_implicit_euler():
    h, matrix = 0.4, np.array([[1.0, -0.5, 0.3], [0.2, 2.0, -1.0]])
    field = fields.GameField(games.Bilinear(jnp.asarray(matrix)))
    y0 = players([1.0, -0.3], [0.5, 0.2, -0.7])
    implicit = updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=1e-12, atol=1e-12)
    orbits = [iterate(rule, field, y0, 5).final_state for rule in (CompetitiveGradientDescent(h), implicit)]
    # By hand: (I - h J)^-5 y0.
    jacobian = np.block([[np.zeros((2, 2)), matrix], [-matrix.T, np.zeros((3, 3))]])
    expected = np.linalg.matrix_power(np.linalg.inv(np.eye(5) - h * jacobian), 5) @ flat(y0)
    for found in orbits:
        # A root finder of tolerance 1e-12; measured 2e-16.
        np.testing.assert_allclose(flat(found), expected, rtol=0, atol=1e-11)


# The linear-quadratic GAN.


def lq_field(loss, eta, **options):
    game = games.LinearQuadratic(loss, **options)
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(eta)))


def test_both_signs_of_the_scale_are_equilibria_of_the_wasserstein_gan_and_zero_is_none():
    field = lq_field(WASSERSTEIN, 0.5)
    for a in (1.0, -1.0):
        np.testing.assert_allclose(flat(field(0.0, players(0.0, a))), 0.0, rtol=0, atol=1e-15)
    # On the line a = 0 the critic grows for ever, and the scale never leaves it.
    np.testing.assert_allclose(flat(field(0.0, players(3.0, 0.0))), [1 / 3, 0.0], rtol=0, atol=1e-15)


def test_the_determinant_of_the_jacobian_does_not_depend_on_eta_at_either_equilibrium():
    etas = jnp.array([0.0, 0.3, 1.5, 4.0])
    for loss, expected in ((WASSERSTEIN, 4 / 9), (MINIMAX, 1 / 9)):
        found = jax.jit(
            jax.vmap(lambda eta, loss=loss: jnp.linalg.det(analysis.jacobian(lq_field(loss, eta), players(0.0, -1.0))))
        )(etas)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_critical_step_of_simultaneous_steps_is_twice_eta_until_the_eigenvalues_are_real():
    etas = np.array([0.25, 1.0, 1.5, 2.0])
    found = jax.jit(
        jax.vmap(
            lambda eta: analysis.critical_step_size(updates.Simultaneous, lq_field(WASSERSTEIN, eta), lq.EQUILIBRIUM)
        )
    )(jnp.asarray(etas))
    # Beyond, the fast one of two real eigenvalues decides: -4 eta / 9 - (2/9) sqrt(4 eta^2 - 9).
    beyond = 2 / (4 * 2 / 9 + 2 / 9 * math.sqrt(4 * 4 - 9))
    # The double eigenvalue at 3/2 costs half of the digits; measured 2e-8.
    np.testing.assert_allclose(found, [0.5, 2.0, 3.0, beyond], rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "factors"),
    [
        (WASSERSTEIN, lambda eta: np.polymul([9, 8 * eta, 4], [1, 2 * eta, 1]) / 9),
        (MINIMAX, lambda eta: np.polymul([90, 9 + 20 * eta, 10], [12, 2 + 6 * eta, 3]) / 1080),
    ],
)
def test_the_characteristic_polynomial_with_the_linear_term_is_the_product_for_every_eta(loss, factors):
    # Its coefficients are quadratic in eta at most, like the product's: three values would do for all.
    etas = np.array([0.0, 0.4, 1.0, 2.0, 5.0])
    y = players([0.0, 0.0], [1.0, 0.0])
    jacobians = jax.jit(jax.vmap(lambda eta: analysis.jacobian(lq_field(loss, eta, linear=True, offset=True), y)))(
        jnp.asarray(etas)
    )
    for eta, jacobian in zip(etas, np.asarray(jacobians), strict=True):
        np.testing.assert_allclose(np.poly(jacobian), factors(eta), rtol=0, atol=1e-12 * (1 + eta) ** 2)


def test_the_period_has_the_stated_series():
    def series(w0):
        return 3 * math.pi * (1 + w0**2 / 6 + w0**4 / 144 - 139 * w0**6 / 38880)

    # By quadrature along the level set of the energy. What is left is of order eight: 256 times as much at twice w0.
    small, large = (lq.period(w0) - series(w0) for w0 in (0.2, 0.4))
    assert abs(small) < 1e-7
    # The next order makes it 7.72; a wrong last coefficient would make it 6.
    assert math.log2(abs(large / small)) == pytest.approx(8, abs=0.35)
    # Where the orbit is small the turning points of the quadrature lose digits, and the series is exact.
    assert series(0.01) == pytest.approx(9.4249350411, abs=1e-10)
    for w0, digits in {0.1: 9.4404924353, 0.5: 9.8210374784, 1.0: 11.0277823435}.items():
        assert lq.period(w0) == pytest.approx(digits, abs=2e-10)


def test_wide_data_make_the_system_as_stiff_as_stated():
    c = 10.0
    fast, slow = np.sort(np.asarray(analysis.spectrum(lq_field(MINIMAX, 0.0, half_width=c), players(0.0, c))).real)
    # d^2 / k^2, but for terms of relative size k^2 / d^2 = 1e-5.
    assert fast / slow == pytest.approx(9 * c**6 / 100, rel=1e-4)


@pytest.mark.slow
def test_at_wide_data_an_explicit_solver_needs_thirty_thousand_steps_and_an_implicit_one_some_dozens():
    field, ts = fields.GameField(games.LinearQuadratic(MINIMAX, 10.0)), jnp.array([0.0, 100.0])

    def steps(solver, w, a):
        return int(flow(field, players(w, a), ts, solver=solver, rtol=1e-4).stats["num_steps"])

    assert 25_000 < steps(diffrax.Tsit5(), 0.05, 11.0) < 35_000
    # It depends on the start, since what is rejected on the way onto the slow curve is most of it: measured 52, 20, 15.
    assert all(steps(diffrax.Kvaerno5(), *start) < 100 for start in ((0.05, 11.0), (0.0, 9.0), (0.01, 10.1)))


def test_with_the_wrong_sign_the_regularizer_blows_the_orbit_up_at_a_definite_time():
    def wrong(t, y, args):
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3, 2 * w * a / 3 + 4 / 9 * args * a * (1 - a**2))

    def time(eta):
        orbit = flow(wrong, players(0.0, 2.0), jnp.linspace(0.0, 2.0, 3), args=jnp.asarray(eta), rtol=1e-10)
        assert orbit.outcome == simulate.OUTCOMES.blow_up
        return float(orbit.final_time)

    assert time(-0.5) == pytest.approx(0.807652, abs=1e-6)
    assert time(-0.5) == pytest.approx(_blow_up_by_scipy(-0.5), abs=1e-7)
    assert time(-5.0) == pytest.approx(_blow_up_by_scipy(-5.0), abs=1e-7)


def _blow_up_by_scipy(eta):
    """In u = 1 / a^2, which is regular where a is infinite: u' = -(4/3) w u - (8/9) eta (u - 1), dw/dt = (1 - 1/u)/3.

    Taking u as the clock, since dw/dt is infinite at u = 0: dt/du and dw/du are integrable there.
    """
    from scipy.integrate import solve_ivp

    def by_u(s, state):
        # u = e^s, s -> -infinity.
        _, w = state
        u = math.exp(s)
        u_dot = -(4 / 3) * w * u - (8 / 9) * eta * (u - 1)
        return [u / u_dot, u * (1 - 1 / u) / 3 / u_dot]

    end = solve_ivp(by_u, (math.log(0.25), -60.0), [0.0, 0.0], method="DOP853", rtol=1e-12, atol=1e-14)
    return end.y[0, -1]


# The Dirac-GAN.


def dirac_spectrum(game):
    return analysis.spectrum(fields.GameField(game), ORIGIN)


class NoisyDirac(games.AbstractSampledGame):
    """The Dirac-GAN with normal noise of standard deviation s on data and samples, by Gauss-Hermite quadrature."""

    loss: losses.AbstractLoss
    noise: float

    def discriminate(self, discriminator, x):
        return -discriminator * x

    def generate(self, generator, z):
        return generator + self.noise * z

    def measures(self, y, args):
        unit = distributions.Normal().quadrature(8)
        return distributions.Quadrature(self.noise * unit.nodes, unit.weights), unit


@pytest.mark.parametrize("s", [0.5, 1.0, 2.0])
def test_instance_noise_damps_the_dirac_gan_as_stated(s):
    half = np.sqrt(complex(s**4 / 16 - 1 / 4))
    # At s^2 = 2 they meet, to the root of rounding.
    assert_same_set(dirac_spectrum(NoisyDirac(MINIMAX, s)), [-(s**2) / 4 + half, -(s**2) / 4 - half])


@pytest.mark.parametrize("g", [0.3, 1.0, 4.0])
def test_consensus_damps_the_dirac_gan_as_stated(g):
    field = regularizers.Adjusted(fields.GameField(games.Dirac(MINIMAX)), regularizers.Consensus(g))
    assert_same_set(analysis.spectrum(field, ORIGIN), [-g / 4 + 0.5j, -g / 4 - 0.5j])


def test_on_the_dirac_gan_the_slope_at_the_samples_is_that_at_the_data():
    y, game = players(0.7, 1.1), games.Dirac(MINIMAX)
    both = [regularizers.Penalized(game, penalty(0.3)) for penalty in (regularizers.R2, regularizers.R1)]
    ours, theirs = (flat(fields.GameField(penalized)(0.0, y)) for penalized in both)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


def test_the_period_of_the_dirac_gan_is_that_of_the_bessel_function():
    def period(r):
        return 2 * math.pi * (1 + scipy.special.i0(r**2 / 2))

    assert period(1.0) == pytest.approx(12.965248396651, abs=1e-12)
    field = fields.GameField(games.Dirac(MINIMAX))

    @eqx.filter_jit
    def end(r, time):
        return flow(field, Players(r, 0 * r), jnp.stack([0 * time, time]), rtol=1e-10).final_state

    for r in (0.5, 1.0, 2.0):
        # Global error over one turn at a tolerance of 1e-10; measured 3e-10.
        np.testing.assert_allclose(flat(end(jnp.asarray(r), jnp.asarray(period(r)))), [r, 0.0], rtol=0, atol=1e-8)


def clipped_to(bound, optimizer):
    """The optimizer, and after it the parameters cut to [-bound, bound]."""

    def update(gradient, memory, params):
        change, memory = optimizer.update(gradient, memory, params)
        return jax.tree.map(lambda p, by: jnp.clip(p + by, -bound, bound) - p, params, change), memory

    return optax.GradientTransformation(optimizer.init, update)


@pytest.mark.parametrize("theta", [0.1, 2.0])
def test_the_dirac_wasserstein_gan_with_clipping_keeps_cycling(theta):
    # A circle that reaches the bound is cut along it, and leaves it where theta changes its sign: on the circle of
    # radius `bound`, from outside at once, and from inside as simultaneous steps spiral out.
    h, bound = 0.02, 0.5
    rule = updates.Optax(clipped_to(bound, optax.sgd(h)), optax.sgd(h), order="simultaneous", step_size=h)
    field = fields.GameField(games.Dirac(WASSERSTEIN))
    steps = iterate(rule, field, players(0.0, theta), 20_000, save_every=10)
    late = np.abs(np.asarray(steps.ys.generator)[1:]).reshape(-1, 100)[-10:].max(axis=1)
    # Over one turn the steps spiral out by pi h, 6 %, and are cut twice; measured 1.6 %.
    np.testing.assert_allclose(late, bound, rtol=0.05)
