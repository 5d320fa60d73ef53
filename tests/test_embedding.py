"""In somebody else's code: Diffrax, Optimistix and JAX take what the package makes, and the package what they make."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix as optx
import pytest

from gan_ode import flow, games, iterate, losses
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import GradientNorm, Penalized
from gan_ode.updates import Optax, Simultaneous
from tests.catalogue import damped_linear_quadratic, flat, players

# The linear game psi' = theta, theta' = -psi, with gradient-norm eta: a damped oscillator, so that everything is known.
LINEAR = GameField(games.Dirac(losses.Wasserstein()))
START = players(1.0, 0.0)
TS = jnp.array([0.0, 1.0, 2.5])
# Global error at tolerance 1e-8: measured 6e-8.
FLOW = 1e-6
ROUNDING = 1e-12


def damped(eta):
    return GameField(Penalized(games.Dirac(losses.Wasserstein()), GradientNorm(eta)))


def damped_state(eta, t):
    """psi and theta from (1, 0): psi'' + 2 eta psi' + psi = 0."""
    om = np.sqrt(1 - eta**2)
    decay = np.exp(-eta * t)
    psi = decay * (np.cos(om * t) + eta / om * np.sin(om * t))
    return np.array([psi, -decay * np.sin(om * t) / om])


def test_a_raw_diffrax_solve_with_its_own_solver_controller_and_saves_takes_the_field():
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(damped(0.3)),
        diffrax.Bosh3(),
        0.0,
        2.5,
        None,
        START,
        saveat=diffrax.SaveAt(ts=TS),
        stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-8),
    )
    for n, t in enumerate(TS):
        found = flat(jax.tree.map(lambda leaf, n=n: leaf[n], solution.ys))
        np.testing.assert_allclose(found, damped_state(0.3, t), rtol=0, atol=FLOW)


def test_optimistix_solves_for_a_zero_with_its_own_methods():
    field = GameField(Penalized(games.LinearQuadratic(losses.Minimax()), GradientNorm(0.5)))
    found = optx.root_find(
        lambda y, args: field(0.0, y, args), optx.LevenbergMarquardt(1e-10, 1e-10), players(0.1, 0.8)
    )
    np.testing.assert_allclose(flat(found.value), [0.0, 1.0], rtol=0, atol=1e-9)


def test_a_field_is_an_argument_of_a_jitted_function():
    speed = jax.jit(lambda field, y: field(0.0, y, None))
    for eta in (0.0, 0.4):
        expected = [0.7, -0.2 - 2 * eta * 0.7]
        np.testing.assert_allclose(flat(speed(damped(eta), players(0.2, 0.7))), expected, rtol=ROUNDING)


def test_vmap_maps_over_a_stack_of_fields():
    etas = jnp.array([0.0, 0.3, 1.2])
    stack = eqx.filter_vmap(damped)(etas)
    y = players(0.2, 0.7)
    speeds = eqx.filter_vmap(lambda field: field(0.0, y))(stack)
    np.testing.assert_allclose(speeds.generator, -0.2 - 2 * etas * 0.7, rtol=ROUNDING)


def test_the_gradient_with_respect_to_a_weight_is_the_closed_form():
    # d theta' / d eta = -2 psi'.
    slope = jax.jit(jax.grad(lambda eta: damped(eta)(0.0, players(0.2, 0.7)).generator))(0.4)
    np.testing.assert_allclose(slope, -2 * 0.7, rtol=ROUNDING)


def test_reverse_mode_through_flow_is_the_finite_difference_of_the_closed_form():
    def end(eta):
        return flow(damped(eta), START, TS).ys.discriminator[-1]

    eta, h = 0.3, 1e-5
    expected = (damped_state(eta + h, 2.5)[0] - damped_state(eta - h, 2.5)[0]) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.grad(end))(eta), expected, rtol=0, atol=FLOW)


