"""A branch put together from its cycles: states of the user's form, all multipliers, what is stable, events."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..arclength._motion import OfFields, restored
from ._branch import CODES, CycleBranch, CycleEvent
from ._collocation import Chart, DEGREE, INTEGRALS_AT
from ._corrector import Cycle
from ._walk import Walk

# Multipliers up to here are within the unit circle, beyond rounding.
WITHIN = 1 - 1e-9


def assembled(family: OfFields, chart: Chart, found: Walk) -> CycleBranch:
    """In NumPy: branches of other lengths would be compiled each by itself."""
    cycles = found.cycles
    shares, samples = (np.stack(parts) for parts in zip(*map(_samples, cycles), strict=True))
    periods = np.array([np.exp(float(c.path.log_period)) for c in cycles])
    values = np.array([value_of(chart, c) for c in cycles])
    multipliers = np.stack([_all(c) for c in cycles])
    stable = np.all(np.abs(multipliers[:, 1:]) < WITHIN, axis=1)
    # A Hopf point is as stable as the cycles beside it.
    if len(stable) > 1:
        for edge, beside in ((0, 1), (-1, -2)):
            still_there = not np.ptp(samples[edge], axis=0).any()
            stable[edge] = stable[beside] if still_there else stable[edge]
    dtype = cycles[0].path.x.dtype
    return CycleBranch(
        values=jnp.asarray(values, dtype),
        periods=jnp.asarray(periods, dtype),
        states=restored(family.like, samples[:, 0]),
        orbits=restored(family.like, samples),
        times=jnp.asarray(shares * periods[:, None], dtype),
        multipliers=jnp.asarray(multipliers),
        stable=jnp.asarray(stable),
        events=tuple(_event(family, chart, kind, cycle) for kind, cycle in found.events),
        status=jnp.asarray(CODES[found.ended]),
        family=family.family,
        args=family.args,
    )


def _event(family: OfFields, chart: Chart, kind: Any, cycle: Cycle) -> CycleEvent:
    period, (shares, samples) = np.exp(float(cycle.path.log_period)), _samples(cycle)
    return CycleEvent(
        kind=kind,
        value=jnp.asarray(value_of(chart, cycle)),
        period=jnp.asarray(period),
        state=restored(family.like, np.asarray(cycle.path.x[0])),
        multipliers=jnp.asarray(_all(cycle)),
        orbit=restored(family.like, samples),
        times=jnp.asarray(shares * period, cycle.path.x.dtype),
    )


def value_of(chart: Chart, cycle: Cycle) -> float:
    return float(chart.start) + float(chart.width) * float(cycle.path.share)


def _all(cycle: Cycle) -> np.ndarray:
    """The multipliers with the one of a shift along the cycle."""
    others = np.asarray(cycle.multipliers)
    return np.concatenate([np.ones(1, others.dtype), others])


def _samples(cycle: Cycle) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the period, four in each interval, and the flat states there."""
    mesh, x, k = (np.asarray(each) for each in (cycle.mesh, cycle.path.x, cycle.path.k))
    lengths = np.diff(mesh)
    states = x[:, None] + lengths[:, None, None] * np.einsum("sj,ijn->isn", INTEGRALS_AT, k)
    shares = mesh[:-1, None] + lengths[:, None] * np.arange(DEGREE) / DEGREE
    rows = states.reshape(-1, x.shape[1])
    return np.append(shares.ravel(), mesh[-1]), np.concatenate([rows, rows[:1]])
