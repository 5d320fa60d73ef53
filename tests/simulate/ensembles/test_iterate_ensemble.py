"""Many starts at once by a discrete rule: each member is what `iterate` makes of it."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from gan_ode import fields, games, iterate, losses, updates
from gan_ode._lowering import _kernels, _scalarize
from gan_ode.games import Players
from gan_ode.simulate import iterate_ensemble, OUTCOMES
from gan_ode.simulate.ensembles import _iterate_ensemble

# The same products in another order: measured 2e-16 on states of size 1.
ROUNDING = 1e-13

PLAIN = fields.GameField(games.LinearQuadratic(losses.Minimax()))
STARTS = Players(jnp.array([0.5, -0.2, 0.1, 1.0, -0.7]), jnp.array([1.0, 1.3, 0.9, 0.8, -1.2]))


class Decay(eqx.Module):
    """y' = rate * y, plus what `args` says."""

    rate: jax.Array

    def __call__(self, t, y, args):
        return self.rate * y + (0.0 if args is None else args)


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def close(one, other):
    for mine, its in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(mine, its, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    "update", [updates.Alternating(0.1), updates.Optax(optax.adam(0.01), optax.sgd(0.1), step_size=0.1)]
)
def test_a_member_is_what_iterate_makes_of_it(update):
    many = iterate_ensemble(update, PLAIN, STARTS, 30, save_every=10, chunk_size=2)
    assert many.ts.shape == (5, 4) and many.ys.generator.shape == (5, 4)
    for i in range(5):
        alone = iterate(update, PLAIN, member(STARTS, i), 30, save_every=10)
        close(
            (member(many.ts, i), member(many.ys, i), member(many.final_state, i)),
            (alone.ts, alone.ys, alone.final_state),
        )


