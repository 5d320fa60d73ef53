from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks
from ..._types import Args, Scalar
from .._game import AbstractGame, Players

# Of the default game.
_DYNAMICS = ((0.3, -0.5), (0.8, -0.2))
_INPUTS = Players(((1.0,), (1.0,)), ((0.0,), (1.0,)))
_COSTS = Players(((0.01, 0.0), (0.0, 1.0)), ((1.0, 0.0), (0.0, 0.32)))
_EFFORTS = Players(((0.05,),), ((0.05,),))


class Mazumdar(AbstractGame):
    r"""Two regulators of one linear system, each descending its own quadratic cost in its own gain.

    The system is $x_{t+1} = A x_t + B_1 u_1 + B_2 u_2$ with $u_i = -K_i x_t$ and a random start of covariance
    $\Sigma_0$. Player $i$ (1 is the discriminator, 2 the generator) minimizes

    $$L_i = E \sum_t x_t^T Q_i x_t + u_i^T R_i u_i = \mathrm{tr}\big((Q_i + K_i^T R_i K_i) \Sigma\big), \qquad \Sigma =
    \Sigma_0 + M \Sigma M^T, \quad M = A - B_1 K_1 - B_2 K_2,$$

    and the velocity is that of policy gradient, $\dot K_i = -2 (R_i K_i - B_i^T P_i M) \Sigma$ with $P_i = Q_i + K_i^T
    R_i K_i + M^T P_i M$. Its only critical points are Nash equilibria, and they need not attract: with the default
    matrices the flow leaves the Nash equilibrium in a spiral, and ends on a cycle around it, of period 35.5. The cycle
    is stiff: take an implicit solver.

    A state is `Players(K_1, K_2)`, of shapes `(inputs, dim)`. Where $M$ is not stable the costs are infinite; losses
    and velocity are NaN.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games

    field = fields.GameField(games.Mazumdar())
    start = games.Players(jnp.array([[0.4227, 0.4557]]), jnp.array([[0.3532, -0.7075]]))
    nash = analysis.find_equilibrium(field, start)
    assert analysis.spectrum(field, nash.y)[0].real > 0
    ```

    Source: Mazumdar, Ratliff, Jordan and Sastry (2020), arXiv:1907.03712, sections 2 and 3. The default matrices are of
    their kind, found here by a random search.

    Args:
        dynamics: $A$, of shape `(dim, dim)`.
        inputs: $B_1$ and $B_2$, of shape `(dim, inputs)` each.
        costs: $Q_1$ and $Q_2$, of shape `(dim, dim)`.
        efforts: $R_1$ and $R_2$, of shape `(inputs, inputs)`.
        start: $\Sigma_0$, of shape `(dim, dim)`; the identity by default.

    Raises:
        ValueError: If the shapes do not fit.
    """

    dynamics: Float[Array, "dim dim"]
    inputs: Players[Array]
    costs: Players[Array]
    efforts: Players[Array]
    start: Float[Array, "dim dim"]

    def __init__(
        self,
        dynamics: Any = _DYNAMICS,
        inputs: Players[Any] = _INPUTS,
        costs: Players[Any] = _COSTS,
        efforts: Players[Any] = _EFFORTS,
        start: Float[Array, "dim dim"] | None = None,
    ):
        self.dynamics = _checks.floats(jnp.asarray(dynamics))
        dim = len(self.dynamics)
        self.inputs, self.costs, self.efforts = (_both(each) for each in (inputs, costs, efforts))
        self.start = jnp.eye(dim, dtype=self.dynamics.dtype) if start is None else _checks.floats(start)
        _fits("dynamics", self.dynamics, (dim, dim))
        _fits("start", self.start, (dim, dim))
        for player in ("discriminator", "generator"):
            of_input = getattr(self.inputs, player)
            num = of_input.shape[-1]
            _fits(f"inputs.{player}", of_input, (dim, num))
            _fits(f"costs.{player}", getattr(self.costs, player), (dim, dim))
            _fits(f"efforts.{player}", getattr(self.efforts, player), (num, num))

    def losses(self, y: Players[Array], args: Args) -> Players[Scalar]:
        """Both costs; NaN where the regulated system is not stable."""
        covariance = self.covariance(y)

        def cost(player: str) -> Scalar:
            gain, dtype = getattr(y, player), covariance.dtype
            paid = getattr(self.costs, player).astype(dtype)
            return jnp.sum((paid + gain.T @ getattr(self.efforts, player).astype(dtype) @ gain) * covariance)

        return Players(discriminator=cost("discriminator"), generator=cost("generator"))

    def covariance(self, y: Players[Array]) -> Float[Array, "dim dim"]:
        r"""$\Sigma = \sum_t E\,x_t x_t^T$; NaN where the regulated system is not stable."""
        dtype = y.discriminator.dtype
        moved = self.dynamics.astype(dtype)
        moved = moved - self.inputs.discriminator.astype(dtype) @ y.discriminator
        moved = moved - self.inputs.generator.astype(dtype) @ y.generator
        dim = len(moved)
        equation = jnp.eye(dim * dim, dtype=dtype) - jnp.kron(moved, moved)
        found = jnp.linalg.solve(equation, self.start.astype(dtype).ravel()).reshape(dim, dim)
        # With a definite start the solution is definite if, and only if, the system is stable (Lyapunov).
        stable = jnp.min(jnp.linalg.eigvalsh((found + found.T) / 2)) > 0
        return found * jnp.where(stable, 1.0, jnp.nan).astype(dtype)


def _both(blocks: Players[Any]) -> Players[Array]:
    return Players(*(_checks.floats(jnp.asarray(each)) for each in (blocks.discriminator, blocks.generator)))


def _fits(name: str, block: Array, shape: tuple[int, ...]) -> None:
    if block.shape != shape:
        raise ValueError(f"`{name}` must have the shape {shape}, but has {block.shape}: see the argument's shape.")
