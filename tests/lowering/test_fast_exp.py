"""Exponentials and logistic functions of ensembles: as precise as JAX's, and what is replaced by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_ode._lowering import _fast_exp
from gan_ode._lowering._fast_exp import exp, logistic
from gan_ode._lowering._kernels import _is_fit_for_kernel
from gan_ode.simulate import ensemble

X = np.concatenate([np.linspace(-3.0, 3.0, 200_001), np.linspace(-707.0, 709.0, 4001), [709.78, -1e-300, 0.0]])
# Three roundings of 1.1e-16; measured 1.9e-16 and 3.0e-16.
PRECISE = 3.3e-16


def test_the_exponential_is_right_to_rounding():
    expected = np.exp(X.astype(np.longdouble))
    np.testing.assert_allclose(np.asarray(jax.jit(exp)(X)) / expected, 1, rtol=PRECISE)


def test_the_logistic_function_is_right_to_rounding():
    expected = 1 / (1 + np.exp(-X.astype(np.longdouble)))
    np.testing.assert_allclose(np.asarray(jax.jit(logistic)(X)) / expected, 1, rtol=PRECISE)


def test_infinite_numbers_and_those_that_are_none_come_through():
    x = jnp.array([jnp.nan, jnp.inf, 1e300, 760.0, -jnp.inf, -1e300, -760.0, 0.0, -0.0])
    inf = np.inf
    np.testing.assert_array_equal(jax.jit(exp)(x), [np.nan, inf, inf, inf, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(
        jax.jit(logistic)(x), [np.nan, 1, 1, 1, 0, 0, 0, 0.5, 0.5], rtol=0, atol=1e-307, equal_nan=True
    )


@pytest.fixture
def replaced(monkeypatch):
    """The functions that ensembles replace from now on."""
    names, instead = [], _fast_exp.instead

    def noted(equation, operands):
        result = instead(equation, operands)
        if result is not None:
            names.append(equation.primitive.name)
        return result

    monkeypatch.setattr(_fast_exp, "instead", noted)
    return names


TS = jnp.array([0.0, 1.0])


def test_ensembles_have_them(replaced):
    # y' = 1 / (1 + e^{-y}) has y - e^{-y} = t + constant; y' = e^{-y} has e^y = t + constant.
    y0s = jnp.linspace(-2.0, 2.0, 70)
    y = ensemble(lambda t, y, args: jax.nn.sigmoid(y), y0s, TS, rtol=1e-11).final_state
    np.testing.assert_allclose(y - np.exp(-y), 1 + y0s - np.exp(-y0s), rtol=1e-9)
    y = ensemble(lambda t, y, args: jnp.exp(-y), y0s, TS, rtol=1e-11).final_state
    np.testing.assert_allclose(np.exp(y), 1 + np.exp(y0s), rtol=1e-9)
    assert {"logistic", "exp"} == set(replaced)


def test_kernels_can_be_made_of_them():
    x = jnp.ones(3)
    assert all(_is_fit_for_kernel(jax.make_jaxpr(function)(x).jaxpr) for function in (exp, logistic))


def test_single_precision_and_other_programs_have_not(replaced):
    def ends(y0s):
        return ensemble(lambda t, y, args: jax.nn.sigmoid(y), y0s, TS.astype(y0s.dtype), rtol=1e-5).final_state

    assert ends(jnp.linspace(-2.0, 2.0, 5, dtype=jnp.float32)).dtype == jnp.float32
    jax.jit(ends)(jnp.linspace(-2.0, 2.0, 5))
    jax.jvp(ends, (jnp.linspace(-2.0, 2.0, 5),), (jnp.ones(5),))
    assert not replaced
