import dataclasses
from typing import Any, Literal

import numpy as np

from ... import _checks, _optimizers
from ..._problem import state_of
from ..._types import Args, Field, State
from ...games import Players
from ...updates import AbstractUpdate
from ..linearization import inspect
from ..linearization._preconditions import require
from ..maps import spectral_radius
from ..spectra import leading_eigenvalues, spectrum
from . import _curvatures, _stackelberg
from ._curvatures import Curvatures, decided
from ._zero_sum import is_zero_sum

# As for critical step sizes: multipliers that collide are good to the root of rounding alone.
_NEUTRAL = {4: 1e-4, 8: 1e-9}


@dataclasses.dataclass(frozen=True)
class Optimality:
    """What an equilibrium is to the players. None is "undecided": the numbers lie between tolerances, or say nothing.

    Attributes:
        stable: Whether the flow of the field returns to it from near by: all eigenvalues of the Jacobian in the open
            left half-plane.
        stable_for_update: Whether the update does, by its spectral radius; None without one.
        local_nash: Whether neither player can gain by a small step of its own: both own curvatures are above zero.
        local_min_max: Whether it is a local min-max point of a zero-sum game, where the follower answers: its own
            curvature is above zero, and so is what is then left of the leader's.
        stackelberg: Whether it is best for a leader whose follower answers in any game, by the total derivatives of the
            leader's loss; of a zero-sum game the same as `local_min_max`.
        leader: The player who moves first.
        curvatures: The numbers behind it; None if the state is no critical point of the players' own losses.
        abscissa: The largest real part of an eigenvalue of the field's Jacobian, in units of one over time.
        radius: The spectral radius of the update; None without one.
    """

    stable: bool | None
    stable_for_update: bool | None
    local_nash: bool | None
    local_min_max: bool | None
    stackelberg: bool | None
    leader: Literal["discriminator", "generator"]
    curvatures: Curvatures | None
    abscissa: float
    radius: float | None

    @property
    def text(self) -> str:
        """All of it in a line."""
        words = {True: "stable", False: "unstable", None: "undecided, by the linear part,"}
        parts = [f"{words[self.stable]} for the flow"]
        if self.radius is not None:
            parts.append(f"{words[self.stable_for_update]} for the update")
        if self.curvatures is None:
            return "; ".join([*parts, "no critical point of the players' own losses, so neither Nash nor min-max"])
        kinds = (
            ("local Nash equilibrium", self.local_nash, self._alone),
            ("local min-max point", self.local_min_max, self._answered),
            ("Stackelberg equilibrium", self.stackelberg, self._led),
        )
        for name, holds, reason in kinds:
            if holds is None:
                parts.append(f"undecided whether a {name}{reason(None)}")
            else:
                parts.append(f"a {name}" if holds else f"no {name}{reason(False)}")
        return "; ".join(parts)

    def _alone(self, verdict: bool | None) -> str:
        """Whose curvature makes it so."""
        assert self.curvatures is not None
        pairs = ((self.leader, self.curvatures.leader), (_curvatures.other(self.leader), self.curvatures.follower))
        names = sorted(name for name, each in pairs if each.positive is verdict)
        if verdict is False:
            return ", since the " + " and the ".join(names) + " can gain alone"
        return ", since to rounding some curvature of the " + " and of the ".join(names) + " is zero"

    def _answered(self, verdict: bool | None) -> str:
        assert self.curvatures is not None
        if not self.curvatures.zero_sum:
            return ", since the game is not zero-sum there"
        if self.curvatures.follower.positive is not True:
            follower = _curvatures.other(self.leader)
            if verdict is False:
                return f", since the {follower} can gain alone"
            return f", since to rounding some curvature of the {follower}, who answers, is zero"
        if verdict is False:
            return f", since the {self.leader} can gain, though it is answered"
        return f", since to rounding some curvature of the answered {self.leader} is zero"

    def _led(self, verdict: bool | None) -> str:
        assert self.curvatures is not None
        return self._answered(verdict) if self.curvatures.zero_sum else ", by the total derivatives of its loss"


