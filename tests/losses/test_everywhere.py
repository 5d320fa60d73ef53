"""Every loss goes with networks in both precisions, with ensembles of updates and of flows, and with penalties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import fields, games, losses, regularizers, simulate, updates
from gan_ode.games import Players
from tests.catalogue import gan, linear_quadratic_velocity, linear_quadratic_velocity_of_pairs
from tests.loss_facts import LOSSES, PAIRS

# Means of five numbers: measured 1e-15, and in float32 2e-7.
ROUNDING, SINGLE = 1e-13, 3e-6
# Euler steps of which each rounds: measured 2e-15.
STEPS = 1e-13

EVERY = LOSSES | PAIRS
NUMBERS = {name: number for number, name in enumerate(EVERY)}


# Networks.

ANGLES = np.arange(5)
DATA = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
LATENT = np.linspace(-1.5, 1.5, 5)[:, None]


@functools.cache
def trained(dtype):
    """The losses and the velocity of small networks under each loss, and the scores: one program."""
    all_games = {name: gan(facts.make()) for name, facts in EVERY.items()}
    one = all_games["minimax"]
    players, args = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (one.players, (DATA, LATENT)))

    def measure(players, args):
        real = jax.vmap(lambda x: one.discriminate(players.discriminator, x))(args[0])
        made = jax.vmap(lambda z: one.discriminate(players.discriminator, one.generate(players.generator, z)))(args[1])
        paid = {
            name: (game.losses(players, args), fields.GameField(game)(0.0, players, args))
            for name, game in all_games.items()
        }
        return real, made, paid

    with jax.numpy_dtype_promotion("strict"):
        return jax.jit(measure)(players, args), jax.tree.structure(players)


def paid_by_hand(name, real, made):
    """What both players minimize on a minibatch."""
    if name in LOSSES:
        facts = LOSSES[name]
        return -np.mean(facts.data(real)) - np.mean(facts.sample(made)), np.mean(facts.generator(made))
    base = PAIRS[name].base
    if not PAIRS[name].average:
        return -np.mean(base.data(real - made)), np.mean(base.generator(made - real))
    high, low = np.mean(real), np.mean(made)
    value = np.mean(base.data(real - low)) + np.mean(base.sample(made - high))
    return -value, np.mean(base.generator(made - high)) + np.mean(base.generator(low - real))


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("name", EVERY)
def test_networks_are_paid_as_by_hand_and_keep_their_precision(name, dtype):
    (real, made, paid), structure = trained(dtype)
    found, velocity = paid[name]
    by_hand = paid_by_hand(name, np.asarray(real, float), np.asarray(made, float))
    near = ROUNDING if dtype == jnp.float64 else SINGLE
    np.testing.assert_allclose([found.discriminator, found.generator], by_hand, rtol=near, atol=near)
    assert jax.tree.structure(velocity) == structure
    assert {leaf.dtype for leaf in jax.tree.leaves((found, velocity))} == {jnp.dtype(dtype)}
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(velocity))


# Ensembles, a member for each loss: all are one program.


def any_field(t, y, number):
    branches = [functools.partial(play, games.LinearQuadratic(facts.make())) for facts in EVERY.values()]
    return jax.lax.switch(number, branches, y)


def play(game, y):
    return fields.GameField(game)(0.0, y)


def by_hand(name, y):
    if name in PAIRS:
        return linear_quadratic_velocity_of_pairs(PAIRS[name], y)
    return linear_quadratic_velocity(LOSSES[name], y, 1.0)


STARTS = Players(jnp.full(len(EVERY), 0.3), jnp.full(len(EVERY), 1.2))


def test_an_ensemble_of_updates_takes_all_losses():
    numbers = jnp.arange(len(EVERY))
    steps = simulate.iterate_ensemble(updates.Simultaneous(0.1), any_field, STARTS, 4, args=numbers, batched_args=True)
    for name, number in NUMBERS.items():
        y = np.array([0.3, 1.2])
        for _ in range(4):
            y = y + 0.1 * by_hand(name, y)
        end = [steps.ys.discriminator[number, -1], steps.ys.generator[number, -1]]
        np.testing.assert_allclose(end, y, rtol=0, atol=STEPS, err_msg=name)


@pytest.mark.parametrize("loss", [losses.KL(), losses.Relativistic(losses.NonSaturating())], ids=["KL", "relativistic"])
def test_an_ensemble_of_flows_takes_a_loss(loss):
    name = "kl" if isinstance(loss, losses.KL) else "relativistic_non_saturating"
    starts = Players(jnp.array([0.3, -0.2]), jnp.array([1.2, 0.9]))
    field = fields.GameField(games.LinearQuadratic(loss))
    orbits = simulate.ensemble(field, starts, jnp.array([0.0, 1.0]), rtol=1e-9, atol=1e-9)
    for n, y in enumerate(np.array([[0.3, 1.2], [-0.2, 0.9]])):
        # Classical Runge-Kutta steps of 1/40: its error is below 1e-9.
        h = 1 / 40
        for _ in range(40):
            a = by_hand(name, y)
            b = by_hand(name, y + h / 2 * a)
            c = by_hand(name, y + h / 2 * b)
            d = by_hand(name, y + h * c)
            y = y + h / 6 * (a + 2 * b + 2 * c + d)
        end = [orbits.ys.discriminator[n, -1], orbits.ys.generator[n, -1]]
        np.testing.assert_allclose(end, y, rtol=0, atol=1e-8)


# Penalties.


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        # grad_w V = E x^2 (P'(w x^2) + a^2 Q'(w a^2 x^2)), of the catalogue.
        (lambda: regularizers.GradientNorm(0.5), lambda name, y: (0.0, 0.5 * by_hand(name, y)[0] ** 2)),
        # |D'(x)|^2 = 4 w^2 x^2 and E x^2 = 1/3.
        (lambda: regularizers.R1(0.3), lambda name, y: (0.15 * 4 * y[0] ** 2 / 3, 0.0)),
        (lambda: regularizers.R2(0.3), lambda name, y: (0.15 * 4 * y[0] ** 2 * y[1] ** 2 / 3, 0.0)),
    ],
    ids=["GradientNorm", "R1", "R2"],
)
def test_penalties_take_all_losses(penalty, expected):
    y = Players(jnp.array(0.3), jnp.array(1.2))
    made = {name: games.LinearQuadratic(facts.make()) for name, facts in EVERY.items()}
    found = jax.jit(lambda: {name: penalty().losses(game, y, None) for name, game in made.items()})()
    for name, terms in found.items():
        right = expected(name, np.array([0.3, 1.2]))
        np.testing.assert_allclose([terms.discriminator, terms.generator], right, rtol=0, atol=ROUNDING, err_msg=name)
