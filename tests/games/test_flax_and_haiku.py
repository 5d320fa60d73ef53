"""Networks of Flax (linen and nnx) and of Haiku are the GAN of Equinox modules with the same weights."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_ode import analysis, distributions, fields, games, iterate, losses, updates

nn = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
hk = pytest.importorskip("haiku")

# Another order of a few sums, of numbers up to 1: measured up to 2e-16.
ROUNDING = 1e-13
# Central differences of step 1e-6 in one direction: cancellation 1e-10, truncation 1e-12. Measured up to 2e-10.
FINITE_DIFFERENCE = 5e-9

RNG = np.random.default_rng(0)
W, B = [RNG.normal(size=(2, 3)), RNG.normal(size=(3, 1))], [RNG.normal(size=3), RNG.normal(size=1)]
A, C = RNG.normal(size=(2, 2)), RNG.normal(size=2)
BATCH = (jnp.asarray(RNG.normal(size=(4, 2))), jnp.asarray(RNG.normal(size=(4, 2))))
SPACES: dict[str, Any] = {"data": distributions.Ring(), "latent": distributions.Normal(2)}


def dense(weight: np.ndarray, bias: np.ndarray, names: tuple[str, str]) -> dict[str, jax.Array]:
    """Both libraries multiply from the left, with weights of shape `(inputs, outputs)`."""
    return dict(zip(names, map(jnp.asarray, (weight, bias)), strict=True))


def linen() -> games.AppliedGAN:
    names = ("kernel", "bias")
    discriminator = nn.Sequential([nn.Dense(3, param_dtype=float), jnp.tanh, nn.Dense(1, param_dtype=float)])
    params = {"params": {"layers_0": dense(W[0], B[0], names), "layers_2": dense(W[1], B[1], names)}}
    generator = nn.Dense(2, param_dtype=float)
    return games.from_apply(
        discriminator.apply, generator.apply, losses.Minimax(), discriminator_params=params,
        generator_params={"params": dense(A, C, names)}, **SPACES,
    )  # fmt: skip


class Network(nnx.Module):
    """The discriminator, with a dropout that is switched off, whose keys are among its state."""

    def __init__(self, rngs: Any):
        self.first = nnx.Linear(2, 3, rngs=rngs, param_dtype=float)
        self.drop = nnx.Dropout(0.5, rngs=rngs, deterministic=True)
        self.last = nnx.Linear(3, 1, rngs=rngs, param_dtype=float)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(self.drop(jnp.tanh(self.first(x))))


def of_nnx() -> games.AppliedGAN:
    discriminator, generator = Network(nnx.Rngs(0)), nnx.Linear(2, 2, rngs=nnx.Rngs(1), param_dtype=float)
    for layer, weight, bias in ((discriminator.first, W[0], B[0]), (discriminator.last, W[1], B[1]), (generator, A, C)):
        layer.kernel[...], layer.bias[...] = jnp.asarray(weight), jnp.asarray(bias)
    d_graph, d_params = nnx.split(discriminator)
    g_graph, g_params = nnx.split(generator)
    return games.from_apply(
        lambda params, x: nnx.merge(d_graph, params)(x), lambda params, z: nnx.merge(g_graph, params)(z),
        losses.Minimax(), discriminator_params=d_params, generator_params=g_params, **SPACES,
    )  # fmt: skip


def haiku() -> games.AppliedGAN:
    discriminator = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([3, 1], activation=jnp.tanh)(x)))
    generator = hk.without_apply_rng(hk.transform(lambda z: hk.Linear(2)(z)))
    names = ("w", "b")
    params = {"mlp/~/linear_0": dense(W[0], B[0], names), "mlp/~/linear_1": dense(W[1], B[1], names)}
    return games.from_apply(
        discriminator.apply, generator.apply, losses.Minimax(), discriminator_params=params,
        generator_params={"linear": dense(A, C, names)}, **SPACES,
    )  # fmt: skip


def equinox() -> games.GAN:
    """The same weights, transposed."""
    keys = jax.random.split(jax.random.key(0), 3)
    layers = [eqx.nn.Linear(2, 3, key=keys[0]), eqx.nn.Linear(3, 1, key=keys[1]), eqx.nn.Linear(2, 2, key=keys[2])]
    first, last, generator = (
        eqx.tree_at(lambda each: (each.weight, each.bias), layer, (jnp.asarray(weight.T), jnp.asarray(bias)))
        for layer, weight, bias in zip(layers, [*W, A], [*B, C], strict=True)
    )
    discriminator = eqx.nn.Sequential([first, eqx.nn.Lambda(jnp.tanh), last])
    return games.GAN(discriminator, generator, losses.Minimax(), **SPACES)


def velocity(game: Any, batch: Any = BATCH) -> Any:
    return eqx.filter_jit(fields.GameField(game))(0.0, game.players, batch)


def sorted_numbers(part: Any) -> np.ndarray:
    """All numbers of a player, whatever they are called: equal for equal weights, in other orders."""
    return np.sort(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(part)]))


@pytest.fixture(scope="module")
def expected() -> Any:
    return velocity(equinox())


LIBRARIES = [linen, of_nnx, haiku]


@pytest.mark.parametrize("library", LIBRARIES, ids=["linen", "nnx", "haiku"])
def test_a_library_s_network_has_the_velocity_of_the_same_modules(library: Callable, expected: Any):
    game = library()
    found = velocity(game)
    for player in ("discriminator", "generator"):
        here, there = getattr(found, player), getattr(expected, player)
        np.testing.assert_allclose(sorted_numbers(here), sorted_numbers(there), rtol=0, atol=ROUNDING)
    assert jax.tree.structure(found) == jax.tree.structure(game.players)
    assert float(jnp.abs(sorted_numbers(found.discriminator)).max()) > 0.1


@pytest.mark.parametrize("library", LIBRARIES, ids=["linen", "nnx", "haiku"])
def test_a_library_s_parameters_are_a_state_that_is_trained_and_put_back(library: Callable):
    game = library()
    rule = updates.Optax(optax.adam(1e-2), optax.adam(1e-2))
    y = iterate(rule, fields.GameField(game), game.players, 1, args=BATCH).final_state
    discriminator, generator = game.modules(y)
    assert discriminator(jnp.ones(2)).shape == (1,) and generator(jnp.ones(2)).shape == (2,)
    # The first step of Adam has the size of the rate, in each parameter, but for its `eps` of 1e-8 over the slope.
    moved = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.tree.map(jnp.subtract, y, game.players))])
    np.testing.assert_allclose(np.abs(moved), 1e-2, rtol=1e-4)


def test_an_analysis_takes_a_library_s_parameters():
    game = linen()
    share = analysis.rotation_share(fields.GameField(game), game.players, args=BATCH)
    assert 0 < float(share) < 1


# Layers that make no field as they are.


class Normalized(nn.Module):
    """Batch normalization of the input, and a linear score."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.BatchNorm(use_running_average=not train, param_dtype=float, epsilon=1e-2)(x)
        return nn.Dense(1, param_dtype=float)(x)


