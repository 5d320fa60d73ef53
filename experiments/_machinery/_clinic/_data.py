"""What the patients learn: a ring of normal modes, or handwritten digits; and what is measured of their samples."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from experiments._machinery import _stacks
from gan_ode import distributions, games, losses, networks
from gan_ode.analysis import samples

NUM_SAMPLES = 500
_RADIUS, _SPREAD, _WITHIN = 1.5, 0.1, 3.0
# So many samples near a mode, or named clearly, make it covered: a sixth of a mode's fair share.
_LEAST = {"ring": 10, "digits": 8}
_SQUASH = eqx.nn.Lambda(jnp.tanh)


class Material(eqx.Module):
    """Data, networks of the size that they need, and the measures.

    Attributes:
        name: "ring" or "digits".
        data: Where data are drawn from.
        latent: Where latent points are drawn from.
        classifier: Names digits; None for the ring.
        modes: How many modes there are.
        width: Hidden units of the networks.
    """

    name: str = eqx.field(static=True)
    data: distributions.AbstractDistribution
    latent: distributions.AbstractDistribution
    classifier: Any
    modes: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def gan(self, key: PRNGKeyArray, loss: losses.AbstractObjective, away: Any = 0.0) -> games.GAN:
        """The game at its start.

        Args:
            key: For the weights.
            loss: The loss.
            away: What is added to the last biases of the generator.
        """
        discriminator, generator = (_ring_players if self.name == "ring" else _digit_players)(key, self.width)
        generator = eqx.tree_at(_last_bias, generator, _last_bias(generator) + away)
        return games.GAN(discriminator, generator, loss, data=self.data, latent=self.latent)

    def measure(self, made: Float[Array, "num dim"]) -> dict[str, Array]:
        """Modes covered, share of the samples near a mode or clearly a digit, and energy distance to the data."""
        counts, quality = self._histogram(made)
        real = self.data.sample(jax.random.key(1001), made.shape[0])
        return {
            "modes": samples.modes_covered(counts, least=_LEAST[self.name]),
            "quality": quality,
            "distance": samples.energy_distance(made, real),
        }

    def _histogram(self, made: Float[Array, "num dim"]) -> tuple[Array, Array]:
        if self.classifier is None:
            found = samples.mode_measures(made, self.data, within=_WITHIN)  # pyright: ignore[reportArgumentType]
            return found.counts, found.quality
        images = made.reshape(-1, _stacks.SIZE, _stacks.SIZE)
        likely = jax.nn.softmax(jax.vmap(self.classifier)(images))
        clear = jnp.max(likely, axis=-1) > _stacks.CLEAR
        counts = samples.label_counts(jnp.where(clear, jnp.argmax(likely, axis=-1), -1), self.modes)
        return counts, jnp.mean(clear, dtype=made.dtype)


def ring(width: int = 32) -> Material:
    """Eight normal modes on a circle, and networks of two hidden layers of so many units."""
    data = distributions.Ring(8, jnp.asarray(_RADIUS, jnp.float32), jnp.asarray(_SPREAD, jnp.float32))
    return Material("ring", data, distributions.Normal(4), None, 8, width)


def digits(classifier_steps: int) -> Material:
    """The digits of scikit-learn as rows of 64 gray levels, and a classifier that is trained on them."""
    found = _stacks.load()
    classifier = _stacks.train_classifier(found, jax.random.key(999), classifier_steps)
    rows = found.images.reshape(len(found.images), -1)
    return Material("digits", Images(rows), distributions.Normal(16), classifier, _stacks.CLASSES, 48)


class Images(distributions.AbstractDistribution):
    """Rows, drawn with replacement.

    Args:
        rows: Single images.
    """

    rows: Float[Array, "num dim"]

    def sample(self, key: PRNGKeyArray, num: int) -> Float[Array, "num dim"]:
        return self.rows[jax.random.randint(key, (num,), 0, self.rows.shape[0])]

    def quadrature(self, num: int) -> distributions.Quadrature:
        return distributions.equal_weights(self.rows)


def _last_bias(generator: Any) -> Any:
    network: Any = generator if isinstance(generator, eqx.nn.MLP) else generator.layers[0]
    return network.layers[-1].bias


def _ring_players(key: PRNGKeyArray, width: int) -> tuple[Any, Any]:
    d_key, g_key = jax.random.split(key)
    discriminator = eqx.nn.MLP(2, "scalar", width, 2, activation=jnp.tanh, key=d_key)
    generator = eqx.nn.MLP(4, 2, width, 2, activation=jnp.tanh, key=g_key)
    return networks.orthogonal(discriminator, d_key, 1.4), networks.orthogonal(generator, g_key, 1.2)


def _digit_players(key: PRNGKeyArray, width: int) -> tuple[Any, Any]:
    d_key, g_key = jax.random.split(key)
    discriminator = eqx.nn.MLP(64, "scalar", width, 1, activation=jax.nn.softplus, key=d_key)
    body = eqx.nn.MLP(16, 64, width, 1, activation=jax.nn.softplus, key=g_key)
    generator = eqx.nn.Sequential([networks.orthogonal(body, g_key, 1.4), _SQUASH])
    return networks.orthogonal(discriminator, d_key, 1.0), generator
