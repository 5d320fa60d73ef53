"""One event of a branch of cycles again, with its derivatives by whatever the family is made of."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ... import _checks, _problem
from ..._entry import guarded
from ..._lowering import jit_quickly
from ..._types import Args
from ..arclength._motion import OfFields
from ._branch import CycleEvent
from ._collocation import Chart, DEGREE, integral, INTEGRALS_AT, Path
from ._corrector import linear_of
from ._event_system import equations, EventOfCycles, first_borders, Linear, linearized, Unknowns
from ._multipliers import multipliers_of
from ._start import from_samples

# Newton's method: the most steps; the last one is as short as this, and the event not farther away than the other.
_MOST_STEPS, _CONVERGED, _FAR = 12, {4: 1e-3, 8: 1e-7}, 0.5
_INTERVALS, _MOST_NUMBERS = 40, 8


class AlongOne(eqx.Module):
    """The velocity by a state and a vector of one parameter.

    Attributes:
        family: The fields.
    """

    family: OfFields

    def __call__(self, x: Array, parameters: Array) -> Array:
        return self.family.residual(x, parameters[0])


@guarded()
def locate_cycle_event(
    family: Callable, event: CycleEvent, *, args: Args = None, intervals: int = _INTERVALS
) -> CycleEvent:
    r"""The event of a branch of cycles for a family that may differ a little, by Newton's method on regular equations.

    Works under `jax.vmap` and `jax.jit`, and `value`, `period` and `state` are differentiable, forward and reverse, in
    whatever the family is made of, by the implicit function theorem. The event that it starts from is one of
    `continue_cycle`: a fold of cycles, a flip or a torus.

    ```python
    import jax
    import jax.numpy as jnp
    from gan_ode import analysis

    jax.config.update("jax_enable_x64", True)

    def family(a):
        def of(mu):  # r' = mu r + a r^3 - r^5, which folds at mu = -a^2 / 4
            def field(t, y, args):
                square = y[0] ** 2 + y[1] ** 2
                return jnp.stack([mu * y[0] - y[1], mu * y[1] + y[0]]) + square * (a - square) * y

            return field

        return of

    rest = analysis.continue_equilibrium(family(1.0), jnp.array([-0.5, 0.5]), jnp.zeros(2))
    (fold,) = analysis.continue_cycle(family(1.0), jnp.array([-0.5, 0.5]), rest.events[0]).events
    value, slope = jax.value_and_grad(lambda a: analysis.locate_cycle_event(family(a), fold).value)(1.1)
    assert jnp.isclose(value, -(1.1**2) / 4) and jnp.isclose(slope, -1.1 / 2)
    ```

    Source: Doedel, Govaerts and Kuznetsov (2003), SIAM J. Numer. Anal. 41, 401; Govaerts (2000), Numerical Methods for
    Bifurcations of Dynamical Equilibria, chapter 3.

    Args:
        family: From the parameter to a field without explicit time.
        event: The event of a family near by, concrete.
        args: Handed to the field.
        intervals: Intervals of the mesh, each with a polynomial of degree 4.

    Returns:
        The event.

    Raises:
        ValueError: If Newton's method finds none near the guess; under a transformation all numbers are NaN. If the
            event is a branch point, its state has more than 8 numbers, or it is not concrete.
    """
    shares, rows = samples_of(event)
    intervals = _checks.count("intervals", intervals, least=8)
    value = float(event.value)
    _problem.a_field(family(event.value), "family(...)")
    _problem.same_structure(family(event.value), 0.0, event.state, args, "event", dtypes=False)
    motion = OfFields(family=family, like=event.state, args=args)
    # Known before anything is traced.
    with jax.ensure_compile_time_eval():
        guess = from_samples(motion, shares, rows, float(event.period), intervals)
        system = system_of(AlongOne(motion), event, guess.mesh, guess.path, [(value, abs(value) or 1.0)])
    z, ok = _found(system)
    if not _checks.is_traced(ok) and not bool(ok):
        raise ValueError(
            f"`event` must be near a {event.kind} of `family`, but from {value:.6g} Newton's method finds none: follow "
            "the branch of this family by `continue_cycle`, or take more `intervals`."
        )
    return _described(motion, system, jnp.where(ok, z, jnp.nan), event)


def samples_of(event: Any) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the period and flat states of an event's cycle."""
    if _checks.is_traced(event):
        raise ValueError("`event` must be concrete: find it outside of `jax.jit`, `jax.vmap` and `jax.grad`.")
    if not isinstance(event, CycleEvent) or event.kind == "branch point":
        what = repr(event.kind) if isinstance(event, CycleEvent) else type(event).__name__
        raise ValueError(
            f"`event` must be a fold of cycles, a flip or a torus, but is {what}: take one of `branch.events` of "
            "`continue_cycle`."
        )
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(event.orbit)]
    rows = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    if rows.shape[1] > _MOST_NUMBERS:
        raise ValueError(
            f"`event` must be of at most {_MOST_NUMBERS} numbers, but has {rows.shape[1]}: matrices are dense."
        )
    return np.asarray(event.times) / float(event.period), rows


