"""Eigenvalues along a parameter, critical and optimal values, and growth before decay, against closed forms."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from jaxtyping import Array

from gan_ode import analysis, fields, games, losses, regularizers, updates
from gan_ode.games import Players

# Eigenvalues of small matrices of order one, where they are simple; measured 6e-16.
EIGENVALUES = 1e-12
# Bisection of a smooth function ends at its rounding; measured at most 3e-14. The promise is 1e-10.
CRITICAL = 1e-12
# A computed pair that meets is only good to the root of rounding; its mean is not. Measured 3e-15 in the mean.
MEAN = 1e-12
# Derivatives by the implicit function theorem, at a bisected root; measured at most 4e-15.
IMPLICIT = 1e-10
# Derivatives by differences across the optimum; measured at most 3e-8.
ACROSS = 1e-7
# Central differences with a step of 1e-5 in numbers of order one; measured at most 2e-10.
STEP, DIFFERENCES = 1e-5, 1e-7

MINIMAX, WASSERSTEIN = losses.Minimax(), losses.Wasserstein()
EQUILIBRIUM = Players(jnp.asarray(0.0), jnp.asarray(1.0))
ORIGIN = Players(jnp.asarray(0.0), jnp.asarray(0.0))
FULL = Players(jnp.zeros(2), jnp.array([1.0, 0.0]))


def family(game, penalty):
    return lambda weight: fields.GameField(regularizers.Penalized(game, penalty(weight)))


# Families are compared by identity: one object each, so that nothing is compiled twice.
LQ_W = family(games.LinearQuadratic(WASSERSTEIN), regularizers.GradientNorm)
FULL_W = family(games.LinearQuadratic(WASSERSTEIN, linear=True, offset=True), regularizers.GradientNorm)
FULL_JS = family(games.LinearQuadratic(MINIMAX, linear=True, offset=True), regularizers.GradientNorm)
DIRAC_R1 = family(games.Dirac(MINIMAX), regularizers.R1)
DIRAC_JS = family(games.Dirac(MINIMAX), regularizers.GradientNorm)
DIRAC_W = family(games.Dirac(WASSERSTEIN), regularizers.GradientNorm)


class Brusselator(eqx.Module):
    """x' = a - (b + 1) x + x^2 y, y' = b x - x^2 y: its equilibrium (a, b/a) moves with b.

    The Jacobian has the trace b - 1 - a^2 and the determinant a^2.
    """

    a: Array

    def __call__(self, b):
        def field(t, y, args):
            x, z = y
            return jnp.stack([self.a - (b + 1) * x + x**2 * z, b * x - x**2 * z])

        return field


class Linear(eqx.Module):
    """The field of a matrix that depends on the parameter and on `theta`."""

    theta: Array
    matrix: object = eqx.field(static=True)

    def __call__(self, parameter):
        return lambda t, y, args: self.matrix(parameter, self.theta) @ y


def turning(real):
    """Matrices of a pair real ± i."""
    return lambda p, theta: jnp.array([[0.0, -1.0], [1.0, 0.0]]) + real(p, theta) * jnp.eye(2)


def damped(p, theta):
    """Eigenvalues -p ± sqrt(p^2 - theta^2): they meet at p = theta."""
    return jnp.stack([jnp.stack([jnp.zeros_like(theta), -theta]), jnp.stack([theta, -2 * p])])


def mixed(p, theta):
    """Two damped pairs, which meet at p = theta and p = 2 theta, and a real eigenvalue, in mixed coordinates."""
    blocks = jax.scipy.linalg.block_diag(damped(p, theta), damped(p, 2 * theta) - jnp.eye(2), -0.3 * p - 0.1)
    mix = jnp.eye(5) + 0.4 * jnp.asarray(np.random.default_rng(0).standard_normal((5, 5)))
    return mix @ blocks @ jnp.linalg.inv(mix)


# Branches


@functools.cache
def wasserstein_branches(num=60):
    return analysis.eigenvalue_branches(LQ_W, jnp.linspace(0.0, 3.0, num), EQUILIBRIUM)


def test_the_branches_of_the_wasserstein_gan_are_its_closed_form():
    branches = wasserstein_branches()
    etas = np.asarray(branches.values)
    root = np.sqrt((4 * etas**2 - 9).astype(complex)) * 2 / 9
    # From above the axis to the larger real value: the principal root is just that.
    expected = np.stack([-4 * etas / 9 + root, -4 * etas / 9 - root], axis=1)
    np.testing.assert_allclose(branches.eigenvalues, expected, atol=EIGENVALUES, rtol=0)
    # What rounding of the state makes of the velocity; measured 9e-17.
    assert float(jnp.max(branches.residuals)) < 1e-15


@pytest.mark.parametrize("num", [60, 61])
def test_a_pair_meets_in_one_interval_whether_or_not_the_grid_hits_the_point(num):
    branches = wasserstein_branches(num)
    (meeting,) = np.flatnonzero(np.asarray(branches.meets[:, 0]))
    assert branches.values[meeting] < 1.5 <= branches.values[meeting + 1]
    np.testing.assert_array_equal(branches.meets[:, 0], branches.meets[:, 1])
    assert np.all(np.diff(np.asarray(branches.eigenvalues)[meeting + 1 :, 0].real) > 0)


def shuffled(columns, seed=1):
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(row) for row in columns])


def test_branches_that_cross_are_followed_through():
    p = np.linspace(0.0, 1.0, 40)
    columns = np.stack(
        [-1 + p, -(p**2), -2 + 3 * p, -0.5 + 0.2 * p + 1j, -0.5 + 0.2 * p - 1j, 1j * (2 - 2 * p) - p], axis=1
    )
    followed = np.asarray(analysis.follow_eigenvalues(shuffled(columns), p))
    order = [int(np.argmin(np.abs(columns[0] - value))) for value in followed[0]]
    np.testing.assert_array_equal(followed, columns[:, order])


def test_the_assignment_is_the_best_one_and_not_the_greedy_one():
    # Nearest pairs first would match 0.9 with 1.0, and send 0.0 to 2.2.
    followed = analysis.follow_eigenvalues(np.array([[1.0, 0.1], [2.2, 1.0]], complex), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(followed, [[1.0, 0.1], [2.2, 1.0]])


def test_an_equilibrium_that_moves_is_followed_by_newton():
    a, bs = 1.3, jnp.linspace(0.5, 4.0, 30)
    branches = analysis.eigenvalue_branches(Brusselator(jnp.asarray(a)), bs, jnp.array([1.0, 0.7]))
    # Newton's last step is at rounding; measured 3e-15.
    np.testing.assert_allclose(branches.ys, np.stack([np.full(30, a), bs / a], axis=1), atol=EIGENVALUES, rtol=0)
    assert float(jnp.max(branches.residuals)) < EIGENVALUES
    np.testing.assert_allclose(branches.eigenvalues.sum(axis=1), bs - 1 - a**2, atol=EIGENVALUES, rtol=0)


def test_on_a_line_of_equilibria_the_state_stays_and_one_eigenvalue_is_zero():
    line = family(
        games.LinearQuadratic(WASSERSTEIN, linear=True, quadratic=False, offset=True), regularizers.GradientNorm
    )
    y = Players(jnp.asarray(0.0), jnp.array([0.6, 0.0]))
    branches = analysis.eigenvalue_branches(line, jnp.linspace(0.1, 0.9, 5), y)
    np.testing.assert_array_equal(branches.ys.generator, np.tile([0.6, 0.0], (5, 1)))
    # D = w x, G = a z + b: w' = -b, b' = w - 2 eta b, and a' = 0.
    etas = np.asarray(branches.values)
    np.testing.assert_allclose(np.abs(branches.eigenvalues).min(axis=1), 0, atol=EIGENVALUES)
    np.testing.assert_allclose(branches.eigenvalues.sum(axis=1), -2 * etas, atol=EIGENVALUES, rtol=0)


def test_branches_can_be_swept_and_differentiated():
    bs = jnp.linspace(1.0, 4.0, 12)

    def slowest(a):
        branches = analysis.eigenvalue_branches(Brusselator(a), bs, jnp.stack([a, 1.0 / a]))
        return branches.eigenvalues[:, 0].real

    swept = jax.jit(jax.vmap(slowest))(jnp.array([1.2, 1.4]))
    np.testing.assert_allclose(swept, (bs - 1 - np.array([[1.44], [1.96]])) / 2, atol=EIGENVALUES, rtol=0)
    gradient = jax.jit(jax.jacrev(slowest))(jnp.asarray(1.2))
    np.testing.assert_allclose(gradient, np.full(12, -1.2), atol=EIGENVALUES, rtol=0)


def test_one_value_is_no_branch():
    with pytest.raises(ValueError, match="`values` must be at least 2"):
        analysis.eigenvalue_branches(LQ_W, jnp.array([1.0]), EQUILIBRIUM)


# Critical values


@pytest.mark.parametrize(
    ("name", "of", "values", "y", "expected"),
    [
        ("LQ, W", LQ_W, jnp.linspace(0.0, 3.0, 60), EQUILIBRIUM, {3 / 2: -2 / 3}),
        ("LQ with offset, W", FULL_W, jnp.linspace(0.0, 3.0, 48), FULL, {1.0: -1.0, 3 / 2: -2 / 3}),
        ("LQ with offset, JS", FULL_JS, jnp.linspace(0.0, 3.0, 48), FULL, {5 / 3: -1 / 2, 51 / 20: -1 / 3}),
        ("Dirac, JS, R1", DIRAC_R1, jnp.linspace(0.0, 2.0, 41), ORIGIN, {1.0: -1 / 2}),
        ("Dirac, JS", DIRAC_JS, jnp.linspace(0.0, 3.0, 50), ORIGIN, {2.0: -1 / 2}),
        ("Dirac, W", DIRAC_W, jnp.linspace(0.0, 3.0, 50), ORIGIN, {1.0: -1.0}),
    ],
)
def test_pairs_become_real_at_the_closed_form(name, of, values, y, expected):
    found = analysis.critical_parameters(of, values, lambda _: y)
    assert [each.kind for each in found] == ["collision"] * len(expected)
    np.testing.assert_allclose([each.value for each in found], list(expected), atol=CRITICAL, rtol=0)
    np.testing.assert_allclose([each.eigenvalue for each in found], list(expected.values()), atol=MEAN, rtol=0)


def test_a_wasserstein_gan_with_damping_of_either_sign_has_three_critical_values():
    def undamped(t, y, args):
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3, 2 * w * a / 3)

    def either_sign(eta):
        def field(t, y, args):
            plain = undamped(t, y, args)
            return Players(plain.discriminator, plain.generator + 4 / 9 * eta * y.generator * (1 - y.generator**2))

        return field

    found = analysis.critical_parameters(either_sign, jnp.linspace(-2.0, 2.1, 40), EQUILIBRIUM)
    assert [each.kind for each in found] == ["collision", "crossing", "collision"]
    np.testing.assert_allclose([each.value for each in found], [-3 / 2, 0, 3 / 2], atol=CRITICAL, rtol=0)
    np.testing.assert_allclose(found[1].eigenvalue, 2j / 3, atol=EIGENVALUES, rtol=0)
    assert all(each.bracket[0] < each.value < each.bracket[1] for each in found)


def test_the_brusselator_oscillates_from_one_plus_a_squared_on():
    a = 1.3
    found = analysis.critical_parameters(
        Brusselator(jnp.asarray(a)), jnp.linspace(0.01, 6.0, 40), jnp.array([1.0, 0.1])
    )
    # Trace zero; trace squared four times the determinant.
    assert [each.kind for each in found] == ["collision", "crossing", "collision"]
    expected = [(a - 1) ** 2, 1 + a**2, (a + 1) ** 2]
    np.testing.assert_allclose([each.value for each in found], expected, atol=CRITICAL, rtol=0)
    np.testing.assert_allclose(found[1].eigenvalue, a * 1j, atol=EIGENVALUES, rtol=0)


def test_a_real_eigenvalue_crosses_beside_one_that_is_always_zero():
    of = Linear(
        jnp.asarray(0.7), lambda p, theta: jnp.diag(jnp.stack([p - theta, jnp.zeros_like(p), -jnp.ones_like(p)]))
    )
    (found,) = analysis.critical_parameters(of, jnp.linspace(0.0, 1.9, 20), jnp.zeros(3))
    assert found.kind == "crossing" and found.value == pytest.approx(0.7, abs=CRITICAL)


def hopf(a):
    return analysis.critical_parameter(Brusselator(a), 1.0, 5.0, jnp.stack([a, 1 / a]))


def oscillates(a):
    return analysis.critical_parameter(Brusselator(a), 4.0, 6.0, jnp.stack([a, 4 / a]), kind="collision")


@pytest.mark.parametrize(
    ("critical", "expected", "slope"), [(hopf, lambda a: 1 + a**2, 2.6), (oscillates, lambda a: (a + 1) ** 2, 4.6)]
)
def test_the_gradient_of_a_critical_value_is_that_of_its_closed_form(critical, expected, slope):
    compiled = jax.jit(jax.value_and_grad(critical))
    value, gradient = compiled(1.3)
    assert float(value) == pytest.approx(expected(1.3), abs=CRITICAL)
    assert float(gradient) == pytest.approx(slope, abs=IMPLICIT)
    by_differences = (compiled(1.3 + STEP)[0] - compiled(1.3 - STEP)[0]) / (2 * STEP)
    assert float(by_differences) == pytest.approx(slope, abs=DIFFERENCES)


def test_critical_values_can_be_swept():
    np.testing.assert_allclose(jax.vmap(hopf)(jnp.array([1.0, 1.3, 1.5])), [2.0, 2.69, 3.25], atol=CRITICAL, rtol=0)


@pytest.mark.parametrize(("low", "high", "near", "times"), [(1.1, 1.7, None, 1), (2.2, 2.7, -3.4, 2)])
def test_one_of_several_pairs_is_chosen_and_differentiated(low, high, near, times):
    def critical(theta):
        return analysis.critical_parameter(
            Linear(theta, mixed), low, high, lambda p: jnp.zeros(5), kind="collision", near=near
        )

    value, gradient = jax.value_and_grad(critical)(jnp.asarray(1.2))
    # The coordinates are of condition 10, and the pair's plane is found from squares; measured 1e-14 and 3e-13.
    assert float(value) == pytest.approx(1.2 * times, abs=1e-11)
    assert float(gradient) == pytest.approx(times, abs=1e-9)


def test_ends_on_one_side_are_refused():
    with pytest.raises(RuntimeError, match="`low` and `high` must lie on two sides of a crossing"):
        analysis.critical_parameter(Brusselator(jnp.asarray(1.3)), 1.0, 2.0, jnp.array([1.3, 1.0]))


def test_a_list_of_critical_values_is_refused_under_a_transformation():
    with pytest.raises(ValueError, match=r"outside `jax\.jit`"):
        jax.jit(lambda v: analysis.critical_parameters(LQ_W, v, EQUILIBRIUM))(jnp.linspace(0.0, 1.0, 3))


def test_falling_values_are_refused():
    with pytest.raises(ValueError, match="`values` must rise"):
        analysis.critical_parameters(LQ_W, jnp.array([1.0, 0.5]), EQUILIBRIUM)


# Optimal values


def test_the_wasserstein_gan_returns_fastest_where_its_pair_becomes_real():
    best = analysis.optimal_parameter(LQ_W, jnp.linspace(0.0, 3.0, 31), EQUILIBRIUM)
    assert float(best.value) == pytest.approx(3 / 2, abs=CRITICAL) and not best.at_end
    assert float(best.rate) == pytest.approx(2 / 3, abs=MEAN)


def test_with_offset_the_optimum_is_where_one_pair_takes_over_from_the_other():
    # -4 eta/9 = -eta + sqrt(eta^2 - 1), so that eta^2 = 81/56.
    best = analysis.optimal_parameter(FULL_W, jnp.linspace(0.0, 3.0, 31), lambda _: FULL)
    assert float(best.value) == pytest.approx(9 / math.sqrt(56), abs=CRITICAL)
    assert float(best.rate) == pytest.approx(4 / math.sqrt(56), abs=MEAN)


def smooth_optimum(theta):
    """Abscissa (p - theta)^2 - theta p: least at p = 3 theta / 2, where it is -5 theta^2 / 4."""
    return Linear(theta, turning(lambda p, theta: (p - theta) ** 2 - theta * p))


def taking_over(theta):
    """Eigenvalues -theta p and -2 + p: of one height at p = 2 / (1 + theta)."""
    return Linear(theta, lambda p, theta: jnp.diag(jnp.stack([-theta * p, p - 2])))


@pytest.mark.parametrize(
    ("of", "value", "rate", "slopes"),
    [
        (lambda theta: Linear(theta, damped), 1.2, 1.2, (1, 1)),
        (smooth_optimum, 1.8, 1.8, (1.5, 3.0)),
        (taking_over, 2 / 2.2, 2.4 / 2.2, (-2 / 2.2**2, 2 / 2.2**2)),
    ],
    ids=["collision", "smooth", "takeover"],
)
def test_optima_of_each_kind_and_their_gradients_are_those_of_the_closed_form(of, value, rate, slopes):
    def best(theta):
        optimum = analysis.optimal_parameter(of(theta), jnp.linspace(0.0, 3.0, 20), lambda p: jnp.zeros(2))
        return jnp.stack([optimum.value, optimum.rate])

    compiled = jax.jit(lambda theta: jax.jvp(best, (theta,), (jnp.ones_like(theta),)))
    found, gradient = compiled(1.2)
    # A smooth optimum is where a slope is zero, to rounding over the curvature; measured 3e-16.
    np.testing.assert_allclose(found, [value, rate], atol=CRITICAL, rtol=0)
    np.testing.assert_allclose(gradient, slopes, atol=ACROSS, rtol=0)
    by_differences = (compiled(1.2 + STEP)[0] - compiled(1.2 - STEP)[0]) / (2 * STEP)
    np.testing.assert_allclose(by_differences, slopes, atol=DIFFERENCES, rtol=0)


def test_an_optimum_at_the_end_of_the_range_says_so():
    best = analysis.optimal_parameter(LQ_W, jnp.linspace(0.0, 1.0, 31), EQUILIBRIUM)
    assert best.at_end and float(best.value) == 1.0 and float(best.rate) == pytest.approx(4 / 9, abs=EIGENVALUES)


def test_simultaneous_steps_are_best_at_half_the_critical_step():
    # Of -1/20 ± i sqrt(391)/60, of modulus 1/3: h = (1/20) / (1/9), with the radius sqrt(391)/20.
    field = fields.GameField(games.LinearQuadratic(MINIMAX))
    best = analysis.optimal_step_size(updates.Simultaneous, field, EQUILIBRIUM)
    assert float(best.value) == pytest.approx(0.45, abs=CRITICAL)
    assert float(best.rate) == pytest.approx(-math.log(math.sqrt(391) / 20), abs=EIGENVALUES)


def test_the_gradient_of_the_best_step_size_is_that_of_its_closed_form():
    def best(theta):
        field = Linear(theta, damped)(0.5)
        return analysis.optimal_step_size(updates.Simultaneous, field, jnp.zeros(2), step_sizes=sizes).value

    # -Re / |l|^2 = p / theta^2 for p < theta.
    sizes = jnp.linspace(0.1, 2.0, 20)
    value, gradient = jax.jit(jax.value_and_grad(best))(1.2)
    assert float(value) == pytest.approx(0.5 / 1.2**2, abs=CRITICAL)
    assert float(gradient) == pytest.approx(-1.0 / 1.2**3, abs=ACROSS)


# Growth before decay

RATIO = 1e4


def unequal(gamma):
    """The Dirac-GAN with R1 = gamma, the discriminator 10^4 times as fast: the Jacobian by hand."""
    return RATIO ** jnp.array([[1.0], [0.0]]) * jnp.array([[0.0, 0.5], [-0.5, 0.0]]) - RATIO * gamma * jnp.diag(
        jnp.array([1.0, 0.0])
    )


@pytest.fixture(scope="module")
def unequal_dirac():
    game = regularizers.Penalized(games.Dirac(MINIMAX), regularizers.R1(0.05))
    return analysis.jacobian(fields.GameField(game, rates=Players(RATIO, 1.0)), ORIGIN)


def largest_norm(matrix, time):
    """By SciPy: the peak of the norm near a time, and when."""
    matrix = np.asarray(matrix)
    found = scipy.optimize.minimize_scalar(
        lambda t: -np.linalg.norm(scipy.linalg.expm(t * matrix), 2), bracket=(0.7 * time, time, 1.4 * time), tol=1e-12
    )
    return -found.fun, found.x


def test_unequal_rates_grow_before_they_decay_though_all_eigenvalues_lie_left(unequal_dirac):
    np.testing.assert_allclose(unequal_dirac, unequal(0.05), atol=1e-9, rtol=0)
    assert np.all(np.linalg.eigvals(np.asarray(unequal_dirac)).real < 0)
    grown = analysis.transient_growth(unequal_dirac)
    # -r g/2 + sqrt(r^2 g^2 / 4 + (r - 1)^2 / 16), about 2,000.
    abscissa = -RATIO * 0.05 / 2 + math.hypot(RATIO * 0.05 / 2, (RATIO - 1) / 4)
    assert float(grown.numerical_abscissa) == pytest.approx(abscissa, rel=EIGENVALUES)
    growth, time = largest_norm(unequal_dirac, 0.01)
    # The norm is flat at its peak, so SciPy's time is good to the root of rounding; measured 5e-16 and 4e-9.
    assert float(grown.growth) == pytest.approx(growth, rel=1e-11) and 9 < growth < 10
    assert float(grown.time) == pytest.approx(time, rel=1e-6)


def test_growth_lies_between_the_bounds_of_kreiss_and_of_the_numerical_abscissa(unequal_dirac):
    grown = analysis.transient_growth(unequal_dirac)
    zs = np.logspace(-2, 6, 400)
    kreiss = max(z * np.linalg.norm(np.linalg.inv(z * np.eye(2) - np.asarray(unequal_dirac)), 2) for z in zs)
    assert 4 < kreiss <= grown.growth <= 2 * math.e * kreiss
    assert grown.growth <= jnp.exp(grown.numerical_abscissa * grown.time)


def test_growth_its_time_and_the_numerical_abscissa_can_be_differentiated():
    def numbers(gamma):
        grown = analysis.transient_growth(unequal(gamma))
        return jnp.stack([grown.growth, grown.time, grown.numerical_abscissa])

    compiled = jax.jit(lambda gamma: jax.jvp(numbers, (gamma,), (jnp.ones_like(gamma),)))
    differences = (compiled(0.05 + 1e-6)[0] - compiled(0.05 - 1e-6)[0]) / 2e-6
    # Central differences with a relative step of 2e-5; measured 7e-10.
    np.testing.assert_allclose(compiled(0.05)[1], differences, rtol=1e-6, atol=0)


def test_an_ellipse_grows_by_its_axes():
    # x' = 4 y, y' = -x: the frequency is 2, and after a quarter turn the axes have changed places.
    grown = analysis.transient_growth(jnp.array([[0.0, 4.0], [-1.0, 0.0]]))
    assert float(grown.growth) == pytest.approx(2.0, abs=EIGENVALUES)
    assert float(grown.time) == pytest.approx(math.pi / 4, abs=1e-9)  # measured 5e-16


@pytest.mark.parametrize(
    ("matrix", "growth", "time"),
    [
        ([[-0.1, 1.0], [-1.0, -0.1]], 1.0, 0.0),
        ([[-0.1, 1.0], [-1.0, -2.0]], 1.0, 0.0),
        ([[1.0, 1.0], [-1.0, -0.5]], math.inf, math.inf),
        ([[0.0, 1.0], [0.0, 0.0]], math.inf, math.inf),
        ([[0.0, 0.0], [0.0, 0.0]], 1.0, 0.0),
    ],
    ids=["normal", "node", "unstable", "shear", "zero"],
)
def test_growth_at_its_limits(matrix, growth, time):
    grown = analysis.transient_growth(jnp.array(matrix))
    assert float(grown.growth) == growth and float(grown.time) == time


def test_growth_can_be_swept():
    ratios = jnp.array([4.0, 9.0, 100.0])
    grown = jax.vmap(
        lambda r: analysis.transient_growth(jnp.array([[0.0, 1.0], [-1.0, 0.0]]) * jnp.stack([r, 1.0])[:, None])
    )
    np.testing.assert_allclose(grown(ratios).growth, np.sqrt(ratios), rtol=EIGENVALUES, atol=0)


def test_growth_works_in_float32():
    grown = analysis.transient_growth(jnp.array([[0.0, 4.0], [-1.0, 0.0]], jnp.float32))
    assert grown.growth.dtype == jnp.float32 and float(grown.growth) == pytest.approx(2.0, abs=1e-5)


def test_the_parts_of_a_zero_sum_jacobian_are_its_damping_and_its_rotation():
    eta = 0.5
    parts = analysis.symmetric_parts(analysis.jacobian(LQ_W(jnp.asarray(eta)), EQUILIBRIUM))
    np.testing.assert_allclose(parts.symmetric, np.diag([0, -8 * eta / 9]), atol=EIGENVALUES, rtol=0)
    np.testing.assert_allclose(parts.antisymmetric, [[0, -2 / 3], [2 / 3, 0]], atol=EIGENVALUES, rtol=0)
    assert float(analysis.numerical_abscissa(parts.symmetric)) == pytest.approx(0, abs=EIGENVALUES)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_small_eigenvalues_of_a_matrix_of_large_norm_still_count(dtype):
    slow = jnp.array([[-0.1, 1e3], [0.0, -0.2]], dtype)
    # exp(-t/10) - exp(-t/5) is largest at exp(-t/10) = 1/2, where it is 1/4; the prefactor is 1e3 / 0.1.
    np.testing.assert_allclose(analysis.transient_growth(slow).growth, 2500, rtol=1e-3)
    unstable = jnp.zeros((3, 3), dtype).at[0, 0].set(0.1).at[1:, 1:].set(jnp.array([[-1e3, 1e4], [0.0, -1e3]], dtype))
    assert analysis.transient_growth(unstable).growth == jnp.inf


def test_a_grid_that_falls_is_refused():
    with pytest.raises(ValueError, match="`values` must rise"):
        analysis.optimal_parameter(lambda eta: lambda t, y, args: -eta * y, jnp.array([2.0, 1.0]), jnp.zeros(2))


# Where the branch ends, and what is no linear statement


def scalar(velocity):
    """A family of fields on the line, or of any state."""
    return lambda p: lambda t, y, args: velocity(p, y)


def tank(rate):
    """A stirred tank: its equilibrium turns back at a fold, and comes again, farther up, at a second one."""

    def field(t, y, args):
        x, z = y
        reaction = rate * (1 - x) * jnp.exp(z)
        return jnp.stack([-x + reaction, -z + 7.06 * reaction - 0.74 * z])

    return field


FOLD = scalar(lambda p, x: -p - x**2)
PITCHFORK = scalar(lambda p, x: -p * x - x**3)
TRANSCRITICAL = scalar(lambda p, x: p * x - x**2)
ONE, GRID, CENTERED = jnp.ones(1), jnp.linspace(-1.0, 1.0, 20), jnp.linspace(-1.0, 1.0, 21)
# A fold is found by Newton's method on regular equations; measured 3e-16 (the tank), and 1e-13 in the eigenvalue.
FOLDS = 1e-11


def tank_along(x):
    """The rate and the determinant along the tank's equilibria, by their conversion x, by hand."""
    z = 7.06 * x / 1.74
    rate = x * np.exp(-z) / (1 - x)
    reaction = x
    return rate, (1 + reaction / (1 - x)) * (1.74 - 7.06 * reaction) + 7.06 * reaction / (1 - x) * reaction


