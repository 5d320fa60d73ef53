"""How networks start."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from gan_ode import distributions, games, losses, networks

# Products of a QR decomposition's factors, in float64: measured 1e-15; in float32: 5e-7.
ROUNDING = {np.float64: 1e-13, np.float32: 5e-6}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_shorter_side_of_every_weight_is_orthogonal_of_the_given_gain(dtype):
    mlp = networks.orthogonal(eqx.nn.MLP(5, 2, 3, 2, dtype=dtype, key=jax.random.key(0)), jax.random.key(1), 0.8)
    for layer, shape in zip(mlp.layers, [(3, 5), (3, 3), (2, 3)], strict=True):
        weight = np.asarray(layer.weight)
        assert (weight.shape, weight.dtype) == (shape, dtype)
        np.testing.assert_allclose(weight @ weight.T, 0.64 * np.eye(shape[0]), rtol=0, atol=ROUNDING[dtype])
        assert not np.any(layer.bias) and layer.bias.dtype == dtype


def test_a_weight_with_more_rows_than_columns_has_orthogonal_columns():
    layer = networks.orthogonal(eqx.nn.Linear(2, 7, use_bias=False, key=jax.random.key(0)), jax.random.key(1), 2.0)
    weight = np.asarray(layer.weight)
    np.testing.assert_allclose(weight.T @ weight, 4 * np.eye(2), rtol=0, atol=ROUNDING[np.float64])
    assert layer.bias is None


def test_a_convolution_is_orthogonal_as_a_matrix_of_outputs_by_all_inputs():
    convolution = networks.orthogonal(eqx.nn.Conv2d(3, 4, 2, key=jax.random.key(0)), jax.random.key(1))
    matrix = np.asarray(convolution.weight).reshape(4, 12)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), rtol=0, atol=ROUNDING[np.float64])
    assert convolution.bias.shape == (4, 1, 1) and not np.any(convolution.bias)


def test_layers_of_one_shape_get_different_weights():
    mlp = networks.orthogonal(eqx.nn.MLP(3, 3, 3, 1, key=jax.random.key(0)), jax.random.key(1))
    assert np.max(np.abs(mlp.layers[0].weight - mlp.layers[1].weight)) > 0.1


def test_what_is_no_layer_is_kept():
    norm = eqx.nn.LayerNorm(3)
    module = eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=jax.random.key(0)), norm, eqx.nn.Lambda(jnp.tanh)])
    drawn = networks.orthogonal(module, jax.random.key(1))
    assert jax.tree.structure(drawn) == jax.tree.structure(module)
    np.testing.assert_array_equal(drawn.layers[1].weight, norm.weight)


def test_the_players_of_the_ring_have_their_sizes_and_start():
    discriminator, generator = networks.ring_players(jax.random.key(0), jnp.float32)
    game = games.GAN(
        discriminator, generator, losses.Minimax(), data=distributions.Ring(), latent=distributions.Normal(256)
    )
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(part)) for part in (game.players.discriminator, game.players)]
    # 2-128-1, and with it 256-128-128-2.
    discriminators = 2 * 128 + 128 + 128 + 1
    assert sizes == [discriminators, discriminators + 256 * 128 + 128 + 128 * 128 + 128 + 128 * 2 + 2]
    assert {leaf.dtype for leaf in jax.tree.leaves(game.players)} == {jnp.dtype(jnp.float32)}
    # Rectified units and no biases: homogeneous of degree one. A power of two is exact.
    x = jnp.array([0.7, -1.9], jnp.float32)
    np.testing.assert_allclose(discriminator(2 * x), 2 * discriminator(x), rtol=1e-6, atol=0)
    # By hand: the input is divided by four.
    hidden, out = discriminator.layers[1].layers
    by_hand = np.asarray(out.weight) @ np.maximum(np.asarray(hidden.weight) @ (np.asarray(x) / 4), 0)
    np.testing.assert_allclose(discriminator(x), by_hand[0], rtol=1e-5, atol=0)


def test_a_gain_of_zero_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"`gain` must be above 0 and finite, but is 0\.0"):
        networks.orthogonal(eqx.nn.Linear(1, 1, key=jax.random.key(0)), jax.random.key(1), 0.0)


MATRICES = {
    "distinct": np.random.default_rng(1).normal(size=(3, 5)),
    "tall": np.random.default_rng(2).normal(size=(5, 3)),
    "others equal": np.diag([3.0, 1.0, 1.0]),
    "of rank one": np.outer([1.0, 2.0, -1.0, 0.5], [1.0, 0.0, 2.0, 1.0, 1.0, -1.0]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_spectral_norm_has_second_derivatives_where_the_largest_singular_value_is_simple(name):
    matrix = jnp.asarray(MATRICES[name])
    along, across = np.random.default_rng(3).normal(size=(2, *matrix.shape))
    gradient = jax.grad(networks.spectral_norm)
    value, turned = jax.jvp(gradient, (matrix,), (jnp.asarray(along),))
    left, _, right = np.linalg.svd(matrix)
    np.testing.assert_allclose(value, np.outer(left[:, 0], right[0]), rtol=0, atol=1e-12)
    step = 1e-5
    difference = (gradient(matrix + step * along) - gradient(matrix - step * along)) / (2 * step)
    # Differences have errors of step^2, over cubes of gaps near 1.
    np.testing.assert_allclose(turned, difference, rtol=0, atol=1e-7)
    # And the reverse of the forward is the reverse of the reverse.
    pulled = jax.grad(lambda w: jnp.vdot(gradient(w), across))(matrix)
    np.testing.assert_allclose(jnp.vdot(pulled, along), jnp.vdot(turned, across), rtol=1e-9)


def test_a_player_with_spectral_norms_of_matrices_of_low_rank_has_a_jacobian():
    weight = jnp.asarray(np.outer(np.arange(1.0, 5.0), [1.0, -2.0]))
    layer = eqx.tree_at(lambda found: found.weight, eqx.nn.Linear(2, 4, key=jax.random.key(0)), weight)
    hessian = jax.hessian(lambda w: jnp.sum(eqx.tree_at(lambda n: n.layer.weight, networks.SpectralNorm(layer), w)(
        jnp.array([0.3, -0.4])) ** 2))(weight)  # fmt: skip
    assert np.all(np.isfinite(hessian))
