"""The noise of minibatches: its covariance, its equation, and many paths of it against many runs of training."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import (
    analysis,
    backward_error,
    distributions,
    fields,
    games,
    iterate,
    losses,
    noise,
    regularizers,
    simulate,
)
from gan_ode.games import Players
from gan_ode.simulate import OUTCOMES
from gan_ode.updates import Simultaneous
from tests.catalogue import players

# Sums of some tens of products in float64: measured 1e-16, relative to the largest entry.
ROUNDING = 1e-12
# Of a squared uniform number on [-1, 1]: 1/5 - 1/9.
VARIANCE = 4 / 45
HERE = players(0.3, 1.2)
WGAN = games.LinearQuadratic(losses.Wasserstein())
JS = games.LinearQuadratic(losses.Minimax())
# Products of the polynomial velocities are exact with three nodes.
FEW = WGAN.quadrature(3)
# Statistical tests are at five standard errors, with fixed seeds: one in two million by chance.
SIGMAS = 5


@eqx.filter_jit
def matrix_of(diffusion, y, args):
    return diffusion(0.0, y, args).as_matrix()


def covariance(diffusion, y, args):
    matrix = np.asarray(matrix_of(diffusion, y, args))
    return matrix @ matrix.T


def within(found, expected, standard_error):
    """Whether an estimate agrees with a number to its standard error."""
    assert np.all(np.abs(np.asarray(found) - expected) < SIGMAS * np.asarray(standard_error)), (
        found,
        expected,
        standard_error,
    )


def flat(y):
    """Paths by parameters."""
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(y)], axis=1)


# The covariance


def test_the_covariance_of_the_wgan_is_the_closed_one_with_a_batch_size_for_each_part():
    # w' = mean x^2 - a^2 mean z^2 and a' = 2 w a mean z^2.
    found = covariance(noise.LowRank(fields.GameField(WGAN), 0.1, (16, 50)), HERE, FEW)
    w, a = 0.3, 1.2
    latent = np.array([-(a**2), 2 * w * a])
    expected = 0.1 * VARIANCE * (np.diag([1.0, 0.0]) / 16 + np.outer(latent, latent) / 50)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.max(expected))


def test_rates_scale_the_noise_with_the_field():
    field = fields.GameField(WGAN, rates=Players(2.0, 0.5))
    found = covariance(noise.LowRank(field, 0.1, 16), HERE, FEW)
    plain = covariance(noise.LowRank(fields.GameField(WGAN), 0.1, 16), HERE, FEW)
    rates = np.array([2.0, 0.5])
    np.testing.assert_allclose(found, plain * np.outer(rates, rates), rtol=0, atol=ROUNDING * np.max(plain))


@pytest.mark.parametrize(
    "game",
    [JS, regularizers.Penalized(WGAN, regularizers.GradientNorm(0.5))],
    ids=["JS", "regularized WGAN"],
)
def test_the_covariance_is_that_of_many_minibatch_fields(game):
    field, size, num = fields.GameField(game), 256, 20_000
    draws = jax.jit(jax.vmap(lambda key: field(0.0, HERE, JS.sample(key, size))))(
        jax.random.split(jax.random.key(0), num)
    )
    apart = flat(draws) - np.mean(flat(draws), axis=0)
    found = np.mean(apart[:, :, None] * apart[:, None], axis=0)
    standard_error = np.std(apart[:, :, None] * apart[:, None], axis=0) / np.sqrt(num)
    expected = covariance(noise.LowRank(field, 1.0, size), HERE, JS.quadrature(8))
    # The penalty multiplies two means: its covariance has terms of second order in 1/size, measured 0.4 %.
    within(found, expected, standard_error + 0.01 * np.abs(expected) / SIGMAS)


def test_at_the_equilibrium_the_regularizer_carries_the_discriminators_noise_to_the_generator():
    eta = 0.4
    field = fields.GameField(regularizers.Penalized(WGAN, regularizers.GradientNorm(eta)))
    found = covariance(noise.LowRank(field, 0.1, 64), WGAN.equilibrium, FEW)
    # a' holds (4/3) eta times the noise of w'.
    along = np.array([1.0, 4 * eta / 3])
    expected = 0.1 * 2 * VARIANCE / 64 * np.outer(along, along)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.max(expected))


@functools.cache
def neural_game(dtype=jnp.float64):
    """Twenty-six parameters, thirty-two data and as many latent points."""
    d_key, g_key, data_key, latent_key = jax.random.split(jax.random.key(3), 4)
    gan = games.GAN(
        eqx.nn.MLP("scalar", "scalar", 4, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP("scalar", "scalar", 4, 1, activation=jnp.tanh, key=g_key),
        losses.Minimax(),
        data=distributions.Empirical(1.0 + 0.5 * jax.random.normal(data_key, (32,))),
        latent=distributions.Empirical(jax.random.normal(latent_key, (32,))),
    )
    population = gan.data.points.astype(dtype), gan.latent.points.astype(dtype)
    return gan, jax.tree.map(lambda leaf: leaf.astype(dtype), gan.players), population


def by_examples(gan, y, population):
    """The covariances of the velocities of single data, and of single latent points, one example at a time."""
    field, (data, latent) = fields.GameField(gan), population

    def velocity(x, z):
        return ravel_pytree(field(0.0, y, (x[None], z[None])))[0]

    of_data = jax.jit(jax.vmap(velocity, (0, None)))(data, latent[0])
    of_latent = jax.jit(jax.vmap(velocity, (None, 0)))(data[0], latent)
    return np.cov(of_data.T, bias=True), np.cov(of_latent.T, bias=True)


def test_the_covariance_of_networks_is_that_of_single_examples():
    gan, y, population = neural_game()
    of_data, of_latent = by_examples(gan, y, population)
    expected = 0.1 * (of_data / 8 + of_latent / 5)
    found = covariance(noise.LowRank(fields.GameField(gan), 0.1, (8, 5)), y, population)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.max(np.abs(expected)))


def test_the_diagonal_is_that_of_the_covariance():
    gan, y, population = neural_game()
    of_data, of_latent = by_examples(gan, y, population)
    diffusion = noise.Diagonal(fields.GameField(gan), 0.1, (8, 5))
    expected = 0.1 * np.diag(of_data / 8 + of_latent / 5)
    np.testing.assert_allclose(
        ravel_pytree(eqx.filter_jit(diffusion.variances)(0.0, y, population))[0],
        expected,
        rtol=0,
        atol=ROUNDING * np.max(expected),
    )
    np.testing.assert_allclose(
        covariance(diffusion, y, population), np.diag(expected), rtol=0, atol=ROUNDING * np.max(expected)
    )


def test_the_noise_keeps_the_dtype_of_the_parameters():
    gan, y, population = neural_game(jnp.float32)
    diffusion = noise.LowRank(fields.GameField(gan), 0.1, 8)
    increments = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), diffusion.increments(y, population))
    assert {leaf.dtype for leaf in jax.tree.leaves(increments)} == {jnp.dtype("float32")}
    drawn = jax.eval_shape(lambda: diffusion(0.0, y, population).mv(increments))
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}


def test_frozen_noise_is_that_of_its_state_everywhere():
    diffusion = noise.LowRank(fields.GameField(WGAN), 0.1, 64)
    frozen = noise.Frozen(diffusion, HERE, FEW)
    np.testing.assert_array_equal(covariance(frozen, players(5.0, 5.0), None), covariance(diffusion, HERE, FEW))
    assert frozen.additive and not diffusion.additive


# The equation


def test_the_modified_noise_lacks_half_a_step_of_what_the_flow_does_to_it():
    field, h, eps = fields.GameField(WGAN), 0.2, 1e-6
    diffusion = noise.LowRank(field, h, 64)

    def matrix(y):
        return np.asarray(matrix_of(diffusion, y, FEW))

    velocity = field(0.0, HERE, FEW)
    ahead = jax.tree.map(lambda leaf, v: leaf + eps * v, HERE, velocity)
    behind = jax.tree.map(lambda leaf, v: leaf - eps * v, HERE, velocity)
    along_flow = (matrix(ahead) - matrix(behind)) / (2 * eps)
    w, a = 0.3, 1.2
    jacobian = np.array([[0, -2 * a / 3], [2 * a / 3, 2 * w / 3]])
    expected = matrix(HERE) - h / 2 * (jacobian @ matrix(HERE) + along_flow)
    found = matrix_of(noise.Modified(diffusion, field, h), HERE, FEW)
    # Central differences: measured 1e-12 of entries of 1e-2.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@functools.cache
def variance_errors():
    """Relative errors of stationary variances against the steps', at two step sizes, for three equations."""
    field, at, args = fields.GameField(JS), JS.equilibrium, JS.quadrature(8)
    errors = []
    for h in (0.02, 0.01):
        plain = noise.of_minibatches(field, jnp.array(h), 64)
        second = noise.of_minibatches(field, jnp.array(h), 64, order=2)
        q = jnp.asarray(h * covariance(plain.diffusion, at, args))
        exact = analysis.stationary_covariance_of_steps(
            analysis.step_jacobian(Simultaneous(jnp.array(h)), field, at), q
        )
        equations = plain, noise.SDE(second.drift, plain.diffusion), second
        found = [
            analysis.stationary_covariance(
                analysis.jacobian(each.drift, at, args), jnp.asarray(covariance(each.diffusion, at, args))
            )
            for each in equations
        ]
        errors.append([float(jnp.linalg.norm(each - exact) / jnp.linalg.norm(exact)) for each in found])
    return np.array(errors)


