"""What does the package cost on neural fields, over a bare scan of the same field?

The ring toy: a generator 256-128-128-2 and a discriminator 2-128-1 with ReLU, minibatches of 512, float32. The field of
the regularized game is timed against that of the plain one, and fixed Euler steps by `flow` and simultaneous steps by
`iterate` against a jitted `jax.lax.scan`.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from experiments.benchmarks import _timing
from gan_ode import distributions, fields, flow, games, iterate, losses, networks, regularizers, updates

NUM_EVALUATIONS = 30
NUM_STEPS = 300
STEP_SIZE = 1e-3


def ring_toy() -> games.GAN:
    discriminator, generator = networks.ring_players(jax.random.key(0))
    return games.GAN(
        discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(256)
    )


@eqx.filter_jit
def bare_scan(field, y0, batch):
    """Euler steps as one would write them by hand."""

    def one(y, _):
        velocity = field(0.0, y, batch)
        return jax.tree.map(lambda leaf, speed: leaf + STEP_SIZE * speed, y, velocity), None

    return jax.lax.scan(one, y0, length=NUM_STEPS)[0]


def measure(rounds: int) -> _timing.Measured:
    gan = ring_toy()
    y0, batch = gan.players, gan.sample(jax.random.key(1), 512)
    plain = fields.GameField(gan)
    damped = fields.GameField(regularizers.Penalized(gan, regularizers.GradientNorm(0.5)))
    ts = jnp.array([0.0, NUM_STEPS * STEP_SIZE])
    update = updates.Simultaneous(STEP_SIZE)

    def evaluations(field):
        evaluate = eqx.filter_jit(field)

        def task():
            for _ in range(NUM_EVALUATIONS):
                jax.block_until_ready(evaluate(0.0, y0, batch))

        return task

    def steps(field, name: str):
        return {
            f"bare scan, {name}": lambda: jax.block_until_ready(bare_scan(field, y0, batch)),
            f"flow, {name}": lambda: jax.block_until_ready(
                flow(field, y0, ts, args=batch, solver=diffrax.Euler(), step_size=STEP_SIZE).final_state
            ),
            f"iterate, {name}": lambda: jax.block_until_ready(
                iterate(update, field, y0, NUM_STEPS, args=batch, save_every=NUM_STEPS).final_state
            ),
        }

    tasks = {"field, plain": evaluations(plain), "field, regularized": evaluations(damped)}
    tasks |= steps(plain, "plain") | steps(damped, "regularized")
    ratios = [_timing.Ratio("field, regularized", "field, plain", 1.25)]
    for name in ("plain", "regularized"):
        ratios += [_timing.Ratio(f"{road}, {name}", f"bare scan, {name}", 1.3) for road in ("flow", "iterate")]
    print(f"{NUM_EVALUATIONS} evaluations, {NUM_STEPS} Euler steps, {count(y0):,} parameters, {dtype_of(y0)}")
    return _timing.interleaved(tasks, rounds), ratios


def count(y0) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(y0))


def dtype_of(y0) -> str:
    return str(jax.tree.leaves(y0)[0].dtype)


if __name__ == "__main__":
    raise SystemExit(_timing.report(*measure(_timing.arguments(__doc__, rounds=9).rounds)))
