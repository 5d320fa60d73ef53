"""Closed forms of the two-parameter GAN, by other roads than the package: what its experiments are held against.

State (w, a), data uniform on [-1, 1]. Source: Nagarajan and Kolter (2017), arXiv:1706.04156, section 2.3; the
spectra, the invariant and the period series rederived.
"""

import cmath
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from gan_ode.games import Players


def state(w: float, a: float) -> Players:
    return Players(discriminator=jnp.asarray(w, float), generator=jnp.asarray(a, float))


EQUILIBRIUM = state(0.0, 1.0)
LOWEST = 0.25  # the invariant there


def invariant(y: Players) -> jax.Array:
    """H, which the Wasserstein GAN keeps and the regularized one lowers."""
    w, a = y.discriminator, y.generator
    return w**2 / 2 + a**2 / 4 - jnp.log(jnp.abs(a)) / 2


class LogScale(eqx.Module):
    """A field of (w, a) in the coordinates (w, u) with a = exp(u): a never changes sign, nor vanishes."""

    field: Any

    def __call__(self, t: Any, y: Players, args: Any = None) -> Players:
        velocity = self.field(t, raw(y), args)
        return Players(velocity.discriminator, velocity.generator * jnp.exp(-y.generator))


def raw(y: Players) -> Players:
    return Players(y.discriminator, jnp.exp(y.generator))


def logarithmic(w: float, a: float) -> Players:
    return state(w, math.log(a))


def energy(y: Players) -> jax.Array:
    """The invariant in the coordinates (w, log a): nothing there loses digits."""
    w, u = y.discriminator, y.generator
    return w**2 / 2 + jnp.exp(2 * u) / 4 - u / 2


def jacobian(name: str, eta: float) -> tuple[float, float, float, float]:
    """At (0, 1), by rows."""
    if name == "WGAN":
        return 0.0, -2 / 3, 2 / 3, -8 * eta / 9
    return -1 / 10, -1 / 3, 1 / 3 - eta / 15, -2 * eta / 9


def eigenvalue(name: str, eta: float) -> complex:
    """The one above the axis, or the rightmost, at (0, 1)."""
    p, q, r, s = jacobian(name, eta)
    return (p + s) / 2 + cmath.sqrt(((p - s) / 2) ** 2 + q * r)


def period(w0: float) -> float:
    """Of the Wasserstein GAN's orbit through (w0, 1), by quadrature along the curve H = const.

    With u = ln a the motion is that of a particle, u'' = (2/9)(1 - e^(2u)), of energy H: the time is twice the integral
    of du / u' between its turning points, and u = middle + half sin(s) takes the singularity of the ends away.
    """
    import scipy.optimize

    def potential(u: float) -> float:
        return math.exp(2 * u) / 4 - u / 2

    energy = w0**2 / 2 + 1 / 4

    def turning_point(left: float, right: float) -> float:
        return float(scipy.optimize.brentq(lambda u: potential(u) - energy, left, right, xtol=1e-15))  # pyright: ignore

    low, high = turning_point(-2 * energy - 2, 0.0), turning_point(0.0, 2 + energy)
    middle, half = (low + high) / 2, (high - low) / 2

    def integrand(s: float) -> float:
        u = middle + half * math.sin(s)
        w = math.sqrt(max(2 * (energy - potential(u)), 1e-300))
        return half * math.cos(s) / (2 * w / 3)

    # The integrand is smooth and even about both ends, so that the midpoint rule converges exponentially.
    nodes = [-math.pi / 2 + math.pi * (k + 0.5) / 400 for k in range(400)]
    return 2 * sum(map(integrand, nodes)) * math.pi / 400


def critical_step_size(rule: str, name: str, eta: float) -> float:
    """Of simultaneous or alternating (1 : 1) steps at (0, 1): where the largest multiplier passes 1 in modulus.

    With J = [[p, q], [r, s]] by rows, simultaneous steps have det(1 + h J) = 1 at the critical step; the alternating
    map has the determinant (1 + h p)(1 + h s) and the trace 2 + h (p + s) + h^2 q r, and loses stability where
    1 + trace + determinant = 0, or where the determinant is 1.
    """
    p, q, r, s = jacobian(name, eta)
    if rule == "simultaneous":
        return -(p + s) / (p * s - q * r)
    # 4 + 2 h (p + s) + h^2 (q r + p s) = 0, with q r + p s < 0.
    square, linear = q * r + p * s, 2 * (p + s)
    return (-linear - math.sqrt(linear**2 - 16 * square)) / (2 * square)
