"""Many members at once: of a flow, of an update, or of a flow with noise."""

from ._ensemble import ensemble as ensemble
from ._iterate_ensemble import iterate_ensemble as iterate_ensemble
from ._stochastic_paths import paths as paths
