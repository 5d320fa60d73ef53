"""Remedies as they are applied to a training by optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, fields, games, losses, updates
from gan_ode.analysis.diagnosis import _candidates

FIELD = fields.GameField(games.LinearQuadratic(losses.Minimax()))


def adam(rate):
    return optax.adam(rate, b1=0.5, eps_root=1e-8)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_other_rates_leave_an_optimizers_memory_as_it_is(dtype):
    y = games.Players(jnp.asarray(0.3, dtype), jnp.asarray(1.2, dtype))
    rule = updates.Optax(adam(1e-2), adam(1e-2))
    y, memory = rule.step(FIELD, 0.0, y, None, rule.init(FIELD, y, None))
    treated = _candidates.resized(rule, games.Players(np.float64(0.1), np.float64(3.0)))
    assert jax.tree.structure(treated.init(FIELD, y, None)) == jax.tree.structure(memory)
    found, after = treated.step(FIELD, 0.0, y, None, memory)
    expected, expected_after = updates.Optax(adam(1e-3), adam(3e-2)).step(FIELD, 0.0, y, None, memory)
    for left, right in zip(*map(jax.tree.leaves, ((found, after), (expected, expected_after))), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, rtol=1e-5 if dtype == jnp.float32 else 1e-12)


def test_a_remedy_that_cannot_be_applied_is_named():
    y = games.Players(jnp.array(0.3), jnp.array(1.2))
    rule = updates.Optax(optax.sgd(0.1), optax.sgd(0.1))
    report = analysis.diagnose(FIELD, y, update=rule, remedies=["alternating", "gradient norm"])
    assert [remedy.name for remedy in report.remedies] == ["gradient norm"]
    assert report.notes[0] == "remedies that cannot be applied to this game and Optax: alternating"
    assert "cannot be applied" in str(report)
