"""Following a field: in continuous time (`flow`) or by a discrete rule (`iterate`). Both give an `Orbit`."""

from ._flow import flow as flow
from ._iterate import iterate as iterate
from ._orbit import Orbit as Orbit, OUTCOMES as OUTCOMES, SolveFailed as SolveFailed
