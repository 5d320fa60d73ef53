"""What the local theory needs of a loss: by its formula, beside the Jacobian of the field and by hand."""

import functools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, distributions, fields, games, losses, regularizers
from gan_ode.analysis import theory
from gan_ode.games import Players
from tests.loss_facts import LOSSES, PAIRS

# Derivatives of a few exponentials: measured 2e-15.
ROUNDING = 1e-13
# What is asked of spectra; measured 1e-15.
STATED = 1e-9

EVERY = LOSSES | PAIRS


@functools.cache
def found():
    """Of every loss the numbers: one program."""
    return jax.jit(lambda: {name: facts.make().at_equilibrium() for name, facts in EVERY.items()})()


# Of one kind each.
KINDS = (
    "minimax", "hinge", "neyman_chi_squared", "squared_hellinger_non_saturating", "alpha_half", "f_divergence",
    "least_squares_labels", "le_cam", "relativistic_least_squares", "relativistic_average_minimax",
)  # fmt: skip


@functools.cache
def jacobians():
    """The Jacobian of the linear-quadratic GAN with a bias, and the velocity, at the equilibrium: one program."""

    def measure(name):
        y = Players(jnp.stack([jnp.zeros(()), found()[name].score]), jnp.ones(()))
        field = fields.GameField(Biased(EVERY[name].make()))
        return analysis.jacobian(field, y, check=False), field(0.0, y, None)

    return jax.jit(lambda: {name: measure(name) for name in KINDS})()


class Biased(games.AbstractSampledGame):
    """D(x) = w x^2 + b and G(z) = a z, data and latent points uniform on [-1, 1]: everything can score alike."""

    loss: losses.AbstractObjective

    def discriminate(self, discriminator, x):
        return discriminator[0] * x**2 + discriminator[1]

    def generate(self, generator, z):
        return generator * z

    def measures(self, y, args):
        uniform = distributions.Uniform().quadrature(12)
        return uniform, uniform


def numbers_by_hand(name):
    """Slope, curvature, cross and the generator's slope, from the curves of the catalogue by central differences."""
    facts = EVERY[name]
    if name in PAIRS:
        base, h = facts.base, 1e-5
        bend = (base.slope_of_data(h) - base.slope_of_data(-h)) / (2 * h)
        twice = 2 if facts.average else 1
        return twice * base.slope_of_data(0.0), bend, -bend, twice * base.slope_of_generator(0.0)
    return facts.slope, facts.curvature, 0.0, facts.slope_of_generator(facts.score)


