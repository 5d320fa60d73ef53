"""Instance noise: exact by quadrature, drawn with minibatches, and right in all that a game says of itself."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import analysis, games, losses
from gan_ode.analysis import theory
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import InstanceNoise, Penalized, R1
from tests.catalogue import flat, gan, players, sigmoid

# Sums of some hundred terms; measured 1e-15.
ROUNDING = 1e-13
# Eigenvalues, a square root; measured 2e-16.
EIGENVALUES = 1e-12

LQ, DIRAC = games.LinearQuadratic(losses.Minimax()), games.Dirac(losses.Minimax())


@pytest.mark.parametrize("s", [0.3, 1.0, 2.0])
def test_instance_noise_damps_the_dirac_gan_as_stated(s):
    found = analysis.spectrum(GameField(InstanceNoise(DIRAC, s)), DIRAC.equilibrium)
    root = np.sqrt(complex(s**4 / 16 - 1 / 4))
    # At s = 2 two real ones, the larger first.
    expected = -(s**2) / 4 + np.array([root, -root])
    np.testing.assert_allclose(found, expected, rtol=0, atol=EIGENVALUES)


def test_instance_noise_damps_no_wasserstein_gan():
    field = GameField(InstanceNoise(games.LinearQuadratic(losses.Wasserstein()), 0.7))
    y = players(0.4, 1.3)
    np.testing.assert_allclose(flat(field(0.0, y)), [(1 - 1.69) / 3, 2 * 0.4 * 1.3 / 3], rtol=0, atol=ROUNDING)


def test_no_noise_changes_nothing():
    y = players(0.4, 1.3)
    found = GameField(InstanceNoise(LQ, 0.0))(0.0, y)
    np.testing.assert_allclose(flat(found), flat(GameField(LQ)(0.0, y)), rtol=0, atol=ROUNDING)


def test_a_noisy_game_is_zero_sum_if_the_game_is():
    assert InstanceNoise(LQ, 0.5).zero_sum
    assert not InstanceNoise(games.LinearQuadratic(losses.NonSaturating()), 0.5).zero_sum


def test_the_theory_sees_the_noise_in_the_kernel_of_the_discriminator():
    s = 0.5
    found = theory.assumptions(InstanceNoise(LQ, s), LQ.equilibrium)
    np.testing.assert_allclose(found.k_dd, [[1 / 5 + 2 * s**2 + 3 * s**4]], rtol=1e-12)
    assert float(found.mismatch) < 1e-12


def test_penalties_around_the_noise_look_at_noisy_points():
    # D'(x) = 2 w x, and E (x + e)^2 = 1/3 + s^2.
    w, s, g = 0.4, 0.5, 0.3
    noisy = InstanceNoise(LQ, s)
    y = players(w, 1.3)
    added = flat(GameField(Penalized(noisy, R1(g)))(0.0, y)) - flat(GameField(noisy)(0.0, y))
    np.testing.assert_allclose(added, [-4 * g * w * (1 / 3 + s**2), 0], rtol=0, atol=ROUNDING)


def test_pairs_of_a_relativistic_loss_have_independent_noise():
    # V = E f(psi (theta + s (e' - e))), the difference being normal of variance 2 s^2.
    psi, theta, s = 0.6, 0.9, 0.4
    game = InstanceNoise(games.Dirac(losses.Relativistic(losses.Minimax())), s)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    apart = psi * (theta + np.sqrt(2) * s * nodes)
    expected = (weights / weights.sum()) @ np.logaddexp(0, -apart)
    found = game.losses(players(psi, theta), None).discriminator
    # Twenty nodes for each, where the loss is no polynomial; measured 1e-14.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_minibatch_brings_noise_of_its_own_which_the_size_of_the_noise_scales():
    game = InstanceNoise(LQ, 0.5)
    data, latent = batch = game.sample(jax.random.key(0), 6)
    w, a = 0.4, 1.3
    found = InstanceNoise(LQ, 0.3).losses(players(w, a), batch)
    real = w * (np.asarray(data.points) + 0.3 * np.asarray(data.noise)) ** 2
    made = w * (a * np.asarray(latent.points) + 0.3 * np.asarray(latent.noise)) ** 2
    expected = [np.mean(np.logaddexp(0, -real)) + np.mean(np.logaddexp(0, made)), -np.mean(np.logaddexp(0, made))]
    np.testing.assert_allclose([found.discriminator, found.generator], expected, rtol=0, atol=ROUNDING)
    assert np.abs(np.corrcoef(data.noise, latent.noise)[0, 1]) < 0.99


def test_the_noise_of_minibatches_has_the_mean_of_the_quadrature():
    game, y = InstanceNoise(LQ, 0.5), players(0.4, 1.3)
    field = GameField(game)
    drawn = jax.jit(jax.vmap(lambda key: field(0.0, y, game.sample(key, 256))))(
        jax.random.split(jax.random.key(1), 256)
    )
    exact = field(0.0, y)
    for each, expected in ((drawn.discriminator, exact.discriminator), (drawn.generator, exact.generator)):
        error = np.std(each) / np.sqrt(len(each))
        # Four standard errors of the mean, of which 1 draw in 16,000 is beyond; the key is fixed.
        assert abs(np.mean(each) - expected) < 4 * error < 0.02


def test_networks_see_noise_on_data_and_on_samples():
    plain = gan(losses.Minimax())
    game = InstanceNoise(plain, 0.2)
    data, latent = batch = game.sample(jax.random.key(0), 5)
    assert data.noise.shape == latent.noise.shape == (5, 2) and latent.points.shape == (5, 1)
    found = jax.jit(lambda y: game.losses(y, batch))(plain.players)
    discriminator, generator = plain.modules(plain.players)
    real = np.array([discriminator(x + 0.2 * e) for x, e in zip(data.points, data.noise, strict=True)])
    made = np.array([discriminator(generator(z) + 0.2 * e) for z, e in zip(latent.points, latent.noise, strict=True)])
    expected = -np.mean(np.log(sigmoid(real))) - np.mean(np.log(sigmoid(-made)))
    np.testing.assert_allclose(found.discriminator, expected, rtol=0, atol=ROUNDING)


class Own(games.Dirac):
    """A game that does not pay by its scores."""

    def losses(self, y, args):
        return Players(-y.discriminator, y.generator)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InstanceNoise(LQ, -0.1), "`std` must be at least 0 and finite, but is -0.1"),
        (lambda: InstanceNoise(LQ, 0.1, num_nodes=0), "`num_nodes` must be at least 1"),
        (lambda: InstanceNoise(Penalized(LQ, R1(1.0)), 0.1), r"without penalties.*`Penalized\(InstanceNoise"),
        (lambda: InstanceNoise(Own(losses.Minimax()), 0.1), "`game` must be an `AbstractSampledGame` .* Own is not"),
        (lambda: InstanceNoise(games.Bilinear(jnp.eye(1)), 0.1), "`game` must be .* Bilinear is not"),
        (lambda: InstanceNoise(DIRAC, 0.1).sample(jax.random.key(0)), "`game` must have a method `sample"),
        (
            lambda: InstanceNoise(LQ, 0.1).losses(players(0.1, 1.0), LQ.sample(jax.random.key(0), 3)),
            r"`args` must be a minibatch with noise, but has none: draw it by `sample\(key, num\)`",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(make, message, monkeypatch):
    # Users run without type checks.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()
