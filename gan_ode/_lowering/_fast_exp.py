"""Exponentials and logistic functions in double precision, faster within kernels than those of XLA.

XLA divides two polynomials for an exponential, and for a logistic function divides again: a division takes a CPU as
long as some twenty other operations. Here an exponential is one polynomial, and a logistic function one division.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._jax import JaxprEqn

_LOG_2 = math.log(2)
# The same in two parts (Cody and Waite, 1980): the first has so few bits that its product with an integer is exact.
_HIGH, _LOW = float.fromhex("0x1.62e42feep-1"), 1.90821492927058770002e-10
# Bernoulli numbers of even order.
_BERNOULLI = (1, 1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)


def _polynomial(function: Callable[[np.ndarray], Any], degree: int, domain: tuple[float, float]) -> list[float]:
    """The coefficients of the polynomial that is equal to the function at Chebyshev's points."""
    series = np.polynomial.Chebyshev.interpolate(function, degree, domain)
    return series.convert(kind=np.polynomial.Polynomial).coef.tolist()


def _exponential(r: np.ndarray) -> Any:
    """$(e^r - 1 - r) / r^2$."""
    return sum(r**k / math.factorial(k + 2) for k in reversed(range(18)))


def _cotangent(z: np.ndarray) -> Any:
    r"""$(r \coth(r / 2) - 2) / r^2$ with $z = r^2$."""
    return sum(2 * number * z ** (k - 1) / math.factorial(2 * k) for k, number in enumerate(_BERNOULLI) if k)


# For |r| <= log(2) / 2: of e^r in r, and of r coth(r / 2) in r^2.
_OF_EXPONENTIAL = [1.0, 1.0, *_polynomial(_exponential, 9, (-_LOG_2 / 2, _LOG_2 / 2))]
_OF_COTANGENT = [2.0, *_polynomial(_cotangent, 4, (0.0, _LOG_2**2 / 4))]
# Bits of a double's mantissa, and what is added to its exponent.
_MANTISSA, _BIAS = 52, 1023
# Above this exp(x) is infinite, and below the other not a normal number.
_LARGEST, _SMALLEST = 710.0, -708.0


def instead(equation: JaxprEqn, operands: list[Any]) -> Array | None:
    """The result of an equation, if it is one of these functions in double precision; else None."""
    function, kind = _FUNCTIONS.get(equation.primitive), cast(Any, equation.outvars[0].aval)
    return None if function is None or kind.dtype != jnp.float64 else function(jnp.asarray(operands[0]))


@functools.partial(jax.jit, inline=True)
def exp(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """$e^x$ with a relative error of 2e-16; 0 below 3e-308."""
    # Half of the power of two, since there is none for the largest numbers.
    rest, half = _parts(_lesser(x, _LARGEST), 1 / _LOG_2, _BIAS - 1)
    return jax.lax.select(x < _SMALLEST, jnp.zeros_like(x), 2 * _horner(_OF_EXPONENTIAL, rest) * half)


@functools.partial(jax.jit, inline=True)
def logistic(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""$1 / (1 + e^{-x})$ with a relative error of 3.3e-16; at least 3e-308.

    With $c = r \coth(r / 2)$, which takes fewer terms than an exponential, $e^{-r} = (c - r) / (c + r)$: one division
    does for that and for the function.
    """
    bounded = _lesser(x, -_SMALLEST)
    rest, power = _parts(jax.lax.select(bounded < _SMALLEST, jnp.full_like(x, _SMALLEST), bounded), -1 / _LOG_2, _BIAS)
    c = _horner(_OF_COTANGENT, rest * rest)
    return (c + rest) / (c + rest + power * (c - rest))


def _parts(x: Float[Array, "*batch"], scale: float, bias: int) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    r"""The rest $r$ of $x = \pm (n \log 2) + r$ and $2^n$, or $2^{n - 1023 + b}$ with another bias b.

    Args:
        x: The number.
        scale: By which $n$ is the nearest integer to $s x$: $\pm 1 / \log 2$.
        bias: b.
    """
    # To such a number an integer can only be added as one, and lies in its last bits.
    shift = 1.5 * 2.0**_MANTISSA + bias
    bits = jax.lax.bitcast_convert_type(x * scale + shift, jnp.int64)
    # This bit is set already: the compiler would take the difference for what was added, without the rounding.
    n = jax.lax.bitcast_convert_type(bits | (1 << 62), x.dtype) - shift
    power = jax.lax.bitcast_convert_type(jax.lax.shift_left(bits, jnp.full_like(bits, _MANTISSA)), x.dtype)
    sign = math.copysign(1.0, scale)
    return x - n * (sign * _HIGH) - n * (sign * _LOW), power


def _horner(coefficients: list[float], x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    *rest, last = coefficients
    value = jnp.full_like(x, last)
    for coefficient in reversed(rest):
        value = value * x + coefficient
    return value


def _lesser(x: Float[Array, "*batch"], bound: float) -> Float[Array, "*batch"]:
    """The lesser one, or NaN: in one operation, where `jnp.minimum` is several."""
    return jax.lax.select(bound < x, jnp.full_like(x, bound), x)


_FUNCTIONS = {jax.lax.exp_p: exp, jax.lax.logistic_p: logistic}