# Both folds, where the determinant vanishes.
FIRST_FOLD, SECOND_FOLD = (
    tank_along(scipy.optimize.brentq(lambda x: tank_along(x)[1], *bracket, xtol=1e-14))[0]
    for bracket in ((0.3, 0.5), (0.5, 0.8))
)


@pytest.mark.parametrize("num", [101, 21, 11])
def test_the_tank_has_no_critical_value_beyond_its_fold(num):
    assert abs(FIRST_FOLD - 0.1318027) < 1e-7
    rates = jnp.linspace(0.1, 0.2, num)
    found = analysis.critical_parameters(tank, rates, jnp.array([0.12, 0.5]))
    assert [each.kind for each in found] == ["fold"]
    (end,) = found
    assert end.value == pytest.approx(FIRST_FOLD, abs=FOLDS)
    assert end.bracket[0] <= FIRST_FOLD <= end.bracket[1]
    assert abs(end.eigenvalue) < FOLDS
    branches = analysis.eigenvalue_branches(tank, rates, jnp.array([0.12, 0.5]))
    np.testing.assert_array_equal(branches.found, rates < FIRST_FOLD)
    assert np.all(np.isnan(branches.eigenvalues[~branches.found])) and np.all(np.isnan(branches.ys[~branches.found]))
    assert not np.any(branches.meets[~branches.found[1:]])


