"""What eigenvalues make of an equilibrium."""

from typing import Literal, TypeAlias

import numpy as np

Linear: TypeAlias = Literal["none", "stable", "continuum", "center", "unstable"]


def linear_part(growth: np.ndarray, rounding: float) -> tuple[Linear, float]:
    """Stable, a continuum (zeros, and all others stable), a center or unstable; "none" if all are zero.

    Args:
        growth: Eigenvalues of a field; of an update the logarithms of the multipliers.
        rounding: Of the dtype. Eigenvalues are known to its root, relative to the largest.

    Returns:
        The word, and the largest real part among those that are not zero; 0 for a center.
    """
    zero = np.sqrt(rounding) * np.max(np.abs(growth), initial=0.0)
    moving = growth[np.abs(growth) > zero]
    if len(moving) == 0:
        return "none", 0.0
    largest = float(np.max(np.real(moving)))
    if largest > zero:
        return "unstable", largest
    if largest >= -zero:
        return "center", 0.0
    return "stable" if len(moving) == len(growth) else "continuum", largest
