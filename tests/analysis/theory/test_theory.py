"""The theory of Nagarajan and Kolter as numbers: its matrices, assumptions, Jacobian, bounds and ranges."""

import functools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy.spatial.distance import cdist

from gan_ode import distributions, fields, games, losses, regularizers
from gan_ode.analysis import theory
from gan_ode.distributions import Quadrature
from gan_ode.games import Players

# Sums of 40 nodes, and blocks of order one; measured 3e-16.
MATRIX = 1e-12
# Ends of intervals, by bisection of an abscissa that is known to 100 roundings; measured 5e-14.
BISECTION = 1e-10

MINIMAX, WASSERSTEIN = losses.Minimax(), losses.Wasserstein()
ORIGIN = Players(jnp.zeros(()), jnp.zeros(()))


def penalized(game, eta):
    return regularizers.Penalized(game, regularizers.GradientNorm(eta))


def at(game):
    return game.equilibrium


@functools.cache
def lq(name, eta=0.0, scale=1.0):
    loss = {
        "JS": MINIMAX, "W": WASSERSTEIN, "NS": losses.NonSaturating(), "LS": losses.LeastSquares(),
    }[name]  # fmt: skip
    game = games.LinearQuadratic(loss, scale)
    return theory.assumptions(penalized(game, eta), at(game))


@functools.cache
def lq4(name, eta=0.0):
    game = games.LinearQuadratic({"JS": MINIMAX, "W": WASSERSTEIN}[name], linear=True, offset=True)
    return theory.assumptions(penalized(game, eta), at(game))


# Matrices


@pytest.mark.parametrize("name", ["JS", "NS", "LS"])
def test_the_kernels_of_the_linear_quadratic_gan_are_the_papers(name):
    found = lq(name)
    np.testing.assert_allclose(found.k_dd, [[1 / 5]], rtol=0, atol=MATRIX)
    np.testing.assert_allclose(found.k_dg, [[-2 / 3]], rtol=0, atol=MATRIX)


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("name", ["JS", "NS"])
def test_the_assembled_jacobian_is_the_papers(name, eta):
    expected = [[-1 / 10, -1 / 3], [1 / 3 - eta / 15, -2 * eta / 9]]
    np.testing.assert_allclose(lq(name, eta).assembled, expected, rtol=0, atol=MATRIX)
    np.testing.assert_allclose(lq(name, eta).jacobian, expected, rtol=0, atol=MATRIX)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("W", lambda eta: ([9, 8 * eta, 4], [1, 2 * eta, 1], 9)),
        ("JS", lambda eta: ([90, 9 + 20 * eta, 10], [12, 2 + 6 * eta, 3], 1080)),
    ],
)
def test_the_assembled_jacobian_of_four_parameters_has_the_stated_characteristic_polynomial(name, factors):
    eta = 0.7
    first, second, scale = factors(eta)
    expected = np.polymul(first, second) / scale
    np.testing.assert_allclose(np.poly(np.asarray(lq4(name, eta).assembled)), expected, rtol=0, atol=MATRIX)
    assert float(lq4(name, eta).mismatch) < MATRIX


@functools.cache
def network():
    """A discriminator of two layers, its last weights zero so that D = 0; the generator is the identity."""
    d_key, g_key = jax.random.split(jax.random.key(0))
    discriminator = eqx.nn.MLP(2, "scalar", 5, 1, activation=jnp.tanh, key=d_key)
    last = lambda mlp: (mlp.layers[-1].weight, mlp.layers[-1].bias)  # noqa: E731
    discriminator = eqx.tree_at(last, discriminator, [jnp.zeros((1, 5)), jnp.zeros(1)])
    generator = eqx.nn.Linear(2, 2, key=g_key)
    generator = eqx.tree_at(lambda g: (g.weight, g.bias), generator, (jnp.eye(2), jnp.zeros(2)))
    normal = distributions.Normal(2)
    game = games.GAN(discriminator, generator, MINIMAX, data=normal, latent=normal)
    eta = 0.4
    return game, theory.assumptions(penalized(game, eta), game.players, args=game.quadrature(8))


