r"""The vector field of a game: training in the limit of small steps.

$\dot\theta_D = -r_D \nabla_D L_D$ and $\dot\theta_G = -r_G \nabla_G L_G$, where the rates $r$ are the players' learning
rates relative to the step size. A field is any callable `(t, y, args) -> dy/dt`, so these go into
`diffrax.ODETerm`, `optimistix.root_find`, `jax.vmap`, `jax.grad` and `jax.jit` as they are.
"""

from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array, Float

from . import _checks, _problem, _tree
from ._lowering import expand_narrow_products
from ._types import Args, Field, RealScalarLike, State
from ._unrolled_discriminator import unrolled_velocity
from .games import gradients, Players


class GameField(eqx.Module):
    r"""Minus the simultaneous gradient of a game.

    Both gradients come from one evaluation of the losses, and a penalized game's at about the cost of a plain one.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, equation 2; unequal rates as in Heusel et al. (2017),
    arXiv:1706.08500.

    Args:
        game: Any object with a method `losses(y, args)` that returns `Players` of two scalars.
        rates: The players' learning rates $r_D, r_G \ge 0$; 1 each by default. Time is in units of the step size.

    Raises:
        ValueError: If `game` is none, or a class of one; if a rate is negative or not finite.
    """

    game: Any
    rates: Players

    def __init__(self, game: Any, rates: Players[RealScalarLike] | None = None):
        _problem.a_game(game)
        rates = Players(1.0, 1.0) if rates is None else rates
        remedy = "A player who does not move has rate 0."
        self.game = game
        self.rates = Players(
            _checks.not_negative("rates.discriminator", rates.discriminator, remedy),
            _checks.not_negative("rates.generator", rates.generator, remedy),
        )

    def __call__(self, t: RealScalarLike, y: Players, args: Args = None) -> Players:
        """The velocities.

        Args:
            t: Time; not used, since the field is autonomous.
            y: The players' parameters.
            args: Handed to the losses: a minibatch, or None.

        Returns:
            Velocities of the shape of `y`.

        Raises:
            ValueError: If `y` is not `Players`, or the losses are not `Players` of two scalars.
        """
        if not isinstance(y, Players):
            found = f"an array of shape {y.shape}" if isinstance(y, Array) else type(y).__name__
            raise ValueError(
                f"`y` must be `games.Players`, but is {found}: write `Players(discriminator=..., generator=...)`."
            )
        downhill = expand_narrow_products(gradients, self.game, y, args)
        return Players(
            _tree.scale(-self.rates.discriminator, downhill.discriminator),
            _tree.scale(-self.rates.generator, downhill.generator),
        )


class _OnePlayer(eqx.Module):
    field: Field
    moving: Literal["discriminator", "generator"] = eqx.field(static=True)

    def __call__(self, t: RealScalarLike, y: Players, args: Args = None) -> Players:
        still = jax.tree.map(lambda leaf: 0 * leaf, y)
        moved = self.field(t, y, args)
        return eqx.tree_at(lambda players: getattr(players, self.moving), still, getattr(moved, self.moving))


def discriminator_only(field: Field) -> Field:
    """The field with the generator held still: its velocity is zero, its parameters stay in the state."""
    return _OnePlayer(field, "discriminator")


def generator_only(field: Field) -> Field:
    """The field with the discriminator held still: its velocity is zero, its parameters stay in the state."""
    return _OnePlayer(field, "generator")


class Unrolled(eqx.Module):
    r"""The field of a generator that sees the discriminator some steps ahead, and its own say in them.

    The discriminator moves as before. The generator descends $V(\theta_D^k(\theta_D, \theta_G), \theta_G)$, where
    $\theta_D^k$ is the discriminator after $k$ gradient steps of size $h$ with the generator held:

    $$\dot\theta_G = F_G(\theta_D^k, \theta_G)
      - \Big(\frac{\partial\theta_D^k}{\partial\theta_G}\Big)^T F_D(\theta_D^k, \theta_G).$$

    Every equilibrium stays one. To first order in $k h$ this is the gradient-norm regularizer with $\eta = k h$, and
    exactly so where $V$ is linear in the discriminator. A game that is not zero-sum keeps its equilibria too: the
    generator descends a loss of its own, and counts what its say in the discriminator's steps does to $-L_D$.

    Source: Metz et al. (2017), arXiv:1611.02163, equations 5 to 9, in terms of the field, for games that are zero-sum;
    the relation to the regularizer rederived.

    Args:
        field: The field of a game, its players' rates equal. (With other rates the generator's say is weighted by
            $r_D / r_G$.)
        steps: $k \ge 1$.
        step_size: $h > 0$, in units of time. For steps of an optimizer with a memory there is `updates.UnrolledOptax`.

    Raises:
        ValueError: If `steps` or `step_size` is not positive; the latter under a transformation a RuntimeError, when it
            runs.
    """

    field: Field
    steps: int = eqx.field(static=True)
    step_size: Float[Array, ""]

    def __init__(self, field: Field, steps: int, step_size: RealScalarLike):
        self.field = field
        self.steps = _checks.count("steps", steps)
        self.step_size = _checks.positive("step_size", step_size, "The field itself looks no step ahead.")

    def __call__(self, t: RealScalarLike, y: Players, args: Args = None) -> Players:
        """The velocities, of the shape of `y`."""
        velocity = self.field(t, y, args)

        def advance(uphill: State, here: State, memory: None) -> tuple[State, None]:
            return _tree.step(here, self.step_size, uphill), None

        generator = unrolled_velocity(self.field, advance, t, y, None, args, self.steps)
        return Players(velocity.discriminator, generator)


def velocity_size(field: Field, y: State, args: Args = None, t: RealScalarLike = 0.0) -> jax.Array:
    """Euclidean norm of the velocity at a state: zero at an equilibrium."""
    return _tree.norm(field(t, y, args))
