"""Following a field: in continuous time (`flow`, `ensemble`; with noise: `paths`) or by a discrete rule (`iterate`,
`iterate_ensemble`).
"""

from ._checkpoint import Checkpoint as Checkpoint
from ._flow import flow as flow
from ._iterate import iterate as iterate
from ._load_checkpoint import load_checkpoint as load_checkpoint, Trained as Trained
from ._orbit import Orbit as Orbit, OUTCOMES as OUTCOMES, SolveFailed as SolveFailed
from ._recorder import AbstractRecorder as AbstractRecorder
from .ensembles import ensemble as ensemble, iterate_ensemble as iterate_ensemble, paths as paths
