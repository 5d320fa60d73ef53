import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _tree
from .._types import Args, Scalar
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

    Source: Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, definition 2.1.

    Args:
        loss: What scores are paid.
    """

    loss: AbstractObjective

    def discriminate(self, discriminator: Scalar, x: Scalar) -> Scalar:
        """$D(x) = -\\psi x$."""
        return -discriminator * x

    def generate(self, generator: Scalar, z: Scalar) -> Scalar:
        """The point itself, whatever the latent point is."""
        return generator

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """One point at 0 each; `args` is not used."""
        origin = equal_weights(jnp.zeros((1,), _tree.dtype(y)))
        return origin, origin

    @property
    def equilibrium(self) -> Players[Float[Array, ""]]:
        """The origin."""
        return Players(discriminator=jnp.zeros(()), generator=jnp.zeros(()))
