"""The name of how a solve ended, from Diffrax's result and from where it stood."""

from typing import Any

import diffrax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .. import _tree
from .._growth import bound, Sizes
from .._inherited_claims import says
from .._types import State
from ..updates import AbstractUpdate
from ._diffrax_controllers import Steady, Trial
from ._orbit import OUTCOMES


def outcome(
    result: diffrax.RESULTS,
    trial: Trial | Steady,
    too_large: Any,
    y0: State,
    y: State,
    ts: Array,
    t: Array,
    max_steps: int,
) -> OUTCOMES:
    """The name of what happened: Diffrax's result, and where the solve stood when it stopped."""
    if isinstance(trial, Steady):
        return _of_fixed_steps(result, trial, too_large, y)
    # Where even the smallest step from a state that is not past all bounds leads to none, the field ends there.
    size = _tree.largest(y)
    grown = ~(size < bound(size.dtype)) | ((size > 1e3 * (1 + _tree.largest(y0))) & ~trial.nonfinite)
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
    return _named(result, OUTCOMES.event, collapsed, out_of_steps)


def _of_fixed_steps(result: diffrax.RESULTS, steady: Steady, too_large: Any, y: State) -> OUTCOMES:
    lost = _first_true((_tree.all_finite(y) | steady.sizes.grew, OUTCOMES.blow_up), otherwise=OUTCOMES.nonfinite_field)
    stopped = _first_true((jnp.asarray(too_large), lost), otherwise=OUTCOMES.event)
    return _named(result, stopped, OUTCOMES.step_collapse, OUTCOMES.max_steps)


def _named(result: diffrax.RESULTS, stopped: Any, collapsed: Any, out_of_steps: Any) -> OUTCOMES:
    return _first_true(
        (result == diffrax.RESULTS.successful, OUTCOMES.ok),
        (result == diffrax.RESULTS.event_occurred, stopped),
        (result == diffrax.RESULTS.dt_min_reached, collapsed),
        (result == diffrax.RESULTS.max_steps_reached, out_of_steps),
        otherwise=OUTCOMES.root_find_failed,
    )


def outcome_of_steps(update: AbstractUpdate, finite: Bool[Array, "*batch"], sizes: Sizes) -> OUTCOMES:
    """The name of how steps of a discrete rule ended.

    Args:
        update: The rule.
        finite: Whether all states were finite.
        sizes: Of the states up to the last finite one.
    """
    may_fail = says(update, "may_fail", "step", otherwise=False)
    lost = OUTCOMES.root_find_failed if may_fail else OUTCOMES.nonfinite_field
    return _first_true((finite, OUTCOMES.ok), (sizes.grew, OUTCOMES.blow_up), otherwise=lost)


def _first_true(*cases: tuple[Any, Any], otherwise: Any) -> Any:
    for condition, outcome in reversed(cases):
        otherwise = OUTCOMES.where(condition, outcome, otherwise)
    return otherwise
