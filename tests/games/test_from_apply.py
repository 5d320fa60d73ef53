"""A GAN of two functions of their parameters is the GAN of the same networks, and of a batch a game of its own."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_ode import distributions, fields, games, losses, regularizers
from gan_ode.games import Players
from tests.catalogue import gan

# Another order of a few sums, in products of one row and of many: measured up to 4e-16.
ROUNDING = 1e-13
# Central differences of step 1e-6 in one direction: cancellation 1e-10, truncation 1e-12. Measured up to 3e-10.
FINITE_DIFFERENCE = 5e-9

MODULES = gan(losses.Minimax())
BATCH = (jnp.asarray([[1.0, 0.5], [-0.2, 2.0], [0.3, 0.3]]), jnp.asarray([[0.3], [-0.9], [0.4]]))
PENALTIES = {
    "none": None,
    "r1": regularizers.R1(0.7),
    "r2": regularizers.R2(0.7),
    "wgan-gp": regularizers.WGANGP(0.7),
    "gradient norm": regularizers.GradientNorm(0.7),
}


def of_functions(batched: bool) -> games.AppliedGAN:
    """The same networks as functions, with the parameters in lists."""

    def network(player: Any) -> Any:
        leaves, structure = jax.tree.flatten(player)

        def apply(params: list[jax.Array], x: jax.Array, rest: Any) -> jax.Array:
            module = eqx.combine(jax.tree.unflatten(structure, params), rest)
            return jax.vmap(module)(x) if batched else module(x)

        return leaves, apply

    (d, d_apply), (g, g_apply) = network(MODULES.players.discriminator), network(MODULES.players.generator)
    return games.from_apply(
        lambda params, x: d_apply(params, x, MODULES.rest.discriminator),
        lambda params, z: g_apply(params, z, MODULES.rest.generator),
        losses.Minimax(),
        discriminator_params=d,
        generator_params=g,
        data=MODULES.data,
        latent=MODULES.latent,
        batched=batched,
    )


def velocities(game: Any) -> dict[str, np.ndarray]:
    """With every penalty, from one program."""

    @eqx.filter_jit
    def of_all(game: Any) -> dict[str, Any]:
        penalized = {
            name: game if penalty is None else regularizers.Penalized(game, penalty)
            for name, penalty in PENALTIES.items()
        }
        return {name: fields.GameField(each)(0.0, game.players, BATCH) for name, each in penalized.items()}

    return {name: np.asarray(ravel_pytree(velocity)[0]) for name, velocity in of_all(game).items()}


@pytest.fixture(scope="module")
def of_modules() -> dict[str, np.ndarray]:
    return velocities(MODULES)


@pytest.mark.parametrize("batched", [False, True], ids=["of a sample", "of a batch"])
def test_functions_have_the_velocities_of_the_modules_with_every_penalty(batched, of_modules):
    found = velocities(of_functions(batched))
    for name, expected in of_modules.items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=ROUNDING, err_msg=name)
    apart = [np.abs(of_modules[name] - of_modules["none"]).max() for name in PENALTIES if name != "none"]
    assert min(apart) > 1e-3, "a penalty does nothing"


# A batch whose scores depend on each other: D(x) = w (x - mean of the batch) + v, and G(z) = a z.


def centered(data: Any = distributions.Ring()) -> games.AppliedGAN:
    return games.from_apply(
        lambda params, x: (x - jnp.mean(x, axis=0)) @ params["w"] + params["v"],
        lambda params, z: params["a"] * z,
        losses.Minimax(),
        discriminator_params={"v": jnp.array(0.2), "w": jnp.array([0.5, -1.0])},
        generator_params={"a": jnp.array(0.8)},
        data=data,
        latent=distributions.Normal(2),
        batched=True,
    )


POINTS = (BATCH[0], jnp.asarray([[0.3, -1.0], [0.9, 0.4], [0.1, 0.2]]))


def losses_by_hand(flat: np.ndarray) -> np.ndarray:
    """Of both players, for v, w and a: minus E log s(D) + E log s(-D), and E log s(-D), in NumPy."""
    (v, *w), a = flat[:3], flat[3]
    data, made = np.asarray(POINTS[0]), a * np.asarray(POINTS[1])
    real, fake = ((part - part.mean(axis=0)) @ np.asarray(w) + v for part in (data, made))
    log_sigmoid = lambda score: -np.log1p(np.exp(-score))  # noqa: E731
    of_samples = np.mean(log_sigmoid(-fake))
    return np.array([-np.mean(log_sigmoid(real)) - of_samples, of_samples])


def test_scores_of_a_batch_are_scored_together_and_move_by_the_slope_of_their_losses():
    game = centered()
    y = np.asarray(ravel_pytree(game.players)[0])
    velocity = np.asarray(ravel_pytree(eqx.filter_jit(fields.GameField(game))(0.0, game.players, POINTS))[0])
    h = 1e-6
    slopes = np.stack([(losses_by_hand(y + step) - losses_by_hand(y - step)) / (2 * h) for step in h * np.eye(4)])
    # Minus each player's slope of its own loss. Scored one by one all would be v, and w stand still.
    np.testing.assert_allclose(velocity, -np.append(slopes[:3, 0], slopes[3, 1]), rtol=0, atol=FINITE_DIFFERENCE)
    assert np.abs(velocity[1:3]).min() > 1e-2


def test_the_slope_of_coupled_scores_is_that_of_their_sum():
    game = centered()
    data, _ = POINTS
    # The sum of centered scores is constant: R1 vanishes, though each score has a slope.
    penalty = regularizers.R1(1.0).losses(game, game.players, POINTS)
    assert abs(float(penalty.discriminator)) < ROUNDING
    assert np.ptp(game.scores(game.players.discriminator, data)) > 0.5


def test_a_game_of_functions_has_what_a_gan_has():
    params = {"w": np.array([1.0, 2.0]), "steps": 3, "seed": jnp.array(7)}
    game = games.from_apply(
        lambda params, x: params["w"] @ x * params["steps"],
        lambda params, z: params["a"] * z,
        losses.Wasserstein(),
        discriminator_params=params,
        generator_params={"a": jnp.array(2.0)},
        data=distributions.Normal(2),
        latent=distributions.Normal(2),
    )
    # The state holds the floating-point arrays alone, NumPy's too.
    assert [leaf.shape for leaf in jax.tree.leaves(game.players)] == [(2,), ()]
    discriminator, generator = game.modules(
        Players({**game.players.discriminator, "w": jnp.ones(2)}, game.players.generator)
    )
    assert float(discriminator(jnp.array([1.0, 1.5]))) == 7.5
    np.testing.assert_array_equal(generator(jnp.ones(2)), [2.0, 2.0])
    data, latent = game.sample(jax.random.key(0), 5)
    assert data.shape == (5, 2) and latent.shape == (5, 2)
    assert game.quadrature(3)[1].nodes.shape == (9, 2)
    with pytest.raises(ValueError, match=r"`args` must be a minibatch"):
        game.losses(game.players, None)


class Model:
    """What has a function of its parameters, and is none."""

    def apply(self, params: Any, x: Any) -> Any: ...

    def __call__(self, x: Any) -> Any: ...


GIVEN: dict[str, Any] = {
    "discriminator_apply": lambda params, x: jnp.sum(params * x),
    "generator_apply": lambda params, z: params * z,
    "loss": losses.Minimax(),
    "discriminator_params": jnp.ones(2),
    "generator_params": jnp.array(1.0),
    "data": distributions.Ring(),
    "latent": distributions.Normal(2),
}
BatchStat = type("BatchStat", (tuple,), {})
REFUSED = [
    ("discriminator_apply", Model(), "model.apply"),
    ("discriminator_apply", Model, "the class Model"),
    ("discriminator_apply", lambda params, rng, x: x, "without_apply_rng"),
    ("generator_apply", lambda z: z, "nnx.split"),
    ("generator_apply", 3.0, "model.apply"),
    ("generator_apply", lambda params, z: z[:1], "like the data, of shape \\(2,\\)"),
    ("discriminator_params", {"w": 3}, "model.init"),
    ("discriminator_params", {"params": jnp.ones(2), "batch_stats": jnp.ones(2)}, "'batch_stats'"),
    ("generator_params", [BatchStat((1.0,)), jnp.ones(2)], "nnx.Param, ..."),
    ("loss", losses.Minimax, "write `Minimax\\(\\)`"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), REFUSED)
def test_what_is_no_game_is_refused_with_a_remedy(name, value, remedy, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f"`{name}`.*{remedy}"):
        games.from_apply(**GIVEN | {name: value})


def test_scores_that_are_not_one_a_sample_are_refused():
    with pytest.raises(ValueError, match=r"one score for each sample, but returned shape \(2,\)"):
        games.from_apply(**GIVEN | {"discriminator_apply": lambda params, x: params * x})
    with pytest.raises(ValueError, match=r"`discriminator_apply` must return one score for each of the 2 samples"):
        games.from_apply(**GIVEN, batched=True)


def test_a_module_that_is_a_class_is_refused(monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`discriminator` must be an instance, but is the class MLP"):
        games.GAN(eqx.nn.MLP, eqx.nn.MLP, losses.Minimax(), data=GIVEN["data"], latent=GIVEN["latent"])
