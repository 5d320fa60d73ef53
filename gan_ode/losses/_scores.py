from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Scalar


class Scores(eqx.Module):
    """The scores of weighted data and samples: all that a loss sees of a game.

    Attributes:
        data: The score of each datum.
        samples: The score of each generated sample.
        data_weights: The weights of the data, of sum 1.
        sample_weights: Those of the samples.
        rows: Whether datum and sample of the same row are a pair, as in a minibatch. If not, each datum makes a pair
            with each sample.
    """

    data: Float[Array, " data"]
    samples: Float[Array, " samples"]
    data_weights: Float[Array, " data"]
    sample_weights: Float[Array, " samples"]
    rows: bool = eqx.field(static=True, default=False)

    def over_data(self, values: Float[Array, " data"]) -> Scalar:
        """The mean of what each datum has."""
        return jnp.dot(self.data_weights.astype(values.dtype), values)

    def over_samples(self, values: Float[Array, " samples"]) -> Scalar:
        """The mean of what each sample has."""
        return jnp.dot(self.sample_weights.astype(values.dtype), values)

    def over_pairs(self, function: Callable[[Array, Array], Array]) -> Scalar:
        """The mean of a function of the score of a datum and of that of a sample, element by element.

        Raises:
            ValueError: If rows are pairs, and there are not as many data as samples.
        """
        if not self.rows:
            values = function(*jnp.broadcast_arrays(self.data[:, None], self.samples[None, :]))
            return self.over_data(values @ self.sample_weights.astype(values.dtype))
        if self.data.shape != self.samples.shape:
            raise ValueError(
                f"`args` must hold as many data as latent points for a loss of pairs, but there are {len(self.data)} "
                f"and {len(self.samples)}: draw both by `game.sample(key, num)`."
            )
        return self.over_data(function(self.data, self.samples))
