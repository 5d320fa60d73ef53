"""Does the orbit end: at infinity, or where the field is not finite?"""

import numpy as np

from .._verdict import Verdict
from ._evidence import Evidence
from ._segments import SAVES, Segment

# Times its size at the start.
MUCH = 1e3


def ended(known: Evidence, segment: Segment) -> Verdict | None:
    """Of a segment that is cut short or beyond what can be squared: "diverges", or why nothing can be said."""
    largest = float(np.max(np.abs(segment.points)))
    bound = float(np.sqrt(np.finfo(known.follower.dtype).max))
    if segment.finite and largest < bound:
        return None
    past = int(np.argmax(np.max(np.abs(segment.points), axis=1) >= bound)) if largest >= bound else len(segment.points)
    steps = segment.steps - (SAVES + 1 - past) * segment.stride
    sizes = np.max(np.abs(segment.points), axis=1)
    grown = largest >= bound or sizes[-1] > MUCH * (1 + known.size) or _grows_fast(sizes)
    if grown:
        return known.verdict("diverges", f"the state grows without bound, by step {steps:,}")
    y = ", ".join(f"{number:.4g}" for number in segment.points[-1][:4])
    return known.verdict("undecided", f"the field is not finite where the orbit is, after step {steps:,} at ({y})")


def still_grows(known: Evidence) -> bool:
    """Whether each of the last segments reaches farther than the one before."""
    sizes = [float(np.max(np.abs(each.points))) for each in known.segments[-3:]]
    return len(sizes) == 3 and sizes[2] > 1.02 * sizes[1] > 1.02**2 * sizes[0]


def _grows_fast(sizes: np.ndarray) -> bool:
    """Whether the last steps before the end grew ever faster, as before an overflow."""
    if len(sizes) < 3:
        return False
    late = sizes[-3:]
    return bool(late[0] > 0 and late[2] / late[1] > 10 and late[1] / late[0] > 1)
