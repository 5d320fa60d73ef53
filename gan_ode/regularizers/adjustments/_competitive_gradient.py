import equinox as eqx
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._competitive import mutual_answer
from ..._types import Args, Field, RealScalarLike
from ...games import Players
from ._adjustment import AbstractAdjustment


class CompetitiveGradient(AbstractAdjustment):
    r"""Lets each player answer the other one's velocity: the field that competitive gradient descent steps along.

    The velocity becomes $v$ with $v_D = F_D + \eta\,\partial_G F_D\, v_G$ and $v_G = F_G + \eta\,\partial_D F_G\, v_D$.
    With $B$ the Jacobian of the field without its two diagonal blocks, $v = (I - \eta B)^{-1} F$. Its equilibria are
    those of the field, and the Jacobian $J$ there becomes $(I - \eta B)^{-1} J$: on a bilinear game an eigenvalue
    $\lambda$ becomes $\lambda / (1 - \eta\lambda)$, so that a rotation $\pm i\omega$ has
    $(-\eta\omega^2 \pm i\omega) / (1 + \eta^2\omega^2)$: it is damped for every $\eta$, and never faster than $1/\eta$.

    A step of size $h = \eta$ of `updates.Simultaneous` along it is one of `updates.CompetitiveGradient`; here the flow,
    the spectra and every other update can be asked as well. No matrix is formed: the field is linearized once, and
    GMRES asks for products with $B$.

    ```python
    from gan_ode import fields, games, losses, regularizers

    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    mutual = regularizers.Adjusted(field, regularizers.CompetitiveGradient(0.5))
    ```

    Source: Schäfer and Anandkumar (2019), arXiv:1905.12103, equation 4, over the step size; the Jacobian is rederived.

    Args:
        step_size: $\eta \ge 0$, how far ahead each player answers, in units of time.
        rtol: Residual of the linear equations relative to the velocity; by default the rounding of the state's dtype to
            the power 3/4, 2e-12 in double and 6e-6 in single precision.
        max_products: Most products for one velocity. Where they are not enough, the velocity is NaN.

    Raises:
        ValueError: If `step_size` is negative or not finite, `rtol` not above 0 (under a transformation a RuntimeError,
            when it runs), or `max_products` no whole number of at least 1.
    """

    step_size: Float[Array, ""]
    rtol: Float[Array, ""] | None
    max_products: int = eqx.field(static=True)

    def __init__(self, step_size: RealScalarLike, *, rtol: RealScalarLike | None = None, max_products: int = 40):
        self.step_size = _checks.not_negative("step_size", step_size, "It is the step that the other player makes.")
        self.rtol = None if rtol is None else _checks.positive("rtol", rtol, "For example 1e-6.")
        self.max_products = _checks.count("max_products", max_products)

    def __call__(self, field: Field, t: RealScalarLike, y: Players, args: Args) -> Players:
        """What answering adds to the plain velocity."""
        plain = field(t, y, args)
        answer = mutual_answer(field, t, y, args, self.step_size, rtol=self.rtol, max_products=self.max_products)
        return _tree.subtract(answer, plain)
