"""Dense output of Runge-Kutta steps as polynomials, which many times are cheap to put into."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Above those of all of Diffrax's solvers.
_HIGHEST_DEGREE = 8


def weights(solver: Any) -> np.ndarray | None:
    """Coefficients of a step's dense output, in the stages; None if it is no polynomial.

    Returns:
        Shape `(degree + 1, 2 + stages)`: what the state at the start, the state at the end and each stage have in the
        coefficient of every power of $s$, which goes from -1 to 1 along the step.
    """
    num = 2 + solver.tableau.num_stages
    # One more than there are coefficients, so that what is no polynomial shows.
    s = np.cos(np.pi * (np.arange(_HIGHEST_DEGREE + 2) + 0.5) / (_HIGHEST_DEGREE + 2))
    with jax.ensure_compile_time_eval():
        values = np.asarray(jax.jit(lambda s: _each_alone(solver, num, s))(jnp.asarray(s)))
    series = np.polynomial.chebyshev.chebfit(s, values, _HIGHEST_DEGREE + 1)
    rounding = 100 * np.finfo(values.dtype).eps * np.abs(values).max()
    degree = int(np.flatnonzero(np.any(np.abs(series) > rounding, axis=1)).max())
    if degree > _HIGHEST_DEGREE:
        return None
    series = np.where(np.abs(series) > rounding, series, 0)[: degree + 1]
    powers = np.zeros_like(series)
    for column, power in zip(series.T, powers.T, strict=True):
        trimmed = np.polynomial.chebyshev.cheb2poly(column)
        power[: len(trimmed)] = trimmed
    return powers


def _each_alone(solver: Any, num: int, s: Any) -> Any:
    """The dense output at `s`, where each of what it is made of is one in a component of its own and zero elsewhere."""
    unit = jnp.eye(num)

    def at(s: Any) -> Any:
        step = solver.interpolation_cls(t0=jnp.asarray(-1.0), t1=jnp.asarray(1.0), y0=unit[0], y1=unit[1], k=unit[2:])
        return step.evaluate(s)

    return jax.vmap(at)(s)