def test_forward_mode_through_flow_is_the_rotation_itself():
    def end(y):
        return jax.tree.map(lambda leaf: leaf[-1], flow(LINEAR, y, TS, adjoint=diffrax.ForwardMode()).ys)

    # The flow of psi' = theta, theta' = -psi is linear: its derivative along (1, 0) is where (1, 0) goes.
    _, along = jax.jit(lambda y: jax.jvp(end, (y,), (START,)))(players(0.3, 0.8))
    np.testing.assert_allclose(flat(along), [np.cos(2.5), -np.sin(2.5)], rtol=0, atol=FLOW)


def test_float32_in_a_program_of_float64_stays_float32():
    y = players(1.0, 0.0, jnp.float32)
    orbit = flow(damped(0.3), y, TS)
    steps = iterate(Simultaneous(0.1), damped(0.3), y, 5)
    for leaf in jax.tree.leaves((orbit.ts, orbit.ys, steps.ts, steps.ys)):
        assert leaf.dtype == jnp.float32
    # Global error at the tolerance of float32, 1e-5: measured 2e-6.
    np.testing.assert_allclose(
        [orbit.ys.discriminator[-1], orbit.ys.generator[-1]], damped_state(0.3, 2.5), rtol=0, atol=2e-4
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_strict_dtype_promotion_finds_nothing_in_a_whole_program(dtype):
    with jax.numpy_dtype_promotion("strict"):
        y = players(0.5, 1.2, dtype)
        field = GameField(Penalized(games.LinearQuadratic(losses.Minimax()), GradientNorm(0.5)))
        steps = iterate(Simultaneous(0.1), field, y, 4, save_every=2)
    assert steps.ys.generator.dtype == dtype


def test_states_of_somebody_elses_pytrees_go_through():
    class Weights(eqx.Module):
        a: jax.Array
        b: dict

    def rotation(t, y, args):
        u, v = y.discriminator, y.generator
        return Players(Weights(v["x"], {"c": v["y"]}), {"x": -u.a, "y": -u.b["c"]})

    y = Players(Weights(jnp.ones(2), {"c": jnp.zeros((1, 1))}), {"x": jnp.zeros(2), "y": jnp.ones((1, 1))})
    orbit = flow(rotation, y, TS)
    np.testing.assert_allclose(orbit.ys.discriminator.a[-1], np.full(2, np.cos(2.5)), rtol=0, atol=FLOW)
    np.testing.assert_allclose(orbit.ys.generator["y"][-1], [[np.cos(2.5)]], rtol=0, atol=FLOW)
    steps = iterate(Simultaneous(0.5), rotation, y, 1)
    np.testing.assert_allclose(steps.final_state.generator["x"], np.full(2, -0.5), rtol=ROUNDING)


def test_any_optax_chain_is_an_update():
    # Clipping to 0.1 and a decaying rate: psi' = theta = -2 moves by 0.1 * (0.5, 0.25).
    rule = optax.chain(optax.clip(0.1), optax.sgd(optax.piecewise_constant_schedule(0.5, {1: 0.5})))
    update = Optax(rule, optax.set_to_zero(), order="simultaneous")
    steps = iterate(update, LINEAR, players(1.0, -2.0), 2)
    np.testing.assert_allclose(steps.ys.discriminator, [1.0, 0.95, 0.925], rtol=1e-6)
    np.testing.assert_array_equal(steps.ys.generator, [-2.0, -2.0, -2.0])


def test_a_field_written_by_hand_and_the_games_field_follow_the_same_orbit():
    def by_hand(t, y, args):
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3, 2 * w * a / 3 + 4 * args * a * (1 - a**2) / 9)

    eta, y = jnp.asarray(0.5), players(0.5, 1.2)
    orbit = iterate(Simultaneous(0.2), by_hand, y, 30, args=eta)
    game = iterate(
        Simultaneous(0.2), GameField(Penalized(games.LinearQuadratic(losses.Wasserstein()), GradientNorm(eta))), y, 30
    )
    np.testing.assert_allclose(flat(game.final_state), flat(orbit.final_state), rtol=0, atol=ROUNDING)
    first = flat(jax.tree.map(lambda leaf: leaf[1] - leaf[0], game.ys)) / 0.2
    np.testing.assert_allclose(first, damped_linear_quadratic(flat(y), 0.5), rtol=0, atol=ROUNDING)
