"""A closed curve as a trigonometric polynomial through states at evenly spaced phases."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Newton's steps to the phases at which a density is evenly divided.
_SPREADING = 4
# Of the harmonics of a guess so many are kept: products of the highest ones would come back as lower ones, and rounding
# grow from curve to curve.
_KEPT = 2 / 3


class Fourier(eqx.Module):
    """Numbers that depend on a phase, by their coefficients.

    Attributes:
        mean: The constant part.
        cosines: Coefficients of the cosines of the phase's multiples, from the first on, shape `(harmonics, m)`.
        sines: Those of the sines.
    """

    mean: Float[Array, " m"]
    cosines: Float[Array, "harmonics m"]
    sines: Float[Array, "harmonics m"]

    @classmethod
    def through(cls, rows: Float[Array, "nodes m"]) -> "Fourier":
        """The one through an odd number of rows."""
        cosines, sines = waves(nodes(len(rows)), len(rows) // 2)
        return cls(jnp.mean(rows, axis=0), 2 / len(rows) * cosines.T @ rows, 2 / len(rows) * sines.T @ rows)

    def at(self, phases: Float[Array, " places"]) -> tuple[Array, Array]:
        """The numbers at some phases, and their derivatives by the phase."""
        cosines, sines = waves(phases, len(self.cosines))
        order = jnp.arange(1, len(self.cosines) + 1)
        values = self.mean + cosines @ self.cosines + sines @ self.sines
        return values, (cosines * order) @ self.sines - (sines * order) @ self.cosines


def nodes(num: int) -> np.ndarray:
    """Evenly spaced phases."""
    return 2 * np.pi * np.arange(num) / num


def waves(phases: Array | np.ndarray, harmonics: int) -> tuple[Array, Array]:
    """Cosines and sines of the multiples of phases, shape `(phases, harmonics)`."""
    angles = jnp.asarray(phases)[:, None] * jnp.arange(1, harmonics + 1)
    return jnp.cos(angles), jnp.sin(angles)


def weights_at(phases: Float[Array, " places"], num: int) -> Float[Array, "places nodes"]:
    """With what weights rows at evenly spaced phases make what lies at others."""
    (here_cosines, here_sines), (cosines, sines) = waves(phases, num // 2), waves(nodes(num), num // 2)
    return (1 + 2 * (here_cosines @ cosines.T + here_sines @ sines.T)) / num


def smoothed(rows: Float[Array, "nodes m"]) -> Float[Array, "nodes m"]:
    """The rows without the highest harmonics."""
    coefficients = jnp.fft.rfft(rows, axis=0)
    kept = np.arange(len(coefficients)) <= _KEPT * (len(rows) // 2)
    return jnp.fft.irfft(jnp.where(kept[:, None], coefficients, 0), len(rows), axis=0)


def spread_by(density: Float[Array, " nodes"]) -> Float[Array, " nodes"]:
    """The phases of places that divide a density evenly, the first one staying.

    Args:
        density: The density at evenly spaced phases: positive, and of few harmonics.
    """
    num = len(density)
    here, order = jnp.asarray(nodes(num), density.dtype), jnp.arange(1, num // 2 + 1)[:, None]
    curve = Fourier.through(density[:, None])
    mean = curve.mean[0]
    # The integral, but for that of the mean.
    rest = Fourier(0 * curve.mean, -curve.sines / order, curve.cosines / order)
    begin = rest.at(jnp.zeros(1, density.dtype))[0][0, 0]

    def gone(phases: Array) -> tuple[Array, Array]:
        values, slopes = rest.at(phases)
        return mean * phases + values[:, 0] - begin, mean + slopes[:, 0]

    def nearer(_: Array, phases: Array) -> Array:
        there, slopes = gone(phases)
        return phases - (there - mean * here) / jnp.where(slopes > 0, slopes, jnp.inf)

    # In a loop, which is compiled once.
    return jax.lax.fori_loop(0, _SPREADING, nearer, jnp.interp(mean * here, gone(here)[0], here))
