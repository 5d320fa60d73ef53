import abc
from typing import Any

import equinox as eqx

from .._types import Args, Field, RealScalarLike, State

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
