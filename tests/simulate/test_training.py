"""Training as an update: recorded quantities, minibatches under any rule, runs in segments."""

import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from gan_ode import games, iterate
from gan_ode.fields import GameField
from gan_ode.games import Players
from gan_ode.regularizers import GradientNorm, Penalized
from gan_ode.simulate import OUTCOMES
from gan_ode.updates import Alternating, Optax, Simultaneous, SolverStep

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


def test_what_is_no_array_cannot_be_recorded():
    with pytest.raises(ValueError, match=r"`record` must return a pytree of arrays, but at `\['activation'\]`"):
        iterate(
            Simultaneous(0.1), toward, jnp.zeros(()), 2, args=jnp.ones(()),
            record=lambda t, y, args: {"activation": jnp.tanh, "y": y},
        )  # fmt: skip


# Minibatches under any rule. The value is b d g with a minibatch b: d' = b g, g' = -b d - 2 eta b^2 g.

H, ETA = 0.3, 0.5


def product(y, args):
    value = args * y.discriminator * y.generator
    return Players(-value, value)


def velocity(b, d, g):
    return np.array([b * g, -b * d - 2 * ETA * b**2 * g])


def heun(b, d, g):
    here = velocity(b, d, g)
    return np.array([d, g]) + H / 2 * (here + velocity(b, *(np.array([d, g]) + H * here)))


def classic(b, d, g):
    """The classic Runge-Kutta step of a linear field is its series to the fourth order."""
    matrix = H * np.array([[0, b], [-b, -2 * ETA * b**2]])
    step = sum(np.linalg.matrix_power(matrix, n) / factorial for n, factorial in enumerate((1, 1, 2, 6, 24)))
    return step @ [d, g]


def alternating(b, d, g):
    d = d + H * velocity(b, d, g)[0]
    return d, g + H * velocity(b, d, g)[1]


class Classic(diffrax.AbstractERK):
    """The classic Runge-Kutta rule."""

    term_structure = diffrax.ODETerm
    interpolation_cls = diffrax.LocalLinearInterpolation
    tableau = diffrax.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]),
        b_sol=np.array([1, 2, 2, 1]) / 6,
        b_error=np.zeros(4),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
    )

    def order(self, terms):
        return 4


@pytest.mark.parametrize(
    ("update", "by_hand"),
    [
        (Simultaneous(H), lambda b, d, g: np.array([d, g]) + H * velocity(b, d, g)),
        (Alternating(H), alternating),
        (SolverStep(diffrax.Heun(), H), heun),
        (SolverStep(Classic(), H), classic),
        (Optax(optax.sgd(H), optax.sgd(H), step_size=H), alternating),
    ],
    ids=["simultaneous", "alternating", "Heun", "Runge-Kutta 4", "Optax"],
)
def test_a_minibatch_is_held_for_the_whole_step_and_the_regularizer_sees_it(update, by_hand):
    field = GameField(Penalized(games.FromLosses(product), GradientNorm(ETA)))
    expected = [(0.7, -0.4)]
    for n in range(6):
        expected.append(by_hand(np.cos(2.0 * n), *expected[-1]))
    start = Players(jnp.asarray(0.7), jnp.asarray(-0.4))
    orbit = iterate(update, field, start, 6, batches=lambda n: jnp.cos(2.0 * n))
    np.testing.assert_allclose(np.stack([orbit.ys.discriminator, orbit.ys.generator], 1), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(orbit.ts, H * np.arange(7), rtol=ROUNDING)


def test_adam_with_the_regularizer_and_minibatches_is_its_algorithm():
    # Kingma and Ba (2015), algorithm 1, with beta1 = 0.5, the discriminator first.
    rate, b1, b2 = 0.1, 0.5, 0.999
    y, m, v = np.array([0.7, -0.4]), np.zeros(2), np.zeros(2)
    expected = [y.copy()]
    for n in range(6):
        for player in (0, 1):
            slope = -velocity(np.cos(2.0 * n), *y)[player]
            m[player] = b1 * m[player] + (1 - b1) * slope
            v[player] = b2 * v[player] + (1 - b2) * slope**2
            y[player] -= rate * m[player] / (1 - b1 ** (n + 1)) / (np.sqrt(v[player] / (1 - b2 ** (n + 1))) + 1e-8)
        expected.append(y.copy())
    field = GameField(Penalized(games.FromLosses(product), GradientNorm(ETA)))
    adam, start = optax.adam(rate, b1=b1), Players(jnp.asarray(0.7), jnp.asarray(-0.4))
    orbit = iterate(Optax(adam, adam), field, start, 6, batches=lambda n: jnp.cos(2.0 * n))
    # Measured 3e-17.
    np.testing.assert_allclose(np.stack([orbit.ys.discriminator, orbit.ys.generator], 1), expected, rtol=0, atol=1e-14)
