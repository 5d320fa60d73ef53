"""What the leading eigenvalues say of step sizes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, numbers, printed, Report, yes
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, State
from ._arnoldi import ROUNDINGS
from ._leading import leading_eigenvalues, LeadingEigenvalues


@printed
class Stiffness(eqx.Module):
    r"""Step sizes and the stiffness ratio at a state, from the leading eigenvalues of the field's Jacobian.

    A mode $\lambda$ that decays under the flow grows under simultaneous steps from $h = -2\,\mathrm{Re}\lambda /
    |\lambda|^2$ on. That is small where $|\lambda|$ is large, or where $\lambda$ is near the imaginary axis, so the
    eigenvalues of largest modulus and the rightmost ones are looked at. One that is among neither has
    $\mathrm{Re}\lambda \le r$, the last of the rightmost ones, and $|\lambda| \le m$, the last of the largest ones;
    hence the bounds, which hold if the eigenvalues found are the leading ones.

    Eigenvalues are not all: of a Jacobian that is not normal steps far below these amplify perturbations at first
    (`transient_growth`), and away from an equilibrium the Jacobian itself moves.

    Attributes:
        rightmost: The rightmost eigenvalues.
        largest: The ones of largest modulus.
        critical_step_size: The smallest step size at which one of the found modes loses stability under simultaneous
            steps; 0 if one grows under the flow already. The critical step size of all modes is at most this.
        critical_step_size_bound: The critical step size of all modes is at least this: $-2 r / m^2$ or the above,
            whichever is smaller; 0 if $r \ge 0$, for then nothing is known of the others.
        decaying_step_size: As `critical_step_size`, of the decaying modes alone: past it the steps do not follow the
            flow. Infinite if none of the found ones decays.
        stiffness_ratio: Modulus of the largest eigenvalue over that of the rightmost, the slowest to decay or the
            fastest to grow; infinite if that one is zero but for rounding.
    """

    rightmost: LeadingEigenvalues
    largest: LeadingEigenvalues
    critical_step_size: Float[Array, "*batch"]
    critical_step_size_bound: Float[Array, "*batch"]
    decaying_step_size: Float[Array, "*batch"]
    stiffness_ratio: Float[Array, "*batch"]

    def _report(self) -> Report:
        critical, bound = number(self.critical_step_size), number(self.critical_step_size_bound)
        lines = {
            "critical step": f"at most {critical}, at least {bound}, of simultaneous steps",
            "decaying modes": f"lost above a step of {number(self.decaying_step_size)}",
            "rightmost": numbers(self.rightmost.eigenvalues, 3),
            "largest": numbers(self.largest.eigenvalues, 3),
            "note": None if yes(self._converged()) else "not all eigenvalues converged: look at their residuals",
        }
        return Report(f"Stiffness: fastest over slowest mode {number(self.stiffness_ratio)}", lines)

    def _converged(self) -> Array:
        return jnp.all(self.rightmost.converged) & jnp.all(self.largest.converged)


@guarded("y")
def stiffness(
    field: Field,
    y: State,
    k: int = 6,
    *,
    args: Args = None,
    t: RealScalarLike = 0.0,
    tol: float | None = None,
    subspace: int | None = None,
    max_products: int = 2000,
    key: PRNGKeyArray | None = None,
    check: bool = True,
) -> Stiffness:
    """Critical step sizes of simultaneous steps and the stiffness ratio at a state, without the matrix.

    Two searches by `leading_eigenvalues`, whose arguments it takes. For other updates ask `critical_step_size`, where
    a dense matrix can be had, or `leading_eigenvalues` with an update.

    Args:
        field: The field.
        y: State, at an equilibrium or not.
        k: How many eigenvalues of either kind.
        args: Handed to the field: a minibatch, or None.
        t: Time.
        tol: Relative tolerance of the residuals.
        subspace: Size of the basis.
        max_products: When to give up, in each of the two searches.
        key: For the first vector of the basis.
        check: Whether to look if the field is smooth there, as for `jacobian`.

    Returns:
        The eigenvalues, and what follows from them.

    Raises:
        ValueError: If an argument cannot work, or the field is not differentiable at the state.
    """
    y = state_of(y)
    rightmost, largest = (
        leading_eigenvalues(
            field, y, k, which, args=args, t=t, tol=tol, subspace=subspace, max_products=max_products, key=key,
            check=check and which == "rightmost",
        )
        for which in ("rightmost", "largest")
    )  # fmt: skip
    return _conclude(rightmost, largest, everything=k == sum(leaf.size for leaf in jax.tree.leaves(y)))


@guarded("ys", rows=True)
def stiffness_along(
    field: Field,
    ys: State,
    k: int = 6,
    *,
    args: Args = None,
    tol: float | None = None,
    subspace: int | None = None,
    max_products: int = 2000,
    key: PRNGKeyArray | None = None,
    check: bool = True,
) -> Stiffness:
    """`stiffness` at each state of an orbit, for example along a training run; one compiled program serves all.

    Args:
        field: The field.
        ys: States, with a leading axis on every leaf: the `ys` of an orbit.
        k: How many eigenvalues of either kind.
        args: Handed to the field, the same at each state, so that what changes is not the minibatch.
        tol: Relative tolerance of the residuals.
        subspace: Size of the basis.
        max_products: When to give up, in each search.
        key: For the first vector of the basis.
        check: As for `stiffness`.

    Returns:
        Eigenvalues and what follows from them, with a leading axis on everything.

    Raises:
        ValueError: As for `stiffness`; also where a state is not finite: leave out the times that were not reached by
            `orbit.trim()`.
    """
    count = jax.tree.leaves(ys)[0].shape[0]
    states = (jax.tree.map(lambda leaf: leaf[row], ys) for row in range(count))  # noqa: B023
    found = [
        stiffness(field, y, k, args=args, tol=tol, subspace=subspace, max_products=max_products, key=key, check=check)
        for y in states
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)


@jit
def _conclude(rightmost: LeadingEigenvalues, largest: LeadingEigenvalues, everything: bool) -> Stiffness:
    values = jnp.concatenate([rightmost.eigenvalues, largest.eigenvalues])
    zero = ROUNDINGS * jnp.finfo(rightmost.norm.dtype).eps * jnp.maximum(rightmost.norm, largest.norm)
    moving = jnp.abs(values) > zero
    decaying = jnp.min(jnp.where(moving & (values.real < 0), _limit(values), jnp.inf))
    critical = jnp.where(jnp.any(moving & (values.real >= 0)), 0.0, decaying)
    last, modulus = rightmost.eigenvalues[-1].real, jnp.abs(largest.eigenvalues[-1])
    others = jnp.maximum(-2 * last, 0.0) / jnp.where(modulus > 0, modulus, jnp.inf) ** 2
    slow, fast = jnp.abs(rightmost.eigenvalues[0]), jnp.abs(largest.eigenvalues[0])
    return Stiffness(
        rightmost=rightmost,
        largest=largest,
        critical_step_size=critical,
        critical_step_size_bound=critical if everything else jnp.minimum(critical, others),
        decaying_step_size=decaying,
        stiffness_ratio=jnp.where(slow > zero, fast / jnp.where(slow > zero, slow, 1.0), jnp.inf),
    )


def _limit(eigenvalues: Complex[Array, " n"]) -> Float[Array, " n"]:
    """The step size at which the multiplier 1 + h times the eigenvalue leaves the unit circle."""
    square = eigenvalues.real**2 + eigenvalues.imag**2
    return -2 * eigenvalues.real / jnp.where(square > 0, square, 1.0)
