"""What is recorded of a run where a function of the state is not enough."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Int

from .._types import Args, State


class AbstractRecorder(eqx.Module):
    """A `record` of `iterate` that carries something from save to save, and sees the memory of the update.

    To make one, implement `init` and `record`. What is carried goes through the scan, and into checkpoints.
    `analysis.Watch` is one.
    """

    @abc.abstractmethod
    def init(self, y: State, args: Args = None, memory: Any = None) -> Any:
        """What is carried to the first save, that of the initial state: a pytree of arrays.

        Args:
            y: The state.
            args: Handed to the field.
            memory: What the update remembers.
        """

    @abc.abstractmethod
    def record(self, carry: Any, n: Int[Array, ""], y: State, args: Args, memory: Any) -> tuple[Any, Any]:
        """What is carried on, of the same shapes and dtypes, and what is saved.

        Args:
            carry: What was carried to this save.
            n: How many steps have been made.
            y: The state.
            args: Those of the step that led there; at the start those of the first step.
            memory: What the update remembers.
        """
