from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Array, Complex

EquilibriumType: TypeAlias = Literal[
    "stable node", "stable focus", "unstable node", "unstable focus", "saddle", "center", "degenerate"
]


def equilibrium_type(eigenvalues: Complex[Array | np.ndarray, " n"]) -> EquilibriumType:
    """What kind of equilibrium has these eigenvalues.

    Real parts and eigenvalues count as zero below the square root of the dtype's rounding, relative to the largest
    modulus: a computed zero comes out as large as that where it is repeated.

    Args:
        eigenvalues: Of the field's Jacobian, shape `(n,)`; concrete.

    Returns:
        "degenerate" if an eigenvalue is zero (equilibria may form a continuum); "center" if the rightmost lie on the
        imaginary axis, where the linear part does not decide; else "stable" or "unstable", "node" if all are real and
        "focus" if not, or "saddle".

    Raises:
        ValueError: If an eigenvalue is not finite.
    """
    values = np.asarray(eigenvalues)
    if not np.all(np.isfinite(values)):
        raise ValueError("`eigenvalues` must be finite, but some are not: is the state an equilibrium of the field?")
    zero = np.sqrt(np.finfo(values.real.dtype).eps) * np.max(np.abs(values), initial=0.0)
    if np.any(np.abs(values) <= zero):
        return "degenerate"
    shape = "focus" if np.any(np.abs(values.imag) > zero) else "node"
    if np.all(values.real < -zero):
        return f"stable {shape}"
    if np.any(values.real > zero):
        return "saddle" if np.any(values.real < -zero) else f"unstable {shape}"
    return "center"
