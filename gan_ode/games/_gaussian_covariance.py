import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

from .. import _checks, _tree
from .._types import Args, Scalar
from ..distributions import Quadrature
from ..losses import AbstractObjective
from . import _gaussian
from ._game import Players
from ._sampled import AbstractSampledGame, Batch, weighted


class GaussianCovariance(AbstractSampledGame):
    r"""Learns the covariance of normal data of mean 0: a quadratic discriminator and a linear generator.

    Data are normal with covariance $\Sigma$; $D(x) = x^T W x$ and $G(z) = A z$ with standard normal $z$, where $W$ and
    $A$ are any matrices. Equilibria are $W = 0$ with $A A^T = \Sigma$: a continuum, since $z$ may be turned, of which
    `equilibrium` is the one with $A = \Sigma^{1/2}$. A loss of one function has there

    $$\dot\delta_W = 2 f''(0) (\mathrm{tr}(\delta_W \Sigma) \Sigma + \Sigma (\delta_W + \delta_W^T) \Sigma) - f'(0)
    (\delta_A A^T + A \delta_A^T), \qquad \dot\delta_A = f'(0) (\delta_W + \delta_W^T) A.$$

    The Wasserstein GAN has $\dot W = \Sigma - A A^T$, $\dot A = (W + W^T) A$. With $\Sigma = s I$ and a symmetric $W$
    it keeps $\mathrm{tr}\,W^2 + \tfrac12 \mathrm{tr}\,A A^T - s \ln |\det A|$. In one dimension this is
    `LinearQuadratic` with normal data.

    Without a minibatch the expectations are Gauss-Hermite sums, exact for polynomial losses. In more than three
    dimensions take minibatches.

    ```python
    import jax.numpy as jnp
    from gan_ode import fields, games, losses

    game = games.GaussianCovariance(losses.Wasserstein(), jnp.diag(jnp.array([1.0, 4.0])))
    there = games.Players(discriminator=jnp.zeros((2, 2)), generator=jnp.eye(2))
    velocity = fields.GameField(game)(0.0, there, None)
    assert jnp.allclose(velocity.discriminator, jnp.diag(jnp.array([0.0, 3.0])), atol=1e-5)
    ```

    Source: Daskalakis et al. (2018), arXiv:1711.00141, section 4, for the Wasserstein form; others derived here.

    Args:
        loss: The GAN loss, for example `losses.Minimax()`.
        covariance: $\Sigma$, symmetric and positive definite, of shape `(n, n)`.
        num_nodes: Quadrature nodes along each axis; by default as many as the loss needs.

    Raises:
        ValueError: If `covariance` is not symmetric and positive definite.
    """

    loss: AbstractObjective
    covariance: Float[Array, "n n"]
    num_nodes: int = eqx.field(static=True)

    def __init__(self, loss: AbstractObjective, covariance: Float[Array, "n n"], *, num_nodes: int | None = None):
        self.loss = loss
        self.covariance = _gaussian.covariance_of(covariance)
        exact = _gaussian.num_nodes(getattr(loss, "trusted_degree", None), 2)
        self.num_nodes = exact if num_nodes is None else _checks.count("num_nodes", num_nodes)

    def discriminate(self, discriminator: Float[Array, "n n"], x: Float[Array, " n"]) -> Scalar:
        """$D(x) = x^T W x$."""
        return x @ discriminator @ x

    def generate(self, generator: Float[Array, "n n"], z: Float[Array, " n"]) -> Float[Array, " n"]:
        """$G(z) = A z$."""
        return generator @ z

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The minibatch; without one, Gauss-Hermite nodes."""
        return self._nodes(self.num_nodes, _tree.dtype(y)) if args is None else weighted(args)

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch `(data, latent)` of `num` samples each, to be handed to the field as `args`."""
        return _gaussian.draw(key, num, jnp.zeros_like(self.covariance[0]), _gaussian.root(self.covariance))

    def quadrature(self, num: int = _gaussian.SMOOTH_NODES) -> Batch:
        """Nodes and weights, `num` along each axis, in the place of a minibatch."""
        return self._nodes(_checks.count("num", num), self.covariance.dtype)

    def _nodes(self, num: int, dtype: DTypeLike) -> tuple[Quadrature, Quadrature]:
        return _gaussian.nodes(jnp.zeros_like(self.covariance[0]), _gaussian.root(self.covariance), num, dtype)

    @property
    def equilibrium(self) -> Players[Float[Array, "n n"]]:
        r"""$(0, \Sigma^{1/2})$."""
        return Players(discriminator=jnp.zeros_like(self.covariance), generator=_gaussian.root(self.covariance))
