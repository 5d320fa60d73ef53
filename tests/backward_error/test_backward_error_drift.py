"""Drifts in parts, against the literature and the regularizer; the exact linear part at a fixed point."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.flatten_util import ravel_pytree

from gan_ode import backward_error, fields, losses, regularizers, updates
from tests.backward_error.test_backward_error import damped, EQUILIBRIUM, game_field, GAMES, SLOPE
from tests.catalogue import flat, gan, players

# Some ten products of order one: measured 1e-14, in the logarithms.
ROUNDING = 1e-12


# Drifts, and the regularizer that they are.


def parts(field, y):
    """(player, other) to the derivative of the player's velocity along the other's motion, in the other alone."""
    velocity = field(0.0, y)

    def along(player, other):
        def own(part):
            return getattr(field(0.0, eqx.tree_at(lambda z: getattr(z, other), y, part)), player)

        return jax.jvp(own, (getattr(y, other),), (getattr(velocity, other),))[1]

    names = ("discriminator", "generator")
    return {(player, other): float(along(player, other)) for player in names for other in names}


D, G = "discriminator", "generator"


@pytest.mark.parametrize(
    ("rule", "rates", "own", "turned"),
    [
        (updates.Simultaneous, (1.0, 1.0), (1.0, 1.0), 1.0),
        (updates.Simultaneous, (1.0, 3.0), (1.0, 1.0), 1.0),
        (updates.Alternating, (1.0, 1.0), (1.0, 1.0), -1.0),
        (
            lambda h: updates.Alternating(h, discriminator_steps=2, generator_steps=3),
            (1 / 2, 1 / 3),
            (1 / 2, 1 / 3),
            -1.0,
        ),
    ],
    ids=["simultaneous", "simultaneous_rates_1_3", "alternating", "alternating_2_3"],
)
def test_the_parts_of_the_drift_are_those_of_rosca_and_others(rule, rates, own, turned):
    # Theorems 3.1 and 3.2 with one clock; m steps of a round have size h / m each, which here the rates bring about.
    h, y, field = 0.2, players(0.5, 1.2), game_field("linear_quadratic", "minimax", rates)
    counted = field if turned > 0 else game_field("linear_quadratic", "minimax")
    of = parts(counted, y)

    @eqx.filter_jit
    def drifts(field, h):
        kinds = backward_error.drift, backward_error.self_drift, backward_error.interaction_drift
        return [kind(rule, field, h)(0.0, y) for kind in kinds]

    total, alone, together = map(flat, drifts(field, jnp.asarray(h)))
    np.testing.assert_allclose(alone, [-h / 2 * own[0] * of[D, D], -h / 2 * own[1] * of[G, G]], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(together, [-h / 2 * of[D, G], -h / 2 * turned * of[G, D]], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(total, alone + together, rtol=0, atol=ROUNDING)
    assert min(abs(value) for value in of.values()) > 1e-2


@pytest.mark.parametrize("game", GAMES)
def test_simultaneous_steps_play_the_value_with_the_gradient_norms_as_regularizers(game):
    # V - (h/4) |V_D|^2 + (h/4) |V_G|^2, for both players.
    h, y, field = 0.2, players(0.5, 1.2), game_field(game, "minimax")

    def modified_value(y):
        # The value is minus the discriminator's loss.
        slopes = jax.grad(lambda z: -field.game.losses(z, None).discriminator)(y)
        return -h / 4 * slopes.discriminator**2 + h / 4 * slopes.generator**2

    up = jax.grad(modified_value)(y)
    found = jax.jit(backward_error.drift(updates.Simultaneous, field, h).__call__)(0.0, y)
    np.testing.assert_allclose(flat(found), [up.discriminator, -up.generator], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(("rule", "sign"), [(updates.Simultaneous, -1), (updates.Alternating, 1)])
def test_the_interaction_drift_of_the_generator_is_the_gradient_norm_of_weight_h_over_4(rule, sign):
    h, y, field = 0.2, players(0.5, 1.2), game_field("linear_quadratic", "minimax")
    penalized = fields.GameField(regularizers.Penalized(field.game, regularizers.GradientNorm(h / 4)))
    added = penalized(0.0, y).generator - field(0.0, y).generator
    drift = eqx.filter_jit(backward_error.interaction_drift(rule, field, h))(0.0, y).generator
    np.testing.assert_allclose(drift, sign * added, rtol=0, atol=ROUNDING)
    assert abs(float(added)) > 1e-3


def test_the_drift_of_a_network_is_minus_half_the_velocitys_change_along_itself():
    game, h = gan(losses.NonSaturating()), 0.1
    field, batch = fields.GameField(game), game.sample(jax.random.key(1), 4)
    drift = backward_error.drift(updates.Simultaneous, field, h)

    @jax.jit
    def both(y):
        along = jax.jvp(lambda z: field(0.0, z, batch), (y,), (field(0.0, y, batch),))[1]
        return drift(0.0, y, batch), along

    found, along = both(game.players)
    np.testing.assert_allclose(flat(found), -h / 2 * flat(along), rtol=0, atol=ROUNDING)


# The exact linear part.


def closed_jacobian(loss, eta):
    if loss == "wasserstein":
        return np.array([[0, -2 / 3], [2 / 3, -8 * eta / 9]])
    return np.array([[-1 / 10, -1 / 3], [1 / 3 - eta / 15, -2 * eta / 9]])


def closed_step(rule, jacobian, h):
    (p, q), (r, s) = jacobian
    if rule is updates.Simultaneous:
        return np.eye(2) + h * jacobian
    if rule is updates.Extragradient:
        return np.eye(2) + h * jacobian + h**2 * jacobian @ jacobian
    return np.array([[1, 0], [h * r, 1 + h * s]]) @ np.array([[1 + h * p, h * q], [0, 1]])


@pytest.mark.parametrize("rule", [updates.Simultaneous, updates.Alternating, updates.Extragradient])
# At eta = 3/2 the eigenvalue of the Wasserstein GAN is double, with one eigenvector.
@pytest.mark.parametrize(("loss", "eta"), [("wasserstein", 0.0), ("wasserstein", 1.5), ("minimax", 0.5)])
def test_the_modified_jacobian_is_the_logarithm_of_the_closed_step(rule, loss, eta):
    for h in (0.05, 0.3, 0.7):
        expected = scipy.linalg.logm(closed_step(rule, closed_jacobian(loss, eta), h)) / h
        found = backward_error.modified_jacobian(rule, damped(eta, loss), EQUILIBRIUM, step_size=h)
        # Of SciPy, at the double eigenvalue; otherwise 2e-14.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 if eta == 1.5 else ROUNDING)


def test_the_jacobian_of_the_modified_field_agrees_with_the_exact_one_to_its_order():
    field, sizes = damped(0.5), np.array([0.08, 0.04])
    terms = backward_error.modified_terms(updates.Alternating, field, order=4)
    numbers, back = ravel_pytree(EQUILIBRIUM)

    @jax.jit
    def jacobians(x):
        return jnp.stack(jax.jacfwd(lambda x: [ravel_pytree(term)[0] for term in terms(0.0, back(x))])(x))

    summands = np.asarray(jacobians(numbers)) * sizes[:, None, None, None] ** np.arange(4)[:, None, None]
    exact = [
        backward_error.modified_jacobian(updates.Alternating, field, EQUILIBRIUM, step_size=h)
        for h in jnp.asarray(sizes)
    ]
    errors = np.linalg.norm(np.cumsum(summands, axis=1) - np.stack(exact)[:, None], axis=(-2, -1))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), [1, 2, 3, 4], rtol=0, atol=SLOPE)


def test_the_gradient_of_a_growth_rate_is_that_of_the_closed_form():
    # The trace of the logarithm is that of det(1 + hJ) = 1 - 8 eta h / 9 + 4 h^2 / 9.
    h, eta = 0.3, 0.5

    def growth(eta):
        return jnp.trace(backward_error.modified_jacobian(updates.Simultaneous, damped(eta), EQUILIBRIUM, step_size=h))

    value, slope = jax.jit(jax.value_and_grad(growth))(eta)
    determinant = 1 - 8 * eta * h / 9 + 4 * h**2 / 9
    np.testing.assert_allclose(value, np.log(determinant) / h, rtol=1e-12)
    np.testing.assert_allclose(slope, -8 / 9 / determinant, rtol=1e-11)


@pytest.mark.parametrize("h", [1.0, 1.5])
def test_a_multiplier_that_is_zero_or_negative_has_no_real_logarithm(h):
    def shrink(t, y, args):
        return -y

    with pytest.raises(ValueError, match=f"`step_size` must be small enough .* but is {h} with the multipliers"):
        backward_error.modified_jacobian(updates.Simultaneous, shrink, jnp.ones(2), step_size=h)
    traced = eqx.filter_jit(
        lambda h: backward_error.modified_jacobian(updates.Simultaneous, shrink, jnp.ones(2), step_size=h)
    )
    np.testing.assert_allclose(traced(jnp.array(0.5)), np.log(0.5) / 0.5 * np.eye(2), rtol=1e-13)
    with pytest.raises(RuntimeError, match="`step_size` must be small enough"):
        jax.block_until_ready(traced(jnp.array(h)))


def test_the_logarithm_of_a_step_in_float32_is_good_to_its_rounding():
    field = game_field("linear_quadratic", "minimax")
    found = backward_error.modified_jacobian(updates.Simultaneous, field, players(0.0, 1.0, jnp.float32), step_size=0.1)
    assert found.dtype == jnp.float32
    expected = scipy.linalg.logm(np.eye(2) + 0.1 * closed_jacobian("minimax", 0)) / 0.1
    # 6e-8 over the step size.
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)
