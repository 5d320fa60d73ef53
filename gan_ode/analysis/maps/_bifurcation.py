from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report, yes
from ..._problem import state_of
from ..._rules import maker, Rule
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ._critical_step_size import critical_step_size
from ._fixed_point import Standing, step_at_fixed_point
from ._multipliers import matrix_of_steps, trusted
from ._rhythm import Rhythm, rhythm

_MOST_NUMBERS = 200
# A multiplier's angle, and the cosine between its two eigenvectors, count as zero below this; and the real part of a
# coefficient, relative to its modulus.
_ZERO = 1e-6


@printed
class Bifurcation(eqx.Module):
    r"""How an update loses a fixed point at its critical step size, and what takes its place.

    On the plane of the multiplier $\mu$ that reaches modulus 1, disturbances $w$ become
    $\mu w (1 + c\,\lvert w\rvert^2)$ in one step, or in the steps of a period for a rule that has one.

    Attributes:
        period: Steps after which the rule does the same again, see `step_period`; 1 for most.
        step_size: The critical step size.
        multiplier: $\mu$ there; of a pair, the one above the axis.
        coefficient: $c$, in units of one over the state squared.
        growth: Rise of $\lvert\mu\rvert$ with the step size.
        turning: Rise of $\arg\mu$ with the step size, in radians.
        direction: Modulus of the multiplier's eigenvector in each number of the state; state and memory together have
            norm 1.
    """

    step_size: Scalar
    multiplier: Complex[Array, ""]
    coefficient: Complex[Array, ""]
    growth: Scalar
    turning: Scalar
    direction: State
    period: int = eqx.field(static=True, default=1)

    @property
    def kind(self) -> Literal["closed curve", "period doubling", "exchange"]:
        """What meets the fixed point: a closed curve (a pair of multipliers), an orbit of two steps, or of two periods
        (-1), or another fixed point (+1), where there is no coefficient. Concrete."""
        if _turns(np.asarray(self.multiplier)):
            return "closed curve"
        return "period doubling" if np.real(self.multiplier) < 0 else "exchange"

    @property
    def supercritical(self) -> Bool[Array, "*batch"]:
        """Whether what meets it attracts, and exists for larger step sizes."""
        return jnp.real(self.coefficient) < -_ZERO * jnp.abs(self.coefficient)

    @property
    def subcritical(self) -> Bool[Array, "*batch"]:
        """Whether it repels, and exists for smaller step sizes: beyond the critical one orbits leave at once.

        Where both are false, the coefficient's real part is zero, or there is no coefficient, and higher terms decide.
        """
        return jnp.real(self.coefficient) > _ZERO * jnp.abs(self.coefficient)

    def amplitude(self, step_size: RealScalarLike) -> State:
        r"""Its half-width in each number of the state, to first order in $\sqrt{h - h^*}$.

        Of $w$ it is $\sqrt{-(h - h^*)\, \tfrac{d|\mu|}{dh} / \operatorname{Re} c}$. NaN on the side where it does not
        exist, and where the coefficient does not decide.
        """
        factor = jnp.where(_turns(self.multiplier), 2, 1)
        size = factor * jnp.sqrt(self._squared_size(step_size))
        return jax.tree.map(lambda leaf: size.astype(leaf.dtype) * leaf, self.direction)

    def rotation(self, step_size: RealScalarLike) -> Scalar:
        r"""Turns in a step, or in a period, on the closed curve, to first order in $h - h^*$.

        Like `rotation_number`, but without its sign, and of states a period apart.
        """
        past = step_size - self.step_size
        bend = jnp.imag(self.coefficient) * self._squared_size(step_size)
        return (jnp.angle(self.multiplier) + past * self.turning + bend) / (2 * np.pi)

    def _squared_size(self, step_size: RealScalarLike) -> Scalar:
        decided = self.supercritical | self.subcritical
        size = -(step_size - self.step_size) * self.growth / jnp.real(self.coefficient)
        return jnp.where(decided, size, jnp.nan)

    def _report(self) -> Report:
        supercritical, subcritical = yes(self.supercritical), yes(self.subcritical)
        word = (
            "supercritical, " if supercritical else "subcritical, " if subcritical else "undecided by its coefficient, "
        )
        lines = {
            "step size": number(self.step_size, 8),
            "multiplier": number(self.multiplier, 6),
            "coefficient": number(self.coefficient),
            "period": f"{self.period} steps" if self.period > 1 else None,
        }
        return Report(f"Bifurcation: {word}{self.kind}", lines)


