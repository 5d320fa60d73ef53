"""A small GAN in training, for the tests and for the processes that they start and kill."""

import functools
import os
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from gan_ode import distributions, games, iterate, losses, simulate
from gan_ode.fields import GameField
from gan_ode.regularizers import GradientNorm, Penalized
from gan_ode.updates import Optax

NUM_STEPS, SAVE_EVERY = 60, 6
ETA = 0.5


@functools.cache
def gan(dtype: Any = None) -> games.GAN:
    d_key, g_key = jax.random.split(jax.random.key(3))
    discriminator = eqx.nn.MLP(2, "scalar", 8, 1, activation=jnp.tanh, dtype=dtype, key=d_key)
    generator = eqx.nn.MLP(3, 2, 8, 1, activation=jnp.tanh, dtype=dtype, key=g_key)
    return games.GAN(
        discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(3)
    )


@functools.cache
def field(eta: float = ETA) -> GameField:
    return GameField(Penalized(gan(), GradientNorm(eta)))


@functools.cache
def adam(rate: float = 1e-2) -> Optax:
    return Optax(optax.adam(rate, b1=0.5), optax.adam(rate, b1=0.5), order="simultaneous")


@functools.cache
def batches(seed: int = 0) -> Any:
    """Batches of a hidden array and the step's number; random ones would take as long to compile as all the rest."""
    phases = jnp.linspace(0.0, 9.0 + seed, 8 * 5).reshape(8, 5)

    def batch(n: Any) -> Any:
        drawn = jnp.cos(phases + phases * n)
        return 2 * drawn[:, :2], drawn[:, 2:]

    return batch


def losses_and_time(t: Any, y: Any, args: Any) -> Any:
    return t, gan().losses(y, args)


def train(num_steps: int = NUM_STEPS, **options: Any) -> simulate.Orbit:
    chosen = {
        "update": adam(), "field": field(), "y0": gan().players, "batches": batches(),
        "save_every": SAVE_EVERY, "record": losses_and_time,
    } | options  # fmt: skip
    return iterate(chosen.pop("update"), chosen.pop("field"), chosen.pop("y0"), num_steps, **chosen)


if __name__ == "__main__":
    # With the widths of the tests, a checkpoint at every step, and for ever: somebody kills it.
    jax.config.update("jax_enable_x64", True)

    def told(n: int, num_steps: int) -> None:
        print(n, flush=True)

    checkpoint = simulate.Checkpoint(sys.argv[1], every=int(os.environ.get("EVERY", "1")))
    train(SAVE_EVERY * 10**5, progress=told, checkpoint=checkpoint)
