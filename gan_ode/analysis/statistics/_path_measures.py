"""What the velocity does on the way between two states."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._types import Args, Field, RealScalarLike, Scalar, State


@printed
class PathMeasures(eqx.Module):
    r"""The velocity on a straight line between two states.

    Attributes:
        positions: $\alpha$, shape `(positions,)`: 0 at the start, 1 at the end.
        angle: The path-angle: the cosine of the angle between the velocity and the line's direction; NaN where the
            velocity is zero.
        norm: The path-norm $\lVert F \rVert$, in units of the state over time.
    """

    positions: Float[Array, " positions"]
    angle: Float[Array, " positions"]
    norm: Float[Array, " positions"]

    def _report(self) -> Report:
        columns = zip(*map(np.asarray, (self.positions, self.angle, self.norm)), strict=True)
        rows = [tuple(number(value) for value in row) for row in columns]
        return Report(f"PathMeasures at {len(rows):,} positions", {}, ("position", "angle", "norm"), rows)


@guarded("y", like="toward")
def path_angle(field: Field, y: State, toward: State, *, args: Args = None, t: RealScalarLike = 0.0) -> Scalar:
    r"""The cosine of the angle between the velocity at a state and the way to another one.

    $$\frac{\langle F(y),\, y^* - y \rangle}{\lVert F(y) \rVert\, \lVert y^* - y \rVert}$$

    1 where the orbit heads straight for $y^*$, 0 where it circles, below 0 where it leaves. Along an orbit that is
    recorded it shows which of these training does, as `fields.velocity_size`, the path-norm, shows how fast:

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games, iterate, losses, updates

    game = games.Dirac(losses.Wasserstein())
    field, y0 = fields.GameField(game), games.Players(jnp.array(0.3), jnp.array(1.0))
    orbit = iterate(
        updates.Alternating(0.1), field, y0, 10,
        record=lambda t, y, args: analysis.path_angle(field, y, game.equilibrium, args=args, t=t),
    )
    assert jnp.allclose(orbit.ys, 0.0, atol=1e-15)  # it circles
    ```

    Source: Berard et al. (2020), arXiv:1906.04848, section 4, there on a straight line and of the gradients: the sign
    here is that of the velocity, their negative.

    Args:
        field: The field.
        y: The state.
        toward: The other state, for example an equilibrium, or where an earlier run ended.
        args: Handed to the field: a minibatch, or None.
        t: Time.

    Returns:
        The cosine, without unit; NaN where the velocity or the way is zero.
    """
    return _cosine(field(t, y, args), _tree.subtract(toward, y))


@guarded("start", like="end")
def path_measures(
    field: Field,
    start: State,
    end: State,
    positions: Float[Array, " positions"] | None = None,
    *,
    args: Args = None,
    t: RealScalarLike = 0.0,
) -> PathMeasures:
    r"""Path-angle and path-norm on the straight line from one state through another, often the last of a run.

    At $y_\alpha = (1 - \alpha)\, y_0 + \alpha\, y_1$ the cosine of the angle between $F(y_\alpha)$ and $y_1 - y_0$, and
    $\lVert F(y_\alpha) \rVert$. Where the end attracts the angle changes its sign there, from 1 to -1; where it only
    turns orbits around it, the angle keeps near 0 or has a bump beside the end; the norm is zero at an equilibrium.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis

    def attracts(t, y, args):
        return -y

    found = analysis.path_measures(attracts, jnp.array([2.0, 0.0]), jnp.zeros(2), jnp.array([0.0, 0.5, 1.5]))
    assert jnp.allclose(found.angle, jnp.array([1.0, 1.0, -1.0]))
    assert jnp.allclose(found.norm, jnp.array([2.0, 1.0, 1.0]))
    ```

    Source: Berard et al. (2020), arXiv:1906.04848, section 4; the sign is that of the velocity, not of the gradients.

    Args:
        field: The field.
        start: Where the line begins, of the structure of a state.
        end: What it leads through.
        positions: $\alpha$, shape `(positions,)`; by default 201 of them from 0 to 2.
        args: Handed to the field: a minibatch, or None.
        t: Time.

    Returns:
        Positions, angle and norm. Traceable; one velocity for each position, one after the other.

    Raises:
        ValueError: If `positions` is not one axis of finite numbers.
    """
    dtype = _tree.dtype(start)
    positions = jnp.linspace(0.0, 2.0, 201) if positions is None else _checks.axis("positions", positions)
    return _along(field, start, end, positions.astype(dtype), args, t)


@jit
def _along(
    field: Field, start: State, end: State, positions: Float[Array, " positions"], args: Args, t: RealScalarLike
) -> PathMeasures:
    direction = _tree.subtract(end, start)

    def one(position: Scalar) -> tuple[Scalar, Scalar]:
        velocity = field(t, _tree.step(start, position, direction), args)
        return _cosine(velocity, direction), _tree.norm(velocity)

    # One after the other: states may be those of networks.
    angle, norm = jax.lax.map(one, positions)
    return PathMeasures(positions, angle, norm)


def _cosine(left: State, right: State) -> Scalar:
    # Normalized first, whose squares would overflow or vanish in single precision.
    left, right = (_tree.scale(1 / _tree.largest(each), each) for each in (left, right))
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), left, right)
    return jax.tree.reduce(jnp.add, products) / (_tree.norm(left) * _tree.norm(right))
