"""The ensembles' own loop takes the steps that Diffrax takes."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from gan_ode import fields, flow, games, losses
from gan_ode.games import Players
from gan_ode.simulate import ensemble, OUTCOMES
from gan_ode.simulate._flow import method
from gan_ode.simulate.runge_kutta._dense_output import weights
from gan_ode.simulate.runge_kutta._loop import can_solve
from gan_ode.simulate.runge_kutta._step import with_traced_stages

# The same arithmetic in another order, and step sizes that follow it: measured 7e-13.
ROUNDING = 1e-10
# Dense output as a polynomial of degree 4 to 6 in place of Diffrax's own form: measured 2e-14.
POLYNOMIAL = 1e-12

STARTS = Players(jnp.array([0.5, -0.2, 0.7]), jnp.array([1.0, 1.3, -1.2]))
PLAIN = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
# More between the ends than one look ahead.
TS = jnp.linspace(0.0, 12.0, 24)
SOLVERS = [diffrax.Tsit5(), diffrax.Dopri5(), diffrax.Dopri8(), diffrax.Bosh3(), diffrax.Heun(), diffrax.Midpoint()]
NAMES = [type(solver).__name__ for solver in SOLVERS]


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def compare(many, field, y0s, ts, **options):
    """Every member with its own `flow`: states at all times, steps taken and rejected, and the end."""
    assert can_solve(how(**options))
    for i in range(jax.tree.leaves(y0s)[0].shape[0]):
        alone = flow(field, member(y0s, i), ts, throw=False, **options)
        for name in ("num_steps", "num_accepted_steps", "num_rejected_steps"):
            assert many.stats[name][i] == alone.stats[name]
        assert (many.outcome == alone.outcome)[i] and (many.result == alone.result)[i]
        np.testing.assert_allclose(many.ts[i], alone.ts, rtol=0, atol=0)
        np.testing.assert_allclose(many.final_time[i], alone.final_time, rtol=ROUNDING)
        pairs = [(member(many.ys, i), alone.ys), (member(many.final_state, i), alone.final_state)]
        for mine, its in zip(*map(jax.tree.leaves, zip(*pairs, strict=True)), strict=True):
            np.testing.assert_allclose(mine, its, rtol=ROUNDING, atol=ROUNDING)


def how(solver=None, **options):
    """The method that an ensemble makes of its options."""
    nothing = dict.fromkeys(["rtol", "atol", "step_size", "stepsize_controller", "dt0", "events", "max_steps"])
    usual = {"exact_times": False, "dense": False, "adjoint": diffrax.ForwardMode(), "progress_meter": False}
    made = method(TS, solver, **nothing | usual | options)
    return eqx.tree_at(lambda m: m.solver, made, with_traced_stages(made.solver))


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_every_explicit_solver_takes_its_own_steps_and_interpolates_between_them(solver):
    # With a first step that is too short for its order, the error would be of pure rounding, and the next step with it.
    options = {"solver": solver, "rtol": 1e-6, "atol": 1e-6, "dt0": 0.1 if solver.order(None) < 6 else 0.6}
    compare(ensemble(PLAIN, STARTS, TS, **options), PLAIN, STARTS, TS, **options)


@pytest.mark.parametrize(
    "controller",
    [
        diffrax.PIDController(rtol=1e-6, atol=1e-6),
        diffrax.PIDController(rtol=1e-6, atol=0.0, pcoeff=0.2, icoeff=0.3, dcoeff=0.1, safety=0.8, factormax=3.0),
        diffrax.PIDController(rtol=1e-5, atol=1e-7, factormin=0.5, error_order=4.0),
    ],
)
def test_every_way_to_control_the_steps_is_followed(controller):
    options = {"stepsize_controller": controller}
    compare(ensemble(PLAIN, STARTS, TS, **options), PLAIN, STARTS, TS, **options)


def test_states_are_arrays_of_any_shape():
    game = games.LinearQuadratic(losses.Wasserstein(), linear=True, offset=True)
    field = fields.GameField(game)
    y0s = Players(jnp.array([[0.5, 0.1], [0.2, -0.1]]), jnp.array([[1.0, 0.1], [1.2, 0.0]]))
    compare(ensemble(field, y0s, TS, rtol=1e-6), field, y0s, TS, rtol=1e-6)


def test_large_states_stay_whole():
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(5, 5)))
    field = fields.GameField(games.Bilinear(matrix))
    y0s = Players(*jnp.asarray(np.random.default_rng(1).normal(size=(2, 2, 5))))
    wide = Players(jnp.tile(y0s.discriminator, (1, 1)), y0s.generator)
    compare(ensemble(field, wide, TS, rtol=1e-6), field, wide, TS, rtol=1e-6)

    def many(t, y, args):
        return {"a": -y["a"], "b": jnp.cos(t) * jnp.ones((4, 5))}

    starts = {"a": jnp.ones((2, 3)), "b": jnp.zeros((2, 4, 5))}
    orbit = ensemble(many, starts, TS, rtol=1e-8)
    compare(orbit, many, starts, TS, rtol=1e-8)
    np.testing.assert_allclose(orbit.ys["b"][1, :, 2, 3], np.sin(TS), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "starts", "options", "outcome"),
    [
        (lambda t, y, args: y**2, [1.0, -1.0], {}, OUTCOMES.blow_up),
        (lambda t, y, args: jnp.where(t < 0.5, 1.0, jnp.nan) * y, [1.0, 2.0], {}, OUTCOMES.nonfinite_field),
        (lambda t, y, args: -jnp.sign(y), [0.5, 3.0], {"max_steps": 2000}, OUTCOMES.step_collapse),
        (lambda t, y, args: jnp.cos(100 * t) * y, [1.0, 2.0], {"max_steps": 20}, OUTCOMES.max_steps),
    ],
)
def test_a_member_that_fails_fails_as_in_its_flow(field, starts, options, outcome):
    ts, y0s = jnp.linspace(0.0, 2.0, 9), jnp.array(starts)
    orbit = ensemble(field, y0s, ts, rtol=1e-6, **options)
    assert (orbit.outcome == outcome)[0]
    for i, y0 in enumerate(y0s):
        alone = flow(field, y0, ts, rtol=1e-6, throw=False, **options)
        assert (orbit.outcome == alone.outcome)[i]
        if outcome == OUTCOMES.step_collapse:
            # At y = 0, which the first member reaches at t = y0, every rounding error decides where the steps go.
            known = ts < y0
            assert orbit.final_time[i] >= min(y0, ts[-1]) - 1e-5
        else:
            known = ts <= ts[-1]
            assert np.array_equal(orbit.reached[i], alone.reached)
            np.testing.assert_allclose(orbit.final_time[i], alone.final_time, rtol=1e-4)
        np.testing.assert_allclose(orbit.ys[i][known], alone.ys[known], rtol=1e-6, atol=1e-5)


def test_an_infinite_time_resolution_is_told():
    orbit = ensemble(lambda t, y, args: -y, jnp.ones(2), jnp.array([1e16, 1e16 + 4]))
    assert np.all(orbit.outcome == OUTCOMES.time_resolution)


def test_derivatives_forward_are_those_of_the_solution():
    def final(rate):
        return ensemble(lambda t, y, args: rate * y, jnp.array([1.0, 3.0]), jnp.linspace(0.0, 1.0, 5), rtol=1e-9).ys[
            :, 2
        ]

    value, slope = jax.jvp(final, (jnp.asarray(0.5),), (jnp.asarray(1.0),))
    # y0 e^(r t) at t = 1/2.
    np.testing.assert_allclose(value, np.array([1, 3]) * np.exp(0.25), rtol=1e-7)
    np.testing.assert_allclose(slope, 0.5 * np.array([1, 3]) * np.exp(0.25), rtol=1e-6)


def test_single_precision_stays_single():
    y0s = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), STARTS)
    orbit = ensemble(PLAIN, y0s, TS)
    assert {leaf.dtype for leaf in jax.tree.leaves((orbit.ts, orbit.ys, orbit.final_state))} == {jnp.dtype(jnp.float32)}
    wide = ensemble(PLAIN, STARTS, TS, rtol=1e-9)
    np.testing.assert_allclose(orbit.ys.generator, wide.ys.generator, rtol=0, atol=1e-3)


def test_what_the_loop_does_not_do_goes_to_diffrax():
    assert can_solve(how()) and can_solve(how(dt0=0.1, max_steps=5))
    others = [
        {"step_size": 0.1}, {"events": lambda t, y, args, **kwargs: y}, {"exact_times": True},
        {"adjoint": diffrax.RecursiveCheckpointAdjoint()}, {"solver": diffrax.Kvaerno3()}, {"dense": True},
        {"stepsize_controller": diffrax.PIDController(rtol=1e-6, atol=1e-6, dtmax=0.1)},
        {"stepsize_controller": diffrax.PIDController(rtol=1e-6, atol=1e-6, norm=optx.max_norm)},
    ]  # fmt: skip
    assert not any(can_solve(how(**options)) for options in others)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_dense_output_is_a_polynomial_in_the_stages(solver):
    random = np.random.default_rng(0)
    y0, y1 = random.normal(size=2)
    k = random.normal(size=solver.tableau.num_stages)
    step = solver.interpolation_cls(t0=0.0, t1=1.0, y0=jnp.asarray(y0), y1=jnp.asarray(y1), k=jnp.asarray(k))
    table = weights(solver)
    assert table is not None
    for t in (0.0, 0.13, 0.5, 0.99):
        powers = (2 * t - 1) ** np.arange(len(table))
        assert powers @ table @ np.array([y0, y1, *k]) == pytest.approx(float(step.evaluate(t)), abs=POLYNOMIAL)


def test_a_solver_without_polynomial_dense_output_is_left_to_diffrax():
    class Wave(diffrax.Tsit5):
        class interpolation_cls(diffrax.Tsit5.interpolation_cls):
            def evaluate(self, t0, t1=None, left=True):
                return jnp.sin(9 * t0) * self.y0

    y0s, ts = jnp.array([1.0, 2.0]), jnp.array([0.0, 0.5, 1.0])
    orbit = ensemble(lambda t, y, args: jnp.zeros_like(y), y0s, ts, solver=Wave())
    np.testing.assert_allclose(orbit.ys[:, 1], np.sin(4.5) * np.asarray(y0s), rtol=ROUNDING)


def test_what_is_no_polynomial_is_not_taken_for_one():
    class Wave:
        tableau = diffrax.Tsit5().tableau

        class interpolation_cls:
            def __init__(self, *, t0, t1, y0, y1, k):
                self.y0 = y0

            def evaluate(self, t):
                return jnp.sin(9 * t) * self.y0

    assert weights(Wave()) is None
