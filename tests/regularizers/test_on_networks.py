"""Every penalty and every adjustment, on networks, through an ensemble."""

import inspect
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gan_ode import losses, regularizers
from gan_ode.fields import GameField
from gan_ode.regularizers import Adjusted, Consensus, GradientNorm, Penalized, R1, R2, WGANGP
from gan_ode.simulate import ensemble
from tests.catalogue import gan
from tests.regularizers.test_adjustments import ADJUSTMENTS
from tests.regularizers.test_penalties import ON_NETWORKS

GAME = gan(losses.Minimax())
# One of a class: each is compiled twice.
PENALTIES = {type(each): each for each in (*ON_NETWORKS, GradientNorm(0.3), R1(0.3), R2(0.3), WGANGP(0.3, 1.0))}
EVERY_ADJUSTMENT = {type(each): each for each in (*ADJUSTMENTS.values(), Consensus(0.3))}
STEP, NUM_STEPS = 0.05, 2
# Three dozen velocities in single precision, over two steps: measured 2e-7.
SINGLE = 3e-6


class All(eqx.Module):
    """The sum of all fields, so that one program runs them; each with a weight of its own, so that none cancels."""

    fields: tuple[Any, ...]

    def __call__(self, t, y, args):
        velocities = [field(t, y, args) for field in self.fields]
        weights = [1 / (2 + n) for n in range(len(velocities))]
        return jax.tree.map(lambda *leaves: sum(w * leaf for w, leaf in zip(weights, leaves, strict=True)), *velocities)


def material(dtype):
    field = GameField(GAME)
    penalized = (GameField(Penalized(GAME, penalty)) for penalty in PENALTIES.values())
    every = All((*penalized, *(Adjusted(field, adjustment) for adjustment in EVERY_ADJUSTMENT.values())))
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), GAME.players)
    batch = GAME.sample(jax.random.key(0), 4)
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, (every, states, batch))


def numbers(states):
    return np.concatenate([np.reshape(leaf, (2, -1)) for leaf in jax.tree.leaves(states)], axis=1).astype(float)


def test_an_ensemble_in_single_precision_ends_where_jit_and_vmap_end_in_double():
    every, states, batch = material(jnp.float32)
    ts = jnp.array([0.0, NUM_STEPS * STEP], jnp.float32)
    orbit = ensemble(every, states, ts, args=batch, solver=diffrax.Euler(), step_size=jnp.float32(STEP))
    found = jax.tree.map(lambda leaf: leaf[:, -1], orbit.ys)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    every, states, batch = material(float)

    @jax.jit
    @jax.vmap
    def expected(y):
        def step(y, _):
            return jax.tree.map(lambda leaf, slope: leaf + STEP * slope, y, every(0.0, y, batch)), None

        return jax.lax.scan(step, y, None, NUM_STEPS)[0]

    np.testing.assert_allclose(numbers(found), numbers(expected(states)), rtol=0, atol=SINGLE)
    assert np.max(np.abs(numbers(found) - numbers(states))) > 100 * SINGLE, "nothing moved"


def test_no_penalty_and_no_adjustment_is_left_out():
    there = {*PENALTIES, *EVERY_ADJUSTMENT}
    kinds = (regularizers.AbstractPenalty, regularizers.AbstractAdjustment)
    public = [each for _, each in inspect.getmembers(regularizers, inspect.isclass) if issubclass(each, kinds)]
    assert {each for each in public if not inspect.isabstract(each)} == there
