from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._types import RealScalarLike, Scalar

# Eigenvalues of a Gram matrix count as zero below so many roundings, relative to the largest.
ROUNDINGS = 1e3
# Over nine decades of the weight around one over the norm of the Jacobian, five a decade.
_DECADES, _A_DECADE = (-6, 3), 5
_BISECTIONS = 60
# An abscissa is known to so many roundings, relative to the norm.
_NOISE = 100


@printed
class EigenvalueBounds(eqx.Module):
    """What the theory says of eigenvalues other than zero: their real parts are not above these.

    Attributes:
        real: For real eigenvalues.
        oscillating: For pairs.
    """

    real: Scalar
    oscillating: Scalar

    def _report(self) -> Report:
        lines = {"real": number(self.real, 6), "oscillating": number(self.oscillating, 6)}
        return Report("EigenvalueBounds: real parts are not above these", lines)


@jit
def eigenvalue_bounds(
    damping: Float[Array, "d d"], coupling: Float[Array, "d g"], eta: RealScalarLike = 0.0
) -> EigenvalueBounds:
    r"""Bounds on the eigenvalues of $[[-Q, P], [-P^T(I - 2\eta Q), -2\eta P^T P]]$, with $Q \succeq 0$.

    With $q$ and $p$ for the smallest eigenvalues other than zero of $Q$ and $P^T P$, and $q^*$ for the largest of $Q$,

    $$\operatorname{Re}\lambda \le -\frac{q p}{q q^* + p + 2 \eta q p} \;\text{ (real)}, \qquad
    \operatorname{Re}\lambda \le -\frac{q + 2 \eta p'}{2} \;\text{ (a pair)},$$

    where $p' = p$ if $P P^T$ has the rank of $Q$, and 0 otherwise. With $Q = 0$ they are $-1/(2\eta)$ and $-\eta p$,
    and 0 at $\eta = 0$: nothing damps the rotation.

    Both follow from the first row. With the unit vector $u$ of the discriminator's part, $\lambda$ solves
    $\lambda^2 + (u^* Q u + 2 \eta |P^T u|^2) \lambda + |P^T u|^2 = 0$, which gives the pairs. For a real one with
    $-\lambda < q$ the part $u$ can be eliminated, and $-\lambda (q^* + 2 \eta p) \ge p$; the bound is half the harmonic
    mean of $q$ and $p / (q^* + 2 \eta p)$. So no $\eta \ge 0$ makes an eigenvalue positive.

    Source: Nagarajan and Kolter (2017), arXiv:1706.04156, appendix, for $\eta = 0$ and for $Q = 0$; rederived, and
    extended to every $\eta \ge 0$.

    Args:
        damping: $Q$, symmetric.
        coupling: $P$. The null space of $Q$, unless it is everything, must be one of $P^T$ too.
        eta: Weight of the gradient-norm regularizer.

    Returns:
        The two bounds, in units of one over time; infinite where there is no eigenvalue other than zero.
    """
    of_damping, of_coupling = jnp.linalg.eigvalsh(damping), jnp.linalg.eigvalsh(coupling.T @ coupling)
    q, q_rank = smallest_positive(of_damping)
    p, p_rank = smallest_positive(of_coupling)
    undamped = q_rank == 0
    q_inverse = 1 / jnp.where(undamped, jnp.inf, q)
    p_inverse = 1 / p
    slowest = q_inverse + jnp.max(of_damping, initial=0.0) * p_inverse + 2 * eta
    real = jnp.where(slowest > 0, -1 / or_one(slowest), 0.0)
    turning = jnp.where((p_rank > 0) & (undamped | (p_rank == q_rank)), p, 0.0)
    oscillating = -(jnp.where(undamped, 0.0, q) + 2 * eta * turning) / 2
    return EigenvalueBounds(real.astype(damping.dtype), oscillating.astype(damping.dtype))


def smallest_positive(eigenvalues: Float[Array, " n"]) -> tuple[Scalar, Array]:
    """The smallest eigenvalue of a Gram matrix that is not zero, infinity if all are; and how many are not zero."""
    positive = ~is_zero(eigenvalues)
    return jnp.min(jnp.where(positive, eigenvalues, jnp.inf), initial=jnp.inf), jnp.sum(positive)


