"""What the atlas is made of: methods, what their papers say of them, and the systems that they are tried on."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from gan_ode.games import Players

Word: TypeAlias = Literal["converges", "converges at a rate", "no rate", "cycles", "diverges"]
Kind: TypeAlias = Literal["loss", "penalty", "adjustment", "transformation", "update"]


@dataclasses.dataclass(frozen=True)
class Says:
    """What a paper says of a method on a system.

    Attributes:
        word: "converges"; "converges at a rate" (locally and exponentially); "no rate" (eigenvalues on the imaginary
            axis, so that nothing is exponential); "cycles" (stays near, and does not settle); "diverges".
        where: Author, year and place.
        reason: Why the computed verdict differs, if it does.
    """

    word: Word
    where: str
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
    """A method under its name in the package.

    Attributes:
        name: How it is called in the tables: the public name, with its arguments where they matter.
        kind: What it changes: what players are paid for scores, a player's loss, the field, the game, or the rule.
        make: A loss; from a weight a penalty or an adjustment; from a game and a weight a game, or from a field and a
            weight a field (transformation); from a step size an update.
        source: Authors, year, arXiv number.
        says: What papers say, by the name of the system, "dirac/Minimax" for one of its bases.
        weight: The one that the tables look at.
        weights: Between which the best one is searched.
        weighted: Whether there is a weight at all.
        notes: What a reader should know of a verdict: why it is open, or not what it seems; by the name of the system.
        of_samples: Whether it asks a game for its scores and samples.
        of_field: Whether a transformation takes the field in the place of the game.
        only: The systems that it makes sense on, if not all.
    """

    name: str
    kind: Kind
    make: Callable[..., Any]
    source: str
    says: Mapping[str, Says] = dataclasses.field(default_factory=dict)
    weight: float = 0.5
    weights: tuple[float, float] = (0.0, 4.0)
    weighted: bool = True
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    of_samples: bool = True
    of_field: bool = False
    only: tuple[str, ...] = ()

    def fits(self, system: "System") -> bool:
        """Whether a regularizer is tried on a system."""
        if self.only:
            return system.name in self.only
        return system.regularized and (system.sampled or not self.of_samples)


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """A small game, or several that share an equilibrium and a plane.

    Attributes:
        name: In keys, as "dirac".
        title: A heading.
        about: A sentence: its value, data and state.
        bases: The games that regularizers and updates are tried on, by name; the name of the loss, where there are
            losses.
        equilibrium: Of all of them.
        start: Where verdicts start.
        source: Authors, year, arXiv number.
        of_loss: From a loss to a game, where every loss can be tried.
        sampled: Whether the game scores samples.
        regularized: Whether every regularizer is tried on it, not only those that ask for it.
        window: Limits of the plane of a portrait, or None where there are more than two parameters.
        axes: Names of the two parameters in formulas.
        note: What a reader should know of a game as it is that `classify` leaves undecided.
    """

    name: str
    title: str
    about: str
    bases: Mapping[str, Any]
    equilibrium: Players
    start: Players
    source: str
    of_loss: Callable[[Any], Any] | None = None
    sampled: bool = False
    regularized: bool = True
    window: tuple[tuple[float, float], tuple[float, float]] | None = None
    axes: tuple[str, str] = ("u", "v")
    note: str = ""