def test_the_upper_part_of_the_tank_oscillates_and_ends_at_the_second_fold():
    # Downward, from the rate 0.2.
    found = analysis.critical_parameters(
        lambda less: tank(0.2 - less), jnp.linspace(0.0, 0.1, 51), jnp.array([0.874, 3.546])
    )
    assert [each.kind for each in found] == ["crossing", "fold"]
    assert 0.2 - found[0].value == pytest.approx(0.1325024, abs=1e-7)
    assert abs(found[0].eigenvalue.real) < 1e-12 and found[0].eigenvalue.imag > 0.5
    assert 0.2 - found[1].value == pytest.approx(SECOND_FOLD, abs=FOLDS)


@pytest.mark.parametrize("values", [GRID, CENTERED])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_fold_is_the_end_of_either_side(values, side):
    # x = sqrt(-p), with the eigenvalue -2 x.
    (end,) = analysis.critical_parameters(FOLD, values, side * ONE)
    assert end.kind == "fold" and end.value == pytest.approx(0, abs=FOLDS) and abs(end.eigenvalue) < FOLDS


@pytest.mark.parametrize("values", [GRID, CENTERED])
def test_a_branch_that_runs_into_another_ends_there_and_one_that_is_crossed_goes_on(values):
    # x = sqrt(-p) ends at x = 0, which goes on and changes its stability; so does x = p, with the eigenvalue -p.
    (end,) = analysis.critical_parameters(PITCHFORK, GRID, ONE)
    (through,) = analysis.critical_parameters(PITCHFORK, values, 0 * ONE)
    (across,) = analysis.critical_parameters(TRANSCRITICAL, values, -ONE)
    assert (end.kind, through.kind, across.kind) == ("end", "crossing", "crossing")
    np.testing.assert_allclose([through.value, across.value], 0, atol=CRITICAL)
    # Newton's method is slow where three equilibria meet; measured 4e-10.
    assert end.value == pytest.approx(0, abs=1e-8)
    along = analysis.eigenvalue_branches(TRANSCRITICAL, values, -ONE)
    np.testing.assert_allclose(along.eigenvalues[:, 0], -values, atol=EIGENVALUES)


