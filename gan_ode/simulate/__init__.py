"""Following a field: in continuous time (`flow`; many starts: `ensemble`) or by a discrete rule (`iterate`)."""

from ._checkpoint import Checkpoint as Checkpoint
from ._ensemble import ensemble as ensemble
from ._flow import flow as flow
from ._iterate import iterate as iterate
from ._orbit import Orbit as Orbit, OUTCOMES as OUTCOMES, SolveFailed as SolveFailed
