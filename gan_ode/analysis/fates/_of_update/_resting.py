"""Does the orbit come to a fixed point that it cannot leave, or rest at one?"""

import jax.numpy as jnp
import numpy as np

from .._rest import root_near
from .._verdict import Verdict
from ._evidence import Evidence
from ._segments import Segment

# Numbers of a state up to which matrices are dense, and many states are kept.
FEW = 300


def settles(known: Evidence, segment: Segment) -> Verdict | None:
    """The verdict "converges", if it is sure; the fixed point nearby is noted on the way."""
    if known.follower.size > FEW:
        return None
    end = segment.points[-1]
    rest = root_near(known.follower, end)
    known.rest = rest
    if rest is None or not rest.smooth:
        return None
    if known.rhythm is None:
        return None
    trap, held, gap = known.trap(rest, segment)
    growth = float(trap.growth)
    if held and float(trap.level) > 0 and bool(trap.speaks(jnp.asarray(segment.steps))):
        known.rest = rest
        return known.verdict(
            "converges", "the orbit has come so near to a stable fixed point that it cannot leave", rate=growth,
            rate_error=8 * np.sqrt(known.follower.rounding) / known.runner.step_size * max(len(end), 1),
        )  # fmt: skip
    still = gap <= 1e3 * known.follower.rounding * (np.max(np.abs(rest.y)) + 1e-30)
    if still and np.max(np.ptp(segment.points, axis=0)) <= 1e3 * known.follower.rounding * np.max(np.abs(end)):
        return known.verdict("converges", "the state rests at a fixed point")
    return None
