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


class GaussianMean(AbstractSampledGame):
    r"""Learns the mean of normal data whose variances it knows: a linear discriminator and an offset.

    Data are normal with the mean $\mu$ and independent coordinates of variances $\sigma_i^2$; $D(x) = w \cdot x$ and
    $G(z) = b + \sigma z$ with standard normal $z$. The only equilibrium is $(w, b) = (0, \mu)$, with the Jacobian

    $$[[2 f''(0) (\Sigma + \mu \mu^T), -f'(0) I], [f'(0) I, 0]].$$

    Around $\mu = 0$ each coordinate has its own pair, $\lambda^2 - 2 f''(0) \sigma_i^2 \lambda + f'(0)^2 = 0$. So the
    spectrum of the variances is a knob of stiffness: a wide coordinate is damped fast in $w_i$, at $2 |f''(0)|
    \sigma_i^2$, and slowly in $b_i$, at $f'(0)^2/(2 |f''(0)| \sigma_i^2)$, a ratio that grows as $\sigma_i^4$. The
    Wasserstein GAN does not see the variances: $V = w \cdot (\mu - b)$ is bilinear, and it circles for ever.

    Without a minibatch the expectations are Gauss-Hermite sums with `num_nodes` nodes along each axis, exact for
    polynomial losses. In more than four dimensions take minibatches.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games, losses

    game = games.GaussianMean(losses.PearsonChiSquared(), variances=jnp.array([1.0, 100.0]))
    eigenvalues = analysis.spectrum(fields.GameField(game), game.equilibrium)
    assert jnp.isclose(jnp.min(eigenvalues.real), -25 - jnp.sqrt(25**2 - 1), rtol=1e-5)
    ```

    Source: the Wasserstein form is that of Daskalakis et al. (2018), arXiv:1711.00141, section 3; others derived here.

    Args:
        loss: The GAN loss, for example `losses.Minimax()`.
        variances: $\sigma_i^2 > 0$, of shape `(n,)`.
        mean: $\mu$, of shape `(n,)`; 0 by default.
        num_nodes: Quadrature nodes along each axis; by default as many as the loss needs.

    Raises:
        ValueError: If a variance is not above 0, or the shapes differ.
    """

    loss: AbstractObjective
    variances: Float[Array, " n"]
    mean: Float[Array, " n"]
    num_nodes: int = eqx.field(static=True)

    def __init__(
        self,
        loss: AbstractObjective,
        variances: Float[Array, " n"],
        mean: Float[Array, " n"] | None = None,
        *,
        num_nodes: int | None = None,
    ):
        self.loss = loss
        self.variances = _checks.axis("variances", variances, above=0.0)
        self.mean = jnp.zeros_like(self.variances) if mean is None else _gaussian.mean_of(mean)
        if self.mean.shape != self.variances.shape:
            raise ValueError(
                f"`mean` must have the shape of `variances`, {self.variances.shape}, but has {self.mean.shape}."
            )
        degree = getattr(loss, "trusted_degree", None)
        exact = _gaussian.num_nodes(degree, 1)
        self.num_nodes = exact if num_nodes is None else _checks.count("num_nodes", num_nodes)

    def discriminate(self, discriminator: Float[Array, " n"], x: Float[Array, " n"]) -> Scalar:
        r"""$D(x) = w \cdot x$."""
        return jnp.dot(discriminator, x)

    def generate(self, generator: Float[Array, " n"], z: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""$G(z) = b + \sigma z$."""
        return generator + jnp.sqrt(self.variances).astype(z.dtype) * z

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The minibatch; without one, Gauss-Hermite nodes."""
        return self._nodes(self.num_nodes, _tree.dtype(y)) if args is None else weighted(args)

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch `(data, latent)` of `num` samples each, to be handed to the field as `args`."""
        return _gaussian.draw(key, num, self.mean, jnp.diag(jnp.sqrt(self.variances)))

    def quadrature(self, num: int = _gaussian.SMOOTH_NODES) -> Batch:
        """Nodes and weights, `num` along each axis, in the place of a minibatch."""
        return self._nodes(_checks.count("num", num), self.mean.dtype)

    def _nodes(self, num: int, dtype: DTypeLike) -> tuple[Quadrature, Quadrature]:
        return _gaussian.nodes(self.mean, jnp.diag(jnp.sqrt(self.variances)), num, dtype)

    @property
    def equilibrium(self) -> Players[Float[Array, " n"]]:
        r"""$(0, \mu)$."""
        return Players(discriminator=jnp.zeros_like(self.mean), generator=self.mean)