NORMALIZED = Normalized()
STATISTICS = {"BatchNorm_0": {"mean": jnp.array([0.5, -1.0]), "var": jnp.array([2.0, 0.25])}}
PARAMS = {
    "BatchNorm_0": {"scale": jnp.array([1.5, 0.5]), "bias": jnp.array([0.1, 0.2])},
    "Dense_0": {"kernel": jnp.array([[0.7], [-0.4]]), "bias": jnp.array([0.3])},
}


def normalized(apply: Callable, batched: bool) -> games.AppliedGAN:
    return games.from_apply(
        apply, lambda params, z: params * z, losses.Minimax(), discriminator_params=PARAMS,
        generator_params=jnp.array(0.8), batched=batched, **SPACES,
    )  # fmt: skip


def value_by_hand(kernel: np.ndarray, mean: Any, variance: Any) -> float:
    """The value of the game in NumPy, for a kernel; mean and variance are given, or those of each batch."""

    def scores(points: np.ndarray) -> np.ndarray:
        middle, spread = (points.mean(0), points.var(0)) if mean is None else (mean, variance)
        scale, bias = (np.asarray(PARAMS["BatchNorm_0"][name]) for name in ("scale", "bias"))
        return ((points - middle) / np.sqrt(spread + 1e-2) * scale + bias) @ kernel + 0.3

    data, made = np.asarray(BATCH[0]), 0.8 * np.asarray(BATCH[1])
    return float(-np.mean(np.log1p(np.exp(-scores(data)))) - np.mean(np.log1p(np.exp(scores(made)))))


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen statistics", "statistics of the batch"])
def test_batch_normalization_moves_by_the_slope_of_the_value(frozen):
    if frozen:
        variables = {"batch_stats": STATISTICS}
        game = normalized(lambda p, x: NORMALIZED.apply({"params": p, **variables}, x, train=False), batched=False)
        mean, variance = (np.asarray(STATISTICS["BatchNorm_0"][name]) for name in ("mean", "var"))
    else:

        def apply(params: Any, x: jax.Array) -> jax.Array:
            # What the running averages become is dropped: no player chooses them.
            variables = {"params": params, "batch_stats": STATISTICS}
            return NORMALIZED.apply(variables, x, train=True, mutable=["batch_stats"])[0]

        game, mean, variance = normalized(apply, batched=True), None, None
    kernel, h = np.array([0.7, -0.4]), 1e-6
    expected = [
        (value_by_hand(kernel + step, mean, variance) - value_by_hand(kernel - step, mean, variance)) / (2 * h)
        for step in h * np.eye(2)
    ]
    found = velocity(game).discriminator["Dense_0"]["kernel"]
    np.testing.assert_allclose(np.ravel(found), expected, rtol=0, atol=FINITE_DIFFERENCE)


def test_statistics_among_the_parameters_are_refused():
    variables = NORMALIZED.init(jax.random.key(0), BATCH[0], train=True)
    with pytest.raises(ValueError, match="also holds the collections 'batch_stats'"):
        games.from_apply(
            NORMALIZED.apply, lambda params, z: params * z, losses.Minimax(), discriminator_params=variables,
            generator_params=jnp.array(1.0), **SPACES,
        )  # fmt: skip
    _, state = nnx.split(nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="also holds variables of `BatchStat`"):
        games.from_apply(
            lambda params, x: x[0], lambda params, z: params * z, losses.Minimax(), discriminator_params=state,
            generator_params=jnp.array(1.0), **SPACES,
        )  # fmt: skip


def test_a_mask_that_is_drawn_once_makes_a_field():
    dropped = nn.Dropout(0.5, deterministic=False)
    key = jax.random.key(3)
    game = games.from_apply(
        lambda params, x: dropped.apply({}, params * x, rngs={"dropout": key}) @ jnp.ones(2),
        lambda params, z: params * z, losses.Wasserstein(), discriminator_params=jnp.ones(2),
        generator_params=jnp.array(1.0), **SPACES,
    )  # fmt: skip
    # What is kept counts twice, what is dropped not at all: w' = mask (E x - E z).
    mask = np.asarray(dropped.apply({}, jnp.ones(2), rngs={"dropout": key}))
    apart = np.mean(np.asarray(BATCH[0]), axis=0) - np.mean(np.asarray(BATCH[1]), axis=0)
    np.testing.assert_allclose(velocity(game).discriminator, mask * apart, rtol=0, atol=ROUNDING)
