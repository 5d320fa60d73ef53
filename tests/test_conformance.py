"""One suite that every game, penalty and update of the catalogue passes."""

import functools
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
import scipy.integrate
from jax.flatten_util import ravel_pytree

from gan_ode import fields, games, iterate, losses
from gan_ode.games import Players
from gan_ode.simulate import iterate_ensemble
from tests.catalogue import damped_linear_quadratic, flat, GameCase, GAMES, gan, players, UpdateCase, UPDATES

# Against NumPy, with other nodes and another order of summation: measured 1e-14.
ROUNDING = 1e-13
# Central differences of step 1e-5: truncation 1e-10 and cancellation 1e-11. Measured 2e-10.
FINITE_DIFFERENCE = 2e-9
# float32 has 6e-8, and the losses sum 40 terms: measured 2e-7.
SINGLE = 3e-6
# Bosh3 at 1e-9 against DOP853 at 1e-12: measured 8e-9.
FLOW = 2e-8

ONE_OF_EACH_KIND = [case for case in GAMES if case.one_of_its_kind]
WITH_LOSSES = [case for case in GAMES if case.has_losses]
WITH_CLOSED_FORM = [case for case in GAMES if case.velocity is not None]
WITH_EQUILIBRIUM = [case for case in GAMES if case.equilibrium is not None]


def _rows(states: Any) -> np.ndarray:
    return np.asarray(jax.vmap(lambda y: ravel_pytree(y)[0])(states))


@functools.cache
def _unflatten(case: GameCase) -> Any:
    return ravel_pytree(jax.tree.map(lambda leaf: leaf[0], case.states))[1]


@functools.cache
def _report(case: GameCase) -> dict[str, Any]:
    """Everything that is measured of a game, from one compilation."""

    back = _unflatten(case)

    def measure(parameter: jax.Array, states: Players) -> dict[str, Any]:
        field = case.field(parameter)

        def both_losses(x: jax.Array) -> jax.Array:
            losses = field.game.losses(back(x), case.args)
            return jnp.stack([losses.discriminator, losses.generator])

        def flat_velocity(x: jax.Array) -> jax.Array:
            return ravel_pytree(field(0.0, back(x), case.args))[0]

        def own(y: Players, slopes: jax.Array) -> jax.Array:
            """Minus each player's rate times the slopes of its own loss, of the slopes of both."""
            rate = Players(
                jax.tree.map(lambda leaf: jnp.full_like(leaf, field.rates.discriminator), y.discriminator),
                jax.tree.map(lambda leaf: jnp.full_like(leaf, field.rates.generator), y.generator),
            )
            its = jnp.arange(slopes.shape[1]) < ravel_pytree(y.discriminator)[0].size
            return -ravel_pytree(rate)[0] * jnp.where(its, slopes[0], slopes[1])

        def slow(y: Players) -> jax.Array:
            return own(y, jax.jacrev(both_losses)(ravel_pytree(y)[0]))

        def differences(y: Players) -> jax.Array:
            x, h = ravel_pytree(y)[0], 1e-5
            steps = h * jnp.eye(x.size)
            ahead, behind = jnp.split(jax.vmap(both_losses)(jnp.concatenate([x + steps, x - steps])), 2)
            return own(y, (ahead - behind).T / (2 * h))

        report = {"velocity": jax.vmap(lambda y: field(0.0, y, case.args))(states)}
        if case.has_losses:
            report["slow"], report["differences"] = jax.vmap(slow)(states), jax.vmap(differences)(states)
        if case.equilibrium is not None:
            at = jnp.asarray(case.equilibrium)
            report["at_equilibrium"], along = jax.linearize(flat_velocity, at)
            report["jacobian"] = jax.vmap(along)(jnp.eye(at.size)).T
        return report

    return jax.jit(measure)(jnp.asarray(case.parameter), case.states)


