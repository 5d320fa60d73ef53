import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks
from .._types import Args, Scalar
from ._game import AbstractGame, Players


class Matrix(AbstractGame):
    r"""A matrix game under softmax: mixed strategies $p$ and $q$ of two players, each the softmax of a state of logits.

    The discriminator wins $p^T A q$, which it maximizes; the generator wins $p^T B q$, with $B = -A$ in a zero-sum
    game. By default the velocity is the natural gradient,

    $$\dot u = A q - \overline{A q}, \qquad \dot v = B^T p - \overline{B^T p}, \qquad
    p = \mathrm{softmax}(u),\; q = \mathrm{softmax}(v),$$

    under which the strategies follow the *replicator dynamics* $\dot p_i = p_i ((A q)_i - p^T A q)$. Simultaneous steps
    are then multiplicative weights (Hedge), and `updates.Optimistic` is its optimistic form. In a zero-sum game with a
    fully mixed equilibrium $(p^*, q^*)$ the flow keeps $\mathrm{KL}(p^* \Vert p) + \mathrm{KL}(q^* \Vert q)$: it
    cycles, and simultaneous steps leave for the border. With `natural=False` the velocity is the plain gradient of the
    expected payoff in the logits ("policy gradient"), $\dot u = p \circ (A q - p^T A q)$ and likewise $\dot v$.

    A number that is added to all logits of a player changes no strategy. The velocity leaves the sum of a player's
    logits alone (of $A q$ and $B^T p$ the mean is taken away), and Jacobians have a zero eigenvalue for each player.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games

    game = games.Matrix.matching_pennies()
    eigenvalues = analysis.spectrum(fields.GameField(game), game.equilibrium)
    assert jnp.isclose(jnp.max(eigenvalues.imag), 1.0)
    ```

    Source: Taylor and Jonker (1978) for the dynamics; Hofbauer and Sigmund (1998), chapter 11, for what it keeps;
    Mertikopoulos, Papadimitriou and Piliouras (2018), arXiv:1709.02738, for its cycles. Rederived.

    Args:
        payoff: $A$, of shape `(m, n)`.
        generator_payoff: $B$, of shape `(m, n)`; None for a zero-sum game.
        natural: Whether the players follow natural gradients; plain gradients if not.

    Raises:
        ValueError: If `payoff` is not a matrix, or the shapes differ.
    """

    payoff: Float[Array, "m n"]
    generator_payoff: Float[Array, "m n"] | None
    natural: bool = eqx.field(static=True)

    def __init__(
        self,
        payoff: Float[Array, "m n"],
        generator_payoff: Float[Array, "m n"] | None = None,
        *,
        natural: bool = True,
    ):
        self.payoff = _checks.floats(payoff)
        if self.payoff.ndim != 2:
            raise ValueError(f"`payoff` must have two axes, but has shape {self.payoff.shape}: a row for each move.")
        self.generator_payoff = None if generator_payoff is None else _checks.floats(generator_payoff)
        if self.generator_payoff is not None and self.generator_payoff.shape != self.payoff.shape:
            raise ValueError(
                f"`generator_payoff` must have the shape of `payoff`, {self.payoff.shape}, but has "
                f"{self.generator_payoff.shape}: its rows, too, are the discriminator's moves."
            )
        self.natural = natural

    @classmethod
    def matching_pennies(cls, *, natural: bool = True) -> "Matrix":
        r"""Two coins: the discriminator wins if they match. The strategies circle, $\pm i$, around one half."""
        return cls(jnp.array([[1.0, -1.0], [-1.0, 1.0]]), natural=natural)

    @classmethod
    def rock_paper_scissors(cls, *, natural: bool = True) -> "Matrix":
        r"""Rock, paper, scissors: two pairs of eigenvalues $\pm i/\sqrt 3$ around one third each."""
        return cls(jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]), natural=natural)

    @property
    def zero_sum(self) -> bool:
        """Whether one gradient serves both players: with plain gradients, where the generator wins what is lost."""
        return self.generator_payoff is None and not self.natural

    def losses(self, y: Players, args: Args) -> Players:
        """What each player minimizes.

        With plain gradients this is minus the expected payoff. With natural gradients it is the linear form in the
        player's own logits whose slope is the natural gradient; its value is then no payoff: see `payoffs`.
        """
        first, second = self._matrices(y)
        p, q = self.strategies(y).discriminator, self.strategies(y).generator
        if self.natural:
            return Players(-_centered(y.discriminator) @ (first @ q), -_centered(y.generator) @ (second.T @ p))
        return Players(-p @ first @ q, -p @ second @ q)

    def strategies(self, y: Players) -> Players[Float[Array, " _"]]:
        """The mixed strategies of both players."""
        return Players(jax.nn.softmax(y.discriminator), jax.nn.softmax(y.generator))

    def payoffs(self, y: Players) -> Players[Scalar]:
        """What each player wins on average."""
        first, second = self._matrices(y)
        mixed = self.strategies(y)
        return Players(*(mixed.discriminator @ each @ mixed.generator for each in (first, second)))

    def _matrices(self, y: Players) -> tuple[Array, Array]:
        second = -self.payoff if self.generator_payoff is None else self.generator_payoff
        return self.payoff.astype(y.discriminator.dtype), second.astype(y.generator.dtype)

    @property
    def equilibrium(self) -> Players[Float[Array, " _"]]:
        """The fully mixed equilibrium, as logits that sum to 0 for each player.

        Raises:
            ValueError: If the players have different numbers of moves.
            RuntimeError: If there is none that is unique: some strategy is never played, or is not determined.
        """
        if self.payoff.shape[0] != self.payoff.shape[1]:
            raise ValueError(
                f"`payoff` must be square for a unique fully mixed equilibrium, but has shape {self.payoff.shape}: "
                "look for others by `analysis.find_equilibria`."
            )
        second = -self.payoff if self.generator_payoff is None else self.generator_payoff
        return Players(discriminator=_logits(_indifferent(second.T)), generator=_logits(_indifferent(self.payoff)))


def _indifferent(payoff: Float[Array, "n n"]) -> Float[Array, " n"]:
    """The mixed strategy against which all rows of a payoff win the same."""
    num = len(payoff)
    border = jnp.ones((num, 1), payoff.dtype)
    system = jnp.block([[payoff, -border], [border.T, jnp.zeros((1, 1), payoff.dtype)]])
    mixed = jnp.linalg.solve(system, jnp.zeros(num + 1, payoff.dtype).at[-1].set(1.0))[:num]
    return eqx.error_if(
        mixed,
        ~jnp.all(mixed > 0),
        "`payoff` must have a unique fully mixed equilibrium, but some strategy is never played there, or is not "
        "determined: look for others by `analysis.find_equilibria`.",
    )


def _logits(mixed: Float[Array, " n"]) -> Float[Array, " n"]:
    return _centered(jnp.log(mixed))


def _centered(logits: Float[Array, " n"]) -> Float[Array, " n"]:
    return logits - jnp.mean(logits)