def is_zero(eigenvalues: Float[Array, " n"]) -> Array:
    """Which eigenvalues of a Gram matrix are zero but for rounding."""
    return eigenvalues <= ROUNDINGS * jnp.finfo(eigenvalues.dtype).eps * jnp.max(eigenvalues, initial=0.0)


def or_one(value: Scalar) -> Scalar:
    """The value if it is above 0, else 1: what a size is divided by."""
    return jnp.where(value > 0, value, jnp.ones_like(value))


def sheared(matrix: Float[Array, "n n"], num: int, eta: RealScalarLike) -> Float[Array, "n n"]:
    r"""The Jacobian with the gradient-norm regularizer, $[[I, 0], [-2\eta B^T, I]] J$, where $B$ is the block above.

    Args:
        matrix: $J$ without it.
        num: Number of the discriminator's parameters.
        eta: Weight.
    """
    drift = 2 * jnp.asarray(eta, matrix.dtype) * matrix[:num, num:].T @ matrix[:num]
    return matrix.at[num:].add(-drift)


@jit
def stable_etas(matrix: Float[Array, "n n"], num: int) -> tuple[Float[Array, "2"], Scalar]:
    r"""Weights of the gradient-norm regularizer for which an equilibrium is stable.

    Found by the spectral abscissa of the sheared Jacobian on a ladder of weights of both signs, up to a thousand over
    its norm, and bisection of both ends. It is the abscissa on the complement of the null space, which does not depend
    on the weight.

    Args:
        matrix: Jacobian at weight 0, the discriminator's parameters first.
        num: Number of the discriminator's parameters.

    Returns:
        The lower and the upper end of the interval that holds the smallest stable weight (of a negative and a positive
        one of the same size, the positive), NaN if there is none; and the end of the ladder, which stands for an end
        that was not reached.
    """
    rounding = jnp.finfo(matrix.dtype).eps
    _, values, rows = jnp.linalg.svd(matrix)
    moving = values > jnp.sqrt(rounding) * values[0]
    both = moving[:, None] & moving[None, :]

    def is_stable(eta: Array) -> Array:
        here = sheared(matrix, num, eta)
        size = jnp.linalg.norm(here)
        # Block triangular in the basis of the null space and its complement. In its place a block that decays faster
        # than any eigenvalue keeps the shape.
        quotient = jnp.where(both, rows @ here @ rows.T, 0.0) - jnp.diag(jnp.where(moving, 0.0, size))
        return (jnp.max(jnp.linalg.eigvals(quotient).real) < -_NOISE * rounding * size) & jnp.any(moving)

    num_steps = (_DECADES[1] - _DECADES[0]) * _A_DECADE + 1
    ladder = jnp.logspace(*_DECADES, num_steps, dtype=matrix.dtype) / or_one(values[0])
    etas = jnp.concatenate([-ladder[::-1], jnp.zeros(1, matrix.dtype), ladder])
    stable, places = jax.vmap(is_stable)(etas), jnp.arange(etas.size)
    # The ladder is symmetric: of two weights of the same size the later is positive.
    inside = etas.size - 1 - jnp.argmin(jnp.where(stable, jnp.abs(etas), jnp.inf)[::-1])
    below = jnp.max(jnp.where(~stable & (places < inside), places, -1))
    above = jnp.min(jnp.where(~stable & (places > inside), places, etas.size))

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        within, beyond = ends
        middle = (within + beyond) / 2
        holds = jax.vmap(is_stable)(middle)
        return jnp.where(holds, middle, within), jnp.where(holds, beyond, middle)

    within = jnp.stack([etas[below + 1], etas[above - 1]])
    beyond = jnp.stack([etas[jnp.maximum(below, 0)], etas[jnp.minimum(above, etas.size - 1)]])
    within, _ = jax.lax.fori_loop(0, _BISECTIONS, halve, (within, beyond))
    return jnp.where(jnp.any(stable), within, jnp.nan), ladder[-1]
