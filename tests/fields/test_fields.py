"""Fields: rates, players that hold still, and games that users write."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import fields, games, losses
from gan_ode.fields import GameField
from gan_ode.games import Players
from tests.catalogue import flat, players, sigmoid

ROUNDING = 1e-14

DIRAC = games.Dirac(losses.Minimax())
Y = players(0.3, 0.8)
# psi' = theta s, theta' = -psi s.
PLAIN = np.array([0.8, -0.3]) * sigmoid(-0.24)


def test_the_rates_multiply_each_players_velocity():
    field = GameField(DIRAC, Players(2.0, 0.25))
    np.testing.assert_allclose(flat(field(0.0, Y)), PLAIN * [2.0, 0.25], rtol=ROUNDING)


def test_the_rates_are_one_each_by_default():
    np.testing.assert_allclose(flat(GameField(DIRAC)(0.0, Y)), PLAIN, rtol=ROUNDING)


def test_the_field_does_not_depend_on_time():
    field = GameField(DIRAC)
    np.testing.assert_array_equal(flat(field(0.0, Y)), flat(field(17.5, Y)))


def test_a_player_of_rate_zero_does_not_move():
    velocity = GameField(DIRAC, Players(1.0, 0.0))(0.0, Y)
    assert velocity.generator == 0
    assert velocity.discriminator > 0


def test_whole_numbers_are_rates():
    np.testing.assert_allclose(flat(GameField(DIRAC, Players(2, 1))(0.0, Y)), PLAIN * [2, 1], rtol=ROUNDING)


def test_rates_may_be_swept():
    speeds = jax.vmap(lambda rate: GameField(DIRAC, Players(1.0, rate))(0.0, Y).generator)(jnp.array([0.0, 1.0, 3.0]))
    np.testing.assert_allclose(speeds, PLAIN[1] * np.array([0, 1, 3]), rtol=ROUNDING)


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_rate_that_is_negative_or_not_finite_is_refused(player, bad):
    rates = Players(**({"discriminator": 1.0, "generator": 1.0} | {player: bad}))
    with pytest.raises(ValueError, match=rf"`rates\.{player}` must be at least 0 and finite, but is {bad}.*rate 0"):
        GameField(DIRAC, rates)


# Plain `jax.jit` calls the same error a ValueError from the second run on.
@pytest.mark.parametrize(("jit", "error"), [(jax.jit, ValueError), (eqx.filter_jit, RuntimeError)])
def test_a_negative_rate_is_refused_under_jit_when_it_runs(jit, error):
    speed = jit(lambda rate: GameField(DIRAC, Players(rate, 1.0))(0.0, Y).discriminator)
    np.testing.assert_allclose(speed(jnp.array(2.0)), 2 * PLAIN[0], rtol=ROUNDING)
    with pytest.raises(error, match=r"`rates\.discriminator` must be at least 0"):
        jax.block_until_ready(speed(jnp.array(-1.0)))


def test_one_player_moves_while_the_other_holds_still():
    field = GameField(DIRAC)
    np.testing.assert_allclose(flat(fields.discriminator_only(field)(0.0, Y)), PLAIN * [1, 0], rtol=ROUNDING)
    np.testing.assert_allclose(flat(fields.generator_only(field)(0.0, Y)), PLAIN * [0, 1], rtol=ROUNDING)


def test_a_player_held_still_keeps_its_structure_and_dtype():
    def spinning(t, y, args):
        return Players({"u": y.generator[0]}, [args * y.discriminator["u"]])

    y = Players({"u": jnp.ones(2, jnp.float32)}, [jnp.ones(2, jnp.float32)])
    velocity = fields.discriminator_only(spinning)(0.0, y, jnp.float32(-1.0))
    assert jax.tree.structure(velocity) == jax.tree.structure(y)
    np.testing.assert_array_equal(velocity.discriminator["u"], [1.0, 1.0])
    np.testing.assert_array_equal(velocity.generator[0], [0.0, 0.0])
    assert velocity.generator[0].dtype == jnp.float32


def test_the_size_of_the_velocity_is_its_euclidean_norm():
    field = GameField(games.Bilinear(jnp.array([[3.0]])))
    assert fields.velocity_size(field, players([1.0], [0.0])) == 3.0
    np.testing.assert_allclose(fields.velocity_size(field, players([3.0], [4.0])), 15.0, rtol=ROUNDING)
    assert fields.velocity_size(field, players([0.0], [0.0])) == 0.0


def test_args_reach_the_losses():
    field = GameField(games.FromLosses(lambda y, args: Players(args * y.discriminator, -args * y.generator)))
    np.testing.assert_array_equal(flat(field(0.0, Y, jnp.asarray(3.0))), [-3.0, 3.0])


def test_a_game_of_plain_python_is_a_game():
    class Game:
        def losses(self, y, args):
            return Players(jnp.sum(y.discriminator**2), jnp.sum(y.generator * y.discriminator))

    field = GameField(Game(), Players(0.5, 2.0))
    np.testing.assert_array_equal(flat(field(0.0, players([1.0, 2.0], [3.0, 4.0]))), [-1.0, -2.0, -2.0, -4.0])


def test_a_function_in_the_place_of_a_game_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"`game` must have a method `losses\(y, args\)`.*`games\.FromLosses`"):
        GameField(lambda y, args: 0.0)


def test_losses_that_are_no_players_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`losses` must return `Players`, but returned float: return `Players"):
        GameField(games.FromLosses(lambda y, args: 0.0))(0.0, Y)


class Weighed:
    """A game that is no module: a plain object, whose weight may be set."""

    weight = 1.0
    times = 0

    def losses(self, y, args):
        type(self).times += 1
        product = self.weight * y.discriminator * y.generator
        return games.Players(-product, product)


def test_a_program_sees_a_game_as_it_is_when_the_program_is_traced_and_asks_it_once():
    game = Weighed()
    field, y = fields.GameField(game), games.Players(jnp.array(0.5), jnp.array(1.0))

    def twice(y):
        return field(0.0, y).discriminator + field(0.0, y).discriminator

    assert jax.jit(lambda y: twice(y))(y) == 2.0
    before = Weighed.times
    game.weight = 3.0
    assert jax.jit(lambda y: twice(y))(y) == 6.0
    assert Weighed.times - before == 1


def test_a_game_may_hold_what_is_traced_outside_of_it():
    def velocity(weight, y):
        game = Weighed()
        game.weight = weight
        return fields.GameField(game)(0.0, y).discriminator

    y = games.Players(jnp.array(0.5), jnp.array(1.0))
    np.testing.assert_array_equal(jax.jit(jax.vmap(velocity, (0, None)))(jnp.arange(3.0), y), [0.0, 1.0, 2.0])
    assert jax.jit(jax.grad(velocity))(2.0, y) == 1.0
