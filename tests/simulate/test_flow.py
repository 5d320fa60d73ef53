"""Following a field in continuous time: reference states, named outcomes, and what is refused.

Each new combination of options compiles for some seconds, so the tests share fields, shapes and options; which problem
of the zoo is solved is an argument of one field.
"""

import functools
import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optimistix as optx
import pytest

from gan_ode import flow, games, losses, RESULTS
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import GradientNorm, Penalized
from gan_ode.simulate import OUTCOMES, SolveFailed
from tests.catalogue import flat, players, squared_radius, wasserstein_energy

# The references.

TIGHT = 1e-10
# Global error at tolerance 1e-10; measured up to 2e-10.
SOLVER_ERROR = 1e-8
SOLVERS = {"Tsit5": diffrax.Tsit5(), "Dopri8": diffrax.Dopri8(), "Kvaerno5": diffrax.Kvaerno5()}

PLAIN = GameField(games.LinearQuadratic(losses.Wasserstein()))
DIRAC = GameField(games.Dirac(losses.Minimax()))

# Period of the linear-quadratic Wasserstein orbit through (w0, 1).
PERIODS = {0.01: 9.4249350411, 0.1: 9.4404924353, 0.5: 9.8210374784, 1.0: 11.0277823435}


def damped(eta):
    return GameField(Penalized(games.LinearQuadratic(losses.Wasserstein()), GradientNorm(eta)))


def three_games(t, y, args):
    """The linear-quadratic game, plain and damped, and the Dirac-GAN, so that a solver compiles once for all."""
    return jax.vmap(lambda eta, part: damped(eta)(t, part))(jnp.array([0.0, 0.5]), y[0]), DIRAC(t, y[1])


@functools.cache
def references(solver, w0=0.5):
    """States of the three games from (w0, 1), (0.5, 1) and (1, 1) at 0, 1, one period and last 10 or 12."""
    y0 = players([w0, 0.5], [1.0, 1.0]), players(1.0, 1.0)
    ts = jnp.array([0.0, 1.0, PERIODS[w0], 10.0 if w0 == 0.5 else 12.0])
    return flow(three_games, y0, ts, solver=SOLVERS[solver], rtol=TIGHT, atol=TIGHT, exact_times=True)


def state(orbit, game, time):
    linear_quadratic, dirac = orbit.ys
    return flat(
        jax.tree.map(lambda leaf: leaf[time], dirac)
        if game == 2
        else jax.tree.map(lambda leaf: leaf[time, game], linear_quadratic)
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("game", "time", "expected"),
    [
        (0, 1, [0.367293670589203, 1.356430703308359]),
        (0, 3, [0.4963002867477783, 1.061314714974532]),
        (1, 1, [0.3917942236460088, 1.266926128028722]),
        # Given as (theta, psi).
        (2, 1, [1.2366514665614, 0.6860708055671353]),
        (2, 3, [-1.346679263983364, 0.4318043074787771]),
    ],
)
def test_the_reference_states_are_reached(solver, game, time, expected):
    np.testing.assert_allclose(state(references(solver), game, time), expected, rtol=0, atol=SOLVER_ERROR)


@pytest.mark.parametrize("w0", PERIODS)
def test_an_orbit_of_the_wasserstein_game_is_back_after_its_period(w0):
    np.testing.assert_allclose(state(references("Tsit5", w0), 0, 2), [w0, 1.0], rtol=0, atol=SOLVER_ERROR)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_invariants_are_kept_and_the_penalty_lowers_the_energy(solver):
    orbit = references(solver)
    plain, damped = ([wasserstein_energy(state(orbit, game, n)) for n in range(4)] for game in (0, 1))
    np.testing.assert_allclose(plain, plain[0], rtol=0, atol=SOLVER_ERROR)
    np.testing.assert_allclose([squared_radius(state(orbit, 2, n)) for n in range(4)], 2, rtol=0, atol=SOLVER_ERROR)
    assert np.all(np.diff(damped) < 0)
    assert min(damped) > 0.25


def test_an_orbit_says_what_it_is():
    orbit = references("Tsit5")
    assert orbit.outcome == OUTCOMES.ok
    assert orbit.result == RESULTS.successful
    np.testing.assert_array_equal(orbit.ts, [0.0, 1.0, PERIODS[0.5], 10.0])
    assert np.all(orbit.reached)
    assert orbit.final_time == 10.0
    last = flat(jax.tree.map(lambda leaf: leaf[-1], orbit.ys))
    # One is interpolated to the end of its step, the other is the end of the step.
    np.testing.assert_allclose(flat(orbit.final_state), last, rtol=1e-14)
    assert orbit.stats["num_steps"] == orbit.stats["num_accepted_steps"] + orbit.stats["num_rejected_steps"]
    assert orbit.stats["num_accepted_steps"] > 10


