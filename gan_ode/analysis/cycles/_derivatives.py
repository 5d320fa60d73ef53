"""Derivatives of a closed orbit: of its period, and of its point, by the implicit function theorem."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..._types import Args, Scalar
from ._floquet import Correction, Turn
from ._smallest_sizes import FlatField

# Gregory's coefficients: with them the trapezoidal rule on evenly spaced times is of order 10 on any smooth function.
# Source: Hildebrand (1974), Introduction to Numerical Analysis, section 5.8.
_GREGORY = (
    1 / 2, 1 / 12, 1 / 24, 19 / 720, 3 / 160, 863 / 60480, 275 / 24192, 33953 / 3628800, 8183 / 1036800,
    3250433 / 479001600,
)  # fmt: skip
# Integrals with all samples and with every second one agree to this, or the samples are too few. And rounding, when it
# is enlarged by what a turn contracts displacements by, is below this, or nothing is left of them.
_ENOUGH, _LEFT = 1e-4, {4: 1e-3, 8: 1e-5}


def with_derivatives(field: FlatField, start: Array, args: Args, last: Turn, neutral: Scalar) -> tuple[Array, Scalar]:
    """Point and period after one more Newton step, which changes hardly anything but carries the derivatives.

    Args:
        field: The field, with the derivatives of its parameters.
        start: The start, with its derivative.
        args: Handed to the field, with their derivatives.
        last: The turn that closes, which has none.
        neutral: Directions in which the return map is the identity up to this are those of a family.
    """
    forces = jax.vmap(lambda y: field(0.0, y, args))(last.ys) - last.velocities
    correction = Correction.of(last, neutral)
    # Zero, with the derivative of the start: within a family the cycle goes with it.
    shift = correction.family @ (last.across.T @ (start - jax.lax.stop_gradient(start)))
    gap = last.gap + _response(last, forces) + (last.pushed - last.across) @ shift
    step, delay = correction.closing(last, gap)
    return last.ys[0] + last.across @ (shift + step), last.period + delay


def _response(turn: Turn, forces: Float[Array, "times n"]) -> Float[Array, " n"]:
    """What a small addition to the field along the orbit does to its end: the integral of M(T) M(s)^{-1} times it."""
    assert turn.pushed_along is not None
    speed = jnp.linalg.norm(turn.velocities[0])
    bases = jnp.concatenate([turn.velocities[:, :, None] / speed, turn.pushed_along], axis=2)
    inverses = jnp.linalg.inv(bases)
    # Skeel's condition number, in which the sizes of the components do not count.
    stretch = jnp.max(jnp.sum(jnp.abs(inverses) @ jnp.abs(bases), axis=2))
    known = stretch * jnp.finfo(bases.dtype).eps < _LEFT[max(bases.dtype.itemsize, 4)]
    kernels = bases[-1] @ jnp.where(known, inverses, 0)
    spacing = turn.period / (len(turn.ts) - 1)
    known = known & _has_enough_samples(kernels)
    weights = spacing * jnp.asarray(_gregory_weights(len(turn.ts)), kernels.dtype)
    return _known_only(jnp.einsum("t,tij,tj->i", weights, kernels, forces), known)


def _has_enough_samples(kernels: Float[Array, "times n n"]) -> Bool[Array, ""]:
    """Whether every second sample would do as well: forces vary as the response to them does."""
    # Of an odd number of intervals the last is left out.
    kernels = kernels[: len(kernels) - 1 + len(kernels) % 2]
    all_of_them, fewer = (jnp.asarray(_gregory_weights(len(k)), k.dtype) for k in (kernels, kernels[::2]))
    difference = jnp.tensordot(all_of_them, kernels, 1) - 2 * jnp.tensordot(fewer, kernels[::2], 1)
    usual = jnp.tensordot(jnp.abs(all_of_them), jnp.abs(kernels), 1)
    return jnp.linalg.norm(difference) <= _ENOUGH * jnp.linalg.norm(usual)


def _gregory_weights(num: int) -> np.ndarray:
    weights = np.ones(num)
    for j in range(len(_GREGORY)):
        near_end = (-1) ** j * sum(math.comb(k, j) * _GREGORY[k] for k in range(j, len(_GREGORY)))
        weights[[j, num - 1 - j]] -= near_end
    return weights


@jax.custom_jvp
def _known_only(values: Array, known: Bool[Array, ""]) -> Array:
    """The values; where they are not known, their derivative is NaN."""
    return values


@_known_only.defjvp
def _spoil(primals: Any, tangents: Any) -> Any:
    values, known = primals
    return values, tangents[0] * jnp.where(known, 1, jnp.nan).astype(values.dtype)


@jax.custom_jvp
def without_derivative(values: Any, inputs: Any) -> Any:
    return values


@without_derivative.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise ValueError(
        "`derivative` must be 'forward' for a gradient of the period or the point, but is 'differences': what the "
        "field's jumps do to them is not in it. Take finite differences."
    )
