import equinox as eqx
from jaxtyping import Array, Float

from .. import _checks, _optimizers, _tree
from .._competitive import mutual_answer
from .._types import Args, Field, RealScalarLike
from ..games import Players
from ._update import AbstractUpdate, POSITIVE_STEP


class CompetitiveGradient(AbstractUpdate):
    r"""Competitive gradient descent: both players step as the equilibrium of their game's bilinear model asks.

    Each player answers the other one's step, with the mixed second derivatives of the losses:

    $$\Delta_D = h\,(F_D + \partial_G F_D\,\Delta_G), \qquad \Delta_G = h\,(F_G + \partial_D F_G\,\Delta_D),
    \qquad y \leftarrow y + \Delta.$$

    With $B$ the Jacobian of the field without its two diagonal blocks, $(I - hB)\,\Delta = hF$. On a bilinear game
    that is implicit Euler, $m = 1/(1 - h\lambda)$, which converges for every $h$; a player's own curvature is left to
    an explicit step: at an equilibrium the Jacobian of a step is $(I - hB)^{-1} (I + h\,(J - B))$.

    No matrix is formed and nothing is carried from step to step: the field is linearized once, and GMRES asks for
    products with $B$, of two directional derivatives each. A step whose equations are not
    solved in `max_products` of them is a state of NaN, and `iterate` ends with `root_find_failed`.

    ```python
    from gan_ode import updates

    update = updates.CompetitiveGradient(0.1)
    ```

    Source: Schäfer and Anandkumar (2019), arXiv:1905.12103, equation 4 (their algorithm 1), in the
    form that leaves both steps unknown. The Jacobian is rederived.

    Args:
        step_size: $h > 0$; large steps need more products.
        rtol: Residual of the linear equations relative to their right-hand side; by default the rounding of the
            state's dtype to the power 3/4, 2e-12 in double and 6e-6 in single precision.
        max_products: Most products for one step, and vectors of the size of the state that are kept meanwhile.

    Raises:
        ValueError: If `step_size` or `rtol` is not above 0 and finite (under a transformation a RuntimeError when it
            runs), `max_products` is no whole number of at least 1, or the state is not of two players.
    """

    step_size: Float[Array, ""]
    rtol: Float[Array, ""] | None
    max_products: int = eqx.field(static=True)

    def __init__(self, step_size: RealScalarLike, *, rtol: RealScalarLike | None = None, max_products: int = 40):
        self.step_size = _checks.positive("step_size", step_size, POSITIVE_STEP)
        self.rtol = None if rtol is None else _checks.positive("rtol", rtol, "For example 1e-6.")
        self.max_products = _checks.count("max_products", max_products)

    @property
    def may_fail(self) -> bool:
        """Always: a step solves equations."""
        return True

    def init(self, field: Field, y: Players, args: Args) -> None:
        _optimizers.two_players(self, y)

    def step(self, field: Field, t: RealScalarLike, y: Players, args: Args, memory: None) -> tuple[Players, None]:
        answer = mutual_answer(field, t, y, args, self.step_size, rtol=self.rtol, max_products=self.max_products)
        return _tree.step(y, self.step_size, answer), None