def test_a_branch_that_is_steep_between_two_values_is_followed_in_shorter_steps():
    steep = scalar(lambda p, x: jnp.tanh(300 * (p - 0.03)) - x)
    branches = analysis.eigenvalue_branches(steep, GRID, -ONE)
    assert np.all(branches.found)
    np.testing.assert_allclose(branches.ys[:, 0], np.tanh(300 * (np.asarray(GRID) - 0.03)), atol=1e-12)


def test_the_last_value_before_a_fold_is_found_however_close_it_is():
    values = jnp.array([-1.0, -0.5, -1e-6, 0.5])
    branches = analysis.eigenvalue_branches(FOLD, values, ONE)
    np.testing.assert_array_equal(branches.found, [True, True, True, False])
    np.testing.assert_allclose(branches.eigenvalues[:3, 0], -2 * np.sqrt(-values[:3]), atol=1e-9)


def test_a_bracket_across_a_fold_is_refused_and_so_is_one_without_equilibrium():
    with pytest.raises(RuntimeError, match=r"joined by an equilibrium, but it is lost between -?0"):
        analysis.critical_parameter(FOLD, -1.0, 1.0, ONE)
    with pytest.raises(RuntimeError, match="joined by an equilibrium, but it is lost between"):
        analysis.critical_parameter(tank, 0.1, 0.2, jnp.array([0.12, 0.5]))
    with pytest.raises(RuntimeError, match="it is lost between them"):
        eqx.filter_jit(lambda y: analysis.critical_parameter(FOLD, -1.0, 1.0, y))(ONE)
    with pytest.raises(ValueError, match=r"`y` must be an equilibrium, but the velocity there is 0\.5"):
        analysis.critical_parameter(FOLD, 0.5, 1.0, ONE)
    with pytest.raises(ValueError, match=r"`y` must be an equilibrium, but the velocity there is 0\.5"):
        analysis.eigenvalue_branches(FOLD, GRID + 1.5, ONE)


