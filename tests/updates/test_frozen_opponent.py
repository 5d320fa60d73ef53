"""Runge-Kutta steps of both players at once, and of each while the other is held still."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode import analysis, fields, flow, games, iterate, losses, solvers, updates
from gan_ode.games import Players

# Slopes between step sizes 1/16 and 1/32; measured within 0.02 of order 1 and 0.04 of order 4.
ORDER = 0.1
# The next term of the expansion, of the order of the step.
EXPANSION = 0.02

LQ = fields.GameField(games.LinearQuadratic(losses.Minimax()))
START = Players(jnp.asarray(0.5), jnp.asarray(1.3))
STEP_SIZES = np.array([1 / 8, 1 / 16, 1 / 32])


def order(rule, field=LQ, scale=1):
    return analysis.convergence(rule, field, START, 2.0 * scale, scale * STEP_SIZES).order


def test_the_classical_method_is_of_order_four():
    assert abs(order(lambda h: updates.SolverStep(solvers.RK4(), h)) - 4) < ORDER


@pytest.mark.parametrize("solver", [diffrax.Heun(), solvers.RK4(), diffrax.Dopri5()], ids=["Heun", "RK4", "Dopri5"])
def test_with_the_opponent_frozen_every_tableau_is_of_order_one(solver):
    assert abs(order(lambda h: updates.FrozenOpponent(solver, h)) - 1) < ORDER


def test_against_an_opponent_who_does_not_move_the_order_is_the_tableaus():
    # It moves slowly: short steps would end at rounding.
    alone = fields.discriminator_only(LQ)
    assert abs(order(lambda h: updates.FrozenOpponent(solvers.RK4(), h), alone, scale=8) - 4) < ORDER


def test_on_a_bilinear_game_it_is_eulers_rule():
    field = fields.GameField(games.Bilinear(jnp.array([[1.0, 2.0], [-0.5, 0.3]])))
    start = Players(jnp.array([1.0, -1.0]), jnp.array([0.5, 2.0]))
    frozen = iterate(updates.FrozenOpponent(solvers.RK4(), 0.1), field, start, 20)
    euler = iterate(updates.Simultaneous(0.1), field, start, 20)
    for left, right in zip(jax.tree.leaves(frozen.ys), jax.tree.leaves(euler.ys), strict=True):
        # The same but for the order of additions; measured 1e-15.
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-13)


def test_what_it_leaves_out_is_the_coupling_to_second_order():
    h = 1e-3
    joint = updates.SolverStep(solvers.RK4(), h).step(LQ, 0.0, START, None, None)[0]
    frozen = updates.FrozenOpponent(solvers.RK4(), h).step(LQ, 0.0, START, None, None)[0]
    (w, a), dw, da = (0.5, 1.3), *jax.tree.leaves(LQ(0.0, START))
    coupling = (
        jax.jacfwd(lambda a: LQ(0.0, Players(jnp.asarray(w), a)).discriminator)(jnp.asarray(a)) * da,
        jax.jacfwd(lambda w: LQ(0.0, Players(w, jnp.asarray(a))).generator)(jnp.asarray(w)) * dw,
    )
    left_out = (joint.discriminator - frozen.discriminator, joint.generator - frozen.generator)
    for measured, expected in zip(left_out, coupling, strict=True):
        np.testing.assert_allclose(measured, h**2 / 2 * expected, rtol=EXPANSION, atol=0)


def test_adaptive_steps_of_the_classical_method_keep_to_the_tolerance():
    ts = jnp.array([0.0, 5.0])
    found, exact = (flow(LQ, START, ts, solver=s, rtol=r) for s, r in ((solvers.RK4(), 1e-6), (None, 1e-11)))
    # Measured 5e-8: the error estimate, of order 2, is pessimistic.
    np.testing.assert_allclose(found.ys.generator[-1], exact.ys.generator[-1], rtol=0, atol=1e-5)
    assert found.stats["num_rejected_steps"] < found.stats["num_accepted_steps"]
