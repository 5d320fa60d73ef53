"""Makes the moving pictures of the documentation: `python docs/animations.py`. They are kept in `docs/figures`."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from gan_ode import distributions, fields, flow, games, iterate, losses, plot, regularizers, updates
from gan_ode.games import Players

FIGURES = Path(__file__).parent / "figures"
LATENT, WIDTH, NUM_STEPS, SAVE_EVERY, BATCH = 8, 64, 6_000, 100, 256


def rules() -> None:
    """The flow and three rules on the Wasserstein Dirac-GAN."""
    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    y0 = Players(jnp.array(0.0), jnp.array(1.0))
    taken = {
        "simultaneous": updates.Simultaneous(0.1),
        "alternating": updates.Alternating(0.1),
        "optimistic": updates.Optimistic(0.1),
    }
    steps = {name: iterate(update, field, y0, 150) for name, update in taken.items()}
    orbit = flow(field, y0, steps["simultaneous"].ts)
    plot.animate(
        {"flow": orbit, **steps}, FIGURES / "rules.webp", field=field, xlim=(-2, 2), ylim=(-2, 2), num_frames=75,
        dpi=110,
    )  # fmt: skip


def ring() -> None:
    """A small GAN in training on a ring of eight modes, with and without R1."""
    keys = jax.random.split(jax.random.key(0), 3)
    discriminator = eqx.nn.MLP(2, "scalar", WIDTH, 2, jax.nn.tanh, key=keys[0])
    generator = eqx.nn.MLP(LATENT, 2, WIDTH, 2, jax.nn.tanh, key=keys[1])
    ring = distributions.Ring()
    gan = games.GAN(discriminator, generator, losses.NonSaturating(), data=ring, latent=distributions.Normal(LATENT))
    update = updates.Optax(optax.adam(1e-3, b1=0.5), optax.adam(1e-3, b1=0.5))
    points = distributions.Normal(LATENT).sample(jax.random.key(9), 800)

    def shown(y: Players) -> jax.Array:
        _, network = gan.modules(y)
        return jax.vmap(network)(points)

    runs = {
        name: iterate(
            update, fields.GameField(game), gan.players, NUM_STEPS, save_every=SAVE_EVERY,
            batches=lambda step, key=keys[2]: gan.sample(jax.random.fold_in(key, step), BATCH),
        )
        for name, game in {"no penalty": gan, "R1": regularizers.Penalized(gan, regularizers.R1(0.1))}.items()
    }  # fmt: skip
    plot.animate(runs, FIGURES / "ring_training.webp", samples=shown, mixture=ring, num_frames=60, dpi=100)


def main() -> None:
    for make in (rules, ring):
        make()


if __name__ == "__main__":
    main()
