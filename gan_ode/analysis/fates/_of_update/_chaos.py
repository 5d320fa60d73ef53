"""Is the orbit chaotic: recurrent, with neighbors that part at one rate?"""

import jax.numpy as jnp
import numpy as np

from ...lyapunov._exponents import lyapunov_exponents
from .._rest import root_near
from .._verdict import Verdict
from ._by_law import spread
from ._evidence import Evidence
from ._segments import Segment

_SURE = 8.0


def chaos(known: Evidence, last: Segment) -> Verdict | None:
    follower, h = known.follower, known.runner.step_size
    if not _is_recurrent(known):
        return None
    roots = [root_near(follower, y) for y in last.points[:: max(len(last.points) // 16, 1)]]
    for root in roots:
        if root is None:
            continue
        if known.rhythm is not None and float(known.trap(root, last)[0].level) > 0:
            return known.verdict(
                "undecided", "irregular so far, but there is a stable fixed point: it may still come to it"
            )
    found = []
    for place in (0, len(last.points) // 2):
        start = follower.restore(jnp.asarray(last.points[place], follower.dtype))
        exponents = lyapunov_exponents(
            known.field, start, 20_000 * h, update=known.update, num=1, num_spans=1000, args=known.args
        )
        found.append((float(exponents.exponents[0]), float(exponents.standard_error[0])))
    (one, error), (other, its_error) = found
    apart = abs(one - other) + 4 * max(error, its_error)
    if not np.isfinite(apart) or min(one, other) < _SURE * max(error, its_error) or apart > 0.5 * one:
        return None
    reason = f"chaos: neighbors part at the rate {(one + other) / 2:.3g}, on two stretches alike"
    return known.verdict("wanders", reason, exponent=(one + other) / 2, exponent_error=apart)


def _is_recurrent(known: Evidence) -> bool:
    """Whether the last windows are equally wide, and the orbit goes to and fro in them many times."""
    if len(known.segments) < 4:
        return False
    spans = np.array([np.ptp(each.points, axis=0) for each in known.segments[-3:]])
    widest = known.segments[-1].points[:, int(np.argmax(spans[-1]))]
    moves = np.diff(widest)
    backs = int(np.sum(moves[1:] * moves[:-1] < 0))
    spreads = [spread(each.points, None) for each in known.segments[-3:]]
    same = max(spreads) < 1.2 * min(spreads) and np.max(spans) < 1.5 * np.max(spans, axis=1).min()
    return bool(same and backs > 100)
