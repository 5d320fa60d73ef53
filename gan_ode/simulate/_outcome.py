"""The name of how a solve ended, from Diffrax's result and from where it stood."""

from typing import Any

import diffrax
import jax.numpy as jnp
from jaxtyping import Array

from .. import _tree
from .._types import State
from ._controller import Trial
from ._orbit import OUTCOMES


def outcome(
    result: diffrax.RESULTS,
    trial: Trial | None,
    too_large: Any,
    y0: State,
    y: State,
    ts: Array,
    t: Array,
    max_steps: int,
) -> OUTCOMES:
    """The name of what happened: Diffrax's result, and where the solve stood when it stopped."""
    finite = _tree.all_finite(y)
    grown = ~finite | (_tree.largest(y) > 1e3 * (1 + _tree.largest(y0)))
    if trial is None:
        no, size = jnp.asarray(False), ts[-1] - ts[0]
        trial = Trial(t, size, size, ~finite, no, no)
    # With steps of the present size, far below the longest, there would not be enough of them for the rest.
    crawling = ((ts[-1] - t) > max_steps * trial.size) & (trial.size < 1e-3 * trial.longest)
    collapsed = _first_true(
        (grown, OUTCOMES.blow_up),
        (trial.nonfinite, OUTCOMES.nonfinite_field),
        (trial.unsolved, OUTCOMES.root_find_failed),
        (jnp.abs(t) * jnp.finfo(t.dtype).eps > 1e-3 * (ts[-1] - ts[0]), OUTCOMES.time_resolution),
        otherwise=OUTCOMES.step_collapse,
    )
    out_of_steps = _first_true(
        (crawling & ~grown, OUTCOMES.step_collapse), (crawling, OUTCOMES.blow_up), otherwise=OUTCOMES.max_steps
    )
    stopped = _first_true((jnp.asarray(too_large), OUTCOMES.blow_up), otherwise=OUTCOMES.event)
    return _first_true(
        (result == diffrax.RESULTS.successful, OUTCOMES.ok),
        (result == diffrax.RESULTS.event_occurred, stopped),
        (result == diffrax.RESULTS.dt_min_reached, collapsed),
        (result == diffrax.RESULTS.max_steps_reached, out_of_steps),
        otherwise=OUTCOMES.root_find_failed,
    )


def _first_true(*cases: tuple[Any, Any], otherwise: Any) -> Any:
    for condition, outcome in reversed(cases):
        otherwise = OUTCOMES.where(condition, outcome, otherwise)
    return otherwise
