import abc

import equinox as eqx
import jax
import lineax as lx
from jaxtyping import PyTree

from .._types import Args, RealScalarLike, State

STEP_OF_UPDATE = "It is that of the update whose noise this is."


class AbstractDiffusion(eqx.Module):
    """What multiplies the Brownian motion. To add one, implement `increments`, `__call__` and `additive`.

    It goes into `diffrax.ControlTerm` as it is, with a Brownian path of the shape of `increments`.
    """

    @property
    @abc.abstractmethod
    def additive(self) -> bool:
        """Whether the noise is the same at all states: then Itô's and Stratonovich's equation are one."""

    @abc.abstractmethod
    def increments(self, y: State, args: Args) -> PyTree[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the Brownian increments."""

    @abc.abstractmethod
    def __call__(self, t: RealScalarLike, y: State, args: Args) -> lx.AbstractLinearOperator:
        """The operator from Brownian increments to increments of the state.

        Args:
            t: Time.
            y: State.
            args: Handed to the field: the population.
        """
