"""Many paths of a stochastic differential equation, against closed answers, Diffrax and many runs of training."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, fields, iterate, noise, simulate
from gan_ode.simulate import OUTCOMES
from gan_ode.updates import Simultaneous
from tests.minibatches import covariance, FEW, flat, JS, neural_game, SIGMAS, standard_errors, WGAN, within

# Sums of some hundreds of products in float64: measured 1e-15.
ROUNDING = 1e-12


class Geometric(noise.AbstractDiffusion):
    """y dW / 2."""

    @property
    def additive(self):
        return False

    def increments(self, y, args):
        return jax.ShapeDtypeStruct((), y.dtype)

    def __call__(self, t, y, args):
        return lx.DiagonalLinearOperator(0.5 * y)


def decay_or_growth(t, y, args):
    """Of first and of third order, by two rates."""
    return args[0] * y + args[1] * y**3


GEOMETRIC = noise.SDE(decay_or_growth, Geometric())
DECAY, BLOW_UP = jnp.array([-0.3, 0.0]), jnp.array([0.0, 1.0])
NUM = 20_000


def geometric_paths(args, y0=1.0, **options):
    """Alike in all that a compiled program depends on."""
    ts = jnp.array([0.0, 1.0, 2.0])
    key = jax.random.key(1)
    options = {"num_paths": NUM, "step_size": 0.02, "chunk_size": 6_000, "args": args} | options
    return simulate.paths(GEOMETRIC, jnp.array(y0), ts, key=key, **options)


def test_stratonovichs_drift_of_geometric_noise_is_closed():
    drift = noise.stratonovich_drift(GEOMETRIC)
    np.testing.assert_allclose(drift(0.0, jnp.array(2.0), DECAY), (-0.3 - 0.5**2 / 2) * 2.0, rtol=ROUNDING)


@pytest.mark.parametrize("solver", [diffrax.Euler(), diffrax.EulerHeun()], ids=["Ito", "Stratonovich"])
def test_either_kind_of_solver_gives_itos_mean(solver):
    final = np.asarray(geometric_paths(DECAY, solver=solver).ys[:, -1])
    # Without the correction the mean would be e^(s^2 t / 2) = 1.28 times that; the step's own error is 0.2 %.
    within(final.mean(), np.exp(-0.3 * 2.0), final.std() / np.sqrt(NUM) + 0.002 / SIGMAS)


def test_a_path_is_what_diffrax_makes_of_the_terms_and_its_key_in_whatever_chunk():
    some = np.array([0, 7_000, NUM - 1])
    shape = jax.ShapeDtypeStruct((), jnp.float64)

    @jax.jit
    @jax.vmap
    def alone(key):
        terms = GEOMETRIC.terms(diffrax.UnsafeBrownianPath(shape, key))
        options = {"adjoint": diffrax.ForwardMode()}
        return diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, 2.0, 0.02, jnp.array(1.0), DECAY, **options).ys[0]

    found = alone(jax.random.split(jax.random.key(1), NUM)[some])
    np.testing.assert_allclose(geometric_paths(DECAY).ys[some, -1], found, rtol=ROUNDING)
    assert len(np.unique(found)) == 3


def test_any_number_of_paths_goes_through_transformations():
    def ends(y0):
        key = jax.random.key(0)
        orbit = simulate.paths(GEOMETRIC, y0, ts, key=key, num_paths=1200, step_size=0.5, args=DECAY)
        return orbit.final_state

    ts = jnp.array([0.0, 1.0])
    outside = ends(jnp.asarray(1.0))
    np.testing.assert_allclose(jax.jit(ends)(1.0), outside, rtol=ROUNDING)
    # Geometric paths are proportional to their start.
    np.testing.assert_allclose(jax.jvp(ends, (1.0,), (1.0,))[1], outside, rtol=ROUNDING)


def test_a_path_that_blows_up_spoils_no_other():
    orbit = geometric_paths(BLOW_UP, 0.5)
    blown = np.asarray(orbit.outcome == OUTCOMES.blow_up)
    assert 0.1 < blown.mean() < 0.9
    assert np.all(np.isfinite(orbit.ys[~blown])) and np.all(np.abs(orbit.ys[blown, -1]) > 1e100)


# Against many runs


@eqx.filter_jit
def _train(keys, field, draw, y0, h, size, num_steps, save_every):
    def one(key):
        def batch(n):
            return draw(jax.random.fold_in(key, n), size)

        return iterate(Simultaneous(h), field, y0, num_steps, batches=batch, save_every=save_every).ys

    return jax.vmap(one)(keys)


def train(game, field, y0, h, size, num_steps, num_runs, save_every, seed=0):
    """Many runs of simultaneous minibatch steps: runs by times."""
    keys = jax.random.split(jax.random.key(seed), num_runs)
    return _train(keys, field, game.sample, y0, jnp.asarray(h), size, num_steps, save_every)


def test_near_the_equilibrium_steps_and_equation_have_the_closed_covariances():
    field, at, args = fields.GameField(JS), JS.equilibrium, JS.quadrature(4)
    h, size, num_steps, num, step = 0.4, 32, 100, 2_000, 0.1
    # Noise h * 2/(45 B) on w, damping 1/10: in the end variances 2h/(9B) each for the equation.
    noise_matrix = jnp.diag(jnp.array([h * 2 / (45 * size), 0.0]))
    jacobian = analysis.jacobian(field, at)
    lyapunov = analysis.stationary_covariance(jacobian, noise_matrix)
    np.testing.assert_allclose(lyapunov, 2 * h / (9 * size) * np.eye(2), rtol=0, atol=ROUNDING)

    def of_steps(h):
        """Of steps of size h, as many as reach the same time."""
        one = analysis.jacobian(field, at, update=Simultaneous(jnp.asarray(h)))
        return np.diag(analysis.covariance_after_steps(one, h * noise_matrix, round(0.4 * num_steps / h)))

    # The two differ by a third of themselves, far more than by their standard errors of 3 %.
    assert np.all(of_steps(h) > 1.3 * np.diag(analysis.covariance_at(jacobian, noise_matrix, h * num_steps)))
    runs = jax.tree.map(lambda leaf: leaf[:, -1], train(JS, field, at, h, size, num_steps, num, num_steps))
    orbit = simulate.paths(
        noise.of_minibatches(field, h, size), at, jnp.array([0.0, h * num_steps]), key=jax.random.key(7),
        num_paths=num, step_size=step, args=args, chunk_size=num,
    )  # fmt: skip
    paths = jax.tree.map(lambda leaf: leaf[:, -1], orbit.ys)
    # The solver's own step is seen too: Euler's method is the discrete equation, at a quarter of h.
    for values, expected in ((flat(runs), of_steps(h)), (flat(paths), of_steps(step))):
        of_mean, of_variance = standard_errors(values)
        within(values.mean(axis=0) - np.array([0.0, 1.0]), 0.0, of_mean + 2e-3 / SIGMAS)
        # What is not linear is of the order of the variance itself, 4e-3.
        within(values.var(axis=0), expected, of_variance + 0.01 * expected / SIGMAS)


def test_the_wgan_drifts_out_linearly_in_time():
    field, at = fields.GameField(WGAN), WGAN.equilibrium
    h, size, step, ts, num = 0.01, 64, 0.01, jnp.array([0.0, 5.0, 10.0]), 2_000
    sde = noise.of_minibatches(field, h, size)
    orbit = simulate.paths(sde, at, ts, key=jax.random.key(2), num_paths=num, step_size=step, args=FEW, chunk_size=num)
    square = np.asarray(orbit.ys.discriminator**2 + (orbit.ys.generator - 1) ** 2)[:, 1:]
    rate = np.trace(
        analysis.covariance_growth(analysis.jacobian(field, at), jnp.asarray(covariance(sde.diffusion, at, FEW)))
    )
    np.testing.assert_allclose(rate, h * 8 / (45 * size), rtol=ROUNDING)
    # Euler's steps add a growth of their own, by step * (2/3)^2 * t / 2: 2 % at the end.
    within(square.mean(axis=0), rate * ts[1:], square.std(axis=0) / np.sqrt(num) + 0.02 * rate * ts[1:] / SIGMAS)


@pytest.mark.slow
def test_many_runs_of_networks_have_the_means_and_variances_of_the_equation():
    gan, y0, population = neural_game()
    field, h, size, num = fields.GameField(gan), 0.1, 8, 500
    sde = noise.of_minibatches(field, h, size, order=2)
    runs = train(gan, field, y0, h, size, 30, num, 10)
    ts = h * jnp.arange(0, 31, 10)
    orbit = simulate.paths(
        sde, y0, ts, key=jax.random.key(11), num_paths=num, step_size=h / 4, args=population, chunk_size=num
    )
    start = ravel_pytree(y0)[0]
    for at in range(1, 4):
        left, right = (flat(jax.tree.map(lambda leaf, at=at: leaf[:, at], ys)) for ys in (runs, orbit.ys))
        errors = [np.hypot(*pair) for pair in zip(standard_errors(left), standard_errors(right), strict=True)]
        moved = np.max(np.abs(right.mean(axis=0) - start))
        # Euler's own steps at a quarter of h, which parameters with little noise show: measured 2e-5 of 0.1.
        within(left.mean(axis=0), right.mean(axis=0), errors[0] + 0.005 * moved / SIGMAS)
        within(left.var(axis=0), right.var(axis=0), errors[1] + 0.05 * right.var(axis=0) / SIGMAS)


# What is refused


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        (diffrax.Tsit5(), "converge to a solution of a stochastic equation, but Tsit5"),
        (diffrax.ItoMilstein(), "does not commute, but ItoMilstein"),
        (diffrax.ShARK(), r"ShARK is for additive noise: freeze it by `noise\.Frozen"),
        (diffrax.ALIGN(), "ALIGN does not"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_solver_that_cannot_is_refused(solver, words):
    with pytest.raises(ValueError, match=words):
        geometric_paths(DECAY, solver=solver)


def test_times_between_steps_are_refused():
    with pytest.raises(ValueError, match=r"`ts` must lie on the steps, but 1 is 2.5 steps of 0.4"):
        geometric_paths(DECAY, step_size=0.4)


def test_times_so_late_that_steps_would_get_the_same_noise_are_refused():
    late = jnp.array([1e5, 1e5 + 0.1])
    with pytest.raises(ValueError, match=r"`ts` must lie where single precision tells steps of 0\.001 apart.* at 0"):
        simulate.paths(
            noise.of_minibatches(fields.GameField(WGAN), 0.1, 64), WGAN.equilibrium, late, key=jax.random.key(0),
            num_paths=1, step_size=1e-3, args=FEW,
        )  # fmt: skip
