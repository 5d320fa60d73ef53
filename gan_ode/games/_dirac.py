from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args
from ..distributions import equal_weights, Quadrature
from ..losses import AbstractObjective
from ._game import Players
from ._sampled import AbstractSampledGame


class Dirac(AbstractSampledGame):
    r"""The Dirac-GAN: data all at 0, a generator that is a point $\theta$, a linear discriminator of slope $\psi$.

    $\dot\psi = \theta f'(\theta\psi)$, $\dot\theta = -\psi f'(\theta\psi)$; the state is
    `Players(discriminator=psi, generator=theta)` and the only equilibrium is the origin. The eigenvalues there are
    $\pm i f'(0)$: no loss of this form damps the rotation, since the data's support is a point where the curvature
    $f''(0)$ has nothing to act on. `Minimax` and `Wasserstein` keep $\theta^2 + \psi^2$; `NonSaturating` converges,
    but only algebraically.

    A loss that pays samples $Q$ in the place of $f(-s)$ has $\dot\psi = -\theta Q'(-\theta\psi)$. `Relativistic` losses
    of one function are the plain ones here, since the datum scores 0.

    The sign of $\psi$ is Mescheder's: $D(x) = -\psi x$ scores data, $\psi x$ generated samples.

    With `dim` the point and the slope are vectors in $\mathbb{R}^n$ and $D(x) = -\psi \cdot x$:
    $\dot\psi = \theta f'(\theta \cdot \psi)$, $\dot\theta = -\psi f'(\theta \cdot \psi)$, with $n$ pairs of
    eigenvalues $\pm i f'(0)$. Whatever $f$ is, every $\psi_i \theta_j - \psi_j \theta_i$ is kept in a zero-sum game,
    and so is $\lVert\psi\rVert^2 + \lVert\theta\rVert^2$: the motion stays in the plane of its start.

    Source: Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, definition 2.1; of more dimensions derived here.

    Args:
        loss: The GAN loss, for example `losses.Minimax()`.
        dim: Dimension $n$ of the data, for states of shape `(n,)`; or `"scalar"`, for states of shape `()`.

    Raises:
        ValueError: If `dim` is less than 1, or `loss` is none.
    """

    loss: AbstractObjective
    dim: int | Literal["scalar"] = eqx.field(static=True, default="scalar")

    def __check_init__(self) -> None:
        if self.dim != "scalar":
            _checks.count("dim", self.dim)

    def discriminate(self, discriminator: Float[Array, "*event"], x: Float[Array, "*event"]) -> Float[Array, ""]:
        """$D(x) = -\\psi x$."""
        return -discriminator * x if self.dim == "scalar" else -jnp.dot(discriminator, x)

    def generate(self, generator: Float[Array, "*event"], z: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """The point itself, whatever the latent point is."""
        return generator

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """One point at 0 each; `args` is not used."""
        origin = equal_weights(jnp.zeros((1, *self._shape), _tree.dtype(y)))
        return origin, origin

    @property
    def _shape(self) -> tuple[int, ...]:
        return () if isinstance(self.dim, str) else (self.dim,)

    @property
    def equilibrium(self) -> Players[Float[Array, "*event"]]:
        """The origin."""
        return Players(discriminator=jnp.zeros(self._shape), generator=jnp.zeros(self._shape))
