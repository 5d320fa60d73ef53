from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ... import _checks, _tree
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ...games import Players
from ._adjustment import AbstractAdjustment

_TERMS = ("both", "look_ahead", "shaping")


class LOLA(AbstractAdjustment):
    r"""Lets each player reckon with the other one's next step, and with its own say in it: opponent-learning awareness.

    The discriminator descends its loss where the generator will be after a plain step of size $\eta$, to first order
    $L_D + \eta \langle\nabla_G L_D, F_G\rangle$, and the generator likewise:

    $$-\eta \nabla_D \langle\nabla_G L_D, F_G\rangle
      = -\eta\,(\partial_{DG} L_D)\, F_G - \eta\,(\partial_D F_G)^T \nabla_G L_D$$

    is added to the discriminator's velocity. The first term *looks ahead*, the second *shapes* what the other player
    learns. In a zero-sum game the two are equal: shaping then is looking ahead once more. At an equilibrium of a
    zero-sum game with the Jacobian $[[0, K], [-K^T, 0]]$ the added Jacobian is $-2\eta\,[[K K^T, 0], [0, K^T K]]$, that
    of the Dirac-GAN with the minimax loss $-\tfrac\eta2 I$, and the eigenvalues $-\eta/2 \pm i/2$; with one of the
    terms alone, $-\eta/4 \pm i/2$. In a game that is not zero-sum looking ahead keeps every equilibrium, but shaping
    does not.

    `fields.Unrolled` is the same thought for the generator alone, with whole steps in the place of the first order.

    ```python
    from gan_ode import fields, games, losses, regularizers

    field = fields.GameField(games.Dirac(losses.Minimax()))
    aware = regularizers.Adjusted(field, regularizers.LOLA(0.3))
    ```

    Source: Foerster et al. (2018), arXiv:1709.04326, whose rule has the shaping term; both terms as in Letcher et al.
    (2019), arXiv:1811.08455; looking ahead alone is the rule of Zhang and Lesser (2010). The Jacobian is rederived.

    Args:
        step_size: $\eta \ge 0$, the size of the step that is reckoned with, in units of time.
        terms: `"both"`, or `"look_ahead"` or `"shaping"` alone.

    Raises:
        ValueError: If `step_size` is negative or not finite (under a transformation a RuntimeError, when it runs),
            `terms` is none of the three, or the field has no game whose losses could be asked.
    """

    step_size: Float[Array, ""]
    terms: Literal["both", "look_ahead", "shaping"] = eqx.field(static=True)

    def __init__(self, step_size: RealScalarLike, terms: Literal["both", "look_ahead", "shaping"] = "both"):
        _checks.one_of("terms", terms, _TERMS)
        self.step_size = _checks.not_negative("step_size", step_size, "It is the step that the other player makes.")
        self.terms = terms

    def __call__(self, field: Field, t: RealScalarLike, y: Players, args: Args) -> Players:
        """What each player's reckoning adds."""
        game, rates = _game_and_rates(field)

        def of_discriminator(d: State, g: State) -> Scalar:
            return game.losses(Players(d, g), args).discriminator

        def of_generator(g: State, d: State) -> Scalar:
            return game.losses(Players(d, g), args).generator

        def answer_to_discriminator(d: State) -> State:
            return field(t, Players(d, y.generator), args).generator

        def answer_to_generator(g: State) -> State:
            return field(t, Players(y.discriminator, g), args).discriminator

        discriminator = self._reckoning(of_discriminator, answer_to_discriminator, y.discriminator, y.generator)
        generator = self._reckoning(of_generator, answer_to_generator, y.generator, y.discriminator)
        return Players(_tree.scale(-rates.discriminator, discriminator), _tree.scale(-rates.generator, generator))

    def _reckoning(
        self, loss: Callable[[State, State], Scalar], answer: Callable[[State], State], own: State, others: State
    ) -> State:
        """The slope, in a player's own parameters, of what the other one's answer changes its loss by."""
        here = answer(own)

        def change(moved: State) -> Scalar:
            # What is held is the outer number: `stop_gradient` would hold it in the Jacobian of the field, too.
            direction = here if self.terms == "look_ahead" else answer(moved)
            at = own if self.terms == "shaping" else moved
            return jax.jvp(lambda others: loss(at, others), (others,), (direction,))[1]

        return _tree.scale(self.step_size, jax.grad(change)(own))


def _game_and_rates(field: Any) -> tuple[Any, Players]:
    if not (hasattr(field, "game") and hasattr(field, "rates")):
        raise ValueError(
            f"`field` must be a `GameField` for `LOLA`, but is {type(field).__name__}: a player who reckons with the "
            "other one asks how its loss changes with the other's parameters, which no velocity tells. Adjust by "
            "`LOLA` first, and then by others."
        )
    return field.game, field.rates
