"""Generators that see the discriminator some steps ahead."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from gan_ode import analysis, games, iterate, losses, regularizers, updates
from gan_ode.fields import GameField, Unrolled
from gan_ode.games import Players
from tests.catalogue import flat, gan, linear_quadratic_velocity, LOSSES, players

# A few products in float64: measured 3e-16.
ROUNDING = 1e-13
# Central differences of step 1e-5: truncation 1e-10 and cancellation 1e-11. Measured 2e-11.
FINITE_DIFFERENCE = 2e-9
# float32 has 6e-8; measured 1e-7.
SINGLE = 3e-6

MATRIX = np.array([[1.0, -0.5], [0.3, 2.0]])
U, V = np.array([0.2, -0.1]), np.array([0.8, 0.3])
MINIMAX = games.LinearQuadratic(losses.Minimax())
WASSERSTEIN = games.LinearQuadratic(losses.Wasserstein())


@functools.cache
def unrolled(loss, steps):
    """The field of the linear-quadratic GAN, as a compiled function of the step size and the state."""
    field = GameField(games.LinearQuadratic(LOSSES[loss].make()))
    return jax.jit(lambda h, y: Unrolled(field, steps, h)(0.0, y))


def sloped(function, x, h=1e-5):
    return (function(x + h) - function(x - h)) / (2 * h)


@pytest.mark.parametrize("steps", [1, 3])
def test_unrolled_steps_damp_a_bilinear_game_by_twice_their_length(steps):
    h = 0.1
    velocity = Unrolled(GameField(games.Bilinear(jnp.asarray(MATRIX))), steps, h)(0.0, players(U, V))
    # The discriminator is ahead by k h A v, and the generator has its say in as much.
    expected = -MATRIX.T @ U - 2 * steps * h * MATRIX.T @ MATRIX @ V
    np.testing.assert_allclose(velocity.generator, expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(velocity.discriminator, MATRIX @ V, rtol=0, atol=ROUNDING)


def test_where_the_value_is_linear_in_the_discriminator_unrolling_is_the_gradient_norm_regularizer():
    # Eigenvalues of the regularized game, from facts: -4 eta / 9 +- (2/9) sqrt(4 eta^2 - 9), with eta = k h.
    steps, h = 4, 0.15
    eta = steps * h
    w, a = 0.5, 1.3
    velocity = unrolled("wasserstein", steps)(h, players(w, a))
    np.testing.assert_allclose(velocity.generator, 2 * w * a / 3 + 4 * eta * a * (1 - a**2) / 9, rtol=ROUNDING)
    eigenvalues = analysis.spectrum(Unrolled(GameField(WASSERSTEIN), steps, h), players(0.0, 1.0))
    root = 2 / 9 * np.sqrt(complex(4 * eta**2 - 9))
    np.testing.assert_allclose(
        sorted(np.asarray(eigenvalues), key=np.imag),
        sorted([-4 * eta / 9 + root, -4 * eta / 9 - root], key=np.imag),
        rtol=0,
        atol=ROUNDING,
    )


def value(w, a):
    """Of the linear-quadratic GAN with the usual loss, by another quadrature than the game's."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    f = LOSSES["minimax"].f
    return weights @ (f(w * nodes**2) + f(-w * a**2 * nodes**2)) / 2


def ahead(w, a, steps, h):
    for _ in range(steps):
        w = w + h * linear_quadratic_velocity(LOSSES["minimax"], np.array([w, a]), 1.0)[0]
    return w


@pytest.mark.parametrize("steps", [1, 3])
def test_the_generator_descends_the_value_at_the_discriminator_ahead(steps):
    w, a, h = 0.7, 1.3, 0.8
    velocity = unrolled("minimax", steps)(h, players(w, a))
    expected = -sloped(lambda a: value(ahead(w, a, steps, h), a), a)
    np.testing.assert_allclose(velocity.generator, expected, rtol=0, atol=FINITE_DIFFERENCE)
    plain = linear_quadratic_velocity(LOSSES["minimax"], np.array([w, a]), 1.0)
    np.testing.assert_allclose(velocity.discriminator, plain[0], rtol=0, atol=ROUNDING)
    assert abs(velocity.generator - plain[1]) > 0.01


def test_on_networks_too():
    game = gan(losses.Minimax())
    batch = jax.tree.map(jnp.asarray, (RING_POINTS, np.linspace(-1.5, 1.5, 5)[:, None]))
    y, steps, h = game.players, 2, 0.6
    # Any direction of the generator's parameters.
    along = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), y.generator)

    @jax.jit
    def at(s):
        there = jax.tree.map(lambda leaf, by: leaf + s * by, y.generator, along)
        discriminator = y.discriminator
        for _ in range(steps):
            slope = jax.grad(lambda d: game.losses(Players(d, there), batch).discriminator)(discriminator)
            discriminator = jax.tree.map(lambda leaf, by: leaf - h * by, discriminator, slope)
        return -game.losses(Players(discriminator, there), batch).discriminator

    velocity = eqx.filter_jit(Unrolled(GameField(game), steps, h))(0.0, y, batch)
    measured = -np.sum(flat(velocity.generator) * flat(along))
    np.testing.assert_allclose(measured, sloped(at, 0.0), rtol=0, atol=FINITE_DIFFERENCE)


RING_POINTS = 2 * np.stack([np.cos(np.arange(5.0)), np.sin(np.arange(5.0))], axis=1)


