import abc
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._inherited_claims import says
from .._types import Args

_Item = TypeVar("_Item")


class Players(eqx.Module, Generic[_Item]):
    """One thing for each player: parameters, velocities, losses, rates.

    As a state, each part is any pytree of floating-point arrays. The discriminator comes first, as in the paper's
    Jacobian.

    Attributes:
        discriminator: The discriminator's part.
        generator: The generator's part.
    """

    discriminator: _Item
    generator: _Item


class AbstractGame(eqx.Module):
    """A two-player game. To add one, implement `losses`.

    Two attributes are optional. A class variable `zero_sum = True` says that the generator's loss differs from minus
    the discriminator's by nothing that depends on the generator, and saves a backward pass. A method
    `gradients(y, args)` gives each player's gradient of its own loss where that is cheaper than differentiating
    `losses`. Both are said of the `losses` of the same class: where a class made of it writes `losses` anew, they are
    not used, unless it says them anew.
    """

    @abc.abstractmethod
    def losses(self, y: Players, args: Args) -> Players:
        """What each player minimizes.

        Args:
            y: The players' parameters.
            args: Whatever the losses need beside them: a minibatch, or None.

        Returns:
            Two scalars.
        """


class FromLosses(AbstractGame):
    """A game made of a plain function.

    Args:
        function: `function(y, args)`, which returns `Players` of two scalar losses.
    """

    function: Callable[[Players, Args], Players]

    def losses(self, y: Players, args: Args) -> Players:
        return self.function(y, args)


def gradients(game: Any, y: Players, args: Args) -> Players:
    """Each player's gradient of its own loss, from one evaluation of the losses.

    A zero-sum game takes one backward pass, others one for each player; under `jax.jit` the half that nobody uses is
    dropped.

    Args:
        game: Any object with a method `losses(y, args)`.
        y: The players' parameters.
        args: Handed to the losses.

    Returns:
        The gradients, of the shape of `y`.

    Raises:
        ValueError: If the losses are not `Players` of two scalars.
    """
    own = says(game, "gradients", "losses", otherwise=None)
    if own is not None:
        return own(y, args)

    def losses(players: Players) -> Players:
        return _two_scalars(game.losses(players, args))

    if says(game, "zero_sum", "losses", otherwise=False):
        of_both = jax.grad(lambda players: losses(players).discriminator)(y)
        return Players(of_both.discriminator, jax.tree.map(jnp.negative, of_both.generator))
    found, pull_back = jax.vjp(losses, y)
    one, zero = jnp.ones_like(found.discriminator), jnp.zeros_like(found.generator)
    (of_discriminator,) = pull_back(Players(one, zero))
    (of_generator,) = pull_back(Players(jnp.zeros_like(one), jnp.ones_like(zero)))
    return Players(of_discriminator.discriminator, of_generator.generator)


def _two_scalars(losses: Any) -> Players:
    remedy = "return `Players(discriminator=..., generator=...)` of two scalars, what each player minimizes."
    if not isinstance(losses, Players):
        raise ValueError(f"`losses` must return `Players`, but returned {type(losses).__name__}: {remedy}")
    losses = jax.tree.map(jnp.asarray, losses)
    shapes = [jnp.shape(leaf) for leaf in (losses.discriminator, losses.generator)]
    if any(shapes):
        raise ValueError(f"`losses` must return scalars, but returned shapes {shapes[0]} and {shapes[1]}: {remedy}")
    return losses
