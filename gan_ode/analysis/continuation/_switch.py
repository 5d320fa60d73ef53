"""From an event onto the branch that crosses there, or onto the orbit of twice the period."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ... import _checks
from ..._entry import guarded
from ..._lowering import jit_quickly
from ..._types import RealScalarLike
from ..arclength import _trace
from ..arclength._corrector import Chart, linearized
from ..arclength._motion import AbstractMotion, OfSteps
from ..arclength._trace import Settings
from ._branch import EquilibriumBranch
from ._continue import branch_of, followed
from ._event import Event

# How far from the event the new branch is searched first, in units of the range or the state's size.
_AWAY = (1e-2, 3e-3, 1e-3, 1e-4)
# A first point that Newton's method moves by more than this part of the distance is of another branch.
_MOVED = 0.5


@guarded()
def switch_branch(
    branch: EquilibriumBranch,
    event: Event,
    *,
    longest_step: RealScalarLike = 0.03,
    max_points: int = 1000,
    max_folds: int = 20,
    max_events: int = 32,
) -> tuple[EquilibriumBranch, ...]:
    r"""Leaves a branch at an event for the one that begins or crosses there.

    At a branch point the other tangent solves the quadratic equation of the two branches' tangents; the new branch is
    followed to both sides. At a flip of an update it is that of the orbit of twice the period, as a fixed point of the
    update taken twice as often, whose two points are the two sides; one of them is followed.

    ```python
    import jax.numpy as jnp
    from gan_ode import analysis

    def family(mu):
        return lambda t, x, args: mu * x - x**3

    branch = analysis.continue_equilibrium(family, jnp.array([-1.0, 1.0]), jnp.array([0.0]))
    above, below = analysis.switch_branch(branch, branch.events[0])
    assert jnp.allclose(above.states[-1] ** 2, 1.0) and jnp.all(above.stable)
    ```

    Source: Keller (1977); Kuznetsov (2004), Elements of Applied Bifurcation Theory, third edition, section 10.2.

    Args:
        branch: What `continue_equilibrium` returned.
        event: One of its events: a branch point, or a flip.
        longest_step: As for `continue_equilibrium`, as are the next three.
        max_points: Most points.
        max_folds: Most folds.
        max_events: Most events.

    Returns:
        The new branches, in the range of the old one: two from a branch point, one from a flip.

    Raises:
        ValueError: If the event is of another kind, or no branch is found from it, or under a transformation.
    """
    if _checks.is_traced((branch, event)):
        raise ValueError("`branch` must be concrete: call `switch_branch` outside of `jax.jit` and `jax.vmap`.")
    kind = event.kind
    if kind not in ("branch point", "flip"):
        raise ValueError(
            f"`event` must be a branch point or a flip, but is a {kind}: at a fold no other branch begins, and from a "
            "Hopf or a Neimark-Sacker point a cycle or a closed curve does."
        )
    motion: Any = branch.motion
    settings = Settings(
        _checks.positive("longest_step", longest_step, "0.03 is usual.").astype(event.flat.dtype),
        _checks.count("max_points", max_points, least=2),
        _checks.count("max_folds", max_folds, least=0),
    )
    z = branch.chart.coordinates(event.flat, event.value)
    if kind == "flip":
        doubled = dataclasses.replace(motion, times=2 * motion.times) if isinstance(motion, OfSteps) else motion
        directions = [_flipping(motion, branch.chart, z)]
    else:
        doubled, away = motion, _crossing(motion, branch.chart, z, jnp.asarray(event.tangent))
        directions = [away, -away]
    period = branch.period * (2 if kind == "flip" else 1)
    found = [_from(doubled, branch.chart, z, each, settings, max_events, period) for each in directions]
    return tuple(found)


def _from(
    motion: AbstractMotion,
    chart: Chart,
    z: Array,
    direction: Array,
    settings: Settings,
    max_events: int,
    period: int,
) -> EquilibriumBranch:
    """The branch in a direction, from the farthest of a few places at which it is found."""
    for away in _AWAY:
        guess = z + away * direction
        found = followed(motion, chart, guess, direction, settings, _checks.count("max_events", max_events))
        moved = float(np.linalg.norm(np.asarray(found.first - guess)))
        if int(found.status) != _trace.NO_START and moved <= _MOVED * away:
            return branch_of(motion, chart, found, period)
    raise ValueError(
        f"`event` must be where another branch begins, but none is found within {_AWAY[-1]:g} of the range: it may "
        "be a degenerate one, or the field may not be smooth there."
    )


@jit_quickly
def _crossing(motion: AbstractMotion, chart: Chart, z: Array, tangent: Array) -> Array:
    """The unit tangent of the other branch through a branch point."""
    _, slope = linearized(motion, chart, z)
    left, _, right = jnp.linalg.svd(slope)
    psi, plane = left[:, -1], right[-2:]
    # Within the two null directions: along the branch, and across it.
    along = plane.T @ (plane @ tangent)
    along = along / jnp.linalg.norm(along)
    turned = plane @ along
    across = plane.T @ jnp.stack([-turned[1], turned[0]])

    def second(u: Array, v: Array) -> Array:
        def first(z: Array) -> Array:
            return jax.jvp(lambda z: motion.residual(chart.flat(z), chart.value(z)), (z,), (u,))[1]

        return psi @ jax.jvp(first, (z,), (v,))[1]

    mixed, square = jax.vmap(second)(jnp.stack([along, across]), jnp.stack([across, across]))
    share = jnp.where(mixed == 0, 0, -square / jnp.where(mixed == 0, 1, 2 * mixed))
    other = across + share * along
    return other / jnp.linalg.norm(other)


@jit_quickly
def _flipping(motion: AbstractMotion, chart: Chart, z: Array) -> Array:
    """The direction of the multiplier -1, as a unit vector of coordinates."""
    _, slope = linearized(motion, chart, z)
    matrix = slope[:, :-1] / chart.size
    _, _, right = jnp.linalg.svd(matrix + 2 * jnp.eye(len(matrix), dtype=matrix.dtype))
    return jnp.append(right[-1], 0)
