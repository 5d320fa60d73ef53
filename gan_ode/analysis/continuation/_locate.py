"""One event near a guess, with its derivatives by whatever the family is made of."""

from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit_quickly
from ..._problem import state_of
from ..._types import Args, RealScalarLike, Scalar, State
from ..arclength._corrector import Chart, linearized
from ..arclength._extended import angle_of, eigenvalue_of, EventKind, Pinned, with_derivative
from ..arclength._motion import AbstractMotion, motion_of
from ..linearization._jacobian import eigenvalues_of
from ._event import CODES, described, Event
from ._normal_form import normal_form, terms


@guarded("y", along="value", rules=True)
def locate_event(
    kind: EventKind,
    family: Callable,
    value: RealScalarLike,
    y: State,
    *,
    update: Any = None,
    args: Args = None,
) -> Event:
    r"""The event of a kind near a guess, by Newton's method on equations that are regular there.

    `continue_equilibrium` finds the guess. Works under `jax.vmap` and `jax.jit`, and `value` and `state` are
    differentiable, forward and reverse, in whatever the family is made of, by the implicit function theorem.

    ```python
    import jax
    import jax.numpy as jnp
    from gan_ode import analysis

    def turning_point(c):
        # p = x^2 - c turns at p = -c.
        family = lambda p: lambda t, x, args: p + c - x**2
        return analysis.locate_event("fold", family, -0.9, jnp.array([0.1])).value

    assert jnp.isclose(turning_point(1.0), -1.0) and jnp.isclose(jax.grad(turning_point)(1.0), -1.0)
    ```

    Source: Govaerts (2000), Numerical Methods for Bifurcations of Dynamical Equilibria, chapters 3 and 4; for the
    branch point Moore (1980).

    Args:
        kind: "fold", "branch point", "hopf", "flip" or "neimark-sacker".
        family: From the parameter to a field, or one field if the parameter is an update's step size.
        value: The parameter near the event.
        y: The state near it.
        update: An update, or a rule if the parameter is its step size, as for `continue_equilibrium`.
        args: Handed to the field.

    Returns:
        The event; its normal form only outside of transformations.

    Raises:
        ValueError: If Newton's method finds none near the guess; under a transformation `value` is NaN. If the kind is
            none, or one of updates and there is no update, or the other way round.
    """
    _checks.one_of("kind", kind, get_args(EventKind))
    if (kind in ("flip", "neimark-sacker") and update is None) or (kind == "hopf" and update is not None):
        raise ValueError(
            f"`kind` must be of what is followed, but is {kind!r}: a field has folds, branch points and Hopf points; "
            "an update folds, branch points, flips and Neimark-Sacker points."
        )
    y, value = state_of(y), _checks.as_float(value)
    motion = motion_of(family, update, y, args, jax.lax.stop_gradient(value))
    pinned, x, value, chart, z = _found(motion, kind, y, value)
    if not _checks.is_traced(pinned.ok) and not pinned.ok:
        raise ValueError(
            f"`value` and `y` must be near a {kind}, but from {float(chart.start):.6g} Newton's method finds none: "
            "follow the branch by `continue_equilibrium`, and take the event that it finds as the guess."
        )
    event = described(motion, chart, jnp.asarray(CODES[kind]), z, None, eigenvalue_of(kind, pinned.angle))
    if not _checks.is_traced((motion, x, value, pinned)):
        form = normal_form(kind, terms(motion, kind, x, value, pinned.angle), pinned.angle)
        return Event(event.code, value, event.state, event.eigenvalue, form, x, None)
    return Event(event.code, value, motion.state(x), event.eigenvalue, None, x, None)


@jit_quickly
def _found(
    motion: AbstractMotion, kind: EventKind, y: State, value: Scalar
) -> tuple[Pinned, Array, Scalar, Chart, Array]:
    x = jax.lax.stop_gradient(motion.flat(y, value))
    still = jax.lax.stop_gradient(value).astype(x.dtype)
    size = jnp.maximum(jnp.linalg.norm(x), 1)
    chart = Chart(size, still, jnp.where(still == 0, 1, jnp.abs(still)))
    z = jnp.concatenate([x / size, jnp.zeros(1, x.dtype)])
    _, slope = jax.lax.stop_gradient(linearized(motion, chart, z))
    angle = angle_of(kind, _nearest(kind, eigenvalues_of(slope[:, :-1] / size)))
    pinned, there = with_derivative(motion, chart, kind, z, angle)
    there = jnp.where(pinned.ok, there, jnp.nan)
    return pinned, chart.flat(there), chart.value(there), chart, there


def _nearest(kind: EventKind, eigenvalues: Array) -> Array:
    """The eigenvalue of the residual that is nearest to where it makes the event."""
    above = eigenvalues.imag > 0
    if kind == "hopf":
        distance = jnp.where(above, jnp.abs(eigenvalues.real), jnp.inf)
    elif kind == "neimark-sacker":
        distance = jnp.where(above, jnp.abs(jnp.abs(eigenvalues + 1) - 1), jnp.inf)
    else:
        distance = jnp.abs(eigenvalues + (2 if kind == "flip" else 0))
    return eigenvalues[jnp.argmin(distance)]
