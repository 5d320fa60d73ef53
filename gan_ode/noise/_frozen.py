import jax
import lineax as lx
from jaxtyping import PyTree

from .._types import Args, RealScalarLike, State
from ._diffusion import AbstractDiffusion


class Frozen(AbstractDiffusion):
    """The noise at one state, taken for the noise at all states: near an equilibrium that is most of it.

    Additive noise: Diffrax has solvers of higher order for it, and Itô's and Stratonovich's equation are one. It holds
    a matrix, of as many rows as there are parameters and as many columns as Brownian motions; of `Diagonal` noise only
    the diagonal.

    Args:
        diffusion: The noise.
        y: The state.
        args: Handed to the field: the population.
    """

    operator: lx.AbstractLinearOperator

    def __init__(self, diffusion: AbstractDiffusion, y: State, args: Args = None):
        # Not the operator itself: its leaves are what it is made of, and a solver may subtract those of two operators.
        self.operator = lx.materialise(diffusion(0.0, y, args))

    @property
    def additive(self) -> bool:
        return True

    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """Those of the noise."""
        return self.operator.in_structure()

    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        return self.operator
