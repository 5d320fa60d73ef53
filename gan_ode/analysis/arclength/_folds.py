"""Whether a branch that is lost turns back there, in a fold, and where."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool

from ..._lowering import jit_quickly
from ..._types import Args, Scalar, State
from ._corrector import Chart, linearized
from ._extended import pin
from ._motion import OfFields

# At a fold, and not where branches cross, the parameter moves the residual out of the Jacobian's range: by more than
# this part of how it moves it there and where the branch was found.
_PULLS = 1e-3
# So far from where the branch was lost may the fold be, in parts of the bracket.
_NEAR = 1e-2


class Turn(eqx.Module):
    """A fold near the place where a branch was lost.

    Attributes:
        is_fold: Whether there is one.
        value: The parameter.
        matrix: The field's Jacobian there.
    """

    is_fold: Bool[Array, ""]
    value: Scalar
    matrix: Array


@jit_quickly
def turn_near(family: Any, ends: tuple[Array, Array], value: Scalar, y: State, before: State, args: Args) -> Turn:
    """The fold near a place, found by Newton's method on equations that are regular at a fold.

    Args:
        family: From the parameter to a field.
        ends: The bracket: where the branch was found for the last time, and where not any more.
        value: The last value at which it was found.
        y: The state there.
        before: The state at the first end of the bracket.
        args: Handed to the field.
    """
    x = ravel_pytree(y)[0]
    motion = OfFields(family=family, like=y, args=args)
    start, end = (jnp.asarray(each, x.dtype) for each in ends)
    chart = Chart(jnp.maximum(jnp.linalg.norm(x), 1), start, end - start)
    guess = chart.coordinates(x, jnp.asarray(value, x.dtype))
    pinned = pin(motion, chart, "fold", guess, jnp.zeros((), x.dtype))
    _, slope = linearized(motion, chart, pinned.z)
    left, _, _ = jnp.linalg.svd(slope[:, :-1])
    _, earlier = linearized(motion, chart, chart.coordinates(ravel_pytree(before)[0].astype(x.dtype), start))
    usual = jnp.maximum(jnp.linalg.norm(slope[:, -1]), jnp.linalg.norm(earlier[:, -1]))
    pulls = jnp.abs(left[:, -1] @ slope[:, -1]) > _PULLS * usual
    near = jnp.abs(pinned.z[-1] - guess[-1]) <= _NEAR
    is_fold = pinned.ok & pulls & near & jnp.all(jnp.isfinite(pinned.z))
    return Turn(is_fold, chart.value(pinned.z), jax.lax.stop_gradient(slope[:, :-1] / chart.size))
