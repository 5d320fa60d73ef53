"""The velocity on the way between two states, and how much of a Jacobian turns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, fields, games, iterate, losses, simulate, updates
from gan_ode.games import Players
from tests.catalogue import gan, players

# Sums of a few products; measured 4e-16.
ROUNDING = 1e-13

MATRIX = np.array([[1.0, -0.5, 0.2], [0.3, 2.0, -0.7]])


def linear(matrix):
    """A field whose discriminator has the first entries, and whose generator the last one."""
    return lambda t, y, args: split(jnp.asarray(matrix) @ jnp.concatenate([y.discriminator, y.generator]))


def split(x):
    return Players(x[:-1], x[-1:])


def test_the_path_angle_is_the_cosine_of_velocity_and_way():
    matrix = np.random.default_rng(0).normal(size=(4, 4))
    y, toward = np.array([0.3, -1.0, 0.5, 2.0]), np.array([1.0, 0.2, -0.3, 0.1])
    velocity, way = matrix @ y, toward - y
    expected = velocity @ way / np.linalg.norm(velocity) / np.linalg.norm(way)
    found = analysis.path_angle(linear(matrix), split(jnp.asarray(y)), split(jnp.asarray(toward)))
    assert float(found) == pytest.approx(expected, abs=ROUNDING)


def test_on_a_line_through_an_attractor_the_angle_changes_its_sign_and_beside_a_center_it_has_a_bump():
    start, end = players([2.0], [1.0]), players([0.0], [0.0])
    attracts = analysis.path_measures(lambda t, y, args: jax.tree.map(jnp.negative, y), start, end)
    positions = np.linspace(0, 2, 201)
    np.testing.assert_allclose(attracts.positions, positions, atol=1e-15)
    np.testing.assert_allclose(attracts.angle, np.where(positions < 1, 1, np.where(positions > 1, -1, np.nan)))
    np.testing.assert_allclose(attracts.norm, np.abs(1 - positions) * np.sqrt(5), atol=ROUNDING)

    # From (-1, 0.5) along (1, 0) the velocity is (0.5, 1 - s) at s - 1: the cosine has the bump of the paper.
    def turns(t, y, args):
        return Players(y.generator, -y.discriminator)

    found = analysis.path_measures(turns, players([-1.0], [0.5]), players([0.0], [0.5]), jnp.linspace(0, 2, 21))
    across = 1 - np.linspace(0, 2, 21)
    np.testing.assert_allclose(found.angle, 0.5 / np.hypot(0.5, across), atol=ROUNDING)


def test_a_circling_run_is_recorded_as_one_and_ensembles_record_too():
    game = games.Dirac(losses.Wasserstein())
    field = fields.GameField(game)

    def record(t, y, args):
        angle = analysis.path_angle(field, y, game.equilibrium, args=args, t=t)
        return {"angle": angle, "norm": fields.velocity_size(field, y), "turn": analysis.rotation_share(field, y)}

    orbit = iterate(updates.Alternating(0.1), field, players(0.3, 1.0), 20, record=record, save_every=10)
    assert orbit.ys["angle"].shape == (3,)
    np.testing.assert_allclose(orbit.ys["angle"], 0, atol=ROUNDING)
    np.testing.assert_allclose(orbit.ys["turn"], 1, atol=ROUNDING)
    starts = players([0.3, -0.2], [1.0, 0.7])
    many = simulate.iterate_ensemble(updates.Alternating(0.1), field, starts, 20, record=record, save_every=10)
    assert many.ys["turn"].shape == (2, 3)
    np.testing.assert_allclose(many.ys["norm"][0], orbit.ys["norm"], atol=ROUNDING)


@pytest.mark.parametrize(("damping", "turn"), [(0.0, 2.0), (1.0, 0.0), (0.7, 1.3)])
def test_the_rotation_share_of_a_plane_is_its_closed_form(damping, turn):
    # J = -d I + w R has |S|^2 = 2 d^2 and |A|^2 = 2 w^2.
    matrix = np.array([[-damping, -turn], [turn, -damping]])
    found = analysis.rotation_share(linear(matrix), players([0.4], [0.1]))
    assert float(found) == pytest.approx(turn**2 / (turn**2 + damping**2), abs=ROUNDING)


def test_random_probes_come_to_the_share_of_a_large_field_and_a_few_parameters_need_none():
    matrix = np.random.default_rng(1).normal(size=(300, 300)) / 10 - np.eye(300)
    turning, downhill = np.sum((matrix - matrix.T) ** 2), np.sum((matrix + matrix.T) ** 2)
    expected = turning / (turning + downhill)
    y = split(jnp.zeros(300))
    # The mean of 32 probes of 300 numbers each: measured 0.002, as for 500.
    assert float(analysis.rotation_share(linear(matrix), y)) == pytest.approx(expected, abs=0.02)
    assert float(analysis.rotation_share(linear(matrix), y, num_probes=500)) == pytest.approx(expected, abs=0.005)
    small = linear(matrix[:50, :50])
    turning, downhill = (np.sum((matrix[:50, :50] + sign * matrix[:50, :50].T) ** 2) for sign in (-1, 1))
    exact = analysis.rotation_share(small, split(jnp.zeros(50)))
    assert float(exact) == pytest.approx(turning / (turning + downhill), abs=ROUNDING)


def test_of_networks_and_in_single_precision_the_share_is_a_number_of_the_states_precision():
    game = gan(losses.Minimax())
    y = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), game.players)
    batch = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), game.sample(jax.random.key(0), 8))
    found = jax.jit(lambda y: analysis.rotation_share(fields.GameField(game), y, args=batch, num_probes=4))(y)
    assert found.dtype == jnp.float32
    assert 0 < float(found) < 1


def test_no_probes_are_refused():
    with pytest.raises(ValueError, match="`num_probes` must be at least 1, but is 0"):
        analysis.rotation_share(linear(np.eye(2)), players([0.0], [0.0]), num_probes=0)
