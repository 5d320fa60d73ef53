"""Whether what is no longer finite grew without bound, or left where the field is finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from . import _tree
from ._types import Scalar, State

# So many times as large as the start counts as far away, and so many times as large as the state before as growth: a
# step that overflows from a state that is not past all bounds multiplies it by far more, and so did the one before.
_FAR, _FASTER = 1e3, 2.0


class Sizes(eqx.Module):
    """The largest entries of the states that tell growth from a field that ends.

    A state past the root of the largest number is past all bounds. From a moderate one, only a field that grows faster
    than the state makes a step that overflows, and it has shown that in the step before. What is NaN after a state that
    is moderate, or that got where it is step by step, is no growth: the field is not finite there.

    Attributes:
        start: Of the first state.
        before: Of the last finite one but one.
        last: Of the last finite one.
    """

    start: Scalar
    before: Scalar
    last: Scalar

    @classmethod
    def of(cls, y0: State) -> "Sizes":
        """At the start."""
        size = _size(y0)
        return cls(size, size, size)

    def then(self, y: State) -> tuple["Sizes", Bool[Array, ""]]:
        """After one more state, and whether that is finite."""
        size = _size(y)
        finite = size < jnp.inf
        before, last = jnp.where(finite, self.last, self.before), jnp.where(finite, size, self.last)
        return Sizes(self.start, before, last), finite

    @property
    def grew(self) -> Bool[Array, "*batch"]:
        """Whether what comes after the last finite state is growth without bound."""
        far = self.last > _FAR * (1 + self.start)
        return (self.last > bound(self.last.dtype)) | (far & (self.last > _FASTER * self.before))


def bound(dtype: jnp.dtype) -> Scalar:
    """The root of the largest number: past it squared norms overflow."""
    return jnp.sqrt(jnp.finfo(dtype).max)


def _size(y: State) -> Scalar:
    # Nobody differentiates what a run is called, and derivatives of it would be kept for every step.
    return _tree.largest(jax.lax.stop_gradient(y))
