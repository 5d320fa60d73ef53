"""What papers say of the games that they made, asked of the package; and what the small games refuse."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

from gan_ode import analysis, fields, games, iterate, losses, updates
from gan_ode.games import Players
from tests.catalogue import flat, players
from tests.game_facts import FORSAKEN, game_of, regulated_velocity

# Dopri8 at 1e-10 against DOP853 at 1e-12, over a few turns.
PERIOD = 1e-6


def period_by_scipy(velocity, start, settle):
    """The time between two upward crossings of the generator's axis, once the orbit has settled."""

    def crossing(t, y):
        return y[1]

    crossing.direction = 1
    tight = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
    late = scipy.integrate.solve_ivp(lambda t, y: velocity(y), (0, settle), start, **tight).y[:, -1]
    found = scipy.integrate.solve_ivp(lambda t, y: velocity(y), (0, 30), late, events=crossing, **tight)
    return float(np.diff(found.t_events[0])[0])


def test_the_almost_bilinear_game_ends_on_the_cycle_from_within_and_without():
    field = fields.GameField(games.AlmostBilinear())
    for start in (players(0.1, 0.0), players(0.0, 2.5)):
        assert analysis.classify(field, start).kind == "cycles"
    expected = period_by_scipy(lambda y: np.array([y[1] + 0.5 * (y[0] - y[0] ** 3), -y[0]]), [0.1, 0.0], 80)
    assert abs(analysis.find_periodic_orbit(field, players(0.0, 1.2)).period - expected) < PERIOD


def test_the_almost_bilinear_cycle_has_the_radius_of_the_averaged_equation():
    # Averaged over a turn, r' = (epsilon/2) (r - 3 r^3 / 4): zero at sqrt(4/3), up to epsilon^2.
    field = fields.GameField(games.AlmostBilinear(0.05))
    orbit = analysis.find_periodic_orbit(field, players(0.0, 1.1))
    radius = np.hypot(*flat(orbit.y))
    assert abs(radius - np.sqrt(4 / 3)) < 0.02


def test_the_forsaken_game_is_shielded():
    """From near by to the point, from elsewhere to the outer cycle, and another cycle, that repels, between them."""
    field, game = fields.GameField(games.Forsaken()), games.Forsaken()
    near, far = (players(*(FORSAKEN + np.array([0.0, away]))) for away in (0.05, 1.0))
    assert analysis.classify(field, near).kind == "converges"
    assert analysis.classify(field, far).kind == "cycles"
    backward = lambda t, y, args: jax.tree.map(jnp.negative, field(t, y, args))  # noqa: E731
    inner = analysis.find_periodic_orbit(backward, players(*(FORSAKEN + np.array([0.0, 0.35]))))
    # Its multiplier in forward time is the inverse: the cycle repels.
    assert analysis.cycle_type(inner.multipliers) == "attracting"
    assert 0.1 < np.hypot(*(flat(inner.y) - flat(game.equilibrium))) < 1.0


def test_descent_is_stable_at_what_is_no_local_nash_equilibrium():
    game = games.Quadratic.not_local_nash()
    found = analysis.optimality(fields.GameField(game), game.equilibrium)
    assert (found.stable, found.local_nash, found.local_min_max) == (True, False, True)


@pytest.mark.parametrize(("damping", "frequency"), [(0.1, 10.0), (0.5, 2.0)])
def test_euler_leaves_a_fast_rotation_beyond_the_closed_form(damping, frequency):
    game = games.Quadratic.rotation(damping, frequency)
    critical = analysis.critical_step_size(updates.Simultaneous, fields.GameField(game), game.equilibrium)
    np.testing.assert_allclose(critical, 2 * damping / (damping**2 + frequency**2), rtol=1e-9)


