"""Following a field: in continuous time (`flow`, `ensemble`; with noise: `paths`) or by a discrete rule (`iterate`,
`iterate_ensemble`); and `sweep`, which does so, or anything else, over a grid of parameters.
"""

from ._chebyshev import RKC2 as RKC2
from ._checkpoint import Checkpoint as Checkpoint
from ._ensemble import ensemble as ensemble
from ._flow import flow as flow
from ._gmres import GMRES as GMRES
from ._iterate import iterate as iterate
from ._iterate_ensemble import iterate_ensemble as iterate_ensemble
from ._matrix_free import InexactChord as InexactChord, matrix_free as matrix_free
from ._orbit import Orbit as Orbit, OUTCOMES as OUTCOMES, SolveFailed as SolveFailed
from ._paths import paths as paths
from ._rk4 import RK4 as RK4
from ._rosenbrock import Rodas3 as Rodas3
from ._sweep import open_sweep as open_sweep, sweep as sweep