def test_an_eigenvalue_that_jumps_over_the_axis_does_not_cross_it():
    jumps = scalar(lambda p, x: jnp.where(p < 0.31, -1.0, 1.0) * x)
    poles = scalar(lambda p, x: x / (p - 0.31))
    for family in (jumps, poles):
        assert analysis.critical_parameters(family, GRID, 0 * ONE) == ()
        with pytest.raises(RuntimeError, match=r"what changes between them jumps, at 0\.31\."):
            analysis.critical_parameter(family, -1.0, 1.0, 0 * ONE)


def blocks(p):
    """A pair at -1 ± i, and beside it one whose real part passes it."""
    return jax.scipy.linalg.block_diag(
        jnp.array([[-1.0, 1.0], [-1.0, -1.0]]), jnp.array([[0.0, 2.0], [-2.0, 0.0]]) + (p - 1.5) * jnp.eye(2)
    )


def test_neither_a_neutral_saddle_nor_real_parts_that_cross_are_critical():
    # A trace of zero with eigenvalues of both signs; a pair, and a real eigenvalue, whose real parts pass a pair's.
    saddle = scalar(lambda p, x: jnp.array([1.0 + p / 2, -1.0]) * x)
    pairs = scalar(lambda p, x: blocks(p) @ x)
    single = scalar(lambda p, x: blocks(p)[:3, :3] @ x)
    assert analysis.critical_parameters(saddle, GRID, jnp.zeros(2)) == ()
    assert analysis.critical_parameters(pairs, GRID, jnp.zeros(4)) == ()
    assert analysis.critical_parameters(single, GRID, jnp.zeros(3)) == ()


