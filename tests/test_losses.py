"""What scores are paid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from tests.catalogue import LOSSES

# Both sides round once or twice: measured 2e-15.
ROUNDING = 1e-14
# float32 has 6e-8: measured 3e-8.
SINGLE = 3e-7

NAMES = list(LOSSES)
SCORES = np.array([-1e4, -300.0, -88.0, -17.0, -1.0, -0.1, 0.0, 0.1, 0.9, 1.1, 17.0, 88.0, 300.0, 1e4])


def _values_and_slopes(name: str, scores: jax.Array) -> list[np.ndarray]:
    loss = LOSSES[name].make()

    @jax.jit
    def measure(x):
        return [loss.f(x), jax.vmap(jax.grad(loss.f))(x), loss.generator(x), jax.vmap(jax.grad(loss.generator))(x)]

    return measure(scores)


def _expected(name: str, scores: np.ndarray) -> list[np.ndarray]:
    facts = LOSSES[name]
    return [facts.f(scores), facts.slope_of_f(scores), facts.generator(scores), facts.slope_of_generator(scores)]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_are_the_closed_forms(name):
    for value, expected in zip(_values_and_slopes(name, jnp.asarray(SCORES)), _expected(name, SCORES), strict=True):
        np.testing.assert_allclose(value, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_in_float32_are_finite_and_right_for_scores_of_any_size(name):
    scores = SCORES.astype(np.float32)
    values = _values_and_slopes(name, jnp.asarray(scores))
    for value, expected in zip(values, _expected(name, scores.astype(float)), strict=True):
        assert value.dtype == jnp.float32
        assert np.all(np.isfinite(value))
        np.testing.assert_allclose(value, expected, rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize("name", NAMES)
def test_slope_and_curvature_at_zero_are_as_documented(name):
    loss = LOSSES[name].make()
    np.testing.assert_allclose(jax.jit(lambda: loss.slope)(), LOSSES[name].slope, rtol=ROUNDING)
    np.testing.assert_allclose(jax.jit(lambda: loss.curvature)(), LOSSES[name].curvature, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_sum_loss_pays_the_generator_what_the_discriminator_gets_for_its_samples(name):
    generator = _values_and_slopes(name, jnp.asarray(SCORES))[2]
    of_samples = _expected(name, -SCORES)[0]
    assert LOSSES[name].make().zero_sum == np.allclose(generator, of_samples)


@pytest.mark.parametrize("name", [name for name in NAMES if LOSSES[name].make().degree is not None])
def test_the_degree_is_that_of_the_polynomial(name):
    loss = LOSSES[name].make()
    x = np.linspace(-2, 2, 9)
    coefficients = np.polynomial.Polynomial.fit(x, np.asarray(loss.f(jnp.asarray(x))), 6).convert().coef
    assert np.max(np.nonzero(np.abs(coefficients) > 1e-10)) == loss.degree


@pytest.mark.parametrize("name", NAMES)
@given(low=st.floats(-50, 50), high=st.floats(-50, 50), part=st.floats(0, 1))
def test_f_is_concave(name, low, high, part):
    f = LOSSES[name].make().f
    chord = part * LOSSES[name].f(low) + (1 - part) * LOSSES[name].f(high)
    assert f(jnp.asarray(part * low + (1 - part) * high)) >= chord - 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_a_better_score_never_costs_the_generator_below_the_label_of_data(name):
    slopes = _values_and_slopes(name, jnp.linspace(-20.0, 1.0, 50))[3]
    assert np.all(np.asarray(slopes) <= 0)