# The zoo: scalar problems with known ends, all in one field.

PROBLEMS = {
    "decay": lambda t, y: -y,
    "square": lambda t, y: y**2,
    "sliding": lambda t, y: -jnp.sign(y),
    "not_a_number_after_a_half": lambda t, y: jnp.where(t > 0.5, jnp.nan, jnp.ones_like(y)),
    "exponential_trap": lambda t, y: -jnp.exp(y),
    "sinh_trap": lambda t, y: -jnp.sinh(y),
    "fast": lambda t, y: 200 * jnp.cos(200 * t) * jnp.ones_like(y),
    "growth": lambda t, y: y,
}


def zoo(t, y, problem):
    return jax.lax.switch(problem, list(PROBLEMS.values()), t, y)


def solve(problem, start, ts, **options):
    return flow(zoo, jnp.asarray(start), jnp.asarray(ts), args=jnp.asarray(list(PROBLEMS).index(problem)), **options)


def test_decay_is_an_exponential():
    orbit = solve("decay", 2.0, [0.0, 0.7, 3.0])
    # Measured 2e-9 at the default tolerance of 1e-8.
    np.testing.assert_allclose(orbit.ys, 2 * np.exp([0, -0.7, -3.0]), rtol=0, atol=5e-8)


def test_the_first_step_is_chosen_so_that_it_need_not_be_repeated():
    # From the whole interval it would take many trials; measured 27 steps and none rejected.
    orbit = solve("decay", 2.0, [0.0, 0.7, 3.0])
    assert orbit.stats["num_rejected_steps"] == 0
    assert orbit.stats["num_steps"] < 35


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_the_error_follows_the_tolerance(tolerance):
    orbit = solve("decay", 1.0, [0.0, 0.7, 3.0], rtol=tolerance, atol=tolerance)
    error = np.max(np.abs(orbit.ys - np.exp([0, -0.7, -3.0])))
    assert 1e-4 * tolerance < error < 30 * tolerance


