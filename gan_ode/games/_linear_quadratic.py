import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

from .. import _checks, _tree
from .._types import Args, RealScalarLike, Scalar
from ..distributions import Quadrature
from ..losses import AbstractObjective
from ._game import Players
from ._sampled import AbstractSampledGame, Batch, check_loss, weighted

_SMOOTH_NODES = 40


class LinearQuadratic(AbstractSampledGame):
    r"""The paper's two-parameter GAN, whose equilibria and spectra are known in closed form.

    Data are uniform on $[-c, c]$, latent points on $[-1, 1]$; $D(x) = w x^2$ and $G(z) = a z$. The equilibria are
    $(w, a) = (0, \pm c)$. The usual GAN converges to them; the Wasserstein GAN circles around them for ever, and keeps
    $H = w^2/2 + a^2/4 - \tfrac12 \ln|a|$ (at $c = 1$). With $f'(0)$ and $f''(0)$ of the loss, the Jacobian there is
    $[[2 f''(0) c^4/5, -2 f'(0) c/3], [2 f'(0) c/3, 0]]$: `half_width` runs from smooth to very stiff, with a
    ratio of the damping to the rotation that grows as $c^3$.

    Losses that pay data and samples by two functions, or pay pairs, have the same equilibria if theirs is at the score
    0 or at any (`losses.AtEquilibrium`), and other numbers in the place of $f'(0)$ and $f''(0)$.

    With `linear`, $D(x) = w_2 x^2 + w_1 x$ and the discriminator's state is the array $[w_2, w_1]$; without `quadratic`
    it is $w_1$ alone (a line of equilibria). With `offset`, $G(z) = a z + b$ and the generator's state is $[a, b]$.

    Without a minibatch the expectations are Gauss-Legendre sums: exact for polynomial losses, and to rounding for the
    others while $|w| c^2$ is of moderate size (40 nodes; 2e-12 relative at $|w| c^2 = 10$).

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, section 2.3 and appendix; rederived.

    Args:
        loss: The GAN loss, for example `losses.Minimax()`.
        half_width: Half-width $c > 0$ of the data.
        linear: Whether $D$ has the linear term.
        offset: Whether $G$ has the offset.
        quadratic: Whether $D$ has the quadratic term.
        num_nodes: Quadrature nodes; by default as many as the loss needs.

    Raises:
        ValueError: If `half_width` is not above 0, or $D$ has no term.
    """

    loss: AbstractObjective
    half_width: Float[Array, ""]
    linear: bool = eqx.field(static=True)
    offset: bool = eqx.field(static=True)
    quadratic: bool = eqx.field(static=True)
    num_nodes: int = eqx.field(static=True)

    def __init__(
        self,
        loss: AbstractObjective,
        half_width: RealScalarLike = 1.0,
        *,
        linear: bool = False,
        offset: bool = False,
        quadratic: bool = True,
        num_nodes: int | None = None,
    ):
        if not (linear or quadratic):
            raise ValueError(
                "`linear` and `quadratic` must not both be False: the discriminator would have no parameter."
            )
        check_loss(loss)
        self.loss = loss
        self.half_width = _checks.positive("half_width", half_width, "The data lie on [-half_width, half_width].")
        self.linear, self.offset, self.quadratic = linear, offset, quadratic
        self.num_nodes = self._exact() if num_nodes is None else _checks.count("num_nodes", num_nodes)

    def _exact(self) -> int:
        """So many nodes that means of polynomial losses are exact, where scores are as they are here."""
        degree = self.loss.trusted_degree
        own = self._has_own("losses", "discriminate", "generate")
        return degree + 1 if own and degree is not None else _SMOOTH_NODES

    def _has_own(self, *names: str) -> bool:
        """Whether no class made of this one has written anew what is named."""
        return all(getattr(type(self), name) is getattr(LinearQuadratic, name) for name in names)

    def discriminate(self, discriminator: Float[Array, "..."], x: Scalar) -> Scalar:
        """$D(x)$ at one point."""
        if self.linear and self.quadratic:
            return discriminator[0] * x**2 + discriminator[1] * x
        return discriminator * x**2 if self.quadratic else discriminator * x

    def generate(self, generator: Float[Array, "..."], z: Scalar) -> Scalar:
        """$G(z)$ at one point."""
        return generator[0] * z + generator[1] if self.offset else generator * z

    def _averaged_over(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The nodes; where scores are even, half of them do."""
        data, latent = self.measures(y, args)
        even = args is None and not self.linear and self._has_own("discriminate", "generate", "measures", "_nodes")
        if not even:
            return data, latent
        # The offset makes the samples lie to one side.
        return _upper_half(data), latent if self.offset else _upper_half(latent)

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """The minibatch; without one, Gauss-Legendre nodes of $[-c, c]$ and $[-1, 1]$."""
        return self._nodes(self.num_nodes, _tree.dtype(y)) if args is None else weighted(args)

    def sample(self, key: PRNGKeyArray, num: int = 512) -> Batch:
        """A minibatch `(data, latent)` of `num` samples each, to be handed to the field as `args`."""
        data_key, latent_key = jax.random.split(key)
        _checks.count("num", num)
        data = jax.random.uniform(data_key, (num,), self.half_width.dtype, -self.half_width, self.half_width)
        return data, jax.random.uniform(latent_key, (num,), self.half_width.dtype, -1.0, 1.0)

    def quadrature(self, num: int = _SMOOTH_NODES) -> Batch:
        """Nodes and weights that stand for the whole distributions, in the place of a minibatch.

        By default more than a polynomial loss needs: enough for products of velocities, of which covariances are made.
        """
        return self._nodes(_checks.count("num", num), self.half_width.dtype)

    def _nodes(self, num: int, dtype: DTypeLike) -> tuple[Quadrature, Quadrature]:
        nodes, weights = np.polynomial.legendre.leggauss(num)
        unit = Quadrature(jnp.asarray(nodes, dtype), jnp.asarray(weights / 2, dtype))
        return Quadrature(self.half_width.astype(dtype) * unit.nodes, unit.weights), unit

    @property
    def equilibrium(self) -> Players:
        """The equilibrium with $a = c > 0$ (and $b = 0$)."""
        zero = jnp.zeros_like(self.half_width)
        return Players(
            discriminator=jnp.stack([zero, zero]) if self.linear and self.quadratic else zero,
            generator=jnp.stack([self.half_width, zero]) if self.offset else self.half_width,
        )


def _upper_half(points: Quadrature) -> Quadrature:
    """Symmetric points for means of even functions: those that are not negative, each for two."""
    num = len(points.nodes)
    weights = 2 * points.weights[num // 2 :]
    return Quadrature(points.nodes[num // 2 :], weights.at[0].divide(2) if num % 2 else weights)
