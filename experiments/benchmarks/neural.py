"""What does training real networks cost, over bare JAX by hand and over PyTorch?

Two pairs of networks with ReLU: those of the paper's ring toy (generator 256-128-128-2, discriminator 2-128-1, 50,179
parameters) and small ones (generator 32-25-25-2, discriminator 2-25-25-1, 2,278 parameters), on minibatches of 512 in
float32. Timed are the field, and steps of Adam for both players at once, plain and with the gradient-norm penalty:

- `gan_ode`: `GameField`, and `iterate` with `updates.Optax`, the minibatch taken inside the scan;
- bare JAX: the same networks, gradients and steps written by hand, jitted, in one `jax.lax.scan`; the penalty in one
  backward pass as in the package, so that nothing but the package's own cost is seen;
- PyTorch, eager and compiled: one backward pass for both players, the penalty by double backward as one writes it
  there, Adam fused, on one thread or all, whichever is faster. Where PyTorch is not installed, or does not compile,
  that is said and the rows are left out.

All take the same minibatches, drawn before; rows named "drawn" draw a new one at every step. Before anything is timed,
the gradients of all are compared, and where some steps lead.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from experiments.benchmarks import _timing, _torch
from gan_ode import distributions, fields, games, iterate, losses, regularizers, updates

ETA = 0.5
RATE, FIRST_MOMENT = 1e-4, 0.5
BATCH_SIZE = 512
# Minibatches drawn before, and taken in turn.
NUM_BATCHES = 8
# Steps after which the roads are compared.
NUM_STEPS = 1000
STEPS_COMPARED = 20
# Rounding in sums of 512 terms of float32, and for the steps Adam's division by a small gradient: measured 5e-7, 8e-6.
GRADIENT_AGREEMENT, STEP_AGREEMENT = 1e-5, 1e-3
# Of the time of bare JAX, and of PyTorch eager on the ring networks.
BARE_TARGET, EAGER_TARGETS = 1.1, {"plain": 0.8, "regularized": 0.5}


@dataclasses.dataclass(frozen=True)
class Nets:
    """Sizes of the two networks, and how often the field is evaluated when it is timed."""

    name: str
    latent: int
    width: int
    discriminator_depth: int
    evaluations: int


RING = Nets("ring", latent=256, width=128, discriminator_depth=1, evaluations=50)
SMALL = Nets("small", latent=32, width=25, discriminator_depth=2, evaluations=300)


@functools.cache
def gan(nets: Nets) -> games.GAN:
    d_key, g_key = jax.random.split(jax.random.key(0))
    score = eqx.nn.MLP(2, "scalar", nets.width, nets.discriminator_depth, key=d_key)
    return games.GAN(
        eqx.nn.Sequential([eqx.nn.Lambda(lambda x: x / 4), score]),
        eqx.nn.MLP(nets.latent, 2, nets.width, 2, key=g_key),
        losses.Minimax(),
        data=distributions.Ring(),
        latent=distributions.Normal(nets.latent),
    )


@functools.cache
def batches_of(nets: Nets) -> games.Batch:
    """Data and latent points of all minibatches, with a leading axis over these."""
    keys = jax.random.split(jax.random.key(1), NUM_BATCHES)
    return jax.vmap(lambda key: gan(nets).sample(key, BATCH_SIZE))(keys)


def taken(table: Any, n: jax.Array | int) -> Any:
    return jax.tree.map(lambda leaf: leaf[n % NUM_BATCHES], table)


class Package:
    """The package's road."""

    def __init__(self, nets: Nets, regularized: bool, drawn: bool = False):
        game = gan(nets)
        self.y0, self.table = game.players, batches_of(nets)
        damped = regularizers.Penalized(game, regularizers.GradientNorm(ETA)) if regularized else game
        self.field = fields.GameField(damped)
        self._evaluate = eqx.filter_jit(self.field)
        adam = optax.adam(RATE, b1=FIRST_MOMENT)
        self.update = updates.Optax(adam, adam, order="simultaneous")
        key = jax.random.key(2)

        def batch(n: jax.Array) -> Any:
            return game.sample(jax.random.fold_in(key, n), BATCH_SIZE) if drawn else taken(self.table, n)

        self.batch = batch

    def gradients(self) -> games.Players:
        velocity = self._evaluate(0.0, self.y0, taken(self.table, 0))
        return jax.block_until_ready(jax.tree.map(jnp.negative, velocity))

    def evaluate(self, times: int) -> None:
        batch = taken(self.table, 0)
        for _ in range(times):
            jax.block_until_ready(self._evaluate(0.0, self.y0, batch))

    def train(self, num_steps: int) -> games.Players:
        orbit = iterate(self.update, self.field, self.y0, num_steps, batches=self.batch, save_every=num_steps)
        return jax.block_until_ready(orbit.final_state)


def network(layers: Any, x: jax.Array) -> jax.Array:
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    weight, bias = layers[-1]
    return x @ weight.T + bias


def value(discriminator: Any, generator: Any, batch: Any) -> jax.Array:
    data, latent = batch
    real = network(discriminator, data / 4)
    made = network(discriminator, network(generator, latent) / 4)
    return jnp.mean(jax.nn.log_sigmoid(real)) + jnp.mean(jax.nn.log_sigmoid(-made))


def gradients_by_hand(y: Any, batch: Any, regularized: bool) -> tuple[Any, Any]:
    """What each player descends."""
    discriminator, generator = y
    if not regularized:
        steepest, downhill = jax.grad(value, (0, 1))(discriminator, generator, batch)
        return jax.tree.map(jnp.negative, steepest), downhill
    steepest = jax.grad(value)(discriminator, generator, batch)

    def damped(generator: Any) -> jax.Array:
        here, along = jax.jvp(lambda d: value(d, generator, batch), (discriminator,), (steepest,))
        return here + 2 * ETA * along

    return jax.tree.map(jnp.negative, steepest), jax.grad(damped)(generator)


