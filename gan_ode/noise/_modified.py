import jax
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, State
from ._diffusion import AbstractDiffusion, STEP_OF_UPDATE


class Modified(AbstractDiffusion):
    r"""The noise that simultaneous steps really make, to second order in the step size.

    $\tilde\sigma = \sigma - \tfrac h2 (F'\sigma + \sigma'[F])$: a step adds its noise at its end, an equation all
    along, and this is the difference. The modified drift alone, $F - \tfrac h2 F'F$, makes means right to second order,
    but leaves an error of relative order $h$ in variances; with both it is $h^2$.

    Source: our own, so that one step of the equation adds the covariance $h\,\sigma\sigma^T$; for a linear field
    $\tilde Q = Q - \tfrac h2 (JQ + QJ^T) + O(h^2)$. The drift alone: Li, Tai and E (2017), arXiv:1511.06251.

    Args:
        diffusion: The noise $\sigma$, for example `LowRank`.
        field: The field $F$, unmodified.
        step_size: $h > 0$ of the update.
    """

    diffusion: AbstractDiffusion
    field: Field
    step_size: Float[Array, ""]

    def __init__(self, diffusion: AbstractDiffusion, field: Field, step_size: RealScalarLike):
        self.diffusion = diffusion
        self.field = field
        self.step_size = _checks.positive("step_size", step_size, STEP_OF_UPDATE)

    @property
    def additive(self) -> bool:
        return False

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """Those of the noise."""
        return self.diffusion.increments(y, args)

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        def mv(increments: PyTree[Array]) -> State:
            def noise(y: State) -> State:
                return self.diffusion(t, y, args).mv(increments)

            velocity = self.field(t, y, args)
            here, along_flow = jax.jvp(noise, (y,), (velocity,))
            carried = jax.jvp(lambda y: self.field(t, y, args), (y,), (here,))[1]
            return _tree.step(here, -self.step_size / 2, _tree.add(carried, along_flow))

        return lx.FunctionLinearOperator(mv, self.increments(y, args))