@guarded("y")
def bifurcation(
    rule: Rule,
    field: Field,
    y: State,
    *,
    args: Args = None,
    check: bool = True,
) -> Bifurcation:
    r"""What an update does just beyond its critical step size at a fixed point: a small orbit, or none.

    The coefficient of the normal form, with $A$ the Jacobian of the step (or of a period, for a rule that has one),
    $B$ and $C$ its second and third derivatives, $A q = \mu q$, $A^T p = \bar\mu p$, $\langle p, q\rangle = 1$: for
    a pair of multipliers (Neimark and Sacker)

    $$c = \tfrac{\bar\mu}{2} \langle p, C(q, q, \bar q) + 2 B(q, (I - A)^{-1} B(q, \bar q))
    + B(\bar q, (\mu^2 I - A)^{-1} B(q, q)) \rangle,$$

    and for $\mu = -1$ (period doubling)
    $c = -\langle p, \tfrac16 C(q, q, q) + \tfrac12 B(q, (I - A)^{-1} B(q, q)) \rangle$. Where $\mu^3 = 1$ or
    $\mu^4 = 1$ it does not decide.

    Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, third edition, equations 5.73 and 5.74, there with
    factors $\lvert w\rvert^2$ taken out alike.

    Args:
        rule: A class of update that takes the step size, a function from step size to update, or an update, whose step
            size is replaced.
        field: The field, three times differentiable.
        y: The fixed point: a state or an equilibrium.
        args: Handed to the field.
        check: Whether to look first if linear statements make sense there.

    Returns:
        The critical step size, the multiplier, the coefficient, and what follows from it.

    Raises:
        ValueError: If no step size is critical, if there are too many numbers for dense second derivatives, and as for
            `critical_step_size`.
    """
    y = state_of(y)
    rule = maker(rule, field, y, args)
    step_size = critical_step_size(rule, field, y, args=args, check=check)
    if not _checks.is_traced(step_size) and not 0 < float(step_size) < np.inf:
        stable = "none, however small" if float(step_size) == 0 else "every step size"
        raise ValueError(
            f"`rule` must lose stability at a step size above 0, but is stable for {stable}: nothing changes."
        )
    # All that is to be looked at was looked at, and under a transformation the step size is NaN where it was not right.
    return trusted(_expand, rule, field, y, args, False, step_size)


@jit
def _expand(
    rule: Callable, field: Field, y: State, args: Args, known: Rhythm | None, check: bool, step_size: Scalar
) -> tuple[Bifurcation, Standing | None]:
    known = rhythm(rule(step_size), field, y, args, strict=check) if known is None else known
    flat, step = step_at_fixed_point(rule(step_size), field, y, args, known)
    if flat.size > _MOST_NUMBERS:
        raise ValueError(
            f"`y` must have at most {_MOST_NUMBERS} numbers with the update's memory, but has {flat.size}: second "
            "derivatives are dense here."
        )

    def multiplier_at(h: Scalar) -> Complex[Array, ""]:
        return _leading(jnp.linalg.eigvals(matrix_of_steps(rule(h), field, y, args, known)))

    multiplier, slope = jax.jvp(multiplier_at, (step_size,), (jnp.ones_like(step_size),))
    relative = slope / multiplier
    matrix = jax.jacfwd(step)(flat)
    q, p = _eigenvectors(matrix, multiplier)
    q = q / jnp.linalg.norm(q)
    # Two multipliers that have met have one eigenvector, across the left one.
    overlap = jnp.vdot(p, q)
    p = p / jnp.where(jnp.abs(overlap) > _ZERO, jnp.conj(overlap), jnp.nan)
    coefficient = _coefficient(step, flat, matrix, multiplier, q, p)
    numbers, restore = ravel_pytree(y)
    found = Bifurcation(
        step_size=step_size,
        multiplier=multiplier,
        coefficient=coefficient,
        growth=jnp.abs(multiplier) * jnp.real(relative),
        turning=jnp.imag(relative),
        direction=restore(jnp.abs(q)[: numbers.size]),
        period=known.period,
    )
    return found, None


def _leading(multipliers: Complex[Array, " m"]) -> Complex[Array, ""]:
    # Of a pair the one above the axis, whichever is larger in the last digit.
    above = jnp.where(jnp.imag(multipliers) >= 0, jnp.abs(multipliers), -1)
    return multipliers[jnp.argmax(above)]


def _eigenvectors(matrix: Array, multiplier: Array) -> tuple[Complex[Array, " m"], Complex[Array, " m"]]:
    """Right, and left to the conjugate."""
    values, vectors = jnp.linalg.eig(matrix)
    values_left, vectors_left = jnp.linalg.eig(matrix.T)
    right = vectors[:, jnp.argmin(jnp.abs(values - multiplier))]
    left = vectors_left[:, jnp.argmin(jnp.abs(values_left - jnp.conj(multiplier)))]
    return right, left


def _coefficient(step: Callable, flat: Array, matrix: Array, multiplier: Array, q: Array, p: Array) -> Array:
    second = jax.jacfwd(jax.jacfwd(step))(flat)
    plane = jnp.stack([jnp.real(q), jnp.imag(q)])
    third = jax.jacfwd(jax.jacfwd(jax.jacfwd(lambda s: step(flat + s @ plane))))(jnp.zeros(2, flat.dtype))
    forward = jnp.asarray([1, 1j], q.dtype)
    back, eye = jnp.conj(forward), jnp.eye(flat.size, dtype=flat.dtype)

    def b(u: Array, v: Array) -> Array:
        return jnp.einsum("ijk,j,k->i", second, u, v)

    def c(u: Array, v: Array, w: Array) -> Array:
        return jnp.einsum("iabc,a,b,c->i", third, u, v, w)

    slow = jnp.linalg.solve((eye - matrix).astype(q.dtype), b(q, jnp.conj(q)))
    fast = jnp.linalg.solve(multiplier**2 * eye - matrix, b(q, q))
    turning = c(forward, forward, back) + 2 * b(q, slow) + b(jnp.conj(q), fast)
    flipping = -(c(forward, forward, forward) / 6 + b(q, slow) / 2)
    coefficient = jnp.where(_turns(multiplier), jnp.conj(multiplier) / 2 * jnp.vdot(p, turning), jnp.vdot(p, flipping))
    return jnp.where(jnp.abs(multiplier - 1) > _ZERO, coefficient, jnp.nan)


def _turns(multiplier: Any) -> Any:
    return abs(multiplier.imag) > _ZERO