class Bare:
    """The same by hand in JAX."""

    def __init__(self, nets: Nets, regularized: bool, drawn: bool = False):
        discriminator, generator = gan(nets).modules(gan(nets).players)
        d, g = layers_of(discriminator.layers[1]), layers_of(generator)
        self.y0, self.table = (d, g), batches_of(nets)
        adam = optax.adam(RATE, b1=FIRST_MOMENT)
        key, game = jax.random.key(2), gan(nets)
        self._evaluate = jax.jit(functools.partial(gradients_by_hand, regularized=regularized))

        def one(carry: Any, n: jax.Array) -> tuple[Any, None]:
            y, memory = carry
            batch = game.sample(jax.random.fold_in(key, n), BATCH_SIZE) if drawn else taken(self.table, n)
            change, memory = adam.update(gradients_by_hand(y, batch, regularized), memory, y)
            return (optax.apply_updates(y, change), memory), None

        @functools.partial(jax.jit, static_argnames="num_steps")
        def train(y: Any, num_steps: int) -> Any:
            return jax.lax.scan(one, (y, adam.init(y)), jnp.arange(num_steps))[0][0]

        self._train = train

    def gradients(self) -> Any:
        return jax.block_until_ready(self._evaluate(self.y0, taken(self.table, 0)))

    def evaluate(self, times: int) -> None:
        batch = taken(self.table, 0)
        for _ in range(times):
            jax.block_until_ready(self._evaluate(self.y0, batch))

    def train(self, num_steps: int) -> Any:
        return jax.block_until_ready(self._train(self.y0, num_steps))


def layers_of(mlp: Any) -> list[tuple[jax.Array, jax.Array]]:
    return [(layer.weight, layer.bias) for layer in mlp.layers]


def roads(nets: Nets, regularized: bool) -> dict[str, Any]:
    """Every road that can be gone here, each checked against bare JAX."""
    found: dict[str, Any] = {"gan_ode": Package(nets, regularized), "bare JAX": Bare(nets, regularized)}
    rival = functools.partial(
        _torch.rival,
        found["bare JAX"].y0,
        batches_of(nets),
        eta=ETA if regularized else 0.0,
        rate=RATE,
        b1=FIRST_MOMENT,
    )
    for name, compiled in (("PyTorch eager", False), ("PyTorch compiled", True)):
        road = rival(compiled=compiled)
        if isinstance(road, str):
            print(f"{name}, {nets.name}, {game_name(regularized)}: left out, {road}")
        else:
            found[name] = road
            print(f"{name}, {nets.name}, {game_name(regularized)}: {road.threads} of its threads are fastest")
    start = flat(found["bare JAX"].y0)
    for name, road in found.items():
        agree(f"{name}: gradients", road.gradients(), found["bare JAX"].gradients(), GRADIENT_AGREEMENT)
        moved, expected = (flat(each.train(STEPS_COMPARED)) - start for each in (road, found["bare JAX"]))
        agree(f"{name}: {STEPS_COMPARED} steps", moved, expected, STEP_AGREEMENT)
    return found


def agree(name: str, left: Any, right: Any, tolerance: float) -> None:
    left, right = flat(left), flat(right)
    error = np.linalg.norm(left - right) / np.linalg.norm(right)
    if not error < tolerance:
        raise SystemExit(f"{name} differ from bare JAX by {error:.2g}, more than {tolerance:.2g}: nothing was timed.")


def flat(tree: Any) -> np.ndarray:
    return np.asarray(ravel_pytree(jax.tree.map(jnp.asarray, tree))[0])


def game_name(regularized: bool) -> str:
    return "regularized" if regularized else "plain"


def target(nets: Nets, kind: str, rival: str, game: str) -> float | None:
    if kind == "training" and rival == "bare JAX":
        return BARE_TARGET
    return EAGER_TARGETS[game] if kind == "training" and rival == "PyTorch eager" and nets is RING else None


def measure(rounds: int, num_steps: int = NUM_STEPS) -> _timing.Measured:
    tasks: dict[str, Callable[[], object]] = {}
    ratios: list[_timing.Ratio] = []
    for nets in (RING, SMALL):
        for regularized in (False, True):
            game = game_name(regularized)
            found = roads(nets, regularized)
            for name, road in found.items():
                tasks[f"field, {nets.name}, {game}: {name}"] = functools.partial(road.evaluate, nets.evaluations)
                tasks[f"training, {nets.name}, {game}: {name}"] = functools.partial(road.train, num_steps)
            for kind in ("field", "training"):
                label = f"{kind}, {nets.name}, {game}: "
                ratios += [
                    _timing.Ratio(f"{label}gan_ode", label + rival, target(nets, kind, rival, game))
                    for rival in found
                    if rival != "gan_ode"
                ]
        size = flat(gan(nets).players).size
        print(f"{nets.name}: {size:,} parameters, {nets.evaluations} evaluations, {num_steps:,} steps of Adam")
    drawn: dict[str, Callable[[], object]] = {
        f"training, ring, regularized, drawn: {name}": functools.partial(road(RING, True, drawn=True).train, num_steps)
        for name, road in (("gan_ode", Package), ("bare JAX", Bare))
    }
    mine, bare = drawn
    ratios.append(_timing.Ratio(mine, bare, BARE_TARGET))
    return _timing.interleaved(tasks | drawn, rounds), ratios


if __name__ == "__main__":
    asked = _timing.arguments(__doc__, rounds=5, quick="100 steps in the place of 1,000")
    raise SystemExit(_timing.report(*measure(asked.rounds, 100 if asked.quick else NUM_STEPS)))
