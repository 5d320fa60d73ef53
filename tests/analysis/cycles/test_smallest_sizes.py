"""Absolute tolerances by component: which components cannot change their sign, and how small the others are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import fields, games, losses
from gan_ode.analysis.cycles._smallest_sizes import absolute_tolerances, positive_components

TINY = np.finfo(float).tiny


def flat(field):
    def velocity(t, y, args):
        return ravel_pytree(field(t, games.Players(y[0], y[1]), args))[0]

    return velocity


def prey(t, y, args):
    u, v = y
    return jnp.stack([u * (1 - u / 40) - u * v / (1 + u), v * (u / (1 + u) - 0.2)])


def rotation(t, y, args):
    return jnp.stack([-y[1], y[0]])


def root(t, y, args):
    # Not finite where the second is negative; at zero it is zero.
    return jnp.stack([1 - y[1], -jnp.sqrt(y[1]) * y[0]])


FIELDS = {
    "linear-quadratic": (flat(fields.GameField(games.LinearQuadratic(losses.Wasserstein()))), [7.0, 1.0], [0, 1]),
    "linear-quadratic, from w = 0": (
        flat(fields.GameField(games.LinearQuadratic(losses.Minimax()))),
        [0.0, 2.0],
        [0, 1],
    ),
    "populations": (prey, [1.0, 1.0], [1, 1]),
    "one of them extinct": (prey, [1.0, 0.0], [1, 0]),
    "a rotation": (rotation, [0.3, 0.1], [0, 0]),
    # Where psi = 0 theta rests, whatever it is, but not elsewhere.
    "Dirac, from psi = 0": (flat(fields.GameField(games.Dirac(losses.Minimax()))), [0.0, 1.0], [0, 0]),
    "a field that ends": (root, [1.0, 2.0], [0, 1]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_components_that_the_field_keeps_at_zero_are_positive_ones(name):
    field, start, expected = FIELDS[name]
    measured = positive_components(field, jnp.array([start]), None)
    np.testing.assert_array_equal(measured, np.array(expected, bool))


def test_a_component_that_changed_its_sign_is_none_of_them():
    ys = jnp.array([[1.0, 1.0], [2.0, -1e-9]])
    np.testing.assert_array_equal(positive_components(prey, ys, None), [True, False])


def test_of_many_components_the_positive_ones_are_found_too():
    size = 300

    def field(t, y, args):
        return jnp.roll(y, 1).at[7].set(y[7] * y[8]).at[200].set(-y[200] * jnp.sum(y))

    y = 1 + jnp.arange(size) / size
    measured = jax.jit(lambda y: positive_components(field, y[None], None))(y)
    np.testing.assert_array_equal(np.flatnonzero(measured), [7, 200])


def test_a_positive_component_is_followed_relatively_and_others_by_their_amplitude():
    ys = jnp.array([[1e-30, 3.0, 1e-5, 0.0, 5.0], [1.0, 3.5, -1e-5, 0.0, 5.0]])
    measured = absolute_tolerances(ys, jnp.array([True, False, False, False, False]), 1e-8)
    assert measured[0] == TINY
    np.testing.assert_allclose(measured[1:3], [0.5e-10, 2e-15], rtol=1e-12)
    # What rests is followed as exactly as what moves, but not below rounding.
    np.testing.assert_allclose(measured[3:], [5e-10, 5e-10], rtol=1e-12)


def test_no_component_is_asked_to_be_more_exact_than_rounding():
    ys = jnp.array([[1.0, 2.0], [1e4, 1e-9]])
    measured = absolute_tolerances(ys, jnp.zeros(2, bool), 1e-12)
    assert np.all(measured >= np.finfo(float).eps * 1e4)
