"""jaxcont: branches of equilibria and of cycles, as it is called and as one jitted program.

`jaxcont.continuation` makes a new function of the field at each call, so that its loop is compiled anew each time;
under `jax.jit` it is compiled once, but finds no events.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

# Newton's method to about what the package reaches; and the intervals of a cycle, evenly spread, of degree 4.
_TOLERANCE, _INTERVALS, _DEGREE = 1e-10, 60, 4


def missing() -> str:
    """Why it cannot take part, or empty if it can."""
    return "" if importlib.util.find_spec("jaxcont") else "`jaxcont` is not installed: `pip install jaxcont==0.4`"


def equilibria(
    family: Callable, ends: tuple[float, float], y: Sequence[float], longest: float
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The branch with folds and Hopf points as it is called, and without them as one program.

    Args:
        family: From the parameter to a field.
        ends: The parameter's range.
        y: The equilibrium at its start.
        longest: The longest step.
    """
    import jaxcont  # pyright: ignore[reportMissingImports]

    problem = jaxcont.bif_problem(_flat(family), u0=jnp.array(y), p0=ends[0])
    settings = jaxcont.ContinuationPar(ds=longest / 4, ds_max=longest, max_steps=1000, newton_tol=_TOLERANCE)
    return _called_and_jitted(problem, ends, settings, [jaxcont.Fold(), jaxcont.Hopf()])


def cycles(
    family: Callable, ends: tuple[float, float], orbit: Any, period: float, longest: float
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The branch of a cycle, with folds as it is called, and without them as one program.

    Args:
        family: From the parameter to a field.
        ends: The parameter's range.
        orbit: Samples of the cycle at its start.
        period: Its period.
        longest: The longest step.
    """
    import jaxcont  # pyright: ignore[reportMissingImports]
    from jaxcont.core.collocation import Collocation  # pyright: ignore[reportMissingImports]
    from jaxcont.problems.periodic import periodic_orbit_problem  # pyright: ignore[reportMissingImports]

    mesh = Collocation(_INTERVALS, _DEGREE)
    problem = periodic_orbit_problem(_flat(family), orbit.ys, orbit.ts, period, ends[0], mesh)
    settings = jaxcont.ContinuationPar(ds=longest / 4, ds_max=longest, max_steps=300, newton_tol=1e-8)
    return _called_and_jitted(problem, ends, settings, [jaxcont.Fold()])


def _flat(family: Callable) -> Callable:
    return lambda u, p, args: family(p)(0.0, u, None)


def _called_and_jitted(
    problem: Any, ends: tuple[float, float], settings: Any, events: list[Any]
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import jaxcont  # pyright: ignore[reportMissingImports]

    @jax.jit
    def jitted(start: Any) -> Any:
        branch = jaxcont.continuation(problem.at(u0=start), p_span=ends, settings=settings).branch
        # Rows past its end are zero.
        return jnp.where(branch.valid, branch.params, jnp.nan), branch.states, branch.eigenvalues

    def call() -> Any:
        found = jaxcont.continuation(problem, p_span=ends, settings=settings, events=events)
        branch = found.branch
        return (branch.params, branch.states, branch.eigenvalues), [
            (event.kind, float(event.p)) for event in found.events
        ]

    return call, lambda: (jax.block_until_ready(jitted(problem.u0)), [])
