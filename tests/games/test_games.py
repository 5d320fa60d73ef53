"""The games: closed-form fields, and networks as players.

What every game shares is in `test_conformance.py`; here stand the formulas of each one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.integrate
from jax.flatten_util import ravel_pytree

from gan_ode import distributions, fields, games, losses
from gan_ode.games import Dirac, GAN, gradients, LinearQuadratic, Players
from tests.catalogue import flat, gan, LOSSES, ONE_FUNCTION, players, sigmoid

# Sums of 40 terms, and characteristic polynomials: measured 5e-15.
ROUNDING = 1e-13


@eqx.filter_jit
def velocity(game, y, args=None):
    return fields.GameField(game)(0.0, y, args)


@eqx.filter_jit
def losses_of(game, y, args=None):
    return game.losses(y, args)


@eqx.filter_jit
def jacobian(game, y):
    numbers, back = ravel_pytree(y)
    return jax.jacfwd(lambda x: ravel_pytree(fields.GameField(game)(0.0, back(x)))[0])(numbers)


def phi(s):
    """The integral of x^2 sigmoid(s x^2) over [0, 1], adaptively."""
    return scipy.integrate.quad(lambda x: x**2 * sigmoid(s * x**2), 0, 1, epsabs=1e-14, epsrel=1e-14)[0]


POINTS = [(0.5, 1.0), (-1.3, 0.4), (0.7, -1.6), (0.0, 2.0)]


@pytest.mark.parametrize(("w", "a"), POINTS)
def test_linear_quadratic_wasserstein_is_a_polynomial(w, a):
    game = LinearQuadratic(losses.Wasserstein())
    np.testing.assert_allclose(
        flat(velocity(game, players(w, a))), [(1 - a**2) / 3, 2 * w * a / 3], rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize(("w", "a"), POINTS)
def test_linear_quadratic_minimax_is_an_integral_of_the_logistic_function(w, a):
    expected = [phi(-w) - a**2 * phi(w * a**2), 2 * w * a * phi(w * a**2)]
    np.testing.assert_allclose(
        flat(velocity(LinearQuadratic(losses.Minimax()), players(w, a))), expected, rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize("half_width", [0.5, 1.0, 2.0])
def test_data_of_another_half_width_scale_the_data_term(half_width):
    w, a, c = 0.3, 0.8, half_width
    expected = [c**2 * phi(-w * c**2) - a**2 * phi(w * a**2), 2 * w * a * phi(w * a**2)]
    game = LinearQuadratic(losses.Minimax(), c)
    np.testing.assert_allclose(flat(velocity(game, players(w, a))), expected, rtol=0, atol=ROUNDING)


def test_forty_nodes_are_as_good_as_documented_at_large_scores():
    # 2e-12 relative is documented for |w| c^2 = 10; measured 4e-14.
    for w in (10.0, -10.0):
        w_dot = velocity(LinearQuadratic(losses.Minimax()), players(w, 0.0)).discriminator
        np.testing.assert_allclose(w_dot, phi(-w), rtol=2e-12)


@pytest.mark.parametrize("y", [(0.5, -0.2, 1.0, 0.3), (-1.3, 0.4, 0.6, -0.7)])
def test_linear_quadratic_wasserstein_with_all_terms_is_a_polynomial(y):
    w2, w1, a, b = y
    game = LinearQuadratic(losses.Wasserstein(), linear=True, offset=True)
    expected = [(1 - a**2) / 3 - b**2, -b, 2 * w2 * a / 3, 2 * w2 * b + w1]
    np.testing.assert_allclose(flat(velocity(game, players([w2, w1], [a, b]))), expected, rtol=0, atol=ROUNDING)


def test_an_offset_alone_and_a_linear_term_alone_are_the_full_game_restricted():
    full = LinearQuadratic(losses.Minimax(), linear=True, offset=True)
    everything = velocity(full, players([0.3, 0.0], [0.9, 0.2]))
    offset = velocity(LinearQuadratic(losses.Minimax(), offset=True), players(0.3, [0.9, 0.2]))
    np.testing.assert_allclose(offset.discriminator, everything.discriminator[0], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(offset.generator, everything.generator, rtol=0, atol=ROUNDING)
    everything = velocity(full, players([0.3, -0.4], [0.9, 0.0]))
    linear = velocity(LinearQuadratic(losses.Minimax(), linear=True), players([0.3, -0.4], 0.9))
    np.testing.assert_allclose(linear.discriminator, everything.discriminator, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(linear.generator, everything.generator[0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # (9 t^2 + 4)(t^2 + 1) / 9
        ("wasserstein", np.polymul([9, 0, 4], [1, 0, 1]) / 9),
        # (90 t^2 + 9 t + 10)(12 t^2 + 2 t + 3) / 1080
        ("minimax", np.polymul([90, 9, 10], [12, 2, 3]) / 1080),
    ],
)
def test_the_characteristic_polynomial_with_all_terms(loss, expected):
    game = LinearQuadratic(LOSSES[loss].make(), linear=True, offset=True)
    np.testing.assert_allclose(np.poly(jacobian(game, game.equilibrium)), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("half_width", [1.0, 3.0])
def test_the_jacobian_of_wide_data_is_the_closed_form(half_width):
    game = LinearQuadratic(losses.Minimax(), half_width)
    expected = [[-(half_width**4) / 10, -half_width / 3], [half_width / 3, 0]]
    np.testing.assert_allclose(jacobian(game, game.equilibrium), expected, rtol=1e-12, atol=1e-12)


def test_a_mirrored_generator_moves_as_its_mirror_image():
    game = LinearQuadratic(losses.NonSaturating())
    here, mirrored = velocity(game, players(0.4, 1.2)), velocity(game, players(0.4, -1.2))
    np.testing.assert_allclose(flat(mirrored), flat(here) * [1, -1], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("num_nodes", [1, 2, 9, 12])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("offset", [False, True])
def test_where_scores_are_even_half_of_the_nodes_give_what_all_do(num_nodes, linear, offset, monkeypatch):
    game = LinearQuadratic(losses.NonSaturating(), 1.3, linear=linear, offset=offset, num_nodes=num_nodes)
    y = Players(
        jnp.array([0.7, -0.4]) if linear else jnp.array(0.7), jnp.array([0.8, 0.3]) if offset else jnp.array(0.8)
    )
    found, all_nodes = game.losses(y, None), game.losses(y, game.quadrature(num_nodes))
    np.testing.assert_allclose(flat(found), flat(all_nodes), rtol=ROUNDING, atol=ROUNDING)
    scored = []
    monkeypatch.setattr(losses.NonSaturating, "f", lambda self, scores: scored.append(len(scores)) or scores)
    game.losses(y, None)
    half = -(-num_nodes // 2)
    assert scored == [num_nodes if linear else half, num_nodes if linear or offset else half]


@pytest.mark.parametrize(("psi", "theta"), POINTS)
def test_dirac_minimax_is_the_closed_form(psi, theta):
    s = sigmoid(-theta * psi)
    np.testing.assert_allclose(
        flat(velocity(Dirac(losses.Minimax()), players(psi, theta))), [theta * s, -psi * s], rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize(("psi", "theta"), POINTS)
def test_dirac_non_saturating_pays_the_generator_by_the_opposite_score(psi, theta):
    expected = [theta * sigmoid(-theta * psi), -psi * sigmoid(theta * psi)]
    np.testing.assert_allclose(
        flat(velocity(Dirac(losses.NonSaturating()), players(psi, theta))), expected, rtol=0, atol=ROUNDING
    )


def test_bilinear_rotates_with_the_singular_values():
    matrix = np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]])
    game = games.Bilinear(jnp.asarray(matrix))
    frequencies = np.sort(np.linalg.eigvals(jacobian(game, game.equilibrium)).imag)
    singular = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(frequencies[-2:], np.sort(singular), rtol=1e-12)
    np.testing.assert_allclose(frequencies[2], 0, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearQuadratic(losses.Minimax(), 0.0), "`half_width` must be above 0"),
        (lambda: LinearQuadratic(losses.Minimax(), jnp.nan), "`half_width` must be above 0 and finite"),
        (lambda: LinearQuadratic(losses.Minimax(), quadratic=False), "`linear` and `quadratic` must not both be False"),
        (lambda: LinearQuadratic(losses.Minimax(), num_nodes=0), "`num_nodes` must be at least 1"),
        (lambda: games.Bilinear(jnp.ones(3)), "`matrix` must have two axes, but has shape .3,.: use `jnp.atleast_2d`"),
    ],
)
def test_what_cannot_work_is_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()


def test_a_whole_number_as_half_width_gives_a_state_of_decimal_numbers():
    equilibrium = LinearQuadratic(losses.Minimax(), 2).equilibrium
    assert {leaf.dtype for leaf in jax.tree.leaves(equilibrium)} == {jnp.dtype(float)}


# Zero-sum games take one backward pass; what they say of themselves has to be true.


@pytest.mark.parametrize("name", ONE_FUNCTION)
def test_a_game_that_says_it_is_zero_sum_has_opposite_gradients(name):
    game = LinearQuadratic(LOSSES[name].make())

    def both(a, w=-0.7):
        losses = game.losses(players(w, a), None)
        return jnp.stack([losses.discriminator, losses.generator])

    of_discriminator, of_generator = jax.jit(jax.jacfwd(both))(1.4)
    assert game.zero_sum == bool(jnp.allclose(of_discriminator, -of_generator))


# What a class says of its methods is not trusted of those that a class made of it has written anew.


class RelativisticDirac(Dirac):
    """Pairs a datum with a sample: -f(D(x) - D(G(z))) and -f(D(G(z)) - D(x)) are not zero-sum, whatever f is."""

    def losses(self, y, args):
        datum = latent = jnp.zeros(())
        real, made = (self.discriminate(y.discriminator, x) for x in (datum, self.generate(y.generator, latent)))
        return Players(-self.loss.f(real - made), -self.loss.f(made - real))


class RelativisticNetworks(GAN):
    def losses(self, y, args):
        data, latent = args
        real = jax.vmap(lambda x: self.discriminate(y.discriminator, x))(data)
        made = jax.vmap(lambda z: self.discriminate(y.discriminator, self.generate(y.generator, z)))(latent)
        return Players(-jnp.mean(self.loss.f(real - made)), -jnp.mean(self.loss.f(made - real)))


class Weighted(games.Bilinear):
    """The generator pays three times what the discriminator gets."""

    def losses(self, y, args):
        value = y.discriminator @ self.matrix @ y.generator
        return Players(-value, 3 * value)


class Paid(losses.Minimax):
    """The saturating loss with another pay for the generator, still called zero-sum by the class that it is made of."""

    def generator(self, score):
        return -3 * score


class Bent(losses.Wasserstein):
    """No polynomial of degree 1 any more, and not zero-sum."""

    def f(self, score):
        return jnp.tanh(score)


class OneSided(LinearQuadratic):
    """D(x) = w (x^2 + x^5) is not even."""

    def discriminate(self, discriminator, x):
        return discriminator * (x**2 + x**5)


class Cubed(LinearQuadratic):
    """G(z) = a (z + z^2 / 2) makes other samples of z than of -z."""

    def generate(self, generator, z):
        return generator * (z + z**2 / 2)


class Shifted(LinearQuadratic):
    """Data on [0, 2 c]."""

    def measures(self, y, args):
        data, latent = LinearQuadratic.measures(self, y, args)
        return distributions.Quadrature(data.nodes + self.half_width, data.weights), latent


def differences(game, y, args=None):
    """Minus the slopes of each player's own loss, by central differences."""
    numbers, back = ravel_pytree(y)
    num = ravel_pytree(y.discriminator)[0].size

    @jax.jit
    def paid(x):
        of = game.losses(back(x), args)
        return jnp.stack([of.discriminator, of.generator])

    steps = 1e-5 * jnp.eye(numbers.size)
    slopes = np.array([(paid(numbers + e) - paid(numbers - e)) / 2e-5 for e in steps])
    return -np.concatenate([slopes[:num, 0], slopes[num:, 1]])


