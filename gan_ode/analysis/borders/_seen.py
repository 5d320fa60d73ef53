"""What is looked at along a curve of events: the numbers that tell one kind of event from a more degenerate one."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ..._lowering import jit_quickly
from ..._types import Scalar
from ..arclength._corrector import Chart
from ..continuation._multilinear import bilinear
from ..continuation._normal_form import terms
from ..linearization._jacobian import eigenvalues_of
from ._system import eigenvalue, EventSystem, jacobian


class Seen(eqx.Module):
    """A point of a curve of events.

    Attributes:
        x: The flat state.
        first: The first parameter.
        second: The second.
        pair: Of a pair the square of its frequency, or the cosine of its angle.
        eigenvalues: Those of the residual's Jacobian.
        right: The unit vector that the singular matrix maps to zero, as it is signed.
        left: The one from the left.
        overlap: Their product: zero where the eigenvalue is double.
        bend: The second derivative along the right vector twice, seen by the left one.
        cube: The coefficient of the third order before it is scaled, real.
        size: The sum of the sizes of its terms.
    """

    x: Float[Array, " m"]
    first: Scalar
    second: Scalar
    pair: Scalar
    eigenvalues: Complex[Array, " m"]
    right: Float[Array, " m"]
    left: Float[Array, " m"]
    overlap: Scalar
    bend: Scalar
    cube: Scalar
    size: Scalar


@jit_quickly
def look(system: EventSystem, chart: Chart, z: Array) -> Seen:
    """Everything about one point, as one program."""
    (x, first, pair), second = system.parts(chart.flat(z)), chart.value(z)
    _, matrix = jacobian(system.plane, x, first, second)
    motion = system.plane.at(second)
    right = left = jnp.zeros_like(x)
    bend = cube = size = jnp.zeros((), x.dtype)
    if not system.has_pair:
        shifted = matrix - eigenvalue(system.kind) * jnp.eye(len(matrix), dtype=matrix.dtype)
        lefts, _, rights = jnp.linalg.svd(shifted)
        left, right = lefts[:, -1], rights[-1]
        (square,) = bilinear(lambda x: motion.residual(x, first), x, right[None], right[None])
        bend = left @ square
    if system.kind != "fold":
        found = terms(motion, system.kind, x, first, angle_of(system, pair))
        turned = jnp.exp(-1j * angle_of(system, pair)) if system.kind == "neimark-sacker" else 1
        cube, size = jnp.real(found.cube * turned), found.size
    eigenvalues = eigenvalues_of(matrix)
    return Seen(x, first, second, pair, eigenvalues, right, left, left @ right, bend, cube, size)


def angle_of(system: EventSystem, pair: Scalar) -> Scalar:
    """The frequency of a pair, or the angle of its multipliers; zero where it has become real."""
    if system.kind == "hopf":
        # Not quite zero, where a normal form is divided by it.
        return jnp.sqrt(jnp.maximum(pair, jnp.finfo(pair.dtype).tiny ** 0.5))
    if system.kind == "neimark-sacker":
        return jnp.arccos(jnp.clip(pair, -1, 1))
    return jnp.zeros_like(pair)


def signed(seen: Seen, before: Seen | None) -> Seen:
    """The same with its vectors to the side of the last point's, so that what they give has a sign."""
    if before is None:
        return seen
    turn_right = np.where(np.asarray(seen.right @ before.right) < 0, -1.0, 1.0)
    turn_left = np.where(np.asarray(seen.left @ before.left) < 0, -1.0, 1.0)
    parts: Any = lambda s: (s.right, s.left, s.overlap, s.bend)  # noqa: E731
    turned = (
        seen.right * turn_right,
        seen.left * turn_left,
        seen.overlap * turn_right * turn_left,
        seen.bend * turn_left,
    )
    return eqx.tree_at(parts, seen, turned)
