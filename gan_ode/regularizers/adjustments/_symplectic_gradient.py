import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ._adjustment import AbstractAdjustment
from ._jacobian_products import jacobian_products


class SymplecticGradient(AbstractAdjustment):
    r"""Turns the velocity toward where the game rotates to: adds $-\lambda A^T F$, $A = \tfrac12 (F' - F'^T)$.

    Only the antisymmetric part of the Jacobian is undone: at an equilibrium the Jacobian $J$ becomes
    $(I - \lambda A^T) J$. A rotation $\pm i\omega$ is damped at the rate $\lambda\omega^2$; a gradient flow, whose $A$
    is zero, is left alone, where `Consensus` slows it down and may hold it at a saddle. The Dirac-GAN has the
    eigenvalues $-\lambda/4 \pm i/2$ for the minimax loss. Two products with the Jacobian.

    With `align` the adjustment changes its sign where it would pull away from a stable equilibrium or toward an
    unstable one: with $\nabla H = F'^T F$, the slope of $H = \tfrac12 \lVert F\rVert^2$, $\lambda$ is multiplied by

    $$\operatorname{sign}\Big(\varepsilon -
      \tfrac1n \langle F, \nabla H\rangle \langle A^T F, \nabla H\rangle\Big),$$

    with $n$ the number of parameters. Near an equilibrium the products vanish and the sign is 1, so that the Jacobian
    is the same; where the sign changes, the field jumps.

    ```python
    from gan_ode import fields, games, losses, regularizers

    field = fields.GameField(games.Dirac(losses.Minimax()))
    adjusted = regularizers.Adjusted(field, regularizers.SymplecticGradient(0.5, align=True))
    ```

    Source: Balduzzi et al. (2018), arXiv:1802.05642, the adjustment and its alignment, in terms of
    $F = -\xi$; the eigenvalues are rederived.

    Args:
        weight: $\lambda \ge 0$, in units of time.
        align: Whether the sign is chosen.
        epsilon: $\varepsilon > 0$, what the sign is biased toward 1 by.

    Raises:
        ValueError: If `weight` is negative, `epsilon` not above 0, or either not finite; under a transformation a
            RuntimeError, when it runs.
    """

    weight: Float[Array, ""]
    align: bool = eqx.field(static=True)
    epsilon: Float[Array, ""]

    def __init__(self, weight: RealScalarLike, align: bool = False, *, epsilon: RealScalarLike = 0.1):
        self.weight = _checks.not_negative("weight", weight, "A negative weight undoes the damping.")
        self.align = align
        self.epsilon = _checks.positive("epsilon", epsilon, "It decides the sign at an equilibrium: 0.1 in the paper.")

    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> State:
        """The turn."""
        velocity, forward, back = jacobian_products(field, t, y, args)
        turned = _tree.scale(0.5, _tree.subtract(back, forward))
        weight = -self.weight
        if self.align:
            weight = weight.astype(_tree.dtype(y)) * self._sign(velocity, turned, back)
        return _tree.scale(weight, turned)

    def _sign(self, velocity: State, turned: State, slope: State) -> Scalar:
        product = _inner(velocity, slope) * _inner(turned, slope)
        num = sum(leaf.size for leaf in jax.tree.leaves(velocity))
        return jnp.sign(self.epsilon.astype(product.dtype) - product / num)


def _inner(left: State, right: State) -> Scalar:
    products = jax.tree.map(jnp.vdot, left, right)
    return sum(jax.tree.leaves(products), start=jnp.zeros((), _tree.dtype(left)))