def test_gradient_play_leaves_the_nash_equilibrium_of_two_regulators():
    root = scipy.optimize.root(lambda y: regulated_velocity(y, 1.0), [0.42, 0.46, 0.35, -0.71], tol=1e-13)
    field = fields.GameField(games.Mazumdar())
    nash = Players(jnp.asarray(root.x[None, :2]), jnp.asarray(root.x[None, 2:]))
    assert fields.velocity_size(field, nash) < 1e-10
    h = 1e-6
    steps = [
        (regulated_velocity(root.x + h * e, 1.0) - regulated_velocity(root.x - h * e, 1.0)) / (2 * h) for e in np.eye(4)
    ]
    expected = np.linalg.eigvals(np.array(steps).T)
    assert np.sort(expected.real)[-1] > 1e-3
    found = np.asarray(analysis.spectrum(field, nash))
    # Central differences of step 1e-6 of a field of size ten.
    np.testing.assert_allclose(np.sort(found.real), np.sort(expected.real), rtol=0, atol=1e-6)
    # Either gain alone is best against the other's: a player's own block damps.
    own = np.array(steps).T
    assert all(np.linalg.eigvalsh(block + block.T).max() < 0 for block in (own[:2, :2], own[2:, 2:]))


def test_a_system_that_is_not_stable_has_no_cost():
    game = games.Mazumdar()
    lost = game.losses(Players(jnp.array([[-3.0, 0.0]]), jnp.array([[0.0, 0.0]])), None)
    assert jnp.isnan(lost.discriminator) and jnp.isnan(lost.generator)


def test_simultaneous_steps_of_a_matrix_game_are_multiplicative_weights():
    game = games.Matrix.rock_paper_scissors()
    y, h = Players(jnp.array([0.3, -0.2, 0.1]), jnp.array([0.5, 0.0, -0.4])), 0.3
    mixed = game.strategies(y)
    moved = game.strategies(iterate(updates.Simultaneous(h), fields.GameField(game), y, 1).final_state)
    payoff = np.asarray(game.payoff)
    weights = np.asarray(mixed.discriminator) * np.exp(h * payoff @ np.asarray(mixed.generator))
    np.testing.assert_allclose(moved.discriminator, weights / weights.sum(), rtol=1e-13)
    won = game.payoffs(y)
    assert jnp.isclose(won.discriminator, -won.generator) and jnp.isclose(
        won.discriminator, mixed.discriminator @ payoff @ mixed.generator
    )


def test_the_mixed_equilibrium_is_found_or_refused():
    mixed = game_of("matrix_general_sum").strategies(game_of("matrix_general_sum").equilibrium)
    np.testing.assert_allclose(mixed.discriminator, [0.25, 0.75], rtol=1e-12)
    np.testing.assert_allclose(mixed.generator, [0.4, 0.6], rtol=1e-12)
    with pytest.raises(Exception, match="some strategy is never played"):
        _ = games.Matrix(jnp.array([[2.0, 3.0], [0.0, 1.0]])).equilibrium


def test_minibatches_of_the_sampled_games_have_their_moments():
    key = jax.random.key(0)
    # A hundred thousand draws: standard errors of a hundredth and less.
    data, latent = games.GaussianMean(losses.Minimax(), jnp.array([4.0, 0.25]), jnp.array([1.0, -2.0])).sample(
        key, 100_000
    )
    np.testing.assert_allclose(jnp.mean(data, 0), [1.0, -2.0], atol=0.03)
    np.testing.assert_allclose(jnp.std(data, 0), [2.0, 0.5], rtol=0.02)
    np.testing.assert_allclose(jnp.std(latent, 0), [1.0, 1.0], rtol=0.02)
    covariance = jnp.array([[1.0, 0.3], [0.3, 0.6]])
    data, _ = games.GaussianCovariance(losses.Minimax(), covariance).sample(key, 100_000)
    np.testing.assert_allclose(jnp.cov(data.T), covariance, atol=0.02)
    data, _ = games.MultivariateLinearQuadratic(losses.Minimax(), jnp.array([1.0, 0.0]), covariance).sample(
        key, 100_000
    )
    np.testing.assert_allclose(jnp.cov(data.T), covariance, atol=0.02)
    kernel = games.Kernel(losses.Minimax(), jnp.array([[0.0], [1.0]]))
    data, units = kernel.sample(key, 50, particles=3)
    assert data.shape == (50, 1) and units.shape == (50, 3) and jnp.all(units.sum(1) == 1)
    drawn, latent = games.FiniteSample(games.LinearQuadratic(losses.Minimax()), jnp.array([0.5, 0.25])).sample(key, 30)
    assert set(np.asarray(drawn)) == {0.5, 0.25} and len(latent) == 30


