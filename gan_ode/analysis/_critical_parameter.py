"""Where eigenvalues meet or cross the imaginary axis, as a parameter moves."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Real

from .. import _checks
from .._compiled import jit
from .._types import Args, RealScalarLike, Scalar, State
from ._branches import eigenvalue_branches, EigenvalueBranches, noise, rising_values
from ._moving_equilibrium import equilibrium_at, Family, jacobian_at, linearized
from ._tests_of_spectra import between, changes, differentiable_height, find, first, Followed

CriticalKind: TypeAlias = Literal["crossing", "collision"]

_BISECTIONS = 60


@dataclasses.dataclass(frozen=True)
class CriticalParameter:
    """A value of the parameter where the picture of eigenvalues changes.

    Attributes:
        kind: "crossing" where an eigenvalue, or a pair, crosses the imaginary axis; "collision" where a pair meets on
            the real axis, and is complex on one side and real on the other.
        value: The parameter there.
        bracket: The grid's values between which it was found.
        eigenvalue: The crossing eigenvalue (that above the axis), or the mean of the pair that collides.
        branches: Columns of `eigenvalue_branches`: one, or the two that collide.
    """

    kind: CriticalKind
    value: float
    bracket: tuple[float, float]
    eigenvalue: complex
    branches: tuple[int, ...]


def critical_parameters(
    family: Family,
    values: Real[Array | np.ndarray, " values"],
    y: State | Callable,
    args: Args = None,
    *,
    branches: EigenvalueBranches | None = None,
) -> tuple[CriticalParameter, ...]:
    r"""All values of a parameter where eigenvalues cross the imaginary axis, or a pair becomes real.

    The branches of `eigenvalue_branches` bracket them, and bisection finds them to rounding: a crossing by the real
    part, a collision by $(\lambda_1 - \lambda_2)^2$, which passes zero smoothly where the eigenvalues themselves move
    as a square root. What happens twice between two neighboring values is missed; so is what touches zero and turns
    back, and what starts or ends at zero.

    Not for use inside a transformation: how many there are depends on the numbers. For gradients hand one bracket to
    `critical_parameter`.

    Args:
        family: From the parameter, a scalar array, to a field.
        values: The range, as a grid of rising values.
        y: The equilibrium at the first value, followed from there, or a function from parameter to equilibrium.
        args: Handed to the field.
        branches: What `eigenvalue_branches` gave for the same arguments, if it is there already.

    Returns:
        Critical values in rising order.

    Raises:
        ValueError: If the values do not rise, or under a transformation.
    """
    if _checks.is_traced((values, y, args, family)):
        raise ValueError(
            "`critical_parameters` must be called outside `jax.jit`, `jax.vmap` and `jax.grad`, since the number of "
            "results depends on the values: use `critical_parameter` with a bracket."
        )
    values = rising_values(values)
    along = eigenvalue_branches(family, values, y, args) if branches is None else branches
    found = [_refined(family, along, y, args, event) for event in (*_crossings(along), *_collisions(along))]
    return tuple(sorted(found, key=lambda each: each.value))


def critical_parameter(
    family: Family,
    low: RealScalarLike,
    high: RealScalarLike,
    y: State | Callable,
    args: Args = None,
    *,
    kind: CriticalKind = "crossing",
    near: Complex[Array, ""] | complex | float | None = None,
) -> Scalar:
    r"""The value of a parameter, between two others, where stability is lost or a pair becomes real.

    For a crossing bisects the real part; for a collision $(\lambda_1 - \lambda_2)^2$ of a pair that is followed, or
    the number of real eigenvalues. Works under `jax.vmap` and
    `jax.jit`; differentiable in whatever the family is made of, by the implicit function theorem.

    Source: the derivatives of an eigenvalue and of the sums over a pair, Kato (1966), II.2.

    Args:
        family: From the parameter, a scalar array, to a field.
        low: One end.
        high: The other.
        y: The equilibrium at `low`, or a function from parameter to equilibrium.
        args: Handed to the field.
        kind: "crossing" or "collision".
        near: Which eigenvalue: that nearest to this number at both ends, and between them nearest to the line; for a
            collision that pair whose mean is. So give a narrow bracket, such as `critical_parameters` finds. By
            default any: the crossing is that of the spectral abscissa, whichever eigenvalue has it, and the collision
            where the number of real eigenvalues changes. Eigenvalues that are double for every value of the parameter,
            by a symmetry, are real or a pair as rounding has it: there say which is meant.

    Returns:
        The critical value, a scalar.

    Raises:
        RuntimeError: If nothing changes sign between the ends.
    """
    _checks.one_of("kind", kind, ("crossing", "collision"))
    any_of_them: Followed = "abscissa" if kind == "crossing" else "number"
    followed = any_of_them if near is None else kind
    value, bracketed = _critical(family, _checks.as_float(low), _checks.as_float(high), y, args, followed, near)
    message = (
        f"`low` and `high` must lie on two sides of a {kind}, but do not. Look at `eigenvalue_branches` over a wider "
        "range, or let `critical_parameters` find the brackets."
    )
    if _checks.is_traced(value):
        return eqx.error_if(value, ~bracketed, message)
    if not bracketed:
        raise RuntimeError(message)
    return value


@jit
def _critical(
    family: Family, low: Array, high: Array, y: State | Callable, args: Args, followed: Followed, near: Any
) -> tuple[Scalar, Array]:
    low, high = jax.lax.stop_gradient((low, high))
    # Both ends in one loop, so that the field is compiled once for them.
    matrices = jax.lax.map(lambda value: jacobian_at(family, value, y, args), jnp.stack([low, high]))
    at_low, at_high = (first(followed, values, near) for values in jnp.linalg.eigvals(jax.lax.stop_gradient(matrices)))
    value, found = _bisect(family, (low, high), (at_low, at_high), y, args, followed)
    return _differentiable(family, value, found, y, args, followed), changes(followed, at_low, at_high)


@jit
def _bisect(
    family: Family,
    ends: tuple[Array, Array],
    found: tuple[Array, Array],
    y: State | Callable,
    args: Args,
    followed: Followed,
) -> tuple[Scalar, Array]:
    """Where what is followed changes, and what was found there."""

    def halve(_: Any, state: Any) -> Any:
        (low, high), (at_low, at_high), here = state
        middle = (low + high) / 2
        there = equilibrium_at(family, middle, y if callable(y) else here, args)
        there, matrix = jax.lax.stop_gradient((there, linearized(family(middle), there, args)[1]))
        at_middle = find(followed, jnp.linalg.eigvals(matrix), (at_low + at_high) / 2)
        before = between(followed, at_middle, at_low, at_high)

        def choose(if_before: Any, if_after: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(before, a, b), if_before, if_after)

        return (
            (choose(middle, low), choose(high, middle)),
            (choose(at_middle, at_low), choose(at_high, at_middle)),
            choose(there, here),
        )

    start = jax.lax.stop_gradient(y(ends[0]) if callable(y) else y)
    (low, high), (at_low, at_high), _ = jax.lax.fori_loop(0, _BISECTIONS, halve, (ends, found, start))
    return (low + high) / 2, (at_low + at_high) / 2


def _differentiable(
    family: Family, value: Scalar, found: Array, y: State | Callable, args: Args, followed: Followed
) -> Scalar:
    """The value with its derivative: minus that of the height over its slope in the parameter."""

    def matrix(value: Scalar) -> Array:
        return jacobian_at(family, value, y, args)

    there, along = jax.jvp(matrix, (value,), (jnp.ones_like(value),))
    top = differentiable_height(followed, there, found)
    # Without tangents from outside: eigenvalues have no second derivative in JAX.
    still = jax.lax.stop_gradient((there, along))
    _, slope = jax.jvp(lambda m: differentiable_height(followed, m, found), still[:1], still[1:])
    return value - (top - jax.lax.stop_gradient(top)) / slope


@dataclasses.dataclass(frozen=True)
class _Event:
    kind: CriticalKind
    before: int
    after: int
    branches: tuple[int, ...]

    def found(self, row: np.ndarray) -> Array:
        """What `_bisect` follows, in one row of the branches."""
        if self.kind == "crossing":
            return jnp.asarray(row[self.branches[0]])
        one, other = row[list(self.branches)]
        return jnp.stack([(one + other) / 2, (one - other) ** 2])


def _refined(
    family: Family, along: EigenvalueBranches, y: State | Callable, args: Args, event: _Event
) -> CriticalParameter:
    ends = along.values[event.before], along.values[event.after]
    rows = np.asarray(along.eigenvalues)
    found = event.found(rows[event.before]), event.found(rows[event.after])
    start = y if callable(y) else jax.tree.map(lambda leaf: leaf[event.before], along.ys)
    value, there = _bisect(family, ends, found, start, args, event.kind)
    eigenvalue = complex(np.ravel(np.asarray(there))[0])
    return CriticalParameter(event.kind, float(value), (float(ends[0]), float(ends[1])), eigenvalue, event.branches)


def _crossings(along: EigenvalueBranches) -> Iterator[_Event]:
    rows = np.asarray(along.eigenvalues)
    small = np.asarray(noise(along.eigenvalues))
    signs = np.where(np.abs(np.real(rows)) <= small, 0, np.sign(np.real(rows)))
    for branch in range(rows.shape[1]):
        for before, after in _changes(signs[:, branch]):
            # Of a pair that above the axis speaks for both.
            if np.imag(rows[before, branch]) >= -small[before, 0]:
                yield _Event("crossing", before, after, (branch,))


def _collisions(along: EigenvalueBranches) -> Iterator[_Event]:
    rows = np.asarray(along.eigenvalues)
    small = np.asarray(noise(along.eigenvalues))[:, 0]
    for one, other in sorted(_pairs(rows, small)):
        apart, mirrored = rows[:, one] - rows[:, other], rows[:, one] - rows[:, other].conj()
        signs = np.full(len(rows), np.nan)
        signs[np.abs(mirrored) <= small] = -1
        signs[(np.abs(np.imag(rows[:, one])) <= small) & (np.abs(np.imag(rows[:, other])) <= small)] = 1
        signs[np.abs(apart) <= 2 * small] = 0
        for before, after in _changes(signs):
            yield _Event("collision", before, after, (one, other))


def _pairs(rows: np.ndarray, small: np.ndarray) -> set[tuple[int, int]]:
    """Branches that are each other's conjugate at some value."""
    partner = np.argmin(np.abs(rows[:, :, None] - rows[:, None, :].conj()), axis=-1)
    upper = np.imag(rows) > small[:, None]
    return {tuple(sorted((int(i), int(partner[k, i])))) for k, i in zip(*np.nonzero(upper), strict=True)}  # pyright: ignore


def _changes(signs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Neighbors, but for zeros between them, with opposite signs; NaN belongs to neither side."""
    kept = np.flatnonzero(signs != 0)
    for before, after in itertools.pairwise(kept):
        if signs[before] * signs[after] < 0:
            yield int(before), int(after)