def test_the_assembled_jacobian_of_networks_is_that_of_the_field():
    game, found = network()
    assert found.jacobian.shape == (27, 27)
    assert float(found.residual) < MATRIX and float(found.mismatch) < MATRIX
    # By central differences of the field.
    flat, restore = jax.flatten_util.ravel_pytree(game.players)
    field = fields.GameField(penalized(game, 0.4))
    step = 1e-5
    velocity = jax.jit(jax.vmap(lambda x: jax.flatten_util.ravel_pytree(field(0.0, restore(x), game.quadrature(8)))[0]))
    shifts = step * jnp.eye(flat.size)
    slopes = (velocity(flat + shifts) - velocity(flat - shifts)) / (2 * step)
    # Third differences of order one times step^2; measured 4e-11.
    np.testing.assert_allclose(found.assembled, slopes.T, rtol=0, atol=1e-8)


def test_the_layer_before_a_zero_one_is_flat():
    _, found = network()
    assert found.realizability.verdict == "holds"
    assert found.full_rank.verdict == "holds in the relaxed form"
    # The ten weights and five biases of the first layer do nothing while the last is zero; and tanh is odd, so that of
    # a symmetric distribution the five last weights and the bias all have independent scores.
    assert float(found.full_rank.measures["nullity of K_DD"]) == 15


@pytest.mark.parametrize("order", ["outside", "inside"])
def test_other_penalties_add_their_curvature(order):
    gamma, eta = 0.3, 0.4
    game = games.LinearQuadratic(MINIMAX)
    if order == "outside":
        game = regularizers.Penalized(penalized(game, eta), regularizers.R1(gamma))
    else:
        game = penalized(regularizers.Penalized(game, regularizers.R1(gamma)), eta)
    found = theory.assumptions(game, Players(jnp.zeros(()), jnp.ones(())))
    # |D'(x)|^2 = 4 w^2 x^2, so that R1 damps w by 4 gamma / 3; the regularizer sees that only from outside.
    damping = 1 / 10 + 4 * gamma / 3
    seen = 1 / 10 if order == "outside" else damping
    expected = [[-damping, -1 / 3], [1 / 3 - 2 * eta * seen / 3, -2 * eta / 9]]
    np.testing.assert_allclose(found.assembled, expected, rtol=0, atol=MATRIX)
    assert float(found.mismatch) < MATRIX
    # The theorem's shear has all of the damping in it, or does not apply.
    assert np.isfinite(float(found.bounds.real)) == (order == "inside")


# Assumptions


def test_all_assumptions_hold_for_the_usual_gan_the_support_in_the_relaxed_form():
    found = lq("JS")
    assert bool(found.all_hold)
    verdicts = [a.verdict for a in (found.realizability, found.curvature, found.full_rank, found.fixed_support)]
    assert verdicts == ["holds", "holds", "holds", "holds in the relaxed form"]
    assert float(found.realizability.margin) == 0
    assert float(found.curvature.margin) == 1 / 4
    np.testing.assert_allclose(found.full_rank.margin, 1 / 5, rtol=0, atol=MATRIX)
    # The outermost of 40 Gauss-Legendre nodes moves with a.
    edge = np.max(np.polynomial.legendre.leggauss(40)[0])
    np.testing.assert_allclose(found.fixed_support.measures["speed of the edge"], edge, rtol=0, atol=MATRIX)


def test_the_wasserstein_gan_has_no_curvature():
    found = lq("W")
    assert found.curvature.verdict == "fails" and float(found.curvature.margin) == 0
    assert not bool(found.all_hold)


class Bent(games.AbstractSampledGame):
    """D(x) = w x and G(z) = z + a (1 - z^2): the ends of the support stay where they are."""

    loss: losses.AbstractLoss

    def discriminate(self, discriminator, x):
        return discriminator * x

    def generate(self, generator, z):
        return z + generator * (1 - z**2)

    def measures(self, y, args):
        # Gauss-Lobatto with five nodes: exact to degree 7, with nodes at both ends.
        inner = np.sqrt(3 / 7)
        nodes = jnp.array([-1.0, -inner, 0.0, inner, 1.0])
        weights = jnp.array([1 / 20, 49 / 180, 16 / 45, 49 / 180, 1 / 20])
        return Quadrature(nodes, weights), Quadrature(nodes, weights)


def test_a_support_that_does_not_move_is_seen():
    found = theory.assumptions(Bent(MINIMAX), ORIGIN)
    assert found.fixed_support.verdict == "holds" and bool(found.all_hold)
    np.testing.assert_allclose(found.k_dd, [[1 / 3]], rtol=0, atol=MATRIX)
    # E (z + a (1 - z^2)) = 2 a / 3.
    np.testing.assert_allclose(found.k_dg, [[-2 / 3]], rtol=0, atol=MATRIX)
    assert float(found.mismatch) < MATRIX


