import jax
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, Field, RealScalarLike, State
from ._adjustment import AbstractAdjustment


class Consensus(AbstractAdjustment):
    r"""Pulls both players toward smaller speed: adds $-\gamma \nabla \tfrac12 \lVert F\rVert^2 = -\gamma F'^T F$.

    At an equilibrium the Jacobian $A$ becomes $A - \gamma A^T A$: a rotation $\pm i\omega$ is damped at the rate
    $\gamma\omega^2$. Any zero of $F'^T F$ is an equilibrium too, wanted or not. One vector-Jacobian product.

    Source: Mescheder, Nowozin and Geiger (2017), arXiv:1705.10461, equation 9.

    Args:
        gamma: Weight $\gamma \ge 0$, in units of time.

    Raises:
        ValueError: If `gamma` is negative or not finite; under a transformation a RuntimeError, when it runs.
    """

    gamma: Float[Array, ""]

    def __init__(self, gamma: RealScalarLike):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight undoes the damping.")

    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> State:
        """The pull."""
        velocity, pull_back = jax.vjp(lambda y: field(t, y, args), y)
        return _tree.scale(-self.gamma, pull_back(velocity)[0])
