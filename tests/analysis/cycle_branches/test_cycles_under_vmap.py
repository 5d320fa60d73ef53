"""Branches of cycles under `jax.vmap` and `jax.jit`, against a normal form and against one branch at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from gan_ode import analysis

# Collocation on 16 intervals of a circle; measured at most 7e-10.
SMOOTH = 1e-8
FIRSTS = np.array([0.9, 1.0, 1.2])


class Rotating(eqx.Module):
    """r' = p r + a r^3 - r^5, theta' = 1."""

    a: Array

    def __call__(self, p):
        def field(t, y, args):
            square = jnp.sum(y**2)
            return jnp.stack([p * y[0] - y[1], p * y[1] + y[0]]) + square * (self.a - square) * y

        return field


@pytest.fixture(scope="module")
def many():
    """Branches of all families along a range, from the outer cycle of one of them."""
    cycle = analysis.find_periodic_orbit(Rotating(jnp.array(1.0))(0.2), jnp.array([1.1, 0.0]))

    def one(a, ends):
        return analysis.continue_cycle(Rotating(a), ends, cycle, intervals=16, max_points=60)

    together = jax.jit(jax.vmap(one, in_axes=(0, None)))
    return lambda *ends: together(jnp.asarray(FIRSTS), jnp.array(ends))


def test_many_branches_turn_in_their_folds_and_shrink_to_their_hopf_points(many):
    found = many(0.2, -0.6)
    assert list(found.ended) == ["a Hopf point"] * 3 and found.values.shape == (3, 60)
    for i, a in enumerate(FIRSTS):
        there = np.isfinite(np.asarray(found.values[i]))
        values, states = np.asarray(found.values[i])[there], np.asarray(found.states[i])[there]
        square = np.sum(states**2, axis=1)
        np.testing.assert_allclose(values + a * square - square**2, 0, atol=SMOOTH)
        np.testing.assert_allclose(np.asarray(found.periods[i])[there], 2 * np.pi, rtol=SMOOTH)
        rate = values + 3 * a * square - 5 * square**2
        np.testing.assert_allclose(np.asarray(found.multipliers[i])[there, 1], np.exp(2 * np.pi * rate), rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(found.stable[i])[there], square > a / 2)
        # To both sides of the fold, all rows in front, and nothing said past the end.
        assert square[0] > a / 2 > square[-1] and np.all(there[: there.sum()]) and values.min() > -(a**2) / 4
        assert not np.any(np.asarray(found.stable[i])[~there]) and np.all(np.isnan(found.periods[i][~there]))
        np.testing.assert_allclose(
            np.sum(np.asarray(found.orbits[i])[there] ** 2, axis=-1), square[:, None] + np.zeros(65), atol=1e-5
        )


def test_they_end_at_the_end_of_the_range_if_they_do_not_turn_before(many):
    # The fold is beyond the end for all but the first, which turns before.
    found = many(0.2, -0.22)
    assert list(found.ended) == ["a Hopf point", "end of range", "end of range"]
    last = int(np.isfinite(found.values[1]).sum()) - 1
    np.testing.assert_allclose(found.values[1][last], -0.22, atol=1e-14)
