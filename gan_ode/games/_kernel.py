import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .. import _checks, _tree
from .._types import Args, RealScalarLike, Scalar
from ..distributions import equal_weights, Quadrature
from ..losses import AbstractObjective
from ._game import Players
from ._sampled import AbstractSampledGame, Batch, weighted


class Kernel(AbstractSampledGame):
    r"""A kernel discriminator against free particles: what is left of a GAN where the generator can do everything.

    The discriminator is a function of the space of the kernel $k(x, x') = e^{-\lVert x - x'\rVert^2/(2 s^2)}$, spanned
    by the kernel at the landmarks $c_j$, in coordinates $w$ in which it has the norm of that space:

    $$D(x) = w \cdot \Phi(x), \qquad \Phi(x) = L^{-1} k(c, x), \qquad L L^T = k(c, c), \qquad \lVert D\rVert = \lVert
    w\rVert .$$

    So its gradient ascent is that in function space, projected on the span. The generator's parameters are $n$ points
    $g_i$. With the Wasserstein loss $\dot w = E_x \Phi(x) - \tfrac1n \sum_i \Phi(g_i)$, whose norm is the maximum mean
    discrepancy as the landmarks see it, and $\dot g_i = \tfrac1n \nabla D(g_i)$. A charge $\tfrac\lambda2 \lVert
    w\rVert^2$ on the discriminator is the usual one on its norm. As many particles as data, on the data, are an
    equilibrium with $D = 0$; so is, with $D = 0$, everything that the landmarks cannot tell from the data. Particles
    much farther than $s$ from all landmarks feel nothing.

    A state is `Players(w, g)` of shapes `(landmarks,)` and `(n, dim)`, for any $n$. In the place of latent points there
    are unit vectors, which pick the particles.

    ```python
    import jax
    import jax.numpy as jnp
    from gan_ode import fields, games, losses

    data = jnp.array([[-1.0], [1.0]])
    game = games.Kernel(losses.Wasserstein(), data, landmarks=jnp.linspace(-2.0, 2.0, 9)[:, None], width=0.7)
    assert fields.velocity_size(fields.GameField(game), game.equilibrium) < 1e-6
    ```

    Source: Li et al. (2017), arXiv:1705.08584, for the discrepancy; Becker et al. (2022), arXiv:2208.09938, for kernel
    discriminators against points. The landmarks are Nystrom's approximation of their function space.

    Args:
        loss: The GAN loss, for example `losses.Minimax()`.
        data: The data, of shape `(num, dim)`.
        landmarks: $c_j$, of shape `(landmarks, dim)`: where the discriminator can have structure. The data by default.
        width: $s > 0$.
        jitter: What is added to the diagonal of $k(c, c)$, which rounding makes indefinite where landmarks lie close.

    Raises:
        ValueError: If the shapes do not fit, or a number is out of its range; under a transformation a RuntimeError,
            when it runs.
    """

    loss: AbstractObjective
    data: Float[Array, "num dim"]
    landmarks: Float[Array, "landmarks dim"]
    width: Float[Array, ""]
    factor: Float[Array, "landmarks landmarks"]

    def __init__(
        self,
        loss: AbstractObjective,
        data: Float[Array, "num dim"],
        landmarks: Float[Array, "landmarks dim"] | None = None,
        *,
        width: RealScalarLike = 1.0,
        jitter: RealScalarLike = 1e-6,
    ):
        self.loss = loss
        self.data = _points("data", data)
        self.landmarks = self.data if landmarks is None else _points("landmarks", landmarks)
        if self.landmarks.shape[1] != self.data.shape[1]:
            raise ValueError(
                f"`landmarks` must have the dimension of `data`, {self.data.shape[1]}, but have "
                f"{self.landmarks.shape[1]}: they are points of the same space."
            )
        self.width = _checks.positive("width", width, "The distance over which points feel each other is usual.")
        jitter = _checks.not_negative("jitter", jitter, "It keeps the kernel matrix positive definite.")
        gram = jax.vmap(self._kernel)(self.landmarks)
        self.factor = jnp.linalg.cholesky(gram + jitter.astype(gram.dtype) * jnp.eye(len(gram), dtype=gram.dtype))

    def _kernel(self, x: Float[Array, " dim"]) -> Float[Array, " landmarks"]:
        apart = (self.landmarks.astype(x.dtype) - x) / self.width.astype(x.dtype)
        return jnp.exp(-jnp.sum(apart**2, axis=1) / 2)

    def discriminate(self, discriminator: Float[Array, " landmarks"], x: Float[Array, " dim"]) -> Scalar:
        r"""$D(x) = w \cdot \Phi(x)$."""
        factor = self.factor.astype(discriminator.dtype)
        coefficients = jax.scipy.linalg.solve_triangular(factor, discriminator, trans=1, lower=True)
        return jnp.dot(coefficients, self._kernel(x))

    def generate(self, generator: Float[Array, "n dim"], z: Float[Array, " n"]) -> Float[Array, " dim"]:
        """The particle that the unit vector picks."""
        return z @ generator

    def measures(self, y: Players, args: Args) -> tuple[Quadrature, Quadrature]:
        """All data and all particles; of a minibatch those that it picks."""
        if args is not None:
            return weighted(args)
        dtype = _tree.dtype(y)
        num = jnp.shape(y.generator)[0]
        return equal_weights(self.data.astype(dtype)), equal_weights(jnp.eye(num, dtype=dtype))

    def sample(self, key: PRNGKeyArray, num: int = 512, *, particles: int | None = None) -> Batch:
        """A minibatch of data and of unit vectors, `num` each, to be handed to the field as `args`.

        Args:
            key: For the draws, which are with replacement.
            num: How many.
            particles: How many particles the state has; as many as data by default.
        """
        data_key, latent_key = jax.random.split(key)
        count = len(self.data) if particles is None else _checks.count("particles", particles)
        picks = jax.random.randint(data_key, (_checks.count("num", num),), 0, len(self.data))
        units = jax.nn.one_hot(jax.random.randint(latent_key, (num,), 0, count), count, dtype=self.data.dtype)
        return self.data[picks], units

    @property
    def equilibrium(self) -> Players[Array]:
        """A particle on each datum, and $D = 0$."""
        return Players(discriminator=jnp.zeros(len(self.landmarks), self.data.dtype), generator=self.data)


def _points(name: str, points: Float[Array, "num dim"]) -> Float[Array, "num dim"]:
    points = _checks.floats(points)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"`{name}` must have a row for each point, but has shape {points.shape}: use `[:, None]`.")
    return points
