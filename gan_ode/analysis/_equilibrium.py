from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx

from .. import _checks, _tree
from .._compiled import jit
from .._types import Args, Field, RealScalarLike, Scalar, State

_TOLERANCE = {4: 1e-6, 8: 1e-12}
# The residual of a root that was found, relative to the size of state and velocity, is far below this; that of a
# minimum of |F| that is no root is far above.
_SMALL_RESIDUAL = {4: 1e-4, 8: 1e-8}


class Equilibrium(eqx.Module):
    """Where the field vanishes.

    Attributes:
        y: The state.
        residual: Norm of the velocity there.
        result: Optimistix's result, to be compared with `optimistix.RESULTS`.
        found: Whether the solver converged and the residual is small.
    """

    y: State
    residual: Scalar
    result: optx.RESULTS
    found: Any


def find_equilibrium(
    field: Field,
    y0: State,
    args: Args = None,
    *,
    solver: Any = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    max_steps: int = 256,
    throw: bool = True,
) -> Equilibrium:
    """Searches for an equilibrium from a start.

    Levenberg-Marquardt by default, which also works where equilibria form a continuum. It may end at another
    equilibrium than the nearest: look at `y`.

    Args:
        field: The field.
        y0: Start.
        args: Handed to the field.
        solver: Any Optimistix root finder or least-squares solver.
        rtol: Relative tolerance of the default solver; 1e-12, without x64 1e-6.
        atol: Absolute tolerance, likewise.
        max_steps: Most steps of the solver.
        throw: Whether to raise if none is found. If not, look at `found`.

    Returns:
        State, residual, result. Differentiable in the field's parameters where the equilibrium is isolated.

    Raises:
        RuntimeError: If none is found and `throw` holds.
    """
    equilibrium = _find(field, y0, args, chosen_solver(solver, rtol, atol), max_steps)
    if not throw:
        return equilibrium
    message = "`y0` must lead to an equilibrium, but the search ended where the field does not vanish"
    remedy = "Start nearer (the end of a converging flow), or raise `max_steps`."
    if _checks.is_traced(equilibrium.found):
        y = eqx.error_if(equilibrium.y, ~equilibrium.found, f"{message}. {remedy}")
        return eqx.tree_at(lambda e: e.y, equilibrium, y)
    if not equilibrium.found:
        raise RuntimeError(f"{message} (residual {float(equilibrium.residual):.3g}). {remedy}")
    return equilibrium


def chosen_solver(solver: Any, rtol: RealScalarLike | None, atol: RealScalarLike | None) -> Any:
    """The solver that is given, or Levenberg-Marquardt with tolerances."""
    if solver is not None:
        return solver
    usual = _TOLERANCE[jnp.result_type(float).itemsize]
    tolerances: Any = (usual if rtol is None else rtol, usual if atol is None else atol)
    return optx.LevenbergMarquardt(*tolerances)


def search(field: Field, y0: State, args: Args, solver: Any, max_steps: int) -> Equilibrium:
    """One search, to be compiled by whoever makes one or many."""
    # In the widest dtype: Optimistix's damping is of that dtype, and does not step a narrower state.
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.result_type(float))), y0)

    def velocity(y: State, args: Args) -> State:
        return jax.tree.map(lambda v, leaf: v.astype(leaf.dtype), field(0.0, y, args), y)

    solution = optx.root_find(velocity, solver, wide, args, max_steps=max_steps, throw=False)
    y = jax.tree.map(lambda leaf, start: leaf.astype(start.dtype), solution.value, y0)
    residual = _tree.norm(field(0.0, y, args))
    scale = 1 + _tree.norm(y) + _tree.norm(field(0.0, y0, args))
    small = _SMALL_RESIDUAL[max(jnp.dtype(_tree.dtype(y0)).itemsize, 4)]
    found = jnp.isfinite(residual) & (residual <= small * scale)
    return Equilibrium(y, residual, solution.result, found)


_find = jit(search)
