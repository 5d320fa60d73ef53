"""The first cycle of a branch: from a periodic orbit, or from a Hopf point."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.interpolate

from ..arclength._motion import OfFields
from ._collocation import Chart, Path, POINTS
from ._corrector import Cycle, follow, Seen
from ._walk import only_share

# Corrections of the first cycle, each on a mesh that is adapted to the one before.
_CORRECTIONS = 4
# The amplitudes at which a cycle is searched beside a Hopf point, in units of the chart.
_AWAY = (1e-2, 3e-3, 1e-3, 1e-4)


def from_samples(family: OfFields, shares: np.ndarray, states: np.ndarray, period: float, intervals: int) -> Cycle:
    """A guess at the cycle at the first value of the parameter, from samples of it.

    Args:
        family: The fields.
        shares: Shares of the period, from 0 to 1, shape `(samples,)`.
        states: Flat states there, shape `(samples, n)`; first and last are the same.
        period: The period.
        intervals: How many intervals the mesh has.
    """
    states = np.concatenate([states[:-1], states[:1]])
    curve = scipy.interpolate.CubicSpline(shares, states, bc_type="periodic")
    # As many samples in each interval, by the length of the curve.
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(states, axis=0), axis=1))])
    by_length = np.interp(np.linspace(0, 1, intervals + 1), (length / length[-1] + shares) / 2, shares)
    inside = by_length[:-1, None] + np.diff(by_length)[:, None] * POINTS
    dtype = family_dtype(family)
    path = Path(
        jnp.asarray(curve(by_length[:-1]), dtype),
        jnp.asarray(curve(inside, 1), dtype),
        jnp.asarray(np.log(period), dtype),
        jnp.asarray(0.0, dtype),
    )
    return _nothing(jnp.asarray(by_length, dtype), path, only_share(path))


def corrected(family: OfFields, chart: Chart, cycle: Cycle) -> Cycle | None:
    """The cycle near a guess, at the guess's value of the parameter, on a mesh that fits it; None if there is none."""
    dtype = cycle.path.x.dtype
    for i in range(_CORRECTIONS):
        border = only_share(cycle.path)
        here = Cycle(cycle.mesh, cycle.path, border, *_rest(cycle))
        zero = jnp.asarray(0.0, dtype)
        _, cycle = follow(family, chart, here, zero, border, here.path.k, jnp.asarray(i > 0))
        if not bool(cycle.ok):
            return None
    return cycle


def from_hopf(
    family: OfFields,
    chart: Chart,
    state: np.ndarray,
    eigenvector: np.ndarray,
    frequency: float,
    share: float,
    intervals: int,
) -> tuple[Cycle, Cycle] | None:
    """The Hopf point as a cycle without amplitude, and the first one beside it, if there is one.

    Args:
        family: The fields.
        chart: The units.
        state: The equilibrium.
        eigenvector: Of the eigenvalue above the axis.
        frequency: Its imaginary part.
        share: The parameter, as a share of its range.
        intervals: How many intervals the mesh has.
    """
    dtype = family_dtype(family)
    mesh = np.linspace(0, 1, intervals + 1)
    inside = mesh[:-1, None] + np.diff(mesh)[:, None] * POINTS
    # A turn of the linear flow, of length 1 in the chart.
    unit = float(chart.size) * np.sqrt(2) / np.linalg.norm(eigenvector)

    def turn(shares: np.ndarray, factor: complex) -> np.ndarray:
        return unit * np.real(factor * np.exp(2j * np.pi * shares)[..., None] * eigenvector)

    log_period, zero = jnp.asarray(np.log(2 * np.pi / frequency), dtype), jnp.asarray(0.0, dtype)
    still = np.broadcast_to(state, (intervals, len(state)))
    point = Path(
        jnp.asarray(still, dtype),
        jnp.asarray(np.zeros((*inside.shape, len(state))), dtype),
        log_period,
        jnp.asarray(share, dtype),
    )
    along = Path(jnp.asarray(turn(mesh[:-1], 1 + 0j), dtype), jnp.asarray(turn(inside, 2j * np.pi), dtype), zero, zero)
    hopf = _nothing(jnp.asarray(mesh, dtype), point, along)
    for away in _AWAY:
        # Along the turn the cycle is not shifted: the phase is that of the linear flow.
        step = jnp.asarray(away, dtype)
        _, cycle = follow(family, chart, hopf, step, along, along.k, jnp.asarray(False))
        if bool(cycle.ok) and abs(float(cycle.seen.amplitude) / away - 1) < 0.5:
            return hopf, cycle
    return None


def still(like: Cycle, state: np.ndarray, period: float, share: float) -> Cycle:
    """A Hopf point as a cycle without amplitude, on the mesh of another one."""
    path = like.path
    dtype = path.x.dtype
    there = Path(
        jnp.asarray(np.broadcast_to(state, path.x.shape), dtype),
        jnp.asarray(np.zeros(path.k.shape), dtype),
        jnp.asarray(np.log(period), dtype),
        jnp.asarray(share, dtype),
    )
    return _nothing(like.mesh, there, like.tangent)


def family_dtype(family: OfFields) -> jnp.dtype:
    return jnp.result_type(*jax.tree.leaves(family.like))


def _rest(cycle: Cycle) -> tuple:
    return cycle.multipliers, cycle.ok, cycle.finite, cycle.contraction, cycle.count, cycle.seen


def _nothing(mesh: jnp.ndarray, path: Path, tangent: Path) -> Cycle:
    """A guess, of which nothing else is known."""
    n, zero = path.x.shape[1], jnp.asarray(0.0, path.x.dtype)
    yes = jnp.asarray(True)
    multipliers = jnp.asarray(np.zeros(n - 1), jnp.result_type(path.x.dtype, jnp.complex64))
    seen = Seen(jnp.asarray(np.asarray(path.x)[0]), zero, zero, zero, zero, zero)
    return Cycle(mesh, path, tangent, multipliers, yes, yes, zero, jnp.asarray(0), seen)