MINIMAX = losses.Minimax()
TRACED = {
    "quadratic": (lambda s: games.Quadratic(s * jnp.eye(2), jnp.eye(2), s * jnp.eye(2)), (2,), (2,)),
    "rotation": (lambda s: games.Quadratic.rotation(s, 3 * s), (1,), (1,)),
    "gaussian_mean": (lambda s: games.GaussianMean(MINIMAX, s * jnp.ones(2), num_nodes=2), (2,), (2,)),
    "covariance": (lambda s: games.GaussianCovariance(MINIMAX, s * jnp.eye(2), num_nodes=2), (2, 2), (2, 2)),
    "matrix": (lambda s: games.Matrix(s * jnp.eye(2)), (2,), (2,)),
    "kernel": (lambda s: games.Kernel(MINIMAX, jnp.ones((2, 1)), width=s), (2,), (3, 1)),
    "finite_sample": (lambda s: games.FiniteSample(games.Dirac(MINIMAX), s * jnp.ones(2)), (), ()),
    "mazumdar": (lambda s: games.Mazumdar(start=s * jnp.eye(2)), (1, 2), (1, 2)),
}


@pytest.mark.parametrize("name", TRACED)
def test_the_numbers_of_a_game_may_be_traced(name):
    make, of_discriminator, of_generator = TRACED[name]
    y = Players(jnp.full(of_discriminator, 0.1), jnp.full(of_generator, 0.2))
    # Traced, and not compiled.
    found = jax.eval_shape(jax.vmap(lambda s: fields.GameField(make(s))(0.0, y, None)), jnp.array([1.0, 2.0, 3.0]))
    assert (found.discriminator.shape, found.generator.shape) == ((3, *of_discriminator), (3, *of_generator))


WRONG = [
    (lambda: games.Quadratic(jnp.eye(2), jnp.eye(1), jnp.ones((1, 2))), "`coupling` must have the shape"),
    (lambda: games.Dirac(MINIMAX, dim=0), "`dim` must be at least 1, but is 0"),
    (lambda: games.GaussianMean(MINIMAX, jnp.array([1.0, 0.0])), "`variances` must be finite and above 0"),
    (lambda: games.GaussianMean(MINIMAX, jnp.ones(2), jnp.ones(3)), "`mean` must have the shape of `variances`"),
    (lambda: games.GaussianCovariance(MINIMAX, jnp.array([[1.0, 2.0], [2.0, 1.0]])), "has the eigenvalue -1"),
    (lambda: games.GaussianCovariance(MINIMAX, jnp.array([[1.0, 2.0], [0.0, 1.0]])), "is not symmetric"),
    (lambda: games.MultivariateLinearQuadratic(MINIMAX, jnp.ones(3), jnp.eye(2)), "`mean` must have 2 entries"),
    (lambda: games.Matrix(jnp.eye(2), jnp.ones((2, 3))), "`generator_payoff` must have the shape of `payoff`"),
    (
        lambda: games.Kernel(MINIMAX, jnp.ones((2, 1)), jnp.ones((2, 2))),
        "`landmarks` must have the dimension of `data`",
    ),
    (lambda: games.Kernel(MINIMAX, jnp.ones((2, 1)), width=0.0), "`width` must be above 0"),
    (lambda: games.FiniteSample(games.Bilinear(jnp.eye(1)), jnp.ones(2)), "but is Bilinear"),
    (lambda: games.FiniteSample(games.Dirac(MINIMAX), jnp.ones(0)), "`data` must hold at least one point"),
    (lambda: games.Heusel(0.0), "`height` must be above 0"),
    (lambda: games.AlmostBilinear(jnp.inf), "`epsilon` must be finite"),
    (lambda: games.Mazumdar(start=jnp.eye(3)), "`start` must have the shape"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_what_cannot_work_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()
