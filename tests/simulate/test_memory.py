"""A run that starts with what the rule remembers from another one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import iterate, simulate
from gan_ode.games import Players
from gan_ode.updates import HeavyBall, Optax, Simultaneous
from tests.catalogue import players

# Ten steps of the same arithmetic: measured 2e-16.
ROUNDING = 1e-13
START = players(0.5, 1.2)
STEPS = 5
RULES = {
    "momentum": HeavyBall(0.1, 0.5),
    "adam": Optax(optax.adam(0.1, b1=0.5), optax.adam(0.1, b1=0.5), order="simultaneous"),
}


def rotation(t, y, args):
    return Players(y.generator, -y.discriminator)


def by_hand(rule, y, memory, steps):
    for _ in range(steps):
        y, memory = rule.step(rotation, 0.0, y, None, memory)
    return y, memory


@pytest.mark.parametrize("name", RULES)
def test_two_halves_with_the_memory_between_them_are_the_whole(name):
    rule = RULES[name]
    whole = iterate(rule, rotation, START, 2 * STEPS)
    y, memory = by_hand(rule, START, rule.init(rotation, START, None), STEPS)
    second = iterate(rule, rotation, y, STEPS, memory=memory)
    anew = iterate(rule, rotation, y, STEPS)
    for player in ("discriminator", "generator"):
        expected = getattr(whole.ys, player)[STEPS:]
        np.testing.assert_allclose(getattr(second.ys, player), expected, rtol=ROUNDING, atol=ROUNDING)
        assert not np.allclose(getattr(anew.ys, player), expected)


def test_the_memory_of_a_checkpoint_goes_on_as_if_it_had_never_stopped(tmp_path):
    rule, folder = RULES["adam"], tmp_path / "run"
    iterate(rule, rotation, START, STEPS, checkpoint=simulate.Checkpoint(folder, STEPS))
    trained = simulate.load_checkpoint(folder, rule, rotation, START)
    second = iterate(rule, rotation, trained.y, STEPS, memory=trained.memory)
    whole = iterate(rule, rotation, START, 2 * STEPS)
    assert jnp.allclose(second.final_state.generator, whole.final_state.generator, rtol=ROUNDING)


def test_it_may_be_traced_and_numpy():
    rule = RULES["momentum"]
    memory = jax.tree.map(np.asarray, by_hand(rule, START, rule.init(rotation, START, None), 2)[1])
    ends = jax.vmap(
        lambda c: iterate(rule, rotation, START, 2, memory=jax.tree.map(lambda m: c * m, memory)).final_state
    )
    found = ends(jnp.array([0.0, 1.0])).generator
    expected = [by_hand(rule, START, jax.tree.map(lambda m, c=c: c * m, memory), 2)[0].generator for c in (0.0, 1.0)]
    assert found == pytest.approx(np.array(expected), rel=ROUNDING)


@pytest.mark.parametrize(
    ("rule", "memory"),
    [
        (RULES["momentum"], players(0.0, jnp.zeros(3))),
        (RULES["momentum"], jnp.zeros(2)),
        (RULES["momentum"], Players(jnp.float32(0.0), jnp.float32(0.0))),
        (RULES["adam"], players(0.0, 0.0)),
        (Simultaneous(0.1), players(0.0, 0.0)),
    ],
    ids=["shape", "structure", "dtype", "another rule", "none remembered"],
)
def test_what_the_rule_does_not_remember_is_refused(rule, memory):
    with pytest.raises(ValueError, match=f"`memory` must be what this {type(rule).__name__} remembers"):
        iterate(rule, rotation, START, STEPS, memory=memory)
