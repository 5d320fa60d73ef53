r"""Coefficients of normal forms: what an event gives birth to, and on which side.

All are sums of three products with the left eigenvector $p$: of the third derivative $C$, and of the second one $B$
with what the plane of the eigenvector $q$ is bent by.

Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, third edition, sections 3.5, 5.4, with
$\langle q, q\rangle = \langle p, q\rangle = 1$.
"""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from ..._lowering import jit_quickly
from ..._printing import number, printed, Report
from ..._types import Scalar
from ..arclength._extended import eigenvalue_of, EventKind
from ..arclength._motion import AbstractMotion
from ._multilinear import bilinear, trilinear

Criticality = Literal["supercritical", "subcritical", "transcritical", "degenerate"]

# A coefficient counts as zero below this part of the terms that it is the sum of.
_ZERO = 1e-7
# Another singular value this small beside the largest is a second null direction; a multiplier this near to a root of
# unity of degree three or four is a strong resonance.
_SECOND, _RESONANT = 1e-9, 1e-6
_FLAT = 1e-11


@printed
class NormalForm(eqx.Module):
    r"""The coefficient that decides what an event gives birth to.

    | event | coefficient | supercritical |
    |---|---|---|
    | Hopf | $\ell_1 = \mathrm{Re}\, c_1 / \omega$, the first Lyapunov coefficient | negative: a cycle that attracts |
    | fold | $a = \tfrac12 \langle p, B(q, q)\rangle$ | both equilibria are at larger values of the parameter |
    | branch point | that of the pitchfork's cube, or of the transcritical square | negative: what crosses attracts |
    | flip | that of $\xi \mapsto -\xi + c\,\xi^3$ | positive: an orbit of two steps that attracts |
    | Neimark-Sacker | $d = \mathrm{Re}(e^{-i\theta} c_1)$ | negative: a closed curve that attracts |

    "Attracts" holds where the other eigenvalues are stable. Strong resonances ($\mu^3 = 1$, $\mu^4 = 1$) are left out:
    there other terms decide, and the criticality is "degenerate".

    Attributes:
        coefficient: The coefficient, a scalar; of unit eigenvectors, so in units of one over the state squared for all
            but the quadratic ones.
        criticality: "supercritical", "subcritical", "degenerate" where the coefficient is zero to rounding or the
            event is not simple; a branch point with a square term is "transcritical".
    """

    coefficient: Scalar
    criticality: Criticality = eqx.field(static=True)

    def _report(self) -> Report:
        return Report(f"NormalForm: {self.criticality}", {"coefficient": number(self.coefficient, 8)})


class Terms(eqx.Module):
    """What coefficients are made of.

    Attributes:
        square: $\\langle p, B(q, q)\\rangle / 2$.
        cube: The coefficient of the third order, before it is turned and scaled.
        size: The sum of the sizes of its terms.
        square_size: The size of the square term, if $p$ and $B(q, q)$ were parallel.
        pull: $\\langle p, F_\\mu \\rangle$, how the parameter moves the residual along $q$.
        simple: Whether one eigenvalue alone is critical.
    """

    square: Complex[Array, ""]
    cube: Complex[Array, ""]
    size: Scalar
    square_size: Scalar
    pull: Scalar
    simple: Bool[Array, ""]


@jit_quickly
def terms(motion: AbstractMotion, kind: EventKind, x: Array, value: Scalar, angle: Scalar) -> Terms:
    """The terms at an event, from dense matrices.

    Args:
        motion: The equations of the branch.
        kind: What the event is.
        x: The flat state there.
        value: The parameter there.
        angle: Of a pair, the frequency or the angle of the multiplier.
    """

    def function(x: Array) -> Array:
        return motion.residual(x, value)

    matrix = jax.jacfwd(function)(x)
    pull = jax.jvp(lambda v: motion.residual(x, v), (value,), (jnp.ones_like(value),))[1]
    eye = jnp.eye(len(matrix), dtype=matrix.dtype)
    eigenvalue, double = eigenvalue_of(kind, angle), doubled(kind, angle)
    left, sizes, right = jnp.linalg.svd(matrix - eigenvalue * eye)
    q, p = right[-1].conj(), left[:, -1]
    if kind in ("fold", "branch point", "flip"):
        # A real one has two directions: its largest component is positive.
        q = q * jnp.sign(q[jnp.argmax(jnp.abs(q))])
    overlap = jnp.vdot(p, q)
    p = p / jnp.where(jnp.abs(overlap) > 0, jnp.conj(overlap), 1)
    other = sizes[-2] if len(sizes) > 1 else jnp.full((), jnp.inf, matrix.dtype)
    simple = (other > _SECOND * sizes[0]) & (jnp.abs(overlap) > _SECOND)

    def slow(right: Array) -> Array:
        """Minus the inverse of the Jacobian, off its null space where it has one."""
        if kind not in ("fold", "branch point"):
            return -jnp.linalg.lstsq(matrix, right, rcond=_FLAT)[0]
        bordered = jnp.block([[matrix, q[:, None]], [p[None], jnp.zeros((1, 1), matrix.dtype)]])
        found = jnp.linalg.lstsq(bordered, jnp.concatenate([right, jnp.zeros(1, right.dtype)]), rcond=_FLAT)[0]
        return -found[:-1]

    def fast(right: Array) -> Array:
        return jnp.linalg.solve(double * eye - matrix, right)

    def second(left: Array, right: Array) -> Array:
        return bilinear(function, x, left, right)

    def third(directions: Array) -> Array:
        return trilinear(function, x, directions)

    return assembled(kind, q, p, second, third, slow, fast, pull, simple)


