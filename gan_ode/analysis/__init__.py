"""Numbers from fields and orbits: equilibria, spectra, critical step sizes, orders, drifts, verdicts."""

from . import theory as theory
from ._classify import classify as classify
from ._compare import (
    compare as compare,
    Comparison as Comparison,
    Convergence as Convergence,
    convergence as convergence,
)
from ._critical import critical_step_size as critical_step_size
from ._equilibria import (
    Equilibria as Equilibria,
    find_equilibria as find_equilibria,
    FoundEquilibrium as FoundEquilibrium,
)
from ._equilibrium import Equilibrium as Equilibrium, find_equilibrium as find_equilibrium
from ._invariant import Drift as Drift, drift as drift
from ._jacobian import jacobian as jacobian, multipliers as multipliers, spectrum as spectrum
from ._kinds_of_equilibria import EquilibriumKind as EquilibriumKind
from ._types_of_equilibria import equilibrium_type as equilibrium_type
from ._verdict import Verdict as Verdict