def test_the_relativistic_dirac_gan_follows_its_own_losses():
    game = RelativisticDirac(losses.Minimax())
    y = players(0.7, 1.1)
    # f(D(x) - D(G(z))) = f(psi theta), and f'(s) is the logistic function of -s.
    expected = [1.1 * sigmoid(-0.77), -0.7 * sigmoid(0.77)]
    np.testing.assert_allclose(flat(velocity(game, y)), expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(expected[1], -0.4785, rtol=0, atol=5e-5)
    assert not game.zero_sum


def relativistic_networks():
    game = gan(losses.Minimax())
    one, other = game.modules(game.players)
    return RelativisticNetworks(one, other, game.loss, data=game.data, latent=game.latent)


REWRITTEN = {
    "the losses of a game of networks": relativistic_networks,
    "the losses of a game that says so itself": lambda: Weighted(jnp.array([[1.0, 2.0], [0.5, -1.0]])),
    "what the generator pays": lambda: Dirac(Paid()),
    "what the discriminator gets": lambda: LinearQuadratic(Bent()),
    "scores that are no longer even": lambda: OneSided(losses.Minimax()),
    "scores of a higher degree": lambda: OneSided(losses.LeastSquares()),
    "samples that are no longer symmetric": lambda: Cubed(losses.NonSaturating()),
    "data that are no longer symmetric": lambda: Shifted(losses.Minimax()),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_is_written_anew_is_what_is_followed(name):
    game = REWRITTEN[name]()
    if name == "the losses of a game of networks":
        y, args = game.players, game.sample(jax.random.key(0), 4)
    elif name == "the losses of a game that says so itself":
        y, args = players([0.3, -0.2], [1.0, 0.7]), None
    else:
        y, args = players(0.7, 1.1), None
    # Central differences: measured 2e-10.
    np.testing.assert_allclose(flat(velocity(game, y, args)), differences(game, y, args), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "loss"),
    [(OneSided, "minimax"), (OneSided, "least_squares"), (Cubed, "wasserstein"), (Shifted, "minimax")],
)
def test_means_of_scores_that_are_written_anew_are_over_all_of_the_data(make, loss):
    facts, w, a = LOSSES[loss], 0.7, 1.1
    game = make(facts.make())

    def score(x):
        return w * (x**2 + x**5) if make is OneSided else w * x**2

    def sample(z):
        return a * (z + z**2 / 2) if make is Cubed else a * z

    def mean(function):
        return scipy.integrate.quad(function, -1, 1, epsabs=1e-13)[0] / 2

    shift = 1 if make is Shifted else 0
    value = mean(lambda x: facts.f(score(x + shift))) + mean(lambda z: facts.f(-score(sample(z))))
    found = losses_of(game, players(w, a))
    np.testing.assert_allclose(found.discriminator, -value, rtol=1e-11)
    np.testing.assert_allclose(found.generator, mean(lambda z: facts.generator(score(sample(z)))), rtol=1e-11)


def test_a_loss_of_another_degree_is_averaged_over_enough_nodes():
    found = losses_of(LinearQuadratic(Bent()), players(2.0, 1.1)).discriminator

    def value(x):
        return np.tanh(2 * x**2) + np.tanh(-2 * (1.1 * x) ** 2)

    np.testing.assert_allclose(-found, scipy.integrate.quad(value, 0, 1, epsabs=1e-13)[0], rtol=1e-11)


def test_who_says_it_anew_is_believed():
    class Again(Dirac):
        zero_sum = True

        def losses(self, y, args):
            value = y.discriminator * jnp.sin(y.generator)
            return Players(-value, value)

    class Quicker(Again):
        def gradients(self, y, args):
            return Players(jnp.asarray(5.0), jnp.asarray(6.0))

    class Slower(Quicker):
        def losses(self, y, args):
            return Players(y.discriminator**2, y.generator**2)

    y = players(0.7, 1.1)
    passes = str(jax.make_jaxpr(lambda y: gradients(Again(losses.Minimax()), y, None))(y)).count(" cos ")
    np.testing.assert_allclose(flat(gradients(Again(losses.Minimax()), y, None)), [-np.sin(1.1), 0.7 * np.cos(1.1)])
    assert passes == 1
    assert flat(gradients(Quicker(losses.Minimax()), y, None)).tolist() == [5, 6]
    np.testing.assert_allclose(flat(gradients(Slower(losses.Minimax()), y, None)), [1.4, 2.2])


def test_what_an_object_is_told_by_itself_is_believed_of_methods_of_one_version():
    class Plain:
        def __init__(self):
            self.zero_sum = True

        def losses(self, y, args):
            return Players(-y.discriminator * y.generator, 3 * y.discriminator * y.generator)

    class Anew(Plain):
        def losses(self, y, args):
            return Players(-y.discriminator * y.generator, 5 * y.discriminator * y.generator)

    class Handed:
        """All but the losses of another game."""

        def __init__(self, game):
            self.game = game

        def __getattr__(self, name):
            return getattr(self.game, name)

        def losses(self, y, args):
            return Players(-y.discriminator * y.generator, 7 * y.discriminator * y.generator)

    y, patched = players(2.0, 3.0), Plain()
    # Believed, though it is not so: the generator's slope is minus the other one's.
    assert flat(gradients(Plain(), y, None)).tolist() == [-3, 2]
    assert flat(gradients(Anew(), y, None)).tolist() == [-3, 10]
    assert flat(gradients(Handed(Dirac(losses.Minimax())), y, None)).tolist() == [-3, 14]
    patched.losses = lambda y, args: Players(-y.discriminator * y.generator, 9 * y.discriminator * y.generator)
    del patched.zero_sum
    Plain.zero_sum = True
    assert flat(gradients(patched, y, None)).tolist() == [-3, 18]


@pytest.mark.parametrize("make", [Dirac, LinearQuadratic])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("wasserstein", r"`loss` must be one of `gan_ode.losses`, but is 'wasserstein': .* `losses.Wasserstein\(\)`"),
        (losses.Wasserstein, r"`loss` must be an instance, but is the class Wasserstein: write `Wasserstein\(\)`"),
        (None, "`loss` must be one of `gan_ode.losses`, but is None"),
    ],
)
def test_what_is_no_loss_is_refused(make, loss, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make(loss)


# GANs of networks.


@pytest.fixture(scope="module")
def networks():
    return gan(losses.NonSaturating())


def test_the_players_are_floating_point_arrays_alone(networks):
    leaves = jax.tree.leaves(networks.players)
    # D: 2-3-scalar, G: 1-3-2, weights and biases.
    assert sum(leaf.size for leaf in leaves) == (2 * 3 + 3 + 3 + 1) + (3 + 3 + 6 + 2)
    assert all(eqx.is_inexact_array(leaf) for leaf in leaves)


def test_modules_are_what_went_in_and_compute_the_same():
    d_key, g_key = jax.random.split(jax.random.key(5))
    discriminator = eqx.nn.MLP(2, 1, 3, 1, key=d_key)
    generator = eqx.nn.Sequential([eqx.nn.Linear(1, 2, key=g_key), eqx.nn.Lambda(jnp.tanh)])
    game = GAN(discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(1))
    back = game.modules(game.players)
    assert jax.tree.structure(back) == jax.tree.structure((discriminator, generator))
    for left, right in zip(jax.tree.leaves(back), jax.tree.leaves((discriminator, generator)), strict=True):
        np.testing.assert_array_equal(left, right) if eqx.is_array(left) else None
    np.testing.assert_array_equal(back[1](jnp.ones(1)), generator(jnp.ones(1)))
    # An output of shape (1,) is a score as well.
    score = game.discriminate(game.players.discriminator, jnp.ones(2))
    np.testing.assert_array_equal(score, discriminator(jnp.ones(2))[0])


def test_modules_have_the_parameters_of_the_state(networks):
    doubled = jax.tree.map(lambda leaf: 2 * leaf, networks.players)
    discriminator, generator = networks.modules(doubled)
    before = networks.modules(networks.players)
    np.testing.assert_array_equal(discriminator.layers[0].weight, 2 * before[0].layers[0].weight)
    np.testing.assert_array_equal(generator.layers[1].bias, 2 * before[1].layers[1].bias)


def test_integer_arrays_and_functions_of_a_module_stay_in_the_game():
    class Counting(eqx.Module):
        weight: jax.Array
        calls: jax.Array
        act: object

        def __call__(self, x):
            return self.act(self.weight @ x)

    discriminator = Counting(jnp.ones(2), jnp.arange(3), jnp.tanh)
    generator = Counting(jnp.ones((2, 1)), jnp.arange(3), jnp.tanh)
    game = GAN(discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(1))
    assert len(jax.tree.leaves(game.players)) == 2
    np.testing.assert_array_equal(game.modules(game.players)[0].calls, [0, 1, 2])


def test_a_sample_has_the_shapes_of_data_and_latent_points(networks):
    data, latent = networks.sample(jax.random.key(0), 7)
    assert (data.shape, latent.shape) == ((7, 2), (7, 1))
    assert np.all(np.abs(np.linalg.norm(data, axis=1) - 2) < 0.2)


def test_data_and_latent_points_are_drawn_with_different_keys():
    same = distributions.Uniform()
    scaled = jax.tree_util.Partial(jnp.multiply, jnp.ones(()))
    game = GAN(scaled, scaled, losses.Minimax(), data=same, latent=same)
    data, latent = game.sample(jax.random.key(0), 5)
    assert not np.any(np.isclose(data, latent))


def test_the_losses_are_means_over_the_minibatch(networks):
    data, latent = networks.sample(jax.random.key(1), 6)
    discriminator, generator = networks.modules(networks.players)

    @jax.jit
    def scores():
        return jax.vmap(discriminator)(data), jax.vmap(lambda z: discriminator(generator(z)))(latent)

    real, made = (np.asarray(s) for s in scores())
    facts = LOSSES["non_saturating"]
    result = losses_of(networks, networks.players, (data, latent))
    np.testing.assert_allclose(result.discriminator, -np.mean(facts.f(real)) - np.mean(facts.f(-made)), rtol=1e-12)
    np.testing.assert_allclose(result.generator, np.mean(facts.generator(made)), rtol=1e-12)


def test_a_quadrature_is_a_minibatch(networks):
    points = jnp.array([[0.1], [0.7], [0.7], [-0.3]])
    weighted = distributions.Quadrature(jnp.array([[0.1], [0.7], [-0.3]]), jnp.array([0.25, 0.5, 0.25]))
    data = jnp.ones((2, 2))
    plain = velocity(networks, networks.players, (data, points))
    np.testing.assert_allclose(
        flat(velocity(networks, networks.players, (data, weighted))), flat(plain), rtol=0, atol=ROUNDING
    )
    batch = networks.quadrature(5)
    assert (batch[0].nodes.shape, batch[1].nodes.shape) == ((8 * 25, 2), (5, 1))
    assert np.all(np.isfinite(flat(velocity(networks, networks.players, batch))))


def test_a_gan_of_a_monomial_and_a_factor_is_the_linear_quadratic_game():
    class Monomial(eqx.Module):
        weight: jax.Array
        power: int = eqx.field(static=True)

        def __call__(self, x):
            return self.weight * x**self.power

    uniform = distributions.Uniform()
    game = GAN(Monomial(jnp.array(0.4), 2), Monomial(jnp.array(1.3), 1), losses.Minimax(), data=uniform, latent=uniform)
    expected = [phi(-0.4) - 1.3**2 * phi(0.4 * 1.3**2), 2 * 0.4 * 1.3 * phi(0.4 * 1.3**2)]
    np.testing.assert_allclose(flat(velocity(game, game.players, game.quadrature(40))), expected, rtol=0, atol=ROUNDING)


def test_a_score_that_is_no_scalar_is_refused():
    scaled = jax.tree_util.Partial(jnp.multiply, jnp.ones(()))
    game = GAN(scaled, scaled, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(2))
    with pytest.raises(ValueError, match=r"`discriminator` must return one score .* shape \(2,\): give it an output"):
        game.losses(game.players, game.sample(jax.random.key(0), 3))


@pytest.mark.parametrize("args", [None, jnp.ones((3, 2)), (jnp.ones((3, 2)),)])
def test_a_missing_minibatch_is_refused_with_the_remedy(networks, args):
    with pytest.raises(ValueError, match=r"`args` must be a minibatch .*gan\.sample\(key, num\)"):
        networks.losses(networks.players, args)


def test_a_sample_of_no_points_is_refused(networks):
    with pytest.raises(ValueError, match="`num` must be at least 1, but is 0"):
        networks.sample(jax.random.key(0), 0)


# Gradients of games that users write.


def test_an_object_with_losses_is_a_game():
    class Duck:
        def losses(self, y, args):
            return Players(y.discriminator**2 * args, y.generator**3 * y.discriminator)

    slopes = gradients(Duck(), players(2.0, 3.0), 5.0)
    # d(5 d^2) = 10 d; d(g^3 d)/dg = 3 g^2 d.
    np.testing.assert_allclose(flat(slopes), [20.0, 54.0], rtol=ROUNDING)


def test_own_gradients_are_preferred():
    class Quick:
        def losses(self, y, args):
            raise AssertionError("not needed")

        def gradients(self, y, args):
            return Players(y.generator, args)

    assert flat(gradients(Quick(), players(2.0, 3.0), 5.0)).tolist() == [3.0, 5.0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda y, args: (y.discriminator, y.generator), "`losses` must return `Players`, but returned tuple"),
        (
            lambda y, args: Players(jnp.ones(3), 0.0),
            r"`losses` must return scalars, but returned shapes \(3,\) and \(\)",
        ),
    ],
)
def test_losses_of_another_form_are_refused(function, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        gradients(games.FromLosses(function), players(1.0, 1.0), None)


def test_the_sampled_linear_quadratic_game_is_that_of_two_modules():
    game = games.LinearQuadratic(losses.Minimax(), 1.5)
    data, latent = game.sample(jax.random.key(0), 1000)
    assert data.shape == latent.shape == (1000,)
    # The farthest of a thousand points is within 1 % of the end.
    np.testing.assert_allclose([np.max(np.abs(data)), np.max(np.abs(latent))], [1.5, 1.0], rtol=0.01)
    y = players(0.3, 1.2)
    value = np.mean(-np.log1p(np.exp(-0.3 * np.square(data)))) + np.mean(
        -np.log1p(np.exp(0.3 * np.square(1.2 * np.asarray(latent))))
    )
    np.testing.assert_allclose(-game.losses(y, (data, latent)).discriminator, value, rtol=1e-12)
    # Without a minibatch, and with the nodes in its place, the expectations are the same.
    np.testing.assert_allclose(game.losses(y, game.quadrature()).generator, game.losses(y, None).generator, rtol=1e-12)
