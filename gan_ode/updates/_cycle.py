from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import Array, Float

from .. import _checks, _optimizers, _tree
from .._types import Args, Field, RealScalarLike, State
from ..games import Players
from ._update import AbstractUpdate, checked_rule, later, stretched


class Cycle(AbstractUpdate):
    r"""Steps of several rules in turn; one step is a whole round.

    A member follows the field times its *factor*: step sizes that cycle, a step that only one player makes
    (`Players(1.0, 0.0)`), or one that goes backward, which is legal in a round alone. At an eigenvalue $\lambda$ of
    the field, the multiplier of a round is the product of the members', each at its $c_i h_i \lambda$, where they have
    no memory and one factor for both players.

    A *slingshot* is a round of two simultaneous steps, with the factors $(1, -1)$ and $(-1, 1)$ for the two players.
    What they do cancels to first order; in a zero-sum game what is left is a step of size $h^2$ down
    $\tfrac12 \lVert F \rVert^2$, the direction of consensus optimization, and on a rotation $\pm i\omega$ the
    multipliers are $1 - (h\omega)^2$.

    The time of a round is the sum of its members' step sizes, whatever their factors. All members see the same
    minibatch, and each remembers what it does.

    ```python
    from gan_ode import games, updates

    plain = updates.Simultaneous(0.1)
    schedule = updates.Cycle([plain, updates.Simultaneous(0.3)])
    slingshot = updates.Cycle([plain, plain], factors=[games.Players(1.0, -1.0), games.Players(-1.0, 1.0)])
    ```

    Source: Shugart and Altschuler (2025), arXiv:2505.01423, for negative steps and slingshots, whose second order
    and multipliers are rederived.

    Args:
        members: The rules, at least one, in the order of their steps.
        factors: For each of them a number without unit, or `Players` of two; 1 for all if left out.

    Attributes:
        step_size: The sum of the members'; another one here stretches all of them alike.

    Raises:
        ValueError: If there is no member, or not one factor for each; if a factor is not finite, under a
            transformation a RuntimeError when it runs; or if the state is not of two players, where a factor is.
    """

    members: tuple[AbstractUpdate, ...]
    factors: tuple[Any, ...]
    step_size: Float[Array, ""]

    def __init__(self, members: Sequence[AbstractUpdate], *, factors: Sequence[RealScalarLike | Players] | None = None):
        if not members:
            raise ValueError("`members` must hold at least one rule, but is empty: for example `[Simultaneous(0.1)]`.")
        factors = [1.0] * len(members) if factors is None else factors
        if len(factors) != len(members):
            raise ValueError(
                f"`factors` must hold one for each of the {len(members)} members, but holds {len(factors)}: a member "
                "that steps as it is has the factor 1."
            )
        self.members = tuple(checked_rule(f"members[{i}]", member) for i, member in enumerate(members))
        self.factors = tuple(jax.tree.map(lambda each: _checks.number("factors", each), factor) for factor in factors)
        self.step_size = self._whole()

    @property
    def may_fail(self) -> bool:
        """Whether a member may."""
        return any(getattr(member, "may_fail", False) for member in self.members)

    def init(self, field: Field, y: State, args: Args) -> tuple[Any, ...]:
        """What each member remembers."""
        if any(isinstance(factor, Players) for factor in self.factors):
            _optimizers.two_players(self, y)
        pairs = zip(self.members, self.factors, strict=True)
        return tuple(member.init(_scaled(field, factor), y, args) for member, factor in pairs)

    def step(
        self, field: Field, t: RealScalarLike, y: State, args: Args, memory: tuple[Any, ...]
    ) -> tuple[State, tuple[Any, ...]]:
        whole, after = self._whole(), []
        stretch = self.step_size.astype(whole.dtype) / whole
        for member, factor, remembered in zip(self.members, self.factors, memory, strict=True):
            member = stretched(member, stretch)
            y, remembered = member.step(_scaled(field, factor), t, y, args, remembered)
            t = later(t, member.step_size, y)
            after.append(remembered)
        return y, tuple(after)

    def _whole(self) -> Array:
        sizes = [_checks.as_float(member.step_size) for member in self.members]
        return sum(sizes[1:], start=sizes[0])


def _scaled(field: Field, factor: Any) -> Field:
    """The field times a number, or two for the two players."""

    def velocity(t: RealScalarLike, y: State, args: Args) -> State:
        plain = field(t, y, args)
        if isinstance(factor, Players):
            return Players(
                _tree.scale(factor.discriminator, plain.discriminator), _tree.scale(factor.generator, plain.generator)
            )
        return _tree.scale(factor, plain)

    return velocity
