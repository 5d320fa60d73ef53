"""How a patient is trained, every number of it an array: one program for all patients, seeds and treatments."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gan_ode import distributions, fields, games, losses, regularizers, updates
from gan_ode.games import Players

from ._data import Material, NUM_SAMPLES

_B1, _B2 = 0.5, 0.99


class Regimen(eqx.Module):
    """The numbers of a training.

    Attributes:
        rates: Each player's learning rate.
        floor: What Adam adds to the root of its second moment: 1e-8 for Adam as it is; with 1 its steps are nearly
            the rate times the gradient, with momentum.
        gamma: Weight of R1.
        eta: Weight of the gradient-norm regularizer.
        batch: Samples of a minibatch.
        head_start: Steps that the discriminator makes before the generator makes any.
        warm_up: Steps in which R1 has at least a weight of 1: a healthy start of what is left to itself afterwards.
        away: How far from where it is usual the generator's samples start, along each axis.
    """

    rates: Players
    floor: Any
    gamma: Any
    eta: Any
    batch: Any
    head_start: Any
    warm_up: Any
    away: Any


class Adam(eqx.Module):
    """Adam whose rate is an array: optimizers of other rates are of one program.

    Args:
        rate: The learning rate.
        floor: What is added to the root of the second moment.
    """

    rate: Any
    floor: Any

    def init(self, params: Any) -> Any:
        return _adam(self).init(params)

    def update(self, gradient: Any, memory: Any, params: Any = None) -> Any:
        return _adam(self).update(gradient, memory, params)


def _adam(like: Adam) -> optax.GradientTransformation:
    return optax.adam(like.rate, b1=_B1, b2=_B2, eps=like.floor)


def update_of(regimen: Regimen) -> updates.Optax:
    """The discriminator first, as in training."""
    return updates.Optax(Adam(regimen.rates.discriminator, regimen.floor), Adam(regimen.rates.generator, regimen.floor))


def field_of(gan: games.GAN, regimen: Regimen, *, treatable: bool = False) -> fields.GameField:
    """The field of the game with R1.

    Args:
        gan: The game.
        regimen: The numbers of the training.
        treatable: Whether with the gradient-norm regularizer, too, even of weight zero.
    """
    game: Any = regularizers.Penalized(gan, regularizers.R1(regimen.gamma))
    return fields.GameField(regularizers.Penalized(game, regularizers.GradientNorm(regimen.eta)) if treatable else game)


def treated(regimen: Regimen, name: str, weight: float, step_factor: float) -> Regimen:
    """The training with a remedy, all else the same; what changes the loss is not seen here.

    Args:
        regimen: The training without it.
        name: As `analysis.diagnose` names it.
        weight: Likewise.
        step_factor: On both rates, beside.
    """
    rates = Players(regimen.rates.discriminator * step_factor, regimen.rates.generator * step_factor)
    changes: dict[str, Any] = {"rates": rates}
    if name == "R1":
        changes["gamma"] = regimen.gamma + weight
    elif name == "gradient norm":
        changes["eta"] = regimen.eta + weight
    elif name == "ratio of rates":
        # Their product is kept, as the diagnosis has it.
        changes["rates"] = Players(rates.discriminator * weight**0.5, rates.generator / weight**0.5)
    elif name == "larger batch":
        changes["batch"] = weight
    elif name not in ("smaller step", "non-saturating loss"):
        raise ValueError(f"`name` must be a remedy that is tried in training, but is {name!r}.")
    fields_ = {
        field: getattr(regimen, field)
        for field in ("rates", "floor", "gamma", "eta", "batch", "head_start", "warm_up", "away")
    }
    return Regimen(**{**fields_, **changes})


def dosed(regimen: Regimen, most: int) -> Regimen:
    """The training with a whole number of samples that fits."""
    return eqx.tree_at(lambda r: r.batch, regimen, float(np.clip(np.ceil(regimen.batch), 1, most)))


def stacked(regimens: Sequence[Regimen]) -> Regimen:
    """Trainings with a leading axis, in single precision."""
    return jax.tree.map(lambda *numbers: jnp.asarray(numbers, jnp.float32), *regimens)


def minibatch(gan: games.GAN, key: PRNGKeyArray, num: Any, most: int) -> Any:
    """As many samples as are asked for of `most` that are drawn: the others weigh nothing."""
    data, latent = gan.sample(key, most)
    weights = jnp.where(jnp.arange(most) < num, 1 / num, 0.0).astype(jnp.float32)
    return distributions.Quadrature(data, weights), distributions.Quadrature(latent, weights)


@eqx.filter_jit
def train(
    material: Material,
    loss: losses.AbstractObjective,
    regimens: Regimen,
    seeds: Int[Array, " runs"],
    num_steps: int,
    save_every: int,
    seen_at: int,
    most: int,
) -> tuple[Any, dict[str, Float[Array, "runs saves"]]]:
    """Trainings side by side: each one's state and optimizers' memory after `seen_at` steps, and its measures."""

    def one(regimen: Regimen, seed: Array) -> Any:
        key = jax.random.key(seed)
        gan = material.gan(key, loss, regimen.away)
        update = update_of(regimen)
        waiting = update_of(eqx.tree_at(lambda r: r.rates.generator, regimen, 0.0 * regimen.rates.generator))
        batch_key = jax.random.fold_in(key, 1)

        def step(state: Any, n: Array) -> tuple[Any, None]:
            y, memory = state
            args = minibatch(gan, jax.random.fold_in(batch_key, n), regimen.batch, most)
            now = jax.tree.map(lambda a, b: jnp.where(n < regimen.head_start, a, b), waiting, update)
            gamma = jnp.where(n < regimen.warm_up, jnp.maximum(regimen.gamma, 1.0), regimen.gamma)
            field = field_of(gan, eqx.tree_at(lambda r: r.gamma, regimen, gamma), treatable=True)
            return now.step(field, 0.0, y, args, memory), None

        def until_save(states: Any, numbers: Array) -> tuple[Any, Any]:
            state, seen = states
            state, _ = jax.lax.scan(step, state, numbers)
            seen = jax.tree.map(lambda a, b: jnp.where(numbers[-1] + 1 == seen_at, a, b), state, seen)
            return (state, seen), judged(material, gan, state[0])

        numbers = jnp.arange(num_steps).reshape(-1, save_every)
        start = gan.players, update.init(field_of(gan, regimen), gan.players, None)
        (_, seen), found = jax.lax.scan(until_save, (start, start), numbers)
        return seen, found

    return jax.vmap(one)(regimens, seeds)


def judged(material: Material, gan: games.GAN, y: Players) -> dict[str, Array]:
    """The measures of a generator's samples, and the mean scores; latent points and data are the same every time."""
    discriminator, generator = gan.modules(y)
    made = jax.vmap(generator)(gan.latent.sample(jax.random.key(1000), NUM_SAMPLES))
    real = gan.data.sample(jax.random.key(1001), NUM_SAMPLES)
    scores = {"data_score": jnp.mean(jax.vmap(discriminator)(real)), "score": jnp.mean(jax.vmap(discriminator)(made))}
    return {**material.measure(made), **scores}
