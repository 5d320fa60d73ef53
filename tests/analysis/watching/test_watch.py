"""A watch on training, against closed forms, dense matrices, and what a loop of one's own computes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import analysis, distributions, fields, games, iterate, losses, simulate, updates

# Of a multiplier found within the whole space: roundings of two products, measured 2e-14; in single precision 1e-6 of
# its distance from one.
EXACT, SINGLE = 1e-11, 1e-4
# Of one found by searching on at a fixed state, relative to its distance from one; its residual falls more slowly, and
# is allowed ten times that: measured 1e-4 and 1.5e-3.
SEARCHED = 1e-3
# Of a multiplier beside the equilibrium, by the distance to it: measured 1e-3.
NEAR = 5e-3

DIRAC = fields.GameField(games.Dirac(losses.Wasserstein()))
H = 0.05
EULER = updates.Simultaneous(H)


def small_circle(dtype=float):
    return games.Players(jnp.asarray(1e-4, dtype), jnp.asarray(0.0, dtype))


def test_a_growing_spiral_is_flagged_while_the_circle_is_small_and_with_its_closed_form():
    lines = []
    watch = analysis.Watch(DIRAC, EULER, tell=lambda reading: lines.append(str(reading)))
    orbit = iterate(EULER, DIRAC, small_circle(), 4 * watch.interval, record=watch, save_every=watch.interval)
    history = watch.history(orbit)
    jax.effects_barrier()
    # The multiplier is 1 + ih: from the fourth reading on the run is called cycling, since the first one.
    np.testing.assert_allclose(history.multiplier, 1 + 1j * H, rtol=EXACT)
    np.testing.assert_allclose(history.period, 2 * np.pi / np.arctan(H), rtol=EXACT)
    np.testing.assert_allclose(history.growth, (1 + H**2) ** (np.pi / np.arctan(H)), rtol=EXACT)
    np.testing.assert_array_equal(history.cycling, [False, False, True, True, True])
    assert history.onset == 0
    distance = 1e-4 * (1 + H**2) ** (np.asarray(history.step)[2] / 2)
    assert distance < 5e-4
    # So far apart are the ways between readings.
    np.testing.assert_allclose(history.path_angle[2:], np.cos(watch.interval * np.arctan(H)), rtol=1e-8)
    np.testing.assert_allclose(history.rotation_share, 1.0, rtol=EXACT)
    np.testing.assert_allclose(history.speed, 1e-4 * (1 + H**2) ** (np.asarray(history.step) / 2), rtol=1e-9)
    assert np.isnan(history.noise).all()
    # One live line for each reading.
    assert len(lines) == 5 and "CYCLING since step 0: period about 126 steps, growing 17 % a turn" in lines[-1]
    assert "CYCLING" not in lines[1] and str(history).startswith("5 readings, cycling since step 0")
    dataset = history.dataset
    np.testing.assert_array_equal(dataset["step"], np.arange(5) * watch.interval)
    assert dataset["cycling"].values.tolist() == history.cycling.tolist() and "speed_generator" in dataset


def test_a_watch_goes_through_a_checkpoint_to_the_same_readings(tmp_path):
    watch = analysis.Watch(DIRAC, EULER, interval=10)

    def run(num_steps, folder):
        options = {"record": watch, "save_every": 10, "checkpoint": simulate.Checkpoint(folder, every=20)}
        return iterate(EULER, DIRAC, small_circle(), num_steps, **options)

    run(20, tmp_path / "a")
    resumed, whole = run(40, tmp_path / "a"), run(40, tmp_path / "b")
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), resumed.ys, whole.ys))
    assert whole.ys.onset == 0


def test_a_converging_spiral_is_never_flagged():
    # Eigenvalues -1/20 +- i sqrt(391)/60: the path comes back, and its mode is known to die out.
    field = fields.GameField(games.LinearQuadratic(losses.Minimax()))
    h = 0.2
    watch, update = analysis.Watch(field, updates.Simultaneous(h), interval=25), updates.Simultaneous(h)

    def train(w, a):
        y0 = games.Players(jnp.array(w), jnp.array(a))
        return iterate(update, field, y0, 200, record=watch, save_every=25).ys

    near, far = train(0.01, 1.01), train(0.3, 1.2)
    assert (np.asarray(near.path_angle) < 0).any() and not (near.turning | near.back).any()
    assert near.onset is None and far.onset is None and "dying" in str(near)
    eigenvalue = -1 / 20 + 1j * np.sqrt(391) / 60
    # The state is 1e-2 from the equilibrium at first, and at the end a tenth of that: so near is the multiplier.
    change = near.change.real + 1j * np.abs(near.change.imag)
    np.testing.assert_allclose(change[-1], h * eigenvalue, rtol=NEAR)


def player(key, sizes, dtype):
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        jax.random.normal(k, (m, n), dtype) / np.sqrt(m) for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def network(weights, x):
    for weight in weights[:-1]:
        x = jnp.tanh(x @ weight)
    return x @ weights[-1]


@pytest.fixture(scope="module", params=[jnp.float64, jnp.float32], ids=["double", "single"])
def training(request):
    """A small GAN in a loop by hand with Optax, as somebody writes it who knows nothing of the package."""
    dtype = request.param
    d_params, g_params = player(jax.random.key(1), (2, 4, 1), dtype), player(jax.random.key(2), (2, 4, 2), dtype)
    adam = optax.adam(1e-2, b1=0.5)
    gan = games.from_apply(
        network,
        network,
        losses.Minimax(),
        discriminator_params=d_params,
        generator_params=g_params,
        data=distributions.Ring(),
        latent=distributions.Normal(2),
        batched=True,
    )
    data = jax.random.normal(jax.random.key(3), (16, 2), dtype) + 1
    latent = jax.random.normal(jax.random.key(4), (16, 2), dtype)

    def value(d_params, g_params):
        real, made = network(d_params, data), network(d_params, network(g_params, latent))
        return jnp.mean(jax.nn.log_sigmoid(real)) + jnp.mean(jax.nn.log_sigmoid(-made))

    @jax.jit
    def step(d_params, g_params, d_state, g_state):
        d_slope, g_slope = jax.grad(value, (0, 1))(d_params, g_params)
        d_change, d_state = adam.update(jax.tree.map(jnp.negative, d_slope), d_state)
        g_change, g_state = adam.update(g_slope, g_state)
        d_params, g_params = optax.apply_updates(d_params, d_change), optax.apply_updates(g_params, g_change)
        return d_params, g_params, d_state, g_state

    run = (d_params, g_params, adam.init(d_params), adam.init(g_params))
    for _ in range(50):
        run = step(*run)
    update = updates.Optax(adam, adam, order="simultaneous")
    return fields.GameField(gan), update, step, run, (data, latent)


def test_in_a_loop_with_optax_the_leading_multiplier_is_that_of_the_dense_step(training):
    field, update, step, (d_params, g_params, *memory), batch = training
    y, memory = games.Players(d_params, g_params), games.Players(*memory)
    numbers = jax.tree.leaves((d_params, g_params))
    double = numbers[0].dtype == jnp.float64
    watch = analysis.Watch(field, update, num_products=8)
    state = watch.init(y, batch, memory)
    for _ in range(60):
        state, reading = watch(state, y, batch, memory)
    # The step by hand, as a matrix, in state and memory.
    arrays = (d_params, g_params, *(part.mu for part in (memory.discriminator[0], memory.generator[0])))
    arrays += tuple(part.nu for part in (memory.discriminator[0], memory.generator[0]))
    flat, restore = ravel_pytree(arrays)

    def by_hand(x):
        d, g, d_mu, g_mu, d_nu, g_nu = restore(x)
        d_state = (memory.discriminator[0]._replace(mu=d_mu, nu=d_nu), memory.discriminator[1])
        g_state = (memory.generator[0]._replace(mu=g_mu, nu=g_nu), memory.generator[1])
        d, g, d_state, g_state = step(d, g, d_state, g_state)
        return ravel_pytree((d, g, d_state[0].mu, g_state[0].mu, d_state[0].nu, g_state[0].nu))[0]

    values = np.linalg.eigvals(np.asarray(jax.jacfwd(by_hand)(flat), float))
    score = np.log(np.abs(values) + 1e-300) + np.abs(np.angle(values)) / 4
    leading = values[np.argmax(score)]
    leading = leading.real + 1j * abs(leading.imag)
    found = complex(reading.multiplier)
    assert abs(found.real + 1j * abs(found.imag) - leading) < SEARCHED * abs(leading - 1)
    assert float(reading.residual) < 10 * SEARCHED * abs(leading - 1)
    # Its halves tell the noise of a minibatch, and its speed is that of the loop's own gradients.
    half = [jax.tree.leaves(field(0.0, y, (batch[0][s], batch[1][s]))) for s in (slice(8), slice(8, 16))]
    apart = np.sqrt(sum(np.sum((np.asarray(a) - np.asarray(b)) ** 2) for a, b in zip(*half, strict=True)))
    whole = np.sqrt(sum(np.sum(np.asarray(leaf, float) ** 2) for leaf in jax.tree.leaves(field(0.0, y, batch))))
    tolerance = EXACT if double else SINGLE
    np.testing.assert_allclose(reading.noise, min(apart / 2 / whole, 1.0), rtol=tolerance)
    np.testing.assert_allclose(reading.speed, whole, rtol=tolerance)
    assert all(leaf.dtype != jnp.float64 or double for leaf in jax.tree.leaves((state, reading)))


def test_a_watch_runs_inside_a_program_and_on_pairs_of_arrays():
    def field(t, y, args):
        return -y[1], y[0]

    watch = analysis.Watch(field, EULER, interval=7)

    @jax.jit
    def train(y):
        def one(carry, _):
            y, state = carry
            state, reading = watch(state, y)
            y = jax.tree.map(lambda a, v: a + H * v, y, field(0.0, y, None))
            return (y, state), reading

        return jax.lax.scan(one, (y, watch.init(y)), length=3)[1]

    history = train((jnp.asarray(1e-3, jnp.float32), jnp.asarray(0.0, jnp.float32)))
    np.testing.assert_array_equal(history.step, [0, 7, 14])
    np.testing.assert_allclose(np.abs(history.change), H, rtol=SINGLE)
    assert history.onset == 0 and history.speeds is not None and history.speed.dtype == jnp.float32


def test_what_cannot_be_watched_is_refused_by_name():
    with pytest.raises(ValueError, match="`field` must be a field, but is the game Dirac"):
        analysis.Watch(games.Dirac(losses.Wasserstein()), EULER)
    with pytest.raises(
        ValueError, match=r"`update` must be a rule from `gan_ode.updates`, but is the class Simultaneous"
    ):
        analysis.Watch(DIRAC, updates.Simultaneous)
    with pytest.raises(ValueError, match="`num_products` must be at least 4"):
        analysis.Watch(DIRAC, EULER, num_products=1)
    with pytest.raises(ValueError, match="`tell` must be a function of a reading"):
        analysis.Watch(DIRAC, EULER, tell=3)
    watch = analysis.Watch(DIRAC, updates.Optax(optax.adam(0.1), optax.adam(0.1)))
    state = watch.init(small_circle())
    with pytest.raises(ValueError, match="`memory` must be given for `Optax`"):
        watch(state, small_circle())
    with pytest.raises(ValueError, match="`found` must be an orbit of readings"):
        watch.history(iterate(EULER, DIRAC, small_circle(), 1))
    with pytest.raises(ValueError, match="`record` must be a function"):
        iterate(EULER, DIRAC, small_circle(), 1, record=analysis.Watch)


def test_by_default_readings_cost_a_thirtieth_of_the_steps_by_count():
    watch = analysis.Watch(DIRAC, EULER)
    assert watch.cost == 1 + 5 + 13 and watch.cost <= watch.interval / 33 < watch.cost + 0.1
    assert analysis.Watch(DIRAC, EULER, num_probes=3, num_products=4).cost == 1 + 13 + 9
