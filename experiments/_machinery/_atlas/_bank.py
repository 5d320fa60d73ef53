"""Many fields as one, so that what asks about them is compiled once; and the linear part of a field."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments._machinery._atlas._method import Method, System
from gan_ode import fields, regularizers
from gan_ode.games import Players

Family: TypeAlias = Callable[[Any], Any]
"""From a weight to a field."""


def family_of(system: System, base: str, method: Method | None) -> Family:
    """A method on a system: the field of its weight."""
    if method is None:
        return lambda weight: fields.GameField(system.bases[base])
    if method.kind == "loss":
        make = system.of_loss
        assert make is not None
        return lambda weight: fields.GameField(make(method.make()))
    game = system.bases[base]
    if method.kind == "penalty":
        return lambda weight: fields.GameField(regularizers.Penalized(game, method.make(weight)))
    if method.kind == "adjustment":
        return lambda weight: regularizers.Adjusted(fields.GameField(game), method.make(weight))
    if method.of_field:
        return lambda weight: method.make(fields.GameField(game), weight)
    return lambda weight: fields.GameField(method.make(game, weight))


def bank(families: Sequence[Family]) -> Callable:
    """A field whose `args` say which of the families it is, and the weight; both may be traced."""

    def velocity(family: Family) -> Callable:
        return lambda t, y, weight: family(weight)(t, y, None)

    branches = [velocity(family) for family in families]

    def field(t: Any, y: Players, args: tuple[Array, Array]) -> Players:
        which, weight = args
        return jax.lax.switch(which, branches, t, y, weight)

    return field


class Chosen(eqx.Module):
    """One family of a bank, whose number may be traced: a field of the weight."""

    bank: Callable
    which: Array
    weight: Any

    def __call__(self, t: Any, y: Players, args: Any = None) -> Players:
        return self.bank(t, y, (self.which, self.weight))


class Choose(eqx.Module):
    """The family itself."""

    bank: Callable
    which: Array

    def __call__(self, weight: Any) -> Chosen:
        return Chosen(self.bank, self.which, weight)


class LinearPart(eqx.Module):
    """The linear field with a given Jacobian. At the equilibrium an update has the same multipliers on it."""

    matrix: Float[Array, "n n"]
    num: int = eqx.field(static=True)

    def __call__(self, t: Any, y: Players, args: Any = None) -> Players:
        velocity = self.matrix @ jnp.concatenate([y.discriminator, y.generator])
        return Players(velocity[: self.num], velocity[self.num :])

    @property
    def rest(self) -> Players:
        """The equilibrium."""
        return Players(jnp.zeros(self.num), jnp.zeros(len(self.matrix) - self.num))
