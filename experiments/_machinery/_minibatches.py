"""Many runs of minibatch descent, and two small networks for it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gan_ode import distributions, fields, games, iterate, losses, noise, simulate, updates
from gan_ode.games import Players


def networks(config: Any) -> xr.Dataset:
    """Mean sample of a small generator along many runs and paths from one start."""
    gan, population = make_networks(config.seed)
    field, h, size = fields.GameField(gan), jnp.asarray(config.network_step_size), config.network_batch_size
    keys = jax.random.split(jax.random.key(config.seed + 200), 2)
    every = config.network_steps // 20
    steps = train(
        field, gan, gan.players, h, size, config.network_steps, every, config.network_runs, keys[0]
    )  # fmt: skip
    ts = h * jnp.arange(0, config.network_steps + 1, every)
    paths = simulate.paths(
        noise.of_minibatches(field, h, size, order=2), gan.players, ts, key=keys[1], num_paths=config.network_runs,
        step_size=h / 4, args=population,
    ).ys  # fmt: skip

    @jax.jit
    def mean_sample(ys: Players) -> jax.Array:
        def one(y: Players) -> jax.Array:
            return jnp.mean(jax.vmap(lambda z: gan.generate(y.generator, z))(population[1]))

        return jax.vmap(jax.vmap(one))(ys)

    return xr.Dataset(
        {
            "network_steps": (("network_run", "network_time"), mean_sample(steps)),
            "network_paths": (("network_run", "network_time"), mean_sample(paths)),
        },
        coords={"network_time": np.asarray(ts)},
        attrs={"num_parameters": sum(leaf.size for leaf in jax.tree.leaves(gan.players))},
    )


def make_networks(seed: int) -> tuple[games.GAN, Any]:
    """Two networks with four hidden units each, and sixty-four data and latent points that are the population."""
    d_key, g_key, data_key, latent_key = jax.random.split(jax.random.key(seed), 4)
    gan = games.GAN(
        eqx.nn.MLP("scalar", "scalar", 4, 1, activation=jnp.tanh, key=d_key),
        eqx.nn.MLP("scalar", "scalar", 4, 1, activation=jnp.tanh, key=g_key),
        losses.Minimax(),
        data=distributions.Empirical(1.0 + 0.5 * jax.random.normal(data_key, (64,))),
        latent=distributions.Empirical(jax.random.normal(latent_key, (64,))),
    )
    return gan, (gan.data.points, gan.latent.points)  # pyright: ignore[reportAttributeAccessIssue]


@eqx.filter_jit
def train(
    field: Any,
    game: Any,
    y0: Players,
    h: jax.Array,
    size: int,
    num_steps: int,
    save_every: int,
    num_runs: int,
    key: Any,
) -> Players:
    """Runs of simultaneous minibatch steps: states by run and time."""

    def one(key: Any) -> Players:
        def batch(n: jax.Array) -> Any:
            return game.sample(jax.random.fold_in(key, n), size)

        return iterate(updates.Simultaneous(h), field, y0, num_steps, batches=batch, save_every=save_every).ys

    return jax.vmap(one)(jax.random.split(key, num_runs))