def test_step_sizes_fields_and_args_may_differ_from_member_to_member():
    sizes, rates, shifts = jnp.array([0.1, 0.2, 0.3]), jnp.array([-1.0, -0.5, 0.5]), jnp.array([0.0, 1.0, 2.0])
    orbit = iterate_ensemble(
        eqx.filter_vmap(updates.Simultaneous)(sizes), eqx.filter_vmap(Decay)(rates), jnp.ones(3), 4, args=shifts,
        batched_update=True, batched_field=True, batched_args=True, chunk_size=2,
    )  # fmt: skip
    # y becomes g y + h s, four times.
    factors = 1 + np.asarray(sizes * rates)
    expected = factors**4 + np.asarray(sizes * shifts) * sum(factors**k for k in range(4))
    np.testing.assert_allclose(orbit.final_state, expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(orbit.final_time, 4 * np.asarray(sizes), rtol=ROUNDING, atol=0)


def test_minibatches_may_be_drawn_anew_for_every_member():
    def draw(key, n):
        return jax.random.normal(jax.random.fold_in(key, n))

    keys = jax.random.split(jax.random.key(3), 4)
    orbit = iterate_ensemble(
        updates.Simultaneous(1.0), Decay(jnp.asarray(0.0)), jnp.zeros(4), 3,
        batches=jax.tree_util.Partial(draw, keys), batched_batches=True, chunk_size=3,
    )  # fmt: skip
    expected = [sum(float(draw(key, n)) for n in range(3)) for key in keys]
    np.testing.assert_allclose(orbit.final_state, expected, rtol=0, atol=ROUNDING)


def test_a_member_that_blows_up_spoils_no_other():
    orbit = iterate_ensemble(updates.Simultaneous(1.0), lambda t, y, args: y**3, jnp.array([9.0, 0.01]), 12)
    assert [bool(each) for each in orbit.outcome == OUTCOMES.blow_up] == [True, False]
    assert np.isinf(orbit.ys[0, -1]) and np.all(np.isfinite(orbit.ys[1]))


@pytest.mark.parametrize("save_every", [1, 40])
def test_a_member_is_told_apart_that_left_where_the_field_is_finite(save_every):
    # y' = -sqrt(y) ends at 0; y' = y^3 grows; and in between all is well.
    def field(t, y, args):
        return jnp.where(args > 0, y**3, -jnp.sqrt(y))

    starts, kinds = jnp.array([1.0, 9.0, 0.01]), jnp.array([-1.0, 1.0, 1.0])
    orbit = iterate_ensemble(
        updates.Simultaneous(0.3), field, starts, 40, args=kinds, batched_args=True, save_every=save_every
    )
    named = [OUTCOMES.nonfinite_field, OUTCOMES.blow_up, OUTCOMES.ok]
    assert all(bool(member(orbit.outcome, i) == name) for i, name in enumerate(named))


def test_a_member_whose_implicit_step_is_not_solved_is_called_so():
    # y = 1 + h exp(y) has a real root for h = 0.01, and none for h = 1.
    implicit = eqx.filter_vmap(lambda h: updates.SolverStep(diffrax.ImplicitEuler(), h, rtol=1e-8, atol=1e-8))
    orbit = iterate_ensemble(
        implicit(jnp.array([1.0, 0.01])), lambda t, y, args: jnp.exp(y), jnp.ones(2), 2, batched_update=True
    )
    assert [bool(each) for each in orbit.outcome == OUTCOMES.root_find_failed] == [True, False]
    assert [bool(each) for each in orbit.outcome == OUTCOMES.ok] == [False, True]


def test_what_is_recorded_takes_the_place_of_the_states():
    orbit = iterate_ensemble(
        updates.Simultaneous(0.5), Decay(jnp.asarray(-1.0)), jnp.array([1.0, 2.0]), 2, record=lambda t, y, args: 10 * y
    )
    np.testing.assert_allclose(orbit.ys, [[10, 5, 2.5], [20, 10, 5]], rtol=0, atol=ROUNDING)


def test_it_works_under_transformations():
    def total(rate):
        return jnp.sum(iterate_ensemble(updates.Simultaneous(0.5), Decay(rate), jnp.ones(2), 3).final_state)

    # 2 (1 + r / 2)^3.
    np.testing.assert_allclose(jax.jit(jax.grad(total))(0.2), 3 * 1.1**2, rtol=ROUNDING)


STEP = updates.Simultaneous(0.1)
TWO_STEPS = eqx.filter_vmap(updates.Simultaneous)(jnp.ones(2))


@pytest.mark.parametrize(
    ("update", "y0s", "options", "message"),
    [
        (STEP, Players(jnp.ones(2), jnp.ones(3)), {}, "`y0s` must have one leading axis"),
        (STEP, Players(jnp.array([1]), jnp.ones(1)), {}, r"`y0s\.discriminator` must be of a real"),
        (STEP, STARTS, {"save_every": 2}, "`save_every` must divide"),
        (
            TWO_STEPS,
            STARTS,
            {"batched_update": True},
            "`batched_update` must select leaves with a leading axis of the 5",
        ),
        (STEP, STARTS, {"chunk_size": 0}, "`chunk_size` must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused(update, y0s, options, message):
    with pytest.raises(ValueError, match=message):
        iterate_ensemble(update, PLAIN, y0s, 5, **options)


@pytest.mark.parametrize(
    ("update", "field", "y0s", "message"),
    [
        (STEP, lambda t, y, args: 1.0, jnp.ones(3), "`field` must return arrays, but returns the number 1.0"),
        (STEP, lambda t, y, args: [y], jnp.ones(3), "`y0s` must have the structure of the field's velocity"),
        (STEP, PLAIN.game, STARTS, "`field` must be a field, but is the game LinearQuadratic"),
        (STEP, PLAIN, jnp.ones(5), r"must be `games.Players`, but is an array of shape \(\)"),
        (STEP, PLAIN, jnp.ones(5) + 0j, "`y0s` must be real, but is complex128"),
        (updates.Simultaneous, PLAIN, STARTS, r"the class Simultaneous: .* `Simultaneous\(0.1\)`"),
        (
            updates.Optax(optax.sgd(0.1), optax.polyak_sgd()),
            PLAIN,
            STARTS,
            "`generator` of `updates.Optax` must be an optimizer that goes by gradients .* argument: 'value'",
        ),
    ],
)
def test_what_is_of_another_kind_is_refused(update, field, y0s, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        iterate_ensemble(update, field, y0s, 5)


def test_rules_for_derivatives_hold_after_a_run_without_derivatives():
    @jax.custom_jvp
    def decay(y):
        return -y

    decay.defjvp(lambda primals, tangents: (decay(*primals), -3 * tangents[0]))

    def field(t, y, args):
        return decay(y)

    def end(y):
        return iterate_ensemble(updates.Simultaneous(0.1), field, y, 2, save_every=2).final_state

    # As many as there are in a lot at least: the length of the batch is a part of what is remembered.
    y0s = jnp.linspace(0.5, 1.0, 8)
    np.testing.assert_allclose(end(y0s), 0.9**2 * y0s, rtol=1e-12)
    np.testing.assert_allclose(jax.jvp(end, (y0s,), (jnp.ones(8),))[1], 0.7**2, rtol=1e-12)


def test_steps_by_elements_and_of_arrays_are_the_same(monkeypatch):
    asked, evaluated = [], _scalarize.evaluated

    def recorded(function, instead, most):
        asked.append(most)
        return evaluated(function, instead, most)

    monkeypatch.setattr(_scalarize, "evaluated", recorded)
    products, fits = [], _kernels._is_fit_for_kernel
    monkeypatch.setattr(_kernels, "_is_fit_for_kernel", lambda jaxpr: products.append(str(jaxpr)) or fits(jaxpr))

    def ends(most):
        monkeypatch.setattr(_iterate_ensemble, "_MOST", most)
        asked.clear(), products.clear()
        # A field that is new compiles anew.
        matrix = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
        field = functools.partial(lambda t, y, args: jax.nn.sigmoid(matrix @ y) - y)
        y0s = np.random.default_rng(1).normal(size=(10, 3))
        return iterate_ensemble(updates.Extragradient(0.1), field, y0s, 20, save_every=20).final_state

    by_elements = ends(1000)
    assert asked and set(asked) == {1000} and "dot_general" not in products[0]
    of_arrays = ends(0)
    assert asked and set(asked) == {0} and "dot_general" in products[0]
    np.testing.assert_allclose(by_elements, of_arrays, rtol=0, atol=ROUNDING)
