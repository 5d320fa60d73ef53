import dataclasses
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


Continuum: TypeAlias = Literal["none", "part", "whole"]

_SHAPES = {1: "a line", 2: "a surface"}


@dataclasses.dataclass(frozen=True)
class EquilibriumKind:
    """The type of an equilibrium, and what of it the zero eigenvalues leave open.

    Attributes:
        type: As of `equilibrium_type`. On a continuum of equilibria that fills the null space of the Jacobian it
            speaks of the complement: of how the distance to the continuum changes. "degenerate" where the linear part
            does not decide: at an isolated equilibrium with a zero eigenvalue, where the zero eigenvalues form a
            nilpotent block (then the state drifts along the null space), or where the null space is larger than the
            continuum. "not smooth" where the velocity jumps or has a kink: the rest is empty then.
        nullity: Dimension of the null space of the Jacobian.
        multiplicity: Multiplicity of the zero eigenvalue: above `nullity` where there is a nilpotent block.
        continuum: Whether the equilibria near by fill the null space ("whole"), only part of it, or are isolated
            ("none").
        complement: Eigenvalues on the complement of the null space, those of the nilpotent block left out, by falling
            real part.
    """

    type: EquilibriumType
    nullity: int
    multiplicity: int
    continuum: Continuum
    complement: np.ndarray

    @property
    def on_continuum(self) -> bool:
        """Whether other equilibria lie arbitrarily near."""
        return self.continuum != "none"

    def __str__(self) -> str:
        if self.type == "not smooth":
            return "not smooth: the velocity jumps or has a kink here, and nothing is linear"
        if self.nullity == 0:
            return self.type
        null_space = f"null space of dimension {self.nullity}"
        if self.multiplicity > self.nullity:
            place = "on a continuum of equilibria" if self.on_continuum else "isolated"
            block = f"a nilpotent block (zero is {self.multiplicity}-fold, {null_space})"
            return f"degenerate, {place}, with {block}: to first order states drift along the null space"
        if self.continuum == "none":
            return f"degenerate, isolated ({null_space}): the linear part does not decide"
        if self.continuum == "part":
            return f"degenerate, on a continuum of equilibria of fewer dimensions than the {null_space}"
        continuum = f"{_SHAPES.get(self.nullity, 'a continuum')} of equilibria ({null_space})"
        if not self.complement.size:
            return f"degenerate, on {continuum}, which has no complement"
        return f"{self.type} on the complement of {continuum}"


NOT_SMOOTH = EquilibriumKind("not smooth", 0, 0, "none", np.zeros(0, complex))


def kind_of(jacobian: np.ndarray, continuum: Continuum, scale: float) -> EquilibriumKind:
    """The kind, from the Jacobian and what the search near by has found.

    Args:
        jacobian: The field's, at the equilibrium.
        continuum: Whether there are other equilibria along the null space.
        scale: The size that a Jacobian of this field has; see `null_space`.
    """
    complement, sizes = _staircase(jacobian, scale)
    values = complement[np.lexsort((-np.imag(complement), -np.real(complement)))]
    nullity, multiplicity = (sizes[0] if sizes else 0), sum(sizes)
    undecided = multiplicity > nullity or (nullity > 0 and continuum != "whole") or not values.size
    kind: EquilibriumType = "degenerate" if undecided else equilibrium_type(values, scale=scale)
    return EquilibriumKind(kind, nullity, multiplicity, continuum if nullity else "none", values)


def null_space(jacobian: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal bases of the null space and of its complement, as columns.

    By singular values, which are as good as rounding also where the eigenvalues are good to its root only.

    Args:
        jacobian: A square matrix.
        scale: A singular value counts as zero below the root of rounding, relative to this.
    """
    _, values, rows = np.linalg.svd(jacobian)
    zero = values <= np.sqrt(np.finfo(jacobian.dtype).eps) * scale
    return rows[zero].T, rows[~zero].T


def _staircase(jacobian: np.ndarray, scale: float) -> tuple[np.ndarray, list[int]]:
    """Eigenvalues apart from zero, and the dimensions by which each power of the Jacobian enlarges the null space.

    Of the quotient by the null space, again and again: each nilpotent block is taken off without an eigenvalue of it
    having been computed.
    """
    rest, sizes = jacobian, []
    while rest.size:
        null, complement = null_space(rest, scale)
        if not null.size:
            break
        sizes.append(null.shape[1])
        rest = complement.T @ rest @ complement
    return np.linalg.eigvals(rest).astype(np.result_type(rest.dtype, np.complex64)), sizes
