"""Penalties: what they add to the losses, and the fields that follow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from jax.flatten_util import ravel_pytree

from gan_ode import games, losses
from gan_ode.fields import GameField
from gan_ode.games import Dirac, LinearQuadratic, Players
from gan_ode.regularizers import AbstractPenalty, Adjusted, Consensus, GradientNorm, Penalized, R1, R2, WGANGP
from tests.catalogue import damped_linear_quadratic, flat, gan, LOSSES, players, sigmoid

# Sums of some ten terms: measured 8e-15.
ROUNDING = 1e-13
# Quadrature against the same quadrature, of networks: measured 3e-17.
SHEAR = 1e-12


@eqx.filter_jit
def velocity(game, y, args=None):
    return GameField(game)(0.0, y, args)


@eqx.filter_jit
def losses_of(game, y):
    return game.losses(y, None)


@eqx.filter_jit
def jacobian(game, y):
    numbers, back = ravel_pytree(y)
    return jax.jacfwd(lambda x: ravel_pytree(GameField(game)(0.0, back(x)))[0])(numbers)


coordinates = st.floats(-3, 3, allow_subnormal=False)


@given(w=coordinates, a=coordinates, eta=st.floats(0, 5, allow_subnormal=False))
def test_the_damped_linear_quadratic_wasserstein_field_is_a_polynomial(w, a, eta):
    game = Penalized(LinearQuadratic(losses.Wasserstein()), GradientNorm(eta))
    expected = damped_linear_quadratic(np.array([w, a]), eta)
    np.testing.assert_allclose(
        flat(velocity(game, players(w, a))), expected, rtol=0, atol=ROUNDING * (1 + np.abs(expected).max())
    )


def _plain_shear(game, y, args, eta):
    """The plain field F and the whole shear times F, with the cross derivative B taken column by column."""
    field = GameField(game)
    _, back = ravel_pytree(y.generator)
    numbers = ravel_pytree(y.generator)[0]

    def steepest(g):
        return ravel_pytree(field(0.0, Players(y.discriminator, back(g)), args).discriminator)[0]

    cross = jax.jacfwd(steepest)(numbers)
    plain = field(0.0, y, args)
    d, g = ravel_pytree(plain.discriminator)[0], ravel_pytree(plain.generator)[0]
    return jnp.concatenate([d, g - 2 * eta * cross.T @ d])


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "wasserstein"])
def test_the_gradient_norm_shears_the_field_of_networks(loss):
    game = gan(LOSSES[loss].make())
    args = (jnp.array([[1.0, 0.5], [-2.0, 0.3]]), jnp.array([[0.2], [-0.7], [1.1]]))
    eta = 0.8
    expected = jax.jit(lambda y: _plain_shear(game, y, args, eta))(game.players)
    sheared = flat(velocity(Penalized(game, GradientNorm(eta)), game.players, args))
    np.testing.assert_allclose(sheared, expected, rtol=0, atol=SHEAR)
    assert np.abs(sheared - flat(velocity(game, game.players, args))).max() > 1e-3


def test_the_gradient_norm_keeps_the_determinant_of_the_jacobian():
    game = LinearQuadratic(losses.Minimax())
    dets = [np.linalg.det(jacobian(Penalized(game, GradientNorm(eta)), game.equilibrium)) for eta in (0.0, 0.7, 3.0)]
    np.testing.assert_allclose(dets, 1 / 9, rtol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.5, 3.0])
def test_the_spectrum_of_the_damped_wasserstein_game(eta):
    game = Penalized(LinearQuadratic(losses.Wasserstein()), GradientNorm(eta))
    found = np.linalg.eigvals(jacobian(game, players(0.0, 1.0)))
    half = 2 / 9 * np.sqrt(complex(4 * eta**2 - 9))
    # A double eigenvalue at eta = 1.5 moves by the square root of rounding.
    for expected in (-4 * eta / 9 + half, -4 * eta / 9 - half):
        assert np.min(np.abs(found - expected)) < 1e-7


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # (9 t^2 + 8 eta t + 4)(t^2 + 2 eta t + 1) / 9
        ("wasserstein", lambda eta: np.polymul([9, 8 * eta, 4], [1, 2 * eta, 1]) / 9),
        # (90 t^2 + (9 + 20 eta) t + 10)(12 t^2 + (2 + 6 eta) t + 3) / 1080
        ("minimax", lambda eta: np.polymul([90, 9 + 20 * eta, 10], [12, 2 + 6 * eta, 3]) / 1080),
    ],
)
def test_the_characteristic_polynomial_with_all_terms(loss, expected):
    game = LinearQuadratic(LOSSES[loss].make(), linear=True, offset=True)
    for eta in (0.0, 0.6):
        found = np.poly(jacobian(Penalized(game, GradientNorm(eta)), game.equilibrium))
        np.testing.assert_allclose(found, expected(eta), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("loss", "penalty", "expected"),
    [
        ("minimax", R1(0.3), (-0.15, 0.15**2 - 0.25)),
        ("minimax", R1(1.7), (-0.85, 0.85**2 - 0.25)),
        ("minimax", R2(1.7), (-0.85, 0.85**2 - 0.25)),
        ("minimax", GradientNorm(0.8), (-0.2, 0.2**2 - 0.25)),
        ("wasserstein", GradientNorm(0.8), (-0.8, 0.8**2 - 1)),
    ],
)
def test_the_spectrum_of_the_penalized_dirac_gan(loss, penalty, expected):
    found = np.linalg.eigvals(jacobian(Penalized(Dirac(LOSSES[loss].make()), penalty), players(0.0, 0.0)))
    center, square = expected
    for sign in (1, -1):
        assert np.min(np.abs(found - (center + sign * np.sqrt(complex(square))))) < 1e-12


def test_r1_costs_the_discriminator_half_of_gamma_psi_squared_on_the_dirac_gan():
    y = players(0.7, 1.1)
    plain, penalized = losses_of(Dirac(losses.Minimax()), y), losses_of(Penalized(Dirac(losses.Minimax()), R1(0.6)), y)
    np.testing.assert_allclose(penalized.discriminator - plain.discriminator, 0.3 * 0.7**2, rtol=1e-12)
    assert penalized.generator == plain.generator


def test_the_gradient_norm_costs_the_generator_eta_times_the_squared_gradient():
    # grad_D V = (1 - a^2) / 3.
    y = players(0.7, 1.1)
    game = LinearQuadratic(losses.Wasserstein())
    plain, penalized = losses_of(game, y), losses_of(Penalized(game, GradientNorm(0.6)), y)
    np.testing.assert_allclose(penalized.generator - plain.generator, 0.6 * ((1 - 1.1**2) / 3) ** 2, rtol=1e-12)
    assert penalized.discriminator == plain.discriminator


def test_r1_takes_the_slope_at_the_data_and_not_at_the_samples():
    # |D'(x)|^2 = (2 w x)^2, and E x^2 = c^2 / 3 over the data; the samples' a would give a^2 / 3.
    y, c = players(0.5, 3.0), 2.0
    game = LinearQuadratic(losses.Wasserstein(), c)
    added = losses_of(Penalized(game, R1(1.0)), y).discriminator - losses_of(game, y).discriminator
    np.testing.assert_allclose(added, 0.5 * 4 * 0.25 * c**2 / 3, rtol=1e-12)


def test_r2_takes_the_slope_at_the_samples_and_only_the_discriminator_pays():
    # |D'(x)|^2 = (2 w x)^2 at x = a z, and E z^2 = 1 / 3; the data's c would give c^2 / 3.
    y, c = players(0.5, 3.0), 2.0
    game = LinearQuadratic(losses.Wasserstein(), c)
    plain, penalized = losses_of(game, y), losses_of(Penalized(game, R2(1.0)), y)
    np.testing.assert_allclose(penalized.discriminator - plain.discriminator, 0.5 * 4 * 0.25 * 9 / 3, rtol=1e-12)
    assert penalized.generator == plain.generator
    speeds = (velocity(each, y).generator for each in (Penalized(game, R2(1.0)), game))
    np.testing.assert_allclose(*speeds, rtol=ROUNDING)


def test_r1_and_r2_on_a_minibatch_are_means_over_its_rows():
    game = gan(losses.Wasserstein())
    data, latent = jnp.array([[1.0, 0.5], [-2.0, 0.3]]), jnp.array([[0.2], [-0.7]])
    discriminator, generator = game.modules(game.players)
    for penalty, points in ((R1(0.8), data), (R2(0.8), jax.vmap(generator)(latent))):
        squares = [float(jnp.sum(jax.grad(discriminator)(x) ** 2)) for x in points]
        found = jax.jit(lambda y, penalty=penalty: penalty.losses(game, y, (data, latent)))(game.players)
        np.testing.assert_allclose(found.discriminator, 0.4 * np.mean(squares), rtol=1e-12)


def _gp_of(args, y, mixing=None):
    game = gan(losses.Wasserstein())
    penalty = jax.jit(lambda y: WGANGP(3.0, 0.5, mixing=mixing).losses(game, y, args))(y)
    return game, penalty


def test_wgan_gp_pairs_data_and_samples_row_by_row():
    args = (jnp.array([[1.0, 0.5], [-2.0, 0.3], [0.4, 0.1]]), jnp.array([[0.2], [-0.7], [1.1]]))
    y = gan(losses.Wasserstein()).players
    for mixing in (None, jnp.array([0.9, 0.2, 0.4])):
        game, found = _gp_of(args, y, mixing)
        discriminator, generator = game.modules(y)
        rows = np.array([1 / 6, 3 / 6, 5 / 6]) if mixing is None else np.asarray(mixing)
        expected = 0.0
        for datum, latent, share in zip(*args, rows, strict=True):
            between = share * datum + (1 - share) * generator(latent)
            slope = jax.grad(discriminator)(between)
            expected += 1.5 * (float(jnp.linalg.norm(slope)) - 0.5) ** 2 / 3
        np.testing.assert_allclose(found.discriminator, expected, rtol=1e-12)
        assert found.generator == 0


def test_wgan_gp_takes_all_pairs_where_there_is_quadrature():
    # With target 0 it is (gamma / 2) 4 w^2 E |e x + (1 - e) a z|^2 = (gamma / 2) 4 w^2 (1 + a^2) / 9.
    w, a = 0.4, 1.3
    found = WGANGP(0.6, 0.0).losses(LinearQuadratic(losses.Wasserstein()), players(w, a), None)
    np.testing.assert_allclose(found.discriminator, 0.3 * 4 * w**2 * (1 + a**2) / 9, rtol=1e-12)


@pytest.mark.parametrize("psi", [0.3, -0.7, 2.0])
def test_wgan_gp_pulls_the_slope_of_the_dirac_gan_to_its_target(psi):
    game = Penalized(Dirac(losses.Wasserstein()), WGANGP(0.6, 0.5))
    expected = [0.8 - 0.6 * (abs(psi) - 0.5) * np.sign(psi), -psi]
    np.testing.assert_allclose(flat(velocity(game, players(psi, 0.8))), expected, rtol=0, atol=ROUNDING)


def test_wgan_gp_at_zero_slope_is_finite_and_does_nothing():
    game = Penalized(Dirac(losses.Wasserstein()), WGANGP(0.6, 0.5))
    np.testing.assert_array_equal(flat(velocity(game, players(0.0, 0.8))), [0.8, 0.0])


def test_wgan_gp_refuses_unpaired_rows():
    args = (jnp.zeros((3, 2)), jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match="`args` must hold as many data as latent points"):
        _gp_of(args, gan(losses.Wasserstein()).players)


def test_a_weight_of_zero_changes_nothing():
    game = LinearQuadratic(losses.Minimax())
    y = players(0.4, 1.3)
    for penalty in (GradientNorm(0.0), R1(0.0), R2(0.0), WGANGP(0.0)):
        np.testing.assert_allclose(
            flat(velocity(Penalized(game, penalty), y)), flat(velocity(game, y)), rtol=0, atol=ROUNDING
        )


def test_penalties_nest_in_either_order():
    # Both pay by psi alone or by psi' alone, so on the Dirac-GAN they can be written down.
    psi, theta, g, eta = 0.4, 0.9, 0.3, 0.5
    s, s_bar = sigmoid(-theta * psi), sigmoid(theta * psi)
    bend = s - theta * psi * s * s_bar
    outer_r1 = Penalized(Penalized(Dirac(losses.Minimax()), GradientNorm(eta)), R1(g))
    expected = [theta * s - g * psi, -psi * s - 2 * eta * theta * s * bend]
    np.testing.assert_allclose(flat(velocity(outer_r1, players(psi, theta))), expected, rtol=0, atol=ROUNDING)
    outer_norm = Penalized(Penalized(Dirac(losses.Minimax()), R1(g)), GradientNorm(eta))
    expected = [theta * s - g * psi, -psi * s - 2 * eta * (theta * s - g * psi) * bend]
    np.testing.assert_allclose(flat(velocity(outer_norm, players(psi, theta))), expected, rtol=0, atol=ROUNDING)


def test_r1_finds_the_scores_inside_any_number_of_penalties():
    game = Penalized(Penalized(Penalized(Dirac(losses.Wasserstein()), R1(0.1)), GradientNorm(0.0)), R1(0.2))
    found = flat(velocity(game, players(0.5, 0.8)))
    np.testing.assert_allclose(found, [0.8 - (0.1 + 0.2) * 0.5, -0.5], rtol=ROUNDING)


@pytest.mark.parametrize(
    ("penalty", "name"),
    [(GradientNorm, "eta"), (R1, "gamma"), (R2, "gamma"), (WGANGP, "gamma"), (lambda bad: WGANGP(1.0, bad), "target")],
)
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_negative_or_not_finite_is_refused(penalty, name, bad):
    with pytest.raises(ValueError, match=rf"`{name}` must be at least 0 and finite, but is {bad}. [A-Z]"):
        penalty(bad)


@pytest.mark.parametrize(("penalty", "name"), [(GradientNorm, "eta"), (R1, "gamma")])
# Plain `jax.jit` calls the same error a ValueError from the second run on.
@pytest.mark.parametrize(("jit", "error"), [(jax.jit, ValueError), (eqx.filter_jit, RuntimeError)])
def test_a_negative_weight_is_refused_under_jit_when_it_runs(jit, error, penalty, name):
    game = Dirac(losses.Minimax())
    speed = jit(lambda weight: GameField(Penalized(game, penalty(weight)))(0.0, players(0.3, 0.8)))
    assert np.all(np.isfinite(flat(speed(jnp.array(1.0)))))
    with pytest.raises(error, match=f"`{name}` must be at least 0"):
        jax.block_until_ready(speed(jnp.array(-1.0)))


def test_whole_numbers_are_weights():
    assert GradientNorm(1).eta.dtype == R1(2).gamma.dtype == jnp.dtype(float)


def test_r1_on_a_game_without_samples_is_refused_with_the_remedy():
    game = Penalized(games.Bilinear(jnp.eye(2)), R1(1.0))
    with pytest.raises(ValueError, match=r"`game` must score samples .* Bilinear .* `GradientNorm`"):
        GameField(game)(0.0, players([1.0, 0.0], [0.0, 1.0]))


def test_the_gradient_norm_needs_only_losses():
    # L_D = -d g: the penalty is eta g^2.
    game = games.FromLosses(lambda y, args: Players(-y.discriminator * y.generator, y.discriminator * y.generator))
    found = flat(velocity(Penalized(game, GradientNorm(0.5)), players(2.0, 3.0)))
    np.testing.assert_allclose(found, [3.0, -2.0 - 2 * 0.5 * 3.0], rtol=ROUNDING)


class Doubled(GradientNorm):
    """Twice the penalty, with the quick way to the gradients of once."""

    def losses(self, game, y, args):
        return jax.tree.map(lambda term: 2 * term, GradientNorm.losses(self, game, y, args))


class Charged(Penalized):
    """What the generator has to pay for its size, too."""

    def losses(self, y, args):
        paid = Penalized.losses(self, y, args)
        return Players(paid.discriminator, paid.generator + y.generator**2)


def test_a_penalty_and_a_penalized_game_that_write_their_losses_anew_are_followed_by_them():
    game, y = LinearQuadratic(losses.Wasserstein()), players(0.5, 1.2)
    once, twice = (velocity(Penalized(game, GradientNorm(eta)), y) for eta in (0.3, 0.6))
    np.testing.assert_allclose(flat(velocity(Penalized(game, Doubled(0.3)), y)), flat(twice), rtol=0, atol=ROUNDING)
    charged = velocity(Charged(game, GradientNorm(0.3)), y)
    np.testing.assert_allclose(flat(charged), flat(once) - [0, 2 * 1.2], rtol=0, atol=ROUNDING)


def test_a_penalty_of_a_game_that_writes_its_losses_anew_is_of_those():
    class Steep(Dirac):
        def losses(self, y, args):
            return Players(-3 * y.discriminator * y.generator, y.discriminator * y.generator)

    # The gradient for the discriminator is -3 theta: the generator pays 9 eta theta^2 more.
    found = velocity(Penalized(Steep(losses.Minimax()), GradientNorm(0.5)), players(0.7, 1.1))
    np.testing.assert_allclose(flat(found), [3 * 1.1, -0.7 - 2 * 0.5 * 9 * 1.1], rtol=ROUNDING)


def test_a_user_writes_a_penalty_with_one_method():
    class Decay(AbstractPenalty):
        weight: float

        def losses(self, game, y, args):
            return Players(0.5 * self.weight * y.discriminator**2, 0.5 * self.weight * y.generator**2)

    game = Dirac(losses.Wasserstein())
    found = flat(velocity(Penalized(game, Decay(0.2)), players(0.5, 0.8)))
    np.testing.assert_allclose(found, [0.8 - 0.2 * 0.5, -0.5 - 0.2 * 0.8], rtol=ROUNDING)


# Adjustments of a field.


def test_consensus_adds_minus_gamma_times_the_gradient_of_half_the_squared_speed():
    field, gamma = GameField(LinearQuadratic(losses.NonSaturating())), 0.7
    y = players(0.4, 1.3)
    added = flat(Adjusted(field, Consensus(gamma))(0.0, y)) - flat(field(0.0, y))

    def half_squared_speed(numbers):
        return 0.5 * np.sum(flat(field(0.0, players(*numbers))) ** 2)

    at, step = np.array([0.4, 1.3]), 1e-6
    slope = [(half_squared_speed(at + step * e) - half_squared_speed(at - step * e)) / (2 * step) for e in np.eye(2)]
    # Central differences: rounding over the step; measured 4e-11.
    np.testing.assert_allclose(added, -gamma * np.array(slope), rtol=0, atol=1e-8)


def test_consensus_keeps_float32_and_refuses_a_negative_weight():
    adjusted = Adjusted(GameField(Dirac(losses.Minimax())), Consensus(0.3))
    assert adjusted(0.0, players(0.3, 0.4, jnp.float32)).generator.dtype == jnp.float32
    with pytest.raises(ValueError, match=r"`gamma` must be at least 0 and finite, but is -0\.1"):
        Consensus(-0.1)