def test_the_best_value_is_none_past_the_end_of_the_branch():
    # Along the tank's lower part the flow gets slower up to the fold; beyond, on another branch, it is faster.
    best = analysis.optimal_parameter(tank, jnp.linspace(0.1, 0.2, 21), jnp.array([0.12, 0.5]))
    assert best.at_end and float(best.value) == 0.1
    # x = sqrt(-p): as fast as 2 sqrt(-p). The other way round the range ends before the fold does.
    falling = analysis.optimal_parameter(FOLD, GRID, ONE)
    assert falling.at_end and float(falling.value) == -1.0 and float(falling.rate) == pytest.approx(2, abs=EIGENVALUES)
    # sqrt(-p): slowest at the fold, and its unstable side "decays" most slowly there.
    unstable = analysis.optimal_parameter(FOLD, GRID, -ONE)
    assert unstable.at_end and -0.06 < float(unstable.value) < 0 and float(unstable.rate) < 0
    nothing = jax.jit(lambda y: analysis.optimal_parameter(FOLD, GRID + 1.5, y))(ONE)
    assert np.isnan(nothing.value) and np.isnan(nothing.rate)
    with pytest.raises(ValueError, match="`y` must be an equilibrium"):
        analysis.optimal_parameter(FOLD, GRID + 1.5, ONE)


