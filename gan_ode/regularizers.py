r"""Terms added to the players' losses, or to the field.

`Penalized(game, penalty)` is again a game, `Adjusted(field, adjustment)` again a field. Two gradients are easily mixed
up: the regularizer of Nagarajan and Kolter (`GradientNorm`) is the gradient of the value with respect to the
discriminator's *parameters* and is paid by the generator; `R1` is the gradient of the score with respect to the
discriminator's *input* and is paid by the discriminator.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import _checks, _tree
from ._types import Args, Field, RealScalarLike, State
from .games import AbstractGame, AbstractSampledGame, gradients, Players


class AbstractPenalty(eqx.Module):
    """A term for each player's loss. To add one, implement `losses`.

    A method `gradients(game, y, args)` is optional: the gradients of the players' whole penalized losses, where they
    can be had more cheaply than by differentiating the values.
    """

    @abc.abstractmethod
    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """What is added to each player's loss: two scalars."""


class Penalized(AbstractGame):
    """A game with a penalty added to its losses; penalized games can be penalized again.

    Args:
        game: Any object with a method `losses(y, args)`.
        penalty: What is added.
    """

    game: Any
    penalty: AbstractPenalty

    def losses(self, y: Players, args: Args) -> Players:
        """The game's losses and the penalty's terms, added."""
        return _tree.add(self.game.losses(y, args), self.penalty.losses(self.game, y, args))

    def gradients(self, y: Players, args: Args) -> Players:
        """Each player's gradient of its own penalized loss."""
        own = getattr(self.penalty, "gradients", None)
        return gradients(_Sum(self), y, args) if own is None else own(self.game, y, args)


class _Sum(eqx.Module):
    """The penalized losses without the shortcut, for penalties that have none."""

    penalized: Penalized

    def losses(self, y: Players, args: Args) -> Players:
        return self.penalized.losses(y, args)


class GradientNorm(AbstractPenalty):
    r"""Damps the generator by the discriminator's gradient.

    Adds $\eta\,\lVert\nabla_{\theta_D} V\rVert^2$ to the generator's loss. It keeps every equilibrium, and makes a
    Wasserstein GAN locally exponentially stable. The field is sheared:
    $F_\eta = [[I, 0], [-2\eta B^T, I]] F_0$ with $B = \partial_{\theta_G} \nabla_{\theta_D} V$, at the cost of one
    derivative along $\nabla_{\theta_D} V$ inside the generator's backward pass.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, section 4; the shear rederived.

    Args:
        eta: Weight $\eta \ge 0$, in units of inverse loss.

    Raises:
        ValueError: If `eta` is negative or not finite; under a transformation a RuntimeError, when it runs.
    """

    eta: Float[Array, ""]

    def __init__(self, eta: RealScalarLike):
        self.eta = _checks.not_negative("eta", eta, "A negative weight undoes the damping.")

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """Nothing, and the penalty."""
        steepest = gradients(game, y, args).discriminator
        penalty = _tree.scale(self.eta, _tree.squared_norm(steepest))
        return Players(discriminator=jnp.zeros_like(penalty), generator=penalty)

    def gradients(self, game: Any, y: Players, args: Args) -> Players:
        """Each player's gradient of its whole loss, by reverse over forward mode in one pass."""
        steepest = gradients(game, y, args).discriminator

        def damped(generator: Any) -> Array:
            # With the direction held constant, the gradient of 2 eta <v, grad_D V> is that of eta |grad_D V|^2.
            losses, along = jax.jvp(
                lambda discriminator: game.losses(Players(discriminator, generator), args),
                (y.discriminator,),
                (steepest,),
            )
            return losses.generator + _tree.scale(2 * self.eta, along.discriminator)

        return Players(discriminator=steepest, generator=jax.grad(damped)(y.generator))


class R1(AbstractPenalty):
    r"""Damps the discriminator by the slope of its score at the data.

    Adds $\tfrac{\gamma}{2} E_x \lVert\nabla_x D(x)\rVert^2$ to the discriminator's loss. On the Dirac-GAN it moves the
    eigenvalues from $\pm i/2$ to $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$.

    Source: Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, equation 9.

    Args:
        gamma: Weight $\gamma \ge 0$.

    Raises:
        ValueError: If `gamma` is negative or not finite; under a transformation a RuntimeError, when it runs. Also
            when the game has no samples to take the slope at.
    """

    gamma: Float[Array, ""]

    def __init__(self, gamma: RealScalarLike):
        self.gamma = _checks.not_negative("gamma", gamma, "A negative weight undoes the damping.")

    def losses(self, game: Any, y: Players, args: Args) -> Players:
        """The penalty, and nothing."""
        base = _sampled(game)
        data, _ = base.measures(y, args)
        slopes = jax.vmap(jax.grad(base.discriminate, argnums=1), in_axes=(None, 0))(y.discriminator, data.nodes)
        penalty = _tree.scale(0.5 * self.gamma, data.mean(jax.vmap(_tree.squared_norm)(slopes)))
        return Players(discriminator=penalty, generator=jnp.zeros_like(penalty))


class AbstractAdjustment(eqx.Module):
    """A velocity added to a field, which need not be the gradient of anything. To add one, implement `__call__`."""

    @abc.abstractmethod
    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> State:
        """What is added to `field(t, y, args)`."""


class Adjusted(eqx.Module):
    """A field with an adjustment added to its velocity; adjusted fields can be adjusted again.

    Args:
        field: Any field.
        adjustment: What is added.
    """

    field: Field
    adjustment: AbstractAdjustment

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> State:
        """The adjusted velocity."""
        return _tree.add(self.field(t, y, args), self.adjustment(self.field, t, y, args))


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


def unwrap(game: Any) -> tuple[Any, tuple[Any, ...]]:
    """What is inside any number of penalties.

    Args:
        game: A game, penalized or not.

    Returns:
        The game without penalties, and the penalties, the innermost first.
    """
    penalties = []
    while hasattr(game, "game") and hasattr(game, "penalty"):
        penalties.insert(0, game.penalty)
        game = game.game
    return game, tuple(penalties)


def _sampled(game: Any) -> AbstractSampledGame:
    """The game of scores and samples inside any number of penalties."""
    inner, _ = unwrap(game)
    if not hasattr(inner, "discriminate"):
        raise ValueError(
            f"`game` must score samples for this penalty, but {type(inner).__name__} has no `discriminate`: "
            "use an `AbstractSampledGame`, or `GradientNorm`, which needs only the losses."
        )
    return inner
