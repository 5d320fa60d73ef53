from ... import _tree
from ..._types import Args, Field, RealScalarLike, State
from ._adjustment import AbstractAdjustment
from ._jacobian_products import jacobian_products


class CrossingTheCurl(AbstractAdjustment):
    r"""Moves across the rotation alone: the velocity becomes $(F' - F'^T) F$, *in the place of* $F$.

    Where `SymplecticGradient` adds half of this, times its weight, to the velocity, here the plain velocity is taken
    away: no state rotates, and the speed has the units of the field's squared. In three dimensions it is the cross
    product $(\nabla \times F) \times F$. At an equilibrium with the Jacobian $J$ it is $(J - J^T) J$. A rotation
    $\pm i\omega$ becomes a decay with the double eigenvalue $-2\omega^2$: $-1/2$ on the Dirac-GAN with the minimax
    loss, $-8/9$ on the linear-quadratic Wasserstein GAN, whose equilibrium it makes the end of every orbit. Where
    nothing rotates, nothing moves: a gradient flow stands still under it. Two products with the Jacobian.

    ```python
    from gan_ode import fields, games, losses, regularizers

    field = fields.GameField(games.LinearQuadratic(losses.Wasserstein()))
    across = regularizers.Adjusted(field, regularizers.CrossingTheCurl())
    ```

    Source: Gemp and Mahadevan (2018), arXiv:1808.01531, who write it for the map $-F$ of a variational inequality; the
    sign and the eigenvalues are rederived.
    """

    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> State:
        """The velocity across, less the plain one."""
        velocity, forward, back = jacobian_products(field, t, y, args)
        return _tree.subtract(_tree.subtract(forward, back), velocity)
