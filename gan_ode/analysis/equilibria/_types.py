from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Array, Complex

EquilibriumType: TypeAlias = Literal[
    "stable node", "stable focus", "unstable node", "unstable focus", "saddle", "center", "degenerate", "not smooth"
]
"""Where the field is not smooth it has no eigenvalues: only `find_equilibria` says so."""


def equilibrium_type(
    eigenvalues: Complex[Array | np.ndarray, " n"], *, scale: float | np.floating | None = None
) -> EquilibriumType:
    """What kind of equilibrium has these eigenvalues.

    Real parts and eigenvalues count as zero below the square root of the dtype's rounding, relative to `scale`: a
    computed zero comes out as large as that where it is repeated.

    Args:
        eigenvalues: Of the field's Jacobian, shape `(n,)`; concrete.
        scale: What they are large or small against; the largest modulus if None. Where all of them may be zeros, only
            the norm of the Jacobian tells.

    Returns:
        "degenerate" if an eigenvalue is zero (equilibria may form a continuum: `find_equilibria` tells); "center" if
        the rightmost lie on the imaginary axis, where the linear part does not decide; else "stable" or "unstable",
        "node" if all are real and "focus" if not, or "saddle".

    Raises:
        ValueError: If an eigenvalue is not finite.
    """
    values = np.asarray(eigenvalues, complex)
    if not np.all(np.isfinite(values)):
        raise ValueError("`eigenvalues` must be finite, but some are not: is the state an equilibrium of the field?")
    rounding = np.finfo(np.asarray(eigenvalues).dtype).eps
    zero = np.sqrt(rounding) * (np.max(np.abs(values), initial=0.0) if scale is None else scale)
    if np.any(np.abs(values) <= zero):
        return "degenerate"
    turns = bool(np.any(np.abs(np.imag(values)) > zero))
    decays, grows = np.real(values) < -zero, np.real(values) > zero
    if np.all(decays):
        return "stable focus" if turns else "stable node"
    if not np.any(grows):
        return "center"
    if np.any(decays):
        return "saddle"
    return "unstable focus" if turns else "unstable node"
