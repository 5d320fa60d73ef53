import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .. import _tree
from .._types import Args, Field, RealScalarLike, Scalar, State

POSITIVE_STEP = "Time runs forward; to climb instead of descend change the losses."


class AbstractUpdate(eqx.Module):
    """One step of training. To add one, implement `init` and `step`, and store the `step_size`.

    An attribute `may_fail` is optional: True says that a step solves equations, and gives a state of NaN where it
    cannot. That is what a run that ends in NaN is then called.

    Attributes:
        step_size: How much time one step stands for.
    """

    step_size: eqx.AbstractVar[Any]

    @abc.abstractmethod
    def init(self, field: Field, y: State, args: Args) -> Any:
        """What the rule remembers before its first step: a pytree of arrays, or None."""

    @abc.abstractmethod
    def step(self, field: Field, t: RealScalarLike, y: State, args: Args, memory: Any) -> tuple[State, Any]:
        """The next state and memory.

        Args:
            field: The field, `(t, y, args) -> dy/dt`.
            t: Time before the step.
            y: State before the step.
            args: Handed to the field; the same for every evaluation within the step.
            memory: What the rule remembers.
        """


def checked_rule(name: str, update: Any) -> AbstractUpdate:
    """What another rule is made of, refused unless it is a rule itself."""
    if isinstance(update, AbstractUpdate):
        return update
    found = f"the class {update.__name__}" if isinstance(update, type) else repr(update)
    raise ValueError(f"`{name}` must be a rule, but is {found}: make an instance, for example `Simultaneous(0.1)`.")


def stretched(update: AbstractUpdate, factor: RealScalarLike) -> AbstractUpdate:
    """The update with its step size times a factor; as it is, if its step size is static or computed."""
    if not any(leaf is update.step_size for leaf in jax.tree.leaves(update)):
        return update
    step_size = jnp.asarray(update.step_size)
    return eqx.tree_at(lambda u: u.step_size, update, step_size * jnp.asarray(factor, step_size.dtype))


def later(t: RealScalarLike, by: RealScalarLike, y: State) -> Scalar:
    """The time `by` after `t`, in the state's dtype."""
    dtype = _tree.dtype(y)
    return jnp.asarray(t, dtype) + jnp.asarray(by, dtype)
