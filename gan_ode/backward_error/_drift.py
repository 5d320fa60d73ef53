import equinox as eqx

from .. import _checks, _tree, fields
from .._rules import Rule
from .._types import Args, Field, RealScalarLike
from ..games import Players
from . import _one_step
from ._modified import FORWARD, Modified, Terms


def drift(rule: Rule, field: Field, step_size: RealScalarLike, order: int = 2) -> Field:
    r"""What the step size adds to the field: the modified field without its first term, $h F_1 + h^2 F_2 + \dots$

    It is the sum of `self_drift` and `interaction_drift`.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field.
        step_size: $h > 0$.
        order: Order of the modified field, at least 2: the drift has one term less.

    Returns:
        A field.

    Raises:
        ValueError: As `modified_field`.
    """
    update = _one_step.make(rule, _checks.positive("step_size", step_size, FORWARD))
    return Modified(Terms(update, field, _checks.count("order", order, least=2)), first=1)


def self_drift(rule: Rule, field: Field, step_size: RealScalarLike, order: int = 2) -> Field:
    r"""The part of the drift that each player has by itself: the drift with the other player frozen.

    To first order $-\tfrac h2\, \partial_D F_D\, F_D$ and $-\tfrac h2\, \partial_G F_G\, F_G$ for simultaneous steps
    and for 1 : 1 alternating ones; with $m$ steps of size $h/m$ in a round, $1/m$ of it. For a player who minimizes
    $L$ it adds $\tfrac h4 \lVert\nabla L\rVert^2$ to the loss, as in plain gradient descent.

    Source: Rosca, Wu, Dherin and Barrett (2021), arXiv:2105.13922, theorems 3.1 and 3.2; rederived, with one clock for
    both players.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: A field of `Players`.
        step_size: $h > 0$.
        order: Order of the modified field, at least 2.

    Returns:
        A field: each player's drift.

    Raises:
        ValueError: As `modified_field`.
    """
    alone = Players(fields.discriminator_only(field), fields.generator_only(field))
    return _EachAlone(
        Players(
            drift(rule, alone.discriminator, step_size, order),
            drift(rule, alone.generator, step_size, order),
        )
    )


def interaction_drift(rule: Rule, field: Field, step_size: RealScalarLike, order: int = 2) -> Field:
    r"""The part of the drift that comes from the other player's moving: `drift` without `self_drift`.

    To first order $-\tfrac h2\, \partial_G F_D\, F_G$ and $-\tfrac h2\, \partial_D F_G\, F_D$ for simultaneous steps;
    for alternating ones, the discriminator first, the generator's changes its sign. For a zero-sum value the latter is
    what `GradientNorm` adds with $\eta = -h/4$ for simultaneous and with $\eta = +h/4$ for alternating steps: the
    regularizer of Nagarajan and Kolter undoes what simultaneous steps do, and alternating steps bring it with them.

    Source: as `self_drift`.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: A field of `Players`.
        step_size: $h > 0$.
        order: Order of the modified field, at least 2.

    Returns:
        A field: each player's drift.

    Raises:
        ValueError: As `modified_field`.
    """
    return _Difference(drift(rule, field, step_size, order), self_drift(rule, field, step_size, order))


class _EachAlone(eqx.Module):
    fields: Players[Field]

    def __call__(self, t: RealScalarLike, y: Players, args: Args = None) -> Players:
        return Players(self.fields.discriminator(t, y, args).discriminator, self.fields.generator(t, y, args).generator)


class _Difference(eqx.Module):
    left: Field
    right: Field

    def __call__(self, t: RealScalarLike, y: Players, args: Args = None) -> Players:
        return _tree.subtract(self.left(t, y, args), self.right(t, y, args))