@pytest.mark.parametrize(("equation", "order"), [(0, 1), (1, 1), (2, 2)], ids=["plain", "drift modified", "both"])
def test_variances_are_of_second_order_only_with_drift_and_noise_modified(equation, order):
    errors = variance_errors()[:, equation]
    # Measured 1.02, 1.00 and 2.02.
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, rtol=0, atol=0.05)


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


def test_stratonovichs_drift_of_minibatches_is_that_by_finite_differences():
    sde, eps = noise.of_minibatches(fields.GameField(WGAN), 0.1, 2), 1e-6
    point = np.array([0.3, 1.2])

    def matrix(point):
        return np.asarray(matrix_of(sde.diffusion, players(*point), FEW))

    correction = sum(
        (matrix(point + eps * column)[:, j] - matrix(point - eps * column)[:, j]) / (2 * eps)
        for j, column in enumerate(matrix(point).T)
    )
    found = noise.stratonovich_drift(sde)(0.0, HERE, FEW)
    plain = sde.drift(0.0, HERE, FEW)
    moved = np.array([found.discriminator - plain.discriminator, found.generator - plain.generator])
    # Of entries of 5e-3, so that a forgotten half shows; central differences measured 1e-12.
    np.testing.assert_allclose(moved, -correction / 2, rtol=0, atol=1e-9)
    assert np.max(np.abs(moved)) > 1e-3


