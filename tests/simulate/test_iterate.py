"""Following a field by a discrete rule."""

import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from gan_ode import games, iterate, losses, RESULTS
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.simulate import OUTCOMES
from gan_ode.updates import Alternating, Extragradient, FrozenOpponent, Simultaneous, SolverStep
from tests.catalogue import players

FIELD = GameField(games.LinearQuadratic(losses.Wasserstein()))
START = players(0.5, 1.2)
# Twenty steps of the same arithmetic: measured 4e-16.
ROUNDING = 1e-13


def toward(t, y, args):
    """Relaxes to what it is given."""
    return args - y


def square(t, y, args):
    return y**2


def test_an_orbit_is_the_hand_written_loop():
    orbit = iterate(Simultaneous(0.1), FIELD, START, 20)
    w, a = [0.5], [1.2]
    for _ in range(20):
        w_dot, a_dot = (1 - a[-1] ** 2) / 3, 2 * w[-1] * a[-1] / 3
        w.append(w[-1] + 0.1 * w_dot)
        a.append(a[-1] + 0.1 * a_dot)
    np.testing.assert_allclose(orbit.ys.discriminator, w, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(orbit.ys.generator, a, rtol=ROUNDING)
    np.testing.assert_allclose(orbit.ts, 0.1 * np.arange(21), rtol=ROUNDING)
    assert orbit.outcome == OUTCOMES.ok
    assert orbit.result == RESULTS.successful
    assert orbit.stats["num_steps"] == 20
    np.testing.assert_allclose(orbit.final_time, 2.0, rtol=ROUNDING)
    assert (orbit.final_state.discriminator, orbit.final_state.generator) == (
        orbit.ys.discriminator[-1],
        orbit.ys.generator[-1],
    )


@pytest.mark.parametrize("save_every", [2, 5, 20])
def test_saving_less_often_saves_every_so_many_states(save_every):
    every = iterate(Simultaneous(0.1), FIELD, START, 20)
    some = iterate(Simultaneous(0.1), FIELD, START, 20, save_every=save_every)
    np.testing.assert_allclose(some.ts, every.ts[::save_every], rtol=ROUNDING)
    np.testing.assert_allclose(some.ys.generator, every.ys.generator[::save_every], rtol=ROUNDING)
    np.testing.assert_allclose(some.ys.discriminator, every.ys.discriminator[::save_every], rtol=ROUNDING, atol=1e-15)


def test_args_are_the_same_at_every_step():
    # y <- y + 0.5 (2 - y) from 0: 2 - 2 * 0.5^n.
    orbit = iterate(Simultaneous(0.5), toward, jnp.zeros(()), 4, args=jnp.asarray(2.0))
    np.testing.assert_allclose(orbit.ys, 2 - 2 * 0.5 ** np.arange(5), rtol=ROUNDING)


@pytest.mark.parametrize("save_every", [1, 2])
def test_batches_as_an_array_and_as_a_function_are_seen_in_order(save_every):
    targets = np.array([1.0, -2.0, 4.0, 0.5])
    expected = [0.0]
    for target in targets:
        expected.append(expected[-1] + 0.5 * (target - expected[-1]))
    as_array = iterate(Simultaneous(0.5), toward, jnp.zeros(()), 4, batches=jnp.asarray(targets), save_every=save_every)
    look_up = jnp.asarray(targets)
    as_function = iterate(
        Simultaneous(0.5), toward, jnp.zeros(()), 4, batches=lambda n: look_up[n], save_every=save_every
    )
    np.testing.assert_allclose(as_array.ys, expected[::save_every], rtol=ROUNDING)
    np.testing.assert_allclose(as_function.ys, expected[::save_every], rtol=ROUNDING)


def test_a_batch_is_held_within_a_step():
    # Extragradient: y + h F(y + h F(y)) with the same target twice.
    orbit = iterate(Extragradient(0.5), toward, jnp.zeros(()), 2, batches=jnp.array([1.0, 3.0]))
    first = 0.5 * (1 - 0.5)
    ahead = first + 0.5 * (3 - first)
    np.testing.assert_allclose(orbit.ys, [0, first, first + 0.5 * (3 - ahead)], rtol=ROUNDING)


def test_batches_may_be_a_pytree():
    batches = {"to": jnp.array([1.0, 3.0]), "by": jnp.array([[2.0], [1.0]])}
    orbit = iterate(
        Simultaneous(0.5), lambda t, y, args: args["by"][0] * (args["to"] - y), jnp.zeros(()), 2, batches=batches
    )
    np.testing.assert_allclose(orbit.ys, [0, 1.0, 2.0], rtol=ROUNDING)


def test_a_key_folded_with_the_steps_number_draws_a_new_batch_at_every_step():
    key = jax.random.key(0)

    def draw(n):
        return jax.random.normal(jax.random.fold_in(key, n), ())

    orbit = iterate(Simultaneous(1.0), toward, jnp.zeros(()), 5, batches=draw)
    # With h = 1 the state is the last target.
    np.testing.assert_allclose(orbit.ys[1:], jax.vmap(draw)(jnp.arange(5)), rtol=ROUNDING)
    assert len(np.unique(orbit.ys)) == 6


@pytest.mark.parametrize("save_every", [1, 5])
def test_a_blow_up_is_a_result_marked_by_infinity(save_every):
    # y <- y + y^2 from 2 squares at every step, and leaves float64 after ten.
    y, finite = 2.0, 0
    while np.isfinite(y + y * y):
        y, finite = y + y * y, finite + 1
    saved = finite // save_every
    orbit = iterate(Simultaneous(1.0), square, jnp.asarray(2.0), 20, save_every=save_every)
    assert orbit.outcome == OUTCOMES.blow_up
    assert orbit.final_time == saved * save_every
    assert orbit.reached.tolist() == [True] * (saved + 1) + [False] * (20 // save_every - saved)
    assert np.all(np.isposinf(orbit.ys[saved + 1 :])) and np.all(np.isposinf(orbit.ts[saved + 1 :]))
    assert np.isfinite(orbit.final_state)
    assert orbit.final_state == orbit.ys[saved]
    assert orbit.trim().ys.shape == (saved + 1,)


def test_states_that_are_no_numbers_are_marked_by_infinity_as_well():
    # y <- y - y^3 overflows to minus infinity, and then to infinity minus infinity.
    orbit = iterate(Simultaneous(1.0), lambda t, y, args: -(y**3), jnp.asarray(3.0), 20)
    assert orbit.outcome == OUTCOMES.blow_up
    reached = int(np.sum(orbit.reached))
    assert np.all(np.isfinite(orbit.ys[:reached])) and np.all(np.isposinf(orbit.ys[reached:]))


def drain(t, y, args):
    """A tank that runs empty: Torricelli's law, which says nothing of less than nothing."""
    return -jnp.sqrt(y)


def over_the_edge(t, y, args):
    """Moves on evenly, to a hundred times where it started and farther, until it leaves where it is defined."""
    return 1 + 0.01 * jnp.sqrt(5000.0 - y)


def into_a_pole(t, y, args):
    """Is infinite at 0, and not a number nowhere."""
    return -1 / y


MODERATE = {
    # 1, 0.7, 0.449, ..., 0.0036, -0.014: the sixth is negative, and the seventh no number.
    "a root of a negative number": (drain, 1.0, 0.3, 6),
    # From 1 on by 1.71 and then less: 4987.1, 5000.3, and no more.
    "a slow drift over an edge": (over_the_edge, 1.0, 13.1, None),
    # 0.5, 0, infinity.
    "a pole": (into_a_pole, 0.5, 0.25, 1),
}


@pytest.mark.parametrize("name", MODERATE)
@pytest.mark.parametrize(
    "options", [{}, {"save_every": 60}, {"record": drain}, {"progress": lambda n, num_steps: None}]
)
def test_where_the_state_did_not_grow_it_is_the_field_that_is_not_finite(name, options):
    field, start, step_size, last = MODERATE[name]
    orbit = iterate(Simultaneous(step_size), field, jnp.asarray(start), 600, **options)
    assert orbit.outcome == OUTCOMES.nonfinite_field
    if last is not None and options.get("save_every", 1) == 1:
        np.testing.assert_allclose(orbit.final_time, last * step_size, rtol=1e-12)
    assert np.isfinite(orbit.final_state) and not np.isfinite(orbit.ts[-1])


@pytest.mark.parametrize("save_every", [1, 100, 10_000])
@pytest.mark.parametrize(
    ("field", "start"), [(square, 2.0), (lambda t, y, args: y, 1.0), (lambda t, y, args: jnp.exp(y), 1.0)]
)
def test_growth_is_told_from_a_field_that_ends_however_seldom_states_are_saved(field, start, save_every):
    # By squares; evenly, past all bounds; and by an exponential, which overflows at a state of 2e6.
    orbit = iterate(Simultaneous(0.1), field, jnp.asarray(start), 10_000, save_every=save_every)
    assert orbit.outcome == OUTCOMES.blow_up


@pytest.mark.parametrize("rule", [SolverStep, FrozenOpponent])
def test_implicit_steps_that_are_not_solved_are_called_so(rule):
    # y = 1 + h exp(y) has no real root.
    def no_root(t, y, args):
        return jax.tree.map(jnp.exp, y)

    implicit = iterate(rule(diffrax.ImplicitEuler(), 1.0, rtol=1e-8, atol=1e-8), no_root, START, 3)
    assert implicit.outcome == OUTCOMES.root_find_failed
    explicit = iterate(rule(diffrax.Heun(), 1.0), lambda t, y, args: jax.tree.map(drain_of, y), START, 5)
    assert explicit.outcome == OUTCOMES.nonfinite_field


def drain_of(part):
    return drain(0.0, part, None)


def test_a_rule_made_of_an_implicit_one_with_steps_of_its_own_is_not_taken_for_it():
    class Explicit(SolverStep):
        def step(self, field, t, y, args, memory):
            return y + self.step_size * field(t, y, args), None

    orbit = iterate(Explicit(diffrax.ImplicitEuler(), 0.3, rtol=1e-8, atol=1e-8), drain, jnp.asarray(1.0), 20)
    assert orbit.outcome == OUTCOMES.nonfinite_field


def test_one_member_that_blows_up_leaves_the_others_alone():
    orbit = jax.jit(jax.vmap(lambda y: iterate(Simultaneous(1.0), square, y, 20)))(jnp.array([2.0, -0.5]))
    assert (orbit.outcome == OUTCOMES.blow_up).tolist() == [True, False]
    assert (orbit.outcome == OUTCOMES.ok).tolist() == [False, True]
    assert np.all(np.isfinite(orbit.ys[1]))


def test_another_step_size_does_not_compile_again():
    traces = []

    def counted(t, y, args):
        traces.append(t)
        return -y

    iterate(Simultaneous(0.1), counted, jnp.ones(()), 3)
    compiled = len(traces)
    orbit = iterate(Simultaneous(0.5), counted, jnp.ones(()), 3)
    assert len(traces) == compiled
    np.testing.assert_allclose(orbit.ys, 0.5 ** np.arange(4), rtol=ROUNDING)


def test_the_gradient_of_the_end_with_respect_to_the_step_size_is_the_closed_form():
    # (1 - h)^5 has the derivative -5 (1 - h)^4.
    def end(h):
        return iterate(Simultaneous(h), toward, jnp.ones(()), 5, args=jnp.zeros(())).final_state

    np.testing.assert_allclose(jax.jit(jax.grad(end))(0.3), -5 * 0.7**4, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iterate(Simultaneous, FIELD, START, 5), r"the class Simultaneous: .* `Simultaneous\(0.1\)`"),
        (lambda: iterate(Simultaneous(0.1), FIELD, START, 0), "`num_steps` must be at least 1, but is 0"),
        (lambda: iterate(Simultaneous(0.1), FIELD, START, 2.5), "`num_steps` must be a whole number, but is 2.5"),
        (lambda: iterate(Simultaneous(0.1), FIELD, START, -3), "`num_steps` must be at least 1, but is -3"),
        (
            lambda: iterate(Simultaneous(0.1), FIELD, START, 10, save_every=3),
            "`save_every` must divide `num_steps`, but 3 does not divide 10: take 9 steps",
        ),
        (
            lambda: iterate(Simultaneous(0.1), FIELD, START, 2, save_every=3),
            "`save_every` must divide `num_steps`, but 3 does not divide 2: take 3 steps",
        ),
        (
            lambda: iterate(Simultaneous(0.1), toward, jnp.zeros(()), 2, args=jnp.ones(()), batches=jnp.ones(2)),
            "`args` and `batches` must not both be given",
        ),
        (
            lambda: iterate(Simultaneous(0.1), toward, jnp.zeros(()), 2, batches=jnp.ones(3)),
            "`batches` must have a leading axis of `num_steps` = 2 on every leaf, but has 3",
        ),
        (
            lambda: iterate(Simultaneous(0.1), toward, jnp.zeros(()), 2, batches=(jnp.ones(2), jnp.ones(()))),
            "`batches` must have a leading axis of `num_steps` = 2 on every leaf, but has none, 2",
        ),
        (
            lambda: iterate(Simultaneous(0.1), FIELD, players(jnp.nan, 1.0), 2),
            "`y0.discriminator` must be finite, but holds nan",
        ),
        (
            lambda: iterate(Simultaneous(0.1), FIELD, players(1, 1, int), 2),
            "`y0.discriminator` must be of a real floating",
        ),
        (lambda: iterate(Simultaneous(0.1), FIELD, (1.0, 1.0), 2), "`y0` must be `games.Players`, but is tuple"),
        (
            lambda: iterate(Simultaneous(0.1), FIELD, jnp.ones(2), 2),
            r"`y0` must be `games.Players`, but is an array of shape \(2,\): write `Players",
        ),
        (
            lambda: iterate(Alternating(0.1), square, jnp.ones(2), 2),
            "`y0` must be `games.Players` for `updates.Alternating`, .* `updates.Simultaneous`",
        ),
        (lambda: iterate(Simultaneous(0.1), toward, 1 + 1j, 2), "`y0` must be real, but is complex128: split it"),
        (lambda: iterate(Simultaneous(0.1), FIELD.game, START, 2), "is the game LinearQuadratic: write `fields.GameF"),
        (
            lambda: iterate(Simultaneous(0.1), GameField, START, 2),
            "`field` must be an instance, but is the class",
        ),
        (lambda: iterate(Simultaneous(0.1), "field", START, 2), r"`field` must be a function .* but is 'field'"),
        (
            lambda: iterate(Simultaneous(0.1), lambda t, y: y, jnp.ones(2), 2),
            r"`field` must take three arguments `\(t, y, args\)`, but has the signature \(t, y\)",
        ),
        (
            lambda: iterate(Simultaneous(0.1), lambda t, y, args: 0, jnp.ones(2), 2),
            r"`field` must return arrays, but returns the number 0 for `y0` of shape \(2,\)",
        ),
        (
            lambda: iterate(Alternating(0.1), lambda t, y, args: Players(0.0, y.generator), START, 2),
            r"`field` must return arrays, but returns the number 0.0 for `y0.discriminator`",
        ),
        (
            lambda: iterate(Simultaneous(0.1), lambda t, y, args: None, jnp.ones(2), 2),
            "`field` must return the velocity, but returns None",
        ),
        (lambda: iterate(optax.adam(0.1), FIELD, START, 2), "is an optimizer of Optax: write `updates.Optax"),
        (lambda: iterate(diffrax.Heun(), FIELD, START, 2), "is the solver Heun: write `updates.SolverStep"),
        (
            lambda: iterate(Simultaneous(0.1), lambda t, y, args: (y, y), START, 2),
            "`y0` must have the structure of the field's velocity",
        ),
        (
            lambda: iterate(Alternating(0.1), lambda t, y, args: Players(jnp.ones(2), y.generator), START, 2),
            r"`y0.discriminator` must match the field's velocity, but has shape \(\)",
        ),
        (
            lambda: iterate(Simultaneous(0.1), square, jnp.ones(1_000_000), 10_000_000),
            "`num_steps` must fit in memory, but needs 72.8 TiB .*`save_every`",
        ),
    ],
)
def test_what_cannot_work_is_refused(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        call()
