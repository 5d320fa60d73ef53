"""What a search found at a state stands for that state, wherever an analysis takes one."""

from typing import Any

import equinox as eqx

from ..._types import State


class AbstractAtState(eqx.Module):
    """What is known of one state, and stands for it. To make a class so, inherit from this one, and store `y`.

    Attributes:
        y: The state.
    """

    y: eqx.AbstractVar[State]


def state_of(y: Any) -> Any:
    """The state itself, of an equilibrium or the like; anything else, such as a function to a state, as it is."""
    return y.y if isinstance(y, AbstractAtState) else y
