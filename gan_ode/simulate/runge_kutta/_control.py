"""Diffrax's PID control of step sizes, in the arithmetic that CPUs are fast at."""

import math
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..._lowering import inverse_root

# Weights of the errors are taken for fractions of such denominators, and their common one may be as large as this.
_DENOMINATOR, _DEGREE = 100, 200


class Control(eqx.Module):
    """From the errors of a member's steps to the length of its next one.

    With squared errors $x_1, x_2, x_3$ of the last step and of those accepted before it, the next step is the last one
    times $x_1^{-w_1} x_2^{-w_2} x_3^{-w_3}$ and a safety factor. The weights are mostly fractions with a small common
    denominator n: then $x^{-1/n}$ is what is remembered of an error, and its powers are products. Otherwise logarithms
    are.

    Source: Diffrax's `PIDController`.

    Args:
        pid: The controller.
        order: Order of the error estimate, unless the controller has its own.
    """

    pid: Any
    order: Any

    @property
    def _weights(self) -> tuple[Any, Any, Any]:
        pid, degree = self.pid, 2 * (self.order if self.pid.error_order is None else self.pid.error_order)
        weights = (pid.pcoeff + pid.icoeff + pid.dcoeff, -(pid.pcoeff + 2 * pid.dcoeff), pid.dcoeff)
        return tuple(weight / degree for weight in weights)  # pyright: ignore[reportReturnType]

    @property
    def _powers(self) -> tuple[int, tuple[int, ...]] | None:
        """The common denominator, and the weights times it; None if there is none."""
        weights = self._weights
        if not all(isinstance(weight, int | float) for weight in weights):
            return None
        fractions = [Fraction(weight).limit_denominator(_DENOMINATOR) for weight in weights]
        degree = math.lcm(*(fraction.denominator for fraction in fractions))
        same = all(math.isclose(fraction, weight) for fraction, weight in zip(fractions, weights, strict=True))
        return (degree, tuple(int(fraction * degree) for fraction in fractions)) if same and degree <= _DEGREE else None

    def memory(self, like: Array) -> tuple[Array, ...]:
        """Of errors before the first step, which are taken to be as large as is allowed."""
        if self._powers is None:
            return (jnp.zeros_like(like),) * 2
        used = max((i for i, power in enumerate(self._powers[1]) if power), default=0)
        return (jnp.ones_like(like),) * used

    def factor(self, square: Array, keep: Array, memory: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """By what the step's length is multiplied, and the memory of errors with this step's, if it is kept."""
        # An error of zero or infinity says nothing about the step after the next.
        extreme = (square == 0) | jnp.isinf(square)
        if self._powers is None:
            last = jnp.log(square)
            # Zero times an infinite logarithm would be no number.
            used = [
                weight * each
                for weight, each in zip(self._weights, (last, *memory), strict=True)
                if not (isinstance(weight, int | float) and weight == 0)
            ]
            factor, last = jnp.exp(-sum(used, start=jnp.zeros_like(last))), jnp.where(extreme, 0, last)
        else:
            degree, powers = self._powers
            last, factor = inverse_root(square, degree), jnp.ones_like(square)
            for power, each in zip(powers, (last, *memory), strict=False):
                factor = factor * jax.lax.integer_pow(each, power)
            last = jnp.where(extreme, 1, last)
        least = jnp.where(keep, 1.0, self.pid.factormin)
        most = jnp.where(keep, self.pid.factormax, self.pid.safety)
        memory = tuple(jnp.where(keep, new, old) for new, old in zip((last, *memory), memory, strict=False))
        return jnp.clip(self.pid.safety * factor, least, most), memory