def test_the_dirac_gan_fails_by_its_support():
    found = theory.assumptions(games.Dirac(MINIMAX), ORIGIN)
    # K_DD = E x^2 = 0 at the data, and flat: every slope is 0 there. But D = psi x is not 0 where theta moves to.
    assert found.full_rank.verdict == "holds in the relaxed form"
    assert found.fixed_support.verdict == "fails"
    np.testing.assert_allclose(found.fixed_support.margin, -1, rtol=0, atol=1e-9)
    assert np.isnan(found.guaranteed_etas).all() and np.isnan(float(found.bounds.real))


def test_a_free_parameter_of_the_generator_is_a_flat_null_space():
    game = games.LinearQuadratic(MINIMAX, linear=True, quadratic=False, offset=True)
    found = theory.assumptions(game, at(game))
    assert found.full_rank.verdict == "holds in the relaxed form" and bool(found.all_hold)
    np.testing.assert_allclose(found.full_rank.margin, 1 / 3, rtol=0, atol=MATRIX)
    # On the complement: J = [[-1/6, -1/2], [1/2, 0]].
    np.testing.assert_allclose(found.guaranteed_etas, [0, 3], rtol=0, atol=MATRIX)
    np.testing.assert_allclose(found.stable_etas[0], -1 / 3, rtol=0, atol=BISECTION)


def test_a_null_space_along_which_scores_grow_fails():
    class Product(Bent):
        """D(x) = u v x: at u = v = 0 its gradient vanishes, but not its scores near by."""

        def discriminate(self, discriminator, x):
            return discriminator[0] * discriminator[1] * x

    found = theory.assumptions(Product(MINIMAX), Players(jnp.zeros(2), jnp.zeros(())))
    assert found.full_rank.verdict == "fails" and float(found.full_rank.margin) < 0


def test_the_energy_distance_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) + 0.5
    across, within = cdist(left, right).mean(), cdist(left, left).mean() + cdist(right, right).mean()
    expected = np.sqrt((2 * across - within) / (2 * across))
    measured = theory.energy_distance(
        distributions.equal_weights(jnp.asarray(left)), distributions.equal_weights(jnp.asarray(right))
    )
    np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-12)


# Data that the generator cannot make