def penalized(gamma):
    return fields.GameField(regularizers.Penalized(games.Dirac(WASSERSTEIN), regularizers.WGANGP(gamma, 1.0)))


def test_along_a_penalty_under_which_the_field_jumps_there_is_no_branch():
    # Without the penalty the field is linear, and with any weight it jumps at the equilibrium.
    branches = analysis.eigenvalue_branches(penalized, jnp.linspace(0.0, 1.0, 6), ORIGIN)
    np.testing.assert_array_equal(branches.found, [True, False, False, False, False, False])
    np.testing.assert_allclose(branches.eigenvalues[0], [1j, -1j], atol=EIGENVALUES)
    weights = jnp.linspace(0.1, 1.0, 6)
    for refuse in (analysis.eigenvalue_branches, analysis.critical_parameters, analysis.optimal_parameter):
        with pytest.raises(ValueError, match="`y` must be a state around which the field is smooth"):
            refuse(penalized, weights, ORIGIN)
    with pytest.raises(ValueError, match="`y` must be a state around which the field is smooth"):
        analysis.critical_parameter(penalized, 0.1, 1.0, ORIGIN)
    assert np.all(analysis.eigenvalue_branches(penalized, weights, ORIGIN, check=False).found)


def test_a_family_with_explicit_time_has_no_branch():
    forced = scalar(lambda p, x: -p * x)
    with pytest.raises(ValueError, match="`field` must have no explicit time"):
        analysis.eigenvalue_branches(lambda p: lambda t, y, args: forced(p)(t, y, args) * (1 + t), GRID + 2, 0 * ONE)

    def swung(p):
        return lambda t, y, args: forced(p)(t, y, args) + jnp.sin(t)

    assert not np.any(jax.jit(lambda y: analysis.eigenvalue_branches(swung, GRID + 2, y))(0 * ONE).found)


