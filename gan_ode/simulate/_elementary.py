"""Exponentials and logistic functions in double precision, faster within routines than those of XLA.

XLA divides two polynomials for an exponential, and for a logistic function divides again: a division takes a processor
as long as some twenty other operations. Here one polynomial does, and the division of the logistic function remains.
"""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array, Float

_LOG_2 = math.log(2)
# The same in two parts (Cody and Waite, 1980): the first has so few bits that its product with an integer is exact.
_HIGH, _LOW = float.fromhex("0x1.62e42feep-1"), 1.90821492927058770002e-10
# Of exp(r) with |r| <= log(2) / 2: 1 + r + r^2 g(r), with g by its series at Chebyshev's points.
_DEGREE = 11


def _coefficients() -> list[float]:
    def g(r: np.ndarray) -> Any:
        return sum(r**k / math.factorial(k + 2) for k in reversed(range(18)))

    series = np.polynomial.Chebyshev.interpolate(g, _DEGREE - 2, (-_LOG_2 / 2, _LOG_2 / 2))
    return [1.0, 1.0, *series.convert(kind=np.polynomial.Polynomial).coef.tolist()]


_COEFFICIENTS = _coefficients()
# Bits of a double's mantissa, and what is added to its exponent.
_MANTISSA, _BIAS = 52, 1023
# Above this exp(x) is infinite, and below the other not a normal number.
_LARGEST, _SMALLEST = 710.0, -708.0


def instead(equation: JaxprEqn, operands: list[Any]) -> Array | None:
    """The result of an equation, if it is one of these functions in double precision; else None."""
    function, kind = _FUNCTIONS.get(equation.primitive), cast(Any, equation.outvars[0].aval)
    return None if function is None or kind.dtype != jnp.float64 else function(jnp.asarray(operands[0]))


def exp(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """$e^x$ with a relative error of 2e-16; 0 below 3e-308."""
    # Half of the power of two, since there is none for the largest numbers.
    rest, half = _parts(_lesser(x, _LARGEST), _BIAS - 1)
    return jax.lax.select(x < _SMALLEST, jnp.zeros_like(x), 2 * rest * half)


def logistic(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """$1 / (1 + e^{-x})$ with a relative error of 3e-16; at least 3e-308."""
    rest, power = _parts(_lesser(-_lesser(x, -_SMALLEST), -_SMALLEST), _BIAS)
    return 1 / (1 + rest * power)


def _parts(x: Float[Array, "*batch"], bias: int) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """$e^x$ as a number about 1 and $2^n$, or $2^{n - 1023 + b}$ with another bias."""
    # To such a number an integer can only be added as one, and lies in its last bits.
    shift = 1.5 * 2.0**_MANTISSA + bias
    bits = jax.lax.bitcast_convert_type(x * (1 / _LOG_2) + shift, jnp.int64)
    # This bit is set already: the compiler would take the difference for what was added, without the rounding.
    n = jax.lax.bitcast_convert_type(bits | (1 << 62), x.dtype) - shift
    power = jax.lax.bitcast_convert_type(jax.lax.shift_left(bits, jnp.full_like(bits, _MANTISSA)), x.dtype)
    return _horner(x - n * _HIGH - n * _LOW), power


def _horner(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    *rest, last = _COEFFICIENTS
    value = jnp.full_like(x, last)
    for coefficient in reversed(rest):
        value = value * x + coefficient
    return value


def _lesser(x: Float[Array, "*batch"], bound: float) -> Float[Array, "*batch"]:
    """The lesser one, or NaN: in one operation, where `jnp.minimum` is several."""
    return jax.lax.select(bound < x, jnp.full_like(x, bound), x)


_FUNCTIONS = {jax.lax.exp_p: exp, jax.lax.logistic_p: logistic}
