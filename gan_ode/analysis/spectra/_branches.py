"""Eigenvalues followed along a parameter."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Real

from ... import _checks, _tree
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._problem import state_of
from ..._types import Args, State
from ..arclength._at_values import Family, follow, refuse_if_nothing
from ..linearization._jacobian import eigenvalues_of, falling
from ..linearization._preconditions import Inspection


@printed
class EigenvalueBranches(eqx.Module):
    """The eigenvalues of a field's Jacobian at an equilibrium, along a parameter.

    Attributes:
        values: The parameter's values, shape `(values,)`.
        eigenvalues: A column follows one eigenvalue, shape `(values, n)`; in the first row by falling real part. NaN
            where none was found.
        ys: The equilibria, with a leading axis; NaN where none was found.
        residuals: Norm of the velocity there: large where the equilibrium was lost. Shape `(values,)`.
        meets: Whether the branch meets its partner in the interval between two values: a pair becomes real there, or
            leaves the real axis. Which of the two goes where is then a convention: that from above the axis takes the
            larger real value, and back. Shape `(values - 1, n)`.
        found: Where the equilibrium was found, and the field is smooth there. One that was followed and lost, at a fold
            for example, is lost at all later values. Shape `(values,)`.
    """

    values: Float[Array, " values"]
    eigenvalues: Complex[Array, "values n"]
    ys: State
    residuals: Float[Array, " values"]
    meets: Bool[Array, "intervals n"]
    found: Bool[Array, " values"]

    def _report(self) -> Report:
        found, values = np.asarray(self.found), np.asarray(self.values)
        abscissas = np.max(np.real(np.asarray(self.eigenvalues)), axis=1)
        rows = [
            (number(value), number(abscissa), "yes" if known else "no")
            for value, abscissa, known in zip(values, abscissas, found, strict=True)
        ]
        title = f"Eigenvalues at {len(values):,} values of a parameter, the equilibrium found at {int(found.sum()):,}"
        return Report(title, {}, ("parameter", "abscissa", "found"), rows)


@guarded("y", along="values")
def eigenvalue_branches(
    family: Family,
    values: Real[Array | np.ndarray, " values"],
    y: State | Callable,
    *,
    args: Args = None,
    check: bool = True,
) -> EigenvalueBranches:
    r"""Follows the eigenvalues of the Jacobian at an equilibrium along a parameter, each as a branch.

    All spectra are one compiled computation. Neighbors are matched by `follow_eigenvalues`, so that branches are
    continued and not sorted by accident. Works under `jax.vmap` and `jax.jit`, and an eigenvalue is differentiable in
    whatever the family is made of where it is simple; where a pair meets it moves as a square root, and has no slope.

    An equilibrium is followed from value to value by the branch's length, as `continue_equilibrium` does, however steep
    it is. Where the branch turns back, in a fold, or ends, the equilibrium is lost, and so are the rows from there on:
    nothing is said of other branches beyond. At single values where the field jumps or has a kink a row is NaN too.

    Args:
        family: From the parameter, a scalar array, to a field, for example
            `lambda eta: GameField(Penalized(game, GradientNorm(eta)))`.
        values: The parameter's values in the order to follow, shape `(values,)`; at least 2.
        y: The equilibrium at the first value, or near it: it is then followed by Newton's method, each from the one
            before. Or a function from the parameter to the equilibrium.
        args: Handed to the field.
        check: Whether to look for all that. If not, what Newton's method ends at counts as the equilibrium.

    Returns:
        Branches, equilibria, and where pairs meet.

    Raises:
        ValueError: If there are fewer than two values, or too many parameters for a dense matrix; if there is no
            equilibrium at any value, with the reason at the first (under a transformation all is NaN).
    """
    branches, seen = _branches(family, checked_values(values), state_of(y), args, check)
    refuse_if_nothing(branches.found, seen)
    return branches


def checked_values(values: Any) -> Float[Array, " values"]:
    """The values as an array of floating-point numbers, at least two of them."""
    values = _checks.floats(values)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"`values` must be at least 2 in one row, but has shape {values.shape}: for example "
            "`jnp.linspace(0.0, 2.0, 101)`."
        )
    return values


def rising_values(values: Any) -> Float[Array, " values"]:
    """The values likewise, refused unless they rise; traced ones are taken at their word."""
    values = checked_values(values)
    if not _checks.is_traced(values) and np.any(np.diff(np.asarray(values, float)) <= 0):
        raise ValueError("`values` must rise, but do not: sort them, and drop repetitions.")
    return values


@jit
def _branches(
    family: Family, values: Array, y: State | Callable, args: Args, check: bool
) -> tuple[EigenvalueBranches, Inspection]:
    along = follow(family, values, y, args, check)
    residuals = jnp.linalg.norm(along.velocities, axis=-1)
    # Eigenvalues first, since a matrix of NaN has none.
    spectra = jnp.where(along.found[:, None], eigenvalues_of_all(along.matrices), jnp.nan)
    eigenvalues = follow_eigenvalues(spectra, values)
    real, pairs = is_real(eigenvalues), along.found[1:] & along.found[:-1]
    meets = (real[1:] != real[:-1]) & pairs[:, None]
    ys = _tree.where(along.found, along.ys, jnp.nan)
    return EigenvalueBranches(values, eigenvalues, ys, residuals, meets, along.found), along.seen


def eigenvalues_of_all(matrices: Float[Array, "values n n"]) -> Complex[Array, "values n"]:
    """Eigenvalues of each matrix, in any order; NaN where it is not finite."""
    return jax.vmap(eigenvalues_of)(matrices)


def is_real(eigenvalues: Complex[Array, "values n"]) -> Bool[Array, "values n"]:
    """Which are real, or so near to their conjugate that rounding may have parted them."""
    return jnp.abs(eigenvalues.imag) <= noise(eigenvalues)


def noise(eigenvalues: Complex[Array, "*values n"]) -> Float[Array, "*values 1"]:
    """What counts as zero in each row: eigenvalues that meet are only good to the root of rounding."""
    rounding = jnp.finfo(eigenvalues.real.dtype).eps
    return 4 * jnp.sqrt(rounding) * jnp.max(jnp.abs(eigenvalues), axis=-1, keepdims=True)


@jit
def follow_eigenvalues(
    eigenvalues: Complex[Array | np.ndarray, "values n"], values: Real[Array | np.ndarray, " values"]
) -> Complex[Array, "values n"]:
    """Reorders each row so that a column follows one eigenvalue of a real matrix.

    From row to row each branch is continued as a line, and the rows are matched so that the sum of squared distances
    from what is expected is least (an optimal assignment). No branch is expected to cross the real axis: there it can
    only meet its conjugate.

    Source: for the assignment Kuhn (1955), as in Optax.

    Args:
        eigenvalues: One spectrum a row, each in any order.
        values: The parameter's values, shape `(values,)`.

    Returns:
        The same numbers, the first row by falling real part. Rows with NaN are passed over.
    """
    rows, along = jnp.asarray(eigenvalues), jnp.asarray(values)
    first = falling(rows[0])
    still = jax.lax.stop_gradient(rows)
    scale = jnp.max(jnp.abs(jnp.where(jnp.isfinite(still), still, 0)))
    start = (still[0][first], jnp.zeros_like(still[0]))

    def match(branches: tuple[Array, Array], step: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        here, slope = branches
        row, width = step
        order = _assign(_ahead(here, slope * width), row, scale)
        # What is not known continues nothing.
        known = jnp.all(jnp.isfinite(row))
        branches = jnp.where(known, row[order], here), jnp.where(known, (row[order] - here) / width, slope)
        return branches, order

    # A value that is repeated has no slope.
    widths = jnp.diff(along).astype(still.real.dtype)
    widths = jnp.where(widths == 0, jnp.ones_like(widths), widths)
    _, orders = jax.lax.scan(match, start, (still[1:], widths))
    return jnp.take_along_axis(rows, jnp.concatenate([first[None], orders]), axis=1)


def _ahead(here: Complex[Array, " n"], change: Complex[Array, " n"]) -> Complex[Array, " n"]:
    """Where the branches are expected, and of a pair that meets, which one on which side."""
    there = here + change
    crosses = there.imag * here.imag <= 0
    there = jax.lax.complex(there.real, jnp.where(crosses, 0.0, there.imag))
    # A hair toward the right from above the axis, and upward from the right: else both ways cost the same.
    return there + 10 * jnp.sqrt(jnp.finfo(here.real.dtype).eps) * 1j * jnp.conj(here)


def _assign(expected: Complex[Array, " n"], found: Complex[Array, " n"], scale: Array) -> Array:
    # Here, because Optax takes half a second to import.
    from optax.assignment import hungarian_algorithm

    cost = jnp.abs((expected[:, None] - found[None, :]) / jnp.where(scale > 0, scale, 1)) ** 2
    # Infinities would never let the search end.
    branches, columns = hungarian_algorithm(jnp.where(jnp.isfinite(cost), cost, 1e6).astype(float))
    return jnp.zeros_like(columns).at[branches].set(columns)
