"""Numbers from fields and orbits: equilibria, spectra, critical step sizes, orders, drifts, verdicts."""

from ._basin import Basin as Basin, basin as basin, FATES as FATES, grid as grid
from ._classify import classify as classify
from ._compare import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
)
from ._critical import critical_step_size as critical_step_size
from ._equilibrium import Equilibrium as Equilibrium, find_equilibrium as find_equilibrium
from ._invariant import Drift as Drift, drift as drift
from ._jacobian import jacobian as jacobian, multipliers as multipliers, spectrum as spectrum
from ._lyapunov import lyapunov_exponents as lyapunov_exponents, LyapunovExponents as LyapunovExponents
from ._trap import Trap as Trap
from ._types_of_equilibria import equilibrium_type as equilibrium_type
from ._verdict import Verdict as Verdict
