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


class MultivariateLinearQuadratic(AbstractSampledGame):
    r"""The linear-quadratic GAN in several dimensions: learns the mean and the covariance of normal data.

    Data are normal with mean $\mu$ and covariance $\Sigma$; $D(x) = x^T W x + w \cdot x$ and $G(z) = A z + b$ with
    standard normal $z$. A state is `Players({"quadratic": W, "linear": w}, {"scale": A, "offset": b})`. Equilibria are
    $W = 0$, $w = 0$, $b = \mu$ with $A A^T = \Sigma$, a continuum; `equilibrium` is the one with $A = \Sigma^{1/2}$.

    The Wasserstein GAN has $\dot W = \Sigma + \mu \mu^T - A A^T - b b^T$, $\dot w = \mu - b$, $\dot A = (W + W^T) A$
    and $\dot b = (W + W^T) b + w$. `GaussianMean` and `GaussianCovariance` are its two halves.

    Without a minibatch the expectations are Gauss-Hermite sums, exact for polynomial losses. In more than three
    dimensions take minibatches.

    ```python
    import jax.numpy as jnp
    from gan_ode import fields, games, losses

    game = games.MultivariateLinearQuadratic(losses.Wasserstein(), jnp.array([1.0, 0.0]), jnp.eye(2))
    assert fields.velocity_size(fields.GameField(game), game.equilibrium) < 1e-5
    ```

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, section 2.3 and appendix, in several dimensions; rederived.

    Args:
        loss: The GAN loss, for example `losses.Minimax()`.
        mean: $\mu$, of shape `(n,)`.
        covariance: $\Sigma$, symmetric and positive definite, of shape `(n, n)`.
        num_nodes: Quadrature nodes along each axis; by default as many as the loss needs.

    Raises:
        ValueError: If `covariance` is not symmetric and positive definite, or the shapes differ.
    """

    loss: AbstractObjective
    mean: Float[Array, " n"]
    covariance: Float[Array, "n n"]
    num_nodes: int = eqx.field(static=True)

    def __init__(
        self,
        loss: AbstractObjective,
        mean: Float[Array, " n"],
        covariance: Float[Array, "n n"],
        *,
        num_nodes: int | None = None,
    ):
        self.loss = loss
        self.mean, self.covariance = _gaussian.mean_of(mean), _gaussian.covariance_of(covariance)
        if len(self.mean) != len(self.covariance):
            raise ValueError(
                f"`mean` must have {len(self.covariance)} entries, as `covariance` has rows, but has {len(self.mean)}."
            )
        exact = _gaussian.num_nodes(getattr(loss, "trusted_degree", None), 2)
        self.num_nodes = exact if num_nodes is None else _checks.count("num_nodes", num_nodes)

    def discriminate(self, discriminator: dict[str, Array], x: Float[Array, " n"]) -> Scalar:
        r"""$D(x) = x^T W x + w \cdot x$."""
        return x @ discriminator["quadratic"] @ x + jnp.dot(discriminator["linear"], x)

    def generate(self, generator: dict[str, Array], z: Float[Array, " n"]) -> Float[Array, " n"]:
        """$G(z) = A z + b$."""
        return generator["scale"] @ z + generator["offset"]

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The minibatch; without one, Gauss-Hermite nodes."""
        return self._nodes(self.num_nodes, _tree.dtype(y)) if args is None else weighted(args)

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch `(data, latent)` of `num` samples each, to be handed to the field as `args`."""
        return _gaussian.draw(key, num, self.mean, _gaussian.root(self.covariance))

    def quadrature(self, num: int = _gaussian.SMOOTH_NODES) -> Batch:
        """Nodes and weights, `num` along each axis, in the place of a minibatch."""
        return self._nodes(_checks.count("num", num), self.mean.dtype)

    def _nodes(self, num: int, dtype: DTypeLike) -> tuple[Quadrature, Quadrature]:
        return _gaussian.nodes(self.mean, _gaussian.root(self.covariance), num, dtype)

    @property
    def equilibrium(self) -> Players[dict[str, Array]]:
        r"""$W = 0$, $w = 0$, $A = \Sigma^{1/2}$, $b = \mu$."""
        return Players(
            discriminator={"quadratic": jnp.zeros_like(self.covariance), "linear": jnp.zeros_like(self.mean)},
            generator={"scale": _gaussian.root(self.covariance), "offset": self.mean},
        )
