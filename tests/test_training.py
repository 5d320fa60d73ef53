"""Training as an update: recorded quantities, minibatches under any rule, runs in pieces."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import iterate
from gan_ode.simulate import OUTCOMES
from gan_ode.updates import Simultaneous

# A few sums and products: measured 2e-16.
ROUNDING = 1e-14


def toward(t, y, args):
    """Relaxes to what it is given."""
    return args - y


def square(t, y, args):
    return y**2


def thrice(t, y, args):
    return 3 * y


def distance(t, y, args):
    return {"distance": jnp.sum(jnp.abs(y)), "time": t}


# What is recorded.


@pytest.mark.parametrize("save_every", [1, 2])
def test_recorded_is_what_the_function_says_of_the_states(save_every):
    # y <- y / 2: the distance of (3, -1) from 0 is 4 * 0.5^n.
    start, zero = jnp.array([3.0, -1.0]), jnp.zeros(2)
    orbit = iterate(Simultaneous(0.5), toward, start, 6, args=zero, save_every=save_every, record=distance)
    n = np.arange(0, 7, save_every)
    np.testing.assert_allclose(orbit.ys["distance"], 4 * 0.5**n, rtol=ROUNDING)
    np.testing.assert_allclose(orbit.ys["time"], 0.5 * n, rtol=ROUNDING)
    np.testing.assert_allclose(orbit.ts, 0.5 * n, rtol=ROUNDING)
    np.testing.assert_allclose(orbit.final_state, [3 / 64, -1 / 64], rtol=ROUNDING)


def test_the_recorded_function_sees_the_batch_of_the_step_that_led_there():
    targets = jnp.array([1.0, -2.0, 4.0, 0.5])
    orbit = iterate(
        Simultaneous(1.0), toward, jnp.zeros(()), 4, batches=targets, record=lambda t, y, args: (y - args, args)
    )
    # With h = 1 the state is the last target; at the start it is 0.
    np.testing.assert_array_equal(orbit.ys[0], [-1.0, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(orbit.ys[1], [1.0, *targets])


@pytest.mark.parametrize("save_every", [1, 5])
def test_a_blow_up_is_marked_in_what_was_recorded_and_ends_at_the_last_finite_state(save_every):
    def describe(t, y, args):
        return {"log": jnp.log2(y), "large": (y > 100).astype(int)}

    recorded = iterate(Simultaneous(1.0), square, jnp.asarray(2.0), 20, save_every=save_every, record=describe)
    states = iterate(Simultaneous(1.0), square, jnp.asarray(2.0), 20, save_every=save_every)
    reached = np.asarray(states.reached)
    assert 1 < reached.sum() < reached.size
    np.testing.assert_array_equal(recorded.reached, reached)
    assert recorded.outcome == OUTCOMES.blow_up
    assert recorded.final_time == states.final_time and recorded.final_state == states.final_state
    # log2(y) doubles at every step once y^2 is far above y, and is infinity where nothing was reached.
    np.testing.assert_allclose(recorded.ys["log"][reached], np.log2(states.ys[reached]), rtol=ROUNDING)
    assert np.all(np.isposinf(recorded.ys["log"][~reached]))
    # An integer has no infinity.
    assert recorded.ys["large"].dtype == jnp.dtype(int)
    np.testing.assert_array_equal(recorded.ys["large"], np.where(reached, np.asarray(states.ys) > 100, 0))


def test_recording_works_under_vmap_and_grad():
    # (1 - h)^4 y has the derivative -4 (1 - h)^3 y with respect to h.
    def last(h, y):
        orbit = iterate(
            Simultaneous(h), toward, y, 4, args=jnp.zeros(()), save_every=2, record=lambda t, y, args: 3 * y
        )
        return orbit.ys[-1]

    sizes = np.array([0.1, 0.3])
    slopes = jax.jit(jax.vmap(jax.grad(last), (0, None)))(jnp.asarray(sizes), jnp.asarray(2.0))
    np.testing.assert_allclose(slopes, -24 * (1 - sizes) ** 3, rtol=1e-12)


def test_memory_is_that_of_what_is_recorded(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    large = jnp.ones(1_000_000)
    with pytest.raises(ValueError, match=r"`num_steps` must fit in memory, but needs 72\.8 TiB"):
        iterate(Simultaneous(0.1), square, large, 10_000_000)
    with pytest.raises(ValueError, match=r"`num_steps` must fit in memory, but needs 72\.8 TiB"):
        iterate(Simultaneous(0.1), square, large, 10_000_000, record=lambda t, y, args: 2 * y)
    orbit = iterate(Simultaneous(1e-9), square, large, 3, record=lambda t, y, args: jnp.mean(y))
    assert orbit.ys.shape == (4,)


def test_what_is_no_function_cannot_record(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"`record` must be a function `\(t, y, args\)"):
        iterate(Simultaneous(0.1), toward, jnp.zeros(()), 2, args=jnp.ones(()), record="losses")