@pytest.mark.parametrize("case", GAMES, ids=str)
def test_the_velocity_has_the_structure_of_the_state(case):
    velocity = _report(case)["velocity"]
    assert jax.tree.structure(velocity) == jax.tree.structure(case.states)
    for speed, leaf in zip(jax.tree.leaves(velocity), jax.tree.leaves(case.states), strict=True):
        assert (speed.shape, speed.dtype) == (leaf.shape, leaf.dtype)


@pytest.mark.parametrize("case", WITH_CLOSED_FORM, ids=str)
def test_the_velocity_is_the_closed_form(case):
    expected = [case.velocity(y, case.parameter) for y in _rows(case.states)]
    np.testing.assert_allclose(_rows(_report(case)["velocity"]), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", WITH_LOSSES, ids=str)
def test_each_velocity_is_minus_the_finite_difference_of_the_own_loss(case):
    report = _report(case)
    np.testing.assert_allclose(_rows(report["velocity"]), report["differences"], rtol=0, atol=FINITE_DIFFERENCE)


@pytest.mark.parametrize("case", WITH_LOSSES, ids=str)
def test_the_fast_gradients_are_the_slow_ones(case):
    report = _report(case)
    np.testing.assert_allclose(_rows(report["velocity"]), report["slow"], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", WITH_EQUILIBRIUM, ids=str)
def test_the_equilibrium_is_a_zero(case):
    np.testing.assert_allclose(_report(case)["at_equilibrium"], 0, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", WITH_EQUILIBRIUM, ids=str)
def test_the_jacobian_at_the_equilibrium_is_the_closed_form(case):
    np.testing.assert_allclose(_report(case)["jacobian"], case.jacobian, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", [case for case in GAMES if case.invariant is not None], ids=str)
def test_the_field_is_tangent_to_the_level_sets_of_the_invariant(case):
    h = 1e-5
    for y, velocity in zip(_rows(case.states), _rows(_report(case)["velocity"]), strict=True):
        rise = (case.invariant(y + h * velocity) - case.invariant(y - h * velocity)) / (2 * h)
        assert abs(rise) < FINITE_DIFFERENCE


@pytest.mark.parametrize("case", GAMES, ids=str)
def test_float32_in_gives_float32_out_that_agrees(case):
    states, args = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (case.states, case.args))
    # A weight of float64, not of Python's float, which takes any dtype.
    parameter = np.float64(case.parameter)
    with jax.numpy_dtype_promotion("strict"):
        velocity = jax.jit(jax.vmap(lambda y: case.field(parameter)(0.0, y, args)))(states)
    assert {leaf.dtype for leaf in jax.tree.leaves(velocity)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(_rows(velocity), _rows(_report(case)["velocity"]), rtol=0, atol=SINGLE)


# Networks, op by op, would take as long as all the others.
@pytest.mark.parametrize("case", [case for case in ONE_OF_EACH_KIND if case.args is None], ids=str)
def test_jit_and_vmap_over_the_states_change_nothing(case):
    field = case.field(case.parameter)
    for n, expected in enumerate(_rows(_report(case)["velocity"])):
        eager = field(0.0, jax.tree.map(lambda leaf, n=n: leaf[n], case.states), case.args)
        np.testing.assert_allclose(flat(eager), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", ONE_OF_EACH_KIND, ids=str)
def test_vmap_over_the_parameter_is_a_loop_over_it(case):
    y = jax.tree.map(lambda leaf: leaf[0], case.states)
    values = np.array([1.0, 0.5, 1.7]) * case.parameter
    one = jax.jit(lambda value: case.field(value)(0.0, y, case.args))
    batch = jax.jit(jax.vmap(one))(jnp.asarray(values))
    np.testing.assert_allclose(_rows(batch), [flat(one(value)) for value in values], rtol=0, atol=ROUNDING)
    assert np.abs(_rows(batch)[1] - _rows(batch)[2]).max() > 1e-3, "the parameter does nothing"


@pytest.mark.parametrize("case", ONE_OF_EACH_KIND, ids=str)
def test_diffeqsolve_takes_the_field_as_it_is(case):
    field = case.field(case.parameter)
    start = jax.tree.map(lambda leaf: leaf[0], case.states)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Bosh3(),
        0.0,
        1.0,
        0.1,
        start,
        case.args,
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-9),
    )
    jitted, back = jax.jit(lambda y: field(0.0, y, case.args)), _unflatten(case)

    def speed(t: float, y: np.ndarray) -> np.ndarray:
        return flat(jitted(back(y))) if case.velocity is None else case.velocity(y, case.parameter)

    expected = scipy.integrate.solve_ivp(speed, (0, 1), flat(start), method="DOP853", rtol=1e-12, atol=1e-12)
    final = flat(jax.tree.map(lambda leaf: leaf[-1], solution.ys))
    np.testing.assert_allclose(final, expected.y[:, -1], rtol=0, atol=FLOW)


@pytest.mark.parametrize("case", [case for case in ONE_OF_EACH_KIND if case.equilibrium is not None], ids=str)
def test_root_find_finds_the_equilibrium(case):
    field = case.field(case.parameter)
    offset = 0.05 * np.cos(np.arange(case.equilibrium.size))
    near = _unflatten(case)(jnp.asarray(case.equilibrium + offset))
    found = optx.root_find(lambda y, args: field(0.0, y, args), optx.Newton(1e-10, 1e-10), near, case.args)
    # The last Newton step is below 1e-10, and convergence quadratic: measured 2e-24.
    np.testing.assert_allclose(flat(found.value), case.equilibrium, rtol=0, atol=1e-12)


def _cost(case: GameCase, adjoint: diffrax.AbstractAdjoint) -> Any:
    """A number that depends on where the flow goes, of the flat start and the parameter."""

    def cost(inputs: jax.Array) -> jax.Array:
        y, parameter = _unflatten(case)(inputs[:-1]), inputs[-1]
        term = diffrax.ODETerm(case.field(parameter))
        solution = diffrax.diffeqsolve(term, diffrax.Heun(), 0.0, 1.0, 0.125, y, case.args, adjoint=adjoint)
        return jnp.sum(jnp.sin(ravel_pytree(solution.ys)[0]))

    return cost


@pytest.mark.parametrize(
    ("name", "mode"),
    [("linear_quadratic_wasserstein_gradient_norm", "reverse"), ("gan_minimax_gradient_norm", "forward")],
)
def test_the_derivative_through_the_flow_is_its_finite_difference(name, mode):
    case = next(case for case in GAMES if case.name == name)
    inputs = np.append(flat(jax.tree.map(lambda leaf: leaf[0], case.states)), case.parameter)
    direction = np.cos(np.arange(inputs.size))
    if mode == "reverse":
        both = jax.jit(jax.value_and_grad(_cost(case, diffrax.RecursiveCheckpointAdjoint())))
        slope = both(jnp.asarray(inputs))[1] @ direction
    else:
        cost = _cost(case, diffrax.ForwardMode())
        both = jax.jit(lambda x: jax.jvp(cost, (x,), (jnp.asarray(direction),)))
        slope = both(jnp.asarray(inputs))[1]
    h = 1e-5
    ahead, behind = (both(jnp.asarray(inputs + sign * h * direction))[0] for sign in (1, -1))
    expected = (ahead - behind) / (2 * h)
    assert abs(expected) > 1e-2
    assert abs(slope - expected) < FINITE_DIFFERENCE


# Updates.


class Plane:
    """The damped linear-quadratic Wasserstein GAN, as somebody else would write its field."""

    def __call__(self, t: Any, y: Players, args: Any) -> Players:
        eta = 0.3
        w, a = y.discriminator, y.generator
        return Players((1 - a**2) / 3, 2 * w * a / 3 + 4 * eta * a * (1 - a**2) / 9)


PLANE = Plane()
START = players(0.4, 1.3)


@functools.cache
def _three_steps(case: UpdateCase) -> Any:
    """States of three steps, jitted, of a step size and a start."""
    return jax.jit(lambda h, y: iterate(case.make(h), PLANE, y, 3).ys)


@pytest.mark.parametrize("case", UPDATES, ids=str)
def test_a_tiny_step_is_an_euler_step(case):
    h = 1e-6
    ys = _rows(_three_steps(case)(jnp.asarray(h), START))
    expected = damped_linear_quadratic(flat(START), 0.3) * case.speeds
    # Of order h times a second derivative of about 1; measured up to 2e-6.
    np.testing.assert_allclose((ys[1] - ys[0]) / h, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", UPDATES, ids=str)
def test_vmap_over_the_step_size_is_a_loop_over_it(case):
    sizes = jnp.array([0.05, 0.1, 0.2])
    batch = jax.jit(jax.vmap(lambda h: _three_steps(case)(h, START)))(sizes)
    loop = [_three_steps(case)(h, START) for h in sizes]
    # The root finder of an implicit step may stop elsewhere within its tolerance of 1e-10.
    for n, ys in enumerate(loop):
        np.testing.assert_allclose(_rows(jax.tree.map(lambda leaf, n=n: leaf[n], batch)), _rows(ys), rtol=0, atol=1e-9)
    assert np.abs(_rows(loop[0])[-1] - _rows(loop[1])[-1]).max() > 1e-3, "the step size does nothing"


@pytest.mark.parametrize("case", UPDATES, ids=str)
def test_an_update_keeps_float32_and_goes_where_it_goes_in_double(case):
    field = fields.GameField(games.Bilinear(jnp.eye(1)))
    double = iterate(case.make(jnp.asarray(0.1)), field, players([0.4], [1.3]), 3)
    with jax.numpy_dtype_promotion("strict"):
        orbit = iterate(case.make(jnp.float32(0.1)), field, players([0.4], [1.3], jnp.float32), 3)
    assert {leaf.dtype for leaf in jax.tree.leaves((orbit.ts, orbit.ys))} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(_rows(orbit.ys), _rows(double.ys), rtol=0, atol=SINGLE)


@pytest.mark.parametrize("case", UPDATES, ids=str)
def test_an_update_stays_at_an_equilibrium(case):
    ys = _rows(_three_steps(case)(jnp.asarray(0.1), players(0.0, 1.0)))
    np.testing.assert_array_equal(ys, np.tile([0.0, 1.0], (4, 1)))


def _small_gan(dtype: Any) -> tuple[Any, Any, Any]:
    """A field of two networks, two states of it and a minibatch."""
    game = gan(losses.NonSaturating())
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]).astype(dtype), game.players)
    batch = jax.tree.map(lambda leaf: leaf.astype(dtype), game.sample(jax.random.key(0), 4))
    return fields.GameField(game), states, batch


@functools.cache
def _networks_in_double() -> dict[str, Any]:
    """Where two steps of each update lead two states, by name; one program for all."""
    field, states, batch = _small_gan(float)

    @jax.jit
    def ends(states: Any, batch: Any) -> dict[str, Any]:
        def of(case: UpdateCase) -> Any:
            return jax.vmap(lambda y: iterate(case.make(jnp.asarray(0.1)), field, y, 2, args=batch).final_state)(states)

        return {case.name: of(case) for case in UPDATES}

    return ends(states, batch)


@pytest.mark.parametrize("case", UPDATES, ids=str)
def test_an_ensemble_of_networks_in_single_precision_ends_where_jit_and_vmap_end_in_double(case):
    field, states, batch = _small_gan(jnp.float32)
    found = iterate_ensemble(case.make(jnp.float32(0.1)), field, states, 2, args=batch).final_state
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    expected = _networks_in_double()[case.name]
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    np.testing.assert_allclose(_rows(found), _rows(expected), rtol=0, atol=SINGLE)
    assert np.max(np.abs(_rows(found) - _rows(states))) > 100 * SINGLE, "nothing moved"
