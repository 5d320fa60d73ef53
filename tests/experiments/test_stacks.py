"""The pieces of the experiment `stacked_digits` that can be wrong on their own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import stacked_digits
from experiments._machinery import _stacks
from gan_ode.games import Players

# Single precision, sums of some hundred products of numbers near 1; measured 5e-7.
SAME = 1e-5


@pytest.fixture(scope="module")
def gray():
    """Images of one gray level each: they tell which image was drawn."""
    return jnp.broadcast_to(jnp.arange(10.0, dtype=jnp.float32)[:, None, None], (10, 8, 8))


def test_a_stack_of_a_b_and_c_is_mode_100a_10b_c():
    digits = jnp.asarray([[0, 0, 0], [1, 2, 3], [9, 0, 5], [9, 9, 9]])
    np.testing.assert_array_equal(_stacks.mode(digits), [0, 123, 905, 999])


def test_channels_are_drawn_independently_and_evenly(gray):
    stacks = _stacks.Stacks(gray).sample(jax.random.key(0), 60_000)
    assert stacks.shape == (60_000, 3, 8, 8)
    drawn = np.asarray(stacks[:, :, 0, 0]).astype(int)
    np.testing.assert_array_equal(stacks, np.broadcast_to(drawn[:, :, None, None], stacks.shape))
    counts = np.bincount(drawn @ [100, 10, 1], minlength=1000)
    # Chi-square of 999 degrees of freedom: five standard deviations around its mean.
    assert np.sum((counts - 60) ** 2 / 60) == pytest.approx(999, abs=5 * np.sqrt(2 * 999), rel=0)


def test_the_stacks_refuse_a_quadrature(gray):
    with pytest.raises(ValueError, match="sample it"):
        _stacks.Stacks(gray).quadrature(3)


def test_the_modes_of_stacks_are_those_of_a_classifier_of_single_digits(gray):
    digits = jnp.asarray([[1, 2, 3], [9, 0, 5]])

    def classifier(image):
        return jax.nn.one_hot(image[0, 0].astype(int), 10)

    np.testing.assert_array_equal(_stacks.classify(classifier, gray[digits]), [123, 905])
    modes, clear = _stacks.named(lambda image: 2 * classifier(image), gray[digits])
    np.testing.assert_array_equal(modes, [123, 905])
    # The largest of ten probabilities is e^2 / (e^2 + 9) = 0.45.
    assert not clear.any()
    assert _stacks.named(lambda image: 9 * classifier(image), gray[digits])[1].all()


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (eqx.nn.Conv2d(3, 5, 4, stride=2, padding=1, dtype=jnp.float32, key=jax.random.key(0)), 8),
        (eqx.nn.Conv2d(2, 3, 3, stride=1, padding=0, dtype=jnp.float32, key=jax.random.key(1)), 5),
        (eqx.nn.ConvTranspose2d(5, 3, 4, stride=2, padding=1, dtype=jnp.float32, key=jax.random.key(2)), 4),
        (eqx.nn.ConvTranspose2d(2, 3, 3, stride=2, padding=0, dtype=jnp.float32, key=jax.random.key(3)), 3),
    ],
    ids=["strided", "plain", "transposed", "transposed without padding"],
)
def test_a_convolution_by_matrix_is_the_convolution(layer, size):
    x = jax.random.normal(jax.random.key(4), (layer.in_channels, size, size), jnp.float32)
    np.testing.assert_allclose(_stacks.ByMatrix(layer)(x), layer(x), rtol=0, atol=SAME)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_discriminator_has_its_share_of_the_generators_parameters(share):
    width = _stacks.discriminator_width(share, 24)
    discriminator = _stacks.make_discriminator(jax.random.key(0), width)
    # Linear 32 to 192, kernels 48 x 24 x 4 x 4 and 24 x 3 x 4 x 4, biases.
    generator = 32 * 192 + 192 + 48 * 24 * 16 + 24 + 24 * 3 * 16 + 3
    size = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(discriminator, eqx.is_inexact_array)))
    # One channel more or less is 7 % of the size.
    assert size == pytest.approx(share * generator, rel=0.07, abs=0)


def test_the_start_keeps_the_size_of_signals():
    generator = _stacks.make_generator(jax.random.key(0), 24)
    z = jax.random.normal(jax.random.key(1), (200, _stacks.LATENT))
    before_squashing = jax.vmap(eqx.nn.Sequential(generator.layers[:-1]))(z)
    # He's start doubles the variance for units that are rectified: of latent points of variance 1 it makes 2, up to
    # what the border cuts off and so few channels scatter; measured 1.5.
    assert 0.7 < float(jnp.var(before_squashing)) < 4


def test_pictures_are_laid_out_in_rows():
    stacks = np.zeros((16, 3, 8, 8)) - 1
    stacks[5, 0] = 1  # second row, second column: red
    picture = stacked_digits.mosaic(stacks)
    assert picture.shape == (35, 35, 3)
    np.testing.assert_array_equal(picture[9:17, 9:17], np.broadcast_to([1.0, 0, 0], (8, 8, 3)))
    np.testing.assert_array_equal(picture[:8, :8], np.zeros((8, 8, 3)))


def test_what_is_recorded_counts_the_modes_of_the_generator():
    class Alone:
        latent = _stacks.Stacks(jnp.zeros((1, 8, 8)))

        def modules(self, y):
            return None, lambda z: z + y.generator

    def classifier(image):
        return 99 * jax.nn.one_hot(image[0, 0].astype(int), 10)

    found = _stacks.Count(Alone(), classifier, 600)(0.0, Players(None, jnp.full((3, 8, 8), 4.0)), None)
    assert int(found["modes"]) == 1
    np.testing.assert_allclose(found["divergence"], np.log(1000), rtol=1e-6, atol=0)
    assert float(found["clear"]) == 1
