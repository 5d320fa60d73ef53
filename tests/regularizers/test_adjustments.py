"""Adjustments: against dense matrices on networks, by closed forms, and beside updates and penalties of their kind."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.linalg
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, games, iterate, losses, regularizers, simulate, updates
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import (
    Adjusted,
    CompetitiveGradient,
    CrossingTheCurl,
    DriftCancelling,
    GradientNorm,
    JacobianRegularization,
    LOLA,
    Penalized,
    SymplecticGradient,
)
from tests import regularizer_facts as by_hand
from tests.catalogue import flat, gan, players

# Two or three products of a matrix of 27 rows, summed in another order; measured 4e-16.
ROUNDING = 1e-13
# Linear equations to a residual of 2e-12; measured 2e-14.
SOLVED = 1e-11
# Eigenvalues of two rows; measured 1e-16.
EIGENVALUES = 1e-12
# Central differences of step 1e-5: cancellation; measured 3e-11.
DIFFERENCES = 1e-9

H = 0.4
RATES = Players(1.0, 0.6)
ORIGIN = players(0.0, 0.0)
DIRAC = GameField(games.Dirac(losses.Minimax()))

ADJUSTMENTS = {
    "symplectic": SymplecticGradient(H),
    "aligned": SymplecticGradient(H, align=True),
    "jare": JacobianRegularization(H),
    "curl": CrossingTheCurl(),
    "drift": DriftCancelling(H),
    "interaction": DriftCancelling(H, part="interaction"),
    "alternating": DriftCancelling(H, updates.Alternating),
    "competitive": CompetitiveGradient(H),
    "both": LOLA(H),
    "look_ahead": LOLA(H, "look_ahead"),
    "shaping": LOLA(H, "shaping"),
}


@pytest.fixture(scope="module")
def networks():
    """Of two small networks whose game is not zero-sum: all adjusted velocities, and the dense derivatives."""
    game = gan(losses.NonSaturating())
    field, y, batch = GameField(game, RATES), game.players, game.sample(jax.random.key(1), 5)
    x, back = ravel_pytree(y)

    @jax.jit
    def measure(x):
        def velocity(x):
            return ravel_pytree(field(0.0, back(x), batch))[0]

        def both(x):
            paid = game.losses(back(x), batch)
            return jnp.stack([paid.discriminator, paid.generator])

        found = {
            name: ravel_pytree(Adjusted(field, adjustment)(0.0, back(x), batch))[0]
            for name, adjustment in ADJUSTMENTS.items()
        }
        return found, velocity(x), jax.jacfwd(velocity)(x), jax.jacfwd(both)(x), jax.hessian(both)(x)

    found, *dense = jax.tree.map(np.asarray, measure(x))
    return found, *dense, ravel_pytree(y.discriminator)[0].size


def _expected(name, velocity, jacobian, slopes, bends, num):
    """The adjusted velocity by dense matrices, the discriminator's rows first."""
    d, g = slice(0, num), slice(num, None)
    turn = (jacobian - jacobian.T) / 2
    mixed = jacobian.copy()
    mixed[d, d] = mixed[g, g] = 0
    own = np.concatenate([np.full(num, RATES.discriminator), np.full(len(velocity) - num, RATES.generator)])
    slope_of_half_speed = jacobian.T @ velocity
    ahead = np.concatenate([bends[0][d, g] @ velocity[g], bends[1][g, d] @ velocity[d]])
    shaping = np.concatenate([jacobian[g, d].T @ slopes[0][g], jacobian[d, g].T @ slopes[1][d]])
    match name:
        case "symplectic":
            return velocity - H * turn.T @ velocity
        case "aligned":
            product = (velocity @ slope_of_half_speed) * ((turn.T @ velocity) @ slope_of_half_speed)
            return velocity - np.sign(0.1 - product / len(velocity)) * H * turn.T @ velocity
        case "jare":
            return velocity - H * np.concatenate([jacobian[g, d].T @ velocity[g], jacobian[d, g].T @ velocity[d]])
        case "curl":
            return 2 * turn @ velocity
        case "drift":
            return velocity + H / 2 * jacobian @ velocity
        case "interaction":
            return velocity + H / 2 * mixed @ velocity
        case "alternating":
            # The generator answers the discriminator's step already.
            answered = np.concatenate([mixed[d] @ velocity, -mixed[g] @ velocity])
            return velocity + H / 2 * ((jacobian - mixed) @ velocity + answered)
        case "competitive":
            return np.linalg.solve(np.eye(len(velocity)) - H * mixed, velocity)
        case _:
            return velocity - H * own * {"both": ahead + shaping, "look_ahead": ahead, "shaping": shaping}[name]


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_on_networks_an_adjustment_is_its_formula_in_dense_matrices(networks, name):
    found, velocity, *dense = networks
    expected = _expected(name, velocity, *dense)
    np.testing.assert_allclose(found[name], expected, rtol=0, atol=SOLVED if name == "competitive" else ROUNDING)
    assert np.abs(expected - velocity).max() > 1e-3, "the adjustment does nothing"


