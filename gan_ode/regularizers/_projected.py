from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import _checks, _tree
from .._types import Args, Field, RealScalarLike, Scalar, State
from ..games import Players


class Projected(eqx.Module):
    r"""The field of a discriminator whose parameters are held within a box or a ball: clipping in continuous time.

    Within, it is the field. On the border the part of the discriminator's velocity that points outward is taken away,
    so that it slides along until the velocity points inward again. In a box $|\theta_i| \le c$ that part is each
    number's own; in a ball $\lVert\theta_D\rVert \le c$ it is the one along $\theta_D$, over all its parameters. The
    generator is free. It is the limit of small steps of `updates.Clipped`. An equilibrium there may be one that the
    field has not: at a border that the discriminator is pressed against.

    The Dirac-GAN with the Wasserstein loss keeps cycling: from $(\psi, \theta) = (0, R)$ with $R > c$ it turns until
    $\psi = c$, slides until $\theta = 0$, and stays on the circle of radius $c$.

    The velocity jumps where the border is reached, and nowhere else: past the border, where a step of a solver ends up
    by its own error, the field is that of the nearest point within, so that no solver goes to and fro between two
    sides. An adaptive one finds the moment by some twenty rejected steps. In a box the sliding parameters then stay as
    they are. On a curved border rounding and errors lead inward, too; there the border is a layer, a `margin` thick, in
    which a sliding state moves gently to $\lVert\theta_D\rVert = c$. A ball's orbit is right to within this margin,
    which should be some hundred times the tolerance.

    ```python
    from gan_ode import fields, games, losses, regularizers

    field = fields.GameField(games.Dirac(losses.Wasserstein()))
    clipped = regularizers.Projected(field, 0.5)
    ```

    Source: clipping is that of Arjovsky et al. (2017), arXiv:1701.07875, algorithm 1; the projected dynamical system
    that of Dupuis and Nagurney (1993), Ann. Oper. Res. 44. The orbit of the Dirac-GAN is rederived.

    Args:
        field: A field of `Players`.
        bound: $c > 0$, in units of the parameters. A discriminator that starts outside counts as the nearest one
            within.
        shape: `"box"` or `"ball"`.
        margin: Thickness of a ball's border, relative to $c$; by default the rounding of the state's dtype to the power
            1/3, 6e-6 in double and 5e-3 in single precision. Not for a box, which needs none.

    Raises:
        ValueError: If `bound` or `margin` is not above 0 and finite (under a transformation a RuntimeError, when it
            runs), `shape` is neither of the two, or the state is not of two players.
    """

    field: Field
    bound: Float[Array, ""]
    shape: Literal["box", "ball"] = eqx.field(static=True)
    margin: Float[Array, ""] | None

    def __init__(
        self,
        field: Field,
        bound: RealScalarLike,
        shape: Literal["box", "ball"] = "box",
        *,
        margin: RealScalarLike | None = None,
    ):
        _checks.one_of("shape", shape, ("box", "ball"))
        self.field = field
        self.bound = _checks.positive("bound", bound, "It is the largest size of a parameter, 0.01 in the paper.")
        self.shape = shape
        self.margin = None if margin is None else _checks.positive("margin", margin, "For example 1e-5.")

    def __call__(self, t: RealScalarLike, y: Players, args: Args = None) -> Players:
        """The velocities, the discriminator's along the border where it is held.

        Args:
            t: Time.
            y: The players' parameters.
            args: Handed to the field.

        Returns:
            Velocities of the shape of `y`.
        """
        if not isinstance(y, Players):
            raise ValueError(f"`y` must be `games.Players` for `Projected`, but is {type(y).__name__}.")
        bound = self.bound.astype(_tree.dtype(y.discriminator))
        project = _onto_box if self.shape == "box" else _onto_ball
        velocity = self.field(t, Players(project(y.discriminator, bound), y.generator), args)
        if self.shape == "box":
            held = _along_box(y.discriminator, velocity.discriminator, bound)
        else:
            margin = jnp.finfo(bound.dtype).eps ** (1 / 3) if self.margin is None else self.margin
            held = _along_ball(y.discriminator, velocity.discriminator, bound, jnp.asarray(margin, bound.dtype))
        return Players(held, velocity.generator)


def _onto_box(discriminator: State, bound: Scalar) -> State:
    return jax.tree.map(lambda leaf: jnp.clip(leaf, -bound.astype(leaf.dtype), bound.astype(leaf.dtype)), discriminator)


def _along_box(discriminator: State, velocity: State, bound: Scalar) -> State:
    def held(leaf: Array, speed: Array) -> Array:
        return jnp.where((jnp.abs(leaf) >= bound.astype(leaf.dtype)) & (leaf * speed > 0), 0, speed)

    return jax.tree.map(held, discriminator, velocity)


def _onto_ball(discriminator: State, bound: Scalar) -> State:
    return _tree.scale(bound / jnp.maximum(_size(discriminator), bound), discriminator)


def _along_ball(discriminator: State, velocity: State, bound: Scalar, margin: Scalar) -> State:
    size = _size(discriminator)
    # Past the border the velocity is that of the nearest point, so the turn is as fast as there.
    reach = jnp.maximum(size, bound)
    direction = _tree.scale(1 / jnp.where(size > 0, size, 1), discriminator)
    outward = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, direction, velocity)), start=jnp.zeros_like(bound))
    # Errors of a sliding solver may lead a little inward, where the whole velocity would throw it out again.
    back = (bound - size) * _size(velocity) / bound
    sliding = _tree.scale(reach / bound, _tree.step(velocity, -outward, direction))
    on_border = (size >= bound * (1 - margin)) & (outward > 0)
    return _tree.where(on_border, _tree.step(sliding, back, direction), velocity)


def _size(tree: State) -> Scalar:
    """The norm, with a derivative of zero where it is zero."""
    square = _tree.squared_norm(tree)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