def assembled(
    kind: EventKind,
    q: Array,
    p: Array,
    second: Callable[[Array, Array], Array],
    third: Callable[[Array], Array],
    slow: Callable[[Array], Array],
    fast: Callable[[Array], Array],
    pull: Array,
    simple: Array,
) -> Terms:
    """The terms, from eigenvectors and two ways to solve linear systems.

    Args:
        kind: What the event is.
        q: The right eigenvector, of length 1.
        p: The left one, with product 1.
        second: The residual's second derivative along rows of pairs of directions.
        third: The third along rows of triples.
        slow: Minus the inverse of the Jacobian times a real vector.
        fast: The inverse of twice the eigenvalue (of a map, of the multiplier's square, less 1) minus the Jacobian.
        pull: The residual's derivative by the parameter.
        simple: Whether one eigenvalue alone is critical.
    """
    a, b = jnp.real(q), jnp.imag(q)
    if kind in ("hopf", "neimark-sacker"):
        aa, ab, bb = second(jnp.stack([a, a, b]), jnp.stack([a, b, b]))
        square, mean = jax.lax.complex(aa - bb, 2 * ab), aa + bb
        h, g = slow(mean), fast(square)
        rows = second(jnp.stack([a, b, a, a, b, b]), jnp.stack([h, h, g.real, g.imag, g.real, g.imag]))
        with_mean = jax.lax.complex(rows[0], rows[1])
        with_square = jax.lax.complex(rows[2] + rows[5], rows[3] - rows[4])
        triples = [jnp.stack(triple) for triple in ((a, a, a), (a, b, b), (a, a, b), (b, b, b))]
        aaa, abb, aab, bbb = third(jnp.stack(triples))
        cube = jax.lax.complex(aaa + abb, aab + bbb)
        parts = jnp.stack([jnp.vdot(p, cube) / 2, jnp.vdot(p, with_mean), jnp.vdot(p, with_square) / 2])
    else:
        (square,) = second(a[None], a[None])
        along = jnp.vdot(p, square) if kind != "flip" else jnp.zeros((), a.dtype)
        h = slow(square - along * a)
        (bent,) = second(a[None], h[None])
        (cube,) = third(jnp.stack([a, a, a])[None])
        parts = jnp.stack([jnp.vdot(p, cube) / 6, jnp.vdot(p, bent) / 2])
    to_complex = jnp.result_type(parts.dtype, jnp.complex64)
    return Terms(
        square=jnp.vdot(p, square).astype(to_complex) / 2,
        cube=jnp.sum(parts).astype(to_complex),
        size=jnp.sum(jnp.abs(parts)),
        square_size=jnp.linalg.norm(p) * jnp.linalg.norm(square) / 2,
        pull=jnp.real(jnp.vdot(p, pull)),
        simple=simple,
    )


def doubled(kind: EventKind, angle: Scalar) -> Array:
    """What its square moves by: of a map the multiplier's square, less 1."""
    if kind == "neimark-sacker":
        return jax.lax.complex(jnp.cos(2 * angle) - 1, jnp.sin(2 * angle))
    return 2 * eigenvalue_of(kind, angle)


def normal_form(kind: EventKind, found: Terms, angle: Float[Array, ""]) -> NormalForm:
    """The coefficient in the usual scale, and what it says; of concrete terms."""
    cube, size, turn = complex(np.asarray(found.cube)), float(found.size), float(angle)
    square, simple = float(np.real(np.asarray(found.square))), bool(found.simple)
    if kind == "fold":
        flat = abs(square) <= _ZERO * float(found.square_size) or not float(found.pull)
        # The parameter moves as minus this times the square of the way.
        turns = 0.0 if flat else square / float(found.pull)
        return _judged(square, turns, 0.0, simple)
    if kind == "branch point":
        noise = _ZERO * (float(found.square_size) + np.sqrt(size * abs(cube)))
        if abs(square) > noise:
            return NormalForm(jnp.asarray(square), "transcritical" if simple else "degenerate")
        return _judged(cube.real, cube.real, size, simple)
    if kind == "hopf":
        return _judged(cube.real / turn, cube.real, size, simple)
    if kind == "flip":
        return _judged(cube.real, -cube.real, size, simple)
    multiplier = np.exp(1j * turn)
    resonant = min(abs(multiplier**3 - 1), abs(multiplier**4 - 1)) < _RESONANT
    coefficient = (np.conj(multiplier) * cube).real
    return _judged(coefficient, coefficient, size, simple and not resonant)


def _judged(coefficient: float, sign: float, size: float, simple: bool) -> NormalForm:
    """Supercritical where the sign is negative, and the coefficient is more than rounding."""
    if not simple or sign == 0 or not np.isfinite(coefficient) or abs(sign) <= _ZERO * size:
        return NormalForm(jnp.asarray(coefficient), "degenerate")
    return NormalForm(jnp.asarray(coefficient), "supercritical" if sign < 0 else "subcritical")