def test_a_row_at_which_the_field_has_a_kink_is_passed_over():
    # x = p, with the eigenvalue -1 below 0 and -2 above.
    kinked = scalar(lambda p, x: p - x - jnp.maximum(x, 0) + jnp.maximum(p, 0))
    branches = analysis.eigenvalue_branches(kinked, CENTERED.at[10].set(0.0), -ONE)
    np.testing.assert_array_equal(np.flatnonzero(~branches.found), [10])
    np.testing.assert_allclose(branches.eigenvalues[:10, 0], -1, atol=EIGENVALUES)
    np.testing.assert_allclose(branches.eigenvalues[11:, 0], -2, atol=EIGENVALUES)


def test_a_given_equilibrium_counts_where_it_is_one():
    def root(p):
        return jnp.sqrt(jnp.maximum(-p, 0)) * ONE

    branches = analysis.eigenvalue_branches(FOLD, GRID, root)
    np.testing.assert_array_equal(branches.found, GRID < 0)
    (end,) = analysis.critical_parameters(FOLD, GRID, root)
    # Where the velocity -p counts as zero.
    assert end.kind == "end" and end.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("narrow", [1e-2, 1e-4])
def test_a_fold_whose_branch_comes_again_within_the_same_interval_is_not_stepped_over(narrow):
    # p = x^3 / 3 - c x turns at x = -sqrt(c), where p = 2 c^(3/2) / 3, and comes again at minus that: 1e-6 below.
    folded = scalar(lambda p, x: p - x**3 / 3 + narrow * x)
    (end,) = analysis.critical_parameters(folded, GRID, jnp.array([-1.45]))
    assert end.kind == "fold" and end.value == pytest.approx(2 * narrow**1.5 / 3, abs=FOLDS)
    best = analysis.optimal_parameter(folded, GRID, jnp.array([-1.45]))
    # The flow is fastest at the other end, with the slope of the cubic there.
    x = np.roots([1 / 3, 0, -narrow, 1.0])
    x = float(np.real(x[np.argmin(np.abs(np.imag(x)))]))
    assert float(best.value) == -1.0 and float(best.rate) == pytest.approx(x**2 - narrow, abs=EIGENVALUES)


def parallel(p):
    """The first of three steep branches close to each other, and how fast the flow is on it: 4.5 at most, at 0.021."""
    branch, weight = 5 * jnp.tanh(20 * (p - 0.03)), 1 / (1 + 20 * (p - 0.021) ** 2)
    return branch, lambda t, x, args: -100 * weight * (x - branch) * (x - branch - 0.15) * (x - branch - 0.3)


@pytest.mark.parametrize("num", [17, 20])
def test_a_steep_branch_is_not_left_for_another_that_runs_beside_it(num):
    values, start = jnp.linspace(-1.0, 1.0, num), jnp.array([-5.0])
    branches = analysis.eigenvalue_branches(lambda p: parallel(p)[1], values, start)
    assert np.all(branches.found)
    np.testing.assert_allclose(branches.ys[:, 0], parallel(values)[0], atol=EIGENVALUES)
    best = analysis.optimal_parameter(lambda p: parallel(p)[1], values, start)
    assert float(best.value) == pytest.approx(0.021, abs=1e-7) and float(best.rate) == pytest.approx(4.5, abs=1e-9)

    def crossing(p):
        return lambda t, x, args: parallel(p)[1](t, x, args) * (0.021 - p)

    (found,) = analysis.critical_parameters(crossing, values, start)
    assert found.kind == "crossing" and found.value == pytest.approx(0.021, abs=CRITICAL)
    assert float(analysis.critical_parameter(crossing, -1.0, 1.0, start)) == pytest.approx(0.021, abs=CRITICAL)
