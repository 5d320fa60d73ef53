"""What a Diffrax solver needs before it can step: root-finder tolerances, and a kind of problem that it can take."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import ArrayLike, DTypeLike

from .. import _checks
from .._types import RealScalarLike

# Root finding in float32 cannot see increments below its noise, and stalls there: the increments of a stiff stage are
# differences of large numbers. With the error control around it, a hundredth is enough.
_FLOAT32_ROOT_TOLERANCE = 1e-2
# With inexact linear systems the last increment is not negligible: a tenth of that.
_FLOAT32_INEXACT_TOLERANCE = 1e-3
# What somebody may ask for there, as of `flow`.
_LEAST_FLOAT32_TOLERANCE = 1e-7


def check_for_ode(solver: Any) -> None:
    """Refuses what cannot step an ordinary differential equation.

    Raises:
        ValueError: If `solver` is not an instance of a Diffrax solver, or is made for split or stochastic equations.
    """
    if isinstance(solver, type) and issubclass(solver, diffrax.AbstractSolver):
        raise ValueError(
            f"`solver` must be an instance, but is the class {solver.__name__}: write `{solver.__name__}()`."
        )
    if not isinstance(solver, diffrax.AbstractSolver):
        raise ValueError(f"`solver` must be a Diffrax solver, but is {solver!r}: for example `diffrax.Tsit5()`.")
    if solver.term_structure not in (diffrax.AbstractTerm, diffrax.ODETerm):
        raise ValueError(
            f"`solver` must take one ordinary term, but {type(solver).__name__} is made for a split or stochastic "
            "equation: take `diffrax.Tsit5()`, or for a stiff field `diffrax.Kvaerno5()`."
        )


def check_for_sde(solver: Any, additive: bool) -> None:
    """Refuses what cannot step a stochastic differential equation whose noise does not commute.

    Raises:
        ValueError: If `solver` is not an instance of a Diffrax solver for such equations, or is one for additive noise
            and the noise is not.
    """
    if isinstance(solver, type) or not isinstance(solver, diffrax.AbstractSolver):
        raise ValueError(
            f"`solver` must be an instance of a Diffrax solver, but is {solver!r}: for example `diffrax.Euler()`."
        )
    name = type(solver).__name__
    usual = "take `diffrax.Euler()` (Itô's), or `diffrax.Heun()` or `diffrax.SPaRK()` (Stratonovich's)."
    if isinstance(solver, diffrax.ItoMilstein | diffrax.StratonovichMilstein):
        raise ValueError(f"`solver` must take noise that does not commute, but {name} needs it to: {usual}")
    langevin = isinstance(getattr(solver, "term_structure", None), tuple) or hasattr(solver, "taylor_threshold")
    if langevin or not isinstance(solver, diffrax.AbstractItoSolver | diffrax.AbstractStratonovichSolver):
        raise ValueError(f"`solver` must converge to a solution of a stochastic equation, but {name} does not: {usual}")
    if not additive and _tableau(solver) is not None and solver.tableau.is_additive_noise():  # pyright: ignore
        raise ValueError(
            f"`solver` must take noise that depends on the state, but {name} is for additive noise: freeze it by "
            f"`noise.Frozen(diffusion, y, args)`, or {usual}"
        )


def levy_area(solver: Any) -> Any:
    """What a Brownian path must give to a solver for stochastic equations."""
    tableau = _tableau(solver)
    if tableau is None or solver.minimal_levy_area is diffrax.AbstractBrownianIncrement:
        return diffrax.BrownianIncrement
    if solver.minimal_levy_area is diffrax.AbstractSpaceTimeLevyArea:
        return diffrax.SpaceTimeLevyArea
    return diffrax.SpaceTimeTimeLevyArea


def is_stratonovich(solver: Any) -> bool:
    return isinstance(solver, diffrax.AbstractStratonovichSolver)


def _tableau(solver: Any) -> Any:
    """Of a stochastic Runge-Kutta method; None of others."""
    return solver.tableau if isinstance(solver, diffrax.AbstractSRK) else None


def for_fixed_steps(solver: Any, rtol: RealScalarLike | None, atol: RealScalarLike | None) -> Any:
    """The solver with a root finder that has tolerances, if it is implicit and has none.

    Raises:
        ValueError: If there are no tolerances to give it.
    """
    if not _takes_tolerances(solver):
        return solver
    if rtol is None or atol is None:
        raise ValueError(
            f"`rtol` and `atol` must be given for {type(solver).__name__} at a fixed step: without error control "
            "nothing else tells its root finder when to stop. For example `rtol=1e-8, atol=1e-8` (1e-5 in float32)."
        )
    _checks.relative("rtol", rtol, "1e-8 is usual, 1e-5 in float32.")
    _checks.not_negative("atol", atol, "1e-8 is usual, 1e-5 in float32.")
    if _measures_in_tolerances(solver):
        return _with_tolerances(solver, rtol, atol)
    return _with_root_finder(solver, optx.Newton(rtol, atol))  # pyright: ignore[reportArgumentType]


def check_for_rounding(solver: Any, dtype: DTypeLike) -> None:
    """Refuses a root finder that waits for less than rounding leaves: in single precision its steps would fail.

    Raises:
        ValueError: If both its tolerances are below those that the dtype can reach.
    """
    finder = getattr(solver, "root_finder", None)
    tolerances = [getattr(finder, name, None) for name in ("rtol", "atol")]
    known = all(isinstance(each, ArrayLike) and not _checks.is_traced(each) for each in tolerances)
    if not is_implicit(solver) or not _iterates(solver) or not known or jnp.dtype(dtype).itemsize > 4:
        return
    if max(float(np.asarray(each)) for each in tolerances) < _LEAST_FLOAT32_TOLERANCE:
        raise ValueError(
            f"`rtol` must be at least {_LEAST_FLOAT32_TOLERANCE:g} in {jnp.dtype(dtype).name}, or `atol`, but they are "
            f"{tolerances[0]} and {tolerances[1]}: below that no step ends. Loosen them to 1e-5, or take float64."
        )


def for_adaptive_steps(solver: Any, dtype: DTypeLike) -> Any:
    """The solver with a root finder that works in the dtype; in float64 that is Diffrax's own choice.

    Raises:
        ValueError: If the solver has no error estimate.
    """
    if not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        raise ValueError(
            f"`solver` must estimate its error, but {type(solver).__name__} does not: give `step_size=` for a fixed "
            "step, or take `diffrax.Tsit5()`."
        )
    if jnp.dtype(dtype).itemsize > 4 or not _takes_tolerances(solver) or not _iterates(solver):
        return solver
    if _measures_in_tolerances(solver):
        return _with_tolerances(solver, _FLOAT32_INEXACT_TOLERANCE, _FLOAT32_INEXACT_TOLERANCE)
    root_finder = diffrax.VeryChord(rtol=_FLOAT32_ROOT_TOLERANCE, atol=_FLOAT32_ROOT_TOLERANCE)
    return _with_root_finder(solver, root_finder)


def differentiable_both_ways(solver: Any) -> Any:
    """The solver with stages that forward and reverse mode go through; by itself a step allows reverse mode alone."""
    if getattr(solver, "scan_kind", "none of its own") is not None:
        return solver
    return eqx.tree_at(lambda s: s.scan_kind, solver, "bounded", is_leaf=lambda x: x is None)


def is_implicit(solver: Any) -> bool:
    return isinstance(solver, diffrax.AbstractImplicitSolver)


def may_fail(solver: Any) -> bool:
    """Whether a step can fail: where equations have to be solved, or where there is a most number of stages."""
    return is_implicit(solver) or hasattr(solver, "max_stages")


def _takes_tolerances(solver: Any) -> bool:
    """Whether the root finder waits for tolerances from a step size controller."""
    return is_implicit(solver) and not isinstance(solver.root_finder.rtol, ArrayLike)


def _iterates(solver: Any) -> bool:
    """Whether roots take several iterations. A linearly implicit step takes one: it has no increments to stall on."""
    return solver.root_find_max_steps > 1


def _measures_in_tolerances(solver: Any) -> bool:
    """Whether the root finder's linear solver goes by its tolerances, as `solvers.matrix_free`'s does: keep both."""
    return hasattr(solver.root_finder, "units")


def _with_tolerances(solver: Any, rtol: RealScalarLike, atol: RealScalarLike) -> Any:
    return eqx.tree_at(
        lambda s: (s.root_finder.rtol, s.root_finder.atol, s.root_finder.norm),
        solver,
        (rtol, atol, optx.rms_norm),
        is_leaf=lambda x: x is solver.root_finder.rtol,
    )


def _with_root_finder(solver: Any, root_finder: Any) -> Any:
    return eqx.tree_at(lambda s: s.root_finder, solver, root_finder, is_leaf=lambda x: x is solver.root_finder)
