"""Taylor series in one scalar, pushed through any function by automatic differentiation."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import DTypeLike

from .. import _tree
from .._types import Scalar, State


def taylor(curve: Callable[[Scalar], State], degree: int, dtype: DTypeLike) -> tuple[State, ...]:
    """Taylor coefficients at 0 of a curve, the constant one first.

    By forward mode upon forward mode, at the cost of `2**degree` evaluations of the curve.
    """
    # Not by `jax.experimental.jet`, though its cost only grows as the square of the degree: it looks through custom
    # derivatives (a log-sigmoid's third derivative at 0 comes out wrong), and has no rule for scans and root finders.
    derivatives: Callable[[Scalar], tuple[State, ...]] = lambda h: (curve(h),)  # noqa: E731
    for _ in range(degree):
        derivatives = _one_more(derivatives)
    found = derivatives(jnp.zeros((), dtype))
    return tuple(_tree.scale(1 / math.factorial(n), each) for n, each in enumerate(found))


def _one_more(derivatives: Callable[[Scalar], tuple[State, ...]]) -> Callable[[Scalar], tuple[State, ...]]:
    """From the derivatives up to some order to those of one order more."""

    def extended(h: Scalar) -> tuple[State, ...]:
        known, slopes = jax.jvp(derivatives, (h,), (jnp.ones_like(h),))
        return (*known, slopes[-1])

    return extended


def polynomial(coefficients: Sequence[State], h: Scalar) -> State:
    """The value at `h`, by Horner's rule."""
    *lower, value = coefficients
    for coefficient in reversed(lower):
        value = _tree.step(coefficient, h, value)
    return value