def test_to_first_order_unrolling_is_the_gradient_norm_regularizer():
    def gap(h):
        regularized = GameField(regularizers.Penalized(MINIMAX, regularizers.GradientNorm(2 * h)))
        y = players(0.7, 1.3)
        return float(abs(unrolled("minimax", 2)(h, y).generator - regularized(0.0, y).generator))

    # What is left falls as the square of h; measured 1.99.
    np.testing.assert_allclose(np.log2(gap(0.02) / gap(0.01)), 2, rtol=0, atol=0.05)
    assert gap(0.01) > 1e-7


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "least_squares"])
def test_an_equilibrium_stays_one(name):
    velocity = unrolled(name, 3)(0.5, players(0.0, 1.0))
    np.testing.assert_allclose(flat(velocity), 0, rtol=0, atol=ROUNDING)


def test_it_composes_with_any_update():
    # Simultaneous steps of the bilinear game grow without the damping, and shrink with it.
    y0 = players(U, V)
    damped = Unrolled(GameField(games.Bilinear(jnp.asarray(MATRIX))), 5, 0.1)
    orbit = iterate(updates.Simultaneous(0.1), damped, y0, 200)
    jacobian = np.block([[np.zeros((2, 2)), MATRIX], [-MATRIX.T, -2 * 0.5 * MATRIX.T @ MATRIX]])
    expected = np.linalg.matrix_power(np.eye(4) + 0.1 * jacobian, 200) @ np.concatenate([U, V])
    np.testing.assert_allclose(flat(orbit.final_state), expected, rtol=0, atol=ROUNDING)


def test_float32_in_gives_float32_out_that_agrees_and_step_sizes_may_be_a_batch():
    sizes = jnp.array([0.1, 0.4])
    narrow = jax.vmap(unrolled("minimax", 3), (0, None))(sizes, players(0.7, 1.3, jnp.float32))
    wide = jax.vmap(unrolled("minimax", 3), (0, None))(sizes, players(0.7, 1.3))
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(flat(narrow), flat(wide), rtol=SINGLE)
    assert wide.generator[0] != wide.generator[1]


# Optimizers with a memory.


def adam(rate, b1, b2):
    """By hand: one step uphill, of parameter, slope, and the memory of count and two moments."""

    def step(x, slope, memory):
        n, m, v = memory
        n, m, v = n + 1, b1 * m + (1 - b1) * slope, b2 * v + (1 - b2) * slope**2
        return x + rate * (m / (1 - b1**n)) / (np.sqrt(v / (1 - b2**n)) + 1e-8), (n, m, v)

    return step


def test_the_discriminators_optimizer_is_unrolled_from_what_it_remembers():
    # V = 1.5 u v: the discriminator's slope is 1.5 v.
    rule, steps, rounds = adam(0.1, 0.5, 0.9), 3, 4
    u, v, memory = 0.3, 0.8, (0, 0.0, 0.0)
    for _ in range(rounds):
        u, memory = rule(u, 1.5 * v, memory)

        def seen(v, u=u, memory=memory):
            for _ in range(steps):
                u, memory = rule(u, 1.5 * v, memory)
            return 1.5 * u * v

        v = v - 0.2 * sloped(seen, v)
    update = updates.UnrolledOptax(optax.adam(0.1, b1=0.5, b2=0.9), optax.sgd(0.2), steps=steps)
    orbit = iterate(update, GameField(games.Bilinear(jnp.array([[1.5]]))), players([0.3], [0.8]), rounds)
    np.testing.assert_allclose(flat(orbit.final_state), [u, v], rtol=0, atol=FINITE_DIFFERENCE)
    # Without its say in the steps, or without the memory, it would be elsewhere.
    assert abs(seen(v) - 1.5 * u * v) > 0.01


def test_with_plain_gradient_steps_it_is_alternating_steps_of_the_unrolled_field():
    h, y0 = 0.3, players(0.5, 1.2)
    update = updates.UnrolledOptax(optax.sgd(h), optax.sgd(h), steps=2, step_size=h)
    one = iterate(update, GameField(MINIMAX), y0, 10)
    other = iterate(updates.Alternating(h), Unrolled(GameField(MINIMAX), 2, h), y0, 10)
    np.testing.assert_allclose(flat(one.ys), flat(other.ys), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(one.ts, other.ts, rtol=ROUNDING)


@pytest.mark.parametrize(("eps_root", "finite"), [(1e-16, True), (0.0, False)])
def test_adam_needs_its_root_away_from_zero_for_a_parameter_that_never_had_a_gradient(eps_root, finite):
    # The second one of the discriminator.
    field = GameField(games.Bilinear(jnp.array([[1.5], [0.0]])))
    update = updates.UnrolledOptax(optax.adam(0.1, eps_root=eps_root), optax.sgd(0.1), steps=1)
    orbit = iterate(update, field, players([0.3, 0.4], [0.8]), 2)
    assert bool(jnp.all(orbit.reached)) == finite


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Unrolled(GameField(MINIMAX), 0, 0.1), "`steps` must be at least 1, but is 0"),
        (lambda: Unrolled(GameField(MINIMAX), 1, 0.0), "`step_size` must be above 0"),
        (lambda: updates.UnrolledOptax(optax.sgd(0.1), optax.sgd(0.1), steps=0), "`steps` must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        call()
