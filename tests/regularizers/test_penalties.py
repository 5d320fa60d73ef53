"""Penalties of the papers, where the catalogue does not reach: minibatches, draws, networks, limits and refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import analysis, games, losses
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import (
    ApproximatedR1,
    DRAGAN,
    Entropic,
    GradientNorm,
    Penalized,
    R1,
    SpectralPenalty,
    WeightAnchor,
    WeightDecay,
    WGANLP,
    ZeroCenteredGP,
)
from tests.catalogue import flat, gan, players

# Sums of some ten terms; measured 4e-16.
ROUNDING = 1e-13
EIGENVALUES = 1e-12

W, A = 0.4, 1.3
LQ = games.LinearQuadratic(losses.Minimax())
DATA, LATENT = jnp.array([0.3, -0.8, 0.5]), jnp.array([-0.6, 0.2, 0.9])
NOISE = np.array([0.5, -1.2, 0.3])


def paid(penalty, game=LQ, y=None, args=(DATA, LATENT)):
    """What each player pays, at D(x) = W x^2 and G(z) = A z."""
    terms = penalty.losses(game, players(W, A) if y is None else y, args)
    return float(terms.discriminator), float(terms.generator)


@pytest.mark.parametrize("mixing", [None, jnp.array([0.1, 0.3, 1.0])])
def test_points_between_are_rows_of_the_minibatch(mixing):
    parts = (np.arange(3) + 0.5) / 3 if mixing is None else np.asarray(mixing)
    slopes = np.abs(2 * W * (parts * np.asarray(DATA) + (1 - parts) * A * np.asarray(LATENT)))
    zero_centered = paid(ZeroCenteredGP(0.6, mixing=mixing))
    np.testing.assert_allclose(zero_centered, [0.3 * np.mean(slopes**2), 0], rtol=0, atol=ROUNDING)
    one_sided = paid(WGANLP(0.6, 0.3, mixing=mixing))
    assert np.any(slopes < 0.3) and np.any(slopes > 0.3)
    np.testing.assert_allclose(one_sided, [0.3 * np.mean(np.maximum(slopes - 0.3, 0) ** 2), 0], rtol=0, atol=ROUNDING)


def test_draws_of_noise_are_added_to_the_data_row_by_row():
    near = np.asarray(DATA) + 0.5 * NOISE
    dragan = paid(DRAGAN(0.6, 0.7, std=0.5, noise=jnp.asarray(NOISE)))
    np.testing.assert_allclose(dragan, [0.3 * np.mean((np.abs(2 * W * near) - 0.7) ** 2), 0], rtol=0, atol=ROUNDING)
    approximated = paid(ApproximatedR1(0.6, 0.5, noise=jnp.asarray(NOISE)))
    changes = W * near**2 - W * np.asarray(DATA) ** 2
    np.testing.assert_allclose(approximated, [0.6 * np.mean(changes**2), 0], rtol=0, atol=ROUNDING)


def test_approximated_r1_comes_to_r1_on_networks_as_the_square_of_the_noise():
    game = gan(losses.Minimax())
    batch = game.sample(jax.random.key(2), 4)

    @eqx.filter_jit
    def gradient(penalty):
        return jax.grad(lambda d: penalty.losses(game, Players(d, game.players.generator), batch).discriminator)(
            game.players.discriminator
        )

    exact = flat(gradient(R1(0.8)))
    gaps = [np.abs(flat(gradient(ApproximatedR1(0.4 / std**2, std))) - exact).max() for std in (0.1, 0.05)]
    # A factor of 4, to the next order; measured 3.98.
    assert 3.8 < gaps[0] / gaps[1] < 4.2
    assert gaps[1] < 0.01 * np.abs(exact).max()


def test_a_spectral_penalty_sums_over_the_weight_matrices_and_leaves_biases_alone():
    kernel = np.arange(24.0).reshape(2, 3, 2, 2) / 10
    y = Players({"kernel": jnp.asarray(kernel), "bias": jnp.ones(7), "matrix": jnp.diag(jnp.array([3.0, -4.0]))}, A)
    expected = 0.1 * (np.linalg.norm(kernel.reshape(2, -1), 2) ** 2 + 16)
    np.testing.assert_allclose(paid(SpectralPenalty(0.2), y=y), [expected, 0], rtol=ROUNDING)


def test_the_entropic_penalty_is_minus_the_entropy_but_for_a_constant():
    y = players([0.3, -0.5, 1.1], [0.2, 0.9])
    expected = []
    for logits, weight in ((np.array([0.3, -0.5, 1.1]), 0.4), (np.array([0.2, 0.9]), 0.7)):
        p = np.exp(logits) / np.exp(logits).sum()
        expected.append(weight * (np.log(len(p)) + p @ np.log(p)))
    np.testing.assert_allclose(paid(Entropic(0.4, 0.7), y=y), expected, rtol=0, atol=ROUNDING)


def test_an_anchored_rotation_converges_at_the_stated_distance():
    weight, omega, anchor = 0.5, 2.0, players([0.6], [-0.8])
    field = GameField(Penalized(games.Bilinear(omega * jnp.eye(1)), WeightAnchor(anchor, weight, weight)))
    found = analysis.find_equilibrium(field, anchor)
    np.testing.assert_allclose(np.linalg.norm(flat(found.y)), weight / np.hypot(weight, omega), rtol=1e-9)
    eigenvalues = analysis.spectrum(field, found)
    np.testing.assert_allclose(eigenvalues, -weight + np.array([2j, -2j]), rtol=0, atol=EIGENVALUES)


def test_decay_and_anchor_keep_the_quick_gradients_of_a_zero_sum_game_and_of_penalties_within():
    inner = Penalized(LQ, GradientNorm(0.5))
    y = players(W, A)
    plain = flat(GameField(inner)(0.0, y))
    outer = GameField(Penalized(Penalized(inner, WeightDecay(0.2, 0.1)), WeightAnchor(players(0.5, 1.0), 0.3, 0.4)))
    taken = np.array([0.2 * W + 0.3 * (W - 0.5), 0.1 * A + 0.4 * (A - 1.0)])
    np.testing.assert_allclose(flat(outer(0.0, y)), plain - taken, rtol=0, atol=ROUNDING)


def test_weights_of_zero_change_nothing():
    anchor, y = players(0.5, 1.0), players(W, A)
    plain = flat(GameField(LQ)(0.0, y))
    for penalty in (
        ZeroCenteredGP(0.0),
        WGANLP(0.0),
        DRAGAN(0.0),
        ApproximatedR1(0.0, 0.5),
        WeightDecay(),
        WeightAnchor(anchor),
        Entropic(),
    ):
        np.testing.assert_allclose(flat(GameField(Penalized(LQ, penalty))(0.0, y)), plain, rtol=0, atol=ROUNDING)


WIDE = (jnp.zeros((3, 30)), jnp.zeros((3, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ZeroCenteredGP(-1.0), "`gamma` must be at least 0 and finite, but is -1"),
        (lambda: WGANLP(-1.0), "`gamma` must be at least 0 and finite, but is -1"),
        (lambda: WGANLP(1.0, -1.0), "`target` must be at least 0 and finite, but is -1"),
        (lambda: DRAGAN(np.nan), "`gamma` must be at least 0 and finite, but is nan"),
        (lambda: DRAGAN(1.0, std=-1.0), "`std` must be at least 0 and finite, but is -1"),
        (lambda: DRAGAN(1.0, num_nodes=0), "`num_nodes` must be at least 1, but is 0"),
        (lambda: ApproximatedR1(-1.0, 0.1), "`weight` must be at least 0 and finite, but is -1"),
        (lambda: ApproximatedR1(1.0, -0.1), "`std` must be at least 0 and finite, but is -0.1"),
        (lambda: WeightDecay(-1.0), "`discriminator` must be at least 0 and finite, but is -1"),
        (lambda: WeightAnchor(players(0.0, 0.0), 0.0, -1.0), "`generator` must be at least 0 and finite, but is -1"),
        (lambda: Entropic(generator=-1.0), "`generator` must be at least 0 and finite, but is -1"),
        (lambda: SpectralPenalty(-1.0), "`weight` must be at least 0 and finite, but is -1"),
        (lambda: paid(SpectralPenalty(1.0)), "must hold a parameter of two axes or more.*`WeightDecay`"),
        (lambda: paid(WeightAnchor(Players([0.0], 0.0), 1.0)), "`anchor` must have the structure of the state"),
        (
            lambda: paid(DRAGAN(1.0, noise=jnp.zeros(2))),
            r"`noise` must have the shape of the data, \(3,\), but has \(2,\)",
        ),
        (
            lambda: paid(ApproximatedR1(1.0, 0.1), gan(losses.Minimax()), gan(losses.Minimax()).players, WIDE),
            "`num_nodes` for each of 30 dimensions are too many points: give `noise`",
        ),
        (
            lambda: paid(DRAGAN(1.0), games.Bilinear(jnp.eye(1)), players([0.0], [0.0]), None),
            "`game` must score samples for this penalty",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(make, message, monkeypatch):
    # Users run without type checks.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()
