from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Complex, Float, Int

from ... import _checks, _problem, _tree
from ..._entry import guarded
from ..._printing import number, printed, Report, state
from ..._types import Args, Field, RealScalarLike, State
from ..linearization._jacobian import check_dense
from ..linearization._preconditions import complaint, inspect_rows, Inspection
from ._equilibrium import Equilibrium
from ._equilibrium_types import Continuum, EquilibriumKind, kind_of, NOT_SMOOTH, null_space
from ._find_one import chosen_solver
from ._newton import at_root
from ._root_search import found, search_all, Searches, walk

# Roots that are closer than this, relative to the size of states, are one. A simple root is found to rounding, a double
# one to the root of it.
_SAME = {4: 1e-3, 8: 1e-6}
# The step along a null space, relative to the size of the state, or to a tenth of that
# of states near by: long enough to leave an isolated root of high order.
_PROBE, _LEAST = 0.05, 0.1
# After that step, what is left of it at an equilibrium that filled the null space, and at the old one.
_KEPT, _LOST = 0.05, 0.1
_SHOWN = 20


@printed
class Equilibria(eqx.Module):
    """Distinct equilibria, in the order in which the starts led to them; iterate to get `Equilibrium`.

    Where equilibria form a continuum, those here are representatives: one for each start that led to it (unless two led
    to the same point).

    Attributes:
        ys: The states, with a leading axis; empty along it if none was found.
        residuals: Norms of the velocity, shape `(num,)`.
        jacobians: The field's, shape `(num, n, n)`; NaN where the field is not smooth.
        eigenvalues: Of the Jacobians, each by falling real part, shape `(num, n)`; NaN likewise.
        kinds: Their types, and whether they lie on a continuum.
        members: Which of them each start led to, shape `(starts,)`; -1 for a failed search.
        start_residuals: The residual at the end of every search, shape `(starts,)`; of a failed one too.
        inspections: What was seen around each.
    """

    ys: State
    residuals: Float[Array, " num"]
    jacobians: Float[Array, "num n n"]
    eigenvalues: Complex[Array, "num n"]
    kinds: tuple[EquilibriumKind, ...] = eqx.field(static=True)
    members: Int[np.ndarray, " starts"]
    start_residuals: Float[Array, " starts"]
    inspections: tuple[Inspection, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many searches ended at each."""
        return tuple(int(np.sum(self.members == place)) for place in range(len(self)))

    @property
    def failed(self) -> tuple[int, ...]:
        """The starts that led to no equilibrium."""
        return tuple(int(start) for start in np.flatnonzero(self.members < 0))

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, place: int) -> Equilibrium:
        if not -len(self) <= place < len(self):
            raise IndexError(f"`place` must be below {len(self)}, the number of equilibria, but is {place}.")
        place = place % len(self)
        y, residual, matrix, values = jax.tree.map(
            lambda leaf: leaf[place], (self.ys, self.residuals, self.jacobians, self.eigenvalues)
        )
        return Equilibrium(
            y, residual, optx.RESULTS.successful, jnp.asarray(True), self.inspections[place],
            matrix, values, self.kinds[place], self.counts[place],
        )  # fmt: skip

    def __iter__(self) -> Iterator[Equilibrium]:
        return (self[place] for place in range(len(self)))

    def _report(self) -> Report:
        rows = [
            (
                str(i),
                state(each.y),
                number(each.residual),
                number(self.eigenvalues[i][0].real),
                str(each.count),
                str(each.kind),
            )
            for i, each in enumerate(self)
        ]
        failed = f"{len(self.failed):,} of {len(self.members):,} searches" if self.failed else None
        title = f"{len(self):,} {'equilibrium' if len(self) == 1 else 'equilibria'} of {len(self.members):,} searches"
        return Report(
            title, {"failed": failed}, ("", "y", "residual", "abscissa", "searches", "kind"), rows, _table(self)
        )


@guarded("starts", rows=True)
def find_equilibria(
    field: Field,
    starts: State,
    *,
    args: Args = None,
    solver: Any = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    max_steps: int = 256,
    same: float | None = None,
    check: bool = True,
) -> Equilibria:
    r"""Searches for equilibria from many starts at once.

    All searches are one compiled program. Ends where the field does not vanish are reported in `failed`, and not
    returned, nor are those a hundred times farther out than any start (and than 1): there a velocity that fades looks
    like a root; nor those at the edge of a jump, where the velocity vanishes on one side only. Ends at the same place
    are merged. An equilibrium at a kink, or at a jump between velocities that point to opposite sides, is returned as
    "not smooth": nothing is linear there. The type of each speaks of the complement of the null space of the
    Jacobian where a continuum of equilibria fills it: a step of a twentieth of the state's size along the null space,
    and Newton's method back, must end at an equilibrium beside the old one. Where it slides back, the equilibrium is
    isolated and merely degenerate.

    Zeros are told by singular values, which are good to rounding, and nilpotent blocks by the singular values of the
    quotient by the null space: their eigenvalues would come out as large as the root of rounding, of any sign.

    Args:
        field: The field.
        starts: States with a leading axis on every leaf.
        args: Handed to the field.
        solver: Any Optimistix root finder or least-squares solver; Levenberg-Marquardt by default. `optimistix.Newton`
            fails on a continuum, where the Jacobian is singular, unless it is given `linear_solver=lineax.SVD()`.
        rtol: Relative tolerance of the default solver; 1e-12, without x64 1e-6.
        atol: Absolute tolerance, likewise.
        max_steps: Most steps of the solver.
        same: Distance, relative to the size of the states, below which two ends are one equilibrium; 1e-6, in float32
            1e-3.
        check: Whether to refuse a field that has explicit time. If not, the field at time 0 is meant.

    Returns:
        The distinct equilibria, each with residual, Jacobian, spectrum and type; its string is a table. Not under a
        transformation: their number depends on the values. There, `jax.vmap` over `find_equilibrium(..., throw=False)`
        gives the ends of all searches.

    Raises:
        ValueError: If the starts have no common leading axis, are not finite, or are traced; if the field has explicit
            time.
    """
    num = _problem.num_rows(starts, "starts")
    if _checks.is_traced((field, starts, args)):
        raise ValueError(
            "`starts` and `field` must be concrete, since the number of equilibria depends on them: under a "
            "transformation use `jax.vmap` over `find_equilibrium(..., throw=False)`."
        )
    _checks.finite("starts", starts)
    itemsize = max(jnp.dtype(_tree.dtype(starts)).itemsize, 4)
    check_dense(sum(leaf.size for leaf in jax.tree.leaves(starts)) // num, itemsize)
    max_steps = _checks.count("max_steps", max_steps, most=_checks.MOST_STEPS)
    searches = search_all(field, starts, args, chosen_solver(solver, rtol, atol), max_steps)
    flat, start_size = _flat(searches.y, num), _size(_flat(starts, num))
    vanishes = found(searches, flat, start_size)
    size = max(start_size, float(np.max(np.linalg.norm(flat[vanishes], axis=1), initial=0.0)))
    relative = _SAME[itemsize] if same is None else float(same)
    members, chosen = _merge(flat, np.asarray(searches.residual), vanishes, relative * size)
    seen = inspect_rows(field, searches.y, args, chosen) if chosen else []
    if check and not all(each.autonomous for each in seen):
        raise ValueError(next(filter(None, (complaint(each, ("autonomous",), "starts") for each in seen))))
    members, chosen, seen = _roots(members, chosen, seen, itemsize)
    smooth = np.asarray([bool(each.smooth) for each in seen], bool)
    kinds = _kinds(field, args, searches, _scales(searches, members, chosen), flat, size, chosen, smooth)
    # By NumPy: how many there are would be compiled into each operation.
    kept = (searches.y, searches.residual, searches.jacobian, searches.eigenvalues)
    ys, residuals, jacobians, eigenvalues = jax.tree.map(lambda leaf: np.asarray(leaf)[np.asarray(chosen, int)], kept)
    jacobians[~smooth], eigenvalues[~smooth] = np.nan, np.nan
    ys, residuals, jacobians, eigenvalues = jax.tree.map(jnp.asarray, (ys, residuals, jacobians, eigenvalues))
    return Equilibria(ys, residuals, jacobians, eigenvalues, kinds, members, searches.residual, tuple(seen))


def _flat(states: State, num: int) -> np.ndarray:
    return np.concatenate([np.reshape(np.asarray(leaf), (num, -1)) for leaf in jax.tree.leaves(states)], axis=1)


def _size(states: np.ndarray) -> float:
    """The size of states: the largest norm, or 1 if all are zero."""
    return float(np.max(np.linalg.norm(states, axis=1))) or 1.0


def _merge(flat: np.ndarray, residuals: np.ndarray, found: np.ndarray, distance: float) -> tuple[np.ndarray, list[int]]:
    """Which equilibrium each start led to, and the end that stands for it: that of the smallest residual."""
    members, chosen = np.full(len(flat), -1), []
    for start in np.argsort(residuals, kind="stable"):
        if not found[start]:
            continue
        gaps = np.linalg.norm(flat[chosen] - flat[start], axis=1)
        if gaps.size and gaps.min() <= distance:
            members[start] = int(np.argmin(gaps))
        else:
            members[start] = len(chosen)
            chosen.append(int(start))
    # In the order of the starts.
    first = [int(np.argmax(members == place)) for place in range(len(chosen))]
    order = np.argsort(first)
    ranks = np.append(np.argsort(order), -1)
    return ranks[members], [chosen[place] for place in order]


def _roots(
    members: np.ndarray, chosen: list[int], seen: list[Inspection], itemsize: int
) -> tuple[np.ndarray, list[int], list[Inspection]]:
    """Of the ends, those that are roots."""
    kept = [place for place, each in enumerate(seen) if at_root(each, itemsize)]
    ranks = np.full(len(chosen) + 1, -1)
    ranks[kept] = np.arange(len(kept))
    return ranks[members], [chosen[place] for place in kept], [seen[place] for place in kept]


def _scales(searches: Searches, members: np.ndarray, chosen: list[int]) -> list[float]:
    """How large a Jacobian of this field is. At a root where all of it vanishes, its own norm would be rounding."""
    matrices, slopes = np.asarray(searches.jacobian), np.asarray(searches.slope)
    norms = [float(np.linalg.norm(matrices[end], 2)) for end in chosen]
    return [max(norm, float(np.min(slopes[members == place]))) for place, norm in enumerate(norms)]


def _kinds(
    field: Field, args: Args, searches: Searches, scales: list[float], flat: np.ndarray, size: float,
    chosen: list[int], smooth: np.ndarray,
) -> tuple[EquilibriumKind, ...]:  # fmt: skip
    matrices = np.asarray(searches.jacobian)
    nulls = [null_space(matrices[end], scale)[0] for end, scale in zip(chosen, scales, strict=True)]
    # In the shape of the starts, so that their number and not that of the roots decides what is compiled.
    steps, tolerances = np.zeros_like(flat), np.full(len(flat), np.inf, flat.dtype)
    rounding, least = np.finfo(flat.dtype).eps, np.finfo(flat.dtype).tiny
    for end, scale, null in zip(chosen, scales, nulls, strict=True):
        # Any direction but one that is special.
        weights = np.random.default_rng(0).normal(size=null.shape[1])
        length = max(float(np.linalg.norm(flat[end])), _LEAST * size)
        steps[end] = _PROBE * length * null @ weights / (np.linalg.norm(weights) or 1.0)
        tolerances[end] = 1e3 * rounding * max(scale, least) * length
    moved, residuals = np.zeros_like(flat), np.zeros(len(flat))
    if any(null.size for null in nulls):
        # Above the noise of a zero on the continuum, and low enough to slide back to a root of high order.
        zero = np.zeros(len(flat), flat.dtype)
        zero[chosen] = rounding**0.75 * np.asarray(scales)
        moved, residuals = (
            np.asarray(part) for part in walk(field, args, searches.y, *map(jnp.asarray, (steps, tolerances, zero)))
        )
    return tuple(
        kind_of(matrices[end], _continuum(null, steps[end], moved[end], residuals[end] <= tolerances[end]), scale)
        if linear
        else NOT_SMOOTH
        for end, scale, null, linear in zip(chosen, scales, nulls, smooth, strict=True)
    )


def _continuum(null: np.ndarray, step: np.ndarray, moved: np.ndarray, vanishes: Any) -> Continuum:
    length = float(np.linalg.norm(step))
    if not length or not vanishes or np.linalg.norm(null.T @ moved) < _LOST * length:
        return "none"
    return "whole" if np.linalg.norm(null.T @ moved - null.T @ step) < _KEPT * length else "part"


def _table(equilibria: Equilibria) -> str:
    num_starts = len(equilibria.members)
    lines = [f"{len(equilibria)} distinct from {num_starts} starts"]
    if any(kind.on_continuum for kind in equilibria.kinds):
        lines[0] += " (those on a continuum are representatives of it)"
    flat = _flat(equilibria.ys, len(equilibria)) if len(equilibria) else np.zeros((0, 0))
    for place, kind in enumerate(equilibria.kinds[:_SHOWN]):
        abscissa = float(equilibria.eigenvalues[place][0].real)
        lines.append(
            f"  {place}: y = {_short(flat[place])}, residual {float(equilibria.residuals[place]):.1e}, "
            f"abscissa {abscissa:.4g}, from {equilibria.counts[place]}: {kind}"
        )
    if len(equilibria) > _SHOWN:
        lines.append(f"  and {len(equilibria) - _SHOWN} more")
    if equilibria.failed:
        which = ", ".join(map(str, equilibria.failed[:_SHOWN])) + (", ..." if len(equilibria.failed) > _SHOWN else "")
        ends = np.asarray(equilibria.start_residuals)[list(equilibria.failed)]
        lines.append(
            f"  {len(equilibria.failed)} failed (starts {which}): they ran away, or ended where the field does not "
            f"vanish, or does on one side of a jump only (residuals {ends.min():.1e} to {ends.max():.1e})"
        )
    return "\n".join(lines)


def _short(numbers: np.ndarray) -> str:
    text = ", ".join(f"{number:.4g}" for number in numbers[:6])
    return f"({text}, ...)" if len(numbers) > 6 else f"({text})"
