"""Where eigenvalues meet or cross the imaginary axis, as a parameter moves, and where an equilibrium ends."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Real

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit
from ..._printing import number, printed, Report
from ..._problem import state_of
from ..._types import Args, RealScalarLike, Scalar, State
from ..arclength._at_values import Family, follow
from ..arclength._folds import turn_near
from ..arclength._roots import jacobian_at
from ..linearization._jacobian import eigenvalues_of
from ..linearization._preconditions import complaint, Inspection
from ._bisection import bisect, last_found
from ._branches import eigenvalue_branches, EigenvalueBranches, eigenvalues_of_all, noise, rising_values
from ._test_functions import between, changes, differentiable_height, find, first, Followed

CriticalKind: TypeAlias = Literal["crossing", "collision", "fold", "end"]

# The equilibrium is followed through so many values from one end of a bracket to the other.
_VALUES = 17


@printed
@dataclasses.dataclass(frozen=True)
class CriticalParameter:
    """A value of the parameter where the picture of eigenvalues changes.

    Attributes:
        kind: "crossing" where an eigenvalue, or a pair, crosses the imaginary axis; "collision" where a pair meets on
            the real axis, and is complex on one side and real on the other; "fold" where the branch turns back; "end"
            where the equilibrium was lost otherwise.
        value: The parameter there; of an end, the last at which the equilibrium was found.
        bracket: The grid's values between which it was found.
        eigenvalue: The crossing eigenvalue (that above the axis), the mean of the pair that collides, or, at a fold or
            an end, the eigenvalue of least modulus: it is zero at a fold.
        branches: Columns of `eigenvalue_branches`: one, or the two that collide.
    """

    kind: CriticalKind
    value: float
    bracket: tuple[float, float]
    eigenvalue: complex
    branches: tuple[int, ...]

    def _report(self) -> Report:
        lines = {"between": f"{number(self.bracket[0])} and {number(self.bracket[1])}"}
        lines |= {"eigenvalue": number(self.eigenvalue), "branches": ", ".join(map(str, self.branches))}
        return Report(f"CriticalParameter: {self.kind} at {number(self.value, 8)}", lines)


@guarded("y", along="values")
def critical_parameters(
    family: Family,
    values: Real[Array | np.ndarray, " values"],
    y: State | Callable,
    *,
    args: Args = None,
    branches: EigenvalueBranches | None = None,
    check: bool = True,
) -> tuple[CriticalParameter, ...]:
    r"""All values of a parameter where eigenvalues cross the imaginary axis, or a pair becomes real.

    The branches of `eigenvalue_branches` bracket them, and bisection finds them to rounding: a crossing by the real
    part, a collision by $(\lambda_1 - \lambda_2)^2$, which passes zero smoothly where the eigenvalues themselves move
    as a square root. What happens twice between two neighboring values is missed; so is what touches zero and turns
    back, and what starts or ends at zero.

    Where the branch turns back, or the equilibrium is lost otherwise, nothing is said of what lies beyond: the last of
    the results is then a "fold", found to rounding, or an "end", where the equilibrium was found for the last time.
    `continue_equilibrium` goes on through folds. A crossing and a collision count only if the equilibrium is found
    there, and the eigenvalue is zero in its real part, or the pair in its difference.

    Not for use inside a transformation: how many there are depends on the numbers. For gradients hand one bracket to
    `critical_parameter`.

    Args:
        family: From the parameter, a scalar array, to a field.
        values: The range, as a grid of rising values.
        y: The equilibrium at the first value, followed from there, or a function from parameter to equilibrium.
        args: Handed to the field.
        branches: What `eigenvalue_branches` gave for the same arguments, if it is there already.
        check: As for `eigenvalue_branches`.

    Returns:
        Critical values in rising order.

    Raises:
        ValueError: If the values do not rise, or under a transformation; if there is no equilibrium at any value.
    """
    y = state_of(y)
    if _checks.is_traced((values, y, args, family)):
        raise ValueError(
            "`critical_parameters` must be called outside `jax.jit`, `jax.vmap` and `jax.grad`, since the number of "
            "results depends on the values: use `critical_parameter` with a bracket."
        )
    values = rising_values(values)
    along = eigenvalue_branches(family, values, y, args=args, check=check) if branches is None else branches
    events = (*_crossings(along), *_collisions(along))
    found = filter(None, (_refined(family, along, y, args, event, check) for event in events))
    return (*sorted(found, key=lambda each: each.value), *_end(family, along, y, args))


@guarded("y", along="low")
def critical_parameter(
    family: Family,
    low: RealScalarLike,
    high: RealScalarLike,
    y: State | Callable,
    *,
    args: Args = None,
    kind: Literal["crossing", "collision"] = "crossing",
    near: Complex[Array, ""] | complex | float | None = None,
    check: bool = True,
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
        check: Whether to look if the equilibrium is found all the way between the ends, and what changes its sign
            passes zero.

    Returns:
        The critical value, a scalar.

    Raises:
        RuntimeError: If nothing changes sign between the ends, or the equilibrium is lost between them.
        ValueError: If there is no equilibrium at `low`; under a transformation a RuntimeError.
    """
    _checks.one_of("kind", kind, ("crossing", "collision"))
    any_of_them: Followed = "abscissa" if kind == "crossing" else "number"
    followed = any_of_them if near is None else kind
    ends = _checks.as_float(low), _checks.as_float(high)
    value, bracketed, passes, grid, found, seen = _critical(family, *ends, state_of(y), args, followed, near, check)
    message = (
        f"`low` and `high` must lie on two sides of a {kind}, but do not. Look at `eigenvalue_branches` over a wider "
        "range, or let `critical_parameters` find the brackets."
    )
    lost = "`low` and `high` must be joined by an equilibrium, but it is lost between"
    jumps = f"`low` and `high` must lie on two sides of a {kind}, but what changes between them jumps, at"
    if _checks.is_traced((value, bracketed, passes)):
        value = eqx.error_if(value, ~jnp.all(found), f"{lost} them. Look at `eigenvalue_branches`.")
        value = eqx.error_if(value, ~bracketed, message)
        return eqx.error_if(value, ~passes, f"{jumps} some value. Look at `eigenvalue_branches`.")
    if not jnp.all(found):
        _refuse_lost(np.asarray(grid), np.asarray(found), seen, lost)
    if not bracketed:
        raise RuntimeError(message)
    if not passes:
        raise RuntimeError(f"{jumps} {float(value):.6g}. Look at `eigenvalue_branches` there.")
    return value


