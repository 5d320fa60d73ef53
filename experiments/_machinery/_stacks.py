"""Three digits stacked as the channels of one image: the data, the networks, and a classifier that names the mode."""

import bisect
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gan_ode import games
from gan_ode.analysis import samples
from gan_ode.distributions import AbstractDistribution, Quadrature

SIZE, CHANNELS, CLASSES = 8, 3, 10
MODES = CLASSES**CHANNELS
LATENT = 32
_BATCH, _RATE = 128, 2e-3
CLEAR = 0.9
_CHUNK = 500

_RECTIFY = eqx.nn.Lambda(jax.nn.relu)
_SQUASH = eqx.nn.Lambda(jnp.tanh)
_LEAK = eqx.nn.Lambda(functools.partial(jax.nn.leaky_relu, negative_slope=0.2))


class Digits(eqx.Module):
    """Images of single digits, with their labels.

    Attributes:
        images: Gray levels between -1 and 1.
        labels: Which digits they are.
    """

    images: Float[Array, "num height width"]
    labels: Int[Array, " num"]

    def part(self, chosen: Any) -> "Digits":
        return Digits(self.images[chosen], self.labels[chosen])


class Stacks(AbstractDistribution):
    """Three images drawn independently, with replacement, as the channels of one.

    Args:
        images: Single images, with a leading axis over them.
    """

    images: Float[Array, "num height width"]

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num 3 height width"]:
        return self.images[jax.random.randint(key, (num, CHANNELS), 0, self.images.shape[0])]

    def quadrature(self, num: int) -> Quadrature:
        raise ValueError(f"`Stacks` has {self.images.shape[0]}^{CHANNELS} points, too many to list: sample it.")


class ByMatrix(eqx.Module):
    """A convolution of small square images as one product with a matrix: the same function of the same parameters.

    On a CPU, XLA's own convolutions of images this small, above all their derivatives inside a scan, take some twenty
    times as long. The matrix is made from the kernel once for a whole batch.

    Args:
        layer: An `equinox.nn.Conv2d` or `equinox.nn.ConvTranspose2d` with a bias, of one stride, padding and kernel
            size along both axes, without groups, dilation or output padding.
    """

    layer: Any

    def __call__(self, x: Float[Array, "channels size size"], *, key: PRNGKeyArray | None = None) -> Array:
        """The convolved image; `key` is taken for `equinox.nn.Sequential`, and not used."""
        one_axis = jnp.asarray(_meetings(x.shape[-1], self.layer), x.dtype)
        size = one_axis.shape[0]
        # Rows first: both axes at once would multiply by far more zeros.
        rows = jnp.einsum("oik,cdkl->cdoil", one_axis, self.layer.weight)
        matrix = jnp.einsum("cdoil,pjl->copdij", rows, one_axis).reshape(-1, x.size)
        return (matrix @ x.reshape(-1)).reshape(-1, size, size) + self.layer.bias


def _meetings(size: int, layer: Any) -> np.ndarray:
    """Along one axis: 1 where output place o sees input place i through kernel place k, otherwise 0."""
    (kernel, *_), (stride, *_), ((padding, _), *_) = layer.kernel_size, layer.stride, layer.padding
    if isinstance(layer, eqx.nn.ConvTranspose):
        o, i, k = np.ogrid[: (size - 1) * stride - 2 * padding + kernel, :size, :kernel]
        return k == i * stride + kernel - 1 - padding - o
    o, i, k = np.ogrid[: (size + 2 * padding - kernel) // stride + 1, :size, :kernel]
    return k == i + padding - o * stride


class Shape(eqx.Module):
    """A layer that gives its input another shape."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        return x.reshape(self.shape)


def load() -> Digits:
    """The 1,797 handwritten digits that come with scikit-learn."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return Digits(jnp.asarray(found.images / 8 - 1, jnp.float32), jnp.asarray(found.target, jnp.int32))


def started(layer: Any, fan_in: int, key: PRNGKeyArray) -> Any:
    """The layer with weights that keep the size of signals, normal of variance 2 / fan-in, and biases of zero.

    Equinox's own start shrinks them by some ten times in each transposed convolution: all samples look alike, and the
    plain GAN collapses at once.

    Source: He et al. (2015), arXiv:1502.01852, equation 10.
    """
    weight = jnp.sqrt(2 / fan_in) * jax.random.normal(key, layer.weight.shape)
    return eqx.tree_at(lambda found: (found.weight, found.bias), layer, (weight, jnp.zeros_like(layer.bias)))


def make_generator(key: PRNGKeyArray, width: int) -> eqx.nn.Sequential:
    """From a latent point by two transposed convolutions, 2 x 2 to 4 x 4 to 8 x 8."""
    keys = jax.random.split(key, 3)
    # Of the 4 x 4 places of a kernel an output of stride 2 sees 2 x 2.
    first = eqx.nn.Linear(LATENT, 8 * width, key=key)
    second = eqx.nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, key=key)
    third = eqx.nn.ConvTranspose2d(width, CHANNELS, 4, stride=2, padding=1, key=key)
    return eqx.nn.Sequential(
        [
            started(first, LATENT, keys[0]),
            _RECTIFY,
            Shape((2 * width, 2, 2)),
            ByMatrix(started(second, 4 * 2 * width, keys[1])),
            _RECTIFY,
            ByMatrix(started(third, 4 * width, keys[2])),
            _SQUASH,
        ]
    )


