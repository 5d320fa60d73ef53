"""Many starts at once: each member is what `flow` makes of it."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optimistix as optx
import pytest
from jax.extend.core import jaxprs_in_params

from gan_ode import fields, flow, games, losses
from gan_ode._lowering import _kernels
from gan_ode.games import Players
from gan_ode.simulate import ensemble, OUTCOMES
from gan_ode.simulate.runge_kutta import _step
from gan_ode.simulate.runge_kutta._step import with_traced_stages
from gan_ode.solvers import RK4

# The same arithmetic in another order, and step sizes that follow it, at a tolerance of 1e-7; measured 2e-12.
ROUNDING = 1e-10
# Global error at a tolerance of 1e-9; measured 4e-10.
SOLVER_ERROR = 1e-7

PLAIN = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
STARTS = Players(jnp.array([0.5, -0.2, 0.1, 1.0, -0.7]), jnp.array([1.0, 1.3, 0.9, 0.8, -1.2]))
TS = jnp.array([0.0, 1.0, 10.0])
SOLVERS = {"Tsit5": diffrax.Tsit5(), "Dopri8": diffrax.Dopri8(), "Heun": diffrax.Heun(), "RK4": RK4()}


class Decay(eqx.Module):
    """y' = rate * factor * y, the rate in the field and the factor in `args`."""

    rate: jax.Array

    def __call__(self, t, y, args):
        return self.rate * args * y


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@functools.cache
def both(solver):
    # A first step that is too small would have an error of pure rounding, and the next step's length with it.
    tight = {"solver": SOLVERS[solver], "rtol": 1e-7, "atol": 1e-7, "dt0": 0.2}
    many = ensemble(PLAIN, STARTS, TS, **tight)
    return many, [flow(PLAIN, member(STARTS, i), TS, **tight) for i in range(5)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_member_has_the_states_and_the_steps_of_its_own_flow(solver):
    many, alone = both(solver)
    assert many.ts.shape == (5, 3) and many.ys.generator.shape == (5, 3)
    for i, orbit in enumerate(alone):
        assert many.stats["num_accepted_steps"][i] == orbit.stats["num_accepted_steps"]
        assert many.stats["num_rejected_steps"][i] == orbit.stats["num_rejected_steps"]
        for mine, its in zip(jax.tree.leaves(member(many.ys, i)), jax.tree.leaves(orbit.ys), strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_end_alone_is_reached_by_the_same_steps(solver):
    many, _ = both(solver)
    ends = ensemble(PLAIN, STARTS, TS[jnp.array([0, -1])], solver=SOLVERS[solver], rtol=1e-7, atol=1e-7, dt0=0.2)
    np.testing.assert_array_equal(ends.stats["num_steps"], many.stats["num_steps"])
    for end, last in zip(jax.tree.leaves(ends.final_state), jax.tree.leaves(many.final_state), strict=True):
        np.testing.assert_allclose(end, last, rtol=0, atol=ROUNDING)


def test_the_reference_states_are_reached():
    orbit = ensemble(PLAIN, member(STARTS, slice(0, 1)), TS, rtol=1e-9)
    expected = [[0.367293670589203, 1.356430703308359], [0.4963002867477783, 1.061314714974532]]
    states = np.stack([orbit.ys.discriminator[0, 1:], orbit.ys.generator[0, 1:]], axis=1)
    np.testing.assert_allclose(states, expected, rtol=0, atol=SOLVER_ERROR)


def test_chunks_change_nothing():
    whole = both("Tsit5")[0]
    parts = ensemble(PLAIN, STARTS, TS, rtol=1e-7, dt0=0.2, chunk_size=2)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("num_times", [2, 4])
@pytest.mark.parametrize("chunk_size", [None, 500])
def test_leaves_of_any_shape_come_back_in_their_places(num_times, chunk_size):
    shapes = [(), (3,), (2, 2), (0,)]
    y0s = [jnp.asarray(np.random.default_rng(0).uniform(1, 2, (1100, *shape))) for shape in shapes]
    ts = jnp.linspace(0.0, 1.0, num_times)
    orbit = ensemble(lambda t, y, args: [-leaf for leaf in y], y0s, ts, rtol=1e-8, chunk_size=chunk_size)
    for y0, ys in zip(y0s, orbit.ys, strict=True):
        assert ys.shape == (1100, num_times, *y0.shape[1:])
        np.testing.assert_allclose(ys[:, -1], y0 / np.e, rtol=SOLVER_ERROR)


def test_a_fixed_step_and_an_implicit_solver_work_as_in_a_flow():
    decay, y0s = Decay(jnp.asarray(-1.0)), jnp.array([1.0, 2.0])
    ts = jnp.array([0.0, 1.0])
    steps = ensemble(decay, y0s, ts, args=1.0, solver=diffrax.Midpoint(), step_size=0.1)
    # One step of the midpoint rule multiplies by 1 - h + h^2 / 2.
    np.testing.assert_allclose(steps.final_state, np.array([1, 2]) * (1 - 0.1 + 0.005) ** 10, rtol=ROUNDING, atol=0)
    stiff = ensemble(decay, y0s, ts, args=1.0, solver=diffrax.Kvaerno3(), rtol=1e-8)
    np.testing.assert_allclose(stiff.final_state, np.array([1, 2]) / np.e, rtol=SOLVER_ERROR, atol=0)


def test_a_member_that_blows_up_spoils_no_other():
    orbit = ensemble(lambda t, y, args: y**2, jnp.array([1.0, 0.25, -1.0]), jnp.array([0.0, 2.0]))
    assert [bool(each) for each in orbit.outcome == OUTCOMES.blow_up] == [True, False, False]
    # y(t) = 1 / (1 / y0 - t).
    np.testing.assert_allclose(orbit.final_time, [1.0, 2.0, 2.0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(orbit.final_state[1:], [0.5, -1 / 3], rtol=SOLVER_ERROR, atol=0)
    assert np.all(np.isinf(orbit.ys[0, 1:])) and np.all(orbit.reached[1:])


def test_a_member_stops_at_its_own_event():
    events = diffrax.Event(lambda t, y, args, **kwargs: y - 2.0, optx.Newton(1e-10, 1e-10))
    orbit = ensemble(
        Decay(jnp.asarray(1.0)), jnp.array([1.0, 0.1]), jnp.array([0.0, 2.0]), args=1.0, events=events, rtol=1e-10
    )
    assert [bool(each) for each in orbit.outcome == OUTCOMES.event] == [True, False]
    np.testing.assert_allclose(orbit.final_time, [np.log(2), 2.0], rtol=0, atol=SOLVER_ERROR)


def test_fields_and_args_may_differ_from_member_to_member():
    rates, factors = jnp.array([-1.0, 0.5, 0.0]), jnp.array([1.0, 2.0, 3.0])
    batch = eqx.filter_vmap(Decay)(rates)
    ts = jnp.array([0.0, 1.0])
    for size in (None, 2):
        orbit = ensemble(
            batch, jnp.ones(3), ts, args=factors, rtol=1e-9, batched_field=True, batched_args=True, chunk_size=size
        )
        np.testing.assert_allclose(orbit.final_state, np.exp(rates * factors), rtol=SOLVER_ERROR, atol=0)
    shared = ensemble(Decay(jnp.asarray(-1.0)), jnp.ones(3), ts, args=factors, rtol=1e-9, batched_args=True)
    np.testing.assert_allclose(shared.final_state, np.exp(-factors), rtol=SOLVER_ERROR, atol=0)


def test_it_composes_with_jit_and_both_ways_of_differentiating():
    ts = jnp.array([0.0, 1.0])

    def total(rate, **options):
        return jnp.sum(ensemble(Decay(rate), jnp.array([1.0, 3.0]), ts, args=1.0, rtol=1e-9, **options).final_state)

    expected = 4 * np.exp(0.5)
    backward = eqx.filter_jit(eqx.filter_grad(lambda r: total(r, adjoint=diffrax.RecursiveCheckpointAdjoint())))
    _, forward = jax.jvp(total, (jnp.asarray(0.5),), (jnp.asarray(1.0),))
    np.testing.assert_allclose([backward(jnp.asarray(0.5)), forward], expected, rtol=SOLVER_ERROR, atol=0)


@pytest.mark.parametrize("name", [*SOLVERS, "Bosh3", "Euler"])
def test_a_field_that_is_long_has_a_loop_over_stages_and_the_same_steps(name, monkeypatch):
    solver = SOLVERS[name] if name in SOLVERS else getattr(diffrax, name)()
    steps = {"step_size": 0.1} if name == "Euler" else {"rtol": 1e-7, "dt0": 0.2}

    def followed():
        # A function of its own compiles anew.
        field = functools.partial(lambda t, y, args: Players(jnp.cos(t * y.generator), -jnp.sin(y.discriminator)))
        return ensemble(field, STARTS, TS, solver=solver, **steps)

    written, loops, by_loop = followed(), [], _step._by_loop
    monkeypatch.setattr(_kernels, "_LONG", 0)
    monkeypatch.setattr(_step, "_by_loop", lambda *args: loops.append(name) or by_loop(*args))
    found = followed()
    # With one stage beside the first there is nothing to gain.
    assert bool(loops) == (name not in ("Heun", "Euler"))
    np.testing.assert_array_equal(found.stats["num_steps"], written.stats["num_steps"])
    for mine, its in zip(jax.tree.leaves(found.ys), jax.tree.leaves(written.ys), strict=True):
        np.testing.assert_allclose(mine, its, rtol=0, atol=ROUNDING)


def test_a_long_field_is_compiled_once_for_all_stages(monkeypatch):
    def sines(jaxpr):
        inner = sum(map(sines, (each for equation in jaxpr.eqns for each in jaxprs_in_params(equation.params))))
        return inner + sum(equation.primitive.name == "sin" for equation in jaxpr.eqns)

    def kernel_jit(limit):
        found, fits = [], _kernels._is_fit_for_kernel
        with monkeypatch.context() as patch:
            patch.setattr(_kernels, "_LONG", limit)
            patch.setattr(_kernels, "_is_fit_for_kernel", lambda jaxpr: found.append(sines(jaxpr)) or fits(jaxpr))
            # A function of its own compiles anew.
            field = functools.partial(lambda t, y, args: -jnp.sin(y))
            ensemble(field, jnp.ones(3), TS[:2], solver=diffrax.Dopri8(), dt0=0.1)
        return found[0]

    # The first stage of all, and 13 in a step.
    assert kernel_jit(10**6) == 14
    assert kernel_jit(0) == 2


@pytest.mark.parametrize("how", [{"step_size": 1.0}, {"events": lambda t, y, args, **_: y > 10.0, "rtol": 1e-9}, {}])
def test_rules_for_derivatives_hold_after_a_run_without_derivatives(how):
    @jax.custom_jvp
    def decay(y):
        return -y

    # Not the derivative of that, so that one sees which is taken.
    decay.defjvp(lambda primals, tangents: (decay(*primals), -2 * tangents[0]))

    # The same function, of which programs may be remembered.
    def field(t, y, args):
        return decay(y)

    def end(y):
        solver = diffrax.Midpoint() if "step_size" in how else None
        return ensemble(field, y, jnp.array([0.0, 1.0]), solver=solver, **how).final_state

    y0s = jnp.array([0.5, 1.0])
    end(y0s)
    _, slopes = jax.jvp(end, (y0s,), (jnp.ones(2),))
    # A midpoint step makes 1 - h + h^2 / 2 of a decay, with h = 2 by the rule.
    np.testing.assert_allclose(slopes, 1.0 if "step_size" in how else np.exp(-2.0), rtol=1e-6)


def test_a_field_with_a_jump_is_followed_past_it():
    # y' = sign(t - 1/2): a first stage kept from before the jump would be wrong.
    controller = diffrax.ClipStepSizeController(diffrax.PIDController(rtol=1e-6, atol=1e-6), jump_ts=jnp.array([0.5]))
    solver = with_traced_stages(diffrax.Tsit5())
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: jnp.where(t < 0.5, -1.0, 1.0)), solver, 0.0, 1.0, 0.1, jnp.asarray(0.0),
        stepsize_controller=controller,
    )  # fmt: skip
    assert float(solution.ys[-1]) == pytest.approx(0.0, abs=1e-12)


def test_single_precision_stays_single():
    y0s = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), STARTS)
    orbit = ensemble(PLAIN, y0s, TS)
    assert orbit.final_state.generator.dtype == jnp.float32 and orbit.ts.dtype == jnp.float32
    np.testing.assert_allclose(orbit.final_state.generator, both("Tsit5")[0].final_state.generator, rtol=0, atol=1e-3)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match=r"`y0s` must have one leading axis"):
        ensemble(PLAIN, Players(jnp.asarray(0.5), jnp.asarray(1.0)), TS)
    with pytest.raises(ValueError, match=r"`y0s` must have one leading axis"):
        ensemble(PLAIN, Players(jnp.ones(2), jnp.ones(3)), TS)
    with pytest.raises(ValueError, match=r"`batched_field` must select leaves with a leading axis of the 5 members"):
        ensemble(Decay(jnp.ones(3)), jnp.ones(5), TS, args=1.0, batched_field=True)
    with pytest.raises(ValueError, match=r"`chunk_size` must be at least 1"):
        ensemble(PLAIN, STARTS, TS, chunk_size=0)


def test_a_mesh_is_a_mesh(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"`mesh` must be a `jax\.sharding\.Mesh`, but is 2"):
        ensemble(PLAIN, STARTS, TS, mesh=2)


def test_chunks_know_the_precision_that_their_caller_has_asked_for():
    with jax.enable_x64(False):
        orbit = ensemble(Decay(jnp.asarray(-1.0)), jnp.ones(5), jnp.array([0.0, 1.0]), args=1.0, chunk_size=2)
    assert orbit.final_state.dtype == jnp.float32
    np.testing.assert_allclose(orbit.final_state, 1 / np.e, rtol=1e-4, atol=0)


def test_stages_are_taken_at_their_times():
    orbit = ensemble(lambda t, y, args: jnp.cos(t) * jnp.ones_like(y), jnp.zeros(2), jnp.array([0.0, 1.0]), rtol=1e-9)
    np.testing.assert_allclose(orbit.final_state, np.sin(1.0), rtol=SOLVER_ERROR, atol=0)
