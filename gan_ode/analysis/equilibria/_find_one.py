from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax.flatten_util import ravel_pytree

from ... import _checks, _tree
from ..._entry import guarded
from ..._lowering import jit
from ..._problem import state_of
from ..._types import Args, Field, RealScalarLike, Scalar, State
from ..linearization._preconditions import complaint, inspect
from ._equilibrium import Equilibrium
from ._newton import at_root, flat_velocity, least_change, POLISH

_TOLERANCE = {4: 1e-6, 8: 1e-12}


@guarded("y0")
def find_equilibrium(
    field: Field,
    y0: State,
    *,
    args: Args = None,
    solver: Any = None,
    rtol: RealScalarLike | None = None,
    atol: RealScalarLike | None = None,
    max_steps: int = 256,
    throw: bool = True,
    check: bool = True,
) -> Equilibrium:
    """Searches for an equilibrium from a start.

    Levenberg-Marquardt by default, which also works where equilibria form a continuum. It may end at another
    equilibrium than the nearest: look at `y`.

    Where the search ends counts as an equilibrium if each component of the velocity is at most a millionth of what it
    is 1e-4 away (in float32, a thousandth of that 1e-2 away). If it is not yet, steps of Newton's method are added. The
    least velocity of a field without zeros is none, nor is the edge of a jump. A kink may be one, and so may a jump
    between velocities that point to opposite sides; `inspection.smooth` tells.

    Args:
        field: The field.
        y0: Start: a state, or another equilibrium, as of a field near by.
        args: Handed to the field.
        solver: Any Optimistix root finder or least-squares solver.
        rtol: Relative tolerance of the default solver; 1e-12, without x64 1e-6.
        atol: Absolute tolerance, likewise.
        max_steps: Most steps of the solver.
        throw: Whether to raise if none is found. If not, look at `found`.
        check: Whether to look if the field has explicit time, and to find nothing if it has. If not, the field at
            time 0 is meant.

    Returns:
        State, residual, result; handed on as it is, it stands for its state. Differentiable in the field's parameters
        where the equilibrium is isolated.

    Raises:
        RuntimeError: If none is found and `throw` holds.
        ValueError: If the field has explicit time and `throw` holds; under a transformation a RuntimeError.
    """
    y0, max_steps = state_of(y0), _checks.count("max_steps", max_steps, most=_checks.MOST_STEPS)
    itemsize = max(jnp.dtype(_tree.dtype(y0)).itemsize, 4)
    end = _find(field, y0, args, chosen_solver(solver, rtol, atol), max_steps)
    (y, residual, result), seen = _settled(field, end, args, itemsize)
    found = at_root(seen, itemsize) & (seen.autonomous | (not check))
    equilibrium = Equilibrium(y, residual, result, found, seen)
    if not throw:
        return equilibrium
    message = "`y0` must lead to an equilibrium, but the search ended where the field does not vanish"
    remedy = "Start nearer (the end of a converging flow), or raise `max_steps`."
    if _checks.is_traced(found):
        y = eqx.error_if(y, ~found, f"{message}, or the field has explicit time. {remedy}")
        return eqx.tree_at(lambda e: e.y, equilibrium, y)
    if check and not seen.autonomous:
        raise ValueError(complaint(seen, ("autonomous",), "y0"))
    if not found:
        raise RuntimeError(
            f"{message} (residual {float(residual):.3g}, with up to {float(seen.speed_nearby):.3g} near by). {remedy}"
        )
    return equilibrium


def chosen_solver(solver: Any, rtol: RealScalarLike | None, atol: RealScalarLike | None) -> Any:
    """The solver that is given, or Levenberg-Marquardt with tolerances."""
    if solver is not None:
        return solver
    usual = _TOLERANCE[jnp.result_type(float).itemsize]
    # As they are given: a program is known again by Python's numbers.
    if rtol is not None:
        _checks.relative("rtol", rtol, f"{usual:g} is usual.")
    if atol is not None:
        _checks.not_negative("atol", atol, f"{usual:g} is usual.")
    tolerances: Any = (usual if rtol is None else rtol, usual if atol is None else atol)
    return optx.LevenbergMarquardt(*tolerances)


def search(field: Field, y0: State, args: Args, solver: Any, max_steps: int) -> tuple[State, Scalar, optx.RESULTS]:
    """One search, to be compiled by whoever makes one or many: where it ended, the residual there, and the result."""
    # In the widest dtype: Optimistix's damping is of that dtype, and does not step a narrower state.
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.result_type(float))), y0)

    def velocity(y: State, args: Args) -> State:
        return jax.tree.map(lambda v, leaf: v.astype(leaf.dtype), field(0.0, y, args), y)

    solution = optx.root_find(velocity, solver, wide, args, max_steps=max_steps, throw=False)
    y = jax.tree.map(lambda leaf, start: leaf.astype(start.dtype), solution.value, y0)
    return y, _tree.norm(field(0.0, y, args)), solution.result


_find = jit(search)


def _settled(field: Field, end: tuple[State, Scalar, optx.RESULTS], args: Args, itemsize: int) -> Any:
    """The end of a search, after steps of Newton's method where it needs them, and what was seen there."""
    y, residual, result = end
    if not _checks.is_traced(end):
        seen = inspect(field, y, args=args)
        if at_root(seen, itemsize):
            return end, seen
    y, residual = _polished(field, y, args)
    return (y, residual, result), inspect(field, y, args=args)


@jit
def _polished(field: Field, y: State, args: Args) -> tuple[State, Scalar]:
    x, restore = ravel_pytree(y)
    end, _ = least_change(flat_velocity(field, args, restore), x, POLISH, 0.0, 0.0)
    # With the derivatives that it had.
    y = restore(x + jax.lax.stop_gradient(end - x))
    return y, _tree.norm(field(0.0, y, args))