@pytest.mark.parametrize("name", EVERY)
def test_the_numbers_are_those_by_hand(name):
    numbers = found()[name]
    slope, curvature, cross, generator_slope = numbers_by_hand(name)
    # The curvature of a pair by differences: measured 1e-11.
    near = ROUNDING if name in LOSSES else 1e-9
    np.testing.assert_allclose(numbers.score, getattr(EVERY[name], "score", 0.0), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(numbers.slope, slope, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(numbers.curvature, curvature, rtol=0, atol=near)
    np.testing.assert_allclose(numbers.cross, cross, rtol=0, atol=near)
    np.testing.assert_allclose(numbers.generator_slope, generator_slope, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", KINDS)
def test_the_jacobian_is_made_of_the_numbers(name):
    numbers, (jacobian, velocity) = found()[name], jacobians()[name]
    np.testing.assert_allclose(jax.tree.leaves(velocity)[0], 0, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(jax.tree.leaves(velocity)[1], 0, rtol=0, atol=ROUNDING)
    # E x^4 = 1/5, E x^2 = 1/3, and the derivative of E (a z)^2 is 2/3.
    k_dd, mean, k_dg = np.array([[1 / 5, 1 / 3], [1 / 3, 1]]), np.array([1 / 3, 1]), np.array([-2 / 3, 0])
    damping = 2 * (float(numbers.curvature) * k_dd + float(numbers.cross) * np.outer(mean, mean))
    expected = np.zeros((3, 3))
    expected[:2, :2], expected[:2, 2] = damping, float(numbers.slope) * k_dg
    expected[2, :2] = float(numbers.generator_slope) * k_dg
    np.testing.assert_allclose(jacobian, expected, rtol=0, atol=ROUNDING)


def test_slope_and_curvature_are_those_numbers():
    for loss in (losses.KL(), losses.LeastSquares(0, 1, 1), losses.Relativistic(losses.Minimax())):
        numbers = loss.at_equilibrium()
        assert loss.slope == numbers.slope and loss.curvature == numbers.curvature
    assert losses.Minimax().slope == 1 / 2 and losses.Minimax().curvature == -1 / 4


# What must come out.

PARTS = {
    "kl": (-1 / 10, 4 / 9),
    "reverse_kl": (-1 / 10, 4 / 9),
    "pearson_chi_squared": (-1 / 20, 4 / 9),
    "neyman_chi_squared": (-1 / 20, 4 / 9),
    "squared_hellinger": (-1 / 5, 4 / 9),
    "squared_hellinger_non_saturating": (-1 / 5, 4 / 9),
    "jensen_shannon": (-1 / 20, 1 / 9),
    "minimax": (-1 / 20, 1 / 9),
    "alpha_half": (-1 / 10, 4 / 9),
    "alpha_three_halves": (-1 / 10, 4 / 9),
    # f''(1) = 2, as of Pearson.
    "f_divergence": (-1 / 20, 4 / 9),
    "maximum_likelihood": (-1 / 20, 1 / 9),
    "relativistic_minimax": (-1 / 45, 1 / 9),
    "relativistic_non_saturating": (-1 / 45, 1 / 9),
    "relativistic_average_minimax": (-1 / 45, 4 / 9),
    # J = [[-4 lambda / 5, -2 (1 - 2 lambda alpha) / 3], [2/3, 0]].
    "le_cam": (-0.12, 0.88 * 4 / 9),
}


@functools.cache
def spectra():
    def spectrum(facts):
        game = games.LinearQuadratic(facts.make())
        return analysis.spectrum(fields.GameField(game), game.equilibrium, check=False)

    return jax.jit(lambda: {name: spectrum(EVERY[name]) for name in PARTS})()


@pytest.mark.parametrize("name", PARTS)
def test_the_eigenvalues_of_the_linear_quadratic_gan_are_as_stated(name):
    real, determinant = PARTS[name]
    half = 1j * np.sqrt(determinant - real**2)
    np.testing.assert_allclose(spectra()[name], [real + half, real - half], rtol=0, atol=STATED)


def dirac_with_r1(loss, gamma):
    game = regularizers.Penalized(games.Dirac(loss), regularizers.R1(gamma))
    return analysis.spectrum(fields.GameField(game), Players(jnp.zeros(()), jnp.zeros(())), check=False)


def test_relativistic_pairing_with_r1_is_the_usual_loss_with_r1_on_the_dirac_gan():
    weights = jnp.array([0.3, 0.7, 2.0])
    ours = jax.jit(jax.vmap(lambda gamma: dirac_with_r1(losses.Relativistic(losses.Minimax()), gamma)))(weights)
    half = np.sqrt(weights.astype(complex) ** 2 / 4 - 1 / 4)
    np.testing.assert_allclose(ours, np.stack([-weights / 2 + half, -weights / 2 - half], axis=1), rtol=0, atol=STATED)


# Where it rests.


class Unbalanced(losses.AbstractScoreLoss):
    """Data are paid more for a higher score than samples for a lower one, whatever the scores are."""

    zero_sum: ClassVar[bool] = True
    degree: ClassVar[int | None] = 1

    def data(self, score):
        return 2 * score

    def sample(self, score):
        return -score

    def generator(self, score):
        return -score


def test_without_a_score_of_equilibrium_nothing_is_said():
    assert np.isnan(Unbalanced().at_equilibrium().score) and np.isnan(Unbalanced().slope)


def test_the_labels_can_be_swept_and_differentiated():
    def curvature_and_slope(b):
        numbers = losses.LeastSquares(0.0, b, 1.0).at_equilibrium()
        return numbers.score, numbers.slope

    score, slope = jax.vmap(curvature_and_slope)(jnp.array([0.5, 1.0, 2.0]))
    np.testing.assert_allclose(score, [0.25, 0.5, 1.0], rtol=ROUNDING)
    np.testing.assert_allclose(slope, [0.25, 0.5, 1.0], rtol=ROUNDING)
    np.testing.assert_allclose(jax.grad(lambda b: curvature_and_slope(b)[1])(1.0), 0.5, rtol=ROUNDING)


# The theory.


def at(score):
    return Players(jnp.array([0.0, score]), jnp.ones(()))


def test_the_assumptions_hold_at_a_score_that_is_not_zero():
    assumed = theory.assumptions(Biased(losses.LeastSquares(0.0, 1.0, 1.0)), at(0.5))
    assert bool(assumed.all_hold) and float(assumed.mismatch) < ROUNDING
    # Slopes 1/2 and -1/2, curvature -1.
    expected = [[-2 / 5, -2 / 3, -1 / 3], [-2 / 3, -2, 0], [1 / 3, 0, 0]]
    np.testing.assert_allclose(assumed.assembled, expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(
        assumed.guaranteed_etas[1], 1 / (2 * np.max(np.linalg.eigvalsh([[0.4, 2 / 3], [2 / 3, 2]])))
    )
    # At the score of the default labels it is no equilibrium.
    assert not bool(theory.assumptions(Biased(losses.LeastSquares(0.0, 1.0, 1.0)), at(0.0)).realizability.holds)


@pytest.mark.parametrize("average", [False, True])
def test_a_bias_rests_where_differences_are_paid(average):
    loss = (losses.RelativisticAverage if average else losses.Relativistic)(losses.Minimax())
    assumed = theory.assumptions(Biased(loss), at(0.8))
    assert float(assumed.mismatch) < ROUNDING and bool(assumed.still)
    # Realized at any score; the bias is a flat direction, and the rest of it is as stated.
    assert assumed.realizability.verdict == "holds"
    assert assumed.full_rank.verdict == "holds in the relaxed form" and bool(assumed.all_hold)
    assert float(assumed.full_rank.measures["nullity of K_DD"]) == 1
    values = np.asarray(assumed.eigenvalues)
    half = np.sqrt((4 if average else 1) / 9 - 1 / 45**2)
    np.testing.assert_allclose(values, [0, -1 / 45 + 1j * half, -1 / 45 - 1j * half], rtol=0, atol=STATED)
    assert float(values[1].real) <= float(assumed.bounds.oscillating) + ROUNDING


@pytest.mark.parametrize(
    ("loss", "damping", "swing"), [(losses.KL(), 1 / 5, 2 / 3), (losses.SquaredHellinger(), 2 / 5, 2 / 3)]
)
def test_the_theory_of_an_f_gan_with_the_gradient_norm(loss, damping, swing):
    game, eta = games.LinearQuadratic(loss), 0.4
    assumed = theory.assumptions(regularizers.Penalized(game, regularizers.GradientNorm(eta)), game.equilibrium)
    expected = [[-damping, -swing], [swing * (1 - 2 * eta * damping), -2 * eta * swing**2]]
    np.testing.assert_allclose(assumed.assembled, expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(assumed.jacobian, expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(assumed.guaranteed_etas, [0, 1 / (2 * damping)], rtol=1e-9)


# Minibatches, weights, networks.


def test_rows_of_a_minibatch_are_pairs_and_points_with_weights_all_pairs():
    loss = losses.Relativistic(losses.NonSaturating())
    real, made = np.array([0.3, -0.2, 1.1]), np.array([0.5, 0.0, -0.7])

    def pay(apart):
        return -np.logaddexp(0, -apart)

    even = np.full(3, 1 / 3)
    rows = losses.Scores(*map(jnp.asarray, (real, made, even, even)), rows=True)
    np.testing.assert_allclose(loss.value(rows), np.mean(pay(real - made)), rtol=ROUNDING)
    np.testing.assert_allclose(loss.cost(rows), -np.mean(pay(made - real)), rtol=ROUNDING)
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])
    every = losses.Scores(*map(jnp.asarray, (real, made, p, q)))
    np.testing.assert_allclose(loss.value(every), p @ pay(real[:, None] - made[None, :]) @ q, rtol=ROUNDING)
    few = losses.Scores(jnp.asarray(real), jnp.asarray(made[:2]), jnp.asarray(even), jnp.asarray(q[:2]), rows=True)
    with pytest.raises(ValueError, match="`args` must hold as many data as latent points for a loss of pairs"):
        loss.value(few)


def test_games_hand_on_how_their_points_were_drawn():
    game = games.LinearQuadratic(losses.Relativistic(losses.Minimax()))
    y = Players(jnp.array(0.7), jnp.array(1.2))
    data, latent = np.array([0.3, -0.9]), np.array([0.6, 0.1])
    real, made = 0.7 * data**2, 0.7 * (1.2 * latent) ** 2
    rows = game.losses(y, (jnp.asarray(data), jnp.asarray(latent))).discriminator
    np.testing.assert_allclose(rows, np.mean(np.logaddexp(0, made - real)), rtol=ROUNDING)
    batch = tuple(distributions.equal_weights(jnp.asarray(part)) for part in (data, latent))
    every = game.losses(y, batch).discriminator
    np.testing.assert_allclose(every, np.mean(np.logaddexp(0, made[None, :] - real[:, None])), rtol=ROUNDING)


class Hidden(losses.Relativistic):
    """Pays another pair than what it inherits its claims from."""

    def generator_pair(self, real, made):
        return 3 * self.base.generator(made - real)


def test_what_a_class_made_of_a_loss_of_pairs_writes_anew_is_followed():
    assert not Hidden(losses.Minimax()).trusted_zero_sum and Hidden(losses.Minimax()).zero_sum
    game = games.LinearQuadratic(Hidden(losses.Minimax()))
    assert not game.zero_sum
    usual = games.LinearQuadratic(losses.Relativistic(losses.Minimax()))
    y = Players(jnp.array(0.7), jnp.array(1.2))
    ours, theirs = (eqx.filter_jit(fields.GameField(each))(0.0, y) for each in (game, usual))
    np.testing.assert_allclose(ours.generator, 3 * theirs.generator, rtol=ROUNDING)
