"""The cheap part of a diagnosis, along training."""

from ._reading import Reading as Reading
from ._watch import Watch as Watch, WatchState as WatchState
