"""Tsitouras' method of order 5, for those that write it out by hand."""

import diffrax
import jax.numpy as jnp
import numpy as np

NUM_STAGES = 7
FIRST_STEP = 0.01


def stages() -> np.ndarray:
    """Row i: what of the slopes so far leads to stage i. The last row is the step."""
    matrix = np.zeros((NUM_STAGES, NUM_STAGES))
    for i, row in enumerate(diffrax.Tsit5.tableau.a_lower):
        matrix[i + 1, : len(row)] = row
    return matrix


def errors() -> np.ndarray:
    return np.asarray(diffrax.Tsit5.tableau.b_error, float)


def dense() -> np.ndarray:
    """Row j: the weights of the slopes in the coefficient of theta^(j + 1) of the interpolant.

    The interpolant has degree 4 and vanishes at 0: five points determine it.
    """
    points = np.linspace(0.0, 1.0, 5)
    curve = diffrax.Tsit5.interpolation_cls(
        t0=0.0, t1=1.0, y0=jnp.zeros(NUM_STAGES), y1=jnp.zeros(NUM_STAGES), k=jnp.eye(NUM_STAGES)
    )
    values = np.stack([np.asarray(curve.evaluate(point)) for point in points])
    return np.polynomial.polynomial.polyfit(points, values, 4)[1:]
