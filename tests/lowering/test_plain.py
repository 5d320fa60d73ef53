"""The switch that takes compiled speed away: the same numbers, the same errors, by Diffrax and Equinox alone."""

import os
import subprocess
import sys
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_ode
from gan_ode import fields, flow, games, iterate, losses, updates
from gan_ode._lowering import _kernels, is_plain
from gan_ode.simulate import ensemble, iterate_ensemble
from tests.catalogue import flat, GameCase, GAMES, players, UpdateCase, UPDATES

# The same steps, whose lengths are powers to 1e-11 and sums in another order: measured 4e-13.
ROUNDING = 1e-11
TS = jnp.array([0.0, 0.05, 0.1])


class Together(eqx.Module):
    """Several fields side by side: what a solver is compiled to is compiled once for all of them."""

    fields: dict[str, Any]

    def __call__(self, t, ys, args):
        return {name: field(t, ys[name], args[name]) for name, field in self.fields.items()}


def few_together(cases: list[GameCase]) -> list[list[GameCase]]:
    """The cases in groups that the fast path takes as it takes their members.

    It takes small states apart into numbers, 16 of them at most, and fields of few operations: those that average over
    a distribution have hundreds.
    """
    long = [case for case in cases if case.name.startswith("linear")]
    large = [case for case in cases if flat(case.states).size > 3 * 16]
    others = [case for case in cases if case not in long and case not in large]
    shorts = [others[i : i + 4] for i in range(0, len(others), 4)]
    return [*(long[i : i + 2] for i in range(0, len(long), 2)), *shorts, large]


@pytest.mark.parametrize("cases", few_together(GAMES), ids=lambda cases: "+".join(case.name for case in cases))
def test_every_game_is_followed_to_the_same_states(cases: list[GameCase]):
    field = Together({case.name: case.field(case.parameter) for case in cases})
    y0s = {case.name: jax.tree.map(lambda leaf: leaf[:2], case.states) for case in cases}
    args = {case.name: case.args for case in cases}

    # Each compiles twice: one evaluation of the field to a step. What is saved on the way has tests of its own, and for
    # steps of lengths that are chosen a few games do, below.
    how = {"solver": diffrax.Euler(), "step_size": 0.05}
    check_fast_and_plain(field, y0s, args, how, cases)


def test_steps_of_lengths_that_are_chosen_are_the_same():
    cases = next(cases for cases in few_together(GAMES) if not cases[0].name.startswith("linear"))
    field = Together({case.name: case.field(case.parameter) for case in cases})
    y0s = {case.name: jax.tree.map(lambda leaf: leaf[:2], case.states) for case in cases}
    args = {case.name: case.args for case in cases}
    check_fast_and_plain(field, y0s, args, {"solver": diffrax.Heun(), "rtol": 1e-4}, cases)


def check_fast_and_plain(field, y0s, args, how: dict[str, Any], cases: list[GameCase]):
    def followed():
        return ensemble(field, y0s, TS[::2], args=args, **how)

    fast = followed()
    with gan_ode.plain():
        slow = followed()
    np.testing.assert_array_equal(fast.stats["num_steps"], slow.stats["num_steps"])
    for case in cases:
        states = flat(fast.ys[case.name]), flat(slow.ys[case.name])
        np.testing.assert_allclose(*states, rtol=ROUNDING, atol=ROUNDING, err_msg=case.name)


@pytest.mark.parametrize("case", UPDATES, ids=lambda case: case.name)
def test_every_update_is_followed_to_the_same_states(case: UpdateCase):
    field = fields.GameField(games.Dirac(losses.NonSaturating()))
    y0s = players(jnp.array([0.3, -0.2]), jnp.array([0.8, 1.3]))

    def followed():
        return iterate_ensemble(case.make(0.1), field, y0s, 20)

    fast = followed()
    with gan_ode.plain():
        slow = followed()
    np.testing.assert_allclose(flat(fast.ys), flat(slow.ys), rtol=ROUNDING, atol=ROUNDING)


def test_nothing_is_hinted_with_the_switch_off(monkeypatch):
    seen, called = [], _kernels._called
    monkeypatch.setattr(_kernels, "_called", lambda function, hints: seen.append(hints) or called(function, hints))
    with gan_ode.plain():
        ensemble(lambda t, y, args: -y, jnp.array([[1.0], [3.0]]), TS)
        assert not seen and is_plain()
        with gan_ode.plain(False):
            ensemble(lambda t, y, args: -y, jnp.array([[1.0], [3.0]]), TS)
            assert seen
    assert not is_plain()


def test_chunks_in_threads_are_plain_too():
    y0s, ts = jnp.linspace(1.0, 2.0, 4096)[:, None], TS[::2]

    def field(t, y, args):
        return -y if is_plain() else 0 * y

    with gan_ode.plain():
        orbits = ensemble(field, y0s, ts, chunk_size=512, rtol=1e-6)
    np.testing.assert_allclose(orbits.final_state, y0s * np.exp(-0.1), rtol=1e-5)


def test_an_environment_variable_says_it_for_a_process():
    code = "from gan_ode._lowering import is_plain; print(is_plain())"
    for value, said in (("1", "True"), ("0", "False"), ("", "False")):
        environment = {**os.environ, "GAN_ODE_PLAIN": value}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == said


class Demand(eqx.Module):
    """Refuses states below a bound, and counts how often it was asked to."""

    counted: list = eqx.field(static=True, default_factory=list)

    def __hash__(self):
        return id(self)

    def __call__(self, t, y, args):
        def note(x):
            self.counted.append(float(x))
            return np.float64(0.0)

        y = y + jax.pure_callback(note, jax.ShapeDtypeStruct((), y.dtype), y[0], vmap_method="sequential")
        return -eqx.error_if(y, y[0] < args, "y is too small")


WAYS = {
    "flow": lambda field, bound: (
        flow(field, jnp.array([1.0]), TS, args=bound, solver=diffrax.Euler(), step_size=0.05, max_steps=4).final_state
    ),
    "iterate": lambda field, bound: (
        iterate(updates.Simultaneous(0.05), field, jnp.array([1.0]), 2, args=bound).final_state
    ),
    "ensemble": lambda field, bound: (
        ensemble(
            field, jnp.array([[1.0], [1.2]]), TS, args=bound, solver=diffrax.Euler(), step_size=0.05, max_steps=4
        ).final_state
    ),
}


@pytest.mark.parametrize("plainly", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_the_user_is_raised_once_and_as_equinox_raises_it_also_after_a_success(way, plainly):
    field = Demand()
    with gan_ode.plain(plainly):
        counts = []
        for bound, fails in ((2.0, True), (0.1, False), (2.0, True)):
            before = len(field.counted)
            if fails:
                with pytest.raises(RuntimeError, match="y is too small") as caught:
                    WAYS[way](field, jnp.array(bound))
                assert type(caught.value).__name__ == "EquinoxRuntimeError"
            else:
                assert np.all(np.isfinite(np.asarray(WAYS[way](field, jnp.array(bound)))))
            counts.append(len(field.counted) - before)
    # A program that fails and is run again asks twice as often.
    assert counts[0] == counts[2] <= counts[1]
