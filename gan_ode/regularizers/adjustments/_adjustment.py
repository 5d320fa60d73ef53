import abc

import equinox as eqx

from ... import _tree
from ..._types import Args, Field, RealScalarLike, State


class AbstractAdjustment(eqx.Module):
    """A velocity added to a field, which need not be the gradient of anything. To add one, implement `__call__`."""

    @abc.abstractmethod
    def __call__(self, field: Field, t: RealScalarLike, y: State, args: Args) -> State:
        """What is added to `field(t, y, args)`."""


class Adjusted(eqx.Module):
    """A field with an adjustment added to its velocity; adjusted fields can be adjusted again.

    Args:
        field: Any field.
        adjustment: What is added.
    """

    field: Field
    adjustment: AbstractAdjustment

    def __call__(self, t: RealScalarLike, y: State, args: Args = None) -> State:
        """The adjusted velocity."""
        return _tree.add(self.field(t, y, args), self.adjustment(self.field, t, y, args))
