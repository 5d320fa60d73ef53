"""Which Equinox modules are players: one suite over every kind, and what is refused."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import distributions, games, iterate, losses, networks, regularizers
from gan_ode.fields import GameField
from gan_ode.updates import Simultaneous

# Central differences of step 1e-5 in one direction, relative to a slope above one: cancellation 1e-11, and truncation
# where a norm bends the field. Measured up to 3e-9, with the group norm.
FINITE_DIFFERENCE = 2e-8
# Another order of a few sums: measured 0 for the outputs.
ROUNDING = 1e-12
ETA = 0.7


class Recurrent(eqx.Module):
    """Scores a sequence of numbers by the last state of a recurrent cell."""

    cell: eqx.nn.GRUCell
    readout: eqx.nn.Linear

    def __init__(self, key):
        self.cell = eqx.nn.GRUCell(1, 3, key=key)
        self.readout = eqx.nn.Linear(3, "scalar", key=key)

    def __call__(self, x):
        start = jnp.zeros(3, x.dtype)
        last, _ = jax.lax.scan(lambda state, number: (self.cell(number[None], state), None), start, x)
        return self.readout(last)


class Attentive(eqx.Module):
    """Scores a sequence of numbers by attention among them."""

    embed: eqx.nn.Linear
    attend: eqx.nn.MultiheadAttention
    norm: eqx.nn.RMSNorm

    def __init__(self, key):
        self.embed = eqx.nn.Linear(1, 4, key=key)
        self.attend = eqx.nn.MultiheadAttention(2, 4, key=key)
        self.norm = eqx.nn.RMSNorm(4)

    def __call__(self, x):
        tokens = jax.vmap(self.embed)(x[:, None])
        return jnp.sum(jax.vmap(self.norm)(tokens + self.attend(tokens, tokens, tokens)), keepdims=True)[0]


def chain(*layers):
    return eqx.nn.Sequential([layer if isinstance(layer, eqx.Module) else eqx.nn.Lambda(layer) for layer in layers])


def keys():
    return iter(jax.random.split(jax.random.key(11), 8))


def linear(inputs, outputs, key):
    return eqx.nn.Linear(inputs, outputs, key=key)


def small_generator(key):
    return chain(linear(2, 4, key), jnp.tanh)


def image_generator():
    k = keys()
    return chain(
        linear(2, 8, next(k)),
        lambda x: x.reshape(2, 2, 2),
        jnp.tanh,
        eqx.nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1, key=next(k)),
    )


def image_discriminator(wrap=lambda layer: layer, norm=lambda x: x):
    k = keys()
    return chain(
        wrap(eqx.nn.Conv2d(1, 4, 3, stride=2, padding=1, key=next(k))),
        norm,
        jnp.tanh,
        jnp.ravel,
        wrap(linear(16, "scalar", next(k))),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    discriminator: Callable[[], Any]
    generator: Callable[[], Any] = lambda: small_generator(jax.random.key(12))
    shape: tuple[int, ...] = (4,)


IMAGE = {"generator": image_generator, "shape": (1, 4, 4)}
KINDS = {
    "convolutional": Kind(image_discriminator, **IMAGE),
    "convolutional, spectral norm": Kind(lambda: image_discriminator(wrap=networks.SpectralNorm), **IMAGE),
    "convolutional, group norm": Kind(lambda: image_discriminator(norm=eqx.nn.GroupNorm(2, 4)), **IMAGE),
    "recurrent": Kind(lambda: Recurrent(jax.random.key(1))),
    "attention": Kind(lambda: Attentive(jax.random.key(1))),
    "weight and layer norm": Kind(
        lambda: chain(
            eqx.nn.WeightNorm(linear(4, 5, jax.random.key(1))),
            eqx.nn.LayerNorm(5),
            # Equinox's chain hands a key to every module, which this one does not take.
            eqx.nn.Lambda(eqx.nn.PReLU()),
            linear(5, 1, jax.random.key(2)),
        )
    ),
    "spectral norm in both": Kind(
        lambda: chain(*(networks.SpectralNorm(linear(4, n, jax.random.key(n))) for n in (4, 1))),
        lambda: networks.SpectralNorm(linear(2, 4, jax.random.key(3))),
    ),
}


@functools.cache
def modules(kind):
    return kind.discriminator(), kind.generator()


@functools.cache
def gan(kind):
    return games.GAN(
        *modules(kind), losses.NonSaturating(),
        data=distributions.Empirical(batch(kind)[0]), latent=distributions.Normal(2),
    )  # fmt: skip


def batch(kind, num=5):
    """Fixed numbers, so that nothing depends on a random one."""
    size = int(np.prod(kind.shape))
    data = np.cos(1.7 * np.arange(num * size)).reshape(num, *kind.shape)
    return jnp.asarray(data), jnp.asarray(np.sin(2.3 * np.arange(num * 2)).reshape(num, 2))


@functools.cache
def report(kind):
    """Everything that is measured of a kind of players, from one compilation."""
    game = gan(kind)
    damped = regularizers.Penalized(game, regularizers.GradientNorm(ETA))
    args, y = batch(kind), game.players
    direction = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), y)

    def slopes(player):
        """Central differences of both games' losses along the player's direction."""

        def losses_at(size):
            moved = jax.tree.map(lambda leaf, by: leaf + size * by, getattr(y, player), getattr(direction, player))
            there = eqx.tree_at(lambda players: getattr(players, player), y, moved)
            return jnp.stack([getattr(each.losses(there, args), player) for each in (game, damped)])

        ahead, behind = jax.vmap(losses_at)(jnp.array([1e-5, -1e-5]))
        return (ahead - behind) / 2e-5

    @jax.jit
    def measure():
        velocities = [GameField(each)(0.0, y, args) for each in (game, damped)]
        inner = {
            player: jnp.stack([_dot(getattr(v, player), getattr(direction, player)) for v in velocities])
            for player in ("discriminator", "generator")
        }
        differences = {player: slopes(player) for player in inner}
        pairs = [game.modules(y), modules(kind)]
        outputs = [(discriminator(args[0][0]), generator(args[1][0])) for discriminator, generator in pairs]
        return velocities, inner, differences, outputs

    return measure()


def _dot(left, right):
    return ravel_pytree(left)[0] @ ravel_pytree(right)[0]


ALL = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@ALL
def test_the_state_is_the_parameters_alone_and_makes_the_modules_again(kind):
    game = gan(kind)
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(game.players))
    again, original = report(kind)[-1]
    assert again[1].shape == kind.shape
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=ROUNDING), again, original)


@ALL
def test_each_velocity_regularized_or_not_is_minus_the_finite_difference_of_the_own_loss(kind):
    (plain, damped), inner, differences, _ = report(kind)
    for player in ("discriminator", "generator"):
        assert np.abs(inner[player]).max() > 1e-3, "the direction says nothing"
        atol = FINITE_DIFFERENCE * max(1, np.abs(inner[player]).max())
        np.testing.assert_allclose(inner[player], -differences[player], rtol=0, atol=atol)
    assert np.abs(ravel_pytree(damped)[0] - ravel_pytree(plain)[0]).max() > 1e-3, "the regularizer does nothing"


def test_float32_stays_float32_in_training():
    kind = KINDS["convolutional, spectral norm"]
    game = gan(kind)
    damped = GameField(regularizers.Penalized(game, regularizers.GradientNorm(np.float64(ETA))))
    y0, args = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (game.players, batch(kind)))
    with jax.numpy_dtype_promotion("strict"):
        orbit = iterate(
            Simultaneous(0.1), damped, y0, 3, args=args, save_every=3, record=lambda t, y, z: game.losses(y, z)
        )
    assert {leaf.dtype for leaf in jax.tree.leaves((orbit.final_state, orbit.ys))} == {jnp.dtype(jnp.float32)}
    moved = ravel_pytree(orbit.final_state)[0] - ravel_pytree(y0)[0]
    assert 1e-3 < np.abs(moved).max() < 1
    assert np.all(np.isfinite(orbit.ys.discriminator))


# Spectral normalization.


@pytest.mark.parametrize(
    "layer",
    [
        linear(5, 3, jax.random.key(0)),
        linear(5, "scalar", jax.random.key(0)),
        eqx.nn.Conv2d(2, 3, 3, key=jax.random.key(0)),
        eqx.nn.ConvTranspose2d(2, 3, 3, key=jax.random.key(0)),
    ],
    ids=["linear", "scalar", "convolution", "transposed"],
)
def test_the_weight_has_spectral_norm_one(layer):
    x = jnp.asarray(np.cos(np.arange(5.0)) if layer.weight.ndim == 2 else np.cos(np.arange(72.0)).reshape(2, 6, 6))
    norm = np.linalg.svd(np.asarray(layer.weight).reshape(layer.weight.shape[0], -1))[1].max()
    found, full, bias = jax.jit(lambda: (networks.SpectralNorm(layer)(x), layer(x), layer(0 * x)))()
    np.testing.assert_allclose(found, (full - bias) / norm + bias, rtol=0, atol=ROUNDING)


def test_it_is_where_the_power_iteration_of_equinox_ends():
    layer, x = linear(5, 3, jax.random.key(4)), jnp.cos(jnp.arange(5.0))

    @jax.jit
    def both():
        normed = functools.partial(eqx.nn.SpectralNorm, layer, "weight", num_power_iterations=60)
        iterated, state = eqx.nn.make_with_state(normed)(key=jax.random.key(1))
        return networks.SpectralNorm(layer)(x), iterated(x, state)[0]

    found, expected = both()
    # What is left is (s2 / s1)^120 = 1e-14, as s2 / s1 = 0.76: measured 3e-17.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_a_score_of_normed_layers_is_no_steeper_than_one():
    module = chain(
        *(networks.SpectralNorm(linear(4, n, jax.random.key(n))) if n else jnp.tanh for n in (4, 0, 4, 0, 1))
    )
    x = jnp.asarray(np.random.default_rng(0).normal(size=(100, 4)))
    slopes = jax.jit(jax.vmap(jax.grad(lambda point: module(point)[0])))(x)
    assert 0.1 < np.linalg.norm(slopes, axis=1).max() <= 1 + ROUNDING


def test_the_field_points_nowhere_along_a_normed_weight():
    # The score does not change under W -> c W: the velocity of W is orthogonal to W.
    kind = KINDS["spectral norm in both"]
    (plain, damped), *_ = report(kind)
    for velocity in (plain, damped):
        weight, speed = gan(kind).players.generator.layer.weight, velocity.generator.layer.weight
        assert abs(jnp.vdot(weight, speed)) < ROUNDING < 1e-3 < jnp.linalg.norm(speed)


def test_a_layer_without_a_weight_cannot_be_normed():
    with pytest.raises(ValueError, match="`layer` must have a `weight` of two axes or more, but is MLP"):
        networks.SpectralNorm(eqx.nn.MLP(2, 2, 4, 1, key=jax.random.key(0)))


# What is refused.


class Counting(eqx.Module):
    """Carries the number of calls."""

    index: eqx.nn.StateIndex

    def __init__(self):
        self.index = eqx.nn.StateIndex(jnp.zeros(()))

    def __call__(self, x):
        return x


REFUSED = {
    "batch norm": (
        lambda: eqx.nn.BatchNorm(4, axis_name="batch", mode="batch"),
        r"\.layers\[1\]` must not be of `equinox.nn.BatchNorm`: its statistics couple the samples .*"
        r"`equinox.nn.GroupNorm` or `LayerNorm`, or the weights, by `gan_ode.networks.SpectralNorm`",
    ),
    "spectral norm with memory": (
        lambda: eqx.nn.SpectralNorm(linear(4, 4, jax.random.key(0)), "weight", key=jax.random.key(1)),
        r"\.layers\[1\]` must not be of `equinox.nn.SpectralNorm`: it carries the vectors of a power iteration .*"
        r"`gan_ode.networks.SpectralNorm\(layer\)`",
    ),
    "state": (Counting, r"\.layers\[1\]\.index` must not be of `equinox.nn.StateIndex`: the layer that holds it"),
    "dropout": (
        lambda: eqx.nn.Dropout(0.5),
        r"\.layers\[1\]` must not be of `equinox.nn.Dropout`: it draws random numbers .* `equinox.nn.inference_mode",
    ),
}


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_field_is_refused_with_a_remedy(name, player, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    make, message = REFUSED[name]
    fine = {"discriminator": linear(4, 1, jax.random.key(0)), "generator": small_generator(jax.random.key(0))}
    broken = chain(linear(4 if player == "discriminator" else 2, 4, jax.random.key(0)), make())
    with pytest.raises(ValueError, match=f"`{player}{message}"):
        games.GAN(
            **(fine | {player: broken}), loss=losses.Minimax(), data=distributions.Normal(4),
            latent=distributions.Normal(2),
        )  # fmt: skip


def test_dropout_that_is_off_is_no_hindrance():
    off = eqx.nn.inference_mode(chain(linear(4, 1, jax.random.key(0)), eqx.nn.Dropout(0.5)))
    game = games.GAN(
        off, small_generator(jax.random.key(2)), losses.Minimax(), data=distributions.Normal(4),
        latent=distributions.Normal(2),
    )  # fmt: skip
    x = jnp.ones(4)
    assert game.discriminate(game.players.discriminator, x) == off.layers[0](x)[0]