def test_a_blow_up_is_a_result_with_its_time():
    # y = 1 / (1 - t).
    orbit = solve("square", 1.0, [0.0, 0.5, 2.0])
    assert orbit.outcome == OUTCOMES.blow_up
    np.testing.assert_allclose(orbit.final_time, 1.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(orbit.ys[:2], [1.0, 2.0], rtol=1e-6)
    assert orbit.reached.tolist() == [True, True, False]
    assert np.isposinf(orbit.ys[2])
    assert orbit.final_state > 1e6


def test_exponential_growth_is_no_blow_up():
    orbit = solve("growth", 1.0, [0.0, 10.0, 40.0])
    assert orbit.outcome == OUTCOMES.ok
    np.testing.assert_allclose(orbit.ys, np.exp([0.0, 10.0, 40.0]), rtol=1e-5)


def test_sliding_on_a_discontinuity_is_a_step_collapse():
    orbit = solve("sliding", 0.5, [0.0, 0.25, 1.0], throw=False)
    assert orbit.outcome == OUTCOMES.step_collapse
    # It chatters along the surface, in steps of about the tolerance, until there are no more: measured to 0.52.
    assert 0.5 - 1e-6 < orbit.final_time < 0.6
    np.testing.assert_allclose(orbit.final_state, 0.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(orbit.ys[:2], [0.5, 0.25], rtol=1e-6)


def test_a_field_that_stops_being_a_number_is_named_with_its_time():
    orbit = solve("not_a_number_after_a_half", 0.0, [0.0, 0.25, 1.0], throw=False)
    assert orbit.outcome == OUTCOMES.nonfinite_field
    np.testing.assert_allclose(orbit.final_time, 0.5, rtol=0, atol=1e-6)
    np.testing.assert_allclose(orbit.final_state, 0.5, rtol=0, atol=1e-6)
    assert orbit.reached.tolist() == [True, True, False]
    np.testing.assert_allclose(orbit.ys[:2], [0.0, 0.25], rtol=0, atol=1e-12)


def test_a_field_that_is_not_a_number_at_the_start_leaves_the_start():
    orbit = solve("not_a_number_after_a_half", 0.25, [1.0, 2.0, 3.0], throw=False)
    assert orbit.outcome == OUTCOMES.nonfinite_field
    assert (orbit.final_time, orbit.final_state) == (1.0, 0.25)
    assert orbit.trim().ts.tolist() == [1.0]
    assert orbit.trim().ys.tolist() == [0.25]


def test_a_start_in_the_far_future_is_a_matter_of_time_resolution():
    orbit = solve("decay", 1.0, [1e16, 1e16 + 4, 1e16 + 10], throw=False)
    assert orbit.outcome == OUTCOMES.time_resolution
    assert orbit.reached.tolist() == [True, False, False]
    assert (orbit.final_time, orbit.final_state) == (1e16, 1.0)
    assert orbit.result != RESULTS.successful


def test_running_out_of_steps_is_named():
    # sin(200 t) needs some ten steps for each of 32 turns.
    orbit = solve("fast", 0.0, [0.0, 0.5, 1.0], max_steps=64, throw=False)
    assert orbit.outcome == OUTCOMES.max_steps
    assert orbit.stats["num_steps"] == 64
    np.testing.assert_allclose(orbit.final_state, np.sin(200 * orbit.final_time), rtol=0, atol=1e-6)
    enough = solve("fast", 0.0, [0.0, 0.5, 1.0], throw=False)
    assert enough.outcome == OUTCOMES.ok
    np.testing.assert_allclose(enough.ys, np.sin([0, 100, 200]), rtol=0, atol=1e-5)


def test_a_failed_solve_raises_with_what_was_computed():
    with pytest.raises(SolveFailed, match=r"discontinuous .* Reached t = 0\.5.*`error\.orbit`") as caught:
        solve("sliding", 0.5, [0.0, 0.25, 1.0])
    orbit = caught.value.orbit
    assert orbit.outcome == OUTCOMES.step_collapse
    np.testing.assert_allclose(orbit.trim().ys, [0.5, 0.25], rtol=1e-6)
    assert orbit.trim().ts.tolist() == [0.0, 0.25]


@pytest.mark.parametrize(
    ("problem", "start", "exact"),
    [
        # d(e^-y)/dt = 1.
        ("exponential_trap", 50.0, lambda t: -np.log(t + np.exp(-50.0))),
        # d(log tanh(y/2))/dt = -1.
        ("sinh_trap", 30.0, lambda t: 2 * np.arctanh(np.exp(-t) * np.tanh(15.0))),
    ],
)
def test_a_trial_step_that_overflows_is_retried(problem, start, exact):
    # The first trial step of 0.1 is infinite; without a guard every later one is rejected.
    ts = np.array([0.0, 0.3, 2.0])
    orbit = solve(problem, start, ts, dt0=0.1)
    assert orbit.outcome == OUTCOMES.ok
    # Relative to a start of 30 to 50: measured 2e-8.
    np.testing.assert_allclose(orbit.ys[1:], exact(ts[1:]), rtol=0, atol=1e-6)


def test_members_of_a_batch_have_their_own_outcomes():
    names = ["decay", "square", "sliding"]
    problems = jnp.array([list(PROBLEMS).index(name) for name in names])
    many = jax.jit(jax.vmap(lambda y, problem: flow(zoo, y, jnp.array([0.0, 0.25, 2.0]), args=problem, throw=False)))
    orbit = many(jnp.array([1.0, 1.0, 0.5]), problems)
    for n, outcome in enumerate((OUTCOMES.ok, OUTCOMES.blow_up, OUTCOMES.step_collapse)):
        assert (orbit.outcome == outcome).tolist() == [m == n for m in range(3)]
    np.testing.assert_allclose(orbit.ys[:, 1], [np.exp(-0.25), 1 / 0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(orbit.ys[0, 2], np.exp(-2.0), rtol=1e-6)
    assert orbit.reached[:, 2].tolist() == [True, False, False]


def test_a_failed_solve_raises_under_jit_when_it_runs():
    failing = eqx.filter_jit(lambda y: solve("sliding", y, [0.0, 0.25, 1.0]).ys)
    with pytest.raises(RuntimeError, match="steps became too small"):
        jax.block_until_ready(failing(jnp.array(0.5)))


def test_other_times_starts_and_tolerances_do_not_compile_again():
    traces = []

    def counted(t, y, args):
        traces.append(t)
        return -args * y

    for rate in (1.0, 2.0, 3.0):
        ts = jnp.array([0.0, 0.5, rate])
        orbit = flow(counted, jnp.asarray(rate), ts, args=jnp.asarray(rate), rtol=10 ** (-5 - rate))
        np.testing.assert_allclose(orbit.ys, rate * np.exp(-rate * ts), rtol=0, atol=1e-5)
        if rate == 1.0:
            compiled = len(traces)
    assert len(traces) == compiled


# Fixed steps.

IMPLICIT = {"solver": diffrax.ImplicitEuler(), "rtol": 1e-8, "atol": 1e-8}


def test_fixed_euler_steps_are_the_recursion():
    orbit = solve("decay", 1.0, [0.0, 0.5, 1.0], solver=diffrax.Euler(), step_size=0.1)
    np.testing.assert_allclose(orbit.ys, [1.0, 0.9**5, 0.9**10], rtol=1e-12)
    assert orbit.stats["num_accepted_steps"] == 10
    assert orbit.outcome == OUTCOMES.ok


def test_other_fixed_steps_of_about_as_many_do_not_compile_again():
    traces = []

    def counted(t, y, args):
        traces.append(t)
        return -y

    for num in (16, 20, 31):
        ts = jnp.array([0.0, 1.0])
        orbit = flow(counted, jnp.asarray(1.0), ts, solver=diffrax.Euler(), step_size=1.0 / num)
        np.testing.assert_allclose(orbit.ys[-1], (1 - 1 / num) ** num, rtol=1e-12)
        assert orbit.stats["num_steps"] == num
        if num == 16:
            compiled = len(traces)
    assert len(traces) == compiled


def test_many_fixed_steps_divide_the_time_as_well_as_the_dtype_can_say():
    # Over the rounded step, the time is 33602.9988 steps; and time as a sum of them is rounded too.
    num = 33603
    ts, step = jnp.array([0.0, 3.0], jnp.float32), jnp.float32(3.0 / num)
    orbit = flow(decay, jnp.float32(1.0), ts, solver=diffrax.Euler(), step_size=step)
    np.testing.assert_allclose(orbit.stats["num_steps"], num, rtol=2e-3)
    np.testing.assert_allclose(orbit.ys[-1], np.exp(-3.0), rtol=1e-3)


def test_a_fixed_step_blow_up_is_a_result():
    orbit = solve("square", 1e9, [0.0, 0.5, 1.0], solver=diffrax.Euler(), step_size=0.1)
    assert orbit.outcome == OUTCOMES.blow_up
    # Squares at every step: 1e9, 1e17, 1e33, 1e65, 1e129 and then past 1e154.
    np.testing.assert_allclose(orbit.final_time, 0.5, rtol=1e-6)


@pytest.mark.parametrize("last", [0.8, 1.0])
def test_fixed_steps_into_a_field_that_is_not_a_number_end_where_it_was_one(last):
    # The step to 0.8 is the first that has none, whether it is saved or not.
    orbit = solve(
        "not_a_number_after_a_half", 0.0, [0.0, 0.6, last], solver=diffrax.Euler(), step_size=0.2, throw=False
    )
    assert orbit.outcome == OUTCOMES.nonfinite_field
    assert orbit.reached.tolist() == [True, True, False]
    np.testing.assert_allclose(orbit.ys[:2], [0.0, 0.6], rtol=1e-12)
    np.testing.assert_allclose([orbit.final_time, orbit.final_state], [0.6, 0.6], rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"solver": diffrax.Euler(), "step_size": 1.0}])
def test_who_left_where_the_field_is_finite_did_not_blow_up_however_far_away(options):
    # From 1 to 5000, by a speed of 1 and more, where the root ends. An implicit or smaller step does not lead over it.
    def field(t, y, args):
        return 1 + 1e-2 * jnp.sqrt(5000.0 - y)

    orbit = flow(field, ONE, jnp.array([0.0, 1e4]), throw=False, **options)
    assert orbit.outcome != OUTCOMES.ok and orbit.outcome != OUTCOMES.blow_up
    if options:
        assert orbit.outcome == OUTCOMES.nonfinite_field


def test_implicit_equations_without_a_solution_are_a_failed_root_find():
    # Implicit Euler on y' = y^2 from y0: y = y0 + h y^2 has a root only while 4 h y0 <= 1.
    def implicit(start):
        return solve("square", start, [0.0, 1.0, 2.0], step_size=1.0, throw=False, **IMPLICIT)

    orbit = implicit(1.0)
    assert orbit.outcome == OUTCOMES.root_find_failed
    assert orbit.reached.tolist() == [True, False, False]
    assert np.isposinf(orbit.ys[1])
    assert (orbit.final_time, orbit.final_state) == (0.0, 1.0)
    # The first step has a root, the second none: what was solved is kept.
    orbit = implicit(0.2)
    solved = (1 - np.sqrt(1 - 4 * 0.2)) / 2
    assert orbit.outcome == OUTCOMES.root_find_failed
    assert orbit.reached.tolist() == [True, True, False]
    np.testing.assert_allclose(orbit.ys[:2], [0.2, solved], rtol=0, atol=1e-7)
    np.testing.assert_allclose([orbit.final_time, orbit.final_state], [1.0, solved], rtol=0, atol=1e-7)


def test_fixed_implicit_steps_are_the_recursion():
    orbit = solve("decay", 1.0, [0.0, 1.0, 2.0], step_size=1.0, **IMPLICIT)
    np.testing.assert_allclose(orbit.ys, [1.0, 0.5, 0.25], rtol=0, atol=1e-8)


# float32, and stiff.


def test_a_stiff_field_in_float32_is_solved_in_few_implicit_steps():
    # Rates 1 and 10^4; explicit steps would take more than 10^5.
    rates = jnp.array([1.0, 1e4], jnp.float32)
    orbit = flow(
        lambda t, y, args: args * (1 - y),
        jnp.zeros(2, jnp.float32),
        jnp.array([0.0, 1.0, 50.0], jnp.float32),
        args=rates,
        solver=diffrax.Kvaerno5(),
        rtol=1e-4,
        atol=1e-4,
    )
    assert orbit.outcome == OUTCOMES.ok
    assert orbit.ys.dtype == orbit.ts.dtype == jnp.float32
    assert orbit.stats["num_steps"] < 100
    # Global error at tolerance 1e-4: measured 6e-4.
    np.testing.assert_allclose(orbit.ys[1:], [[1 - np.exp(-1.0), 1.0], [1.0, 1.0]], rtol=0, atol=2e-3)


# What may be asked for.


def test_dense_output_is_the_solution_between_the_saved_times():
    orbit = solve("decay", 1.0, [0.0, 0.7, 3.0], dense=True, max_steps=256)
    times = jnp.array([0.1, 1.3, 2.9])
    np.testing.assert_allclose(jax.jit(jax.vmap(orbit.evaluate))(times), np.exp(-times), rtol=0, atol=1e-7)


def test_without_dense_output_an_orbit_does_not_interpolate():
    with pytest.raises(ValueError, match=r"`orbit` has no dense output: ask for it by `flow\(\.\.\., dense=True\)`"):
        solve("decay", 2.0, [0.0, 0.7, 3.0]).evaluate(0.5)


def test_exact_times_avoid_the_error_of_interpolation():
    ts = np.array([0.0, 0.1737, 1.0])
    options = {"solver": diffrax.Dopri8(), "rtol": 1e-7, "atol": 1e-7}
    between = solve("fast", 0.0, ts, **options)
    on = solve("fast", 0.0, ts, exact_times=True, **options)
    errors = [abs(orbit.ys[1] - np.sin(200 * ts[1])) for orbit in (between, on)]
    # Measured 1e-7 and 1e-11.
    assert errors[1] < 1e-2 * errors[0]


def test_an_event_stops_where_its_root_is():
    event = diffrax.Event(
        {"half": lambda t, y, args, **kwargs: y - 0.5, "never": lambda t, y, args, **kwargs: y + 1.0},
        optx.Newton(1e-12, 1e-12),
    )
    orbit = solve("decay", 1.0, [0.0, 0.25, 3.0], events=event)
    assert orbit.outcome == OUTCOMES.event
    assert orbit.result == RESULTS.event_occurred
    # The dense output between steps has an error of about the tolerance.
    np.testing.assert_allclose(orbit.final_time, math.log(2), rtol=0, atol=1e-6)
    np.testing.assert_allclose(orbit.final_state, 0.5, rtol=0, atol=1e-6)
    assert {name: bool(hit) for name, hit in orbit.event_mask.items()} == {"half": True, "never": False}
    assert orbit.reached.tolist() == [True, True, False]


def test_a_condition_stops_at_the_end_of_the_step_in_which_it_comes_true():
    orbit = solve("decay", 1.0, [0.0, 0.25, 3.0], events=lambda t, y, args, **kwargs: y < 0.5)
    assert orbit.outcome == OUTCOMES.event
    assert orbit.event_mask
    assert math.log(2) <= orbit.final_time < 1.2
    np.testing.assert_allclose(orbit.final_state, np.exp(-orbit.final_time), rtol=0, atol=1e-6)


def test_a_controller_takes_the_place_of_the_tolerances():
    loose = solve("decay", 1.0, [0.0, 0.7, 3.0], stepsize_controller=diffrax.PIDController(rtol=1e-3, atol=1e-3))
    same = solve("decay", 1.0, [0.0, 0.7, 3.0], rtol=1e-3, atol=1e-3)
    tight = solve("decay", 1.0, [0.0, 0.7, 3.0])
    assert loose.stats["num_steps"] < tight.stats["num_steps"] / 2
    np.testing.assert_allclose(loose.ys, same.ys, rtol=0, atol=1e-2)


def test_progress_is_shown_only_on_request(capfd):
    solve("decay", 2.0, [0.0, 0.7, 3.0])
    assert capfd.readouterr() == ("", "")
    solve("decay", 2.0, [0.0, 0.7, 3.0], progress_meter=True)
    jax.effects_barrier()
    shown = capfd.readouterr()
    assert "100.00%" in shown.out + shown.err


# What is refused.

TS = jnp.array([0.0, 1.0, 2.0])
ONE = jnp.ones(())


def decay(t, y, args):
    return jax.tree.map(jnp.negative, y)


REFUSED = {
    "a negative step size": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Heun(), step_size=-0.1),
        "`step_size` must be above 0",
    ),
    "a step size of zero": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Heun(), step_size=0.0),
        "`step_size` must be above 0",
    ),
    "a step size that is not a number": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Heun(), step_size=jnp.nan),
        "`step_size` must be above 0 and finite",
    ),
    "a step size that does not divide": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Heun(), step_size=0.3),
        "`step_size` must divide the time from first to last, 2, but 0.3 goes into it .* take 0.285714.*`iterate`",
    ),
    "a step size and a first step": (
        lambda: flow(decay, ONE, TS, step_size=0.1, dt0=0.1),
        "`step_size` fixes every step",
    ),
    "a step size and a controller": (
        lambda: flow(decay, ONE, TS, step_size=0.1, stepsize_controller=diffrax.PIDController(1e-3, 1e-3)),
        "`step_size` fixes every step: leave out `stepsize_controller`",
    ),
    "a step size and exact times": (
        lambda: flow(decay, ONE, TS, step_size=0.1, exact_times=True),
        "`step_size` fixes every",
    ),
    "fewer steps than fixed ones": (
        lambda: flow(decay, ONE, TS, step_size=0.1, max_steps=5),
        "`max_steps` must be at least the 20 steps of `step_size`, but is 5",
    ),
    "a first step below zero": (lambda: flow(decay, ONE, TS, dt0=-0.1), "`dt0` must be above 0 .* Leave it out"),
    "no steps": (lambda: flow(decay, ONE, TS, max_steps=0), "`max_steps` must be at least 1, but is 0"),
    "half a step": (lambda: flow(decay, ONE, TS, max_steps=1.5), "`max_steps` must be a whole number, but is 1.5"),
    "times that decrease": (
        lambda: flow(decay, ONE, jnp.array([0.0, 2.0, 1.0])),
        "`ts` must increase, but goes from 2.0 to 1.0 at index 1: sort the times",
    ),
    "times that repeat": (
        lambda: flow(decay, ONE, jnp.array([0.0, 1.0, 1.0])),
        "`ts` must increase, but goes from 1.0 to 1.0",
    ),
    "no times": (
        lambda: flow(decay, ONE, jnp.array([])),
        r"`ts` must be one axis of at least two times, but has shape \(0,\)",
    ),
    "one time": (
        lambda: flow(decay, ONE, jnp.array([1.0])),
        r"`ts` must be one axis of at least two .* `jnp\.linspace",
    ),
    "a last time only": (lambda: flow(decay, ONE, jnp.array(1.0)), r"`ts` must be one axis .* has shape \(\)"),
    "times that are not numbers": (
        lambda: flow(decay, ONE, jnp.array([0.0, jnp.nan])),
        "`ts` must be finite, but holds nan",
    ),
    "times that never come": (
        lambda: flow(decay, ONE, jnp.array([0.0, jnp.inf])),
        "`ts` must be finite, but holds inf",
    ),
    "times that float32 cannot tell apart": (
        lambda: flow(decay, jnp.ones((), jnp.float32), jnp.array([1.0, 1.0 + 1e-9])),
        "`ts` must increase.*float32 tells them apart only above its resolution",
    ),
    "a start that is not a number": (
        lambda: flow(decay, players(1.0, jnp.nan), TS),
        "`y0.generator` must be finite, but holds nan: check the start",
    ),
    "an infinite start": (lambda: flow(decay, jnp.array([1.0, -jnp.inf]), TS), "`y0` must be finite, but holds -inf"),
    "an empty start": (lambda: flow(decay, (), TS), "`y0` must hold at least one array"),
    "integer parameters": (
        lambda: flow(decay, players(1, 2, int), TS),
        "`y0.discriminator` must be of a real floating dtype, but is int64: write 1.0 instead of 1",
    ),
    "complex parameters": (
        lambda: flow(decay, ONE + 1j, TS),
        "`y0` must be real, but is complex128: split it into its real and imaginary part",
    ),
    "parameters of two dtypes": (
        lambda: flow(decay, Players(jnp.ones((), jnp.float32), ONE), TS),
        "`y0` must have one dtype, but has float32 and float64: cast one",
    ),
    "a module with its activation": (
        lambda: flow(decay, eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(0)), TS),
        r"`y0.*activation.*` must be a floating-point array.*`equinox\.partition\(module, equinox\.is_inexact_array\)`",
    ),
    "a state of another structure": (
        lambda: flow(lambda t, y, args: (y, y), ONE, TS),
        "`y0` must have the structure of the field's velocity.*for a game both are `Players`",
    ),
    "a state of another shape": (
        lambda: flow(lambda t, y, args: Players(y.discriminator, jnp.ones(3)), players(1.0, 1.0), TS),
        r"`y0.generator` must match the field's velocity, but has shape \(\) and dtype float64.* velocity \(3,\)",
    ),
    "a state of another dtype": (
        lambda: flow(lambda t, y, args: y.astype(jnp.float64), jnp.ones((), jnp.float32), TS),
        "`y0` must match the field's velocity, but has shape .* and dtype float32, and the velocity .* float64",
    ),
    "a state that is not Players": (lambda: flow(PLAIN, (1.0, 1.0), TS), "`y0` must be `games.Players`, but is tuple"),
    "an array for a game": (
        lambda: flow(PLAIN, jnp.ones(2), TS),
        r"`y0` must be `games.Players`, but is an array of shape \(2,\): write `Players\(discriminator",
    ),
    "a complex number in one player": (
        lambda: flow(PLAIN, Players(1.0, 1 + 1j), TS),
        "`y0.generator` must be real, but is complex128",
    ),
    "a complex velocity": (
        lambda: flow(lambda t, y, args: 1j * y, ONE, TS),
        "`y0` must match the field's velocity, .* and complex128",
    ),
    "bfloat16": (
        lambda: flow(decay, ONE.astype(jnp.bfloat16), TS),
        r"`y0` must have at least 32 bits .* but is bfloat16.* cast it by `.astype\(jnp.float32\)`",
    ),
    "float16": (lambda: flow(decay, ONE.astype(jnp.float16), TS), "`y0` must have at least 32 bits .* but is float16"),
    "a game in the place of its field": (
        lambda: flow(games.Dirac(losses.Minimax()), players(1.0, 1.0), TS),
        r"`field` must be a field, but is the game Dirac: write `fields.GameField\(game\)`",
    ),
    "a penalized game in the place of its field": (
        lambda: flow(damped(0.5).game, players(1.0, 1.0), TS),
        "`field` must be a field, but is the game Penalized",
    ),
    "a class of fields": (
        lambda: flow(GameField, players(1.0, 1.0), TS),
        "`field` must be an instance, but is the class GameField",
    ),
    "no function": (lambda: flow(3.0, ONE, TS), r"`field` must be a function `\(t, y, args\) -> dy/dt`, but is 3.0"),
    "a field of two arguments": (
        lambda: flow(lambda t, y: y, ONE, TS),
        r"`field` must take three arguments `\(t, y, args\)`, but has the signature \(t, y\)",
    ),
    "a field that returns a number": (
        lambda: flow(lambda t, y, args: 1.0, ONE, TS),
        "`field` must return arrays, but returns the number 1.0 for `y0`",
    ),
    "a player whose velocity is a number": (
        lambda: flow(lambda t, y, args: Players(-y.discriminator, 0), players(1.0, 1.0), TS),
        "`field` must return arrays, but returns the number 0 for `y0.generator`",
    ),
    "a field without a return": (
        lambda: flow(lambda t, y, args: None, ONE, TS),
        "`field` must return the velocity, but returns None: does it lack its `return`",
    ),
    "a solver class": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Tsit5),
        r"`solver` must be an instance.*write `Tsit5\(\)`",
    ),
    "a solver's name": (
        lambda: flow(decay, ONE, TS, solver="Tsit5"),
        r"`solver` must be a Diffrax solver, but is 'Tsit5'",
    ),
    "a solver of split equations": (
        lambda: flow(decay, ONE, TS, solver=diffrax.KenCarp4()),
        "`solver` must take one ordinary term, but KenCarp4 is made for a split .* `diffrax.Kvaerno5",
    ),
    "a solver without an error estimate": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Euler()),
        "`solver` must estimate its error, but Euler does not: give `step_size=` for a fixed step",
    ),
    "fixed implicit steps without tolerances": (
        lambda: flow(decay, ONE, TS, solver=diffrax.Kvaerno5(), step_size=0.1),
        "`rtol` and `atol` must be given for Kvaerno5 at a fixed step",
    ),
    "a tolerance below the noise of float32": (
        lambda: flow(decay, jnp.ones((), jnp.float32), TS, rtol=1e-8),
        "`rtol` must be at least 1e-07 in float32, but is 1e-08: .*jax_enable_x64",
    ),
    "a tolerance below the noise of float64": (
        lambda: flow(decay, ONE, TS, rtol=1e-15),
        "`rtol` must be at least 1e-14",
    ),
    "a relative tolerance of zero": (
        lambda: flow(decay, ONE, TS, rtol=0.0),
        "`rtol` must be above 0 and finite, but is 0",
    ),
    "a negative tolerance": (
        lambda: flow(decay, ONE, TS, atol=-1e-8),
        "`atol` must be above 0 and finite, but is -1e-08",
    ),
    "a tolerance that is not a number": (
        lambda: flow(decay, ONE, TS, rtol=jnp.nan),
        "`rtol` must be above 0 and finite",
    ),
    "tolerances and a controller": (
        lambda: flow(decay, ONE, TS, rtol=1e-3, stepsize_controller=diffrax.PIDController(1e-3, 1e-3)),
        "`rtol` and `atol` are the `stepsize_controller`'s",
    ),
    "a controller that is not adaptive": (
        lambda: flow(decay, ONE, TS, stepsize_controller=diffrax.ConstantStepSize()),
        "`stepsize_controller` must be adaptive.*give `step_size=`",
    ),
    "an event that is no condition": (
        lambda: flow(decay, ONE, TS, events=3),
        "`events` must be a `diffrax.Event` or a condition",
    ),
    "more saved states than memory": (
        lambda: flow(decay, jnp.ones(10_000_000), jnp.linspace(0.0, 1.0, 1_000_000)),
        "`ts` must fit in memory, but needs 72.8 TiB of .*: save at fewer times",
    ),
    "more dense output than memory": (
        lambda: flow(decay, jnp.ones(10_000_000), TS, dense=True, max_steps=1_000_000),
        "`dense` must fit in memory, but needs .* TiB of .*: lower `max_steps`",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_the_remedy(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_option_is_refused_by_its_name():
    with pytest.raises(TypeError, match="unexpected keyword argument 'tolerance'"):
        flow(decay, ONE, TS, tolerance=1e-3)


def test_a_relative_tolerance_alone_is_allowed():
    # Exponentially small states keep their relative accuracy.
    orbit = solve("decay", 1.0, [0.0, 30.0, 60.0], rtol=1e-8, atol=0.0)
    np.testing.assert_allclose(orbit.ys, np.exp([0.0, -30.0, -60.0]), rtol=1e-5)


def test_an_orbit_is_trimmed_only_where_its_length_is_known():
    with pytest.raises(ValueError, match="`orbit` must be a single one and concrete"):
        jax.eval_shape(lambda y: solve("decay", y, [0.0, 0.7, 3.0], throw=False).trim().ys, ONE)
