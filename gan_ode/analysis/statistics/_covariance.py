"""Covariances of linear systems that noise drives, in continuous time and step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ... import _checks
from ..._entry import guarded
from ..._types import RealScalarLike, Scalar

_Matrix = Float[Array, "n n"]

# Doublings: of the number of steps until nothing of the start is left, whatever the rate, and of a time interval.
_MOST_DOUBLINGS = 64
# Of a number of steps.
_BITS = 31
# A spectral abscissa, over the norm, that rounding leaves of zero; of a Jordan block it is the root of rounding.
_ZERO = {4: 1e-4, 8: 1e-9}


@guarded()
def stationary_covariance(jacobian: _Matrix, noise: _Matrix) -> _Matrix:
    r"""The covariance that a linear stochastic differential equation settles to.

    $dx = J x\,dt + \sigma\,dW$ near a stable equilibrium has the covariance $S$ with
    $J S + S J^T + \sigma\sigma^T = 0$, Lyapunov's equation. Solved by Smith's method: with $U = (p - J)^{-1}(p + J)$ it
    is $S = U S U^T + 2 p (p - J)^{-1} \sigma\sigma^T (p - J)^{-T}$, a sum of powers that doubles its terms at each
    turn. It works where eigenvalues coincide, under `jax.vmap`, `jax.jit` and `jax.grad`.

    Source: Smith (1968), Matrix equation XA + BX = C, SIAM J. Appl. Math. 16, 198.

    Args:
        jacobian: $J$, of the drift at the equilibrium, shape `(n, n)`.
        noise: $\sigma\sigma^T$, likewise: with the operator `sigma = diffusion(t, y, args)` it is
            `sigma.as_matrix() @ sigma.as_matrix().T`.

    Returns:
        $S$, shape `(n, n)`.

    Raises:
        ValueError: If `jacobian` is not stable. Under a transformation a RuntimeError, when it runs.
    """
    stable, message = _stable_flow(jacobian)
    jacobian = _refuse_unless(stable, message, jacobian)
    identity = jnp.eye(len(jacobian), dtype=jacobian.dtype)
    # Any p > 0 is right; this one is of the size of the rates.
    p = jax.lax.stop_gradient(jnp.linalg.norm(jacobian)) / jnp.sqrt(len(jacobian))
    inverse = jnp.linalg.inv(p * identity - jacobian)
    return _summed(inverse @ (p * identity + jacobian), 2 * p * inverse @ noise @ inverse.T)


@guarded()
def stationary_covariance_of_steps(step_jacobian: _Matrix, noise: _Matrix) -> _Matrix:
    r"""The covariance that linear steps with noise settle to.

    $x_{n+1} = A x_n + e_n$ has the covariance $S$ with $S = A S A^T + N$. For simultaneous steps $A = I + hJ$ and, on
    minibatches of $B$ examples, $N = h^2 \Sigma / B$, which is $h$ times the $\sigma\sigma^T$ of `noise.LowRank`: for
    a linear field and noise that does not depend on the state this is exact for any $h$.

    Source: as `stationary_covariance`.

    Args:
        step_jacobian: $A$, for example `analysis.jacobian(field, y, update=update)`, shape `(n, n)`.
        noise: $N$, the covariance of what one step adds, likewise.

    Returns:
        $S$, shape `(n, n)`.

    Raises:
        ValueError: If a multiplier is not below 1 in modulus. Under a transformation a RuntimeError, when it runs.
    """
    stable, message = _stable_steps(step_jacobian)
    return _summed(_refuse_unless(stable, message, step_jacobian), noise)


@guarded()
def covariance_at(jacobian: _Matrix, noise: _Matrix, t: RealScalarLike) -> _Matrix:
    r"""The covariance of a linear stochastic differential equation after a time, from a start without spread.

    $S(t) = \int_0^t e^{sJ} \sigma\sigma^T e^{sJ^T} ds$, for any Jacobian, stable or not. By Van Loan's block
    exponential over a fraction of the time, and then $S(2t) = S(t) + e^{tJ} S(t) e^{tJ^T}$: over the whole time the
    block would overflow. A start with the covariance $C$ adds $e^{tJ} C e^{tJ^T}$.

    Source: Van Loan (1978), Computing integrals involving the matrix exponential, IEEE Trans. Autom. Control 23, 395.

    Args:
        jacobian: $J$, shape `(n, n)`.
        noise: $\sigma\sigma^T$, likewise.
        t: Time, at least 0; for many times use `jax.vmap`.

    Returns:
        $S(t)$, shape `(n, n)`.

    Raises:
        ValueError: If `t` is negative or not finite. Under a transformation a RuntimeError, when it runs.
    """
    t = _checks.not_negative("t", t, "The covariance is that after the start.")
    return _covariance_at(jacobian, noise, t.astype(jacobian.dtype))


@eqx.filter_jit
def _covariance_at(jacobian: _Matrix, noise: _Matrix, t: Scalar) -> _Matrix:
    turns = jnp.linalg.norm(jax.lax.stop_gradient(jacobian)) * jax.lax.stop_gradient(t)
    doublings = jnp.clip(jnp.ceil(jnp.log2(jnp.maximum(turns, 1))), 0, _MOST_DOUBLINGS)
    n, span = len(jacobian), t / 2**doublings
    # The noise only scales the answer, but a large one in the block would take more squarings than there are.
    unit = jnp.maximum(jnp.linalg.norm(jax.lax.stop_gradient(noise)) * jax.lax.stop_gradient(span), 1)
    block = jnp.block([[-jacobian * span, noise * (span / unit)], [jnp.zeros_like(jacobian), jacobian.T * span]])
    exponential = jax.scipy.linalg.expm(block, max_squarings=16)
    propagator = exponential[n:, n:].T
    start = propagator @ exponential[:n, n:], propagator

    def double(carry: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], None]:
        covariance, power = carry
        going_on = i < doublings
        return (
            jnp.where(going_on, covariance + power @ covariance @ power.T, covariance),
            jnp.where(going_on, power @ power, power),
        ), None

    (covariance, _), _ = jax.lax.scan(double, start, jnp.arange(_MOST_DOUBLINGS, dtype=t.dtype))
    return unit * _symmetric(covariance)


@guarded()
def covariance_after_steps(step_jacobian: _Matrix, noise: _Matrix, num_steps: int | Int[Array, ""]) -> _Matrix:
    r"""The covariance of linear steps with noise after so many steps, from a start without spread.

    $S_n = \sum_{k < n} A^k N (A^k)^T$, for any $A$, by binary powers.

    Args:
        step_jacobian: $A$, as in `stationary_covariance_of_steps`, shape `(n, n)`.
        noise: $N$, likewise.
        num_steps: How many steps, at least 0 and below $2^{31}$; for many numbers use `jax.vmap`.

    Returns:
        $S_n$, shape `(n, n)`.

    Raises:
        ValueError: If `num_steps` is out of its bounds. Under a transformation a RuntimeError, when it runs.
    """
    return _covariance_after_steps(step_jacobian, noise, _number_of_steps(num_steps))


def _number_of_steps(num_steps: int | Int[Array, ""]) -> Int[Array, ""]:
    message = f"`num_steps` must be at least 0 and below 2^{_BITS}"
    if not _checks.is_traced(num_steps):
        if not 0 <= int(num_steps) < 2**_BITS:
            raise ValueError(f"{message}, but is {num_steps}: `stationary_covariance_of_steps` is what it settles to.")
        return jnp.asarray(num_steps)
    return eqx.error_if(num_steps, (num_steps < 0) | (num_steps >> _BITS > 0), f"{message}.")  # pyright: ignore


@eqx.filter_jit
def _covariance_after_steps(step_jacobian: _Matrix, noise: _Matrix, num_steps: Int[Array, ""]) -> _Matrix:
    bits = jnp.arange(_BITS)[::-1]
    zero, identity = jnp.zeros_like(noise), jnp.eye(len(noise), dtype=noise.dtype)

    def double(carry: tuple[Array, Array], bit: Array) -> tuple[tuple[Array, Array], None]:
        covariance, power = carry
        covariance, power = covariance + power @ covariance @ power.T, power @ power
        odd = (num_steps >> bit) & 1 == 1
        one_more = step_jacobian @ covariance @ step_jacobian.T + noise
        return (jnp.where(odd, one_more, covariance), jnp.where(odd, step_jacobian @ power, power)), None

    (covariance, _), _ = jax.lax.scan(double, (zero, identity), bits)
    return covariance


@guarded()
@eqx.filter_jit
def covariance_growth(jacobian: _Matrix, noise: _Matrix) -> _Matrix:
    r"""The rate at which the covariance grows at a center, $\lim_{t\to\infty} S(t)/t$.

    Noise is turned around and never damped: along eigenvectors with $\operatorname{Re}\lambda = 0$ the covariance grows
    linearly in time. In their coordinates it is the part of $\sigma\sigma^T$ on which $\lambda_i + \bar\lambda_j = 0$.
    Zero for a stable Jacobian; infinite, if an eigenvalue has a positive real part. Rounding decides nothing: real
    parts below a billionth of the norm count as zero (1e-4 in float32). Not for Jacobians that lack eigenvectors.

    Args:
        jacobian: $J$, shape `(n, n)`.
        noise: $\sigma\sigma^T$, likewise.

    Returns:
        A matrix, in units of the covariance over time, shape `(n, n)`. Its trace is the rate of the mean square
        distance from the center.
    """
    values, vectors = jnp.linalg.eig(jacobian)
    zero = _small(jacobian)
    inverse = jnp.linalg.inv(vectors)
    in_eigenvectors = inverse @ noise.astype(values.dtype) @ inverse.conj().T
    neutral = jnp.abs(values.real) <= zero
    secular = neutral[:, None] & neutral & (jnp.abs(values[:, None] + values.conj()) <= 2 * zero)
    rate = (vectors @ jnp.where(secular, in_eigenvectors, 0) @ vectors.conj().T).real
    return jnp.where(jnp.max(values.real) > zero, jnp.inf, rate)


@eqx.filter_jit
def _summed(matrix: _Matrix, noise: _Matrix) -> _Matrix:
    """The sum over k of A^k N A^kT."""

    def double(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        covariance, power = carry
        return (covariance + power @ covariance @ power.T, power @ power), None

    (covariance, _), _ = jax.lax.scan(double, (noise, matrix), length=_MOST_DOUBLINGS)
    return _symmetric(covariance)


def _symmetric(matrix: _Matrix) -> _Matrix:
    return (matrix + matrix.T) / 2


def _small(matrix: _Matrix) -> Scalar:
    return _ZERO[max(matrix.dtype.itemsize, 4)] * jnp.linalg.norm(matrix)


@eqx.filter_jit
def _abscissa(jacobian: _Matrix) -> tuple[Scalar, Scalar]:
    return jnp.max(jnp.linalg.eigvals(jacobian).real), _small(jacobian)


@eqx.filter_jit
def _radius(step_jacobian: _Matrix) -> Scalar:
    return jnp.max(jnp.abs(jnp.linalg.eigvals(step_jacobian)))


def _stable_flow(jacobian: _Matrix) -> tuple[Bool[Array, ""], str]:
    abscissa, zero = _abscissa(jax.lax.stop_gradient(jacobian))
    found = "" if _checks.is_traced(abscissa) else f", but is {float(abscissa):.3g}"
    return abscissa < -zero, (
        f"`jacobian` must be stable to have a stationary covariance: its spectral abscissa must be below 0{found}. At "
        "a center the covariance grows linearly, at the rate `covariance_growth`; at any time it is `covariance_at`."
    )


def _stable_steps(step_jacobian: _Matrix) -> tuple[Bool[Array, ""], str]:
    radius = _radius(jax.lax.stop_gradient(step_jacobian))
    found = "" if _checks.is_traced(radius) else f", but is {float(radius):.9g}"
    return radius < 1 - _ZERO[max(step_jacobian.dtype.itemsize, 4)], (
        "`step_jacobian` must be stable to have a stationary covariance: its spectral radius must be below 1"
        f"{found}. After any number of steps the covariance is `covariance_after_steps`."
    )


def _refuse_unless(stable: Bool[Array, ""], message: str, matrix: _Matrix) -> _Matrix:
    if _checks.is_traced(stable):
        return eqx.error_if(matrix, ~stable, message)
    if not stable:
        raise ValueError(message)
    return matrix