class Square(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return self.weight * x**2


class Scale(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return self.weight * z


@functools.cache
def normal_by_uniform():
    # E x^2 = 1 = a^2 / 3.
    game = games.GAN(
        Square(jnp.zeros(())),
        Scale(jnp.sqrt(jnp.asarray(3.0))),
        MINIMAX,
        data=distributions.Normal(),
        latent=distributions.Uniform(),
    )
    return theory.assumptions(game, game.players, args=game.quadrature(40))


def test_a_normal_learnt_by_a_uniform_generator_is_an_equilibrium_of_moments_and_not_realized():
    found = normal_by_uniform()
    assert float(found.residual) < MATRIX and float(found.feature_gap) < MATRIX
    assert found.realizability.verdict == "fails" and float(found.realizability.margin) < -0.05
    assert "The generator does not make the data. The moments that the discriminator sees match" in str(found)


def test_where_data_are_not_realized_the_assembled_jacobian_does_not_apply():
    found = normal_by_uniform()
    swing = np.sqrt(3) / 3
    # J_DD = f''(0) (E_data x^4 + E_G x^4) = -(3 + 9/5) / 4, and twice the first in the theory.
    np.testing.assert_allclose(found.jacobian, [[-1.2, -swing], [swing, 0]], rtol=0, atol=MATRIX)
    np.testing.assert_allclose(found.assembled, [[-1.5, -swing], [swing, 0]], rtol=0, atol=MATRIX)
    np.testing.assert_allclose(found.mismatch, 0.3 / np.sqrt(1.2**2 + 2 / 3), rtol=0, atol=MATRIX)
    assert np.isnan(found.guaranteed_etas).all() and "does not apply" in str(found)
    # The field's own: trace -1.2 - 2 eta / 3.
    np.testing.assert_allclose(found.stable_etas[0], -1.8, rtol=0, atol=BISECTION)


def test_away_from_an_equilibrium_nothing_follows():
    found = theory.assumptions(games.LinearQuadratic(MINIMAX), Players(jnp.asarray(0.2), jnp.asarray(1.1)))
    assert "Not an equilibrium" in str(found)
    assert np.isnan(found.guaranteed_etas).all()


@pytest.mark.parametrize("y", [(0.2, 1.1), (0.0, 1.6), (0.0, 1.0001)])
def test_weights_are_stable_at_an_equilibrium_alone(y):
    state = Players(jnp.asarray(y[0]), jnp.asarray(y[1]))
    found = theory.assumptions(games.LinearQuadratic(MINIMAX), state)
    assert not found.still and "Not an equilibrium" in str(found) and "Stability" not in str(found)
    assert np.isnan(found.stable_etas).all() and np.isnan(found.bounds.real)
    assert not np.isnan(theory.assumptions(games.LinearQuadratic(MINIMAX), state, check=False).stable_etas).any()


class KinkedLoss(losses.AbstractLoss):
    """A loss with a kink at a score of 0: automatic differentiation has a slope there, and no curvature."""

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = None

    def f(self, score):
        return score - 0.3 * jnp.abs(score)

    def generator(self, score):
        return self.f(-score)


@pytest.mark.parametrize(
    ("game", "y"),
    [
        (regularizers.Penalized(games.Dirac(losses.Wasserstein()), regularizers.WGANGP(0.7, 1.0)), (0.0, 0.0)),
        (games.Dirac(losses.Hinge()), (2.0, 0.5)),
        (games.LinearQuadratic(KinkedLoss()), (0.0, 1.0)),
    ],
    ids=["WGAN-GP", "hinge", "kink at 0"],
)
def test_where_the_velocity_jumps_nothing_of_the_theory_is_said(game, y):
    state = Players(*map(jnp.asarray, y))
    with pytest.raises(ValueError, match="`y` must be a state around which the field is smooth"):
        theory.assumptions(game, state)
    traced = jax.jit(lambda y: theory.assumptions(game, y))(state)
    assert np.isnan(traced.jacobian).all() and np.isnan(traced.eigenvalues).all()
    assert np.isnan(traced.stable_etas).all() and np.isnan(traced.guaranteed_etas).all()


# Bounds and ranges


def assembled(damping, coupling, eta):
    corner = -2 * eta * coupling.T @ coupling
    back = -coupling.T @ (np.eye(len(damping)) - 2 * eta * damping)
    return np.block([[-damping, coupling], [back, corner]])


@pytest.mark.parametrize("undamped", [False, True])
def test_no_eigenvalue_of_random_matrices_is_above_the_bounds(undamped):
    rng = np.random.default_rng(0)
    tightest = {"real": np.inf, "pair": np.inf}
    for _ in range(300):
        root = rng.normal(size=(4, 4)) * 10 ** rng.uniform(-1, 1)
        damping = 0 * root if undamped else root @ root.T
        coupling = rng.normal(size=(4, 3)) * 10 ** rng.uniform(-1, 1)
        eta = 10 ** rng.uniform(-2, 2) * rng.integers(0 if not undamped else 1, 2)
        values = np.linalg.eigvals(assembled(damping, coupling, eta))
        size = np.max(np.abs(values))
        values = values[np.abs(values) > 1e-7 * size]
        bounds = theory.eigenvalue_bounds(jnp.asarray(damping), jnp.asarray(coupling), eta)
        turns = np.abs(values.imag) > 1e-7 * size
        for name, some, bound in (("real", values[~turns], bounds.real), ("pair", values[turns], bounds.oscillating)):
            assert np.all(some.real <= float(bound) + 1e-9 * size)
            tightest[name] = min(tightest[name], *(some.real / float(bound)), np.inf)
    # And they are not idle: some eigenvalue comes near. Measured 1.0 to 1.6.
    assert tightest["real"] < 3 and tightest["pair"] < 3


@pytest.mark.parametrize(
    ("damping", "coupling", "real", "pair"),
    [
        # q = 1, q* = 4, p = 9: 9 / (4 + 9).
        ([1.0, 4.0], [[3.0], [0.0]], -9 / 13, -1 / 2),
        ([0.0, 0.0], [[3.0], [0.0]], 0.0, 0.0),
    ],
)
def test_the_bounds_without_regularizer_are_the_papers(damping, coupling, real, pair):
    bounds = theory.eigenvalue_bounds(jnp.diag(jnp.array(damping)), jnp.array(coupling))
    np.testing.assert_allclose([bounds.real, bounds.oscillating], [real, pair], rtol=0, atol=MATRIX)


@pytest.mark.parametrize("name", ["JS", "W", "LS"])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_spectra_of_the_linear_quadratic_gan_keep_the_bounds(name, eta):
    found = lq(name, eta)
    values = np.asarray(found.eigenvalues)
    assert np.all(np.abs(values.imag) > 0.1)
    assert np.all(values.real <= float(found.bounds.oscillating) + MATRIX)


@pytest.mark.parametrize(
    ("name", "guaranteed", "lowest"),
    [
        # -J_DD = 1/10; the trace -1/10 - 2 eta / 9 is 0 at -9/20.
        ("JS", [0, 5], -9 / 20),
        ("NS", [0, 5], -9 / 20),
        # J_DD = -2/5, J_DG = -2/3.
        ("LS", [0, 5 / 4], -9 / 20),
        ("W", [0, np.inf], 0.0),
    ],
)
def test_the_theorem_guarantees_less_than_is_true(name, guaranteed, lowest):
    for eta in (0.0, 0.5):
        found = lq(name, eta)
        np.testing.assert_allclose(found.guaranteed_etas, guaranteed, rtol=0, atol=MATRIX)
        np.testing.assert_allclose(found.stable_etas[0], lowest, rtol=0, atol=BISECTION)
        # No upper end: found stable as far as the scan goes, a thousand over the norm.
        assert float(found.stable_etas[1]) == float(found.scanned) > 1000


def test_the_range_of_four_parameters_ends_where_the_first_pair_crosses():
    # 9 + 20 eta and 2 + 6 eta.
    np.testing.assert_allclose(lq4("JS").stable_etas[0], -1 / 3, rtol=0, atol=BISECTION)
    # The largest of -J_DD is 1/6.
    np.testing.assert_allclose(lq4("JS").guaranteed_etas, [0, 3], rtol=0, atol=MATRIX)


def test_an_interval_with_both_ends_is_bracketed():
    # Of no GAN, since those have no upper end.
    matrix = np.array([[0.0, -3.0, -1.0], [1.0, -1.0, -1.0], [1.0, 3.0, -3.0]])

    def abscissa(eta):
        shear = np.eye(3)
        shear[2:, :2] = -2 * eta * matrix[:2, 2:].T
        return np.linalg.eigvals(shear @ matrix).real.max()

    ends, _ = theory.stable_etas(jnp.asarray(matrix), 2)
    assert abscissa(float(ends.mean())) < -0.1
    low, high = scipy.optimize.brentq(abscissa, -1, 0, xtol=1e-13), scipy.optimize.brentq(abscissa, 3, 100, xtol=1e-13)
    np.testing.assert_allclose(ends, [low, high], rtol=0, atol=BISECTION)


def test_what_is_stable_for_no_weight_has_no_range():
    ends, _ = theory.stable_etas(jnp.array([[1.0, 0.0], [0.0, 1.0]]), 1)
    assert np.isnan(ends).all()


# Composition


def test_the_numbers_can_be_swept_by_vmap():
    widths = jnp.array([0.8, 1.0, 1.5])

    def measure(width):
        game = games.LinearQuadratic(MINIMAX, width)
        found = theory.assumptions(game, at(game))
        return found.k_dd[0, 0], found.stable_etas[0], found.guaranteed_etas[1], found.all_hold

    k_dd, low, high, hold = jax.vmap(measure)(widths)
    np.testing.assert_allclose(k_dd, widths**4 / 5, rtol=0, atol=MATRIX)
    # Trace -c^4/10 - 2 eta c^2/9.
    np.testing.assert_allclose(low, -9 * widths**2 / 20, rtol=0, atol=10 * BISECTION)
    np.testing.assert_allclose(high, 5 / widths**4, rtol=0, atol=10 * MATRIX)
    assert np.all(hold)


def test_single_precision_reaches_the_same_verdicts():
    game = games.LinearQuadratic(MINIMAX)
    found = theory.assumptions(game, Players(jnp.float32(0), jnp.float32(1)))
    assert found.jacobian.dtype == jnp.float32 and bool(found.all_hold)
    # Single precision; measured 3e-6.
    np.testing.assert_allclose(found.stable_etas[0], -9 / 20, rtol=0, atol=1e-3)


def test_a_game_without_samples_is_refused():
    with pytest.raises(ValueError, match="`game` must score samples"):
        theory.assumptions(games.Bilinear(jnp.eye(2)), Players(jnp.zeros(2), jnp.zeros(2)))


def test_the_penalties_of_a_game_are_unwrapped_from_the_inside():
    game = games.Dirac(MINIMAX)
    inner, outer = regularizers.R1(0.3), regularizers.GradientNorm(0.4)
    unwrapped, penalties = regularizers.unwrap(regularizers.Penalized(regularizers.Penalized(game, inner), outer))
    assert unwrapped is game and penalties == (inner, outer)
    assert regularizers.unwrap(game) == (game, ())