def _refuse_lost(grid: np.ndarray, found: np.ndarray, seen: Inspection, lost: str) -> None:
    place = int(np.argmin(found))
    reason = complaint(_row(seen, place))
    if place == 0:
        raise ValueError(reason or "`y` must be an equilibrium at `low`, but is none.")
    raise RuntimeError(
        f"{lost} {grid[place - 1]:.6g} and {grid[place]:.6g}, where the branch ends, or is too steep to be followed. "
        "Narrow the bracket; `critical_parameters` says where the branch ends."
    )


@jit
def _critical(
    family: Family, low: Array, high: Array, y: State | Callable, args: Args, followed: Followed, near: Any, check: bool
) -> tuple[Scalar, Array, Array, Array, Array, Inspection]:
    grid = jax.lax.stop_gradient(jnp.linspace(low, high, _VALUES))
    along = jax.lax.stop_gradient(follow(family, grid, y, args, check))
    spectra = eigenvalues_of_all(along.matrices)
    scale = jnp.max(jnp.abs(spectra))
    low, high = first(followed, spectra[0], near), first(followed, spectra[-1], near)
    shares = jnp.linspace(0, 1, _VALUES, dtype=grid.dtype)
    at = jax.vmap(lambda share, values: find(followed, values, low + share * (high - low)))(shares, spectra)
    at = at.at[0].set(low).at[-1].set(high)
    before = jax.vmap(lambda here: between(followed, here, low, high))(at)
    after = jnp.argmin(before.at[0].set(True).at[-1].set(False))
    ends, found, ys = ((_row(part, after - 1), _row(part, after)) for part in (grid, at, along.ys))
    there = bisect(family, ends, found, y, ys, args, followed, scale, check)
    value = _differentiable(family, there.value, there.found, y if callable(y) else there.y, args, followed)
    # Where nothing passes zero, there is no slope to divide by.
    value = jnp.where(there.holds, value, there.value)
    return value, changes(followed, low, high), there.holds, grid, along.found, along.seen


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
    kind: Literal["crossing", "collision"]
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
    family: Family, along: EigenvalueBranches, y: State | Callable, args: Args, event: _Event, check: bool
) -> CriticalParameter | None:
    """The event found between two values, if it is one: what changes its sign may also jump."""
    ends = along.values[event.before], along.values[event.after]
    rows = np.asarray(along.eigenvalues)
    found = event.found(rows[event.before]), event.found(rows[event.after])
    low, high = _row(along.ys, event.before), _row(along.ys, event.after)
    scale = jnp.asarray(np.max(np.abs(rows[[event.before, event.after]])))
    there = bisect(family, ends, found, y, (low, high), args, event.kind, scale, check)
    if not there.holds:
        return None
    eigenvalue = complex(np.ravel(np.asarray(there.found))[0])
    bracket = float(ends[0]), float(ends[1])
    return CriticalParameter(event.kind, float(there.value), bracket, eigenvalue, event.branches)


def _end(family: Family, along: EigenvalueBranches, y: State | Callable, args: Args) -> Iterator[CriticalParameter]:
    """Where the branch turns back, or the equilibrium was found for the last time, unless that is the last value."""
    found = np.flatnonzero(np.asarray(along.found))
    if not found.size or found[-1] == len(along.found) - 1:
        return
    last = int(found[-1])
    ends = along.values[last], along.values[last + 1]
    value, here, matrix = last_found(family, ends, y, _row(along.ys, last), args)
    kind: CriticalKind = "end"
    if not callable(y):
        turn = turn_near(family, ends, value, here, _row(along.ys, last), args)
        if bool(turn.is_fold):
            kind, value, matrix = "fold", turn.value, turn.matrix
    values = np.asarray(eigenvalues_of(matrix))
    least = complex(values[np.argmin(np.abs(values))])
    branch = int(np.argmin(np.abs(np.asarray(along.eigenvalues)[last] - least)))
    yield CriticalParameter(kind, float(value), (float(ends[0]), float(ends[1])), least, (branch,))


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


def _row(tree: Any, place: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[place], tree)