# Many paths


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


def standard_errors(values):
    """Of mean and variance, over the first axis."""
    apart = values - values.mean(axis=0)
    return apart.std(axis=0) / np.sqrt(len(values)), (apart**2).std(axis=0) / np.sqrt(len(values))


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
        one = analysis.step_jacobian(Simultaneous(jnp.asarray(h)), field, at)
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
    h, size, step, ts, num = 0.01, 64, 0.01, jnp.array([0.0, 5.0, 10.0]), 4_000
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


def test_impossible_numbers_are_refused():
    field = fields.GameField(WGAN)
    with pytest.raises(ValueError, match="`batch_size` must be above 0"):
        noise.LowRank(field, 0.1, (8, 0))
    with pytest.raises(ValueError, match="`step_size` must be above 0"):
        noise.Diagonal(field, -0.1, 8)
    with pytest.raises(ValueError, match="`order` must be 1 or 2, but is 3"):
        noise.of_minibatches(field, 0.1, 8, order=3)
    with pytest.raises(ValueError, match=r"`args` must be a minibatch `\(data, latent\)`, but is NoneType"):
        noise.LowRank(field, 0.1, 8)(0.0, HERE, None)


def test_the_second_order_drift_is_the_modified_field():
    field = fields.GameField(WGAN)
    found = noise.of_minibatches(field, 0.2, 8, order=2).drift(0.0, HERE, FEW)
    expected = backward_error.modified_field(Simultaneous, field, 0.2)(0.0, HERE, FEW)
    assert (found.discriminator, found.generator) == (expected.discriminator, expected.generator)