def make_discriminator(key: PRNGKeyArray, width: int) -> eqx.nn.Sequential:
    """The generator's mirror image, with leaks for its rectified units, and a score for an end."""
    keys = jax.random.split(key, 3)
    first = eqx.nn.Conv2d(CHANNELS, width, 4, stride=2, padding=1, key=key)
    second = eqx.nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, key=key)
    third = eqx.nn.Linear(8 * width, "scalar", key=key)
    return eqx.nn.Sequential(
        [
            ByMatrix(started(first, 16 * CHANNELS, keys[0])),
            _LEAK,
            ByMatrix(started(second, 16 * width, keys[1])),
            _LEAK,
            Shape((8 * width,)),
            started(third, 8 * width, keys[2]),
        ]
    )


def num_parameters(module: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(module) if jnp.issubdtype(leaf.dtype, jnp.inexact))


def discriminator_width(share: float, generator_width: int) -> int:
    """The width whose discriminator has, as nearly as can be, a share of the generator's parameters."""
    wanted = share * _size(make_generator, generator_width)
    widths = range(1, 4 * generator_width)
    above = bisect.bisect(widths, wanted, key=lambda width: _size(make_discriminator, width))
    near = widths[max(above - 1, 0) : above + 1]
    return min(near, key=lambda width: abs(_size(make_discriminator, width) - wanted))


@functools.cache
def _size(make: Any, width: int) -> int:
    shapes = eqx.filter_eval_shape(lambda key: eqx.filter(make(key, width), eqx.is_inexact_array), jax.random.key(0))
    return num_parameters(shapes)


def mode(digits: Int[Array, "*batch 3"]) -> Int[Array, "*batch"]:
    """The mode of a stack of digits a, b, c: the number 100 a + 10 b + c."""
    return digits @ jnp.asarray([100, 10, 1], digits.dtype)


def classify(classifier: Any, stacks: Float[Array, "num 3 height width"]) -> Int[Array, " num"]:
    """The mode of each stack, by a classifier of single digits."""
    return mode(jnp.argmax(jax.vmap(jax.vmap(classifier))(stacks), axis=-1))


def accuracy(classifier: Any, digits: Digits) -> Float[Array, ""]:
    """Share of the digits that are named right."""
    return jnp.mean(jnp.argmax(jax.vmap(classifier)(digits.images), axis=-1) == digits.labels)


class Count(eqx.Module):
    """What is recorded of a state: which modes its generator makes, by the classifier. The latent points stay."""

    gan: games.GAN
    classifier: Any
    num: int = eqx.field(static=True)

    def __call__(self, t: jax.Array, y: games.Players, args: Any) -> dict[str, jax.Array]:
        generator = self.gan.modules(y)[1]
        keys = jax.random.split(jax.random.key(1000), -(-self.num // _CHUNK))

        def part(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            return named(self.classifier, jax.vmap(generator)(self.gan.latent.sample(key, _CHUNK)))

        found = jax.tree.map(lambda leaf: leaf.reshape(-1)[: self.num], jax.lax.map(part, keys))
        return measure(*found)


def named(classifier: Any, stacks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mode of each stack, and whether it is clear."""
    likely = jnp.max(jax.nn.softmax(jax.vmap(jax.vmap(classifier))(stacks)), axis=-1)
    return classify(classifier, stacks), jnp.all(likely > CLEAR, axis=-1)


def measure(modes: jax.Array, clear: jax.Array) -> dict[str, jax.Array]:
    counts = samples.label_counts(modes, MODES)
    return {
        "modes": samples.modes_covered(counts),
        # The label -1 is not counted.
        "clear_modes": samples.modes_covered(samples.label_counts(jnp.where(clear, modes, -1), MODES)),
        "divergence": samples.kl_divergence(counts),
        "clear": jnp.mean(clear, dtype=jnp.float32),
    }


@eqx.filter_jit
def train_classifier(digits: Digits, key: PRNGKeyArray, num_steps: int) -> Any:
    """A network of one hidden layer that names single digits, trained by Adam on the cross-entropy."""
    start_key, batch_key = jax.random.split(key)
    network = eqx.nn.MLP(SIZE * SIZE, CLASSES, 128, 1, key=start_key)
    classifier = eqx.nn.Sequential([Shape((SIZE * SIZE,)), network])
    params, rest = eqx.partition(classifier, eqx.is_inexact_array)
    adam = optax.adam(_RATE)

    def loss(params: Any, batch: Digits) -> Array:
        scores = jax.vmap(eqx.combine(params, rest))(batch.images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, batch.labels))

    def step(state: Any, n: Array) -> tuple[Any, None]:
        params, memory = state
        key = jax.random.fold_in(batch_key, n)
        batch = digits.part(jax.random.randint(key, (_BATCH,), 0, digits.labels.shape[0]))
        change, memory = adam.update(jax.grad(loss)(params, batch), memory)
        return (optax.apply_updates(params, change), memory), None

    (params, _), _ = jax.lax.scan(step, (params, adam.init(params)), jnp.arange(num_steps))
    return eqx.combine(params, rest)
