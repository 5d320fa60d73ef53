"""What goes on in a run of training, and what would stop it."""

from ._watch import Watch as Watch, WatchState as WatchState
from ._watch_reading import Reading as Reading
