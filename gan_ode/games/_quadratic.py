import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks
from .._types import Args, RealScalarLike
from ._game import AbstractGame, Players


class Quadratic(AbstractGame):
    r"""The game of two quadratic losses with given blocks: every linear field of two players.

    A discriminator $u$ and a generator $v$ minimize

    $$L_D = \tfrac12 u^T P u - u^T A v, \qquad L_G = \tfrac12 v^T Q v + u^T B v,$$

    and the field is linear, $\dot u = -P u + A v$, $\dot v = -B^T u - Q v$, with the Jacobian $[[-P, A], [-B^T, -Q]]$.
    Only the symmetric parts of $P$ and $Q$ matter. Without $B$ the game is zero-sum, $B = A$, with the value
    $V = -\tfrac12 u^T P u + u^T A v + \tfrac12 v^T Q v$. The origin is an equilibrium, local Nash if $P$ and $Q$ are
    positive definite; the flow is stable there under weaker conditions, as `not_local_nash` shows.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games

    game = games.Quadratic.not_local_nash()
    eigenvalues = analysis.spectrum(fields.GameField(game), game.equilibrium)
    assert jnp.all(eigenvalues.real < 0)  # though the generator could gain alone
    ```

    Args:
        discriminator: $P$, of shape `(m, m)`.
        generator: $Q$, of shape `(n, n)`.
        coupling: $A$, of shape `(m, n)`.
        generator_coupling: $B$, of shape `(m, n)`; None for a zero-sum game.

    Raises:
        ValueError: If the shapes do not fit.
    """

    discriminator: Float[Array, "m m"]
    generator: Float[Array, "n n"]
    coupling: Float[Array, "m n"]
    generator_coupling: Float[Array, "m n"] | None

    def __init__(
        self,
        discriminator: Float[Array, "m m"],
        generator: Float[Array, "n n"],
        coupling: Float[Array, "m n"],
        generator_coupling: Float[Array, "m n"] | None = None,
    ):
        self.discriminator, self.generator = _matrix(discriminator), _matrix(generator)
        self.coupling = _matrix(coupling)
        self.generator_coupling = None if generator_coupling is None else _matrix(generator_coupling)
        m, n = len(self.discriminator), len(self.generator)
        expected = {"discriminator": (m, m), "generator": (n, n), "coupling": (m, n), "generator_coupling": (m, n)}
        for name, shape in expected.items():
            block = getattr(self, name)
            if block is not None and block.shape != shape:
                raise ValueError(
                    f"`{name}` must have the shape {shape}, as the blocks of {m} and {n} parameters ask, but has "
                    f"{block.shape}: a coupling has a row for each parameter of the discriminator."
                )

    @classmethod
    def not_local_nash(cls) -> "Quadratic":
        r"""$V = -x^2/8 - y^2/2 + \tfrac{6}{10} x y$, of a generator $x$ that minimizes and a discriminator $y$.

        Descent and ascent are stable at the origin, with the eigenvalues $-11/20$ and $-1/5$,
        but the value is concave in $x$: the origin is no local Nash equilibrium. It is local min-max in the sense of
        Jin et al. (2020), where the discriminator answers.

        Source: Daskalakis and Panageas (2018), arXiv:1807.03907.
        """
        return cls(jnp.array([[1.0]]), jnp.array([[-0.25]]), jnp.array([[0.6]]))

    @classmethod
    def rotation(cls, damping: RealScalarLike = 0.1, frequency: RealScalarLike = 10.0) -> "Quadratic":
        r"""A fast rotation with little damping: the eigenvalues $-\epsilon \pm i \omega$.

        The flow converges, and simultaneous (Euler) steps only for $h < 2 \epsilon/(\epsilon^2 + \omega^2)$: at the
        default numbers and a step of 0.01 they diverge, while Heun's steps of the same size converge.

        Source: the kind of field in figure 1 of Qin et al. (2020), arXiv:2010.15040, with its step size 0.01; the
        numbers are chosen here, so that the figure's two outcomes come about.

        Args:
            damping: $\epsilon \ge 0$.
            frequency: $\omega > 0$.

        Raises:
            ValueError: If a number is out of its range; under a transformation a RuntimeError, when it runs.
        """
        damping = _checks.not_negative("damping", damping, "A negative one is not damped.")
        frequency = _checks.positive("frequency", frequency, "The sign only turns the direction.")
        return cls(damping[None, None], damping[None, None], frequency[None, None])

    @property
    def zero_sum(self) -> bool:
        """Whether the generator has no coupling of its own."""
        return self.generator_coupling is None

    def losses(self, y: Players, args: Args) -> Players:
        """The two quadratic forms; of a zero-sum game $-V$ and $V$."""
        u, v = y.discriminator, y.generator
        of_u = u @ self.discriminator.astype(u.dtype) @ u / 2
        of_v = v @ self.generator.astype(v.dtype) @ v / 2
        both = u @ self.coupling.astype(u.dtype) @ v
        if self.generator_coupling is None:
            return Players(discriminator=of_u - both - of_v, generator=-of_u + both + of_v)
        return Players(discriminator=of_u - both, generator=of_v + u @ self.generator_coupling.astype(u.dtype) @ v)

    @property
    def equilibrium(self) -> Players[Float[Array, " _"]]:
        """The origin."""
        return Players(jnp.zeros(len(self.discriminator)), jnp.zeros(len(self.generator)))


def _matrix(block: Float[Array, "m n"]) -> Float[Array, "m n"]:
    block = _checks.floats(block)
    if block.ndim != 2:
        raise ValueError(f"A block must have two axes, but has shape {block.shape}: write `jnp.array([[1.0]])`.")
    return block