def system_of(
    velocity: Callable, event: CycleEvent, mesh: Array, path: Path, ranges: list[tuple[float, float]]
) -> EventOfCycles:
    """The equations of an event near a cycle.

    Args:
        velocity: From a flat state and the parameters to the velocity.
        event: The event.
        mesh: The cycle's mesh.
        path: The cycle.
        ranges: Where each parameter begins, and how long its range is.
    """
    dtype = path.x.dtype
    swing = np.asarray(path.x) - np.mean(np.asarray(path.x), axis=0)
    size = jnp.asarray(np.sqrt(np.mean(np.sum(swing**2, axis=1))), dtype)
    starts, widths = (jnp.asarray(each, dtype) for each in zip(*ranges, strict=True))
    others = np.asarray(event.multipliers)[1:]
    pair = others[np.argmin(np.abs(np.abs(others) - 1))]
    near = Unknowns(
        path.x / size, path.k / size, path.log_period, jnp.zeros_like(starts), jnp.asarray(abs(np.angle(pair)), dtype)
    )
    return EventOfCycles(velocity, event.kind, mesh, near, size, starts, widths)


@jit_quickly
def _found(system: EventOfCycles) -> tuple[Array, Bool[Array, ""]]:
    """Where Newton's method ends, with the derivatives by what the velocity is made of."""
    still = _still(system)
    start, borders = system.flat(_still(system.near)), first_borders(system)
    itemsize = max(start.dtype.itemsize, 4)
    infinite, none = jnp.full((), jnp.inf, start.dtype), jnp.asarray(0)

    def advance(state: tuple) -> tuple:
        z, borders, _, best, count = state
        found = linearized(still, z, borders, count == 0)
        step = jnp.linalg.solve(found.slope, found.height)
        shift = jnp.linalg.norm(step) / jnp.sqrt(len(still.mesh))
        borders = found.left / jnp.linalg.norm(found.left), found.right / jnp.linalg.norm(found.right)
        return z - step, borders, shift, jnp.minimum(best, shift), count + 1

    def goes_on(state: tuple) -> Array:
        _, _, shift, best, count = state
        moving = (shift > 1e-14) & ((shift <= best) | (shift > 1e-8))
        return (count < 1) | ((count < _MOST_STEPS) & ((count < 2) | moving) & jnp.isfinite(shift))

    z, borders, shift, _, _ = jax.lax.while_loop(goes_on, advance, (start, borders, infinite, infinite, none))
    near = jnp.linalg.norm(z - start) <= _FAR * (1 + jnp.linalg.norm(start))
    z, borders = jax.lax.stop_gradient((z, borders))
    found: Linear = _still(linearized(still, z, borders, jnp.asarray(False)))
    moved = equations(system, z, found)
    change = jnp.linalg.solve(found.slope, moved - jax.lax.stop_gradient(moved))
    return z - change, (shift <= _CONVERGED[itemsize]) & near


def _still(tree: Any) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def _described(family: OfFields, system: EventOfCycles, z: Array, event: CycleEvent) -> CycleEvent:
    at = system.unknowns(z)
    (value,) = system.parameters(at)
    x, k = system.size * at.x, system.size * at.k
    chart = Chart(system.size, jnp.zeros_like(value), jnp.ones_like(value))
    path = Path(x, k, at.log_period, value)
    linear = linear_of(family, chart, system.mesh, path)
    velocities = jax.vmap(lambda x: family.residual(x, value))(x)
    others = multipliers_of(linear.blocks, velocities, integral(system.mesh, linear.traces))
    lengths = jnp.diff(system.mesh)
    samples = (x[:, None] + lengths[:, None, None] * jnp.einsum("sj,ijn->isn", INTEGRALS_AT, k)).reshape(-1, x.shape[1])
    shares = (system.mesh[:-1, None] + lengths[:, None] * np.arange(DEGREE) / DEGREE).ravel()
    period = jnp.exp(at.log_period)
    return CycleEvent(
        kind=event.kind,
        value=value,
        period=period,
        state=family.state(x[0]),
        multipliers=jnp.concatenate([jnp.ones(1, others.dtype), others]),
        orbit=jax.vmap(family.state)(jnp.concatenate([samples, samples[:1]])),
        times=jnp.append(shares, 1) * period,
    )