def optimality(
    field: Field,
    y: Any,
    *,
    update: AbstractUpdate | None = None,
    args: Args = None,
    leader: Literal["discriminator", "generator"] = "generator",
    check: bool = True,
) -> Optimality:
    r"""What kind of point an equilibrium of a game is: for the dynamics, and for the players.

    Dynamics and players need not agree: descent can be stable at a point at which a player could gain alone. With
    $L_D, L_G$ the players' losses, each in its own parameters, the point is

    - *local Nash* if $\nabla^2_D L_D \succ 0$ and $\nabla^2_G L_G \succ 0$;
    - *local min-max*, of a zero-sum value $V$ that the leading generator minimizes and the discriminator, who answers,
      maximizes, if $\nabla^2_D V \prec 0$ and $\nabla^2_G V - \nabla^2_{GD} V (\nabla^2_D V)^{-1} \nabla^2_{DG} V
      \succ 0$: every local Nash equilibrium is one;
    - *Stackelberg* if the total derivative of the leader's loss along the follower's answers vanishes and its own
      derivative is positive definite.

    These conditions suffice; with $\succeq$ they are necessary. Between the two, where an eigenvalue is zero to the
    root of rounding, the answer is None, "undecided": so of every GAN at $D = 0$, whose generator has no curvature of
    its own. The numbers come from the Jacobian of the field, a dense one up to 1,000 parameters, and the largest
    eigenvalues of its blocks by products alone beyond. Of an adjusted field, as by `regularizers.Adjusted`, stability
    is asked of the field and the rest of the game within it.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis, fields, games

    def losses(y, args):  # x is the generator: stable, though the generator could gain alone
        x, y = y.generator, y.discriminator
        value = -x**2 / 8 - y**2 / 2 + 0.6 * x * y
        return games.Players(discriminator=-value, generator=value)

    field = fields.GameField(games.FromLosses(losses))
    found = analysis.optimality(field, games.Players(jnp.array(0.0), jnp.array(0.0)))
    assert found.stable and not found.local_nash and found.local_min_max
    print(found.text)
    ```

    Source: Ratliff, Burden and Sastry (2016), arXiv:1411.2168, for Nash; Jin, Netrapalli and Jordan (2020),
    arXiv:1902.00618, propositions 5, 6, 19 and 20, for min-max; Fiez, Chasnov and Ratliff (2020), arXiv:1906.01217,
    definition 4, for Stackelberg. That descent can be stable at no min-max: Daskalakis and Panageas (2018),
    arXiv:1807.03907, in their sense of the word.

    Args:
        field: The field of a game, or any field of two players whose blocks are minus the slopes of their losses.
        y: The equilibrium: a state, or what `find_equilibrium` returns. Not under a transformation.
        update: If given, whether it returns to the point is asked too.
        args: Handed to the field: a minibatch, or None.
        leader: Who moves first, in `local_min_max` and `stackelberg`.
        check: Whether to look first if the state is a smooth equilibrium of the field.

    Returns:
        Booleans, None where undecided, with the numbers behind them and a line of text.

    Raises:
        ValueError: If `y` is not of two players, is traced, or is no smooth equilibrium of the field; with an update
            also as `spectral_radius` does.
    """
    y = state_of(y)
    _checks.one_of("leader", leader, _optimizers.PLAYERS)
    if _checks.is_traced(y):
        raise ValueError("`y` must be concrete, since answers are words: call it outside of `jax.jit`.")
    if not isinstance(y, Players):
        raise ValueError(
            f"`y` must be `games.Players`, but is {type(y).__name__}: what is asked is what each player could gain."
        )
    require(field, y, args, check=check)
    own = _field_of_losses(field)
    abscissa, stable = _stability(field, y, args)
    radius = None if update is None else _radius(update, field, y, args, check)
    returns = None if radius is None else decided(1 - radius, _NEUTRAL[_curvatures.bytes_of(y)])
    if own is not field and not bool(inspect(own, y, args=args).still):
        return Optimality(stable, returns, False, False, False, leader, None, abscissa, radius)
    found = _curvatures.curvatures(own, y, args, leader, is_zero_sum(own, y, args))
    alone = (found.leader.positive, found.follower.positive)
    nash = False if False in alone else None if None in alone else True
    min_max = _min_max(found)
    led = min_max if found.zero_sum else _led(own, y, args, leader, found)
    return Optimality(stable, returns, nash, min_max, led, leader, found, abscissa, radius)


def _field_of_losses(field: Any) -> Field:
    """The field of the game within an adjusted one; any other as it is."""
    while not hasattr(field, "game") and callable(getattr(field, "field", None)):
        field = field.field
    return field


def _stability(field: Field, y: Players, args: Args) -> tuple[float, bool | None]:
    zero = _curvatures.root_of_rounding(y)
    if _curvatures.size_of(y) <= _curvatures.MOST_DENSE:
        values = np.asarray(spectrum(field, y, args=args, check=False))
        abscissa = float(values[0].real)
        return abscissa, decided(-abscissa, zero * float(np.max(np.abs(values))))
    found = leading_eigenvalues(field, y, 1, args=args, check=False)
    abscissa = float(found.eigenvalues[0].real)
    return abscissa, decided(-abscissa, max(zero * float(found.norm), float(found.residuals[0])))


def _radius(update: AbstractUpdate, field: Field, y: State, args: Args, check: bool) -> float:
    if _curvatures.size_of(y) <= _curvatures.MOST_DENSE:
        return float(spectral_radius(update, field, y, args=args, check=check))
    found = leading_eigenvalues(field, y, 1, update=update, args=args, check=check)
    return float(np.abs(found.eigenvalues[0]))


def _min_max(found: Curvatures) -> bool | None:
    if not found.zero_sum:
        return None
    if found.follower.positive is not True:
        return found.follower.positive
    return None if found.reduced is None else found.reduced.positive


def _led(own: Any, y: Players, args: Args, leader: str, found: Curvatures) -> bool | None:
    """The answer in a game that is not zero-sum, of which the losses are needed."""
    if found.follower.positive is not True:
        return found.follower.positive
    if not hasattr(own, "game") or _curvatures.size_of(y) > _curvatures.MOST_DENSE:
        return None
    return _stackelberg.leads(own.game, y, args, leader)