@pytest.mark.parametrize("weight", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("align", [False, True])
def test_the_symplectic_gradient_damps_the_dirac_gan_as_stated(weight, align):
    found = analysis.spectrum(Adjusted(DIRAC, SymplecticGradient(weight, align)), ORIGIN)
    np.testing.assert_allclose(found, -weight / 4 + np.array([0.5j, -0.5j]), rtol=0, atol=EIGENVALUES)


@pytest.mark.parametrize(("terms", "damping"), [("both", H / 2), ("look_ahead", H / 4), ("shaping", H / 4)])
def test_each_term_of_opponent_learning_damps_the_dirac_gan_as_stated(terms, damping):
    found = analysis.spectrum(Adjusted(DIRAC, LOLA(H, terms)), ORIGIN)
    np.testing.assert_allclose(found, -damping + np.array([0.5j, -0.5j]), rtol=0, atol=EIGENVALUES)


@pytest.mark.parametrize("terms", ["look_ahead", "shaping"])
def test_each_term_of_opponent_learning_is_its_own_where_the_game_is_not_zero_sum(terms):
    y = np.array([0.3, -0.8])
    found = Adjusted(GameField(games.FromLosses(by_hand.shared)), LOLA(H, terms))(0.0, players(*y))
    np.testing.assert_allclose(flat(found), by_hand.aware_shared(y, H, terms), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("omega", [0.5, 3.0])
def test_competitive_gradients_damp_a_rotation_of_any_frequency_as_stated(omega):
    field = GameField(games.Bilinear(omega * jnp.eye(1)))
    found = analysis.spectrum(Adjusted(field, CompetitiveGradient(H)), players([0.0], [0.0]))
    expected = (-H * omega**2 + np.array([1j, -1j]) * omega) / (1 + H**2 * omega**2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=SOLVED)


def test_a_step_along_the_competitive_field_is_competitive_gradient_descent():
    y = players(0.4, 1.3)
    along = iterate(updates.Simultaneous(H), Adjusted(DIRAC, CompetitiveGradient(H)), y, 3).final_state
    descent = iterate(updates.CompetitiveGradient(H), DIRAC, y, 3).final_state
    np.testing.assert_allclose(flat(along), flat(descent), rtol=0, atol=SOLVED)


def test_a_step_that_has_its_drift_cancelled_has_the_multipliers_of_heun():
    found = analysis.multipliers(updates.Simultaneous(H), Adjusted(DIRAC, DriftCancelling(H)), ORIGIN)
    z = H * np.array([0.5j, -0.5j])
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(1 + z + z**2 / 2), rtol=0, atol=EIGENVALUES)


@pytest.mark.parametrize("rule", [updates.Simultaneous, updates.Alternating])
def test_an_update_whose_drift_is_cancelled_follows_the_flow_to_second_order(rule):
    field = GameField(games.LinearQuadratic(losses.Wasserstein()))
    start = players(0.5, 1.0)
    # At t = 1, from the table of reference states.
    there = np.array([0.367293670589203, 1.356430703308359])

    @eqx.filter_jit
    def end(h, steps):
        return iterate(rule(h), Adjusted(field, DriftCancelling(h, rule)), start, steps).final_state

    far, near = (np.linalg.norm(flat(end(jnp.asarray(1 / n), n)) - there) for n in (16, 32))
    # A factor of 4, and not of 2, to 10 % at these steps.
    assert 3.6 < far / near < 4.4


def test_cancelling_the_interaction_of_a_zero_sum_game_is_charging_each_player_the_others_gradient():
    y = players(0.4, 1.3)
    cancelled = Adjusted(DIRAC, DriftCancelling(H, part="interaction"))(0.0, y)
    charged = Adjusted(DIRAC, JacobianRegularization(H / 2))(0.0, y)
    np.testing.assert_allclose(flat(cancelled), flat(charged), rtol=0, atol=ROUNDING)


def test_the_generators_half_of_jare_is_the_gradient_norm_penalty():
    y, game = players(0.4, 1.3), games.LinearQuadratic(losses.Minimax())
    charged = Adjusted(GameField(game), JacobianRegularization(H))(0.0, y)
    penalized = GameField(Penalized(game, GradientNorm(H / 2)))(0.0, y)
    np.testing.assert_allclose(charged.generator, penalized.generator, rtol=0, atol=ROUNDING)


def test_jare_charges_the_discriminator_half_the_squared_gradient_of_the_generator():
    field, at, step = GameField(games.LinearQuadratic(losses.NonSaturating())), np.array([0.4, 1.3]), 1e-5

    def charge(w):
        return H / 2 * float(field(0.0, players(w, at[1])).generator) ** 2

    slope = (charge(at[0] + step) - charge(at[0] - step)) / (2 * step)
    added = Adjusted(field, JacobianRegularization(H))(0.0, players(*at)).discriminator
    plain = field(0.0, players(*at)).discriminator
    np.testing.assert_allclose(added - plain, -slope, rtol=0, atol=DIFFERENCES)


def test_crossing_the_curl_ends_the_cycles_of_the_linear_quadratic_wasserstein_gan():
    field = Adjusted(GameField(games.LinearQuadratic(losses.Wasserstein())), CrossingTheCurl())
    starts = players([0.5, -0.8, 0.1], [1.0, 0.6, 1.5])
    ends = simulate.ensemble(field, starts, jnp.array([0.0, 30.0])).final_state
    # exp(-30 * 8/9) is 3e-12; the tolerance of the solver is 1e-8.
    np.testing.assert_allclose(ends.discriminator, 0, rtol=0, atol=1e-7)
    np.testing.assert_allclose(ends.generator, 1, rtol=0, atol=1e-7)


def test_adjustments_go_around_each_other_and_through_an_ensemble():
    # A rotation R: looking ahead makes it R - 2 h I, and the symplectic part, R again, takes from it R^T times that.
    field = GameField(games.Dirac(losses.Wasserstein()))
    adjusted = Adjusted(Adjusted(field, LOLA(0.1)), SymplecticGradient(0.2))
    starts, ts = players([0.5, -0.8], [1.0, 0.6]), jnp.array([0.0, 2.0])
    ends = simulate.ensemble(adjusted, starts, ts).final_state
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    expected = scipy.linalg.expm(2 * (np.eye(2) - 0.2 * turn.T) @ (turn - 0.2 * np.eye(2)))
    found = np.stack([ends.discriminator, ends.generator])
    # A solve at a tolerance of 1e-8; measured 2e-9.
    np.testing.assert_allclose(found, expected @ np.array([[0.5, -0.8], [1.0, 0.6]]), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SymplecticGradient(-1.0), "`weight` must be at least 0 and finite, but is -1"),
        (lambda: SymplecticGradient(1.0, epsilon=0.0), "`epsilon` must be above 0 and finite, but is 0"),
        (lambda: JacobianRegularization(jnp.inf), "`weight` must be at least 0 and finite, but is inf"),
        (lambda: DriftCancelling(0.0), "`step_size` must be above 0 and finite, but is 0"),
        (
            lambda: DriftCancelling(0.1, part="all"),
            "`part` must be one of 'whole', 'interaction', 'self', but is 'all'",
        ),
        (lambda: DriftCancelling(0.1, 3), "`rule` must make an update from a step size, but is 3"),
        (lambda: LOLA(-0.1), "`step_size` must be at least 0 and finite, but is -0.1"),
        (lambda: LOLA(0.1, "all"), "`terms` must be one of 'both', 'look_ahead', 'shaping', but is 'all'"),
        (lambda: CompetitiveGradient(-0.1), "`step_size` must be at least 0 and finite, but is -0.1"),
        (lambda: CompetitiveGradient(0.1, rtol=0.0), "`rtol` must be above 0 and finite, but is 0"),
        (
            lambda: Adjusted(Adjusted(DIRAC, CrossingTheCurl()), LOLA(0.1))(0.0, ORIGIN),
            "`field` must be a `GameField` for `LOLA`, but is Adjusted",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(make, message, monkeypatch):
    # Users run without type checks.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()


def test_a_velocity_whose_equations_are_not_solved_is_no_number():
    field = GameField(games.Bilinear(jnp.diag(jnp.array([1.0, 2.0, 3.0]))))
    y = players([1.0, 1.0, 1.0], [0.5, 0.2, -0.4])
    few = Adjusted(field, regularizers.CompetitiveGradient(H, max_products=1))(0.0, y)
    assert np.all(np.isnan(flat(few)))
